//! Legacy sessions as sealed handles: any node that holds the key opens one, and none stores any (E15).

use super::Body;
use crate::{Gate, limits};
use ::http::{HeaderValue, Response};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{AgentName, Name, Timestamp, UpstreamName};

/// The header that carries a handle.
pub(super) const HEADER: &str = "mcp-session-id";

/// Gives the client of an `initialize` its session.
pub(super) fn attach(
    gate: &Gate,
    upstream: &UpstreamName,
    agent: &AgentName,
    mut response: Response<Body>,
) -> Response<Body> {
    let mut nonce = [0_u8; NONCE_LEN];
    gate.entropy.fill(&mut nonce);
    let expires = gate.clock.now().after(limits::MCP_SESSION);
    let handle = seal(&gate.settings().handle_key, nonce, upstream, agent, expires);
    if let Some(handle) = handle.and_then(|handle| HeaderValue::from_str(&handle).ok()) {
        response.headers_mut().insert(HEADER, handle);
    }
    response
}

/// The agent that a handle was given to at this upstream's door; `None` if it is foreign, old or no handle at all.
pub(super) fn open(gate: &Gate, upstream: &UpstreamName, handle: &str) -> Option<AgentName> {
    unseal(&gate.settings().handle_key, upstream, handle, gate.clock.now())
}

/// The agent that a token says it is for. Not believed: it is compared with a session's owner before the same token is
/// verified, so that a session of another agent is answered as unknown.
pub(super) fn claimed_agent(token: &str) -> Option<AgentName> {
    let payload = token.split('.').nth(1)?;
    let bytes = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims = canonical::parse(&bytes, &canonical::Limits::ARGUMENTS).ok()?;
    Name::new(claims.get("agent")?.as_str()?).ok()
}

fn seal(
    key: &[u8; 32],
    nonce: [u8; NONCE_LEN],
    upstream: &UpstreamName,
    agent: &AgentName,
    expires: Timestamp,
) -> Option<String> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
    let mut sealed = expires.0.to_be_bytes().to_vec();
    sealed.extend_from_slice(agent.as_str().as_bytes());
    let unique = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(unique, purpose(upstream), &mut sealed).ok()?;
    Some(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat()))
}

fn unseal(
    key: &[u8; 32],
    upstream: &UpstreamName,
    handle: &str,
    now: Timestamp,
) -> Option<AgentName> {
    if handle.len() > limits::MCP_HANDLE {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(handle).ok()?;
    let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>()?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
    let mut sealed = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let plain = key.open_in_place(nonce, purpose(upstream), &mut sealed).ok()?;
    let (expires, agent) = plain.split_first_chunk::<8>()?;
    if Timestamp(i64::from_be_bytes(*expires)) <= now {
        return None;
    }
    Name::new(std::str::from_utf8(agent).ok()?).ok()
}

/// What a handle is for: no other sealed value of the same key opens as one.
fn purpose(upstream: &UpstreamName) -> Aad<Vec<u8>> {
    Aad::from(format!("ambit-mcp-session-v1\0{upstream}").into_bytes())
}

#[cfg(test)]
mod tests;
