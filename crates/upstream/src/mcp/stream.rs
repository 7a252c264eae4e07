//! The messages of an answer that streams.

use super::{
    Answer, Outcome,
    cancel::Cancellation,
    message::{self, Incoming},
    transport::{Dialect, Line, answers, next_message},
};
use crate::{Body, Fault, limits};
use canonical::{Object, Value};
use model::Code;
use sse_stream::SseStream;

/// One message of a streamed answer.
#[derive(Debug)]
pub enum Message {
    /// A JSON-RPC notification that belongs to the call, with the client's own token.
    Notification(Value),
    /// The end.
    Outcome(Outcome),
}

/// The messages of one answer; the last is its outcome. Dropping it cancels the call.
pub struct Messages {
    line: Line,
    dialect: Dialect,
    id: i64,
    events: Option<Box<SseStream<Body>>>,
    progress: Option<Progress>,
    cancellation: Option<Cancellation>,
    buffered: Option<Value>,
    seen: usize,
}

/// What the client wants to hear of the call's progress.
#[derive(Debug)]
pub(super) struct Progress {
    /// The client's token.
    pub(super) token: Value,
    /// Whether the upstream's words are handed on, or its numbers alone.
    pub(super) talks: bool,
}

impl Messages {
    pub(super) fn new(
        line: Line,
        dialect: Dialect,
        id: i64,
        events: Box<SseStream<Body>>,
        progress: Option<Progress>,
        cancellation: Cancellation,
    ) -> Messages {
        let (events, cancellation) = (Some(events), Some(cancellation));
        Messages { line, dialect, id, events, progress, cancellation, buffered: None, seen: 0 }
    }

    /// The answer, once its first message that matters is here: most streams hold one message.
    pub(super) async fn first(mut self) -> Result<Answer, Fault> {
        match self.next().await {
            Some(Ok(Message::Outcome(outcome))) => Ok(Answer::Whole(outcome)),
            Some(Ok(Message::Notification(notification))) => {
                self.buffered = Some(notification);
                Ok(Answer::Stream(self))
            }
            Some(Err(fault)) => Err(fault),
            None => Err(ended()),
        }
    }

    /// The next message; `None` after the outcome or a fault.
    pub async fn next(&mut self) -> Option<Result<Message, Fault>> {
        if let Some(notification) = self.buffered.take() {
            return Some(Ok(Message::Notification(notification)));
        }
        let step = self.step().await?;
        if !matches!(step, Ok(Message::Notification(_))) {
            self.events = None;
            if let Some(cancellation) = self.cancellation.take()
                && step.is_ok()
            {
                cancellation.disarm();
            }
        }
        Some(step)
    }

    async fn step(&mut self) -> Option<Result<Message, Fault>> {
        loop {
            let events = self.events.as_mut()?;
            let incoming = match next_message(events).await {
                Ok(Some(incoming)) => incoming,
                Ok(None) => return Some(Err(ended())),
                Err(fault) => return Some(Err(fault)),
            };
            self.seen += 1;
            if self.seen > limits::STREAM_MESSAGES {
                let what = "the stream holds more messages than the limit";
                return Some(Err(Fault::unknown(Code::ResultTooLarge, what)));
            }
            match incoming {
                Incoming::Response(id, reply) if answers(id, self.id, &reply) => {
                    return Some(Outcome::of_answer(reply).map(Message::Outcome));
                }
                Incoming::Response(..) => tracing::debug!("a response to another request"),
                Incoming::Request(id, method) => self.refuse(&id, &method).await,
                Incoming::Notification(method, params) => {
                    if let Some(notification) = self.hand_on(&method, &params) {
                        return Some(Ok(Message::Notification(notification)));
                    }
                }
            }
        }
    }

    /// What an upstream initiates is off (S17). In the legacy revisions it waits for an answer.
    async fn refuse(&self, id: &Value, method: &str) {
        tracing::info!(method, "an upstream asked for something that is not offered");
        if self.dialect == Dialect::Modern {
            return;
        }
        let told = match message::reply_to(id, method) {
            Ok(body) => self.line.tell(&self.dialect, body).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = told {
            tracing::debug!(%fault, "an upstream could not be told no");
        }
    }

    /// Progress of this call, under the client's token; nothing else.
    fn hand_on(&self, method: &str, params: &Value) -> Option<Value> {
        let progress = self.progress.as_ref()?;
        let ours = params.get("progressToken").and_then(Value::as_i64) == Some(self.id);
        if method != "notifications/progress" || !ours {
            return None;
        }
        let mut kept = vec![("progressToken", progress.token.clone())];
        for name in ["progress", "total"] {
            if let Some(number) = params.get(name).filter(|number| number.as_f64().is_some()) {
                kept.push((name, number.clone()));
            }
        }
        if let Some(text) = params.get("message").filter(|text| text.as_str().is_some())
            && progress.talks
        {
            kept.push(("message", text.clone()));
        }
        object([
            ("jsonrpc", Value::from("2.0")),
            ("method", Value::from(method)),
            ("params", object(kept)?),
        ])
    }
}

impl std::fmt::Debug for Messages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messages").field("id", &self.id).field("line", &self.line).finish()
    }
}

fn object<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Option<Value> {
    Object::try_from_members(members).ok().map(Value::Object)
}

fn ended() -> Fault {
    Fault::unknown(Code::UpstreamInvalid, "the stream ended without an answer")
}
