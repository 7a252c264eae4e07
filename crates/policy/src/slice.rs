//! What decides one action of one agent's version: scopes and static guardrails are resolved here.

use crate::agent::{AgentEntry, Grant};
use crate::catalog::CatalogEntry;
use crate::compiled::Published;
use crate::guard::Guard;
use crate::reads::Reads;
use crate::rule::{Asking, Rule};
use crate::shape::Others;
use cedar_policy::{Effect, Entities, EntityUid, PolicySet};
use model::{Name, RiskTier, Timestamp};
use std::fmt;
use std::sync::Arc;

/// One (version, action). Shared; equal sets of rules are one.
pub struct Slice {
    pub(crate) published: Arc<Published>,
    pub(crate) agent: Arc<AgentEntry>,
    pub(crate) entry: Arc<CatalogEntry>,
    pub(crate) number: u32,
    pub(crate) grant: Grant,
    pub(crate) set: Arc<RuleSet>,
    pub(crate) entities: Arc<Entities>,
    /// Every entity that the decision depends on; each must be present.
    pub(crate) needed: Vec<EntityUid>,
}

/// A set of rules as Cedar evaluates it.
pub(crate) struct RuleSet {
    pub(crate) policies: PolicySet,
    pub(crate) rules: Vec<Arc<Rule>>,
    pub(crate) reads: Reads,
    /// The entities that its policies name.
    pub(crate) literals: Vec<EntityUid>,
    /// Whether a policy was left out; then nothing is decided.
    pub(crate) broken: bool,
}

impl RuleSet {
    pub(crate) fn new(rules: Vec<Arc<Rule>>) -> RuleSet {
        let mut policies = PolicySet::new();
        let added = rules.iter().map(|rule| policies.add(rule.resolved.clone()).is_ok());
        let broken = added.filter(|added| !added).count() > 0;
        let reads = rules.iter().map(|rule| rule.reads.clone());
        let reads = reads.fold(Reads::default(), Reads::and);
        let literals = rules.iter().flat_map(|rule| rule.resolved.entity_literals()).collect();
        RuleSet { policies, reads, literals, broken, rules }
    }
}

impl Slice {
    pub(crate) fn new(published: Arc<Published>, agent: Arc<AgentEntry>, number: u32) -> Slice {
        #[expect(clippy::expect_used, reason = "the caller found the number in this catalog")]
        let entry = Arc::clone(published.catalog.at(number).expect("a number of the catalog"));
        let grant = agent.reach.grant(number);
        let mut rules = vec![Guard::Grant.number()];
        if grant == Grant::Outside {
            rules.push(Guard::Boundary.number());
        }
        if published.denies_data(&agent, &entry) {
            rules.push(Guard::Data.number());
        }
        rules.extend(entry.asking_guard().map(Guard::number));
        rules.push(agent.users_guard().number());
        rules.push(Guard::Intent.number());
        if entry.arguments.others == Others::Extra {
            rules.push(Guard::Extra.number());
        }
        // A permit by hand never names a `high` action in the sense of `only:`, so it grants none.
        let unnamed =
            entry.action.risk == RiskTier::High && matches!(grant, Grant::No | Grant::Outside);
        rules.extend(published.fitting(&agent, &entry).into_iter().filter(|number| {
            let permits = |rule: &Arc<Rule>| rule.effect == Effect::Permit;
            !(unnamed && published.rule(*number).is_some_and(permits))
        }));
        let set = published.set(rules);
        let entities = Arc::clone(&published.entities);
        let own = [&entry.action_uid, &entry.operation_uid];
        let mut needed: Vec<EntityUid> = Vec::new();
        for uid in agent.lineage.iter().chain(own).chain(&entry.groups).chain(&set.literals) {
            if !needed.contains(uid) {
                needed.push(uid.clone());
            }
        }
        Slice { published, agent, entry, number, grant, set, entities, needed }
    }

    /// The catalog entry of the action.
    #[must_use]
    pub fn entry(&self) -> &CatalogEntry {
        &self.entry
    }

    /// The agent.
    #[must_use]
    pub fn agent(&self) -> &AgentEntry {
        &self.agent
    }

    /// Whether the action exists for the agent at this time: outside its boundary, only while it is observed.
    #[must_use]
    pub fn exists(&self, now: Timestamp) -> bool {
        self.grant != Grant::Outside || self.agent.observes(now)
    }

    /// The approval rule that a rule's asking means here.
    pub(crate) fn asked(&self, rule: &Rule) -> Option<Name> {
        match &rule.asking {
            Asking::Nobody => None,
            Asking::OfAction => Some(self.entry.approval_rule()),
            Asking::Rule(name) => Some(name.clone()),
        }
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: Vec<_> = self.set.rules.iter().map(|rule| &rule.id).collect();
        f.debug_struct("Slice")
            .field("agent", &self.agent.name)
            .field("action", &self.entry.id)
            .field("rules", &rules)
            .finish_non_exhaustive()
    }
}
