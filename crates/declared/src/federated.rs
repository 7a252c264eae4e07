//! `credentials.federated`: workloads of foreign issuers. What decides who is let in is compared whole, so that a
//! wildcard is an error and not a name that matches nothing.

use crate::{
    fields::{Fields, duration, items, members, text},
    limits,
    node::{Entry, Node, Span, Value},
    problems::Problems,
    schema::shapes,
};
use model::declared::{Federated, Proof};
use std::collections::BTreeMap;

/// Tokens of GitHub Actions, whose subject anyone can choose by renaming a repository.
const GITHUB: &str = "https://token.actions.githubusercontent.com";

pub(crate) fn read(entry: &Entry, proof: Proof, problems: &mut Problems) -> Option<Vec<Federated>> {
    let all = items(entry, "`federated`", problems);
    all.iter().map(|item| one(item, entry.key.span, proof, problems)).collect()
}

fn one(node: &Node, at: Span, proof: Proof, problems: &mut Problems) -> Option<Federated> {
    let fields = Fields::open(node, at, &shapes::FEDERATED, problems)?;
    let issuer = fields.get("issuer", problems)?;
    let name = exact(&issuer.value, "`issuer`", problems)?.to_owned();
    let private = name.starts_with("https://") || is_loopback(&name);
    if !private || name.ends_with('/') && name.matches('/').count() == 3 {
        let message = "`issuer` is an https URL, exactly as the issuer writes it in `iss`";
        problems.add(issuer.value.span, message, "write `https://issuer.example`");
        return None;
    }
    let subject = fields.get("subject", problems)?;
    let subject = exact(&subject.value, "`subject`", problems)?.to_owned();
    let claims = match fields.get("claims", problems) {
        None => BTreeMap::new(),
        Some(entry) => claims(entry, problems)?,
    };
    let bound_to = |claim: &str| claims.contains_key(claim);
    if name == GITHUB
        && !(bound_to("repository_id") && (bound_to("environment") || bound_to("ref")))
    {
        let message = "a workflow of GitHub is named by `repository_id` and `environment` or `ref`";
        let fix = "add them to `claims`: names of repositories can be given away and taken";
        problems.add(issuer.value.span, message, fix);
        return None;
    }
    let max_age = match fields.get("max_age", problems) {
        None => limits::FEDERATED_AGE,
        Some(entry) => duration(&entry.value, "`max_age`", limits::FEDERATED_AGE_MAX, problems)?,
    };
    let pin = pin(&fields, proof, problems)?;
    Some(Federated { issuer: name, subject, claims, max_age, pin })
}

/// The claim that a reused assertion's key is pinned by; nothing where each assertion counts once.
fn pin(fields: &Fields<'_>, proof: Proof, problems: &mut Problems) -> Option<Option<String>> {
    let single = fields.get("single_use", problems);
    let pin = fields.get("pin", problems);
    let reused = match single {
        None => None,
        Some(entry) => match &entry.value.value {
            Value::Boolean(single) => (!single).then_some(entry),
            _ => {
                let message = "`single_use` is `true` or `false`";
                problems.add(entry.value.span, message, "write `true` or `false`");
                return None;
            }
        },
    };
    match (reused, pin) {
        (None, None) => Some(None),
        (None, Some(pin)) => {
            let message = "`pin` is for assertions that are used again, and these count once";
            problems.add(
                pin.key.span,
                message,
                "write `single_use: false` beside it, or leave it out",
            );
            None
        }
        (Some(reused), _) if proof == Proof::None => {
            let message = "an assertion that is used again must come with a key, and `proof: none` asks for none";
            let fix = "write `proof: dpop` or `proof: mtls`, or leave `single_use` out";
            problems.add(reused.value.span, message, fix);
            None
        }
        (Some(reused), None) => {
            let message = "an assertion that is used again needs `pin`: whose key it is bound to";
            let fix = "write `pin: /kubernetes.io/pod/uid`, or `pin: sub` where the subject is one workload";
            problems.add(reused.value.span, message, fix);
            None
        }
        (Some(_), Some(pin)) => Some(Some(claim(&pin.value, problems)?)),
    }
}

/// The name of a claim, or a JSON pointer to one.
fn claim(node: &Node, problems: &mut Problems) -> Option<String> {
    let path = text(node, "`pin`", problems)?;
    let steps = path.strip_prefix('/').unwrap_or(path).split('/');
    let is_pointer = path.starts_with('/') && steps.clone().all(|step| !step.is_empty());
    if is_pointer || !path.is_empty() && !path.contains('/') {
        return Some(path.to_owned());
    }
    let message = "`pin` is the name of a claim, or a JSON pointer to one that begins with `/`";
    problems.add(node.span, message, "write `sub`, or `/kubernetes.io/pod/uid`");
    None
}

fn claims(entry: &Entry, problems: &mut Problems) -> Option<BTreeMap<String, String>> {
    let mut out = BTreeMap::new();
    for (member, name) in members(entry, "`claims`", problems) {
        let value = match &member.value.value {
            // An id is a number to YAML and text to most issuers; either way it is compared as it is written.
            Value::Integer(number) => number.to_string(),
            Value::Boolean(truth) => truth.to_string(),
            _ => exact(&member.value, "a claim", problems)?.to_owned(),
        };
        out.insert(name.to_owned(), value);
    }
    Some(out)
}

/// Text without wildcards.
fn exact<'a>(node: &'a Node, what: &str, problems: &mut Problems) -> Option<&'a str> {
    let text = text(node, what, problems)?;
    if text.contains(['*', '?']) {
        let message = format!("{what} is compared whole, and this has a wildcard");
        let fix =
            "write each workload out: a pattern would let in whoever can choose a name that fits";
        problems.add(node.span, message, fix);
        return None;
    }
    Some(text)
}

fn is_loopback(issuer: &str) -> bool {
    ["http://127.0.0.1:", "http://[::1]:", "http://localhost:"]
        .iter()
        .any(|prefix| issuer.starts_with(prefix))
}
