//! `clients`: who may open tasks, of which agent and intents.

use crate::{
    fields::{Fields, items, name, refused_path, text, word},
    node::Entry,
    read::Reading,
    references::Mention,
    schema::shapes,
};
use model::{
    Name,
    declared::{Orchestrator, Shown},
};
use std::collections::BTreeSet;

pub(crate) fn read(
    client: &Name,
    entry: &Entry,
    reading: &mut Reading<'_>,
) -> Option<Orchestrator> {
    let line = reading.line(entry);
    let Reading { problems, references, .. } = reading;
    let fields = Fields::open(&entry.value, entry.key.span, &shapes::CLIENT, problems)?;
    references.client(client, entry.key.span);
    let agent = fields.get("agent", problems).and_then(|entry| {
        let agent = name(&entry.value, "`agent`", problems)?;
        references.mention(Mention::Agent, &agent, entry.value.span);
        Some(agent)
    });
    let mut may_open = BTreeSet::new();
    if let Some(entry) = fields.get("may_open", problems) {
        for item in items(entry, "`may_open`", problems) {
            let Some(intent) = name(item, "an intent", problems) else { continue };
            references.mention(Mention::Intent, &intent, item.span);
            may_open.insert(intent);
        }
    }
    let keys = match fields.get("keys", problems) {
        None => None,
        Some(entry) => {
            let path = text(&entry.value, "`keys`", problems)?;
            let example = ("the key file", "keys/portal.jwks");
            refused_path(entry.value.span, path, example, problems)?;
            Some(path.to_owned())
        }
    };
    let known = [("proven", Shown::Proven), ("stated", Shown::Stated)];
    let humans = match fields.get("humans", problems) {
        None => Shown::Proven,
        Some(entry) => word(&entry.value, "a way to show a human", &known, &[], problems)?,
    };
    Some(Orchestrator { agent: agent?, may_open, keys, humans, line })
}
