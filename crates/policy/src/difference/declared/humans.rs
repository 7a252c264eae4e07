//! What differs in who humans are, what they may do, and who opens tasks for them.

use super::{each, or_none};
use crate::agent::pattern_text;
use crate::difference::{Direction, Found};
use model::Name;
use model::declared::{ActionPattern, Client, Declared, HumanIssuer, Shown};
use std::collections::BTreeSet;

pub(super) fn compare(before: &Declared, after: &Declared, found: &mut Found) {
    let widens = Direction::Widens;
    each("issuer", (&before.issuers, &after.issuers), widens, found, issuer);
    each("client", (&before.clients, &after.clients), widens, found, client);
    let states = |declared: &Declared| {
        !declared.rights.is_empty() || declared.issuers.values().any(|one| one.actions.is_some())
    };
    // Where nobody's rights are stated, everybody has what agents have.
    found.compare(
        "rights",
        "humans",
        (&word(states(before)), &word(states(after))),
        Direction::growing(states(before) && !states(after)),
    );
    if states(before) && states(after) {
        each("rights", (&before.rights, &after.rights), widens, found, |group, a, b, found| {
            rights(group, a, b, found);
        });
    }
}

fn word(states: bool) -> &'static str {
    if states { "stated" } else { "not stated" }
}

fn rights(
    group: &Name,
    a: &BTreeSet<ActionPattern>,
    b: &BTreeSet<ActionPattern>,
    found: &mut Found,
) {
    found.compare("may", group, (&list(a), &list(b)), Direction::growing(!b.is_subset(a)));
}

fn list(actions: &BTreeSet<ActionPattern>) -> String {
    let texts: Vec<String> = actions.iter().map(pattern_text).collect();
    texts.join(", ")
}

fn issuer(name: &Name, a: &HumanIssuer, b: &HumanIssuer, found: &mut Found) {
    let widens = Direction::Widens;
    found.compare("url", name, (&a.url, &b.url), widens);
    found.compare("subject", name, (&a.subject, &b.subject), widens);
    let audience = |one: &HumanIssuer| or_none(one.audience.as_ref());
    found.compare("audience", name, (&audience(a), &audience(b)), widens);
    let may = |one: &HumanIssuer| one.actions.as_ref().map_or("-".to_owned(), list);
    let grows = match (&a.actions, &b.actions) {
        (Some(a), Some(b)) => !b.is_subset(a),
        (None, Some(_)) => true,
        (_, None) => false,
    };
    found.compare("may", name, (&may(a), &may(b)), Direction::growing(grows));
}

fn client(name: &Name, a: &Client, b: &Client, found: &mut Found) {
    let widens = Direction::Widens;
    let agent = |one: &Client| or_none(one.agent.as_ref());
    found.compare("agent", name, (&agent(a), &agent(b)), widens);
    let may = |one: &Client| {
        let words: Vec<&str> = one.may.iter().map(|right| right.as_str()).collect();
        words.join(", ")
    };
    let grows = !b.may.is_subset(&a.may);
    found.compare("may", name, (&may(a), &may(b)), Direction::growing(grows));
    let opens = |one: &Client| {
        let names: Vec<&str> = one.may_open.iter().map(Name::as_str).collect();
        names.join(", ")
    };
    let grows = !b.may_open.is_subset(&a.may_open);
    found.compare("may_open", name, (&opens(a), &opens(b)), Direction::growing(grows));
    let keys = |one: &Client| or_none(one.keys.as_ref());
    found.compare("keys", name, (&keys(a), &keys(b)), widens);
    let shown = |one: &Client| match one.humans {
        Shown::Proven => "proven",
        Shown::Stated => "stated",
    };
    let grows = b.humans == Shown::Stated;
    found.compare("humans", name, (&shown(a), &shown(b)), Direction::growing(grows));
}
