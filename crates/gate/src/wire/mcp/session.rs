//! Legacy sessions as sealed handles: any node that holds the key opens one, and none stores any (E15).

use super::{Body, Door};
use crate::{Gate, json::object, limits, seal::Purpose};
use ::http::{HeaderValue, Response};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use canonical::Value;
use model::{AgentName, Name};
use upstream::mcp::Capabilities;

/// The header that carries a handle.
pub(super) const HEADER: &str = "mcp-session-id";

/// What a session's handle holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// The agent that it was given to.
    pub(super) agent: AgentName,
    /// What its client can be asked for.
    pub(super) capabilities: Capabilities,
    /// Its number: what is opened upstream for it belongs to it alone.
    pub(super) number: u128,
}

/// Gives the client of an `initialize` its session.
pub(super) fn attach(
    gate: &Gate,
    door: &Door,
    agent: &AgentName,
    capabilities: Capabilities,
    mut response: Response<Body>,
) -> Response<Body> {
    let number = gate.new_trace().0;
    let handle =
        gate.seal(Purpose::Session, &held(door, agent, capabilities, number), limits::MCP_SESSION);
    if let Some(handle) = handle.and_then(|handle| HeaderValue::from_str(&handle).ok()) {
        response.headers_mut().insert(HEADER, handle);
    }
    response
}

fn held(door: &Door, agent: &AgentName, capabilities: Capabilities, number: u128) -> Value {
    object([
        ("agent", agent.as_str().into()),
        ("capabilities", Value::Integer(i64::from(capabilities.bits()))),
        ("door", door.as_str().into()),
        ("number", format!("{number:032x}").into()),
    ])
}

/// The session of a handle at this door; `None` if it is foreign, old or no handle at all.
pub(super) fn open(gate: &Gate, door: &Door, handle: &str) -> Option<Session> {
    read(&gate.unseal(Purpose::Session, handle)?, door)
}

fn read(held: &Value, door: &Door) -> Option<Session> {
    let text = |name: &str| held.get(name).and_then(Value::as_str);
    let bits = held.get("capabilities").and_then(Value::as_i64)?;
    (text("door") == Some(door.as_str())).then_some(())?;
    Some(Session {
        agent: Name::new(text("agent")?).ok()?,
        capabilities: Capabilities::of_bits(u8::try_from(bits).ok()?),
        number: u128::from_str_radix(text("number")?, 16).ok()?,
    })
}

/// The agent that a token says it is for. Not believed: it is compared with a session's owner before the same token is
/// verified, so that a session of another agent is answered as unknown.
pub(super) fn claimed_agent(token: &str) -> Option<AgentName> {
    let payload = token.split('.').nth(1)?;
    let bytes = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims = canonical::parse(&bytes, &canonical::Limits::ARGUMENTS).ok()?;
    Name::new(claims.get("agent")?.as_str()?).ok()
}

#[cfg(test)]
mod tests;
