//! The parts of a record as canonical JSON: nothing personal in the envelope.

use crate::CatalogEntry;
use crate::call::Call;
use crate::decide::Reason;
use crate::evidence::Decided;
use crate::facts::{Facts, Subject};
use canonical::Writer;
use model::declared::CredentialSource;
use model::{AskId, Code, Decision, Digest, Name};

/// What an envelope says; members that are `None` are left out.
struct Envelope<'a> {
    subject: &'a Subject,
    facts: &'a Facts,
    action: &'a str,
    catalogued: Option<&'a CatalogEntry>,
    policies: Option<Digest>,
    credential: Option<&'a CredentialSource>,
    consulted: &'a [String],
    decision: &'static str,
    code: Option<Code>,
    detail: Option<&'a str>,
    reasons: &'a [Reason],
    ask: Option<AskId>,
    signed: Option<&'a crate::Approval>,
}

/// Of a decided call.
pub(crate) fn of_call(decided: &Decided, ask: Option<AskId>) -> Vec<u8> {
    let ruling = &decided.ruling;
    let signed = decided.facts.approval.as_ref();
    write(&Envelope {
        subject: &decided.subject,
        facts: &decided.facts,
        action: &decided.call.action().to_string(),
        catalogued: Some(decided.call.entry()),
        policies: Some(decided.call.slice().published.digest),
        credential: credential(decided),
        consulted: &decided.consulted,
        decision: word(ruling.decision, decided.observed),
        code: ruling.code,
        detail: ruling.note.as_deref(),
        reasons: &ruling.reasons,
        ask: ask.or(signed.map(|approval| approval.ask)),
        signed,
    })
}

/// What the upstream of a call is called with; nothing is lent to one that does not leave.
fn credential(decided: &Decided) -> Option<&CredentialSource> {
    if decided.ruling.decision != Decision::Allow && !decided.observed {
        return None;
    }
    let upstreams = &decided.call.slice().published.declared.upstreams;
    upstreams.get(&decided.call.action().upstream)?.credential.as_ref()
}

/// The human's own credential that a call is made with.
fn credential_of_user(decided: &Decided) -> Option<String> {
    match (credential(decided)?, &decided.subject.user) {
        (CredentialSource::SecretOfUser(name), Some(user)) => Some(format!("secret:{name}/{user}")),
        _ => None,
    }
}

/// The stated right of the human that a call rests on.
fn right(decided: &Decided) -> Option<String> {
    let user = decided.subject.user.as_ref()?;
    let right = decided.call.slice().right(user, &decided.facts.user_groups)?;
    Some(right.to_string())
}

/// Of a request that never became a call.
pub(crate) fn of_request(
    subject: &Subject,
    action: &str,
    catalogued: Option<&CatalogEntry>,
    (code, detail): (Code, Option<&str>),
    facts: &Facts,
) -> Vec<u8> {
    write(&Envelope {
        subject,
        facts,
        action,
        catalogued,
        policies: None,
        credential: None,
        consulted: &[],
        decision: word(if code == Code::Asked { Decision::Ask } else { Decision::Deny }, false),
        code: Some(code),
        detail,
        reasons: &[],
        ask: None,
        signed: None,
    })
}

/// The decision, and for an agent that is observed what it would have been.
fn word(decision: Decision, observed: bool) -> &'static str {
    match (decision, observed) {
        (Decision::Deny, true) => "would_deny",
        (Decision::Ask, true) => "would_ask",
        (Decision::Allow, _) | (Decision::Deny | Decision::Ask, false) => decision.as_str(),
    }
}

fn write(envelope: &Envelope<'_>) -> Vec<u8> {
    let Envelope { subject, facts, catalogued, .. } = envelope;
    let mut out = Vec::with_capacity(1024);
    let mut writer = Writer::new(&mut out);
    let ask = envelope.ask.map(|ask| ask.to_string());
    let instance = subject.instance.as_deref();
    let opened = facts.task.as_deref();
    let intent = opened.and_then(|task| task.intent.as_ref());
    let task = subject.task.map(|task| task.to_string());
    writer.begin_object();
    writer.field_str("action", envelope.action);
    writer.field_str("agent", subject.agent.as_str());
    if envelope.code.is_some_and(Code::is_alarm) {
        writer.field_bool("alarm", true);
    }
    text(&mut writer, "ask", ask.as_deref());
    writer.field_bool("bound", subject.bound);
    writer.field_str("boundary", if facts.development { "development" } else { "production" });
    text(&mut writer, "catalog", catalogued.map(|entry| entry.digest.to_string()).as_deref());
    if !subject.chain.is_empty() {
        writer.field_raw("chain", &identity::write_chain(&subject.chain));
    }
    text(&mut writer, "client", opened.and_then(|task| task.client.as_ref()).map(Name::as_str));
    text(&mut writer, "code", envelope.code.map(Code::slug));
    if let Some(entry) = catalogued {
        writer.field_bool("consequential", entry.is_consequential());
    }
    if !envelope.consulted.is_empty() {
        writer.field_array("consulted");
        for hook in envelope.consulted {
            writer.item_str(hook);
        }
        writer.end();
    }
    writer.field_str("control_revision", &facts.control_revision.to_string());
    lent(&mut writer, envelope.credential);
    if let Some(entry) = catalogued {
        writer.field_raw("data", &entry.data);
    }
    writer.field_str("decision", envelope.decision);
    let definition = catalogued.and_then(|entry| entry.definition);
    text(&mut writer, "definition", definition.map(|digest| digest.to_string()).as_deref());
    text(&mut writer, "detail", envelope.detail);
    writer.field_str("edge", facts.edge);
    text(&mut writer, "effect", catalogued.map(|entry| entry.action.effect.as_str()));
    writer.field_str("entry", &facts.entry.to_string());
    text(&mut writer, "input_trust", opened.map(|task| task.trigger.trust.as_str()));
    text(&mut writer, "instance", instance);
    text(&mut writer, "intent", intent.map(Name::as_str));
    text(&mut writer, "opened_by", opened.map(|task| task.opened_by.as_str()));
    text(&mut writer, "policies", envelope.policies.map(|digest| digest.to_string()).as_deref());
    reasons(&mut writer, envelope.reasons);
    text(&mut writer, "risk", catalogued.map(|entry| entry.action.risk.as_str()));
    text(&mut writer, "scoped_key", subject.key.as_deref());
    if let Some(approval) = envelope.signed {
        signed(&mut writer, approval);
    }
    text(&mut writer, "sink", catalogued.map(|entry| entry.action.sink.as_str()));
    text(&mut writer, "task", task.as_deref());
    let token = subject.token.map(|token| token.to_string());
    text(&mut writer, "token", token.as_deref());
    writer.field_str("trace", &facts.trace.to_string());
    text(&mut writer, "trigger_kind", opened.map(|task| task.trigger.kind.as_str()));
    text(&mut writer, "upstream", catalogued.map(|entry| entry.id.upstream.as_str()));
    writer.field_int("v", 1);
    writer.field_str("version", &subject.version.to_string());
    writer.end();
    let complete = writer.finish();
    debug_assert!(complete.is_ok(), "the envelope is canonical: {complete:?}");
    out
}

fn lent(writer: &mut Writer<'_>, credential: Option<&CredentialSource>) {
    if let Some(credential) = credential {
        writer.field_str("credential", &credential.to_string());
        let of_user = matches!(credential, CredentialSource::SecretOfUser(_));
        writer.field_str("credential_as", if of_user { "user" } else { "service" });
    }
}

fn text<'a>(writer: &mut Writer<'a>, name: &'a str, value: Option<&str>) {
    if let Some(value) = value {
        writer.field_str(name, value);
    }
}

fn reasons(writer: &mut Writer<'_>, reasons: &[Reason]) {
    writer.field_array("reasons");
    for reason in reasons {
        writer.begin_object();
        writer.field_str("id", &reason.id);
        writer.field_int("line", reason.line);
        writer.field_str("path", &reason.path);
        writer.end();
    }
    writer.end();
}

fn signed(writer: &mut Writer<'_>, approval: &crate::Approval) {
    writer.field_object("signed");
    writer.field_array("reasons");
    for id in &approval.reasons {
        writer.item_str(id);
    }
    writer.end();
    writer.field_array("rules");
    for rule in &approval.rules {
        writer.item_str(rule.as_str());
    }
    writer.end();
    writer.end();
}

/// The human, their groups and right, with what of theirs a decided call is made, and what the task says; personal.
pub(crate) fn subject(subject: &Subject, facts: &Facts, decided: Option<&Decided>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut writer = Writer::new(&mut out);
    writer.begin_object();
    if subject.user.is_some() || !subject.chain.is_empty() {
        writer.field_array("act");
        writer.item_str(subject.agent.as_str());
        for earlier in subject.chain.iter().rev() {
            writer.item_str(earlier.agent.as_str());
        }
        writer.end();
    }
    let (credential, right) = (decided.and_then(credential_of_user), decided.and_then(right));
    text(&mut writer, "credential", credential.as_deref());
    writer.field_array("groups");
    for group in &facts.user_groups {
        writer.item_str(group.as_str());
    }
    writer.end();
    text(&mut writer, "right", right.as_deref());
    if let Some(task) = &facts.task {
        writer.field_str("task_expires", &task.expires.0.to_string());
        writer.field_value("task_params", &task.params);
        writer.field_str("trigger", &task.trigger.reference);
    }
    if let Some(user) = &subject.user {
        writer.field_str("user", user.as_str());
    }
    if !facts.within.is_empty() {
        writer.field_array("within");
        for task in &facts.within {
            writer.item_value(&task.to_value());
        }
        writer.end();
    }
    writer.end();
    let complete = writer.finish();
    debug_assert!(complete.is_ok(), "the subject is canonical: {complete:?}");
    out
}

/// The arguments and their digest.
pub(crate) fn arguments(call: &Call) -> Vec<u8> {
    let mut out = Vec::with_capacity(call.bytes().len().saturating_add(128));
    let mut writer = Writer::new(&mut out);
    writer.begin_object();
    writer.field_raw("arguments", call.bytes());
    writer.field_str("digest", &call.digest().to_string());
    writer.end();
    let complete = writer.finish();
    debug_assert!(complete.is_ok(), "the arguments are canonical: {complete:?}");
    out
}
