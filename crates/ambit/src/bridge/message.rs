//! One JSON-RPC message of a client, and the headers that it travels with.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
pub(super) const VERSION_HEADER: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// A message with its bytes as they came.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) bytes: Bytes,
    pub(super) value: Value,
}

impl Message {
    /// Reads one; anything but one JSON object is `None`.
    pub(super) fn read(bytes: Bytes) -> Option<Message> {
        let value: Value = serde_json::from_slice(&bytes).ok()?;
        value.is_object().then_some(Message { bytes, value })
    }

    pub(super) fn method(&self) -> Option<&str> {
        self.value.get("method").and_then(Value::as_str)
    }

    /// The id of a request; notifications and responses have none.
    pub(super) fn request(&self) -> Option<&Value> {
        self.value.get("id").filter(|id| !id.is_null() && self.method().is_some())
    }

    /// Which tool a call is for.
    pub(super) fn tool(&self) -> Option<&str> {
        (self.method() == Some("tools/call"))
            .then(|| self.value.pointer("/params/name").and_then(Value::as_str).unwrap_or("?"))
    }

    /// The revision that the message itself names.
    pub(super) fn version(&self) -> Option<&str> {
        self.value.get("params")?.get("_meta")?.get(VERSION)?.as_str()
    }

    /// Whether it belongs to a session.
    pub(super) fn is_legacy(&self) -> bool {
        self.version().is_none() && self.method() != Some("server/discover")
    }

    /// The request that a cancellation is about.
    pub(super) fn cancels(&self) -> Option<&Value> {
        (self.method() == Some("notifications/cancelled"))
            .then(|| self.value.pointer("/params/requestId"))
            .flatten()
    }

    /// The headers that repeat what the message says.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let (Some(version), Some(method)) = (self.version(), self.method()) else { return headers };
        let mut put = |name: &'static str, value: HeaderValue| {
            headers.insert(HeaderName::from_static(name), value);
        };
        if let Ok(version) = HeaderValue::from_str(version) {
            put("mcp-protocol-version", version);
        }
        if let Ok(method) = HeaderValue::from_str(method) {
            put("mcp-method", method);
        }
        let named = match method {
            "tools/call" | "prompts/get" => self.value.pointer("/params/name"),
            "resources/read" => self.value.pointer("/params/uri"),
            _ => None,
        };
        if let Some(name) = named.and_then(Value::as_str).and_then(mirrored) {
            put("mcp-name", name);
        }
        headers
    }
}

/// A value as a header carries it: as it is where it may, else in base64.
fn mirrored(text: &str) -> Option<HeaderValue> {
    let plain = !text.is_empty()
        && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        && text.trim() == text
        && !text.starts_with("=?base64?");
    if plain {
        return HeaderValue::from_str(text).ok();
    }
    HeaderValue::from_str(&format!("=?base64?{}?=", STANDARD.encode(text))).ok()
}
