//! Turns a presented credential into an [`Actor`], or refuses a stranger.

use crate::{ActionRequest, Edge, Gate, Refusal, World, admit, mediate::Credential};
use identity::{Actor, Presented, ScopedKey, VerificationKeys, Verified};
use model::{
    Code, Digest, TraceId, UpstreamName,
    record::{Condition, KeyScope, Parts, RecordKind, Recordable},
};
use std::sync::Arc;

/// Verifies token and proof for the door that the request came through.
pub fn authenticate(gate: &Gate, world: &World, request: &ActionRequest) -> Result<Actor, Refusal> {
    let door = (!request.aggregate).then_some(&request.upstream);
    let who = verify(gate, world, request.credential.as_ref(), request.edge, door);
    who.map_err(|(code, detail)| {
        let refusal = Refusal::new(code, request.trace);
        unbelieved(gate, &refusal, request.edge, door);
        match detail {
            Some(detail) => refusal.with(detail),
            None => refusal,
        }
    })
}

/// Authenticates a request that is no action (a list, a session, a notification). A proof that came with it is used up
/// durably, so that it cannot be shown again with an action. `upstream` is none at the door of all upstreams.
pub async fn greet(
    gate: &Gate,
    credential: Option<&Credential>,
    edge: Edge,
    upstream: Option<&UpstreamName>,
    trace: TraceId,
) -> Result<Actor, Refusal> {
    let world = gate.world();
    let actor = verify(gate, &world, credential, edge, upstream).map_err(|(code, detail)| {
        let refusal = Refusal::new(code, trace);
        unbelieved(gate, &refusal, edge, upstream);
        match detail {
            Some(detail) => refusal.with(detail),
            None => refusal,
        }
    })?;
    // A token of an earlier version does nothing any more, but may see what the agent's next one could do: a client whose
    // list fails ends its run, and learns from its next call what to do.
    let refused = admit::identify::standing(gate, &world, &actor, upstream)
        .err()
        .filter(|code| *code != Code::VersionChanged);
    let proof = actor.proof_use();
    if refused.is_some() || proof.is_some() {
        let greeting = Greeting::new(&actor, upstream, trace, refused);
        let told = |error: &ledger::AppendError| crate::mediate::refusal_of(error, trace);
        let written = gate.store.journal().append(greeting, gate.stamp());
        let pending = written.map_err(|failed| told(&failed.error))?;
        drop(pending.await.map_err(|failed| told(&failed.error))?);
    }
    match refused {
        Some(code) => {
            gate.metrics.refused(code);
            Err(Refusal::new(code, trace))
        }
        None => Ok(actor),
    }
}

/// Counts who was not believed. Whoever is asked for a nonce has done nothing wrong yet, and is no sample of strangers.
fn unbelieved(gate: &Gate, refusal: &Refusal, edge: Edge, door: Option<&UpstreamName>) {
    if refusal.code == Code::NonceWanted {
        gate.count_stranger(refusal.code);
    } else {
        gate.stranger(refusal, edge, door);
    }
}

impl Gate {
    /// Authenticates an agent at an address of the gate's own that is no door. The proof that came with it is to be used
    /// up by the record of what is answered.
    pub fn recognise(&self, credential: Option<&Credential>, address: &str) -> Result<Actor, Code> {
        let world = self.world();
        let actor = verify_at(self, &world, credential, address).map_err(|(code, _)| code)?;
        admit::identify::standing(self, &world, &actor, None).map(|()| actor)
    }

    /// Whether a credential's token is one of ours and in time; its proof and its door are not looked at. Edges ask it
    /// before they read more of a body than a stranger may send, and before they keep a connection.
    pub(crate) fn knows(&self, credential: Option<&Credential>) -> bool {
        credential.is_some_and(|credential| believed(self, &self.world(), credential).is_ok())
    }
}

fn verify(
    gate: &Gate,
    world: &World,
    credential: Option<&Credential>,
    edge: Edge,
    upstream: Option<&UpstreamName>,
) -> Result<Actor, (Code, Option<String>)> {
    verify_at(gate, world, credential, &gate.door(edge, upstream))
}

fn verify_at(
    gate: &Gate,
    world: &World,
    credential: Option<&Credential>,
    address: &str,
) -> Result<Actor, (Code, Option<String>)> {
    let credential = credential.ok_or((Code::CredentialMissing, None))?;
    if ScopedKey::is_like(credential.token()) {
        return Err((Code::KeyAtDoor, None));
    }
    let told = |error: identity::CredentialError| (error.code(), Some(error.to_string()));
    let verified = believed(gate, world, credential).map_err(told)?;
    let presented = Presented {
        scheme: credential.scheme,
        token: credential.token(),
        proof: credential.proof.as_deref(),
        certificate: credential.certificate(),
        peer: credential.peer(),
        method: &credential.method,
        url: &credential.url,
        audience: address,
        nonces: gate.nonces(),
    };
    verified.present(&presented, gate.clock.now()).map_err(told)
}

/// A token that was verified, now or before; only verified ones are kept.
fn believed(
    gate: &Gate,
    world: &World,
    credential: &Credential,
) -> Result<Arc<Verified>, identity::CredentialError> {
    let now = gate.clock.now();
    let (token, digest) = (credential.token(), credential.digest());
    let stands = |believed: &Believed| {
        believed.token.expires() > now && Arc::ptr_eq(&believed.keys, &world.keys)
    };
    if let Some(believed) = gate.tokens.get(digest).filter(stands) {
        return Ok(believed.token);
    }
    let fresh = Arc::new(Verified::verify(token, &world.keys, &gate.settings.issuer, now)?);
    let believed = Believed { keys: Arc::clone(&world.keys), token: Arc::clone(&fresh) };
    gate.tokens.insert(*digest, believed);
    Ok(fresh)
}

/// A verified token, with the set of keys that it was verified under.
#[derive(Clone)]
pub(crate) struct Believed {
    keys: Arc<VerificationKeys>,
    token: Arc<Verified>,
}

impl Believed {
    /// Whether it works for whoever holds it, at this time.
    pub(crate) fn is_bearer(&self, now: model::Timestamp) -> bool {
        self.token.bound_to().is_none() && self.token.expires() > now
    }
}

/// An authenticated request that is no action, taken or refused.
struct Greeting {
    parts: Parts,
    human: String,
    refused: bool,
    proof: Option<(Digest, model::Timestamp)>,
}

impl Greeting {
    fn new(
        actor: &Actor,
        upstream: Option<&UpstreamName>,
        trace: TraceId,
        refused: Option<Code>,
    ) -> Greeting {
        let mut envelope = vec![
            (
                "action",
                canonical::Value::String(format!(
                    "{}.(none)",
                    upstream.map_or("*", |u| u.as_str())
                )),
            ),
            ("agent", actor.agent().as_str().into()),
            ("decision", if refused.is_some() { "deny".into() } else { "allow".into() }),
            ("trace", trace.to_string().as_str().into()),
            ("v", canonical::Value::Integer(1)),
            ("version", actor.version().to_string().as_str().into()),
        ];
        if let Some(code) = refused {
            envelope.push(("code", code.slug().into()));
            if code.is_alarm() {
                envelope.push(("alarm", canonical::Value::Bool(true)));
            }
        }
        let envelope = crate::json::object(envelope).to_bytes();
        Greeting {
            parts: Parts { envelope, ..Parts::default() },
            human: actor.user().map(ToString::to_string).unwrap_or_default(),
            refused: refused.is_some(),
            proof: actor.proof_use(),
        }
    }
}

impl Recordable for Greeting {
    fn kind(&self) -> RecordKind {
        if self.refused { RecordKind::Refused } else { RecordKind::Presented }
    }

    fn scope(&self) -> KeyScope {
        KeyScope { tenant: String::new(), human: self.human.clone() }
    }

    fn parts(&self) -> Parts {
        self.parts.clone()
    }

    fn conditions(&self) -> Vec<Condition> {
        let proof = self.proof.map(|(what, until)| Condition::Unused { what, until });
        proof.into_iter().collect()
    }
}
