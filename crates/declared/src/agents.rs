//! `agents`: who may act.

use crate::{
    fields::{Fields, duration, items, name, party, refused, refused_path, text},
    governance, limits,
    node::{Entry, Node, Value},
    problems::Problems,
    read::Reading,
    references::Mention,
    schema::shapes,
};
use model::{
    ActionId, Name, Network, PartyName, SpiffeId, Timestamp,
    declared::{ActionPattern, Agent, Credentials, Proof},
};

pub(crate) fn read(agent: &Name, entry: &Entry, reading: &mut Reading<'_>) -> Option<Agent> {
    let line = reading.line(entry);
    let problems = &mut reading.problems;
    let fields = Fields::open(&entry.value, entry.key.span, &shapes::AGENT, problems)?;
    let purpose = fields.get("purpose", problems).and_then(|entry| purpose(&entry.value, problems));
    let owner =
        fields.get("owner", problems).and_then(|entry| owner(&entry.value, "`owner`", problems));
    let boundary = fields.get("boundary", problems).and_then(|entry| {
        let boundary = name(&entry.value, "`boundary`", problems)?;
        reading.references.mention(Mention::Boundary, &boundary, entry.value.span);
        Some(boundary)
    });
    let users = fields.get("users", problems).and_then(|entry| users(&entry.value, reading));
    let problems = &mut reading.problems;
    let credentials = match fields.get("credentials", problems) {
        Some(entry) => credentials(entry, problems),
        None => Some(Credentials::default()),
    };
    let may_act = may_act(&fields, reading);
    let problems = &mut reading.problems;
    let observe_until = mode(&fields, problems);
    let governance = governance::read(&fields, problems);
    let only = fields.get("only", problems).map(|entry| {
        let mut out = Vec::new();
        for item in items(entry, "`only`", problems) {
            let Some(found) = text(item, "an action", problems) else { continue };
            let Some(found) = refused(item.span, found, pattern, problems) else { continue };
            if out.contains(&found) {
                problems.add(item.span, "this action is here twice", "keep one of the two");
            }
            reading.references.only(agent, &found, item.span);
            out.push(found);
        }
        out
    });
    Some(Agent {
        purpose: purpose?,
        owner: owner?,
        boundary: boundary?,
        only,
        users,
        may_act,
        credentials: credentials?,
        observe_until: observe_until?,
        governance: governance?,
        line,
    })
}

/// Who may act on the agent's account.
fn may_act(fields: &Fields<'_>, reading: &mut Reading<'_>) -> Vec<Name> {
    let problems = &mut reading.problems;
    let mut all = Vec::new();
    let Some(entry) = fields.get("may_act", problems) else { return all };
    for item in items(entry, "`may_act`", problems) {
        let Some(found) = name(item, "an agent", problems) else { continue };
        if all.contains(&found) {
            problems.add(item.span, "this agent is here twice", "keep one of the two");
            continue;
        }
        reading.references.mention(Mention::Agent, &found, item.span);
        all.push(found);
    }
    if all.len() > limits::MAY_ACT {
        let message = format!("`may_act` names more than {} agents", limits::MAY_ACT);
        problems.add(entry.value.span, message, "name only those that this agent hands work to");
    }
    all.sort();
    all
}

/// The end of `mode: observe`, which must be stated; `None` inside: it enforces.
fn mode(fields: &Fields<'_>, problems: &mut Problems) -> Option<Option<Timestamp>> {
    let known = [("observe", true), ("enforce", false)];
    let mode = fields.get("mode", problems);
    let observes = match mode {
        Some(entry) => crate::fields::word(&entry.value, "a mode", &known, &[], problems)?,
        None => false,
    };
    let until = match fields.get("observe_until", problems) {
        Some(entry) => {
            let day = text(&entry.value, "`observe_until`", problems)?;
            let Some(day) = Timestamp::from_date(day) else {
                let message = "`observe_until` is not a day";
                problems.add(entry.value.span, message, "write it as `2026-12-15`");
                return None;
            };
            Some((day, entry.key.span))
        }
        None => None,
    };
    match (mode, observes, until) {
        (Some(mode), true, None) => {
            let message = "`mode: observe` needs an end";
            let fix = "add `observe_until: YYYY-MM-DD`, at most 30 days ahead";
            problems.add(mode.key.span, message, fix);
            None
        }
        (_, true, Some((day, _))) => Some(Some(day)),
        (_, false, Some((_, span))) => {
            let message = "`observe_until` is the end of `mode: observe`, which is not stated";
            problems.add(span, message, "add `mode: observe`, or remove `observe_until`");
            None
        }
        (_, false, None) => Some(None),
        (None, true, None) => None,
    }
}

/// `upstream.operation` or `upstream.*`.
pub(crate) fn pattern(text: &str) -> Result<ActionPattern, model::NameError> {
    match text.strip_suffix(".*") {
        Some(upstream) => Name::new(upstream).map(ActionPattern::All),
        None => ActionId::parse(text).map(ActionPattern::Exact),
    }
}

fn purpose(node: &Node, problems: &mut Problems) -> Option<String> {
    let text = text(node, "`purpose`", problems)?;
    if text.chars().count() > limits::PURPOSE_CHARS {
        let message = format!("`purpose` is longer than {} characters", limits::PURPOSE_CHARS);
        problems.add(node.span, message, "say it in a sentence");
        return None;
    }
    Some(text.into())
}

pub(crate) fn owner(node: &Node, what: &str, problems: &mut Problems) -> Option<PartyName> {
    match party(node, what, problems)? {
        PartyName::Issuer(_) => {
            let message = "who answers for an agent is a human or a group who can be asked";
            problems.add(node.span, message, "write `user:NAME` or `group:NAME`");
            None
        }
        owner => Some(owner),
    }
}

fn users(node: &Node, reading: &mut Reading<'_>) -> Option<PartyName> {
    let users = party(node, "`users`", &mut reading.problems)?;
    if let PartyName::Issuer(issuer) = &users {
        reading.references.mention(Mention::Issuer, issuer, node.span);
    }
    Some(users)
}

/// What others call a secret that agent and gateway share.
const SHARED_SECRETS: [&str; 6] =
    ["client_secret", "secret", "secrets", "api_key", "password", "token"];

/// A shared secret among the keys: whoever reads it once is the agent for ever.
fn refuse_shared_secret(entry: &Entry, problems: &mut Problems) -> Option<()> {
    let Value::Map(entries) = &entry.value.value else { return Some(()) };
    let shared = entries.iter().find(|member| {
        matches!(&member.key.value, Value::Text(name) if SHARED_SECRETS.contains(&name.as_str()))
    });
    let Some(shared) = shared else { return Some(()) };
    let message = "an agent has no shared secret: whoever reads it once is the agent";
    let fix = "give its public key (`keys:`), or a workload (`federated:`, `spiffe_id:`), or run it behind `ambit bridge`";
    problems.add(shared.key.span, message, fix);
    None
}

fn credentials(entry: &Entry, problems: &mut Problems) -> Option<Credentials> {
    refuse_shared_secret(entry, problems)?;
    let fields = Fields::open(&entry.value, entry.key.span, &shapes::CREDENTIALS, problems)?;
    let proof = match fields.get("proof", problems) {
        None => Proof::Dpop,
        Some(entry) => proof(&entry.value, problems)?,
    };
    let keys = match fields.get("keys", problems) {
        None => None,
        Some(entry) => {
            let path = text(&entry.value, "`keys`", problems)?;
            refused_path(entry.value.span, path, ("the key file", "keys/helpdesk.jwks"), problems)?;
            Some(path.to_owned())
        }
    };
    let ttl = match fields.get("ttl", problems) {
        None => limits::TTL_DEFAULT,
        Some(entry) => duration(&entry.value, "`ttl`", limits::TTL_MAX, problems)?,
    };
    let max_age = match fields.get("max_age", problems) {
        None => None,
        Some(entry) => Some(duration(&entry.value, "`max_age`", limits::MAX_AGE_MAX, problems)?),
    };
    let spiffe_id = match fields.get("spiffe_id", problems) {
        None => None,
        Some(entry) => {
            let id = text(&entry.value, "`spiffe_id`", problems)?;
            Some(refused(entry.value.span, id, SpiffeId::parse, problems)?)
        }
    };
    let federated = match fields.get("federated", problems) {
        None => Vec::new(),
        Some(entry) => crate::federated::read(entry, proof, problems)?,
    };
    let networks = match fields.get("networks", problems) {
        None => Vec::new(),
        Some(entry) => networks(entry, problems)?,
    };
    Some(Credentials { proof, keys, ttl, max_age, spiffe_id, federated, networks })
}

/// Where requests come from. An empty list would be nobody, which is not how an agent is stopped.
fn networks(entry: &Entry, problems: &mut Problems) -> Option<Vec<Network>> {
    let all = items(entry, "`networks`", problems);
    if let Value::List(items) = &entry.value.value
        && (items.is_empty() || items.len() > limits::NETWORKS)
    {
        let message = format!("`networks` lists 1 to {} networks", limits::NETWORKS);
        problems.add(entry.value.span, message, "remove it for any network");
        return None;
    }
    let read = |item: &Node, problems: &mut Problems| {
        let found = text(item, "a network", problems)?;
        refused(item.span, found, Network::parse, problems)
    };
    let read: Vec<_> = all.iter().map(|item| read(item, problems)).collect();
    let mut networks = read.into_iter().collect::<Option<Vec<_>>>()?;
    networks.sort();
    networks.dedup();
    (!networks.is_empty()).then_some(networks)
}

fn proof(node: &Node, problems: &mut Problems) -> Option<Proof> {
    match &node.value {
        Value::Boolean(_) => {
            let message = "`proof` is `dpop`, `mtls` or `none`";
            problems.add(node.span, message, "write `none` for a bearer token");
            None
        }
        _ => crate::fields::word(
            node,
            "a proof",
            &[("dpop", Proof::Dpop), ("mtls", Proof::Mtls), ("none", Proof::None)],
            &[("bearer", "none")],
            problems,
        ),
    }
}
