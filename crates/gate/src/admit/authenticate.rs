//! Turns a presented credential into an [`Actor`], or refuses a stranger.

use crate::{ActionRequest, Edge, Gate, Refusal, World, admit, mediate::Credential};
use aws_lc_rs::digest::{SHA256, digest};
use identity::{Actor, Presented, Verified};
use model::{
    Code, Digest, TraceId, UpstreamName,
    record::{Condition, KeyScope, Parts, RecordKind, Recordable},
};
use std::sync::Arc;

/// Verifies token and proof for the door that the request came through.
pub fn authenticate(gate: &Gate, world: &World, request: &ActionRequest) -> Result<Actor, Refusal> {
    let who = verify(gate, world, request.credential.as_ref(), request.edge, &request.upstream);
    who.map_err(|(code, detail)| {
        let refusal = Refusal::new(code, request.trace);
        gate.stranger(&refusal, request.edge, &request.upstream);
        match detail {
            Some(detail) => refusal.with(detail),
            None => refusal,
        }
    })
}

/// Authenticates a request that is no action (a list, a session, a notification). A proof that came with it is used up
/// durably, so that it cannot be shown again with an action.
pub async fn greet(
    gate: &Gate,
    credential: Option<&Credential>,
    edge: Edge,
    upstream: &UpstreamName,
    trace: TraceId,
) -> Result<Actor, Refusal> {
    let world = gate.world();
    let actor = verify(gate, &world, credential, edge, upstream).map_err(|(code, detail)| {
        let refusal = Refusal::new(code, trace);
        gate.stranger(&refusal, edge, upstream);
        match detail {
            Some(detail) => refusal.with(detail),
            None => refusal,
        }
    })?;
    admit::identify::standing(gate, &world, &actor, upstream)
        .map_err(|code| Refusal::new(code, trace))?;
    if let Some((what, until)) = actor.proof_use() {
        let record = Greeting { agent: actor.agent().to_string(), what, until };
        let written = gate.store.journal().append(record, gate.stamp());
        let pending = written.map_err(|failed| crate::mediate::refusal_of(&failed.error, trace))?;
        let durable =
            pending.await.map_err(|failed| crate::mediate::refusal_of(&failed.error, trace))?;
        drop(durable);
    }
    Ok(actor)
}

fn verify(
    gate: &Gate,
    world: &World,
    credential: Option<&Credential>,
    edge: Edge,
    upstream: &UpstreamName,
) -> Result<Actor, (Code, Option<String>)> {
    let credential = credential.ok_or((Code::CredentialMissing, None))?;
    let now = gate.clock.now();
    let told = |error: identity::CredentialError| (error.code(), Some(error.to_string()));
    let key = Digest(fixed(digest(&SHA256, credential.token.as_bytes()).as_ref()));
    let cached = gate.tokens.get(&key).filter(|verified| verified.expires() > now);
    let verified = match cached {
        Some(verified) => verified,
        None => {
            let fresh =
                Verified::verify(&credential.token, &world.keys, &gate.settings.issuer, now);
            let fresh = Arc::new(fresh.map_err(told)?);
            gate.tokens.insert(key, Arc::clone(&fresh));
            fresh
        }
    };
    let door = gate.door(edge, upstream);
    let presented = Presented {
        scheme: credential.scheme,
        token: &credential.token,
        proof: credential.proof.as_deref(),
        method: &credential.method,
        url: &credential.url,
        audience: &door,
    };
    verified.present(&presented, now).map_err(told)
}

fn fixed(bytes: &[u8]) -> [u8; 32] {
    <[u8; 32]>::try_from(bytes).unwrap_or_default()
}

/// An authenticated request that is no action.
struct Greeting {
    agent: String,
    what: Digest,
    until: model::Timestamp,
}

impl Recordable for Greeting {
    fn kind(&self) -> RecordKind {
        RecordKind::Presented
    }

    fn scope(&self) -> KeyScope {
        KeyScope::default()
    }

    fn parts(&self) -> Parts {
        let envelope = crate::json::object([("agent", self.agent.as_str().into())]);
        Parts { envelope: envelope.to_bytes(), ..Parts::default() }
    }

    fn conditions(&self) -> Vec<Condition> {
        vec![Condition::Unused { what: self.what, until: self.until }]
    }
}
