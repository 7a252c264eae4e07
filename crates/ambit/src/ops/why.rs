//! Why an action was decided as it was: evaluated once more on the recorded facts, off the hot path.

use super::{
    traces::{canonical_of, filter, read, records, text},
    usage,
};
use crate::{app::App, views};
use gate::World;
use model::{
    ActionId, Ancestor, AskId, Code, Digest, EntryId, InputTrust, Name, OpenedBy, TaskId,
    Timestamp, TokenId, TraceId, TriggerKind, record::RecordKind,
};
use policy::{Approval, Compiled, Explanation, Facts, Subject, TaskFacts};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};
use store::{Filter, Record};

/// The entry of what a human was asked under this handle.
pub(super) async fn of_handle(app: &App, handle: &str) -> anyhow::Result<String> {
    let filter = Filter { kind: Some(RecordKind::Asked), newest_first: true, ..Filter::default() };
    let asked = records(app, filter).await?;
    let entry = asked.iter().find_map(|record| {
        let envelope = super::traces::envelope(record);
        let ask = text(&envelope, "ask")?;
        (ask == handle).then(|| text(&envelope, "entry"))?
    });
    entry.ok_or_else(|| {
        usage(format!("nobody was asked under `{handle}`; handles are written `ask_…`"))
    })
}

/// Explains a trace or an entry (its last decision), or the last refusal.
pub(super) async fn why(
    app: &App,
    of: Option<&str>,
    agent: Option<String>,
) -> anyhow::Result<Value> {
    let filter = match of {
        Some(of) => Filter { newest_first: true, ..filter(of)? },
        None => Filter { agent, newest_first: true, ..Filter::default() },
    };
    let found = records(app, filter).await?;
    let is_asked_for = |record: &&Record| match record.leaf.kind {
        RecordKind::Opened => action(record).is_some() && (of.is_some() || would(record)),
        RecordKind::Refused | RecordKind::Asked => action(record).is_some(),
        RecordKind::Token => of.is_none() && is_refused(record),
        RecordKind::Sampled => of.is_none(),
        RecordKind::Outcome
        | RecordKind::Answered
        | RecordKind::Control
        | RecordKind::Task
        | RecordKind::Correction
        | RecordKind::Segment
        | RecordKind::Presented => false,
    };
    // That a human was asked is two records: the question has the reasons.
    let record = found.iter().find(is_asked_for).map(|record| question(&found, record));
    let record = record.ok_or_else(|| {
        usage(
            of.map_or_else(|| "nothing was refused".into(), |of| format!("no decision of `{of}`")),
        )
    })?;
    Ok(if record.leaf.kind == RecordKind::Token {
        refused_token(record)
    } else if record.leaf.kind == RecordKind::Sampled {
        stranger(record)
    } else {
        explain(app, &app.gate.world(), record)
    })
}

/// The question that a call was answered with, if it waits for a human.
fn question<'a>(found: &'a [Record], record: &'a Record) -> &'a Record {
    let code = text(&super::traces::envelope(record), "code");
    if record.leaf.kind != RecordKind::Refused || code.as_deref() != Some(Code::Asked.slug()) {
        return record;
    }
    let same =
        |other: &&Record| other.leaf.kind == RecordKind::Asked && other.entry() == record.entry();
    found.iter().find(same).unwrap_or(record)
}

/// A record of the token service that says no.
fn is_refused(record: &Record) -> bool {
    let envelope = record.envelope.as_deref().map(read).unwrap_or_default();
    text(&envelope, "decision").as_deref() == Some("deny")
}

/// Why an agent got no token.
fn refused_token(record: &Record) -> Value {
    let envelope = record.envelope.as_deref().map(read).unwrap_or_default();
    let arguments =
        record.personal.as_ref().map(|personal| read(&personal.arguments)).unwrap_or_default();
    let code = text(&envelope, "code").and_then(|code| Code::parse(&code));
    let agent = text(&envelope, "agent").unwrap_or_default();
    let reason = text(&envelope, "detail").unwrap_or_default();
    let fix = code.map(Code::fix).unwrap_or_default();
    json!({
        "at": record.leaf.at.to_string(),
        "agent": agent,
        "action": "token",
        "arguments": arguments,
        "decision": "deny",
        "code": envelope.get("code"),
        "detail": reason,
        "sentence": format!("the token service refused agent `{agent}`: {reason}; {fix}"),
        "evaluated_on": "the record alone: no policy was asked",
    })
}

/// Why requests were refused before anybody was believed: the last one that was sampled.
fn stranger(record: &Record) -> Value {
    let envelope = record.envelope.as_deref().map(read).unwrap_or_default();
    let code = text(&envelope, "code").and_then(|code| Code::parse(&code));
    let door = format!(
        "/{}/{}",
        text(&envelope, "edge").unwrap_or_default(),
        text(&envelope, "upstream").unwrap_or_default()
    );
    let count = envelope.get("refused").and_then(Value::as_u64).unwrap_or_default();
    let (sentence, fix) =
        code.map_or(("it is not known why", ""), |code| (code.sentence(), code.fix()));
    json!({
        "at": record.leaf.at.to_string(),
        "agent": Value::Null,
        "action": door,
        "decision": "deny",
        "code": envelope.get("code"),
        "refused": count,
        "sentence": format!("a request at `{door}` was refused before anybody was believed: {sentence}; {fix} ({count} were refused like this since the gate started)"),
        "evaluated_on": "a sample: such requests are counted, and one in a second is recorded",
    })
}

/// Let pass only because the agent is observed.
fn would(record: &Record) -> bool {
    let envelope = record.envelope.as_deref().map(read).unwrap_or_default();
    text(&envelope, "decision").is_some_and(|decision| decision.starts_with("would_"))
}

fn action(record: &Record) -> Option<ActionId> {
    let envelope = read(record.envelope.as_deref()?);
    ActionId::parse(envelope.get("action")?.as_str()?).ok()
}

fn explain(app: &App, world: &World, record: &Record) -> Value {
    let envelope = record.envelope.as_deref().map(read).unwrap_or_default();
    let again = evaluate_again(world, record, &envelope);
    let user = record.personal.as_ref().and_then(|part| text(&read(&part.subject), "user"));
    let recorded = recorded_sentence(app, &envelope, user.as_deref());
    let same_policies = text(&envelope, "policies")
        .is_none_or(|digest| digest == world.compiled.digest().to_string());
    let agrees = again.as_ref().is_some_and(|again| {
        Some(again.decision.as_str()) == decided(&envelope)
            && again.code.map(Code::slug) == envelope.get("code").and_then(Value::as_str)
    });
    let told = again.filter(|_| agrees && same_policies);
    let sentence = told.as_ref().map_or(recorded, |told| told.sentence.clone());
    let personal = record.personal.as_ref();
    let arguments = personal.map(|personal| read(&personal.arguments)).unwrap_or_default();
    json!({
        "trace": envelope.get("trace"),
        "entry": envelope.get("entry"),
        "at": record.leaf.at.to_string(),
        "agent": envelope.get("agent"),
        "version": envelope.get("version"),
        "action": envelope.get("action"),
        "arguments": arguments.get("arguments"),
        "task": envelope.get("task"),
        "intent": envelope.get("intent"),
        "decision": envelope.get("decision"),
        "code": envelope.get("code"),
        "detail": envelope.get("detail"),
        "sentence": sentence,
        "policies": told.as_ref().map(views::findings),
        "reasons": envelope.get("reasons"),
        "evaluated_on": if told.is_some() { "the recorded facts" } else { "the record alone: its policies are no longer in force, or it was refused before policy" },
    })
}

/// What was decided; for an agent that was observed, what would have been.
fn decided(envelope: &Value) -> Option<&str> {
    let decision = envelope.get("decision").and_then(Value::as_str)?;
    Some(decision.strip_prefix("would_").unwrap_or(decision))
}

/// What stops this call at the moment: since when, and why.
fn stopped(app: &App, envelope: &Value, user: Option<&str>) -> Option<String> {
    let world = app.gate.world();
    let agent = text(envelope, "agent").unwrap_or_default();
    let action = text(envelope, "action").unwrap_or_default();
    let owner = Name::new(&agent).ok().and_then(|agent| world.compiled.agent(&agent));
    let entry = ActionId::parse(&action).ok().and_then(|action| world.compiled.entry(&action));
    let upstream = action.split_once('.').map(|(upstream, _)| upstream.to_owned());
    let names = [
        ("agent", Some(agent)),
        ("owner", owner.map(|owner| owner.declared.owner.to_string())),
        ("user", user.map(str::to_owned)),
        ("upstream", upstream),
        ("effect", entry.map(|entry| entry.action.effect.as_str().to_owned())),
        ("action", Some(action)),
        ("all", Some("*".to_owned())),
    ];
    let state = app.store.state();
    names.into_iter().find_map(|(kind, name)| {
        let name = name?;
        let row = read(state.rows.get(&format!("frozen/{kind}/{name}"))?);
        let (at, reason) = (text(&row, "at")?, text(&row, "reason")?);
        let what = if kind == "all" { "everything".to_owned() } else { format!("{kind} `{name}`") };
        Some(format!("{what} is frozen since {at}: {reason}"))
    })
}

/// What the record itself says, where no policy decided or those of then are gone.
fn recorded_sentence(app: &App, envelope: &Value, user: Option<&str>) -> String {
    let code = envelope.get("code").and_then(Value::as_str).and_then(Code::parse);
    let agent = text(envelope, "agent").unwrap_or_default();
    if matches!(code, Some(Code::Revoked | Code::Frozen))
        && let Some(stopped) = stopped(app, envelope, user)
    {
        return stopped;
    }
    let action = text(envelope, "action").and_then(|action| ActionId::parse(&action).ok());
    if let (Some(Code::NotInCatalog), Some(action), Ok(agent)) = (code, action, Name::new(&agent))
        && let Some(missing) = app.gate.world().compiled.missing(&agent, &action)
    {
        return missing.sentence;
    }
    let detail = text(envelope, "detail");
    detail
        .or_else(|| code.map(|code| code.sentence().to_owned()))
        .unwrap_or_else(|| "it was allowed".to_owned())
}

/// What these policies decide of a recorded call, as if this version of its agent had sent it.
pub(super) fn explained_by(
    compiled: &Compiled,
    record: &Record,
    version: Digest,
) -> Option<Explanation> {
    let envelope = record.envelope.as_deref().map(read).unwrap_or_default();
    let agent = Name::new(&text(&envelope, "agent")?).ok()?;
    let missing = compiled.missing(&agent, &action(record)?);
    missing.or_else(|| evaluate(compiled, record, &envelope, Some(version)))
}

/// The explanation under the policies in force, if they still know this version of the agent.
fn evaluate_again(world: &World, record: &Record, envelope: &Value) -> Option<Explanation> {
    evaluate(&world.compiled, record, envelope, None)
}

fn evaluate(
    compiled: &Compiled,
    record: &Record,
    envelope: &Value,
    version: Option<Digest>,
) -> Option<Explanation> {
    let personal = record.personal.as_ref()?;
    let (subject_part, arguments) = (read(&personal.subject), canonical_of(&personal.arguments)?);
    let facts = facts(record, envelope, &subject_part, &personal.subject)?;
    let mut subject = subject(envelope, &facts)?;
    subject.version = version.unwrap_or(subject.version);
    let slice = compiled.slice(&subject.version, &action(record)?)?;
    let call = slice.look_up(arguments.get("arguments")?.clone()).ok()?;
    Some(policy::why(compiled, &subject, &call, &facts))
}

fn subject(envelope: &Value, facts: &Facts) -> Option<Subject> {
    Some(Subject {
        agent: Name::new(&text(envelope, "agent")?).ok()?,
        version: Digest::from_hex(&text(envelope, "version")?)?,
        instance: text(envelope, "instance"),
        user: facts.task.as_ref().and_then(|task| task.user.clone()),
        task: text(envelope, "task").and_then(|task| TaskId::parse(&task)),
        token: text(envelope, "token").and_then(|token| TokenId::parse(&token)),
        bound: envelope.get("bound").and_then(Value::as_bool).unwrap_or(false),
        key: text(envelope, "scoped_key"),
        chain: chain(envelope)?,
    })
}

/// The agents from whose tokens the record's came; `None` if they cannot be read.
fn chain(envelope: &Value) -> Option<Vec<Ancestor>> {
    match envelope.get("chain") {
        None => Some(Vec::new()),
        Some(chain) => identity::chain_of(&canonical_of(chain.to_string().as_bytes())?),
    }
}

/// The facts of then, as far as the record holds them.
fn facts(
    record: &Record,
    envelope: &Value,
    subject: &Value,
    subject_bytes: &[u8],
) -> Option<Facts> {
    let groups = subject
        .get("groups")
        .and_then(Value::as_array)
        .map(|groups| groups.iter().filter_map(|group| Name::new(group.as_str()?).ok()).collect());
    Some(Facts {
        entry: EntryId::parse(&text(envelope, "entry")?)?,
        trace: TraceId::parse(&text(envelope, "trace")?)?,
        now: record.leaf.at,
        control_revision: text(envelope, "control_revision")
            .and_then(|revision| revision.parse().ok())
            .unwrap_or(0),
        development: text(envelope, "boundary").as_deref() == Some("development"),
        user_groups: groups.unwrap_or_default(),
        task: task(envelope, subject, subject_bytes).map(Arc::new),
        within: within(subject_bytes)?,
        approval: approval(envelope),
        uncapped: false,
        edge: if text(envelope, "edge").as_deref() == Some("http") { "http" } else { "mcp" },
    })
}

fn task(envelope: &Value, subject: &Value, subject_bytes: &[u8]) -> Option<TaskFacts> {
    let params = canonical_of(subject_bytes)?.get("task_params")?.clone();
    Some(TaskFacts {
        id: TaskId::parse(&text(envelope, "task")?)?,
        agent: match chain(envelope)?.first() {
            Some(first) => first.agent.clone(),
            None => Name::new(&text(envelope, "agent")?).ok()?,
        },
        user: text(subject, "user").and_then(|user| model::UserName::new(&user).ok()),
        intent: text(envelope, "intent").and_then(|intent| Name::new(&intent).ok()),
        params,
        expires: text(subject, "task_expires").and_then(|at| at.parse().ok()).map(Timestamp)?,
        trigger: policy::Trigger {
            kind: word_of(envelope, "trigger_kind", TriggerKind::parse)
                .unwrap_or(TriggerKind::Message),
            trust: word_of(envelope, "input_trust", InputTrust::parse)
                .unwrap_or(InputTrust::Untrusted),
            ..policy::Trigger::named(text(subject, "trigger").unwrap_or_default())
        },
        opened_by: word_of(envelope, "opened_by", OpenedBy::parse).unwrap_or(OpenedBy::Operator),
        client: text(envelope, "client").and_then(|client| Name::new(&client).ok()),
        instance: None,
        parent: None,
    })
}

/// The value of a word in an envelope; one written before the word was is read as absent.
fn word_of<T>(envelope: &Value, member: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    parse(&text(envelope, member)?)
}

/// The tasks around the task; `None` if they cannot be read, since fewer would decide more.
fn within(subject: &[u8]) -> Option<Vec<Arc<TaskFacts>>> {
    let subject = canonical_of(subject)?;
    let Some(within) = subject.get("within") else { return Some(Vec::new()) };
    let read = |task| TaskFacts::from_value(task).ok().map(Arc::new);
    within.as_array()?.iter().map(read).collect()
}

fn approval(envelope: &Value) -> Option<Approval> {
    let signed = envelope.get("signed")?;
    let texts = |member: &str| -> Option<Vec<String>> {
        let list = signed.get(member)?.as_array()?;
        list.iter().map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let rules: Option<BTreeSet<Name>> =
        texts("rules")?.iter().map(|rule| Name::new(rule).ok()).collect();
    Some(Approval {
        ask: AskId::parse(&text(envelope, "ask")?)?,
        reasons: texts("reasons")?.into_iter().collect(),
        rules: rules?,
    })
}
