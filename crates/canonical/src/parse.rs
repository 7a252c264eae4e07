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
        items: Vec::new(),
        members: Vec::new(),
        names: Vec::new(),
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
    /// The elements of all open arrays, those of the innermost last. Moved out in one piece when
    /// their array ends, so that it gets just the memory it needs.
    items: Vec<Value>,
    /// The members of all open objects, likewise.
    members: Vec<(String, Value)>,
    /// The names whose values are being read, one of each open object.
    names: Vec<String>,
    /// Where the names of all open objects start, in the order read.
    name_offsets: Vec<usize>,
}

/// An open container and where, in `items` or `members`, that which it holds begins.
#[derive(Clone, Copy)]

enum Open {
    Array { first: usize },
    Object { first: usize },
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
        self.open.push(Open::Array { first: self.items.len() });
        Ok(None)
    }

    fn open_object(&mut self) -> Result<Option<Value>, Fault> {
        self.descend()?;
        if self.take(b'}') {
            return Ok(Some(Value::Object(Object::new())));
        }
        self.name()?;
        self.open.push(Open::Object { first: self.members.len() });
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
            value = match self.open.last().copied() {
                None => return Ok(Some(value)),
                Some(Open::Array { first }) => {
                    self.items.push(value);
                    self.skip_blank();
                    if self.take(b',') {
                        return Ok(None);
                    }
                    if !self.take(b']') {
                        return Err(self.expected("`,` or `]`"));
                    }
                    Value::Array(self.items.drain(first..).collect())
                }
                Some(Open::Object { first }) => {
                    self.members.push((self.names.pop().unwrap_or_default(), value));
                    self.skip_blank();
                    if self.take(b',') {
                        self.skip_blank();
                        self.name()?;
                        return Ok(None);
                    }
                    if !self.take(b'}') {
                        return Err(self.expected("`,` or `}`"));
                    }
                    Value::Object(self.seal(first)?)
                }
            };
            self.open.pop();
        }
    }

    /// The object of the members from `first` on. The offsets of its names are the last ones.
    fn seal(&mut self, first: usize) -> Result<Object, Fault> {
        let members: Vec<(String, Value)> = self.members.drain(first..).collect();
        let first_name = self.name_offsets.len() - members.len();
        let sealed = Object::seal(members).map_err(|collision| {
            let at = self.name_offsets.get(first_name + collision.index).copied();
            Fault::at(at.unwrap_or(self.at), Reason::of_names(collision.error))
        });
        self.name_offsets.truncate(first_name);
        sealed
    }

    /// A member name, which is kept until its value is read, and its colon.
    fn name(&mut self) -> Result<(), Fault> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a member name in double quotes"));
        }
        self.name_offsets.push(self.at);
        let name = self.string()?;
        self.skip_blank();
        if !self.take(b':') {
            return Err(self.expected("`:`"));
        }
        self.names.push(name);
        Ok(())
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
