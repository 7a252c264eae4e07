//! What happened, read from the index: one row per action, or everything of one trace.

use super::{moment, usage};
use crate::{app::App, cli::TraceFilter, limits};
use canonical::Limits;
use model::{EntryId, TraceId, record::RecordKind};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use store::{Filter, Record};

/// What a row of a refused token has as its action; no upstream is named so, since names of actions have a dot.
const TOKEN: &str = "token";

/// A trace or an entry, as people give it.
pub(super) fn filter(text: &str) -> anyhow::Result<Filter> {
    if let Some(trace) = TraceId::parse(text) {
        return Ok(Filter { trace: Some(trace), ..Filter::default() });
    }
    let entry = EntryId::parse(text);
    let entry = entry.ok_or_else(|| {
        usage(format!("`{text}` is neither a trace (32 hexadecimal digits) nor an entry (`ent_…`)"))
    })?;
    Ok(Filter { entry: Some(entry), ..Filter::default() })
}

/// The records that fit, after the index has everything that was durable when it was asked.
pub(crate) async fn records(app: &App, filter: Filter) -> anyhow::Result<Vec<Record>> {
    let store = std::sync::Arc::clone(&app.store);
    let found = tokio::task::spawn_blocking(move || {
        let index = store.index();
        if let Some(last) = store.size().checked_sub(1)
            && !index.caught_up(last, limits::INDEX_WAIT)
        {
            tracing::warn!("the index lags: the newest records are missing from this answer");
        }
        index.records(&filter)
    });
    Ok(found.await??)
}

/// Every record that fits, however many there are; an error if the index does not have the newest yet.
pub(super) async fn each_record(
    app: &App,
    filter: Filter,
    mut see: impl FnMut(&Record),
) -> anyhow::Result<()> {
    up_to_date(app).await?;
    let mut filter = Filter { newest_first: false, limit: 0, ..filter };
    loop {
        let found = records(app, filter.clone()).await?;
        let Some(last) = found.last() else { return Ok(()) };
        filter.after = Some(last.leaf.sequence);
        found.iter().for_each(&mut see);
    }
}

/// Waits until the index has everything that is durable now.
pub(super) async fn up_to_date(app: &App) -> anyhow::Result<()> {
    let store = std::sync::Arc::clone(&app.store);
    let waited = tokio::task::spawn_blocking(move || {
        let last = store.size().checked_sub(1);
        last.is_none_or(|last| store.index().caught_up(last, limits::INDEX_COMPLETE))
    });
    anyhow::ensure!(waited.await?, "the index lags behind the ledger: try again in a moment");
    Ok(())
}

/// The envelope of a record, as JSON.
pub(crate) fn envelope(record: &Record) -> Value {
    record.envelope.as_deref().map(read).unwrap_or_default()
}

/// What the index can look for of a filter.
fn searched(app: &App, which: &TraceFilter) -> anyhow::Result<Filter> {
    let moment = |text: &Option<String>| text.as_deref().map(|text| moment(app, text)).transpose();
    Ok(Filter {
        agent: which.agent.clone(),
        action: which.action.clone(),
        decision: which.decision.clone(),
        task: which.task.clone(),
        since: moment(&which.since)?,
        until: moment(&which.until)?,
        ..Filter::default()
    })
}

/// Whether a row fits what the index does not know.
fn fits(which: &TraceFilter, row: &Value) -> bool {
    let is = |member: &str, wanted: &Option<String>| {
        wanted.is_none() || text(row, member).as_ref() == wanted.as_ref()
    };
    let coded = is("code", &which.code) || is("outcome_code", &which.code);
    let sampled = row.get("sampled").and_then(Value::as_bool).unwrap_or(false);
    coded && is("on_behalf_of", &which.user) && (!which.sampled || sampled)
}

/// One row per action, oldest first.
pub(super) async fn list(
    app: &App,
    which: &TraceFilter,
    limit: Option<u32>,
) -> anyhow::Result<Value> {
    let filter = Filter { newest_first: true, ..searched(app, which)? };
    let mut found = records(app, filter).await?;
    found.reverse();
    let mut rows = rows(app, &found);
    let limit = usize::try_from(limit.unwrap_or(limits::RECORDS_SHOWN)).unwrap_or(usize::MAX);
    // What only an outcome tells is looked up where the filter kept it out.
    let needs_all = which.code.is_some() || which.sampled;
    let from = if needs_all { 0 } else { rows.len().saturating_sub(limit) };
    for row in rows.iter_mut().skip(from) {
        end(app, row).await?;
    }
    rows.retain(|row| fits(which, row));
    let skipped = rows.len().saturating_sub(limit);
    Ok(rows.into_iter().skip(skipped).collect())
}

/// Adds how an allowed action ended, if it is not known from the same records.
async fn end(app: &App, row: &mut Value) -> anyhow::Result<()> {
    let opened = text(row, "kind").as_deref() == Some(RecordKind::Opened.as_str());
    let entry = text(row, "entry").and_then(|entry| EntryId::parse(&entry));
    let (Some(entry), true, None) = (entry, opened, row.get("outcome")) else { return Ok(()) };
    let filter =
        Filter { entry: Some(entry), kind: Some(RecordKind::Outcome), ..Filter::default() };
    if let Some(outcome) = records(app, filter).await?.first() {
        ended(row, &envelope(outcome));
    }
    Ok(())
}

/// Actions that ended or were refused from a sequence on, and the sequence after them.
pub(super) async fn tail(
    app: &App,
    which: &TraceFilter,
    after: Option<u64>,
) -> anyhow::Result<Value> {
    let size = app.store.size();
    let from = after.unwrap_or(size).min(size);
    let next = size.min(from.saturating_add(u64::from(limits::RECORDS_SHOWN)));
    let mut out = Vec::new();
    for sequence in from..next {
        let Some(record) = app.store.read(sequence)? else { continue };
        let found = match (record.leaf.kind, record.entry()) {
            (RecordKind::Opened, _) => continue,
            (RecordKind::Outcome, Some(entry)) => {
                let opened = Filter {
                    entry: Some(entry),
                    kind: Some(RecordKind::Opened),
                    ..Filter::default()
                };
                let mut found = records(app, opened).await?;
                found.push(record);
                found
            }
            _ => vec![record],
        };
        out.extend(rows(app, &found).into_iter().filter(|row| matches_all(which, row)));
    }
    Ok(json!({ "next": next, "rows": out }))
}

/// Whether a row fits the whole filter; its times do not count while one looks on.
fn matches_all(which: &TraceFilter, row: &Value) -> bool {
    let is = |member: &str, wanted: &Option<String>| {
        wanted.is_none() || text(row, member).as_ref() == wanted.as_ref()
    };
    is("agent", &which.agent)
        && is("action", &which.action)
        && is("decision", &which.decision)
        && is("task", &which.task)
        && fits(which, row)
}

/// Every record of a trace or an entry, each with all of its parts, and the rows that they come to.
pub(super) async fn show(app: &App, text: &str) -> anyhow::Result<Value> {
    let found = records(app, filter(text)?).await?;
    if found.is_empty() {
        return Err(usage(format!("no record of `{text}`")));
    }
    let records: Vec<Value> = found.iter().map(record).collect();
    Ok(json!({ "trace": trace_of(&found), "actions": rows(app, &found), "records": records }))
}

fn trace_of(records: &[Record]) -> Value {
    records.iter().find_map(Record::trace).map_or(Value::Null, |trace| trace.to_string().into())
}

/// A record with its parts as JSON; a part whose key was erased says so.
pub(super) fn record(record: &Record) -> Value {
    let leaf = &record.leaf;
    let erased = || Value::from("(erased)");
    let personal = record.personal.as_ref();
    let part = |part: Option<&Vec<u8>>| part.map_or_else(erased, |bytes| read(bytes));
    json!({
        "sequence": leaf.sequence,
        "node": leaf.node.to_string(),
        "at": leaf.at.to_string(),
        "kind": leaf.kind.as_str(),
        "commitments": {
            "envelope": leaf.commitments.envelope.to_string(),
            "subject": leaf.commitments.subject.to_string(),
            "arguments": leaf.commitments.arguments.to_string(),
            "result": leaf.commitments.result.to_string(),
        },
        "envelope": part(record.envelope.as_ref()),
        "subject": part(personal.map(|personal| &personal.subject)),
        "arguments": part(personal.map(|personal| &personal.arguments)),
        "result": part(personal.map(|personal| &personal.result)),
    })
}

/// Canonical JSON of the ledger for people and scripts; empty parts are null.
pub(super) fn read(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or(Value::Null)
}

/// The canonical value of a part, for deciding again.
pub(super) fn canonical_of(bytes: &[u8]) -> Option<canonical::Value> {
    canonical::parse(bytes, &Limits::FRAME).ok()
}

/// Actions among the records, with how each ended.
fn rows(app: &App, records: &[Record]) -> Vec<Value> {
    let world = app.gate.world();
    let mut endings: BTreeMap<String, Value> = BTreeMap::new();
    let mut rows = Vec::new();
    for found in records {
        let envelope = found.envelope.as_deref().map(read).unwrap_or_default();
        match found.leaf.kind {
            RecordKind::Outcome => {
                let entry = text(&envelope, "entry").unwrap_or_default();
                endings.insert(entry, envelope);
            }
            RecordKind::Opened | RecordKind::Refused | RecordKind::Asked
                if envelope.get("action").is_some() =>
            {
                rows.push(row(&world, found, envelope));
            }
            RecordKind::Token if text(&envelope, "decision").as_deref() == Some("deny") => {
                rows.push(refused_token(found, envelope));
            }
            RecordKind::Opened
            | RecordKind::Refused
            | RecordKind::Asked
            | RecordKind::Presented
            | RecordKind::Answered
            | RecordKind::Control
            | RecordKind::Task
            | RecordKind::Token
            | RecordKind::Sampled
            | RecordKind::Segment
            | RecordKind::Correction => {}
        }
    }
    for row in &mut rows {
        let ending = row.get("entry").and_then(Value::as_str).and_then(|entry| endings.get(entry));
        if let Some(ending) = ending.cloned() {
            ended(row, &ending);
        }
    }
    rows
}

/// Adds what an outcome says to the row of its action.
fn ended(row: &mut Value, outcome: &Value) {
    let Some(members) = row.as_object_mut() else { return };
    let of_outcome = [
        ("ending", "outcome"),
        ("status", "status"),
        ("duration_us", "duration_us"),
        ("code", "outcome_code"),
        ("masked", "masked"),
        ("sampled", "sampled"),
    ];
    for (from, to) in of_outcome {
        if let Some(value) = outcome.get(from) {
            members.insert(to.into(), value.clone());
        }
    }
}

fn row(world: &gate::World, found: &Record, envelope: Value) -> Value {
    let subject =
        found.personal.as_ref().map(|personal| read(&personal.subject)).unwrap_or_default();
    let arguments =
        found.personal.as_ref().map(|personal| read(&personal.arguments)).unwrap_or_default();
    let arguments = arguments.get("arguments").cloned().unwrap_or_default();
    let resource = resource(world, &text(&envelope, "action").unwrap_or_default(), &arguments);
    let mut members = match envelope {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    members.remove("v");
    members.insert("at".into(), found.leaf.at.to_string().into());
    members.insert("sequence".into(), found.leaf.sequence.into());
    members.insert("kind".into(), found.leaf.kind.as_str().into());
    members.insert("on_behalf_of".into(), subject.get("user").cloned().unwrap_or_default());
    members.insert("trigger".into(), subject.get("trigger").cloned().unwrap_or_default());
    members.insert("task_params".into(), subject.get("task_params").cloned().unwrap_or_default());
    // Whose credential it is, where it is a human's own, stands in her part of the record.
    for member in ["act", "credential", "right"] {
        if let Some(value) = subject.get(member) {
            members.insert(member.into(), value.clone());
        }
    }
    members.insert("arguments".into(), arguments);
    members.insert("resource".into(), resource);
    Value::Object(members)
}

/// A token that was refused: an attempt at a door, though no action of any upstream.
fn refused_token(found: &Record, envelope: Value) -> Value {
    let arguments =
        found.personal.as_ref().map(|personal| read(&personal.arguments)).unwrap_or_default();
    let mut members = match envelope {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    members.remove("v");
    members.insert("action".into(), TOKEN.into());
    members.insert("at".into(), found.leaf.at.to_string().into());
    members.insert("sequence".into(), found.leaf.sequence.into());
    members.insert("kind".into(), found.leaf.kind.as_str().into());
    members.insert("resource".into(), arguments.get("resource").cloned().unwrap_or_default());
    members.insert("arguments".into(), arguments);
    Value::Object(members)
}

/// Which thing was acted on, from the catalog's `resource:` and the arguments: `ticket 4711`.
fn resource(world: &gate::World, action: &str, arguments: &Value) -> Value {
    let action = model::ActionId::parse(action).ok();
    let entry = action.and_then(|action| world.compiled.entry(&action));
    let Some(resource) = entry.and_then(|entry| entry.action.resource.as_ref()) else {
        return Value::Null;
    };
    let id = resource.id.as_ref().and_then(|name| arguments.get(name));
    let Some(id) = id.map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned)) else {
        return Value::Null;
    };
    format!("{} {id}", resource.kind).into()
}

/// A text member.
pub(super) fn text(value: &Value, member: &str) -> Option<String> {
    value.get(member).and_then(Value::as_str).map(str::to_owned)
}
