//! Traces for OpenTelemetry: one span per entry, made from its records and sent as OTLP over HTTP (JSON).

use super::{Cursor, Pace, records};
use crate::{app::App, limits, ops};
use model::{EntryId, Timestamp, record::RecordKind};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, sync::Arc};
use store::{Filter, Record};
use tokio_util::sync::CancellationToken;
use upstream::Message;

/// Where traces go.
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    /// The URL that spans are posted to.
    pub(crate) url: String,
}

impl Collector {
    /// From the base URL that `--otlp-endpoint` states, as OpenTelemetry means it.
    pub(crate) fn of(endpoint: &str) -> Result<Collector, String> {
        let url = url::Url::parse(endpoint).map_err(|error| error.to_string())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("write it as `http://127.0.0.1:4318`".to_owned());
        }
        Ok(Collector { url: format!("{}/v1/traces", endpoint.trim_end_matches('/')) })
    }
}

/// Follows until told to stop.
pub(super) async fn follow(app: Arc<App>, collector: Collector, stop: CancellationToken) {
    let mut cursor = Cursor::open(&app.settings.data, "otlp", app.store.size());
    let (mut pace, mut open) = (Pace::new(), Open::new());
    loop {
        tokio::select! {
            () = tokio::time::sleep(pace.wait()) => {}
            () = stop.cancelled() => return,
        }
        loop {
            let from = cursor.next();
            let (found, end) = records(&app, from, limits::FOLLOW_RECORDS).await;
            if end == from {
                break;
            }
            let sent = match spans(&app, &found, &mut open).await {
                Err(why) => Err(why),
                Ok(spans) if spans.is_empty() => Ok(()),
                Ok(spans) => send(&app, &collector, spans).await,
            };
            pace.went(sent.is_ok());
            match sent {
                Ok(()) => {
                    cursor.advance(end);
                    let closed = found.iter().filter(|it| it.leaf.kind == RecordKind::Outcome);
                    closed.filter_map(Record::entry).for_each(|entry| drop(open.remove(&entry)));
                }
                Err(why) => {
                    tracing::warn!(url = collector.url, %why, "traces were not taken; they are sent again");
                    break;
                }
            }
        }
    }
}

async fn send(app: &App, collector: &Collector, spans: Vec<Value>) -> Result<(), String> {
    let resource =
        [("service.name", json!("ambit")), ("service.version", json!(env!("CARGO_PKG_VERSION")))];
    let body = json!({
        "resourceSpans": [{
            "resource": { "attributes": attributes(resource) },
            "scopeSpans": [{ "scope": { "name": "ambit" }, "spans": spans }],
        }],
    });
    let message = Message {
        url: &collector.url,
        content_type: "application/json",
        body: body.to_string().into_bytes(),
        secret: None,
        within: limits::FOLLOW_DELIVERY,
    };
    let (status, _) = app.gate.courier().post(message).await.map_err(|fault| fault.to_string())?;
    if status.is_success() { Ok(()) } else { Err(format!("it answered with {status}")) }
}

/// Entries that were opened, and are perhaps not closed yet.
type Open = BTreeMap<EntryId, (Timestamp, Value)>;

/// The spans that these records complete: an outcome with the entry that it closes, a refusal by itself.
async fn spans(app: &App, found: &[Record], open: &mut Open) -> Result<Vec<Value>, String> {
    let mut spans = Vec::new();
    for record in found {
        let (at, envelope) = (record.leaf.at, ops::envelope(record));
        let Some(entry) = record.entry() else { continue };
        match record.leaf.kind {
            RecordKind::Opened => {
                open.insert(entry, (at, envelope));
                // Ids begin with their time: the first is the oldest. Its outcome is found through the index.
                if open.len() > limits::FOLLOW_OPEN {
                    drop(open.pop_first());
                }
            }
            RecordKind::Refused | RecordKind::Asked => {
                spans.extend(span(entry, at, at, &envelope, None));
            }
            RecordKind::Outcome => {
                if let Some((begun, of)) = open.get(&entry) {
                    spans.extend(span(entry, *begun, at, of, Some(&envelope)));
                } else {
                    let (begun, of) = earlier(app, entry).await?;
                    spans.extend(span(entry, begun, at, &of, Some(&envelope)));
                }
            }
            RecordKind::Answered
            | RecordKind::Control
            | RecordKind::Task
            | RecordKind::Token
            | RecordKind::Sampled
            | RecordKind::Segment
            | RecordKind::Correction
            | RecordKind::Presented => {}
        }
    }
    Ok(spans)
}

/// The opening of an entry that was read before this run began. The index may lag: then the outcome waits for it.
async fn earlier(app: &App, entry: EntryId) -> Result<(Timestamp, Value), String> {
    let filter = Filter { entry: Some(entry), kind: Some(RecordKind::Opened), ..Filter::default() };
    let found = ops::records(app, filter).await.map_err(|error| error.to_string())?;
    let found = found.into_iter().next();
    let found =
        found.ok_or_else(|| format!("the index does not know the opening of {entry} yet"))?;
    Ok((found.leaf.at, ops::envelope(&found)))
}

fn span(
    entry: EntryId,
    from: Timestamp,
    to: Timestamp,
    opened: &Value,
    outcome: Option<&Value>,
) -> Option<Value> {
    let text =
        |value: &Value, member: &str| value.get(member).and_then(Value::as_str).map(str::to_owned);
    let trace = text(opened, "trace")?;
    let action = text(opened, "action")?;
    let decision = text(opened, "decision").unwrap_or_default();
    let ending = outcome.and_then(|outcome| text(outcome, "ending"));
    let failed = ending.as_deref().map_or(decision != "allow", |ending| ending != "done");
    let mut of: Vec<(&str, Value)> = vec![
        ("ambit.entry", entry.to_string().into()),
        ("ambit.decision", decision.into()),
        ("gen_ai.operation.name", "execute_tool".into()),
        ("gen_ai.tool.name", action.as_str().into()),
    ];
    let named = [
        ("agent", "gen_ai.agent.name"),
        ("version", "gen_ai.agent.version"),
        ("instance", "ambit.instance"),
        ("task", "ambit.task"),
        ("intent", "ambit.intent"),
        ("upstream", "ambit.upstream"),
        ("effect", "ambit.effect"),
        ("risk", "ambit.risk"),
        ("code", "ambit.code"),
        ("edge", "ambit.edge"),
    ];
    of.extend(named.iter().filter_map(|(from, to)| Some((*to, text(opened, from)?.into()))));
    if let Some(outcome) = outcome {
        of.extend(ending.clone().map(|ending| ("ambit.ending", ending.into())));
        of.extend(text(outcome, "code").map(|code| ("error.type", code.into())));
        let status = outcome.get("status").and_then(Value::as_u64);
        of.extend(status.map(|status| ("http.response.status_code", status.into())));
    }
    // The span that the upstream was given as its parent: the entry's random half.
    let id = entry.0 & u128::from(u64::MAX);
    let nanos = |at: Timestamp| at.0.saturating_mul(1_000).to_string();
    Some(json!({
        "traceId": trace,
        "spanId": format!("{id:016x}"),
        "name": action,
        "kind": 3,
        "startTimeUnixNano": nanos(from),
        "endTimeUnixNano": nanos(to),
        "attributes": attributes(of),
        "status": { "code": if failed { 2 } else { 1 } },
    }))
}

fn attributes(of: impl IntoIterator<Item = (&'static str, Value)>) -> Vec<Value> {
    let value = |value: Value| match value {
        Value::Number(number) => json!({ "intValue": number.to_string() }),
        Value::String(text) => json!({ "stringValue": text }),
        other => json!({ "stringValue": other.to_string() }),
    };
    let one = |(key, of): (&str, Value)| {
        let mut attribute = Map::new();
        attribute.insert("key".to_owned(), key.into());
        attribute.insert("value".to_owned(), value(of));
        Value::Object(attribute)
    };
    of.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::Collector;

    #[test]
    fn an_endpoint_is_a_base() {
        let check = |endpoint: &str, expected: Option<&str>| {
            let url = Collector::of(endpoint).ok().map(|collector| collector.url);
            assert_eq!(url.as_deref(), expected, "{endpoint}");
        };
        check("http://127.0.0.1:4318", Some("http://127.0.0.1:4318/v1/traces"));
        check("https://otel.example/base/", Some("https://otel.example/base/v1/traces"));
        check("grpc://otel.example", None);
        check("otel", None);
    }
}
