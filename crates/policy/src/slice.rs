//! What decides one action of one agent's version: scopes and static guardrails are resolved here.

use crate::agent::{AgentEntry, Grant, Principal};
use crate::catalog::CatalogEntry;
use crate::compiled::Published;
use crate::guard::Guard;
use crate::reads::Reads;
use crate::rights::Rights;
use crate::rule::{Asking, Rule};
use crate::shape::Others;
use cedar_policy::{Effect, Entities, EntityUid, PolicyId, PolicySet};
use model::{Name, PartyName, RiskTier, Timestamp, UserName};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// One (version, action). Shared; equal sets of rules are one.
pub struct Slice {
    pub(crate) published: Arc<Published>,
    pub(crate) agent: Arc<AgentEntry>,
    pub(crate) principal: Arc<Principal>,
    pub(crate) entry: Arc<CatalogEntry>,
    pub(crate) number: u32,
    pub(crate) grant: Grant,
    pub(crate) set: RuleSet,
    /// What humans may do themselves, where it is intersected here.
    pub(crate) rights: Option<Rights>,
    pub(crate) entities: Arc<Entities>,
    /// Every entity that the decision depends on; each must be present.
    #[cfg(test)]
    pub(crate) needed: Vec<EntityUid>,
    /// The first of them that is not; then nothing is decided.
    pub(crate) missing: Option<Box<EntityUid>>,
}

/// Rules, and what Cedar evaluates of them.
#[derive(Clone)]
pub(crate) struct RuleSet {
    pub(crate) rules: Box<[Arc<Rule>]>,
    /// Of all of them. Shared by all sets of equal conditions, whoever the rules are about.
    pub(crate) conditions: Arc<Conditions>,
    /// Without the guards that only forbid where a fact of the call does not hold (`Guard::of_fact`): for calls where all
    /// those facts hold, which is nearly every call.
    pub(crate) ordinary: Arc<Conditions>,
}

/// The conditions of rules, each once, under scopes that a slice has settled.
pub(crate) struct Conditions {
    pub(crate) policies: PolicySet,
    pub(crate) reads: Reads,
    /// The entities that they name.
    pub(crate) literals: Vec<EntityUid>,
    /// Whether a policy was left out; then nothing is decided.
    pub(crate) broken: bool,
}

impl Conditions {
    pub(crate) fn of(rules: &[Arc<Rule>]) -> Conditions {
        let mut policies = PolicySet::new();
        let mut broken = false;
        for rule in rules {
            // Rules of one id have one condition.
            if policies.policy(rule.resolved.id()).is_none() {
                broken |= policies.add(rule.resolved.clone()).is_err();
            }
        }
        let reads = rules.iter().map(|rule| rule.reads.clone());
        let reads = reads.fold(Reads::default(), Reads::and);
        let literals = rules.iter().flat_map(|rule| rule.resolved.entity_literals()).collect();
        Conditions { policies, reads, literals, broken }
    }
}

impl RuleSet {
    /// What Cedar is asked, given whether the facts of all guards of facts hold.
    pub(crate) fn conditions(&self, facts_hold: bool) -> &Conditions {
        if facts_hold { &self.ordinary } else { &self.conditions }
    }

    /// The rules whose conditions have these ids, in their order; `None` if an id is of no rule.
    pub(crate) fn named(&self, ids: &[PolicyId]) -> Option<Vec<Arc<Rule>>> {
        let is_of = |rule: &&Arc<Rule>, id: &PolicyId| rule.resolved.id() == id;
        let known = |id: &PolicyId| self.rules.iter().any(|rule| is_of(&rule, id));
        let named = |rule: &&Arc<Rule>| ids.iter().any(|id| is_of(rule, id));
        ids.iter().all(known).then(|| self.rules.iter().filter(named).cloned().collect())
    }
}

impl Slice {
    pub(crate) fn new(
        published: Arc<Published>,
        agent: Arc<AgentEntry>,
        principal: Arc<Principal>,
        number: u32,
    ) -> Slice {
        #[expect(clippy::expect_used, reason = "the caller found the number in this catalog")]
        let entry = Arc::clone(published.catalog.at(number).expect("a number of the catalog"));
        let grant = agent.reach.grant(number);
        let mut rules = Vec::new();
        if grant.is_granted() {
            rules.push(Guard::Grant.number());
        }
        if grant == Grant::Outside {
            rules.push(Guard::Boundary.number());
        }
        if published.denies_data(&agent, &entry) {
            rules.push(Guard::Data.number());
        }
        rules.extend(entry.asking_guard().map(Guard::number));
        rules.push(agent.users_guard().number());
        rules.push(Guard::Intent.number());
        let rights = Rights::of(&published.declared, &entry);
        rules.extend(rights.is_some().then(|| Guard::Rights.number()));
        if entry.arguments.others == Others::Extra {
            rules.push(Guard::Extra.number());
        }
        // A permit by hand never names a `high` action in the sense of `only:`, so it grants none.
        let unnamed = entry.action.risk == RiskTier::High && !grant.is_granted();
        rules.extend(published.fitting(&agent, &entry).into_iter().filter(|number| {
            let permits = |rule: &Arc<Rule>| rule.effect == Effect::Permit;
            !(unnamed && published.rule(*number).is_some_and(permits))
        }));
        let set = published.set(&rules);
        let entities = Arc::clone(&published.entities);
        let own = [&entry.action_uid, &entry.operation_uid];
        let mut needed: Vec<EntityUid> = Vec::new();
        for uid in
            agent.lineage.iter().chain(own).chain(&entry.groups).chain(&set.conditions.literals)
        {
            if !needed.contains(uid) {
                needed.push(uid.clone());
            }
        }
        let missing = absent(&needed, &entities);
        Slice {
            published,
            principal,
            agent,
            entry,
            number,
            grant,
            set,
            rights,
            entities,
            #[cfg(test)]
            needed,
            missing,
        }
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

    /// Whether the human acted for may do this herself; an agent that acts for itself is not asked.
    pub(crate) fn entitles(&self, user: Option<&UserName>, groups: &BTreeSet<Name>) -> bool {
        match (&self.rights, user) {
            (Some(rights), Some(user)) => rights.of_user(user, groups).is_some(),
            (None, _) | (_, None) => true,
        }
    }

    /// By what the human acted for may do this, where rights are intersected here.
    pub(crate) fn right(&self, user: &UserName, groups: &BTreeSet<Name>) -> Option<&PartyName> {
        self.rights.as_ref()?.of_user(user, groups)
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

/// Cedar takes a missing entity for one without parents: a forbid on its group silently does not match, and no error is
/// reported. What a slice depends on never changes, so it is looked for when the slice is made.
pub(crate) fn absent(needed: &[EntityUid], entities: &Entities) -> Option<Box<EntityUid>> {
    needed.iter().find(|uid| entities.get(uid).is_none()).cloned().map(Box::new)
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
