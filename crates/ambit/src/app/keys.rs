//! The issuer's signing key and, in development, the agents' own keys.

use super::{App, Control, Marked, world};
use crate::{limits, settings::Form};
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
/// The name under which the next one is kept, from its announcement on.
const NEXT: &str = "token-signing-next";
/// The prefix of the rows of revoked tokens.
const REVOKED_TOKENS: &str = "revoked/token/";

/// The name under which a development key of an agent is kept.
pub(crate) fn agent_key_name(agent: &AgentName) -> String {
    format!("agent/{agent}")
}

/// The key that signs new tokens; made, and its public half published, at the first start.
pub(super) async fn signing_key(
    store: &Store,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
    form: Form,
) -> anyhow::Result<SigningKey> {
    if let Some(document) = store.get_key(CURRENT)? {
        return Ok(SigningKey::from_pkcs8(Algorithm::EdDsa, &document)?);
    }
    let key = fresh(entropy)?;
    let changes = vec![row(&key, clock.now())?];
    let mut seed = [0_u8; 32];
    entropy.fill(&mut seed);
    let what = Control { what: "key", reason: "first token-signing key".into(), changes };
    let record = Marked { form, what };
    let pending = store.journal().append(record, ledger::Stamp { now: clock.now(), seed });
    let pending = pending.map_err(|failed| anyhow::anyhow!("{}", failed.error))?;
    let durable = pending.await.map_err(|failed| anyhow::anyhow!("{}", failed.error))?;
    drop(durable);
    // Published first: a key that was not kept signs nothing, one that was not published verifies nothing.
    store.put_key(CURRENT, key.pkcs8())?;
    Ok(key)
}

/// The name under which the key of clients' handles is kept: every node of this store opens them, also after a restart.
pub(super) const HANDLES: &str = "client-handles";
/// The name under which the key of the nonces of proofs is kept: every node takes every node's nonces.
pub(super) const NONCES: &str = "proof-nonces";

/// A key that all nodes of this store share; made by the first that needs it.
pub(super) fn shared_key(
    store: &Store,
    entropy: &dyn Entropy,
    name: &str,
) -> anyhow::Result<[u8; 32]> {
    if store.get_key(name)?.is_none() {
        let mut key = [0_u8; 32];
        entropy.fill(&mut key);
        store.put_key(name, &key)?;
    }
    let kept = store.get_key(name)?.with_context(|| format!("the key `{name}` was not kept"))?;
    let kept: &[u8] = &kept;
    kept.try_into().with_context(|| format!("the key `{name}` is not 32 bytes"))
}

fn fresh(entropy: &dyn Entropy) -> anyhow::Result<SigningKey> {
    let mut random = [0_u8; 32];
    entropy.fill(&mut random);
    Ok(SigningKey::from_random(Algorithm::EdDsa, &random)?)
}

fn row(key: &SigningKey, from: Timestamp) -> anyhow::Result<StateChange> {
    let jwk = canonical::parse(&key.public().jwk(), &canonical::Limits::ARGUMENTS)?;
    let members = [("jwk", jwk), ("not_before", Value::Integer(from.seconds()))];
    let value = Some(gate::json::object(members).to_bytes());
    Ok(StateChange { key: format!("{}{}", world::TOKEN_KEYS, key.kid()), value })
}

/// What the term of the key in use asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    /// Publish the next key, so that whoever caches the set has it before it signs.
    Announce,
    /// Sign with the key that was announced.
    TakeOver,
}

/// `since`: when the key in use began; `announced`: when the next one begins, if there is one.
fn due(since: Timestamp, announced: Option<Timestamp>, now: Timestamp) -> Due {
    match announced {
        Some(from) if from <= now => Due::TakeOver,
        Some(_) => Due::Nothing,
        None if since.after(limits::SIGNING_KEY_TERM) <= now.after(limits::SIGNING_KEY_LEAD) => {
            Due::Announce
        }
        None => Due::Nothing,
    }
}

/// What becomes of the keys that no longer sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Old {
    /// They verify until the last token that they signed has ended.
    Overlap,
    /// They verify nothing from now on: they are known to others.
    Withdraw,
}

impl App {
    /// When a published key begins to sign; `None` if it is not published.
    fn begins(&self, kid: &str) -> Option<Timestamp> {
        let state = self.store.state();
        let row = state.rows.get(&format!("{}{kid}", world::TOKEN_KEYS))?;
        let row = canonical::parse(row, &canonical::Limits::ARGUMENTS).ok()?;
        row.get("not_before").and_then(Value::as_i64).map(Timestamp::from_seconds)
    }

    /// The key that was announced and does not sign yet.
    fn announced(&self) -> anyhow::Result<Option<(SigningKey, Timestamp)>> {
        let Some(document) = self.store.get_key(NEXT)? else { return Ok(None) };
        let key = SigningKey::from_pkcs8(Algorithm::EdDsa, &document)?;
        if key.kid() == self.signing.load().kid() {
            return Ok(None);
        }
        Ok(self.begins(key.kid()).map(|from| (key, from)))
    }

    async fn announce(&self, from: Timestamp) -> anyhow::Result<()> {
        let key = fresh(self.entropy.as_ref())?;
        self.store.put_key(NEXT, key.pkcs8())?;
        let reason = format!("token-signing key `{}` announced", key.kid());
        let changes = vec![row(&key, from)?];
        self.control(Control { what: "key", reason, changes }).await
    }

    /// Signs with the announced key. It is kept and in use before the old one loses anything, so that a crash between
    /// the two leaves keys that verify too long, which the next look puts right.
    async fn take_over(&self, key: SigningKey, old: Old) -> anyhow::Result<()> {
        self.store.put_key(CURRENT, key.pkcs8())?;
        self.signing.store(Arc::new(key));
        self.retire(old).await
    }

    /// Ends keys that no longer sign, and drops those that have ended.
    async fn retire(&self, old: Old) -> anyhow::Result<()> {
        let now = self.clock.now();
        let until = Value::Integer(now.after(limits::SIGNING_KEY_OVERLAP).seconds());
        let current = self.signing.load_full();
        let next = self.announced()?.map(|(key, _)| key.kid().to_owned());
        let mut changes = Vec::new();
        let state = self.store.state();
        for (kid, bytes) in world::rows(&state, world::TOKEN_KEYS) {
            if kid == current.kid() || next.as_deref() == Some(kid) {
                continue;
            }
            let mut row = canonical::parse(bytes, &canonical::Limits::ARGUMENTS)?;
            let ends = row.get("not_after").and_then(Value::as_i64).map(Timestamp::from_seconds);
            let value = match (old, ends) {
                (Old::Withdraw, _) => None,
                (Old::Overlap, Some(ends)) if ends < now => None,
                (Old::Overlap, Some(_)) => continue,
                (Old::Overlap, None) => {
                    let Value::Object(members) = &mut row else { continue };
                    members.insert("not_after".to_owned(), until.clone())?;
                    Some(row.to_bytes())
                }
            };
            changes.push(StateChange { key: format!("{}{kid}", world::TOKEN_KEYS), value });
        }
        if changes.is_empty() {
            return Ok(());
        }
        let reason = match old {
            Old::Overlap => "old token-signing keys end".to_owned(),
            Old::Withdraw => "old token-signing keys withdrawn".to_owned(),
        };
        self.control(Control { what: "key", reason, changes }).await
    }

    /// Takes a new signing key into use at once: whoever has cached the key set learns it late.
    pub(crate) async fn rotate_now(&self, old: Old) -> anyhow::Result<()> {
        self.announce(self.clock.now()).await?;
        let (key, _) = self.announced()?.context("the announced key is not there")?;
        self.take_over(key, old).await
    }

    /// Announces, takes over and ends signing keys as their terms say.
    pub(crate) async fn rotate_if_due(&self) -> anyhow::Result<()> {
        let now = self.clock.now();
        let announced = self.announced()?;
        let from = announced.as_ref().map(|(_, from)| *from);
        let kid = self.signing.load().kid().to_owned();
        let due = match self.begins(&kid) {
            Some(since) => due(since, from, now),
            // Its key was withdrawn, and the process ended before the new one was in use.
            None if announced.is_some() => Due::TakeOver,
            None => return self.rotate_now(Old::Overlap).await,
        };
        match (due, announced) {
            (Due::TakeOver, Some((key, _))) => self.take_over(key, Old::Overlap).await,
            (Due::Announce, _) => self.announce(now.after(limits::SIGNING_KEY_LEAD)).await,
            (Due::TakeOver | Due::Nothing, _) => self.retire(Old::Overlap).await,
        }
    }

    /// Drops what is remembered of tokens that have ended by themselves: they are refused without it.
    pub(crate) async fn forget_ended_tokens(&self) -> anyhow::Result<()> {
        let state = self.store.state();
        let now = self.clock.now();
        let has_ended = |row: &[u8]| {
            let row = canonical::parse(row, &canonical::Limits::ARGUMENTS).ok();
            let until = row.as_ref().and_then(|row| row.get("until")).and_then(Value::as_i64);
            until.is_some_and(|until| {
                Timestamp::from_seconds(until).after(limits::REVOKED_KEPT) < now
            })
        };
        let ended = world::rows(&state, REVOKED_TOKENS).filter(|(_, row)| has_ended(row));
        let changes: Vec<StateChange> = ended
            .take(limits::ENDED_PER_LOOK)
            .map(|(id, _)| StateChange { key: format!("{REVOKED_TOKENS}{id}"), value: None })
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        let reason = format!("{} revoked tokens have ended", changes.len());
        self.control(Control { what: "expire", reason, changes }).await
    }

    /// In development: makes keys for the agents that declare none, and publishes their public halves.
    pub(crate) async fn ensure_agent_keys(&self) -> anyhow::Result<()> {
        let state = self.store.state();
        let declared = world::declared(&state)?;
        let mut changes = Vec::new();
        for (name, agent) in &declared.agents {
            let key = format!("{}{name}", world::AGENT_KEYS);
            let ended = super::registry::is_decommissioned(&state, name)?;
            if agent.credentials.keys.is_none() && !state.rows.contains_key(&key) && !ended {
                let mut random = [0_u8; 32];
                self.entropy.fill(&mut random);
                let made = AgentKey::from_random(Algorithm::EdDsa, &random)?;
                self.store.put_key(&agent_key_name(name), made.pkcs8())?;
                let jwk = canonical::parse(&made.public().jwk(), &canonical::Limits::ARGUMENTS)?;
                let set = gate::json::object([("keys", Value::Array(vec![jwk]))]);
                changes.push(StateChange { key, value: Some(set.to_bytes()) });
            }
        }
        changes.extend(self.make_client_keys(&state, &declared)?);
        if !changes.is_empty() {
            let reason = "development keys for agents and clients that declare none".to_owned();
            self.control(Control { what: "key", reason, changes }).await?;
        }
        self.note_key_ages().await
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_published_longer_than_the_set_is_cached_before_it_signs() {
        let begun = Timestamp::from_seconds(1_800_000_000);
        let at = |seconds: i64| begun.after(model::Duration::seconds(seconds));
        let term = limits::SIGNING_KEY_TERM.as_seconds();
        let lead = limits::SIGNING_KEY_LEAD.as_seconds();
        assert!(lead >= 2 * i64::from(issuer::limits::CACHE_SECONDS));
        let check = |now: i64, announced: Option<i64>, expected: Due| {
            assert_eq!(due(begun, announced.map(at), at(now)), expected, "{now} {announced:?}");
        };
        check(0, None, Due::Nothing);
        check(term - lead - 1, None, Due::Nothing);
        check(term - lead, None, Due::Announce);
        check(term - lead, Some(term), Due::Nothing);
        check(term - 1, Some(term), Due::Nothing);
        check(term, Some(term), Due::TakeOver);
        // Off for a month: announced late, and still announced before it signs.
        check(30 * term, None, Due::Announce);
        check(30 * term, Some(30 * term + lead), Due::Nothing);
    }
}
