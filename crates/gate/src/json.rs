//! Small canonical objects of fixed names.

use canonical::{Object, Value};

/// An object of names that are fixed in the code and differ; integers beyond 2^53-1 are cut.
#[must_use]
pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Object(Object::try_from_members(members).unwrap_or_default())
}

/// An unsigned number as JSON, cut at 2^53-1.
#[must_use]
pub fn number(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX).min((1 << 53) - 1))
}
