//! An MCP client that speaks to each upstream in the revision the upstream speaks.
//!
//! An upstream of revision 2026-07-28 is called without a session; one of 2025-11-25 or
//! 2025-06-18 in a session that belongs to one agent and one human. Results come out in one form,
//! without `resultType`. What an upstream initiates is refused (sampling, elicitation, roots) or
//! dropped (logging, list changes); only progress of the call itself is handed on.

pub(crate) mod caller;
mod cancel;
mod definitions;
mod era;
mod message;
mod mirror;
mod outcome;
mod session;
mod stream;
mod transport;

pub use definitions::ToolDefinition;
pub use outcome::{NotProjectable, Outcome};
pub use stream::{Message, Messages};

use crate::{Client, Departure, Fault, UpstreamCredential, client};
use caller::Caller;
use cancel::Cancellation;
use canonical::Value;
use message::Request;
use model::{ActionId, Code};
use session::Sessions;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicI64, Ordering},
};
use transport::{Dialect, Line, Opened};

/// The revision without sessions.
const MODERN: &str = "2026-07-28";
/// The revisions with sessions that are spoken, the preferred one first.
const LEGACY: [&str; 2] = ["2025-11-25", "2025-06-18"];

/// What is asked for beside the departed call itself.
#[derive(Clone, Debug, Default)]
pub struct ToolCall {
    /// The client's progress token, if it wants progress; notifications carry it.
    pub progress: Option<Value>,
    /// `traceparent` to hand on; without one the upstream gets the entry as its parent.
    pub traceparent: Option<String>,
    /// The argument that makes it a dry run, set to true beside the departed arguments.
    pub dry_run: Option<String>,
}

/// What a call brought.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one is made for each call and moved twice; a box would cost more"
)]
pub enum Answer {
    /// The complete outcome.
    Whole(Outcome),
    /// Notifications first; the outcome is the last message.
    Stream(Messages),
}

/// The state of conversations with MCP upstreams: their revisions and legacy sessions.
#[derive(Debug, Default)]
pub struct Mcp {
    eras: era::Eras,
    sessions: Sessions,
    mirrors: mirror::Mirrors,
    last_id: AtomicI64,
}

impl Mcp {
    /// Nothing is known about any upstream yet.
    #[must_use]
    pub fn new() -> Mcp {
        Mcp::default()
    }

    /// Takes over the pinned definitions, for the parameters that upstreams want in headers.
    pub fn publish(&self, definitions: &BTreeMap<ActionId, Value>) {
        self.mirrors.publish(definitions);
    }

    /// Calls the tool of a departed action with the argument bytes that were decided on.
    ///
    /// Dropping the future or the messages cancels the call at the upstream.
    pub async fn call(
        &self,
        client: &Client,
        departure: &Departure,
        credential: UpstreamCredential,
        call: ToolCall,
    ) -> Result<Answer, Fault> {
        if !credential.fits(departure) {
            return Err(client::foreign(departure));
        }
        let traceparent = call.traceparent.unwrap_or_else(|| client::own_traceparent(departure));
        let clearance = departure.clearance();
        let line = Line {
            client: client.clone(),
            trace: client::trace_headers(departure, Some(&traceparent))?,
            caller: Caller::acting(clearance.agent(), clearance.subject().user.as_ref()),
            credential,
        };
        let entry = departure.call().entry();
        let rehearsed = match &call.dry_run {
            Some(argument) => Some(rehearsal(departure, argument)?),
            None => None,
        };
        let tool = Tool {
            name: &departure.action().operation,
            arguments: rehearsed.as_deref().unwrap_or(departure.call().bytes()),
            headers: self.mirrors.headers(departure.action(), departure.call().arguments())?,
            progress: call.progress,
            talks: entry.action.returns.is_empty(),
            traceparent: Some(&traceparent),
        };
        self.call_tool(line, tool).await
    }

    async fn call_tool(&self, line: Line, tool: Tool<'_>) -> Result<Answer, Fault> {
        let dialect = self.dialect(&line).await.map_err(Fault::before_action)?;
        let first = self.send(&line, dialect.clone(), &tool).await?;
        let Opened::SessionGone = first.opened else { return self.read(line, first, tool).await };
        // The upstream says that it does not know the session, so it did nothing with the call.
        first.cancellation.disarm();
        let dialect = self.reopen(&line, &dialect).await.map_err(Fault::before_action)?;
        let second = self.send(&line, dialect, &tool).await?;
        self.read(line, second, tool).await
    }

    async fn send(
        &self,
        line: &Line,
        dialect: Dialect,
        tool: &Tool<'_>,
    ) -> Result<Underway, Fault> {
        let id = self.next_id();
        let params = message::tool_params(&dialect, tool, id)?;
        let request = Request { id, method: "tools/call", name: Some(tool.name), params: &params };
        let cancellation = Cancellation::arm(line, &dialect, id);
        let opened = line.request(&dialect, &request, &tool.headers).await?;
        Ok(Underway { id, dialect, opened, cancellation })
    }

    async fn read(&self, line: Line, underway: Underway, tool: Tool<'_>) -> Result<Answer, Fault> {
        let Underway { id, dialect, opened, cancellation } = underway;
        let settled = match opened {
            Opened::Answer(answer) => Outcome::of_answer(answer),
            Opened::Refused(status, Some(error)) => {
                tracing::debug!(%status, "an upstream answered a call with an error");
                Outcome::of_answer(Err(error))
            }
            Opened::Refused(status, None) => Err(transport::refusal(status)),
            Opened::SessionGone => Err(transport::refusal(http::StatusCode::NOT_FOUND)),
            Opened::Events(events) => {
                let talks =
                    tool.progress.map(|token| stream::Progress { token, talks: tool.talks });
                let messages = Messages::new(line, dialect, id, events, talks, cancellation);
                return messages.first().await;
            }
        };
        cancellation.disarm();
        if settled.as_ref().is_err_and(|fault| fault.code() == Code::UpstreamInvalid) {
            self.eras.forget(line.credential.target());
        }
        settled.map(Answer::Whole)
    }

    fn next_id(&self) -> i64 {
        self.last_id.fetch_add(1, Ordering::Relaxed).wrapping_add(1) & canonical::MAX_SAFE_INTEGER
    }
}

/// The departed arguments with one more that makes the call a dry run.
fn rehearsal(departure: &Departure, argument: &str) -> Result<Vec<u8>, Fault> {
    let mut arguments = departure.call().arguments().clone();
    if let Value::Object(members) = &mut arguments {
        drop(members.remove(argument));
        let added = members.insert(argument, Value::Bool(true));
        added.map_err(|error| Fault::ourselves(Code::DryRunFailed, error.to_string()))?;
    }
    Ok(arguments.to_bytes())
}

/// One `tools/call`, whoever speaks.
struct Tool<'a> {
    name: &'a str,
    /// Canonical JSON of an object.
    arguments: &'a [u8],
    /// Parameters that the upstream wants to see in headers.
    headers: http::HeaderMap,
    /// The client's token.
    progress: Option<Value>,
    /// Whether words of the upstream may reach the agent beside the result.
    talks: bool,
    traceparent: Option<&'a str>,
}

/// A call that was sent.
struct Underway {
    id: i64,
    dialect: Dialect,
    opened: Opened,
    cancellation: Cancellation,
}

#[cfg(test)]
mod tests;
