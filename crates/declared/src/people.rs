//! `humans.people`: who is known on this machine.

use crate::{
    fields::{Fields, items, key_name, members, name},
    node::Entry,
    read::Reading,
    schema::shapes,
};
use model::{Name, UserName};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn read(entry: &Entry, reading: &mut Reading<'_>) -> BTreeMap<UserName, BTreeSet<Name>> {
    let problems = &mut reading.problems;
    let mut out = BTreeMap::new();
    let fields = Fields::open(&entry.value, entry.key.span, &shapes::HUMANS, problems);
    let Some(people) = fields.and_then(|fields| fields.any("people")) else { return out };
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
