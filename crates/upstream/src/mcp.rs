//! An MCP client that speaks to each upstream in the revision the upstream speaks.
//!
//! An upstream of revision 2026-07-28 is called without a session; one of 2025-11-25 or
//! 2025-06-18 in a session that belongs to one agent, one human and, if the client is in a session
//! itself, to that session; one that speaks both is spoken to as the client speaks. Results come
//! out in one form, without `resultType`. What an upstream initiates comes out as [`Question`]s and
//! log messages for the caller to decide about.

pub(crate) mod caller;
mod cancel;
mod conversation;
mod definitions;
mod era;
mod events;
mod message;
mod method;
mod mirror;
mod outcome;
mod session;
mod standing;
mod stream;
mod transport;

pub use conversation::{Capabilities, Conversation, Level};
pub use definitions::ToolDefinition;
pub use method::Method;
pub use outcome::{NotProjectable, Outcome};
pub use standing::Party;
pub use stream::{Message, Messages, Question};

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
#[derive(Clone, Debug)]
pub struct Ask {
    /// Which request of the protocol it is.
    pub method: Method,
    /// The conversation that it belongs to.
    pub conversation: Conversation,
    /// The client's progress token, if it wants progress; notifications carry it.
    pub progress: Option<Value>,
    /// Answers to what the upstream asked in an earlier round.
    pub inputs: Option<Box<Inputs>>,
    /// `traceparent` to hand on; without one the upstream gets the entry as its parent.
    pub traceparent: Option<String>,
    /// The argument that makes it a dry run, set to true beside the departed arguments.
    pub dry_run: Option<String>,
}

/// Answers to questions of an upstream, and the state that it gave with them (2026-07-28).
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs {
    /// Answers by the questions' keys.
    pub responses: Value,
    /// The upstream's own state.
    pub state: Option<String>,
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
    abouts: era::Abouts,
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

    /// The headers that these arguments of an action are repeated in; none if they cannot be.
    #[must_use]
    pub fn mirrored(&self, action: &ActionId, arguments: &Value) -> Option<http::HeaderMap> {
        self.mirrors.headers(action, arguments).ok()
    }

    /// Sends a departed action with the argument bytes that were decided on.
    ///
    /// Dropping the future or the messages cancels the call at the upstream.
    pub async fn call(
        &self,
        client: &Client,
        departure: &Departure,
        credential: UpstreamCredential,
        ask: Ask,
    ) -> Result<Answer, Fault> {
        if !credential.fits(departure) {
            return Err(client::foreign(departure));
        }
        let traceparent = ask.traceparent.unwrap_or_else(|| client::own_traceparent(departure));
        let clearance = departure.clearance();
        let user = clearance.subject().user.as_ref();
        let line = Line {
            client: client.clone(),
            trace: client::trace_headers(departure, Some(&traceparent))?,
            caller: Caller::acting(clearance.agent(), user, ask.conversation.session),
            conversation: ask.conversation,
            credential,
        };
        let entry = departure.call().entry();
        let rehearsed = match &ask.dry_run {
            Some(argument) => Some(rehearsal(departure, argument)?),
            None => None,
        };
        let arguments = departure.call().arguments();
        let name = match ask.method.named_by() {
            None => departure.action().operation.as_ref(),
            Some(member) => arguments.get(member).and_then(Value::as_str).unwrap_or_default(),
        };
        let asking = Asking {
            method: ask.method,
            name,
            arguments: rehearsed.as_deref().unwrap_or(departure.call().bytes()),
            headers: self.mirrors.headers(departure.action(), arguments)?,
            progress: ask.progress,
            inputs: ask.inputs.as_deref(),
            talks: entry.action.returns.is_empty(),
            traceparent: Some(&traceparent),
        };
        self.ask(line, asking).await
    }

    /// Answers what an upstream asked: `reply_to` is where, `reply` a result or an error.
    pub async fn reply(
        &self,
        client: &Client,
        departure: &Departure,
        credential: UpstreamCredential,
        reply_to: &Value,
        reply: &Result<Value, Value>,
    ) -> Result<(), Fault> {
        if !credential.fits(departure) {
            return Err(client::foreign(departure));
        }
        let (dialect, id) = transport::of_reply_to(reply_to)?;
        let clearance = departure.clearance();
        let line = Line {
            client: client.clone(),
            trace: client::trace_headers(departure, None)?,
            caller: Caller::acting(clearance.agent(), clearance.subject().user.as_ref(), None),
            conversation: Conversation::default(),
            credential,
        };
        line.tell(&dialect, message::reply(&id, reply)?).await
    }

    async fn ask(&self, line: Line, asking: Asking<'_>) -> Result<Answer, Fault> {
        let dialect = self.dialect(&line).await.map_err(Fault::before_action)?;
        let first = self.send(&line, dialect.clone(), &asking).await?;
        let Opened::SessionGone = first.opened else { return self.read(line, first, asking).await };
        // The upstream says that it does not know the session, so it did nothing with the call.
        first.cancellation.disarm();
        Box::pin(self.ask_again(line, dialect, asking)).await
    }

    async fn ask_again(
        &self,
        line: Line,
        gone: Dialect,
        asking: Asking<'_>,
    ) -> Result<Answer, Fault> {
        let dialect = self.reopen(&line, &gone).await.map_err(Fault::before_action)?;
        let second = self.send(&line, dialect, &asking).await?;
        self.read(line, second, asking).await
    }

    async fn send(
        &self,
        line: &Line,
        dialect: Dialect,
        asking: &Asking<'_>,
    ) -> Result<Underway, Fault> {
        if dialect == Dialect::Modern && asking.method.needs_session() {
            let what = "the upstream has no sessions in which a resource could be watched";
            return Err(Fault::upstream(Code::UpstreamInvalid, what));
        }
        let id = self.next_id();
        let params = message::params(&dialect, asking, &line.conversation, id)?;
        let named = asking.method == Method::CallTool || asking.method.named_by().is_some();
        let name = named.then_some(asking.name);
        let request = Request { id, method: asking.method.as_str(), name, params: &params };
        let cancellation = Cancellation::arm(line, &dialect, id);
        let opened = line.request(&dialect, &request, &asking.headers).await?;
        Ok(Underway { id, dialect, opened, cancellation })
    }

    async fn read(
        &self,
        line: Line,
        underway: Underway,
        asking: Asking<'_>,
    ) -> Result<Answer, Fault> {
        let Underway { id, dialect, opened, cancellation } = underway;
        let method = asking.method;
        let settled = match opened {
            Opened::Answer(answer) => Outcome::of_answer(answer, method),
            Opened::Refused(status, Some(error)) => {
                tracing::debug!(%status, "an upstream answered a call with an error");
                Outcome::of_answer(Err(error), method)
            }
            Opened::Refused(status, None) => Err(transport::refusal(status)),
            Opened::SessionGone => Err(transport::refusal(http::StatusCode::NOT_FOUND)),
            Opened::Events(events) => {
                let progress = asking.progress.map(|token| stream::Progress { token });
                let kind = stream::Kind::Answer { id, method, progress, talks: asking.talks };
                let messages = Messages::new(line, dialect, kind, events, Some(cancellation));
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

/// One request, whoever speaks.
struct Asking<'a> {
    method: Method,
    /// The tool, or what else `Mcp-Name` says.
    name: &'a str,
    /// Canonical JSON of an object.
    arguments: &'a [u8],
    /// Parameters that the upstream wants to see in headers.
    headers: http::HeaderMap,
    /// The client's token.
    progress: Option<Value>,
    inputs: Option<&'a Inputs>,
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
