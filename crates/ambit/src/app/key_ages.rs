//! How old agents' keys are: counted from the first time that each was part of its agent's set, here.

use super::{App, Control, registry, world};
use crate::limits;
use canonical::Value;
use model::{AgentName, Duration, Timestamp, record::StateChange};
use std::collections::{BTreeMap, BTreeSet};
use store::State;

/// The prefix of the rows: `agent-key-age/AGENT`, first seen by thumbprint.
const AGES: &str = "agent-key-age/";

/// A key that is past 80 % of its agent's `max_age`.
pub(crate) struct Aging {
    agent: AgentName,
    thumbprint: String,
    /// From when on it is refused.
    ends: Timestamp,
}

impl Aging {
    /// Whether it is refused by now.
    pub(crate) fn is_refused(&self, now: Timestamp) -> bool {
        self.ends <= now
    }

    /// In a sentence.
    pub(crate) fn told(&self, now: Timestamp) -> String {
        let Aging { agent, thumbprint, ends } = self;
        if self.is_refused(now) {
            format!(
                "key `{thumbprint}` of agent `{agent}` is past its `max_age` since {ends}: it gets no token"
            )
        } else {
            format!(
                "key `{thumbprint}` of agent `{agent}` reaches its `max_age` at {ends}: then it gets no token"
            )
        }
    }
}

impl App {
    /// Notes new keys with the time, and lets go of those that are gone.
    pub(crate) async fn note_key_ages(&self) -> anyhow::Result<()> {
        let (state, now) = (self.store.state(), self.clock.now());
        let mut changes = Vec::new();
        let agents = with_keys(&state);
        for agent in &agents {
            // Those of its instances as well: each ages by itself.
            let Some(keys) = registry::keys_of(&state, agent) else { continue };
            let known = first_seen(&state, agent.as_str());
            let seen: BTreeMap<String, Timestamp> = keys
                .thumbprints()
                .map(|key| (key.to_owned(), known.get(key).copied().unwrap_or(now)))
                .collect();
            if seen != known {
                changes
                    .push(StateChange { key: format!("{AGES}{agent}"), value: Some(row(&seen)) });
            }
        }
        let gone = world::rows(&state, AGES)
            .filter(|(agent, _)| !agents.iter().any(|known| known.as_str() == *agent));
        changes.extend(
            gone.map(|(agent, _)| StateChange { key: format!("{AGES}{agent}"), value: None }),
        );
        if changes.is_empty() {
            return Ok(());
        }
        let reason = "agents' keys seen for the first time, or gone".to_owned();
        self.control(Control { what: "key", reason, changes }).await
    }

    /// The keys of an agent that are too old to be taken.
    pub(super) fn aged_keys(&self, agent: &AgentName, max: Option<Duration>) -> BTreeSet<String> {
        let Some(max) = max else { return BTreeSet::new() };
        let now = self.clock.now();
        let seen = first_seen(&self.store.state(), agent.as_str());
        seen.into_iter().filter(|(_, since)| since.after(max) <= now).map(|(key, _)| key).collect()
    }

    /// The keys that are announced: past 80 % of their agent's `max_age`.
    pub(crate) fn aging_keys(&self) -> Vec<Aging> {
        let (world, state, now) = (self.gate.world(), self.store.state(), self.clock.now());
        let mut all = Vec::new();
        for (name, agent) in &world.compiled.declared().agents {
            let Some(max) = agent.credentials.max_age else { continue };
            let announced = Duration(max.0.saturating_mul(limits::KEY_ANNOUNCED).div_euclid(100));
            let seen = first_seen(&state, name.as_str()).into_iter();
            let aging = seen.filter(|(_, since)| since.after(announced) <= now);
            all.extend(aging.map(|(thumbprint, since)| Aging {
                agent: name.clone(),
                thumbprint,
                ends: since.after(max),
            }));
        }
        all
    }

    /// Says once of each such key that it will be refused, and once that it is.
    pub(crate) fn announce_aging_keys(&self) {
        let now = self.clock.now();
        for key in self.aging_keys() {
            let what = format!("key {} {}", key.thumbprint, key.is_refused(now));
            if self.told.first(what) {
                tracing::warn!(agent = %key.agent, "{}", key.told(now));
            }
        }
    }
}

/// Agents that have a key, or an instance that does.
fn with_keys(state: &State) -> BTreeSet<AgentName> {
    let own = world::rows(state, world::AGENT_KEYS).map(|(agent, _)| agent);
    let instances = world::rows(state, registry::INSTANCES);
    let instances = instances.filter_map(|(rest, _)| rest.split_once('/').map(|(agent, _)| agent));
    own.chain(instances).filter_map(|agent| AgentName::new(agent).ok()).collect()
}

fn first_seen(state: &State, agent: &str) -> BTreeMap<String, Timestamp> {
    let row = state.rows.get(&format!("{AGES}{agent}"));
    let row = row.and_then(|row| canonical::parse(row, &canonical::Limits::ARGUMENTS).ok());
    let keys = row.as_ref().and_then(|row| row.get("keys")).and_then(Value::as_object);
    let members = keys.into_iter().flat_map(canonical::Object::iter);
    members
        .filter_map(|(key, since)| Some((key.to_owned(), Timestamp::from_seconds(since.as_i64()?))))
        .collect()
}

fn row(seen: &BTreeMap<String, Timestamp>) -> Vec<u8> {
    let keys = seen.iter().map(|(key, since)| (key.as_str(), Value::Integer(since.seconds())));
    gate::json::object([("keys", gate::json::object(keys)), ("v", Value::Integer(1))]).to_bytes()
}
