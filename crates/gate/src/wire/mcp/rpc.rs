//! JSON-RPC at this door: one message in, one response out.

use super::{Body, era::Era, full};
use crate::{json::object, limits};
use ::http::{HeaderValue, Response, StatusCode, header};
use canonical::{Object, Reason, Value};
use model::Code;

/// JSON-RPC 2.0 section 5.1, and what MCP adds.
pub(super) const PARSE_ERROR: i64 = -32700;
pub(super) const INVALID_REQUEST: i64 = -32600;
pub(super) const METHOD_NOT_FOUND: i64 = -32601;
pub(super) const INVALID_PARAMS: i64 = -32602;
/// What revisions before 2026-07-28 say of a resource that is not there.
pub(super) const RESOURCE_NOT_FOUND: i64 = -32002;
pub(super) const HEADER_MISMATCH: i64 = -32020;
const CAPABILITY_MISSING: i64 = -32021;
pub(super) const VERSION_UNSUPPORTED: i64 = -32022;

/// A message of a client.
#[derive(Debug)]
pub(in crate::wire) struct Message {
    pub(super) kind: Kind,
    pub(in crate::wire) method: String,
    pub(super) params: Value,
}

/// Whether an answer is expected.
#[derive(Debug)]
pub(super) enum Kind {
    /// With the id that the answer repeats.
    Request(Value),
    Notification,
    /// An answer to what an upstream asked, by the handle of the question.
    Response(String, Result<Value, Value>),
}

impl Message {
    /// A member of `params._meta`.
    pub(super) fn meta(&self, name: &str) -> Option<&Value> {
        self.params.get("_meta").and_then(|meta| meta.get(name))
    }

    /// A member of `params` that is text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.params.get(name).and_then(Value::as_str)
    }
}

/// A message that breaks the protocol, and the answer that says so.
#[derive(Debug)]
pub(in crate::wire) struct Wrong {
    status: StatusCode,
    code: i64,
    message: String,
    data: Option<Value>,
    id: Option<Value>,
}

impl Wrong {
    pub(super) fn new(status: StatusCode, code: i64, message: impl Into<String>) -> Wrong {
        Wrong { status, code, message: message.into(), data: None, id: None }
    }

    pub(super) fn with(self, data: Value) -> Wrong {
        Wrong { data: Some(data), ..self }
    }

    /// Repeats the id of the message that is answered.
    pub(super) fn about(self, message: &Message) -> Wrong {
        match &message.kind {
            Kind::Request(id) => Wrong { id: Some(id.clone()), ..self },
            Kind::Notification | Kind::Response(..) => self,
        }
    }

    pub(super) fn to(self, id: Value) -> Wrong {
        Wrong { id: Some(id), ..self }
    }

    pub(super) fn response(self) -> Response<Body> {
        let code = Value::integer(self.code).unwrap_or(Value::Integer(INVALID_REQUEST));
        let mut error = vec![("code", code), ("message", Value::from(self.message))];
        error.extend(self.data.map(|data| ("data", data)));
        answer(self.status, &error_message(self.id.as_ref(), object(error)))
    }
}

/// Reads the one message of a body.
pub(in crate::wire) fn read(bytes: &[u8]) -> Result<Message, (Wrong, Code)> {
    let invalid = |what: &str| {
        let wrong = Wrong::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, what);
        (wrong, Code::ProtocolInvalid)
    };
    let value = canonical::parse(bytes, &limits::MCP_FRAME).map_err(|error| unreadable(&error))?;
    let mut message = match value {
        Value::Object(message) => message,
        Value::Array(_) => return Err(invalid("batches are not accepted: send one message")),
        _ => return Err(invalid("a message is a JSON object")),
    };
    // A fault for the fuzzer to find: any version will do.
    let any_version = cfg!(feature = "canary") && message.contains("jsonrpc");
    if !any_version && message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(invalid("`jsonrpc` must be \"2.0\""));
    }
    let Some(Value::String(method)) = message.remove("method") else {
        return response(message).ok_or_else(|| {
            invalid("a message is a request or a notification: `method` is missing")
        });
    };
    let kind = match message.remove("id") {
        None => Kind::Notification,
        Some(id @ Value::Integer(_)) => Kind::Request(id),
        Some(Value::String(id)) if id.len() <= limits::MCP_ID => Kind::Request(Value::String(id)),
        Some(_) => return Err(invalid("`id` must be a whole number or a short text")),
    };
    let params = match message.remove("params") {
        None => Value::Object(Object::new()),
        Some(params @ Value::Object(_)) => params,
        Some(_) => return Err(invalid("`params` must be an object")),
    };
    Ok(Message { kind, method, params })
}

/// An answer to a question that was asked under one of our handles.
fn response(mut message: Object) -> Option<Message> {
    let Some(Value::String(handle)) = message.remove("id") else { return None };
    let reply = match (message.remove("result"), message.remove("error")) {
        (Some(result @ Value::Object(_)), None) => Ok(result),
        (None, Some(error @ Value::Object(_))) => Err(error),
        _ => return None,
    };
    let params = Value::Object(Object::new());
    Some(Message { kind: Kind::Response(handle, reply), method: String::new(), params })
}

fn unreadable(error: &canonical::ParseError) -> (Wrong, Code) {
    let (status, rpc, code) = match error.reason() {
        Reason::TooLarge { .. } | Reason::TooManyValues { .. } | Reason::TooDeep { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, INVALID_REQUEST, Code::BodyTooLarge)
        }
        Reason::Syntax(_) | Reason::TrailingData | Reason::NotUtf8 => {
            (StatusCode::BAD_REQUEST, PARSE_ERROR, Code::BodyInvalid)
        }
        _ => (StatusCode::BAD_REQUEST, INVALID_REQUEST, Code::BodyInvalid),
    };
    let what = format!("the body is not acceptable JSON: {error}");
    (Wrong::new(status, rpc, what).with(object([("code", error.code().into())])), code)
}

/// A method that this door does not have. In a legacy session the status 404 would end the session.
pub(super) fn unknown_method(era: Era, id: Value, method: &str) -> Wrong {
    let status = match era {
        Era::Modern => StatusCode::NOT_FOUND,
        Era::Legacy => StatusCode::OK,
    };
    let method: String = method.chars().take(limits::UNKNOWN_NAME).collect();
    Wrong::new(status, METHOD_NOT_FOUND, format!("method not found: {method}")).to(id)
}

/// A request about a task by a client that does not say that it knows tasks.
pub(super) fn undeclared_tasks() -> Wrong {
    let tasks = object([("io.modelcontextprotocol/tasks", Value::Object(Object::new()))]);
    let needed = object([("requiredCapabilities", object([("extensions", tasks)]))]);
    let what = "declare the extension `io.modelcontextprotocol/tasks` in this request";
    Wrong::new(StatusCode::BAD_REQUEST, CAPABILITY_MISSING, what).with(needed)
}

/// The response that carries a result, in the form of the client's revision.
pub(super) fn result(era: Era, id: &Value, result: Value) -> Response<Body> {
    answer(StatusCode::OK, &result_message(era, id, result))
}

/// A result message; the modern revision says that it is complete.
pub(super) fn result_message(era: Era, id: &Value, result: Value) -> Value {
    let result = match (era, result) {
        (Era::Modern, Value::Object(mut members)) => {
            // A result that names its own type keeps it.
            let _named = members.insert("resultType", "complete").is_err();
            Value::Object(members)
        }
        (Era::Modern | Era::Legacy, result) => result,
    };
    object([("id", id.clone()), ("jsonrpc", "2.0".into()), ("result", result)])
}

/// An error message; without an id if the request's could not be read.
pub(super) fn error_message(id: Option<&Value>, error: Value) -> Value {
    let mut members = vec![("error", error), ("jsonrpc", "2.0".into())];
    members.extend(id.map(|id| ("id", id.clone())));
    object(members)
}

/// A JSON response of this door.
pub(super) fn answer(status: StatusCode, message: &Value) -> Response<Body> {
    let mut response = Response::new(full(message.to_bytes()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
