//! Which revision a message is written in, and whether its headers say what its body says.

use super::{
    credential::single,
    rpc::{
        HEADER_MISMATCH, INVALID_PARAMS, INVALID_REQUEST, Kind, Message, VERSION_UNSUPPORTED, Wrong,
    },
};
use crate::json::object;
use ::http::{HeaderMap, StatusCode};
use base64::{Engine, engine::general_purpose::STANDARD};
use canonical::Value;

/// The revision without sessions.
pub(super) const MODERN: &str = "2026-07-28";
/// The revisions that begin with `initialize`, the preferred one first.
pub(super) const LEGACY: [&str; 2] = ["2025-11-25", "2025-06-18"];

/// Named by clients of the time before this header; they are in a legacy session all the same.
const EARLIER: &str = "2025-03-26";

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// The two families of revisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    /// Each request says its revision.
    Modern,
    /// A session does.
    Legacy,
}

/// The era of a message. `_meta` decides; `initialize` without it is legacy, whatever the headers say.
pub(super) fn of(message: &Message, headers: &HeaderMap) -> Result<Era, Wrong> {
    let bad = |code, what: &str| Err(Wrong::new(StatusCode::BAD_REQUEST, code, what));
    let header = single(headers, "mcp-protocol-version");
    let Some(version) = message.meta(VERSION) else {
        return match header {
            _ if message.method == "initialize" => Ok(Era::Legacy),
            Some(MODERN) if matches!(message.kind, Kind::Notification) => Ok(Era::Modern),
            Some(MODERN) => {
                bad(INVALID_PARAMS, "`_meta` must name `io.modelcontextprotocol/protocolVersion`")
            }
            Some(version) if LEGACY.contains(&version) || version == EARLIER => Ok(Era::Legacy),
            None if !headers.contains_key("mcp-protocol-version") => Ok(Era::Legacy),
            Some(_) | None => {
                bad(INVALID_REQUEST, "`MCP-Protocol-Version` names no revision spoken here")
            }
        };
    };
    let Some(version) = version.as_str() else {
        return bad(INVALID_PARAMS, "the revision in `_meta` must be text");
    };
    if header != Some(version) {
        return bad(
            HEADER_MISMATCH,
            "`MCP-Protocol-Version` must come once and equal the revision in `_meta`",
        );
    }
    let known =
        version == MODERN || (message.method == "server/discover" && LEGACY.contains(&version));
    if !known {
        return Err(unsupported(version));
    }
    if !matches!(capabilities(message), Some(Value::Object(_))) {
        return bad(
            INVALID_PARAMS,
            "`_meta` must hold `io.modelcontextprotocol/clientCapabilities`",
        );
    }
    mirrored(message, headers)?;
    Ok(Era::Modern)
}

/// What the client can be asked for, as it says in each request.
pub(super) fn capabilities(message: &Message) -> Option<&Value> {
    message.meta(CAPABILITIES)
}

fn unsupported(version: &str) -> Wrong {
    let supported = spoken().map(Value::from).collect::<Vec<_>>();
    let data = object([("requested", version.into()), ("supported", supported.into())]);
    Wrong::new(StatusCode::BAD_REQUEST, VERSION_UNSUPPORTED, "unsupported protocol version")
        .with(data)
}

/// All revisions that are spoken here, the preferred one first.
pub(super) fn spoken() -> impl Iterator<Item = &'static str> {
    std::iter::once(MODERN).chain(LEGACY)
}

/// `Mcp-Method` and `Mcp-Name` repeat what the body says; the body is what counts.
fn mirrored(message: &Message, headers: &HeaderMap) -> Result<(), Wrong> {
    let mismatch = |name: &str| {
        let what = format!("`{name}` must come once and equal the body's value");
        Err(Wrong::new(StatusCode::BAD_REQUEST, HEADER_MISMATCH, what))
    };
    if single(headers, "mcp-method") != Some(message.method.as_str()) {
        return mismatch("Mcp-Method");
    }
    let name = match message.method.as_str() {
        "tools/call" | "prompts/get" => message.text("name"),
        "resources/read" => message.text("uri"),
        "tasks/get" | "tasks/update" | "tasks/cancel" => message.text("taskId"),
        _ => return Ok(()),
    };
    let header = single(headers, "mcp-name").and_then(decode);
    if header.is_none() || header.as_deref() != name {
        return mismatch("Mcp-Name");
    }
    Ok(())
}

/// A header's value, taken out of the base64 form if it is in it.
pub(super) fn decode(value: &str) -> Option<String> {
    match value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}

#[cfg(test)]
mod tests;
