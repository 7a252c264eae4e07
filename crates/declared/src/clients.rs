//! `clients`: who uses the control API, and what for: to open tasks, of which agent and intents, and to read or stop.

use crate::{
    fields::{Fields, items, name, refused_path, text, word},
    node::Entry,
    read::Reading,
    references::Mention,
    schema::shapes,
};
use model::{
    Name,
    declared::{ApiRight, Client, Shown},
};
use std::collections::BTreeSet;

pub(crate) fn read(client: &Name, entry: &Entry, reading: &mut Reading<'_>) -> Option<Client> {
    let line = reading.line(entry);
    let Reading { problems, references, .. } = reading;
    let fields = Fields::open(&entry.value, entry.key.span, &shapes::CLIENT, problems)?;
    references.client(client, entry.key.span);
    let (of_agent, opens) = (fields.get("agent", problems), fields.get("may_open", problems));
    if of_agent.is_some() != opens.is_some() {
        let message = "`agent` and `may_open` are stated together";
        problems.add(
            entry.key.span,
            message,
            "write `agent: NAME, may_open: [INTENT]`, or neither",
        );
    }
    let agent = of_agent.and_then(|entry| {
        let agent = name(&entry.value, "`agent`", problems)?;
        references.mention(Mention::Agent, &agent, entry.value.span);
        Some(agent)
    });
    let mut may_open = BTreeSet::new();
    if let Some(entry) = opens {
        for item in items(entry, "`may_open`", problems) {
            let Some(intent) = name(item, "an intent", problems) else { continue };
            references.mention(Mention::Intent, &intent, item.span);
            may_open.insert(intent);
        }
    }
    let known = [ApiRight::Read, ApiRight::Stop].map(|right| (right.as_str(), right));
    let mut may = BTreeSet::new();
    if let Some(entry) = fields.get("may", problems) {
        for item in items(entry, "`may`", problems) {
            may.extend(word(item, "something a client may do", &known, &[], problems));
        }
    }
    if of_agent.is_none() && opens.is_none() && may.is_empty() {
        let message = format!("client `{client}` may do nothing");
        let fix = "write `may: [read]`, or `agent: NAME, may_open: [INTENT]`";
        problems.add(entry.key.span, message, fix);
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
    Some(Client { agent, may_open, may, keys, humans, line })
}
