//! Agents as they are published: version, reach, grants.

use crate::catalog::{Catalog, uid};
use crate::digest::{sha256, subject_digest};
use crate::facts::object;
use crate::guard::Guard;
use canonical::{Object, Value};
use cedar_policy::EntityUid;
use model::declared::{ActionPattern, Agent, CallLimit, Credentials, Declared, Federated};
use model::{AgentName, Digest, Name, PartyName, RiskTier, Timestamp, UserName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One registered agent.
#[derive(Debug)]
pub struct AgentEntry {
    /// Its name.
    pub name: AgentName,
    /// Its current version: a digest of its declared block and of the pinned definitions that it
    /// can reach.
    pub version: Digest,
    /// The same without its manifest: what it reaches is the same in all versions of one base.
    pub base: Digest,
    /// What is declared of it.
    pub declared: Agent,
    pub(crate) reach: Arc<Reach>,
    /// The version, the agent, its groups: principal first.
    pub(crate) lineage: Vec<EntityUid>,
    pub(crate) subjects: [Digest; 3],
    pub(crate) limit: Option<(Digest, CallLimit)>,
}

/// How an action is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// Not.
    No,
    /// By the boundary or by `only:`.
    Yes,
    /// A `high` one that only intents name: under a task of such an intent.
    ByIntent,
    /// Not, and it lies outside the boundary: it exists for the agent only while it is observed.
    Outside,
}

impl Grant {
    /// Whether the one generated permit applies.
    pub(crate) const fn is_granted(self) -> bool {
        matches!(self, Grant::Yes | Grant::ByIntent)
    }
}

/// What agents of one boundary with one narrowing can reach; shared among them.
#[derive(Debug)]
pub(crate) struct Reach {
    /// Inside the boundary (all, for an agent that is observed) and not prohibited, by place in the catalog.
    pub(crate) actions: Vec<u32>,
    /// How each of them is granted.
    pub(crate) grants: Vec<Grant>,
}

impl Reach {
    /// The place in this reach of an action of the catalog.
    pub(crate) fn find(&self, action: u32) -> Option<usize> {
        self.actions.binary_search(&action).ok()
    }

    /// How an action of the catalog is granted.
    pub(crate) fn grant(&self, action: u32) -> Grant {
        let grant = self.find(action).and_then(|at| self.grants.get(at));
        grant.copied().unwrap_or(Grant::No)
    }

    /// The granted actions of the catalog.
    pub(crate) fn granted(&self) -> impl Iterator<Item = u32> {
        let pairs = self.actions.iter().zip(&self.grants);
        pairs.filter(|(_, grant)| grant.is_granted()).map(|(action, _)| *action)
    }
}

impl AgentEntry {
    /// The same agent under an earlier version's digest: it reaches the same, and its records name that version.
    pub(crate) fn kept(&self, version: Digest) -> AgentEntry {
        let [_, agent, owner] = self.subjects;
        AgentEntry {
            name: self.name.clone(),
            version,
            base: self.base,
            declared: self.declared.clone(),
            reach: Arc::clone(&self.reach),
            lineage: self.lineage.clone(),
            subjects: [subject_digest("version", &version.to_string()), agent, owner],
            limit: self.limit,
        }
    }

    /// What a stop of this agent would name, whatever its version: agent and owner.
    #[must_use]
    pub fn subjects(&self) -> [Digest; 2] {
        let [_, agent, owner] = self.subjects;
        [agent, owner]
    }

    /// Whether what would be denied or asked is let pass at this time (`mode: observe`).
    #[must_use]
    pub fn observes(&self, now: Timestamp) -> bool {
        self.declared.observe_until.is_some_and(|until| now < until)
    }

    /// Whether it may act for this human.
    #[must_use]
    pub fn serves(&self, user: &UserName, groups: &BTreeSet<Name>) -> bool {
        Principal::of(self).serves(Some(user), groups)
    }

    /// The guard that says whom it may serve.
    pub(crate) fn users_guard(&self) -> Guard {
        match self.declared.users {
            Some(PartyName::User(_)) => Guard::UsersOne,
            Some(PartyName::Group(_)) => Guard::UsersGroup,
            Some(PartyName::Issuer(_)) => Guard::UsersIssuer,
            None => Guard::UsersNone,
        }
    }

    /// The entity of its version.
    pub(crate) fn principal(&self) -> EntityUid {
        self.lineage.first().cloned().unwrap_or_else(|| uid("Agent", self.name.as_str()))
    }
}

/// What each decision reads of the agent. All slices of an agent share it: what many decisions touch is small.
#[derive(Debug)]
pub(crate) struct Principal {
    pub(crate) version: Digest,
    pub(crate) name: AgentName,
    pub(crate) uid: EntityUid,
    users: Option<PartyName>,
}

impl Principal {
    pub(crate) fn of(agent: &AgentEntry) -> Principal {
        Principal {
            version: agent.version,
            name: agent.name.clone(),
            uid: agent.principal(),
            users: agent.declared.users.clone(),
        }
    }

    /// Whether it may act for this user, or for itself where there is none.
    pub(crate) fn serves(&self, user: Option<&UserName>, groups: &BTreeSet<Name>) -> bool {
        match (&self.users, user) {
            (None, user) => user.is_none(),
            (Some(PartyName::User(served)), Some(user)) => served.as_str() == user.as_str(),
            (Some(PartyName::Group(served)), Some(_)) => groups.contains(served),
            (Some(PartyName::Issuer(served)), Some(user)) => user.issuer() == Some(served.as_str()),
            (Some(_), None) => false,
        }
    }
}

/// Boundary, narrowing and whether it is observed: what a reach depends on.
type Key<'a> = (&'a Name, Option<&'a Vec<ActionPattern>>, bool);

/// All agents. Reaches are shared where boundary and narrowing are equal.
pub(crate) fn publish(
    declared: &Declared,
    catalog: &Catalog,
) -> BTreeMap<AgentName, Arc<AgentEntry>> {
    let by_intent = high_in_intents(declared, catalog);
    let mut reaches: BTreeMap<Key<'_>, (Arc<Reach>, Digest)> = BTreeMap::new();
    let mut agents = BTreeMap::new();
    for (name, agent) in &declared.agents {
        let key = (&agent.boundary, agent.only.as_ref(), agent.observe_until.is_some());
        let (reach, definitions) = reaches.entry(key).or_insert_with(|| {
            let reach = reach(declared, catalog, agent, &by_intent);
            let definitions = reachable_definitions(catalog, &reach);
            (Arc::new(reach), definitions)
        });
        let reviewed = agent.governance.review.is_some().then(|| reached(catalog, reach));
        let entry = entry(name, agent, declared, Arc::clone(reach), (definitions, reviewed));
        agents.insert(name.clone(), Arc::new(entry));
    }
    agents
}

fn entry(
    name: &AgentName,
    agent: &Agent,
    declared: &Declared,
    reach: Arc<Reach>,
    (definitions, reviewed): (&Digest, Option<Digest>),
) -> AgentEntry {
    let base = sha256(&block(name, agent, (definitions, reviewed)).to_bytes());
    let version = agent.governance.parts.as_deref().map_or(base, |parts| {
        let parts = crate::registry::manifest_value(parts);
        let base = ("base", Value::from(base.to_string()));
        sha256(&object([base, ("manifest", parts), ("v", Value::Integer(1))]).to_bytes())
    });
    let text = version.to_string();
    let limit = declared.boundaries.get(&agent.boundary).and_then(|boundary| boundary.calls);
    let counted = format!("{}/{name}", agent.boundary);
    AgentEntry {
        lineage: vec![
            uid("AgentVersion", &text),
            uid("Agent", name.as_str()),
            uid("Group", &format!("boundary:{}", agent.boundary)),
            uid("Group", &format!("owner:{}", agent.owner)),
        ],
        subjects: [
            subject_digest("version", &text),
            subject_digest("agent", name.as_str()),
            subject_digest("owner", &agent.owner.to_string()),
        ],
        limit: limit.map(|limit| (subject_digest("limit.calls", &counted), limit)),
        name: name.clone(),
        declared: agent.clone(),
        version,
        base,
        reach,
    }
}

/// `high` actions that an intent names exactly.
fn high_in_intents(declared: &Declared, catalog: &Catalog) -> BTreeSet<u32> {
    let patterns = declared.intents.values().flat_map(|intent| intent.allow.keys());
    let exact = patterns.filter_map(|pattern| match pattern {
        ActionPattern::Exact(action) => catalog.find(action),
        ActionPattern::All(_) => None,
    });
    exact.collect()
}

fn reach(
    declared: &Declared,
    catalog: &Catalog,
    agent: &Agent,
    by_intent: &BTreeSet<u32>,
) -> Reach {
    let inside = declared.boundaries.get(&agent.boundary).map(|boundary| &boundary.upstreams);
    let (mut exact, mut whole) = (BTreeSet::new(), BTreeSet::new());
    for pattern in agent.only.iter().flatten() {
        match pattern {
            ActionPattern::Exact(action) => drop(exact.insert(action)),
            ActionPattern::All(upstream) => drop(whole.insert(upstream)),
        }
    }
    let (mut actions, mut grants) = (Vec::new(), Vec::new());
    for (entry, number) in catalog.entries.iter().zip(0_u32..) {
        let is_inside = inside.is_some_and(|inside| inside.contains(&entry.id.upstream));
        let exists = is_inside || agent.observe_until.is_some();
        if !exists || entry.action.risk == RiskTier::Prohibited {
            continue;
        }
        if !is_inside {
            actions.push(number);
            grants.push(Grant::Outside);
            continue;
        }
        let named = exact.contains(&entry.id);
        let grant = match entry.action.risk {
            RiskTier::Low | RiskTier::Medium => {
                let covered = agent.only.is_none() || named || whole.contains(&entry.id.upstream);
                if covered { Grant::Yes } else { Grant::No }
            }
            RiskTier::High if named => Grant::Yes,
            RiskTier::High if by_intent.contains(&number) => Grant::ByIntent,
            RiskTier::High | RiskTier::Prohibited => Grant::No,
        };
        actions.push(number);
        grants.push(grant);
    }
    Reach { actions, grants }
}

/// A digest of the pinned definitions that can be reached.
fn reachable_definitions(catalog: &Catalog, reach: &Reach) -> Digest {
    let granted = reach.granted().filter_map(|action| catalog.at(action));
    let pinned = granted.filter_map(|entry| {
        let digest = entry.definition?.to_string();
        Some(Value::Array(vec![Value::from(entry.id.to_string()), Value::from(digest)]))
    });
    sha256(&Value::Array(pinned.collect()).to_bytes())
}

/// A digest of all that is granted, and as what: where changes are reviewed, another reach is another version.
fn reached(catalog: &Catalog, reach: &Reach) -> Digest {
    let pairs = reach.actions.iter().zip(&reach.grants).filter(|(_, grant)| grant.is_granted());
    let entries = pairs.filter_map(|(action, grant)| {
        let entry = catalog.at(*action)?;
        let by_intent = Value::Bool(*grant == Grant::ByIntent);
        let digest = Value::from(entry.digest.to_string());
        Some(Value::Array(vec![Value::from(entry.id.to_string()), by_intent, digest]))
    });
    sha256(&Value::Array(entries.collect()).to_bytes())
}

/// What is digested as a version: the declared block (not its line) and the definitions.
fn block(
    name: &AgentName,
    agent: &Agent,
    (definitions, reviewed): (&Digest, Option<Digest>),
) -> Value {
    let only = agent.only.as_ref().map_or(Value::Null, |only| {
        Value::Array(only.iter().map(|pattern| Value::from(pattern_text(pattern))).collect())
    });
    let optional = |text: Option<String>| text.map_or(Value::Null, Value::from);
    let actors = || agent.may_act.iter().map(Name::to_string).collect::<Vec<_>>().join(" ");
    let governed = [
        ("max_age", agent.credentials.max_age.map(|age| age.to_string())),
        ("environment", agent.governance.environment.as_ref().map(Name::to_string)),
        ("may_act", (!agent.may_act.is_empty()).then(actors)),
        ("reach", reviewed.map(|reached| reached.to_string())),
        ("sponsor", agent.governance.sponsor.as_ref().map(PartyName::to_string)),
    ];
    // Absent is absent, so that what states none of them keeps its digest.
    let governed = governed.into_iter().filter_map(|(key, text)| Some((key, Value::from(text?))));
    let plain = [
        ("boundary", Value::from(agent.boundary.as_str())),
        ("credentials", credentials(&agent.credentials)),
        ("definitions", Value::from(definitions.to_string())),
        ("name", Value::from(name.as_str())),
        ("only", only),
        ("owner", Value::from(agent.owner.to_string())),
        ("purpose", Value::from(agent.purpose.as_str())),
        ("users", optional(agent.users.as_ref().map(PartyName::to_string))),
        ("v", Value::Integer(1)),
    ];
    object(plain.into_iter().chain(governed))
}

fn credentials(declared: &Credentials) -> Value {
    let mut members = vec![
        ("keys", declared.keys.clone().map_or(Value::Null, Value::from)),
        ("proof", Value::from(declared.proof.as_str())),
        ("ttl", Value::from(declared.ttl.to_string())),
    ];
    // Only where it is stated, so that versions without it stay what they are.
    if let Some(id) = &declared.spiffe_id {
        members.push(("spiffe_id", Value::from(id.as_str())));
    }
    if !declared.federated.is_empty() {
        members
            .push(("federated", Value::Array(declared.federated.iter().map(federated).collect())));
    }
    if !declared.networks.is_empty() {
        let networks = declared.networks.iter().map(|network| Value::from(network.to_string()));
        members.push(("networks", Value::Array(networks.collect())));
    }
    Value::Object(Object::try_from_members(members).unwrap_or_default())
}

fn federated(entry: &Federated) -> Value {
    let claims = entry.claims.iter().map(|(name, value)| {
        Value::Array(vec![Value::from(name.as_str()), Value::from(value.as_str())])
    });
    let plain = [
        ("claims", Value::Array(claims.collect())),
        ("issuer", Value::from(entry.issuer.as_str())),
        ("max_age", Value::from(entry.max_age.to_string())),
        ("subject", Value::from(entry.subject.as_str())),
    ];
    // Only where it is stated, so that versions without it stay what they are.
    let pin = entry.pin.as_ref().map(|pin| ("pin", Value::from(pin.as_str())));
    object(plain.into_iter().chain(pin))
}

/// As it stands in the file.
pub(crate) fn pattern_text(pattern: &ActionPattern) -> String {
    match pattern {
        ActionPattern::Exact(action) => action.to_string(),
        ActionPattern::All(upstream) => format!("{upstream}.*"),
    }
}
