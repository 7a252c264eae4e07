//! The issuer's signing key and, in development, the agents' own keys.

use super::{App, Control, world};
use crate::limits;
use anyhow::Context as _;
use canonical::Value;
use gate::Clock;
use identity::{AgentKey, Algorithm, SigningKey};
use ledger::Entropy;
use model::{AgentName, Timestamp, record::StateChange};
use std::sync::Arc;
use store::Store;

/// The name under which the current token-signing key is kept.
const CURRENT: &str = "token-signing";

/// The name under which a development key of an agent is kept.
pub(crate) fn agent_key_name(agent: &AgentName) -> String {
    format!("agent/{agent}")
}

/// The key that signs new tokens; made, and its public half published, at the first start.
pub(super) async fn signing_key(
    store: &Store,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> anyhow::Result<SigningKey> {
    if let Some(document) = store.get_key(CURRENT)? {
        return Ok(SigningKey::from_pkcs8(Algorithm::EdDsa, &document)?);
    }
    let (key, change) = fresh(store, clock.now(), entropy)?;
    let mut seed = [0_u8; 32];
    entropy.fill(&mut seed);
    let record =
        Control { what: "key", reason: "first token-signing key".into(), changes: vec![change] };
    let pending = store.journal().append(record, ledger::Stamp { now: clock.now(), seed });
    let pending = pending.map_err(|failed| anyhow::anyhow!("{}", failed.error))?;
    let durable = pending.await.map_err(|failed| anyhow::anyhow!("{}", failed.error))?;
    drop(durable);
    Ok(key)
}

fn fresh(
    store: &Store,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> anyhow::Result<(SigningKey, StateChange)> {
    let mut random = [0_u8; 32];
    entropy.fill(&mut random);
    let key = SigningKey::from_random(Algorithm::EdDsa, &random)?;
    store.put_key(CURRENT, key.pkcs8())?;
    let change = row(&key, now, None)?;
    Ok((key, change))
}

fn row(
    key: &SigningKey,
    not_before: Timestamp,
    not_after: Option<Timestamp>,
) -> anyhow::Result<StateChange> {
    let jwk = canonical::parse(&key.public().jwk(), &canonical::Limits::ARGUMENTS)?;
    let mut members = vec![("jwk", jwk), ("not_before", Value::Integer(not_before.seconds()))];
    if let Some(not_after) = not_after {
        members.push(("not_after", Value::Integer(not_after.seconds())));
    }
    let value = Some(gate::json::object(members).to_bytes());
    Ok(StateChange { key: format!("{}{}", world::TOKEN_KEYS, key.kid()), value })
}

impl App {
    /// Takes a new signing key into use; the old one verifies until its last token has expired.
    pub(crate) async fn rotate_signing_key(&self) -> anyhow::Result<()> {
        let now = self.clock.now();
        let old = self.signing.load_full();
        let until = now.after(limits::SIGNING_KEY_OVERLAP);
        let (key, new_row) = fresh(&self.store, now, self.entropy.as_ref())?;
        let old_row = row(&old, Timestamp(0), Some(until))?;
        let reason = "token-signing key rotated".to_owned();
        self.control(Control { what: "key", reason, changes: vec![old_row, new_row] }).await?;
        self.signing.store(Arc::new(key));
        Ok(())
    }

    /// Rotates if the key in use is older than its term.
    pub(crate) async fn rotate_if_due(&self) -> anyhow::Result<bool> {
        let state = self.store.state();
        let kid = self.signing.load().kid().to_owned();
        let row = state
            .rows
            .get(&format!("{}{kid}", world::TOKEN_KEYS))
            .context("the signing key is not published")?;
        let row = canonical::parse(row, &canonical::Limits::ARGUMENTS)?;
        let since = row
            .get("not_before")
            .and_then(Value::as_i64)
            .map_or(Timestamp(0), Timestamp::from_seconds);
        let due = since.after(limits::SIGNING_KEY_TERM) <= self.clock.now();
        if due {
            self.rotate_signing_key().await?;
        }
        Ok(due)
    }

    /// In development: makes keys for the agents that declare none, and publishes their public halves.
    pub(crate) async fn ensure_agent_keys(&self) -> anyhow::Result<()> {
        let state = self.store.state();
        let declared = world::declared(&state)?;
        let mut changes = Vec::new();
        for (name, agent) in &declared.agents {
            let key = format!("{}{name}", world::AGENT_KEYS);
            if agent.credentials.keys.is_none() && !state.rows.contains_key(&key) {
                let mut random = [0_u8; 32];
                self.entropy.fill(&mut random);
                let made = AgentKey::from_random(Algorithm::EdDsa, &random)?;
                self.store.put_key(&agent_key_name(name), made.pkcs8())?;
                let jwk = canonical::parse(&made.public().jwk(), &canonical::Limits::ARGUMENTS)?;
                let set = gate::json::object([("keys", Value::Array(vec![jwk]))]);
                changes.push(StateChange { key, value: Some(set.to_bytes()) });
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        let reason = "development keys for agents that declare none".to_owned();
        self.control(Control { what: "key", reason, changes }).await
    }

    /// The development key of an agent, to sign assertions and proofs with.
    pub(crate) fn agent_key(&self, agent: &AgentName) -> anyhow::Result<AgentKey> {
        let document = self.store.get_key(&agent_key_name(agent))?;
        let document = document.with_context(|| {
            format!("Ambit holds no key of agent `{agent}`: it declares `keys:`, so only it can sign, or it is unknown")
        })?;
        Ok(AgentKey::from_pkcs8(Algorithm::EdDsa, &document)?)
    }
}
