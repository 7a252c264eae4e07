//! The ledger as the story asks it: what each call came to, and whether an edited copy is found out.

use super::stage::{Stage, text};
use crate::{cli::TraceFilter, control::Request};
use anyhow::Context as _;
use serde_json::Value;

/// The actions of one agent that the ledger holds, oldest first.
pub(super) async fn actions(stage: &Stage, agent: &str) -> anyhow::Result<Vec<Value>> {
    let listed = stage
        .ask(Request::TraceList {
            which: TraceFilter { agent: Some(agent.into()), ..TraceFilter::default() },
            limit: None,
        })
        .await?;
    listed.as_array().cloned().context("the ledger's answer is not a list")
}

/// The sentence for the last refusal of an agent.
pub(super) async fn why(stage: &Stage, trace: &str) -> anyhow::Result<String> {
    let why =
        stage.ask(Request::Why { trace: Some(trace.into()), agent: None, handle: None }).await?;
    text(&why, "sentence")
}

/// Whether an action was refused with this code.
pub(super) fn refused(actions: &[Value], action: &str, code: &str) -> bool {
    actions.iter().any(|row| {
        is(row, "action", action) && is(row, "decision", "deny") && is(row, "code", code)
    })
}

/// How many actions were allowed.
pub(super) fn allowed(actions: &[Value]) -> usize {
    actions.iter().filter(|row| is(row, "decision", "allow")).count()
}

/// Whether a member has this text.
pub(super) fn is(row: &Value, member: &str, value: &str) -> bool {
    row.get(member).and_then(Value::as_str) == Some(value)
}
