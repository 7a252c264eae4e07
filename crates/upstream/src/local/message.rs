//! What must be known of a JSON-RPC message to carry it: read leniently, since whoever gets it reads it strictly.

use crate::Fault;
use bytes::Bytes;
use model::Code;
use serde_json::Value;

/// A message on its way to a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// `initialize`, which a child hears once.
    Initialize(i64),
    /// `server/discover`, which an old server may leave unanswered.
    Discover(i64),
    /// Any other request.
    Request(i64),
    /// `notifications/initialized`, which a child hears once.
    Initialized,
    /// `notifications/cancelled` of a request.
    Cancelled(i64),
    /// Anything that is not answered.
    Told,
}

impl Sent {
    pub(super) fn read(body: &[u8]) -> Result<Sent, Fault> {
        let wrong = |what: &str| Fault::ourselves(Code::ProtocolInvalid, what);
        let message: Value =
            serde_json::from_slice(body).map_err(|_| wrong("a message is not JSON"))?;
        let method = message.get("method").and_then(Value::as_str);
        let id = message.get("id");
        Ok(match (method, id) {
            (Some(method), Some(id)) => {
                let id =
                    id.as_i64().ok_or_else(|| wrong("a request's id is not a whole number"))?;
                match method {
                    "initialize" => Sent::Initialize(id),
                    "server/discover" => Sent::Discover(id),
                    _ => Sent::Request(id),
                }
            }
            (Some("notifications/initialized"), None) => Sent::Initialized,
            (Some("notifications/cancelled"), None) => {
                match message.pointer("/params/requestId").and_then(Value::as_i64) {
                    Some(id) => Sent::Cancelled(id),
                    None => Sent::Told,
                }
            }
            (Some(_) | None, _) => Sent::Told,
        })
    }
}

/// A message that came from a child.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Received {
    /// The answer to a request.
    Answer(i64),
    /// An error of a request that the child could not read.
    Stray,
    /// A notification that belongs to a request.
    About(i64),
    /// A question of the child's.
    Question(Value, String),
    /// A notification that belongs to no request.
    News,
    /// Not a message.
    Nonsense,
}

impl Received {
    pub(super) fn read(line: &[u8]) -> Received {
        let Ok(message) = serde_json::from_slice::<Value>(line) else { return Received::Nonsense };
        let id = message.get("id").filter(|id| !id.is_null());
        match (message.get("method").and_then(Value::as_str), id) {
            (Some(method), Some(id)) => Received::Question(id.clone(), method.to_owned()),
            (Some(_), None) => {
                let of = [
                    "/params/progressToken",
                    "/params/_meta/io.modelcontextprotocol~1subscriptionId",
                    "/params/requestId",
                ];
                let about = of.iter().find_map(|place| message.pointer(place)?.as_i64());
                about.map_or(Received::News, Received::About)
            }
            (None, Some(id)) => id.as_i64().map_or(Received::Nonsense, Received::Answer),
            (None, None) if message.get("error").is_some() => Received::Stray,
            (None, None) => Received::Nonsense,
        }
    }
}

/// A message as one server-sent event. Line breaks between tokens would end its data early.
pub(super) fn event(line: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(line.len().saturating_add(8));
    out.extend_from_slice(b"data: ");
    out.extend(line.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
    out.extend_from_slice(b"\n\n");
    out.into()
}

/// What a child is told of a request that nobody waits for any more.
pub(super) fn cancelled(id: i64) -> Bytes {
    let params = serde_json::json!({ "reason": "the caller is gone", "requestId": id });
    line(&serde_json::json!({
        "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params
    }))
}

/// What a child is told that asks for something that nobody here offers.
pub(super) fn refused(id: &Value, method: &str) -> Bytes {
    if method == "ping" {
        return line(&serde_json::json!({ "id": id, "jsonrpc": "2.0", "result": {} }));
    }
    let error =
        serde_json::json!({ "code": -32601, "message": "not offered through this gateway" });
    line(&serde_json::json!({ "error": error, "id": id, "jsonrpc": "2.0" }))
}

/// The answer of a server that does not know a method.
pub(super) fn unknown_method(id: i64) -> Bytes {
    let error = serde_json::json!({ "code": -32601, "message": "method not found" });
    line(&serde_json::json!({ "error": error, "id": id, "jsonrpc": "2.0" }))
}

/// The answer that a child gave to one request, as the answer to another.
pub(super) fn answer_to(id: i64, answer: &Value) -> Bytes {
    let mut answer = answer.clone();
    if let Some(members) = answer.as_object_mut() {
        members.insert("id".to_owned(), id.into());
    }
    line(&answer)
}

fn line(value: &Value) -> Bytes {
    value.to_string().into_bytes().into()
}
