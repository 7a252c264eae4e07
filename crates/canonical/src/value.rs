//! What a canonical text means.

use crate::{Limits, MAX_SAFE_INTEGER, Object, ParseError};

/// One JSON value whose canonical bytes are determined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number of at most 2^53 - 1 either way. [`Value::integer`] checks that; a larger one
    /// put here by hand is written digit by digit, and no reader of this crate takes it back.
    Integer(i64),
    /// Any other number that a double carries.
    Number(Float),
    /// Text without surrogates.
    String(String),
    /// Values in their order.
    Array(Vec<Value>),
    /// Members in canonical order.
    Object(Object),
}

/// A double that canonical JSON can write and that is not an [`Value::Integer`]: finite, and
/// either not whole or of at least 10^21 (which is written with an exponent).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Float(f64);

impl Eq for Float {}

impl Float {
    /// The double.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// For a double that the reader has classified by its text.
    pub(crate) const fn classified(number: f64) -> Self {
        Self(number)
    }
}

/// Why a number cannot stand in canonical JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// A whole number beyond 2^53 - 1, which double-based readers round.
    #[error("whole number beyond 2^53 - 1, which other readers round; send it as a string")]
    TooLarge,
    /// Not a number, or infinite.
    #[error("number is not finite; JSON has no form for it")]
    NotFinite,
}

impl Value {
    /// A whole number, refused beyond 2^53 - 1 either way.
    pub const fn integer(number: i64) -> Result<Self, NumberError> {
        if number > MAX_SAFE_INTEGER || number < -MAX_SAFE_INTEGER {
            return Err(NumberError::TooLarge);
        }
        Ok(Self::Integer(number))
    }

    /// A double; a whole one of at most 2^53 - 1 becomes an [`Value::Integer`].
    pub fn number(number: f64) -> Result<Self, NumberError> {
        if !number.is_finite() {
            return Err(NumberError::NotFinite);
        }
        let mut buffer = ryu_js::Buffer::new();
        crate::parse::classify(number, buffer.format_finite(number)).ok_or(NumberError::TooLarge)
    }

    /// Reads one canonicalisable text; the same as [`crate::parse`].
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, ParseError> {
        crate::parse(bytes, limits)
    }

    /// Whether this is `null`.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The truth value, if it is one.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The whole number, if it is one.
    #[must_use]
    pub const fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The whole number, if it is one and not negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        self.as_i64().and_then(|number| u64::try_from(number).ok())
    }

    /// Any number as a double; exact, since whole ones are at most 2^53 - 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an integer of at most 2^53 - 1 is exact")]
    pub const fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Number(number) => Some(number.0),
            _ => None,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The elements, if it is an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The object, if it is one.
    #[must_use]
    pub const fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The object, if it is one, to be changed.
    pub const fn as_object_mut(&mut self) -> Option<&mut Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The member of this name, if it is an object that has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.as_object().and_then(|object| object.get(name))
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Integer(i64::from(number))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Integer(i64::from(number))
    }
}

impl TryFrom<i64> for Value {
    type Error = NumberError;

    fn try_from(number: i64) -> Result<Self, NumberError> {
        Self::integer(number)
    }
}

impl TryFrom<u64> for Value {
    type Error = NumberError;

    fn try_from(number: u64) -> Result<Self, NumberError> {
        i64::try_from(number).map_err(|_| NumberError::TooLarge).and_then(Self::integer)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<Vec<Self>> for Value {
    fn from(items: Vec<Self>) -> Self {
        Self::Array(items)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}
