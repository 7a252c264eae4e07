//! Canonical objects straight into bytes, for records whose members are known in advance.

use std::cmp::Ordering;

use crate::{MAX_SAFE_INTEGER, Value, names, write};

/// Appends one canonical value to a buffer without building it first.
///
/// Names must come in canonical order (by UTF-16 code units; for ASCII names that is the order of
/// `str`). What breaks that, or the nesting, or 2^53 - 1, is kept and returned by
/// [`Writer::finish`]; the bytes written until then are to be thrown away. Names that differ only
/// in case are not looked for: the reader refuses them.
///
/// ```
/// let mut out = Vec::new();
/// let mut writer = canonical::Writer::new(&mut out);
/// writer.begin_object().field_str("agent", "triage").field_int("at", 7);
/// writer.field_array("labels").item_str("a").item_str("b").end();
/// writer.end();
/// writer.finish()?;
/// assert_eq!(out, br#"{"agent":"triage","at":7,"labels":["a","b"]}"#);
/// # Ok::<(), canonical::WriterError>(())
/// ```
#[derive(Debug)]
#[must_use = "without `finish` the bytes are not known to be canonical"]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    open: Vec<Open<'a>>,
    /// Whether the one value at the top has been begun.
    begun: bool,
    error: Option<WriterError>,
}

#[derive(Debug)]
enum Open<'a> {
    Array { empty: bool },
    Object { last: Option<&'a str> },
}

/// Why the bytes of a [`Writer`] are not canonical.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriterError {
    /// A name is not above the one before it.
    #[error("member `{name}` comes after `{last}`; write members in canonical order")]
    Order {
        /// The name before.
        last: String,
        /// The name that came too late.
        name: String,
    },
    /// A whole number beyond 2^53 - 1.
    #[error("number {0} is beyond 2^53 - 1; write it as a string")]
    Integer(i128),
    /// A member outside an object, an element outside an array, a second value at the top, or an
    /// end without a beginning.
    #[error("{0}")]
    Nesting(&'static str),
    /// A container was not ended, or nothing was written.
    #[error("the value is not complete; end what was begun")]
    Incomplete,
}

impl<'a> Writer<'a> {
    /// Appends to `out`.
    pub const fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, open: Vec::new(), begun: false, error: None }
    }

    /// Begins the object at the top, or one that is an element of the array open.
    pub fn begin_object(&mut self) -> &mut Self {
        self.element();
        self.enter(b'{', Open::Object { last: None })
    }

    /// Begins the array at the top, or one that is an element of the array open.
    pub fn begin_array(&mut self) -> &mut Self {
        self.element();
        self.enter(b'[', Open::Array { empty: true })
    }

    /// A member that is text.
    pub fn field_str(&mut self, name: &'a str, text: &str) -> &mut Self {
        self.name(name);
        write::string(text, self.out);
        self
    }

    /// A member that is a whole number of at most 2^53 - 1 either way.
    pub fn field_int(&mut self, name: &'a str, number: impl Into<i128>) -> &mut Self {
        self.name(name);
        self.integer(number.into())
    }

    /// A member that is a truth value.
    pub fn field_bool(&mut self, name: &'a str, truth: bool) -> &mut Self {
        self.field_value(name, &Value::Bool(truth))
    }

    /// A member that is `null`.
    pub fn field_null(&mut self, name: &'a str) -> &mut Self {
        self.field_value(name, &Value::Null)
    }

    /// A member that is a value.
    pub fn field_value(&mut self, name: &'a str, value: &Value) -> &mut Self {
        self.name(name);
        value.write(self.out);
        self
    }

    /// A member whose value is canonical bytes already. They are not looked at.
    pub fn field_raw(&mut self, name: &'a str, canonical: &[u8]) -> &mut Self {
        self.name(name);
        self.out.extend_from_slice(canonical);
        self
    }

    /// Begins a member that is an object.
    pub fn field_object(&mut self, name: &'a str) -> &mut Self {
        self.name(name);
        self.enter(b'{', Open::Object { last: None })
    }

    /// Begins a member that is an array.
    pub fn field_array(&mut self, name: &'a str) -> &mut Self {
        self.name(name);
        self.enter(b'[', Open::Array { empty: true })
    }

    /// An element that is text.
    pub fn item_str(&mut self, text: &str) -> &mut Self {
        self.element();
        write::string(text, self.out);
        self
    }

    /// An element that is a whole number of at most 2^53 - 1 either way.
    pub fn item_int(&mut self, number: impl Into<i128>) -> &mut Self {
        self.element();
        self.integer(number.into())
    }

    /// An element that is a value.
    pub fn item_value(&mut self, value: &Value) -> &mut Self {
        self.element();
        value.write(self.out);
        self
    }

    /// An element that is canonical bytes already. They are not looked at.
    pub fn item_raw(&mut self, canonical: &[u8]) -> &mut Self {
        self.element();
        self.out.extend_from_slice(canonical);
        self
    }

    /// Ends the object or array begun last.
    pub fn end(&mut self) -> &mut Self {
        match self.open.pop() {
            Some(Open::Array { .. }) => self.out.push(b']'),
            Some(Open::Object { .. }) => self.out.push(b'}'),
            None => self.fail(WriterError::Nesting("an end without a beginning")),
        }
        self
    }

    /// Whether what was appended is one canonical value.
    pub fn finish(self) -> Result<(), WriterError> {
        match self.error {
            Some(error) => Err(error),
            None if self.begun && self.open.is_empty() => Ok(()),
            None => Err(WriterError::Incomplete),
        }
    }

    fn enter(&mut self, bracket: u8, open: Open<'a>) -> &mut Self {
        self.out.push(bracket);
        self.open.push(open);
        self
    }

    fn name(&mut self, name: &'a str) {
        let Some(Open::Object { last }) = self.open.last_mut() else {
            return self.fail(WriterError::Nesting("a member outside an object"));
        };
        let previous = last.replace(name);
        if let Some(previous) = previous {
            self.out.push(b',');
            if names::order(previous, name) != Ordering::Less {
                let (last, name) = (previous.to_owned(), name.to_owned());
                self.fail(WriterError::Order { last, name });
            }
        }
        write::string(name, self.out);
        self.out.push(b':');
    }

    fn element(&mut self) {
        match self.open.last_mut() {
            Some(Open::Array { empty }) => {
                if !std::mem::replace(empty, false) {
                    self.out.push(b',');
                }
            }
            Some(Open::Object { .. }) => {
                self.fail(WriterError::Nesting("an element inside an object"));
            }
            None if self.begun => self.fail(WriterError::Nesting("a second value at the top")),
            None => self.begun = true,
        }
    }

    fn integer(&mut self, number: i128) -> &mut Self {
        match i64::try_from(number) {
            Ok(safe) if (-MAX_SAFE_INTEGER..=MAX_SAFE_INTEGER).contains(&safe) => {
                write::integer(safe, self.out);
            }
            _ => self.fail(WriterError::Integer(number)),
        }
        self
    }

    /// Keeps the first error only: what follows it is its consequence.
    fn fail(&mut self, error: WriterError) {
        self.error.get_or_insert(error);
    }
}
