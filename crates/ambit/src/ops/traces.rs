//! What happened, read from the index: one row per action, or everything of one trace.

use super::usage;
use crate::{app::App, limits};
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
pub(super) async fn records(app: &App, filter: Filter) -> anyhow::Result<Vec<Record>> {
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

/// One row per action, oldest first.
pub(super) async fn list(
    app: &App,
    agent: Option<String>,
    action: Option<String>,
    decision: Option<String>,
    limit: Option<u32>,
) -> anyhow::Result<Value> {
    let filter = Filter { agent, action, newest_first: true, ..Filter::default() };
    let mut records = records(app, filter).await?;
    records.reverse();
    let mut rows = rows(app, &records);
    if let Some(decision) = decision {
        rows.retain(|row| row.get("decision").and_then(Value::as_str) == Some(decision.as_str()));
    }
    let limit = usize::try_from(limit.unwrap_or(limits::RECORDS_SHOWN)).unwrap_or(usize::MAX);
    let skipped = rows.len().saturating_sub(limit);
    Ok(rows.into_iter().skip(skipped).collect())
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
            | RecordKind::Correction => {}
        }
    }
    for row in &mut rows {
        let ending = row.get("entry").and_then(Value::as_str).and_then(|entry| endings.get(entry));
        if let (Some(ending), Some(members)) = (ending.cloned(), row.as_object_mut()) {
            for (from, to) in
                [("ending", "outcome"), ("status", "status"), ("duration_us", "duration_us")]
            {
                if let Some(value) = ending.get(from) {
                    members.insert(to.into(), value.clone());
                }
            }
        }
    }
    rows
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
