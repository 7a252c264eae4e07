//! The registry in control state: who is registered, who is known to be alive, and whom that stops.
//!
//! What a registration and the time make of an agent is derived here, and written as rows (`stopped/…`) that the ledger's
//! conditions know, so that a stop by the registry is as linear with entries as one by a person.

use super::{
    App, Control,
    world::{self, Kept},
};
use canonical::Value;
use gate::{Registry, Standing, registry::PRODUCTION};
use identity::AgentKeys;
use model::{
    AgentName, Duration, Name, PartyName, Timestamp,
    declared::{Agent, Declared},
    lifecycle::{Lifecycle, Suspender},
    record::StateChange,
};
use policy::{
    AgentEntry, Compiled,
    registry::{Demand, Passed, Registration, Snapshot, Waiting, changes, demand, grows},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
};
use store::State;

use crate::limits;

/// The prefix of registrations: `registry/agent/NAME`.
const AGENTS: &str = "registry/agent/";
/// The prefix of confirmations that somebody is alive: `registry/alive/user:dana`.
const ALIVE: &str = "registry/alive/";
/// What the gate itself is: its environment, and how long a confirmation counts.
const GATE: &str = "registry/gate";
/// The prefix of what the registry stops: `stopped/CAUSE/KIND/NAME`.
pub(crate) const STOPPED: &str = "stopped/";

/// Whoever runs this process, as records name them.
pub(crate) fn operator() -> String {
    format!("uid {}", rustix::process::getuid().as_raw())
}

/// The row of an agent's registration.
pub(crate) fn row(agent: &AgentName) -> String {
    format!("{AGENTS}{agent}")
}

/// The change that writes a registration.
pub(crate) fn written(agent: &AgentName, registration: &Registration) -> StateChange {
    StateChange { key: row(agent), value: Some(registration.to_bytes()) }
}

/// The row that stops an agent by its life.
pub(crate) fn stop_row(agent: &AgentName) -> String {
    format!("{STOPPED}lifecycle/agent/{agent}")
}

/// Every registration.
pub(crate) fn registrations(state: &State) -> anyhow::Result<BTreeMap<AgentName, Registration>> {
    let one = |(name, bytes): (&str, &[u8])| {
        let registration = Registration::from_bytes(bytes);
        let registration =
            registration.map_err(|error| anyhow::anyhow!("the row `{AGENTS}{name}`: {error}"))?;
        Ok((Name::new(name)?, registration))
    };
    world::rows(state, AGENTS).map(one).collect()
}

/// One registration.
pub(crate) fn registration(
    state: &State,
    agent: &AgentName,
) -> anyhow::Result<Option<Registration>> {
    let row = state.rows.get(&row(agent)).map(|bytes| Registration::from_bytes(bytes));
    row.transpose().map_err(|error| anyhow::anyhow!("the row `{AGENTS}{agent}`: {error}"))
}

/// Whether an agent was ended for good.
pub(crate) fn is_decommissioned(state: &State, agent: &AgentName) -> anyhow::Result<bool> {
    let known = registration(state, agent)?;
    Ok(known.is_some_and(|known| matches!(known.state, Lifecycle::Decommissioned { .. })))
}

/// The prefix of all instances: `instance/AGENT/THUMBPRINT`.
pub(crate) const INSTANCES: &str = "instance/";

/// The prefix of an agent's instances; their rows are public keys by thumbprint.
pub(crate) fn instances_of(agent: &AgentName) -> String {
    issuer::Enrolment::instance_row(agent, "")
}

/// The prefix of an agent's one-time codes.
pub(crate) fn codes_of(agent: &AgentName) -> String {
    issuer::Enrolment::row(agent, "")
}

/// The rows below a prefix, by what follows it.
pub(crate) fn below(state: &State, prefix: String) -> impl Iterator<Item = (&str, &[u8])> {
    let rows = state.rows.range(prefix.clone()..);
    rows.map_while(move |(key, row)| Some((key.strip_prefix(&prefix)?, row.as_ref())))
}

/// The keys that an agent signs with: declared or made by `dev`, and those of its instances that are not revoked.
pub(crate) fn keys_of(state: &State, agent: &AgentName) -> Option<AgentKeys> {
    let parse = |bytes: &[u8]| canonical::parse(bytes, &canonical::Limits::ARGUMENTS).ok();
    let own = world::agent_keys(state, agent.as_str());
    let own = own.as_deref().and_then(parse);
    let mut all: Vec<Value> = match own.as_ref().and_then(|set| set.get("keys")) {
        Some(keys) => keys.as_array()?.to_vec(),
        // A single key, or none.
        None => own.into_iter().collect(),
    };
    let standing =
        |thumbprint: &str| !state.rows.contains_key(&format!("revoked/instance/{thumbprint}"));
    let instances = below(state, instances_of(agent));
    let instances = instances.filter(|(thumbprint, _)| standing(thumbprint));
    all.extend(instances.filter_map(|(_, jwk)| parse(jwk)));
    let set = gate::json::object([("keys", Value::Array(all))]);
    AgentKeys::parse(&set.to_bytes()).ok()
}

/// What the gate itself is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ground {
    /// Its environment; `None`: a sandbox.
    pub(crate) environment: Option<Name>,
    /// How long a confirmation that somebody is alive counts.
    pub(crate) term: Duration,
}

impl Ground {
    /// As it was written last.
    pub(crate) fn of(state: &State) -> Ground {
        let row = state.rows.get(GATE);
        let row = row.and_then(|row| canonical::parse(row, &canonical::Limits::ARGUMENTS).ok());
        let member = |name: &str| row.as_ref().and_then(|row| row.get(name).cloned());
        let environment = member("environment");
        let environment = environment.as_ref().and_then(Value::as_str);
        let term = member("owner_term").as_ref().and_then(Value::as_i64);
        Ground {
            environment: environment.and_then(|text| Name::new(text).ok()),
            term: term.map_or(limits::OWNER_TERM, Duration::seconds).min(limits::OWNER_TERM),
        }
    }

    /// Whether drafts do not act here.
    pub(crate) fn is_production(&self) -> bool {
        self.environment.as_ref().is_some_and(|name| name.as_str() == PRODUCTION)
    }

    /// Whether whoever starts the gate answers for all agents: on a developer's machine.
    pub(crate) fn is_sandbox(&self) -> bool {
        self.environment.as_ref().is_none_or(|name| name.as_str() == "dev")
    }

    fn change(&self) -> StateChange {
        let mut members =
            vec![("owner_term", Value::Integer(self.term.as_seconds())), ("v", Value::Integer(1))];
        members.extend(
            self.environment.as_ref().map(|name| ("environment", Value::from(name.as_str()))),
        );
        StateChange { key: GATE.to_owned(), value: Some(gate::json::object(members).to_bytes()) }
    }
}

/// Who is known to be alive, and until when.
pub(crate) struct Living<'a> {
    state: &'a State,
    declared: &'a Declared,
    term: Duration,
    /// Parties that were looked at: thousands of agents have few owners.
    known: RefCell<BTreeMap<PartyName, Option<Timestamp>>>,
}

impl<'a> Living<'a> {
    /// By these rows.
    pub(crate) fn new(state: &'a State, declared: &'a Declared) -> Living<'a> {
        Living { state, declared, term: Ground::of(state).term, known: RefCell::default() }
    }

    /// When a party was confirmed last; nobody confirms who is revoked.
    pub(crate) fn confirmed(&self, party: &PartyName) -> Option<Timestamp> {
        if let Some(known) = self.known.borrow().get(party) {
            return *known;
        }
        let found = self.look(party);
        self.known.borrow_mut().insert(party.clone(), found);
        found
    }

    fn look(&self, party: &PartyName) -> Option<Timestamp> {
        let gone = |kind: &str, name: &str| {
            self.state.rows.contains_key(&format!("revoked/{kind}/{name}"))
        };
        let at = |party: &PartyName| {
            let leaver = matches!(party, PartyName::User(name) if gone("user", name.as_str()));
            let row = self.state.rows.get(&format!("{ALIVE}{party}")).filter(|_| !leaver)?;
            let row = canonical::parse(row, &canonical::Limits::ARGUMENTS).ok()?;
            row.get("at").and_then(Value::as_i64).map(Timestamp)
        };
        if gone("owner", &party.to_string()) {
            return None;
        }
        let members = match party {
            PartyName::Group(group) => self.members(group),
            PartyName::User(_) | PartyName::Issuer(_) => Vec::new(),
        };
        members.iter().chain([party]).filter_map(at).max()
    }

    fn members(&self, group: &Name) -> Vec<PartyName> {
        let people = self.declared.people.iter();
        let members = people.filter(|(_, groups)| groups.contains(group));
        // Nobody of a foreign issuer answers for an agent.
        let own = members.filter_map(|(person, _)| Name::new(person.as_str()).ok());
        own.map(PartyName::User).collect()
    }

    /// Until when somebody answers for an agent.
    pub(crate) fn answered_until(&self, agent: &Agent) -> Option<Timestamp> {
        let parties = std::iter::once(&agent.owner).chain(&agent.governance.sponsor);
        parties.filter_map(|party| self.confirmed(party)).max().map(|at| at.after(self.term))
    }
}

/// Every agent's standing, as reconciling is about to write it, so that nothing lies between the two, and the versions that
/// may go on beside one that waits.
pub(crate) fn standings(
    state: &State,
    compiled: &Compiled,
    now: Timestamp,
) -> anyhow::Result<(Registry, Kept)> {
    let mut found = Found::default();
    found.agents(state, compiled, now)?;
    let registrations = found.registrations;
    let declared = compiled.declared();
    let living = Living::new(state, declared);
    let (mut agents, mut kept) = (HashMap::new(), Kept::new());
    for (name, agent) in &declared.agents {
        let Some(registration) = registrations.get(name) else { continue };
        let Some(entry) = compiled.agent(name) else { continue };
        let (base, current) = (entry.base, entry.version);
        let passed = registration.version.as_ref().map(|passed| &passed.snapshot);
        let waits = passed.is_none_or(|passed| passed.version != current).then_some(current);
        // The earlier version goes on where nothing but its manifest differs: what the gate enforces is the same.
        let earlier = passed.filter(|passed| passed.version != current && passed.base == base);
        kept.extend(earlier.map(|earlier| (name.clone(), earlier.version)));
        let standing = Standing {
            state: registration.state.clone(),
            answered_until: living.answered_until(agent),
            environment: agent.governance.environment.clone(),
            waits,
        };
        agents.insert(name.clone(), standing);
    }
    Ok((Registry::new(Ground::of(state).environment, agents), kept))
}

/// When the whole agent must be reviewed again.
pub(crate) fn review_due(agent: &Agent, state: &Lifecycle) -> Option<Timestamp> {
    let every = agent.governance.review.as_ref()?.every?;
    match state {
        Lifecycle::Active { reviewed, .. } => Some(reviewed.after(every)),
        Lifecycle::Draft { .. }
        | Lifecycle::UnderReview { .. }
        | Lifecycle::Suspended { .. }
        | Lifecycle::Decommissioned { .. } => None,
    }
}

/// How long an overdue review is only warned of.
pub(crate) fn grace(every: Duration) -> Duration {
    Duration((every.0 / 10).min(limits::REVIEW_GRACE.0))
}

impl App {
    /// Writes what the gate itself is; in a sandbox, whoever starts it answers for its agents.
    pub(crate) async fn settle_ground(
        &self,
        environment: Option<Name>,
        term: Option<Duration>,
    ) -> anyhow::Result<Ground> {
        let before = Ground::of(&self.store.state());
        let ground = Ground {
            environment: environment.or_else(|| before.environment.clone()),
            term: term.unwrap_or(limits::OWNER_TERM).min(limits::OWNER_TERM),
        };
        let is_new = !self.store.state().rows.contains_key(GATE) && ground.environment.is_some();
        if ground != before || is_new {
            let reason = match &ground.environment {
                Some(name) => format!("this gate is of environment `{name}`"),
                None => "this gate is a sandbox".to_owned(),
            };
            let changes = vec![ground.change()];
            self.control(Control { what: "environment", reason, changes }).await?;
        }
        Ok(ground)
    }

    /// In a sandbox: confirms, for whoever starts it, the owners and sponsors that are declared.
    pub(crate) async fn confirm_in_sandbox(&self, declared: &Declared) -> anyhow::Result<()> {
        let state = self.store.state();
        let (ground, now) = (Ground::of(&state), self.clock.now());
        if !ground.is_sandbox() {
            return Ok(());
        }
        let living = Living::new(&state, declared);
        let stale = |party: &&PartyName| {
            let row = format!("revoked/owner/{party}");
            let at = living.confirmed(party);
            let fresh = at.is_some_and(|at| now < at.after(Duration(ground.term.0 / 2)));
            !fresh && !state.rows.contains_key(&row)
        };
        let agents = declared.agents.values();
        let parties =
            agents.flat_map(|agent| std::iter::once(&agent.owner).chain(&agent.governance.sponsor));
        let parties: std::collections::BTreeSet<&PartyName> = parties.filter(stale).collect();
        if parties.is_empty() {
            return Ok(());
        }
        let changes = parties.iter().map(|party| alive(party, now)).collect();
        let reason = "the running user answers for the owners of a sandbox".to_owned();
        self.control(Control { what: "confirm", reason, changes }).await
    }

    /// Brings the registry up to what is declared and to the time; the caller holds the lock of publishing.
    pub(super) async fn reconcile(&self) -> anyhow::Result<()> {
        let (state, now) = (self.store.state(), self.clock.now());
        let world = self.gate.world();
        let mut found = Found::default();
        found.agents(&state, &world.compiled, now)?;
        found.stops(&state, world.compiled.declared(), now)?;
        if found.changes.is_empty() {
            return Ok(());
        }
        found.reasons.truncate(limits::REASONS);
        let reason = found.reasons.join("; ");
        for told in &found.told {
            tracing::warn!("{told}");
        }
        for changes in portions(found.changes) {
            self.record(Control { what: "register", reason: reason.clone(), changes }).await?;
        }
        self.publish()
    }

    /// The same, for whoever does not hold that lock.
    pub(crate) async fn register(&self) -> anyhow::Result<()> {
        let _one_at_a_time = self.publishing.lock().await;
        self.reconcile().await
    }

    /// When time alone changes somebody's standing next.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let (state, now) = (self.store.state(), self.clock.now());
        let world = self.gate.world();
        let declared = world.compiled.declared();
        let living = Living::new(&state, declared);
        let registrations = registrations(&state).ok()?;
        let due = declared.agents.iter().flat_map(|(name, agent)| {
            let state = registrations.get(name).map(|registration| &registration.state);
            let draft = match state {
                Some(Lifecycle::Draft { ends, .. }) => Some(*ends),
                _ => None,
            };
            let every = agent.governance.review.as_ref().and_then(|review| review.every);
            let review = state.and_then(|state| review_due(agent, state));
            let review = review.zip(every).map(|(due, every)| due.after(grace(every)));
            [draft, review, living.answered_until(agent)]
        });
        due.flatten().filter(|at| *at > now).min()
    }
}

/// Changes in as many portions as one record takes of them.
pub(crate) fn portions(changes: Vec<StateChange>) -> Vec<Vec<StateChange>> {
    let (mut all, mut bytes) = (vec![Vec::new()], 0_usize);
    for change in changes {
        bytes = bytes.saturating_add(change.value.as_ref().map_or(0, Vec::len));
        let full = all.last().is_some_and(|portion: &Vec<StateChange>| {
            portion.len() >= limits::REGISTERED_AT_ONCE || bytes > limits::REGISTERED_BYTES
        });
        if full {
            all.push(Vec::new());
            bytes = change.value.as_ref().map_or(0, Vec::len);
        }
        if let Some(portion) = all.last_mut() {
            portion.push(change);
        }
    }
    all.retain(|portion| !portion.is_empty());
    all
}

/// An agent's current version as the registry keeps it: how far it reaches only where somebody reviews that, since
/// thousands of agents that nobody reviews need not be held twice.
pub(crate) fn kept(compiled: &Compiled, name: &AgentName) -> Option<Snapshot> {
    let mut snapshot = Snapshot::of(compiled, name)?;
    if compiled.agent(name)?.declared.governance.review.is_none() {
        snapshot.reach.clear();
    }
    Some(snapshot)
}

/// The change that confirms somebody.
pub(crate) fn alive(party: &PartyName, now: Timestamp) -> StateChange {
    let by = operator();
    let members =
        [("at", Value::Integer(now.0)), ("by", by.as_str().into()), ("v", Value::Integer(1))];
    StateChange {
        key: format!("{ALIVE}{party}"),
        value: Some(gate::json::object(members).to_bytes()),
    }
}

/// What reconciling changes, and what is said of it.
#[derive(Default)]
struct Found {
    changes: Vec<StateChange>,
    reasons: Vec<String>,
    told: Vec<String>,
    registrations: BTreeMap<AgentName, Registration>,
}

impl Found {
    fn agents(&mut self, state: &State, compiled: &Compiled, now: Timestamp) -> anyhow::Result<()> {
        self.registrations = registrations(state)?;
        let ground = Ground::of(state);
        let names: Vec<AgentName> = compiled.agents().cloned().collect();
        for name in names {
            let Some(entry) = compiled.agent(&name) else { continue };
            let before = self.registrations.get(&name).cloned();
            let after = match before.clone() {
                None => {
                    let first = first(entry, &ground, now);
                    self.reasons.push(format!("`{name}` registered: {}", first.state.as_str()));
                    Some(Registration { version: passed(compiled, &name, "first", now), ..first })
                }
                Some(known) => self.known(known, compiled, entry, now),
            };
            if let Some(after) = after.filter(|after| Some(after) != before.as_ref()) {
                self.changes.push(written(&name, &after));
                self.registrations.insert(name, after);
            }
        }
        Ok(())
    }

    /// A registered agent, against the version that is declared and the time of its review.
    fn known(
        &mut self,
        mut known: Registration,
        compiled: &Compiled,
        entry: &AgentEntry,
        now: Timestamp,
    ) -> Option<Registration> {
        let (name, review) = (&entry.name, entry.declared.governance.review.as_ref());
        if let (Some(due), Some(every)) =
            (review_due(&entry.declared, &known.state), review.and_then(|review| review.every))
        {
            if now >= due.after(grace(every)) {
                let by = Suspender::Rule("review.every".to_owned());
                let reason = format!("its review was due at {due}");
                self.reasons.push(format!("`{name}` suspended: {reason}"));
                known.state = known.state.suspend(by, reason, now).ok()?;
            } else if now >= due {
                self.told.push(format!(
                    "the review of agent `{name}` is overdue since {due}, and it is suspended at {}: `ambit agent review {name}`",
                    due.after(grace(every))
                ));
            }
        }
        let passed_version = known.version.as_ref().map(|passed| passed.snapshot.version);
        if passed_version == Some(entry.version) {
            known.waiting = None;
            return Some(known);
        }
        let waits = known.waiting.as_ref().map(|waiting| waiting.snapshot.version);
        if waits == Some(entry.version) || matches!(known.state, Lifecycle::Decommissioned { .. }) {
            return Some(known);
        }
        let snapshot = kept(compiled, name)?;
        let unreviewed =
            matches!(known.state, Lifecycle::Draft { .. } | Lifecycle::UnderReview { .. });
        let nothing = Snapshot::default();
        let old = known.version.as_ref().map_or(&nothing, |passed| &passed.snapshot);
        let (found, grown) = (changes(old, &snapshot), grows(old, &snapshot));
        let shown: Vec<String> = found
            .iter()
            .take(limits::REASONS)
            .map(|one| format!("{} {}: {} → {}", one.class, one.what, one.from, one.to))
            .collect();
        let shown = if shown.is_empty() { "its block".to_owned() } else { shown.join(", ") };
        let short = snapshot.version.short();
        match demand(review, &found, grown, &entry.declared.owner) {
            Demand::Review(parties) if !unreviewed => {
                let parties: Vec<String> = parties.iter().map(ToString::to_string).collect();
                let parties = parties.join(", ");
                self.reasons
                    .push(format!("version {short} of `{name}` waits for {parties}: {shown}"));
                self.told.push(format!(
                    "version {short} of agent `{name}` waits for its review by {parties} ({shown}): `ambit agent review {name}`"
                ));
                known.waiting = Some(Waiting { snapshot, since: now });
            }
            Demand::Review(_) | Demand::Pass { .. } => {
                let how = match demand(review, &found, grown, &entry.declared.owner) {
                    Demand::Pass { how } => how,
                    Demand::Review(_) => "draft",
                };
                if how == "notify" {
                    let owner = &entry.declared.owner;
                    self.told.push(format!(
                        "for {owner}: version {short} of agent `{name}` acts from now on ({shown})"
                    ));
                }
                self.reasons.push(format!("version {short} of `{name}` passes ({how}): {shown}"));
                known.version = passed(compiled, name, how, now);
                known.waiting = None;
            }
        }
        Some(known)
    }

    /// The rows that stop whom the registry does not let act, against those that are there.
    fn stops(&mut self, state: &State, declared: &Declared, now: Timestamp) -> anyhow::Result<()> {
        let ground = Ground::of(state);
        let living = Living::new(state, declared);
        let mut wanted: BTreeMap<String, &'static str> = BTreeMap::new();
        for (name, registration) in &self.registrations {
            if let Some(code) = registration.state.refused(ground.is_production(), now) {
                wanted.insert(stop_row(name), code.slug());
            }
            let Some(agent) = declared.agents.get(name) else { continue };
            let answered = living.answered_until(agent).is_some_and(|until| now < until);
            if !answered && !registration.state.is_draft() {
                let key = format!("{STOPPED}owner/agent/{name}");
                wanted.insert(key, model::Code::OwnerAbsent.slug());
            }
        }
        for (rest, _) in world::rows(state, STOPPED) {
            let key = format!("{STOPPED}{rest}");
            if !wanted.contains_key(&key) {
                self.reasons.push(format!("`{rest}` ends"));
                self.changes.push(StateChange { key, value: None });
            }
        }
        for (key, why) in wanted {
            if !state.rows.contains_key(&key) {
                self.reasons.push(format!("`{key}`: {why}"));
                self.changes.push(StateChange { value: Some(stop(why, now)), key });
            }
        }
        Ok(())
    }
}

/// The value of a row that stops.
pub(crate) fn stop(why: &str, now: Timestamp) -> Vec<u8> {
    let at = now.to_string();
    let members = [("at", at.as_str().into()), ("reason", why.into()), ("v", Value::Integer(1))];
    gate::json::object(members).to_bytes()
}

/// How an agent begins: in a sandbox without rules of review it acts at once; in production it is a draft.
fn first(entry: &AgentEntry, ground: &Ground, now: Timestamp) -> Registration {
    let is_reviewed = entry.declared.governance.review.is_some();
    let state = if is_reviewed || ground.is_production() {
        Lifecycle::draft(operator(), now, limits::DRAFT_LIFE)
    } else {
        Lifecycle::active(operator(), now)
    };
    Registration { state, version: None, waiting: None }
}

fn passed(compiled: &Compiled, name: &AgentName, how: &str, now: Timestamp) -> Option<Passed> {
    let snapshot = kept(compiled, name)?;
    Some(Passed { snapshot, since: now, how: how.to_owned(), by: operator() })
}
