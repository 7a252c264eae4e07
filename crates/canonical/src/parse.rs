//! Reading I-JSON without recursion, refusing what two readers could understand differently.

mod fault;
mod number;
mod string;

pub use fault::{ParseError, Reason};
pub(crate) use number::classify;

use fault::Fault;

use crate::limits::DEPTH_CEILING;
use crate::{Limits, Object, Value};

/// Reads one I-JSON text (RFC 7493) of any top-level kind.
///
/// Refused, with the place: invalid UTF-8, a byte order mark, noncharacters and lone surrogates,
/// names that are equal in one object or equal under case folding, numbers that a double does not
/// carry exactly as written, integers beyond 2^53 - 1, anything after the value, and whatever
/// exceeds the limits. `-0` is read as `0`.
///
/// The cost is linear in the input (and `n log n` in the members of one object); the stack used
/// does not depend on it.
pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Value, ParseError> {
    read(bytes, limits).map_err(|fault| fault.locate(bytes))
}

fn read(bytes: &[u8], limits: &Limits) -> Result<Value, Fault> {
    if bytes.len() > limits.bytes {
        return Err(Fault::at(limits.bytes, Reason::TooLarge { limit: limits.bytes }));
    }
    if bytes.starts_with("\u{feff}".as_bytes()) {
        return Err(Fault::at(0, Reason::Syntax("no byte order mark")));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Fault::at(error.valid_up_to(), Reason::NotUtf8))?;
    if let Some(at) = string::noncharacter(text) {
        return Err(Fault::at(at, Reason::Noncharacter));
    }
    let mut reader = Reader {
        text,
        bytes,
        at: 0,
        nodes: 0,
        limits: Limits { depth: limits.depth.min(DEPTH_CEILING), ..*limits },
        open: Vec::new(),
        name_offsets: Vec::new(),
    };
    let value = reader.document()?;
    reader.skip_blank();
    if reader.at < bytes.len() {
        return Err(Fault::at(reader.at, Reason::TrailingData));
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    nodes: usize,
    limits: Limits,
    /// The containers around `at`, outermost first.
    open: Vec<Open>,
    /// Where the names of all open objects start, in the order read.
    name_offsets: Vec<usize>,
}

enum Open {
    Array(Vec<Value>),
    Object {
        members: Vec<(String, Value)>,
        /// The name whose value is being read.
        name: String,
        /// Index into `name_offsets` of the first name.
        first_name: usize,
    },
}

impl Reader<'_> {
    fn document(&mut self) -> Result<Value, Fault> {
        loop {
            let Some(value) = self.value()? else { continue };
            if let Some(root) = self.attach(value)? {
                return Ok(root);
            }
        }
    }

    /// A scalar or an empty container; `None` where a container was opened and its first value
    /// comes next.
    fn value(&mut self) -> Result<Option<Value>, Fault> {
        self.skip_blank();
        self.nodes += 1;
        if self.nodes > self.limits.members {
            let limit = self.limits.members;
            return Err(Fault::at(self.at, Reason::TooManyValues { limit }));
        }
        match self.peek() {
            Some(b'"') => Ok(Some(Value::String(self.string()?))),
            Some(b'{') => self.open_object(),
            Some(b'[') => self.open_array(),
            Some(b'-' | b'0'..=b'9') => self.number().map(Some),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(self.expected("a value")),
        }
    }

    fn open_array(&mut self) -> Result<Option<Value>, Fault> {
        self.descend()?;
        if self.take(b']') {
            return Ok(Some(Value::Array(Vec::new())));
        }
        self.open.push(Open::Array(Vec::new()));
        Ok(None)
    }

    fn open_object(&mut self) -> Result<Option<Value>, Fault> {
        self.descend()?;
        if self.take(b'}') {
            return Ok(Some(Value::Object(Object::new())));
        }
        let first_name = self.name_offsets.len();
        let name = self.name()?;
        self.open.push(Open::Object { members: Vec::new(), name, first_name });
        Ok(None)
    }

    fn descend(&mut self) -> Result<(), Fault> {
        if self.open.len() >= self.limits.depth {
            return Err(Fault::at(self.at, Reason::TooDeep { limit: self.limits.depth }));
        }
        self.at += 1;
        self.skip_blank();
        Ok(())
    }

    /// Puts a finished value where it belongs and closes every container that ends behind it.
    /// `None` where another value must follow, else the root.
    fn attach(&mut self, mut value: Value) -> Result<Option<Value>, Fault> {
        loop {
            let Some(top) = self.open.last_mut() else { return Ok(Some(value)) };
            match top {
                Open::Array(items) => {
                    items.push(value);
                    self.skip_blank();
                    if self.take(b',') {
                        return Ok(None);
                    }
                    if !self.take(b']') {
                        return Err(self.expected("`,` or `]`"));
                    }
                }
                Open::Object { members, name, .. } => {
                    members.push((std::mem::take(name), value));
                    self.skip_blank();
                    if self.take(b',') {
                        self.skip_blank();
                        let next = self.name()?;
                        if let Some(Open::Object { name, .. }) = self.open.last_mut() {
                            *name = next;
                        }
                        return Ok(None);
                    }
                    if !self.take(b'}') {
                        return Err(self.expected("`,` or `}`"));
                    }
                }
            }
            value = match self.open.pop() {
                Some(Open::Array(items)) => Value::Array(items),
                Some(Open::Object { members, first_name, .. }) => {
                    Value::Object(self.seal(members, first_name)?)
                }
                None => return Err(self.expected("a value")),
            };
        }
    }

    fn seal(&mut self, members: Vec<(String, Value)>, first_name: usize) -> Result<Object, Fault> {
        let sealed = Object::seal(members).map_err(|collision| {
            let at = self.name_offsets.get(first_name + collision.index).copied();
            Fault::at(at.unwrap_or(self.at), Reason::of_names(collision.error))
        });
        self.name_offsets.truncate(first_name);
        sealed
    }

    /// A member name and its colon.
    fn name(&mut self) -> Result<String, Fault> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a member name in double quotes"));
        }
        self.name_offsets.push(self.at);
        let name = self.string()?;
        self.skip_blank();
        if !self.take(b':') {
            return Err(self.expected("`:`"));
        }
        Ok(name)
    }

    fn word(&mut self, word: &'static str, value: Value) -> Result<Option<Value>, Fault> {
        let here = self.bytes.get(self.at..).unwrap_or_default();
        if !here.starts_with(word.as_bytes()) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(Some(value))
    }

    fn skip_blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn expected(&self, what: &'static str) -> Fault {
        Fault::at(self.at, Reason::Syntax(what))
    }
}
