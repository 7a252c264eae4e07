//! JSON-RPC messages: the bytes that are sent, and what a received one means.

use super::{Asking, Conversation, MODERN, Method, transport::Dialect};
use crate::Fault;
use canonical::{Limits, Object, Value, Writer, WriterError};
use model::Code;

/// Ambit's name in `clientInfo`.
const NAME: &str = "ambit";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A request to be sent.
pub(super) struct Request<'a> {
    pub(super) id: i64,
    pub(super) method: &'static str,
    /// What `Mcp-Name` says.
    pub(super) name: Option<&'a str>,
    /// Canonical JSON of an object.
    pub(super) params: &'a [u8],
}

impl Request<'_> {
    pub(super) fn bytes(&self) -> Result<Vec<u8>, Fault> {
        written(|writer| {
            writer.begin_object().field_int("id", self.id).field_str("jsonrpc", "2.0");
            writer.field_str("method", self.method).field_raw("params", self.params).end();
        })
    }
}

/// A notification to be sent.
pub(super) fn notification(method: &str, params: Option<&[u8]>) -> Result<Vec<u8>, Fault> {
    written(|writer| {
        writer.begin_object().field_str("jsonrpc", "2.0").field_str("method", method);
        if let Some(params) = params {
            writer.field_raw("params", params);
        }
        writer.end();
    })
}

/// The answer to `ping`.
pub(super) fn pong(id: &Value) -> Result<Vec<u8>, Fault> {
    reply(id, &Ok(Value::Object(Object::new())))
}

/// The answer to what an upstream asked for and does not get.
pub(super) fn refused(id: &Value) -> Result<Vec<u8>, Fault> {
    written(|writer| {
        writer.begin_object().field_object("error").field_int("code", -32601);
        writer.field_str("message", "not offered through this gateway").end();
        writer.field_value("id", id).field_str("jsonrpc", "2.0").end();
    })
}

/// A response to a request of an upstream.
pub(super) fn reply(id: &Value, reply: &Reply) -> Result<Vec<u8>, Fault> {
    written(|writer| {
        writer.begin_object();
        if let Err(error) = reply {
            writer.field_value("error", error);
        }
        writer.field_value("id", id).field_str("jsonrpc", "2.0");
        if let Ok(result) = reply {
            writer.field_value("result", result);
        }
        writer.end();
    })
}

/// Parameters of a forwarded request. The progress token is the request's own id.
pub(super) fn params(
    dialect: &Dialect,
    asking: &Asking<'_>,
    conversation: &Conversation,
    id: i64,
) -> Result<Vec<u8>, Fault> {
    let token = asking.progress.is_some().then_some(id);
    let meta = meta(dialect, token, asking.traceparent, conversation)?;
    if asking.method != Method::CallTool {
        return members(asking, meta.as_deref());
    }
    written(|writer| {
        writer.begin_object();
        if let Some(meta) = &meta {
            writer.field_raw("_meta", meta);
        }
        writer.field_raw("arguments", asking.arguments);
        if let Some(inputs) = asking.inputs {
            writer.field_value("inputResponses", &inputs.responses);
        }
        writer.field_str("name", asking.name);
        if let Some(state) = asking.inputs.and_then(|inputs| inputs.state.as_deref()) {
            writer.field_str("requestState", state);
        }
        writer.end();
    })
}

/// Of a request whose arguments are its parameters themselves.
fn members(asking: &Asking<'_>, meta: Option<&[u8]>) -> Result<Vec<u8>, Fault> {
    let unfit = |what: String| Fault::ourselves(Code::ProtocolInvalid, what);
    let parse = |bytes: &[u8]| {
        canonical::parse(bytes, &Limits::FRAME).map_err(|error| unfit(error.to_string()))
    };
    let Value::Object(mut all) = parse(asking.arguments)? else {
        return Err(unfit("the arguments are no object".to_owned()));
    };
    let mut more = Vec::new();
    if let Some(meta) = meta {
        more.push(("_meta", parse(meta)?));
    }
    if let Some(inputs) = asking.inputs {
        more.push(("inputResponses", inputs.responses.clone()));
        more.extend(inputs.state.as_deref().map(|state| ("requestState", Value::from(state))));
    }
    for (name, value) in more {
        all.insert(name, value).map_err(|error| unfit(error.to_string()))?;
    }
    Ok(Value::Object(all).to_bytes())
}

/// Parameters of `subscriptions/listen`.
pub(super) fn listen_params(dialect: &Dialect, wanted: &Value) -> Result<Vec<u8>, Fault> {
    let meta = meta(dialect, None, None, &Conversation::default())?;
    written(|writer| {
        writer.begin_object();
        if let Some(meta) = &meta {
            writer.field_raw("_meta", meta);
        }
        writer.field_value("notifications", wanted).end();
    })
}

/// Parameters of `logging/setLevel`.
pub(super) fn level_params(level: &str) -> Result<Vec<u8>, Fault> {
    written(|writer| {
        writer.begin_object().field_str("level", level).end();
    })
}

/// Parameters of a request that has none of its own, or a cursor.
pub(super) fn plain_params(dialect: &Dialect, cursor: Option<&str>) -> Result<Vec<u8>, Fault> {
    let meta = meta(dialect, None, None, &Conversation::default())?;
    written(|writer| {
        writer.begin_object();
        if let Some(meta) = &meta {
            writer.field_raw("_meta", meta);
        }
        if let Some(cursor) = cursor {
            writer.field_str("cursor", cursor);
        }
        writer.end();
    })
}

/// Parameters of `initialize`.
pub(super) fn initialize_params(
    version: &str,
    conversation: &Conversation,
) -> Result<Vec<u8>, Fault> {
    written(|writer| {
        writer.begin_object().field_object("capabilities");
        conversation.capabilities.write(writer);
        writer.end();
        writer.field_object("clientInfo").field_str("name", NAME).field_str("version", VERSION);
        writer.end().field_str("protocolVersion", version).end();
    })
}

/// Parameters of `notifications/cancelled`.
pub(super) fn cancelled_params(id: i64) -> Result<Vec<u8>, Fault> {
    written(|writer| {
        writer.begin_object().field_str("reason", "the caller is gone");
        writer.field_int("requestId", id).end();
    })
}

fn meta(
    dialect: &Dialect,
    token: Option<i64>,
    traceparent: Option<&str>,
    conversation: &Conversation,
) -> Result<Option<Vec<u8>>, Fault> {
    let modern = matches!(dialect, Dialect::Modern);
    if !modern && token.is_none() && traceparent.is_none() {
        return Ok(None);
    }
    written(|writer| {
        writer.begin_object();
        if modern {
            writer.field_object("io.modelcontextprotocol/clientCapabilities");
            conversation.capabilities.write(writer);
            writer.end();
            writer.field_object("io.modelcontextprotocol/clientInfo");
            writer.field_str("name", NAME).field_str("version", VERSION).end();
            if let Some(level) = conversation.level {
                writer.field_str("io.modelcontextprotocol/logLevel", level.as_str());
            }
            writer.field_str("io.modelcontextprotocol/protocolVersion", MODERN);
        }
        if let Some(token) = token {
            writer.field_int("progressToken", token);
        }
        if let Some(traceparent) = traceparent {
            writer.field_str("traceparent", traceparent);
        }
        writer.end();
    })
    .map(Some)
}

fn written(write: impl FnOnce(&mut Writer<'_>)) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    write(&mut writer);
    writer.finish().map_err(|error: WriterError| {
        Fault::ourselves(Code::ProtocolInvalid, format!("a message cannot be written: {error}"))
    })?;
    Ok(bytes)
}

/// The body of a response: its `result`, or its `error` object.
pub(super) type Reply = Result<Value, Value>;

/// A message that came from an upstream.
#[derive(Debug)]
pub(super) enum Incoming {
    /// An answer to the request of this id; `None` where the upstream could not read an id.
    Response(Option<i64>, Reply),
    /// Something the upstream asks of us: id, method, parameters.
    Request(Value, String, Value),
    /// Something it tells us.
    Notification(String, Value),
}

/// Reads one message; anything else is the upstream's fault.
pub(super) fn read(bytes: &[u8]) -> Result<Incoming, Fault> {
    let invalid = |what: String| Fault::unknown(Code::UpstreamInvalid, what);
    let value = canonical::parse(bytes, &Limits::FRAME)
        .map_err(|error| invalid(format!("the answer is not acceptable JSON: {error}")))?;
    let Value::Object(mut message) = value else {
        return Err(invalid("the answer is not one JSON-RPC message".to_owned()));
    };
    if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(invalid("the answer is not JSON-RPC 2.0".to_owned()));
    }
    let id = message.remove("id").filter(|id| !id.is_null());
    let params = message.remove("params").unwrap_or(Value::Null);
    let parts = (message.remove("method"), message.remove("result"), message.remove("error"), id);
    match parts {
        (Some(Value::String(method)), None, None, Some(id)) => {
            Ok(Incoming::Request(id, method, params))
        }
        (Some(Value::String(method)), None, None, None) => {
            Ok(Incoming::Notification(method, params))
        }
        (None, Some(result @ Value::Object(_)), None, id) => {
            Ok(Incoming::Response(id.and_then(|id| id.as_i64()), Ok(result)))
        }
        (None, None, Some(error @ Value::Object(_)), id) => {
            Ok(Incoming::Response(id.and_then(|id| id.as_i64()), Err(error)))
        }
        _ => Err(invalid("the answer is neither request, response nor notification".to_owned())),
    }
}
