//! A catalogued action with its arguments: checked, typed, canonical, digested.

use crate::catalog::{CatalogEntry, serde};
use crate::digest::{sha256, subject_digest};
use crate::slice::Slice;
use canonical::{Object, Value};
use model::declared::UpstreamKind;
use model::{ActionId, Digest};
use std::sync::Arc;

/// Evidence that an action exists for an agent and that these arguments fit its schema. The bytes
/// that are decided on are [`Call::bytes`], and they are what is forwarded.
///
/// ```compile_fail
/// fn twice(call: policy::Call) -> (policy::Call, policy::Call) {
///     (call.clone(), call)
/// }
/// ```
#[must_use]
#[derive(Debug)]
pub struct Call {
    slice: Arc<Slice>,
    arguments: Value,
    bytes: Vec<u8>,
    digest: Digest,
    pub(crate) opaque: Vec<String>,
    pub(crate) extra: Vec<String>,
}

/// Why arguments are refused. The text names the argument and what it must be; no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// Not an object.
    #[error("arguments must be an object, and they are {found}; send `{{}}` where there are none")]
    NotAnObject {
        /// What came.
        found: &'static str,
    },
    /// A name came in the query that the route does not state.
    #[error("the query parameter `{name}` is not one of this route's: leave it out")]
    Query {
        /// Which.
        name: String,
    },
    /// An argument does not fit the schema.
    #[error("argument `{pointer}` does not fit the input schema: {expected}")]
    Schema {
        /// Which, as an RFC 6901 pointer; empty for the arguments as a whole.
        pointer: String,
        /// What the schema says.
        expected: String,
    },
    /// An argument is not carried exactly by its type.
    #[error("argument `{pointer}` must be {expected}")]
    Type {
        /// Which, as an RFC 6901 pointer.
        pointer: String,
        /// What it must be.
        expected: &'static str,
    },
}

impl Slice {
    /// Checks and types arguments. An MCP action whose definition is not pinned has no schema:
    /// its calls can be evaluated, and [`crate::decide`] denies them.
    pub fn look_up(self: &Arc<Self>, arguments: Value) -> Result<Call, ArgumentError> {
        let Value::Object(object) = &arguments else {
            return Err(ArgumentError::NotAnObject { found: kind(&arguments) });
        };
        if let Some(check) = &self.entry.check {
            check_schema(check, &arguments)?;
        }
        if let Some(name) = self.entry.unstated(object) {
            return Err(ArgumentError::Query { name: name.to_owned() });
        }
        self.entry.arguments.check(object).map_err(|misfit| ArgumentError::Type {
            pointer: misfit.pointer,
            expected: misfit.expected,
        })?;
        let (opaque, extra) = self.entry.arguments.unread(object);
        let bytes = arguments.to_bytes();
        let digest = sha256(&bytes);
        Ok(Call { slice: Arc::clone(self), arguments, bytes, digest, opaque, extra })
    }
}

fn check_schema(check: &jsonschema::Validator, arguments: &Value) -> Result<(), ArgumentError> {
    let instance = serde(arguments);
    let Err(error) = check.validate(&instance) else { return Ok(()) };
    // The validator's own sentences repeat the value, which is personal or secret here.
    let expected = error.masked().to_string();
    Err(ArgumentError::Schema { pointer: error.instance_path().to_string(), expected })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Integer(_) | Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl Call {
    /// What decides it.
    #[must_use]
    pub fn slice(&self) -> &Arc<Slice> {
        &self.slice
    }

    /// The action.
    #[must_use]
    pub fn action(&self) -> &ActionId {
        &self.slice.entry.id
    }

    /// The catalog entry of the action.
    #[must_use]
    pub fn entry(&self) -> &CatalogEntry {
        &self.slice.entry
    }

    /// The arguments, an object.
    #[must_use]
    pub fn arguments(&self) -> &Value {
        &self.arguments
    }

    /// The arguments' RFC 8785 form.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of [`Call::bytes`].
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether the arguments were checked against a pinned definition (HTTP: against the route).
    #[must_use]
    pub fn is_checked(&self) -> bool {
        self.slice.entry.kind == UpstreamKind::Http || self.slice.entry.definition.is_some()
    }

    /// The arguments as an object.
    pub(crate) fn object(&self) -> &Object {
        static EMPTY: Object = Object::new();
        self.arguments.as_object().unwrap_or(&EMPTY)
    }

    /// The tenant that its arguments name, if the catalog says where.
    pub(crate) fn tenant(&self) -> Option<String> {
        let tenant = self.entry().action.resource.as_ref()?.tenant.as_deref()?;
        self.text(tenant)
    }

    /// Whether what is acted on is stopped: its upstream, action, effect or tenant, or everything.
    pub fn is_stopped(&self, is_revoked: impl Fn(&Digest) -> bool) -> bool {
        let tenant = || self.tenant().map(|tenant| subject_digest("tenant", &tenant));
        self.entry().subjects.iter().any(&is_revoked) || tenant().is_some_and(|it| is_revoked(&it))
    }

    /// The argument of this name, as text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        match self.object().get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Integer(number) => Some(number.to_string()),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => None,
        }
    }
}
