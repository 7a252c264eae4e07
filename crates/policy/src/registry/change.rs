//! What differs between two versions, by class, and what must happen before the later one acts.

use super::Snapshot;
use model::{
    Name, PartyName,
    manifest::{Class, Evidence, Manifest, Review, Rule},
};
use std::collections::{BTreeMap, BTreeSet};

/// One difference between two versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// What kind of part.
    pub class: Class,
    /// Which one: a prompt's name, an action.
    pub what: String,
    /// What it was; `-` if it was not there.
    pub from: String,
    /// What it becomes; `-` if it is gone.
    pub to: String,
    /// How that is known.
    pub evidence: Evidence,
}

/// What must happen before a version acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// It acts, with a record; under `notify` its owner is told.
    Pass {
        /// `auto` or `notify`.
        how: &'static str,
    },
    /// Somebody of each of these parties reviews it.
    Review(BTreeSet<PartyName>),
}

/// Everything in which `after` differs from `before`, in the order of a review page.
#[must_use]
pub fn changes(before: &Snapshot, after: &Snapshot) -> Vec<Change> {
    let nothing = Manifest::default();
    let old = before.manifest.as_ref().unwrap_or(&nothing);
    let new = after.manifest.as_ref().unwrap_or(&nothing);
    let mut found = Vec::new();
    let texts = |map: &BTreeMap<String, String>| map.clone();
    let one = |name: &str, value: &Option<String>| -> BTreeMap<String, String> {
        value.iter().map(|value| (name.to_owned(), value.clone())).collect()
    };
    declared(Class::Prompt, (texts(&old.prompts), texts(&new.prompts)), &mut found);
    declared(Class::Model, (one("model", &old.model), one("model", &new.model)), &mut found);
    let integrations = (texts(&old.integrations), texts(&new.integrations));
    declared(Class::Integration, integrations, &mut found);
    declared(Class::Image, (one("image", &old.image), one("image", &new.image)), &mut found);
    tools(old, new, before, after, &mut found);
    reach(before, after, &mut found);
    let place = |change: &Change| Class::ALL.iter().position(|class| *class == change.class);
    found.sort_by(|a, b| (place(a), &a.what).cmp(&(place(b), &b.what)));
    found
}

/// Parts that only the manifest names.
fn declared(
    class: Class,
    (before, after): (BTreeMap<String, String>, BTreeMap<String, String>),
    found: &mut Vec<Change>,
) {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let shown =
            |map: &BTreeMap<String, String>| map.get(name).map_or("-".into(), String::clone);
        let (from, to) = (shown(&before), shown(&after));
        if from != to {
            found.push(Change {
                class,
                what: name.clone(),
                from,
                to,
                evidence: Evidence::Declared,
            });
        }
    }
}

/// Tools that the manifest names and the gate does not see; what the gate sees it says itself.
fn tools(
    old: &Manifest,
    new: &Manifest,
    before: &Snapshot,
    after: &Snapshot,
    found: &mut Vec<Change>,
) {
    let names: BTreeSet<_> = old.tools.keys().chain(new.tools.keys()).collect();
    for name in names {
        if before.reach.contains_key(name) || after.reach.contains_key(name) {
            continue;
        }
        let (from, to) = (old.tools.get(name), new.tools.get(name));
        let class =
            if from.is_some() == to.is_some() { Class::ToolDefinition } else { Class::Tools };
        let shown = |tool: Option<&Option<String>>| match tool {
            None => "-".to_owned(),
            Some(None) => "built in".to_owned(),
            Some(Some(digest)) => digest.clone(),
        };
        let (from, to) = (shown(from), shown(to));
        if from != to {
            let what = name.to_string();
            found.push(Change { class, what, from, to, evidence: Evidence::Declared });
        }
    }
}

/// What the gate itself sees: which actions are in reach, how far, and by which definition.
fn reach(before: &Snapshot, after: &Snapshot, found: &mut Vec<Change>) {
    let names: BTreeSet<_> = before.reach.keys().chain(after.reach.keys()).collect();
    for name in names {
        let (from, to) = (before.reach.get(name), after.reach.get(name));
        let mut add = |class, from: String, to: String| {
            if from != to {
                let what = name.to_string();
                found.push(Change { class, what, from, to, evidence: Evidence::Observed });
            }
        };
        let level = |reached: Option<&super::Reached>| {
            reached.map_or("-".to_owned(), |reached| reached.words().to_owned())
        };
        add(Class::Tools, level(from), level(to));
        if let (Some(from), Some(to)) = (from, to) {
            let shown = |reached: &super::Reached| {
                reached.definition.map_or("unseen".to_owned(), |digest| digest.short())
            };
            add(Class::ToolDefinition, shown(from), shown(to));
        }
    }
}

/// Whether `after` gets anywhere, or further, than `before`.
#[must_use]
pub fn grows(before: &Snapshot, after: &Snapshot) -> bool {
    let level = |reached: Option<&super::Reached>| reached.map(|reached| reached.level);
    after.reach.iter().any(|(action, to)| Some(to.level) > level(before.reach.get(action)))
}

/// What the rules demand of these changes. A change of tools that gives nothing new passes with notice: that its reach
/// does not grow is known from the very reach that is enforced.
#[must_use]
pub fn demand(
    review: Option<&Review>,
    changes: &[Change],
    grows: bool,
    owner: &PartyName,
) -> Demand {
    let Some(review) = review else { return Demand::Pass { how: "auto" } };
    let mut parties = BTreeSet::new();
    let mut notified = false;
    for change in changes {
        match review.rule(change.class) {
            Rule::Auto => {}
            Rule::Notify => notified = true,
            _ if change.class == Class::Tools
                && change.evidence == Evidence::Observed
                && !grows =>
            {
                notified = true;
            }
            Rule::Owner => drop(parties.insert(owner.clone())),
            Rule::Party(party) => drop(parties.insert(party.clone())),
        }
    }
    if !parties.is_empty() {
        return Demand::Review(parties);
    }
    Demand::Pass { how: if notified { "notify" } else { "auto" } }
}

impl Demand {
    /// Whether a person with these groups answers for one of the parties.
    #[must_use]
    pub fn answers(party: &PartyName, person: &Name, groups: &BTreeSet<Name>) -> bool {
        match party {
            PartyName::User(name) => name == person,
            PartyName::Group(name) => groups.contains(name),
            PartyName::Issuer(_) => false,
        }
    }
}
