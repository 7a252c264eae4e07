//! What differs in declared state beside the catalog: agents, upstreams, boundaries, intents, rules, people.

mod humans;

use super::{Direction, Found};
use model::declared::{
    Agent, ApprovalProof, ApprovalRule, Approvers, Boundary, CallLimit, CredentialSource, Declared,
    Federated, Governance, Hook, Intent, Proof, Upstream,
};
use model::manifest::Review;
use model::{Duration, Name, Network, PartyName};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

pub(super) fn compare(before: &Declared, after: &Declared, found: &mut Found) {
    each("agent", (&before.agents, &after.agents), Direction::Widens, found, agent);
    each("upstream", (&before.upstreams, &after.upstreams), Direction::Neutral, found, upstream);
    each("boundary", (&before.boundaries, &after.boundaries), Direction::Neutral, found, boundary);
    each("intent", (&before.intents, &after.intents), Direction::Neutral, found, intent);
    each("approval", (&before.approvals, &after.approvals), Direction::Neutral, found, approval);
    each("hook", (&before.hooks, &after.hooks), Direction::Neutral, found, hook);
    people(&before.people, &after.people, found);
    humans::compare(before, after, found);
    if before.tests != after.tests {
        let counts = (before.tests.len(), after.tests.len());
        found.add(Direction::Neutral, "tests", "tests", counts);
    }
}

/// Walks two maps of one kind; `new` is what a new entry is by itself, and one that is gone narrows.
fn each<T>(
    what: &'static str,
    (before, after): (&BTreeMap<Name, T>, &BTreeMap<Name, T>),
    new: Direction,
    found: &mut Found,
    compare: impl Fn(&Name, &T, &T, &mut Found),
) {
    for (name, old) in before {
        match after.get(name) {
            None => found.add(Direction::Narrows, what, name, ("there", "-")),
            Some(new) => compare(name, old, new, found),
        }
    }
    for name in after.keys().filter(|name| !before.contains_key(*name)) {
        found.add(new, what, name, ("-", "there"));
    }
}

fn agent(name: &Name, a: &Agent, b: &Agent, found: &mut Found) {
    let widens = Direction::Widens;
    found.compare("owner", name, (&a.owner, &b.owner), widens);
    found.compare("purpose", name, (&a.purpose, &b.purpose), Direction::Neutral);
    let shown = |users: &Option<PartyName>| or_none(users.as_ref());
    found.compare("users", name, (&shown(&a.users), &shown(&b.users)), widens);
    let actors = |agent: &Agent| {
        agent.may_act.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let more = b.may_act.iter().any(|actor| !a.may_act.contains(actor));
    found.compare("may_act", name, (&actors(a), &actors(b)), Direction::growing(more));
    let (from, to) = (a.credentials.proof.as_str(), b.credentials.proof.as_str());
    let weaker = b.credentials.proof == Proof::None;
    found.compare("proof", name, (&from, &to), Direction::growing(weaker));
    let (from, to) = (or_none(a.credentials.keys.as_ref()), or_none(b.credentials.keys.as_ref()));
    found.compare("keys", name, (&from, &to), widens);
    let age = |agent: &Agent| or_none(agent.credentials.max_age.as_ref());
    let older = match (a.credentials.max_age, b.credentials.max_age) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(from), Some(to)) => to > from,
    };
    found.compare("max_age", name, (&age(a), &age(b)), Direction::growing(older));
    let spiffe = |agent: &Agent| or_none(agent.credentials.spiffe_id.as_ref());
    found.compare("spiffe_id", name, (&spiffe(a), &spiffe(b)), widens);
    let shown = |agent: &Agent| {
        let entries = agent.credentials.federated.iter();
        let shown = |e: &Federated| {
            let pin = e.pin.as_ref().map(|pin| format!(" pinned by {pin}")).unwrap_or_default();
            format!("{} {} {:?} {}{pin}", e.issuer, e.subject, e.claims, e.max_age)
        };
        entries.map(shown).collect::<Vec<_>>().join(", ")
    };
    found.compare("federated", name, (&shown(a), &shown(b)), widens);
    networks(name, (&a.credentials.networks, &b.credentials.networks), found);
    longer("ttl", name, (a.credentials.ttl, b.credentials.ttl), found);
    let until = |agent: &Agent| or_none(agent.observe_until.as_ref());
    let later = b.observe_until > a.observe_until;
    found.compare("observe_until", name, (&until(a), &until(b)), Direction::growing(later));
    governance(name, &a.governance, &b.governance, found);
}

fn networks(name: &Name, (a, b): (&[Network], &[Network]), found: &mut Found) {
    let shown = |all: &[Network]| match all {
        [] => "any".to_owned(),
        all => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let inside = |network: &Network| a.iter().any(|before| before.covers(network));
    let wider = !a.is_empty() && (b.is_empty() || !b.iter().all(inside));
    found.compare("networks", name, (&shown(a), &shown(b)), Direction::growing(wider));
}

fn governance(name: &Name, a: &Governance, b: &Governance, found: &mut Found) {
    let (from, to) = (or_none(a.sponsor.as_ref()), or_none(b.sponsor.as_ref()));
    found.compare("sponsor", name, (&from, &to), Direction::Widens);
    let (from, to) = (or_none(a.environment.as_ref()), or_none(b.environment.as_ref()));
    found.compare("environment", name, (&from, &to), Direction::Widens);
    let (from, to) = (or_none(a.manifest.as_ref()), or_none(b.manifest.as_ref()));
    // A changed manifest is a new version, which the agent's own review rules hold.
    found.compare("manifest", name, (&from, &to), Direction::Neutral);
    if a.review != b.review {
        let shown = |review: &Option<Review>| if review.is_some() { "stated" } else { "-" };
        found.add(Direction::Widens, "review", name, (shown(&a.review), shown(&b.review)));
    }
}

fn or_none(value: Option<&impl Display>) -> String {
    value.map_or("-".to_owned(), ToString::to_string)
}

fn longer(what: &'static str, name: &Name, (from, to): (Duration, Duration), found: &mut Found) {
    found.compare(what, name, (&from, &to), Direction::growing(to > from));
}

fn upstream(name: &Name, a: &Upstream, b: &Upstream, found: &mut Found) {
    let place = |upstream: &Upstream| format!("{:?} {}", upstream.kind, upstream.url);
    found.compare("address", name, (&place(a), &place(b)), Direction::Widens);
    let (from, to) = (or_none(a.environment.as_ref()), or_none(b.environment.as_ref()));
    found.compare("environment", name, (&from, &to), Direction::Widens);
    if a.local != b.local {
        let command = |upstream: &Upstream| {
            upstream.local.as_ref().map_or("-".to_owned(), |local| local.command.join(" "))
        };
        found.add(Direction::Widens, "command", name, (command(a), command(b)));
    }
    let credential = |upstream: &Upstream| match &upstream.credential {
        None => "-".to_owned(),
        Some(CredentialSource::Env(name)) => format!("env:{name}"),
        Some(CredentialSource::File(path)) => format!("file:{path}"),
        Some(CredentialSource::Secret(name)) => format!("secret:{name}"),
        Some(CredentialSource::SecretOfUser(name)) => format!("secret:{name}/{{user}}"),
    };
    let (from, to) = (credential(a), credential(b));
    let given = b.credential.is_some();
    found.compare("credential", name, (&from, &to), Direction::growing(given));
}

fn boundary(name: &Name, a: &Boundary, b: &Boundary, found: &mut Found) {
    let limit = |limit: Option<CallLimit>| {
        limit.map_or("-".to_owned(), |limit| format!("{}/{}", limit.max, limit.window))
    };
    let more = match (a.calls, b.calls) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(a), Some(b)) => b.max > a.max || b.window < a.window,
    };
    let (from, to) = (limit(a.calls), limit(b.calls));
    found.compare("limit", name, (&from, &to), Direction::growing(more));
    let classes = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(", ");
    let fewer = !a.deny_data.is_subset(&b.deny_data);
    let (from, to) = (classes(&a.deny_data), classes(&b.deny_data));
    found.compare("deny_data", name, (&from, &to), Direction::growing(fewer));
}

/// A task of an intent may do what it names: a name more, or a constraint less, gives more.
fn intent(name: &Name, a: &Intent, b: &Intent, found: &mut Found) {
    for (pattern, constraints) in &b.allow {
        let subject = format!("{name} {}", crate::agent::pattern_text(pattern));
        match a.allow.get(pattern) {
            None => found.add(Direction::Widens, "intent", subject, ("-", "allowed")),
            Some(old) if old != constraints => {
                let looser = old.iter().any(|(key, value)| constraints.get(key) != Some(value));
                let which = Direction::growing(looser);
                found.add(
                    which,
                    "intent",
                    subject,
                    (old.len(), format!("{} constraints", constraints.len())),
                );
            }
            Some(_) => {}
        }
    }
    for pattern in a.allow.keys().filter(|pattern| !b.allow.contains_key(*pattern)) {
        let subject = format!("{name} {}", crate::agent::pattern_text(pattern));
        found.add(Direction::Narrows, "intent", subject, ("allowed", "-"));
    }
    if a.params != b.params {
        let names = |intent: &Intent| intent.params.keys().cloned().collect::<Vec<_>>().join(", ");
        found.add(Direction::Neutral, "params", name, (names(a), names(b)));
    }
}

fn approval(name: &Name, a: &ApprovalRule, b: &ApprovalRule, found: &mut Found) {
    let who = |rule: &ApprovalRule| match &rule.approvers {
        Approvers::Party(party) => party.to_string(),
        Approvers::Requester => "requester".to_owned(),
    };
    found.compare("approvers", name, (&who(a), &who(b)), Direction::Widens);
    let fewer = Direction::growing(b.required < a.required);
    found.compare("required", name, (&a.required, &b.required), fewer);
    let excluded = |rule: &ApprovalRule| format!("{:?}", rule.exclude).to_lowercase();
    let less = !a.exclude.is_subset(&b.exclude);
    found.compare("exclude", name, (&excluded(a), &excluded(b)), Direction::growing(less));
    let proof = |proof: ApprovalProof| match proof {
        ApprovalProof::Passkey => "passkey".to_owned(),
        ApprovalProof::IdpMfa => "idp_mfa".to_owned(),
    };
    let weaker = b.proof == ApprovalProof::IdpMfa;
    found.compare("proof", name, (&proof(a.proof), &proof(b.proof)), Direction::growing(weaker));
    longer("answer_within", name, (a.answer_within, b.answer_within), found);
    longer("use_within", name, (a.use_within, b.use_within), found);
}

fn hook(name: &Name, a: &Hook, b: &Hook, found: &mut Found) {
    found.compare("address", name, (&a.url, &b.url), Direction::Widens);
    longer("within", name, (a.within, b.within), found);
    if a.secret != b.secret {
        found.add(Direction::Neutral, "secret", name, ("another", "another"));
    }
}

fn people(
    before: &BTreeMap<model::UserName, BTreeSet<Name>>,
    after: &BTreeMap<model::UserName, BTreeSet<Name>>,
    found: &mut Found,
) {
    let names: BTreeSet<&model::UserName> = before.keys().chain(after.keys()).collect();
    for name in names {
        let (from, to) = (before.get(name), after.get(name));
        if from == to {
            continue;
        }
        let joined = to.is_some_and(|to| {
            to.iter().any(|group| !from.is_some_and(|from| from.contains(group)))
        });
        let shown = |groups: Option<&BTreeSet<Name>>| match groups {
            None => "-".to_owned(),
            Some(groups) => {
                format!("[{}]", groups.iter().map(Name::as_str).collect::<Vec<_>>().join(", "))
            }
        };
        let which = Direction::growing(joined || from.is_none());
        found.add(which, "groups", name, (shown(from), shown(to)));
    }
}
