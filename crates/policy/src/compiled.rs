//! What is published: everything that decisions need, made once from declared state.

use crate::agent::{AgentEntry, Grant, Principal, Reach};
use crate::catalog::{Catalog, CatalogEntry};
use crate::digest::sha256;
use crate::guard::{Guard, TEMPLATE_VERSION};
use crate::rule::Rule;
use crate::slice::{Conditions, RuleSet, Slice};
use crate::written::{Index, Written};
use crate::{Definitions, Problem, agent, catalog, check, entities, schema, written};
use cedar_policy::{Effect, Entities, Policy, PolicyId, Schema};
use model::declared::Declared;
use model::{ActionId, AgentName, Digest, Timestamp, UpstreamName};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Published policy: immutable, to be shared behind one `Arc` and swapped as a whole.
pub struct Compiled {
    pub(crate) published: Arc<Published>,
    slots: HashMap<Digest, AgentSlots>,
}

/// The slices of one agent, each made at its first use.
struct AgentSlots {
    agent: Arc<AgentEntry>,
    principal: Arc<Principal>,
    /// The agent's, here too, so that finding a slice reads one place in memory.
    reach: Arc<Reach>,
    slices: OnceLock<Box<[OnceLock<Arc<Slice>>]>>,
}

impl AgentSlots {
    fn of(agent: Arc<AgentEntry>) -> AgentSlots {
        let (principal, reach) = (Arc::new(Principal::of(&agent)), Arc::clone(&agent.reach));
        AgentSlots { agent, principal, reach, slices: OnceLock::new() }
    }
}

/// What slices share.
pub(crate) struct Published {
    pub(crate) declared: Arc<Declared>,
    pub(crate) agents: BTreeMap<AgentName, Arc<AgentEntry>>,
    pub(crate) catalog: Catalog,
    /// Generated rules by their number, then hand-written ones in their order.
    pub(crate) rules: Vec<Arc<Rule>>,
    pub(crate) written: Vec<Written>,
    pub(crate) index: Index,
    pub(crate) entities: Arc<Entities>,
    pub(crate) intents: crate::intent::Intents,
    pub(crate) params: Vec<String>,
    pub(crate) digest: Digest,
    conditions: Mutex<HashMap<Vec<PolicyId>, Arc<Conditions>>>,
}

/// Publishes declared state, or says everything that is wrong with it.
pub fn compile(declared: &Declared, definitions: &Definitions) -> Result<Compiled, Vec<Problem>> {
    let mut problems = Vec::new();
    check::references(declared, &mut problems);
    let written = written::read(declared, &mut problems);
    let catalog = catalog::build(declared, definitions, &written, &mut problems);
    check::catalogued(declared, definitions, &catalog, &mut problems);
    let agents = agent::publish(declared, &catalog);
    check::grants(declared, &catalog, &mut problems);
    check::tests(declared, &catalog, &written, &mut problems);
    let json = schema::generate(declared, &catalog);
    let schema = Schema::from_json_value(json).map_err(|error| internal(&error, &problems))?;
    check::policies(declared, &schema, &catalog, &agents, &written, &mut problems);
    if !problems.is_empty() {
        problems.sort();
        problems.dedup();
        return Err(problems);
    }
    let entities = entities::build(declared, &catalog, &agents, &schema);
    let entities = entities.map_err(|error| internal(error.as_ref(), &problems))?;
    Ok(Compiled::new(Published {
        rules: rules(&written),
        index: Index::of(&written),
        intents: crate::intent::Intents::of(declared, &catalog),
        params: schema::params(declared).into_keys().map(str::to_owned).collect(),
        digest: digest(&written),
        entities: Arc::new(entities),
        declared: Arc::new(declared.clone()),
        conditions: Mutex::default(),
        agents,
        catalog,
        written,
    }))
}

/// A failure that no user's file explains, after the problems that do.
fn internal(error: &dyn std::error::Error, problems: &[Problem]) -> Vec<Problem> {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    let fix = "correct the problems above, if any; names may be in conflict";
    let own = Problem::declared(0, format!("policies cannot be published: {text}"), fix);
    problems.iter().cloned().chain(std::iter::once(own)).collect()
}

/// All rules by their numbers. Those of one effect and equal clauses decide alike once their scope is settled: they share
/// one policy, so that many agents with the same rules need the memory of one.
fn rules(written: &[Written]) -> Vec<Arc<Rule>> {
    let mut shared: HashMap<String, Policy> = HashMap::new();
    let guards = Guard::ALL.into_iter().map(Guard::rule);
    let rules = guards.chain(written.iter().map(|written| written.rule.clone())).zip(0_u32..);
    rules
        .map(|(rule, number)| {
            let own = rule.resolved.new_id(PolicyId::new(number.to_string()));
            let resolved = match own.to_cedar() {
                Some(text) => {
                    let first = shared.entry(text).or_insert_with(|| own.clone());
                    if decide_alike(first, &own) { first.clone() } else { own }
                }
                None => own,
            };
            Arc::new(Rule { resolved, ..rule })
        })
        .collect()
}

/// Texts only find candidates: what is shared is equal as a tree.
fn decide_alike(one: &Policy, other: &Policy) -> bool {
    let clauses = |policy: &Policy| policy.to_pst().map(|tree| tree.body().clauses().clone()).ok();
    one.effect() == other.effect() && clauses(one).is_some_and(|own| clauses(other) == Some(own))
}

/// The digest of all policies, of the engine and of the templates.
fn digest(written: &[Written]) -> Digest {
    use canonical::Value;
    let engine = format!("cedar {}", cedar_policy::get_sdk_version());
    let mut parts = vec![Value::from(engine), Value::from(TEMPLATE_VERSION)];
    parts.extend(Guard::ALL.map(|guard| Value::from(guard.text())));
    for written in written {
        parts.push(Value::from(written.rule.id.as_str()));
        parts.push(Value::from(written.rule.text.as_str()));
    }
    sha256(&Value::Array(parts).to_bytes())
}

impl Compiled {
    fn new(published: Published) -> Compiled {
        let slot = |agent: &Arc<AgentEntry>| (agent.version, AgentSlots::of(Arc::clone(agent)));
        let slots = published.agents.values().map(slot).collect();
        Compiled { published: Arc::new(published), slots }
    }

    /// Lets an earlier version of an agent go on beside its current one. The caller knows that both have one base.
    pub fn keep(&mut self, agent: &AgentName, version: Digest) {
        let Some(entry) = self.published.agents.get(agent) else { return };
        if self.slots.contains_key(&version) {
            return;
        }
        self.slots.insert(version, AgentSlots::of(Arc::new(entry.kept(version))));
    }

    /// The digest of all policies, of the engine and of the templates.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.published.digest
    }

    /// What was declared.
    #[must_use]
    pub fn declared(&self) -> &Declared {
        &self.published.declared
    }

    /// The registered agents, sorted by name.
    pub fn agents(&self) -> impl Iterator<Item = &AgentName> {
        self.published.agents.keys()
    }

    /// The agent of this name.
    #[must_use]
    pub fn agent(&self, name: &AgentName) -> Option<&AgentEntry> {
        self.published.agents.get(name).map(Arc::as_ref)
    }

    /// The agent whose current version this is, or one that is kept beside it.
    #[must_use]
    pub fn version(&self, version: &Digest) -> Option<&AgentName> {
        self.slots.get(version).map(|slot| &slot.agent.name)
    }

    /// The whole catalog, sorted.
    pub fn catalog(&self) -> impl Iterator<Item = &CatalogEntry> {
        self.published.catalog.entries.iter().map(Arc::as_ref)
    }

    /// The catalog entry of an action, whoever may find it.
    #[must_use]
    pub fn entry(&self, action: &ActionId) -> Option<&CatalogEntry> {
        self.published.catalog.get(action).map(Arc::as_ref)
    }

    /// What an agent finds in a list: inside its boundary, not prohibited, of no denied data
    /// class, and granted (or permitted by a hand-written policy under some conditions). While the
    /// agent is observed: everything that is not prohibited. Sorted.
    pub fn visible<'a>(
        &'a self,
        agent: &AgentName,
        upstream: &UpstreamName,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a CatalogEntry> + use<'a> {
        let (agent, upstream) = (self.published.agents.get(agent), upstream.clone());
        let actions = agent.map_or(&[][..], |agent| &agent.reach.actions);
        actions.iter().filter_map(move |action| {
            let entry = self.published.catalog.at(*action)?;
            let agent = agent?;
            let grantable =
                agent.observes(now) || self.published.is_grantable(agent, *action, entry);
            (entry.id.upstream == upstream && grantable).then_some(entry.as_ref())
        })
    }

    /// What decides one action of one agent's version; `None` if the action does not exist for it:
    /// outside its boundary (where it is not observed, [`Slice::exists`]), prohibited, or in no
    /// catalog. Made at its first use.
    #[must_use]
    pub fn slice(&self, version: &Digest, action: &ActionId) -> Option<Arc<Slice>> {
        let slot = self.slots.get(version)?;
        let number = self.published.catalog.find(action)?;
        let at = slot.reach.find(number)?;
        let all = slot
            .slices
            .get_or_init(|| slot.reach.actions.iter().map(|_| OnceLock::new()).collect());
        let slice = all.get(at)?.get_or_init(|| {
            let (published, agent) = (Arc::clone(&self.published), Arc::clone(&slot.agent));
            Arc::new(Slice::new(published, agent, Arc::clone(&slot.principal), number))
        });
        Some(Arc::clone(slice))
    }

    /// The HTTP action whose route fits, with the route's parameters as arguments. Segments are
    /// those of the decoded, normalised path.
    #[must_use]
    pub fn route(
        &self,
        upstream: &UpstreamName,
        method: &str,
        path: &[&str],
    ) -> Option<(ActionId, Vec<(String, String)>)> {
        self.published.catalog.route(upstream, method, path)
    }
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled").field("digest", &self.digest()).finish_non_exhaustive()
    }
}

impl Published {
    /// The rule of a number.
    pub(crate) fn rule(&self, number: u32) -> Option<&Arc<Rule>> {
        usize::try_from(number).ok().and_then(|at| self.rules.get(at))
    }

    /// Numbers of the hand-written rules whose scope fits.
    pub(crate) fn fitting(&self, agent: &AgentEntry, entry: &CatalogEntry) -> Vec<u32> {
        let found = self.index.matching(&self.written, &agent.lineage, entry);
        let first = u32::try_from(Guard::ALL.len()).unwrap_or(u32::MAX);
        found.into_iter().map(|number| number.saturating_add(first)).collect()
    }

    /// Whether the boundary denies a data class that the action touches.
    pub(crate) fn denies_data(&self, agent: &AgentEntry, entry: &CatalogEntry) -> bool {
        let boundary = self.declared.boundaries.get(&agent.declared.boundary);
        boundary.is_some_and(|boundary| !boundary.deny_data.is_disjoint(&entry.action.data))
    }

    pub(crate) fn is_grantable(
        &self,
        agent: &AgentEntry,
        action: u32,
        entry: &CatalogEntry,
    ) -> bool {
        let permits = || {
            entry.action.risk < model::RiskTier::High
                && self.fitting(agent, entry).into_iter().any(|number| {
                    self.rule(number).is_some_and(|rule| rule.effect == Effect::Permit)
                })
        };
        match agent.reach.grant(action) {
            _ if self.denies_data(agent, entry) => false,
            Grant::Yes | Grant::ByIntent => true,
            Grant::No => permits(),
            Grant::Outside => false,
        }
    }

    /// The set of these rules; equal conditions are one.
    pub(crate) fn set(&self, numbers: &[u32]) -> RuleSet {
        let of_fact =
            |number: u32| Guard::ALL.iter().any(|it| it.of_fact() && it.number() == number);
        let chosen = |keep: &dyn Fn(u32) -> bool| -> Vec<Arc<Rule>> {
            let numbers = numbers.iter().copied().filter(|number| keep(*number));
            numbers.filter_map(|number| self.rule(number).cloned()).collect()
        };
        let (rules, ordinary) = (chosen(&|_| true), chosen(&|number| !of_fact(number)));
        RuleSet {
            conditions: self.shared(&rules),
            ordinary: self.shared(&ordinary),
            rules: rules.into(),
        }
    }

    fn shared(&self, rules: &[Arc<Rule>]) -> Arc<Conditions> {
        let ids = rules.iter().map(|rule| rule.resolved.id().clone()).collect();
        let mut held = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(held.entry(ids).or_insert_with(|| Arc::new(Conditions::of(rules))))
    }
}
