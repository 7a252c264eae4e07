//! What the token service may know of agents, tasks and keys.

use super::{App, registry};
use canonical::Value;
use gate::Edge;
use identity::{NonceKey, ScopedKey, SigningKey, SigningRequest, VerificationKeys};
use issuer::{
    Certified, Directory, Enrolment, ForeignKeysSoon, IssueError, RegisteredAgent,
    RegisteredClient, TaskGrant,
};
use model::{
    ActionId, AgentName, Code, Digest, Name, RiskTier, SpiffeId, TaskId, Timestamp, UpstreamName,
    declared::{Agent, UpstreamKind},
    record::StateChange,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use store::State;
use upstream::Need;

impl Directory for App {
    fn agent(&self, name: &AgentName) -> Option<Arc<RegisteredAgent>> {
        let world = self.gate.world();
        let entry = world.compiled.agent(name)?;
        let keys = registry::keys_of(&self.store.state(), name)?;
        let declared = world.compiled.declared();
        let boundary = declared.boundaries.get(&entry.declared.boundary)?;
        let all = declared.upstreams.keys();
        let observed = entry.observes(self.clock.now());
        let inside = |upstream: &&UpstreamName| observed || boundary.upstreams.contains(*upstream);
        let doors = all.filter(inside).filter_map(|upstream| {
            let found = declared.upstreams.get(upstream)?;
            if world.registry.refused_at(name, found.environment.as_ref()).is_some() {
                return None;
            }
            let edge = match found.kind {
                UpstreamKind::Mcp => Edge::Mcp,
                UpstreamKind::Http => Edge::Http,
            };
            Some((self.gate.door(edge, Some(upstream)), Some(upstream.clone())))
        });
        let all = (self.gate.door(Edge::Mcp, None), None);
        let sub_tasks = (format!("{}{}", self.settings.base_url, crate::api::SUBTASKS), None);
        Some(Arc::new(RegisteredAgent {
            version: entry.version,
            owner: entry.declared.owner.clone(),
            keys: Arc::new(keys),
            proof: entry.declared.credentials.proof,
            workloads: self.workloads(name, &entry.declared).collect(),
            federated: entry.declared.credentials.federated.clone(),
            networks: entry.declared.credentials.networks.clone(),
            pinned_since: pinned_since(&self.store.state(), name),
            ttl: entry.declared.credentials.ttl,
            aged: self.aged_keys(name, entry.declared.credentials.max_age),
            may_act: entry.declared.may_act.clone(),
            doors: doors.chain([all, sub_tasks]).collect::<BTreeMap<_, _>>(),
        }))
    }

    fn refused(&self, agent: &AgentName, version: &Digest) -> Option<Code> {
        let world = self.gate.world();
        let waits = || world.registry.waits(agent, version).then_some(Code::VersionUnreviewed);
        let refused = world.registry.refused(agent, self.clock.now()).or_else(waits)?;
        if refused.is_alarm() {
            let environment = world.registry.environment().map_or("-", model::Name::as_str);
            tracing::error!(%agent, environment, code = refused.slug(), "ALARM: a credential of another environment asked for a token");
        }
        Some(refused)
    }

    fn enrolment(&self, agent: &AgentName, id: &str) -> Option<Enrolment> {
        Enrolment::from_bytes(self.store.state().rows.get(&Enrolment::row(agent, id))?)
    }

    fn scoped_key(&self, agent: &AgentName, id: &str) -> Option<ScopedKey> {
        ScopedKey::from_bytes(self.store.state().rows.get(&ScopedKey::row(agent, id))?)
    }

    fn is_instance(&self, agent: &AgentName, key: &str) -> bool {
        self.store.state().rows.contains_key(&Enrolment::instance_row(agent, key))
    }

    fn goes_on(&self, agent: &AgentName, version: &Digest) -> bool {
        self.gate.world().compiled.version(version) == Some(agent)
    }

    fn agent_of(&self, id: &SpiffeId) -> Option<AgentName> {
        let world = self.gate.world();
        let agents = &world.compiled.declared().agents;
        let is = |(name, agent): &(&AgentName, &Agent)| {
            self.workloads(name, agent).any(|workload| workload == *id)
        };
        agents.iter().find(is).map(|(name, _)| name.clone())
    }

    fn certify(
        &self,
        agent: &AgentName,
        request: &SigningRequest,
    ) -> Result<Certified, IssueError> {
        self.certify_now(agent, request)
    }

    fn foreign_keys<'a>(&'a self, issuer: &'a str, newer: bool) -> ForeignKeysSoon<'a> {
        let need = if newer { Need::Newer } else { Need::Fresh };
        Box::pin(async move {
            let keys = self.issuers.keys(issuer, need, || self.clock.now()).await;
            keys.map_err(|_| IssueError::IssuerAway)
        })
    }

    fn client(&self, name: &Name) -> Option<Arc<RegisteredClient>> {
        self.registered_client(name)
    }

    fn task(&self, id: TaskId) -> Option<TaskGrant> {
        let task = self.gate.task(id)?;
        let within = self.gate.line_of(task.parent);
        let (agent, user, expires) = (task.agent.clone(), task.user.clone(), task.expires);
        Some(TaskGrant { agent, user, expires, within })
    }

    fn stopped_calls_ended(&self) -> issuer::Soon<'_> {
        Box::pin(async move {
            let _told_in_the_log = crate::ops::calls_ended(self).await;
        })
    }

    fn actions(&self, agent: &AgentName, upstream: Option<&UpstreamName>) -> BTreeSet<ActionId> {
        let (world, now) = (self.gate.world(), self.clock.now());
        let mut all = BTreeSet::new();
        for (name, declared) in &world.compiled.declared().upstreams {
            let behind = match upstream {
                Some(upstream) => name == upstream,
                None => declared.kind == UpstreamKind::Mcp,
            };
            if behind {
                let visible = world.compiled.visible(agent, name, now);
                all.extend(visible.map(|entry| entry.id.clone()));
            }
        }
        all
    }

    fn is_high(&self, action: &ActionId) -> bool {
        let world = self.gate.world();
        // What is not in the catalog any more is reached by nobody.
        world.compiled.entry(action).is_none_or(|entry| match entry.action.risk {
            RiskTier::High | RiskTier::Prohibited => true,
            RiskTier::Low | RiskTier::Medium => false,
        })
    }

    fn is_revoked(&self, subject: &Digest) -> bool {
        self.gate.is_revoked(subject)
    }

    fn control_revision(&self) -> u64 {
        self.gate.world().revision
    }

    fn signing_key(&self) -> Arc<SigningKey> {
        self.signing.load_full()
    }

    fn verification_keys(&self) -> Arc<VerificationKeys> {
        Arc::clone(&self.gate.world().keys)
    }

    fn nonce_key(&self) -> &NonceKey {
        &self.gate.settings().nonce_key
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn stamp(&self) -> ledger::Stamp {
        self.gate.stamp()
    }

    fn random(&self) -> [u8; 10] {
        App::random(self)
    }

    fn other_key(&self, agent: &AgentName) {
        let code = Code::KeyPinned.slug();
        tracing::error!(%agent, code, "ALARM: an assertion of a foreign workload came with another key than its first");
    }

    fn refused_before_authentication(&self, code: Code, reason: &'static str) {
        tracing::debug!(%code, reason, "a token request was refused before its client was authenticated");
        self.gate.count_stranger(code);
    }
}

impl App {
    /// The workloads that an agent is. What is declared of Ambit's own trust domain counts for nothing: there the name
    /// decides.
    fn workloads(&self, name: &AgentName, agent: &Agent) -> impl Iterator<Item = SpiffeId> {
        let own = &self.settings.trust_domain;
        let declared = agent.credentials.spiffe_id.clone();
        std::iter::once(own.agent(name)).chain(declared.filter(|id| id.domain() != own))
    }
}

/// The row that says from when on the keys of an agent's foreign workloads are pinned anew.
fn pins_row(agent: &str) -> String {
    format!("federated-pins/{agent}")
}

/// Drops the keys that an agent's foreign workloads are pinned to: what is pinned from now on is pinned under another name.
pub(crate) fn drop_pins(agent: &str, revision: u64) -> StateChange {
    let revision = i64::try_from(revision).unwrap_or(i64::MAX);
    let row = [("revision", Value::Integer(revision)), ("v", Value::Integer(1))];
    StateChange { key: pins_row(agent), value: Some(gate::json::object(row).to_bytes()) }
}

fn pinned_since(state: &State, agent: &AgentName) -> u64 {
    let row = state.rows.get(&pins_row(agent.as_str()));
    let row = row.and_then(|row| canonical::parse(row, &canonical::Limits::ARGUMENTS).ok());
    let revision = row.as_ref().and_then(|row| row.get("revision")).and_then(Value::as_i64);
    revision.and_then(|revision| u64::try_from(revision).ok()).unwrap_or(0)
}
