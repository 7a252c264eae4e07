//! What a change of declared state does to access: what becomes reachable or unreachable, and what else it widens (S14).

mod declared;

use crate::agent::{AgentEntry, Grant};
use crate::catalog::CatalogEntry;
use crate::compiled::{Compiled, Published};
use crate::guard::Guard;
use cedar_policy::Effect;
use model::{ActionId, AgentName};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Whether a difference gives more or takes away. What cannot be told apart counts as giving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Somebody may do more, or is held back less.
    Widens,
    /// Nobody may do more.
    Narrows,
    /// It changes what is shown or said, not what may be done.
    Neutral,
}

impl Direction {
    /// The word in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::Widens => "widens",
            Direction::Narrows => "narrows",
            Direction::Neutral => "neutral",
        }
    }

    fn growing(grows: bool) -> Direction {
        if grows { Direction::Widens } else { Direction::Narrows }
    }
}

/// One difference between two states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which way.
    pub direction: Direction,
    /// What kind of thing: `access`, `risk`, `approval`, `upstream`, …
    pub what: &'static str,
    /// Which one: an agent and an action, a rule, an upstream.
    pub subject: String,
    /// What it was; `-` if it was not there.
    pub from: String,
    /// What it becomes; `-` if it is gone.
    pub to: String,
}

/// How far an agent gets with an action, by what is known before any call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    ByIntent,
    ByPolicy,
    Ask,
    Allow,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::ByIntent => "under an intent",
            Level::ByPolicy => "where a policy permits",
            Level::Ask => "ask",
            Level::Allow => "allow",
        })
    }
}

/// The differences that are collected.
#[derive(Default)]
struct Found(Vec<Difference>);

impl Found {
    fn add(
        &mut self,
        direction: Direction,
        what: &'static str,
        subject: impl fmt::Display,
        (from, to): (impl fmt::Display, impl fmt::Display),
    ) {
        self.0.push(Difference {
            direction,
            what,
            subject: subject.to_string(),
            from: from.to_string(),
            to: to.to_string(),
        });
    }

    /// Adds it if the two differ.
    fn compare<T: PartialEq + fmt::Display>(
        &mut self,
        what: &'static str,
        subject: impl fmt::Display,
        (from, to): (&T, &T),
        direction: Direction,
    ) {
        if from != to {
            self.add(direction, what, subject, (from, to));
        }
    }
}

impl Compiled {
    /// Everything in which `after` differs from this state, what widens first.
    #[must_use]
    pub fn differences(&self, after: &Compiled) -> Vec<Difference> {
        let (before, after) = (&*self.published, &*after.published);
        let mut found = Found::default();
        access(before, after, &mut found);
        catalog(before, after, &mut found);
        policies(before, after, &mut found);
        declared::compare(&before.declared, &after.declared, &mut found);
        found.0.sort_by(|a, b| {
            (a.direction, a.what, &a.subject).cmp(&(b.direction, b.what, &b.subject))
        });
        found.0
    }
}

fn access(before: &Published, after: &Published, found: &mut Found) {
    let (before, after) = (levels(before), levels(after));
    let pairs: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for pair in pairs {
        let (from, to) = (before.get(pair), after.get(pair));
        if from != to {
            let shown = |level: Option<&Level>| level.map_or("-".to_owned(), Level::to_string);
            let subject = format!("{} {}", pair.0, pair.1);
            found.add(Direction::growing(to > from), "access", subject, (shown(from), shown(to)));
        }
    }
}

fn levels(published: &Published) -> BTreeMap<(&AgentName, &ActionId), Level> {
    let mut levels = BTreeMap::new();
    for agent in published.agents.values() {
        for (action, grant) in agent.reach.actions.iter().zip(&agent.reach.grants) {
            let Some(entry) = published.catalog.at(*action) else { continue };
            if let Some(level) = level(published, agent, entry, *grant) {
                levels.insert((&agent.name, &entry.id), level);
            }
        }
    }
    levels
}

impl Compiled {
    /// How far an agent gets with which action, and by which pinned definition.
    #[must_use]
    pub fn reach(&self, agent: &AgentName) -> BTreeMap<ActionId, crate::registry::Reached> {
        let published = &*self.published;
        let Some(agent) = published.agents.get(agent) else { return BTreeMap::new() };
        let pairs = agent.reach.actions.iter().zip(&agent.reach.grants);
        let reached = pairs.filter_map(|(action, grant)| {
            let entry = published.catalog.at(*action)?;
            let level = level(published, agent, entry, *grant)? as u8;
            let definition = entry.definition;
            Some((entry.id.clone(), crate::registry::Reached { level, definition }))
        });
        reached.collect()
    }
}

fn level(
    published: &Published,
    agent: &AgentEntry,
    entry: &CatalogEntry,
    grant: Grant,
) -> Option<Level> {
    if published.denies_data(agent, entry) {
        return None;
    }
    match grant {
        Grant::Yes if entry.asking_guard().is_some() => Some(Level::Ask),
        Grant::Yes => Some(Level::Allow),
        Grant::ByIntent => Some(Level::ByIntent),
        Grant::No => {
            let number = published.catalog.find(&entry.id)?;
            published.is_grantable(agent, number, entry).then_some(Level::ByPolicy)
        }
        Grant::Outside => None,
    }
}

fn catalog(before: &Published, after: &Published, found: &mut Found) {
    for old in &before.catalog.entries {
        let Some(new) = after.catalog.get(&old.id) else {
            found.add(Direction::Narrows, "action", &old.id, ("catalogued", "-"));
            continue;
        };
        let (a, b) = (&old.action, &new.action);
        let growing = Direction::growing;
        found.compare("risk", &old.id, (&a.risk, &b.risk), growing(b.risk < a.risk));
        let less = old.is_consequential() && !new.is_consequential();
        let effect =
            (format!("{}, sink {}", a.effect, a.sink), format!("{}, sink {}", b.effect, b.sink));
        let which = if less { Direction::Widens } else { Direction::Neutral };
        found.compare("effect", &old.id, (&effect.0, &effect.1), which);
        let list = |texts: &mut dyn Iterator<Item = &String>| {
            let all: Vec<&str> = texts.map(String::as_str).collect();
            if all.is_empty() { "-".to_owned() } else { all.join(", ") }
        };
        let data = (list(&mut a.data.iter()), list(&mut b.data.iter()));
        found.compare("data", &old.id, (&data.0, &data.1), growing(!a.data.is_subset(&b.data)));
        let returns = (list(&mut a.returns.iter()), list(&mut b.returns.iter()));
        let more = b.returns.is_empty()
            || (!a.returns.is_empty() && b.returns.iter().any(|kept| !a.returns.contains(kept)));
        found.compare("returns", &old.id, (&returns.0, &returns.1), growing(more));
        let asked = |entry: &CatalogEntry| match entry.asking_guard() {
            Some(Guard::High | Guard::Approval) => entry.approval_rule().to_string(),
            _ => "-".to_owned(),
        };
        let (from, to) = (asked(old), asked(new));
        let weaker = from != "-";
        found.compare("asks", &old.id, (&from, &to), growing(weaker));
        let before = (texts(&a.before), texts(&b.before));
        let fewer = a.before.iter().any(|hook| !b.before.contains(hook));
        found.compare("before", &old.id, (&before.0, &before.1), growing(fewer));
        let done = (texts(&a.after), texts(&b.after));
        let fewer = a.after.iter().any(|hook| !b.after.contains(hook));
        found.compare("after", &old.id, (&done.0, &done.1), growing(fewer));
        let route = (format!("{:?}", a.route), format!("{:?}", b.route));
        if route.0 != route.1 {
            found.add(Direction::Widens, "route", &old.id, ("another", "another"));
        }
    }
    for new in after.catalog.entries.iter().filter(|new| before.catalog.get(&new.id).is_none()) {
        found.add(
            Direction::Neutral,
            "action",
            &new.id,
            ("-", format!("{} {}", new.action.risk, new.action.effect)),
        );
    }
}

fn texts(list: &[impl fmt::Display]) -> String {
    let all: Vec<String> = list.iter().map(ToString::to_string).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

fn policies(before: &Published, after: &Published, found: &mut Found) {
    let of = |published: &Published| -> BTreeMap<String, (String, bool)> {
        let rules = published.written.iter().map(|written| &written.rule);
        let one = |rule: &crate::rule::Rule| {
            (rule.id.clone(), (rule.text.clone(), rule.effect == Effect::Permit))
        };
        rules.map(one).collect()
    };
    let (before, after) = (of(before), of(after));
    for (id, (text, permits)) in &before {
        match after.get(id) {
            None => found.add(Direction::growing(!permits), "policy", id, ("there", "-")),
            Some((new, _)) if new != text => {
                found.add(Direction::Widens, "policy", id, ("another text", "another text"));
            }
            Some(_) => {}
        }
    }
    for (id, (_, permits)) in after.iter().filter(|(id, _)| !before.contains_key(*id)) {
        found.add(Direction::growing(*permits), "policy", id, ("-", "there"));
    }
}
