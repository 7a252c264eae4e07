//! `approvals`: who is asked, and how.

use crate::{
    fields::{Fields, duration, items, refused, text, word},
    limits,
    node::{Entry, Node, Value},
    problems::Problems,
    read::Reading,
    schema::shapes,
};
use model::{
    Name, PartyName,
    declared::{ApprovalProof, ApprovalRule, Approvers, Exclusion},
};
use std::collections::BTreeSet;

pub(crate) fn read(_: &Name, entry: &Entry, reading: &mut Reading<'_>) -> Option<ApprovalRule> {
    let problems = &mut reading.problems;
    let fields = Fields::open(&entry.value, entry.key.span, &shapes::APPROVAL, problems)?;
    let approvers = fields
        .get("approvers", problems)
        .and_then(|entry| approvers(&entry.value, problems).map(|read| (read, entry)));
    let required = match fields.get("required", problems) {
        Some(entry) => required(&entry.value, problems),
        None => Some(1),
    };
    let exclude = match fields.get("exclude", problems) {
        Some(entry) => exclude(entry, problems),
        None => BTreeSet::new(),
    };
    let proof = match fields.get("proof", problems) {
        Some(entry) => word(
            &entry.value,
            "a proof",
            &[("passkey", ApprovalProof::Passkey), ("idp_mfa", ApprovalProof::IdpMfa)],
            &[("webauthn", "passkey"), ("mfa", "idp_mfa")],
            problems,
        ),
        None => Some(ApprovalProof::Passkey),
    };
    let mut span = |key: &str, default, max| match fields.get(key, problems) {
        Some(entry) => duration(&entry.value, &format!("`{key}`"), max, problems),
        None => Some(default),
    };
    let answer_within = span("answer_within", limits::ANSWER_DEFAULT, limits::ANSWER_MAX);
    let use_within = span("use_within", limits::USE_DEFAULT, limits::USE_MAX);
    let (approvers, entry) = approvers?;
    let required = required?;
    can_be_met(&approvers, required, &exclude, &entry.value, problems);
    Some(ApprovalRule {
        approvers,
        required,
        exclude,
        proof: proof?,
        answer_within: answer_within?,
        use_within: use_within?,
    })
}

fn approvers(node: &Node, problems: &mut Problems) -> Option<Approvers> {
    let text = text(node, "`approvers`", problems)?;
    if text == "requester" {
        return Some(Approvers::Requester);
    }
    match refused(node.span, text, PartyName::parse, problems)? {
        PartyName::Issuer(_) => {
            let message = "humans of another identity provider never approve";
            problems.add(node.span, message, "write `group:NAME`, `user:NAME` or `requester`");
            None
        }
        party => Some(Approvers::Party(party)),
    }
}

fn required(node: &Node, problems: &mut Problems) -> Option<u32> {
    if let Value::Integer(number) = node.value
        && (1..=limits::REQUIRED_MAX).contains(&number)
    {
        return u32::try_from(number).ok();
    }
    let message = format!("`required` is a whole number from 1 to {}", limits::REQUIRED_MAX);
    problems.add(node.span, message, "write how many people must approve");
    None
}

fn exclude(entry: &Entry, problems: &mut Problems) -> BTreeSet<Exclusion> {
    let known = [("requester", Exclusion::Requester), ("owner", Exclusion::Owner)];
    items(entry, "`exclude`", problems)
        .iter()
        .filter_map(|item| word(item, "someone to exclude", &known, &[], problems))
        .collect()
}

/// A rule that nobody can meet would hold every ask until it expires.
fn can_be_met(
    approvers: &Approvers,
    required: u32,
    exclude: &BTreeSet<Exclusion>,
    node: &Node,
    problems: &mut Problems,
) {
    let one = match approvers {
        Approvers::Requester => "the requester is one person",
        Approvers::Party(PartyName::User(_)) => "a user is one person",
        Approvers::Party(PartyName::Group(_) | PartyName::Issuer(_)) => return,
    };
    if required > 1 {
        let message = format!("{one}, and {required} are required: nobody could approve");
        problems.add(node.span, message, "name a group, or write `required: 1`");
    }
    if *approvers == Approvers::Requester && exclude.contains(&Exclusion::Requester) {
        let message = "the requester approves and is excluded: nobody could approve";
        problems.add(node.span, message, "name a group, or remove `requester` from `exclude`");
    }
}
