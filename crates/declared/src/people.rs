//! `humans`: who is known on this machine, which issuers name others, and what groups of them may do.

use crate::{
    agents::pattern,
    fields::{Fields, items, key_name, members, name, refused, text},
    limits,
    node::{Entry, Node},
    problems::Problems,
    read::Reading,
    schema::shapes,
};
use model::{
    Name, UserName,
    declared::{ActionPattern, Declared, HumanIssuer},
};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn read(entry: &Entry, declared: &mut Declared, reading: &mut Reading<'_>) {
    let fields = Fields::open(&entry.value, entry.key.span, &shapes::HUMANS, &mut reading.problems);
    let Some(fields) = fields else { return };
    if let Some(people) = fields.any("people") {
        declared.people = read_people(people, &mut reading.problems);
    }
    if let Some(issuers) = fields.any("issuers") {
        declared.issuers = read_issuers(issuers, reading);
    }
    if let Some(groups) = fields.any("groups") {
        declared.rights = read_rights(groups, reading);
    }
}

fn read_people(people: &Entry, problems: &mut Problems) -> BTreeMap<UserName, BTreeSet<Name>> {
    let mut out = BTreeMap::new();
    for (block, text) in members(people, "`people`", problems) {
        let Some(person) = key_name(block, text, problems) else { continue };
        let Some(fields) = Fields::open(&block.value, block.key.span, &shapes::PERSON, problems)
        else {
            continue;
        };
        let groups = match fields.get("groups", problems) {
            None => BTreeSet::new(),
            Some(groups) => items(groups, "`groups`", problems)
                .iter()
                .filter_map(|group| name(group, "a group", problems))
                .collect(),
        };
        out.insert(person.into(), groups);
    }
    out
}

fn read_issuers(issuers: &Entry, reading: &mut Reading<'_>) -> BTreeMap<Name, HumanIssuer> {
    let mut out = BTreeMap::new();
    for (block, text) in members(issuers, "`issuers`", &mut reading.problems) {
        let Some(issuer) = key_name(block, text, &mut reading.problems) else { continue };
        reading.references.declare("humans.issuers", &issuer);
        if let Some(read) = read_issuer(block, reading) {
            out.insert(issuer, read);
        }
    }
    out
}

fn read_issuer(block: &Entry, reading: &mut Reading<'_>) -> Option<HumanIssuer> {
    let line = reading.line(block);
    let shape = &shapes::HUMAN_ISSUER;
    let fields = Fields::open(&block.value, block.key.span, shape, &mut reading.problems)?;
    let url = fields.get("url", &mut reading.problems);
    let url = url.and_then(|url| issuer_url(&url.value, &mut reading.problems));
    let mut claim = |key: &str, what: &str| {
        let entry = fields.get(key, &mut reading.problems)?;
        let found = text(&entry.value, what, &mut reading.problems)?;
        if found.len() > limits::CLAIM_CHARS {
            let message = format!("{what} is longer than {} characters", limits::CLAIM_CHARS);
            reading.problems.add(entry.value.span, message, "shorten it");
            return None;
        }
        Some(found.to_owned())
    };
    let subject = claim("subject", "`subject`").unwrap_or_else(|| "sub".to_owned());
    let audience = claim("audience", "`audience`");
    let actions =
        fields.get("actions", &mut reading.problems).map(|entry| read_actions(entry, reading));
    Some(HumanIssuer { url: url?, subject, audience, actions, line })
}

/// A token of an issuer that is asked without TLS says what whoever sits on the wire wants.
fn issuer_url(node: &Node, problems: &mut Problems) -> Option<String> {
    let url = text(node, "`url`", problems)?;
    let local = ["http://127.0.0.1", "http://[::1]", "http://localhost"];
    let is_local = local.iter().any(|place| {
        url.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    });
    let secure = url.strip_prefix("https://").is_some_and(|rest| !rest.is_empty());
    let plain = !url.contains(['?', '#', '@']) && !url.contains(char::is_whitespace);
    if (secure || is_local) && plain {
        return Some(url.to_owned());
    }
    let fix = "write it exactly as its tokens state `iss`: `https://id.example`";
    problems.add(node.span, "an issuer is named by an `https` URL", fix);
    None
}

fn read_rights(
    groups: &Entry,
    reading: &mut Reading<'_>,
) -> BTreeMap<Name, BTreeSet<ActionPattern>> {
    let mut out = BTreeMap::new();
    for (block, text) in members(groups, "`groups`", &mut reading.problems) {
        let Some(group) = key_name(block, text, &mut reading.problems) else { continue };
        let shape = &shapes::GROUP;
        let fields = Fields::open(&block.value, block.key.span, shape, &mut reading.problems);
        let Some(fields) = fields else { continue };
        if let Some(actions) = fields.get("actions", &mut reading.problems) {
            out.insert(group, read_actions(actions, reading));
        }
    }
    out
}

fn read_actions(entry: &Entry, reading: &mut Reading<'_>) -> BTreeSet<ActionPattern> {
    let mut out = BTreeSet::new();
    for item in items(entry, "`actions`", &mut reading.problems) {
        let Some(found) = text(item, "an action", &mut reading.problems) else { continue };
        if let Some(found) = refused(item.span, found, pattern, &mut reading.problems) {
            reading.references.may(&found, item.span);
            out.insert(found);
        }
    }
    out
}
