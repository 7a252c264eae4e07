//! Handles given to clients: sealed values that every node with the key opens and none stores (E15).

use crate::{Gate, limits};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use canonical::Value;
use model::{Duration, Timestamp};

/// What a handle is for: none opens as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A legacy session.
    Session,
    /// A place in a stream.
    Event,
    /// A question that an upstream asked.
    Question,
    /// An upstream's own state between rounds.
    State,
    /// A task that an upstream began.
    Task,
}

impl Purpose {
    const fn label(self) -> &'static str {
        match self {
            Purpose::Session => "ambit-mcp-session-v2",
            Purpose::Event => "ambit-mcp-event-v1",
            Purpose::Question => "ambit-mcp-question-v1",
            Purpose::State => "ambit-mcp-state-v1",
            Purpose::Task => "ambit-mcp-task-v1",
        }
    }

    const fn longest(self) -> usize {
        match self {
            Purpose::Session | Purpose::Event => limits::MCP_HANDLE,
            Purpose::Question => limits::MCP_QUESTION,
            Purpose::Task => limits::MCP_TASK,
            Purpose::State => limits::MCP_STATE,
        }
    }
}

impl Gate {
    /// A handle that opens for some time; `None` if what it holds is too long for one.
    pub(crate) fn seal(&self, purpose: Purpose, payload: &Value, life: Duration) -> Option<String> {
        let mut nonce = [0_u8; NONCE_LEN];
        self.entropy.fill(&mut nonce);
        let expires = self.clock.now().after(life);
        seal(&self.settings().handle_key, nonce, purpose, payload, expires)
    }

    /// What a handle holds; `None` if it is foreign, old or no handle at all.
    pub(crate) fn unseal(&self, purpose: Purpose, handle: &str) -> Option<Value> {
        unseal(&self.settings().handle_key, purpose, handle, self.clock.now())
    }
}

fn seal(
    key: &[u8; 32],
    nonce: [u8; NONCE_LEN],
    purpose: Purpose,
    payload: &Value,
    expires: Timestamp,
) -> Option<String> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
    let mut sealed = expires.0.to_be_bytes().to_vec();
    payload.write(&mut sealed);
    let unique = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(unique, Aad::from(purpose.label().as_bytes()), &mut sealed)
        .ok()?;
    let handle = URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat());
    (handle.len() <= purpose.longest()).then_some(handle)
}

fn unseal(key: &[u8; 32], purpose: Purpose, handle: &str, now: Timestamp) -> Option<Value> {
    if handle.len() > purpose.longest() {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(handle).ok()?;
    let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>()?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
    let mut sealed = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let label = Aad::from(purpose.label().as_bytes());
    let plain = key.open_in_place(nonce, label, &mut sealed).ok()?;
    let (expires, payload) = plain.split_first_chunk::<8>()?;
    if Timestamp(i64::from_be_bytes(*expires)) <= now {
        return None;
    }
    canonical::parse(payload, &canonical::Limits::FRAME).ok()
}

#[cfg(test)]
mod tests;
