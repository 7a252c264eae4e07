//! The whole schema of `ambit.yaml` as one table: the reader, the hints and the JSON Schema follow it.

mod json;
pub(crate) mod shapes;

pub use json::schema;

/// A map with fixed keys.
#[derive(Debug)]
pub(crate) struct Shape {
    /// What a value of this shape is called: "an agent".
    pub title: &'static str,
    /// Its keys, in the order in which people write them.
    pub keys: &'static [Key],
    /// Words of earlier drafts and neighbouring products, with the key that means the same here.
    pub renamed: &'static [(&'static str, &'static str)],
    /// Further keys: the pattern of their names, and their values.
    pub rest: Option<(&'static str, &'static Form)>,
}

/// One key of a shape.
#[derive(Debug)]
pub(crate) struct Key {
    pub name: &'static str,
    pub status: Status,
    pub form: Form,
    pub help: &'static str,
}

/// Whether a key must, may or cannot yet be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Enforced, and cannot be left out.
    Required,
    /// Enforced.
    Optional,
    /// Part of the schema; nothing enforces it, so stating it is an error.
    Later,
    /// The same, and its map means nothing without it.
    LaterRequired,
}

impl Status {
    /// Whether anything enforces the key.
    pub(crate) const fn is_enforced(self) -> bool {
        matches!(self, Status::Required | Status::Optional)
    }
}

/// What a value looks like.
#[derive(Debug)]
pub(crate) enum Form {
    /// Text that matches a pattern (ECMA 262; empty: any text that is not empty).
    Text(&'static str),
    /// A whole number between two bounds.
    Integer(i64, i64),
    /// `true` or `false`.
    Boolean,
    /// Text, a whole number, `true` or `false`.
    Scalar,
    /// One of these words.
    Words(&'static [&'static str]),
    /// A list.
    List(&'static Form),
    /// A map from names (of a pattern) to values.
    Map(&'static str, &'static Form),
    /// A map with fixed keys.
    Object(&'static Shape),
    /// Any map of JSON values.
    Json,
    /// One of several forms.
    OneOf(&'static [Form]),
    /// A form that nothing enforces yet.
    Later(&'static Form),
}
