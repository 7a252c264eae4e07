//! The outcome of a call in one form, whatever the upstream's revision.

use super::{Method, message::Reply};
use crate::Fault;
use canonical::{Limits, Object, Pointer, Value};
use model::Code;

/// The client did not declare what the upstream needs: the client's own affair.
const CAPABILITY_MISSING: i64 = -32021;
/// Errors between two parties of one hop: their meaning ends at Ambit.
const HOP_ERRORS: std::ops::RangeInclusive<i64> = -32099..=-32020;
/// Revision 2025-11-25: the upstream wants the human at a URL of its choice.
const URL_ELICITATION: i64 = -32042;

/// The members of a task.
const TASK: [&str; 7] =
    ["taskId", "status", "statusMessage", "createdAt", "lastUpdatedAt", "ttlMs", "pollIntervalMs"];

/// What is said of an error of an action whose answers are narrowed.
const WITHHELD_ERROR: &str =
    "the tool reported an error; its text is withheld because this tool returns only named fields";

/// A complete `result`, or an `error` that the upstream answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    value: Value,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Result,
    Error,
    Asks,
    Task,
}

/// A result that cannot be cut down to named fields: it is no JSON object or array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the result is not structured, so that its fields cannot be named")]
pub struct NotProjectable;

impl Outcome {
    /// The outcome of a JSON-RPC result, in the form of 2025-11-25.
    #[must_use]
    pub fn of_result(result: Object) -> Outcome {
        Outcome { value: Value::Object(result), kind: Kind::Result }
    }

    /// The outcome of a JSON-RPC error object.
    #[must_use]
    pub fn of_error(error: Object) -> Outcome {
        Outcome { value: Value::Object(error), kind: Kind::Error }
    }

    /// The `result` or the `error` object.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// The same kind of outcome with another body.
    #[must_use]
    pub fn with(self, body: Object) -> Outcome {
        Outcome { value: Value::Object(body), kind: self.kind }
    }

    /// The same, without a copy.
    #[must_use]
    pub fn into_value(self) -> Value {
        self.value
    }

    /// The outcome of a result that asks: `inputRequests` and `requestState`.
    #[must_use]
    pub fn asking(questions: Object) -> Outcome {
        Outcome { value: Value::Object(questions), kind: Kind::Asks }
    }

    /// Whether it asks for input instead of answering (2026-07-28).
    #[must_use]
    pub const fn asks(&self) -> bool {
        matches!(self.kind, Kind::Asks)
    }

    /// Whether it is a task that the upstream has begun instead of answering (`io.modelcontextprotocol/tasks`).
    #[must_use]
    pub const fn is_task(&self) -> bool {
        matches!(self.kind, Kind::Task)
    }

    /// What the upstream needs a client to declare, if that is why it refuses.
    #[must_use]
    pub fn missing_capability(&self) -> Option<&Value> {
        let code = self.value.get("code").and_then(Value::as_i64);
        let missing = self.is_protocol_error() && code == Some(CAPABILITY_MISSING);
        missing.then(|| self.value.pointer("/data/requiredCapabilities")).flatten()
    }

    /// Whether it is a JSON-RPC error rather than a result.
    #[must_use]
    pub const fn is_protocol_error(&self) -> bool {
        matches!(self.kind, Kind::Error)
    }

    /// Whether the upstream says that the action failed, in either way.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.is_protocol_error()
            || self.value.get("isError").and_then(Value::as_bool).unwrap_or(false)
    }

    /// Keeps only what the pointers name, and says how many members were left out.
    ///
    /// Structured content is cut down and becomes the text as well. Without it, each text must be
    /// a JSON object or array, and becomes what is left of it. Words of an error are replaced.
    pub fn project(self, returns: &[Pointer]) -> Result<(Outcome, u64), NotProjectable> {
        if self.is_error() {
            return Ok((self.silenced(), 1));
        }
        // A question has words and a task has states: no fields that could be named.
        if self.asks() || self.is_task() {
            return Err(NotProjectable);
        }
        let (kept, dropped) = match self.value.get("structuredContent") {
            Some(structured) => {
                let (value, dropped) = narrowed(structured, returns)?;
                let text = text_block(&value)?;
                let content = Value::Array(vec![text]);
                (vec![("content", content), ("structuredContent", value)], dropped)
            }
            None => {
                let (blocks, dropped) = texts(self.value.get("content"), returns)?;
                (vec![("content", Value::Array(blocks))], dropped)
            }
        };
        let result = Object::try_from_members(kept).map_err(|_| NotProjectable)?;
        Ok((Outcome::of_result(result), dropped))
    }

    /// An error without the upstream's words.
    fn silenced(self) -> Outcome {
        let text = Value::from(WITHHELD_ERROR);
        let members = match self.kind {
            Kind::Error => {
                let code = self.value.get("code").cloned().unwrap_or(Value::Integer(-32603));
                vec![("code", code), ("message", text)]
            }
            Kind::Result | Kind::Asks | Kind::Task => {
                let block = [("text", text), ("type", Value::from("text"))];
                let block = Object::try_from_members(block).map_or(Value::Null, Value::Object);
                vec![("content", Value::Array(vec![block])), ("isError", Value::Bool(true))]
            }
        };
        let value = Object::try_from_members(members).map_or(Value::Null, Value::Object);
        Outcome { value, kind: self.kind }
    }

    /// Reads the body of a response.
    pub(super) fn of_answer(reply: Reply, method: Method) -> Result<Outcome, Fault> {
        match reply {
            Ok(Value::Object(result)) => of_result(result, method),
            Err(Value::Object(error)) => of_error(error),
            Ok(_) | Err(_) => {
                Err(Fault::unknown(Code::UpstreamInvalid, "the answer is not an object"))
            }
        }
    }
}

fn of_result(mut result: Object, method: Method) -> Result<Outcome, Fault> {
    match result.remove("resultType") {
        None => {}
        Some(Value::String(kind)) if kind == "complete" => {}
        Some(Value::String(kind)) if kind == "input_required" && method.may_ask() => {
            return questions(result);
        }
        Some(Value::String(kind)) if kind == "task" && method == Method::CallTool => {
            return begun(result);
        }
        Some(_) => {
            return Err(Fault::unknown(Code::UpstreamInvalid, "the result's type is not known"));
        }
    }
    if let Some(Value::Object(meta)) = result.remove("_meta") {
        let kept = meta
            .into_iter()
            .filter(|(name, _)| !name.starts_with("io.modelcontextprotocol/"))
            .collect::<Vec<_>>();
        if !kept.is_empty() {
            let meta = Object::try_from_members(kept).map(Value::Object);
            let kept = meta.and_then(|meta| result.insert("_meta", meta));
            kept.map_err(|error| Fault::unknown(Code::UpstreamInvalid, error.to_string()))?;
        }
    }
    // For whom and how long an answer may be kept is said anew by Ambit.
    drop(result.remove("cacheScope"));
    if let Some(what) = method.lacks(&result) {
        let what = format!("the result has no {what}");
        return Err(Fault::unknown(Code::UpstreamInvalid, what));
    }
    Ok(Outcome::of_result(result))
}

/// What an upstream asks before it answers; nothing else of such a result is handed on.
fn questions(mut result: Object) -> Result<Outcome, Fault> {
    let invalid = |what: &str| Fault::unknown(Code::UpstreamInvalid, what.to_owned());
    let mut kept = Vec::new();
    match result.remove("inputRequests") {
        Some(requests @ Value::Object(_)) => kept.push(("inputRequests", requests)),
        Some(_) => return Err(invalid("the questions are no object")),
        None => {}
    }
    match result.remove("requestState") {
        Some(state @ Value::String(_)) => kept.push(("requestState", state)),
        Some(_) => return Err(invalid("the request state is no text")),
        None => {}
    }
    if kept.is_empty() {
        return Err(invalid("the upstream asks for input and says nothing of it"));
    }
    let kept = Object::try_from_members(kept).map_err(|error| invalid(&error.to_string()))?;
    Ok(Outcome::asking(kept))
}

/// A task instead of a result; only what the extension says of a task is handed on.
fn begun(mut result: Object) -> Result<Outcome, Fault> {
    let invalid = |what: &str| Fault::unknown(Code::UpstreamInvalid, what.to_owned());
    let kept: Vec<_> =
        TASK.into_iter().filter_map(|name| Some((name, result.remove(name)?))).collect();
    let value = Object::try_from_members(kept).map_err(|error| invalid(&error.to_string()))?;
    let has = |name: &str| matches!(value.get(name), Some(Value::String(_)));
    if !has("taskId") || !has("status") {
        return Err(invalid("the upstream began a task without an id or a status"));
    }
    Ok(Outcome { value: Value::Object(value), kind: Kind::Task })
}

fn of_error(error: Object) -> Result<Outcome, Fault> {
    let code = error.get("code").and_then(Value::as_i64);
    let worded = error.get("message").and_then(Value::as_str).is_some();
    match code {
        Some(URL_ELICITATION) => {
            let what = "the upstream asks for the human, which is not offered";
            Err(Fault::upstream(Code::ResultWithheld, what))
        }
        Some(code) if HOP_ERRORS.contains(&code) && code != CAPABILITY_MISSING => {
            Err(Fault::upstream(
                Code::UpstreamInvalid,
                format!("the upstream answered with error {code}"),
            ))
        }
        Some(_) if worded => Ok(Outcome::of_error(error)),
        _ => Err(Fault::unknown(Code::UpstreamInvalid, "the error has no code or no message")),
    }
}

fn narrowed(value: &Value, returns: &[Pointer]) -> Result<(Value, u64), NotProjectable> {
    if !matches!(value, Value::Object(_) | Value::Array(_)) {
        return Err(NotProjectable);
    }
    let projection = canonical::project(value, returns);
    Ok((projection.value, u64::try_from(projection.dropped).unwrap_or(u64::MAX)))
}

/// Each text of a result, cut down. Anything that is no text is left out.
fn texts(
    content: Option<&Value>,
    returns: &[Pointer],
) -> Result<(Vec<Value>, u64), NotProjectable> {
    let Some(Value::Array(blocks)) = content else { return Err(NotProjectable) };
    let (mut kept, mut dropped) = (Vec::new(), 0_u64);
    for block in blocks {
        if block.get("type").and_then(Value::as_str) != Some("text") {
            dropped = dropped.saturating_add(1);
            continue;
        }
        let text = block.get("text").and_then(Value::as_str).ok_or(NotProjectable)?;
        let value =
            canonical::parse(text.as_bytes(), &Limits::FRAME).map_err(|_| NotProjectable)?;
        let (value, left_out) = narrowed(&value, returns)?;
        dropped = dropped.saturating_add(left_out);
        kept.push(text_block(&value)?);
    }
    if kept.is_empty() { Err(NotProjectable) } else { Ok((kept, dropped)) }
}

fn text_block(value: &Value) -> Result<Value, NotProjectable> {
    let text = String::from_utf8(value.to_bytes()).map_err(|_| NotProjectable)?;
    let members = [("text", Value::from(text)), ("type", Value::from("text"))];
    Object::try_from_members(members).map(Value::Object).map_err(|_| NotProjectable)
}

#[cfg(test)]
mod tests;
