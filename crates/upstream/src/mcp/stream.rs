//! The messages of an answer that streams, and of the standing stream of a conversation.

use super::{
    Answer, Method, Outcome,
    cancel::Cancellation,
    events::Events,
    message::{self, Incoming},
    transport::{Dialect, Line, answers},
};
use crate::{Fault, limits};
use canonical::{Object, Value};
use model::Code;

/// One message of a stream.
#[derive(Debug)]
pub enum Message {
    /// A JSON-RPC notification that belongs to the call, with the client's own token.
    Notification(Value),
    /// Words of the upstream: the parameters of `notifications/message`.
    Log(Value),
    /// Something the upstream asks of the client; it waits for [`Messages::refuse`] or a reply.
    Question(Question),
    /// The end.
    Outcome(Outcome),
}

/// A request of an upstream.
#[derive(Debug)]
pub struct Question {
    /// `elicitation/create`, `sampling/createMessage` or `roots/list`.
    pub method: String,
    /// Its parameters.
    pub params: Value,
    /// Where the answer goes: what [`super::Mcp::reply`] takes.
    pub reply_to: Value,
    id: Value,
}

/// The messages of one stream; of an answer, the last is its outcome. Dropping it cancels the call.
pub struct Messages {
    line: Line,
    dialect: Dialect,
    kind: Kind,
    events: Option<Events>,
    cancellation: Option<Cancellation>,
    buffered: Option<Message>,
    seen: usize,
    resumed: usize,
}

/// What a stream is for.
pub(super) enum Kind {
    /// The answer to a request.
    Answer { id: i64, method: Method, progress: Option<Progress>, talks: bool },
    /// What an upstream sends unasked, in a legacy session or to `subscriptions/listen` of this id.
    Standing(Option<i64>),
}

/// What the client wants to hear of the call's progress.
#[derive(Debug)]
pub(super) struct Progress {
    /// The client's token.
    pub(super) token: Value,
}

/// What an upstream may ask a client for.
const QUESTIONS: [&str; 3] = ["elicitation/create", "sampling/createMessage", "roots/list"];
/// What an upstream may tell without being asked; no words of its own are in it.
const CHANGES: [&str; 3] = [
    "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
    "notifications/tools/list_changed",
];
const UPDATED: &str = "notifications/resources/updated";

impl Messages {
    pub(super) fn new(
        line: Line,
        dialect: Dialect,
        kind: Kind,
        events: Events,
        cancellation: Option<Cancellation>,
    ) -> Messages {
        let events = Some(events);
        Messages { line, dialect, kind, events, cancellation, buffered: None, seen: 0, resumed: 0 }
    }

    /// The answer, once its first message that matters is here: most streams hold one message.
    pub(super) async fn first(mut self) -> Result<Answer, Fault> {
        match self.next().await {
            Some(Ok(Message::Outcome(outcome))) => Ok(Answer::Whole(outcome)),
            Some(Ok(message)) => {
                self.buffered = Some(message);
                Ok(Answer::Stream(self))
            }
            Some(Err(fault)) => Err(fault),
            None => Err(ended()),
        }
    }

    /// The next message; `None` after the outcome or a fault, and at the end of a standing stream.
    pub async fn next(&mut self) -> Option<Result<Message, Fault>> {
        if let Some(message) = self.buffered.take() {
            return Some(Ok(message));
        }
        let step = self.step().await?;
        if matches!(step, Ok(Message::Outcome(_)) | Err(_)) {
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
            let incoming = match self.events.as_mut()?.next().await {
                Ok(Some(incoming)) => incoming,
                ended_or_broken => {
                    if self.resume(&ended_or_broken).await {
                        continue;
                    }
                    return match (ended_or_broken, &self.kind) {
                        (Err(fault), _) => Some(Err(fault)),
                        (Ok(_), Kind::Standing(_)) => None,
                        (Ok(_), Kind::Answer { .. }) => Some(Err(ended())),
                    };
                }
            };
            self.resumed = 0;
            self.seen += 1;
            if self.seen > limits::STREAM_MESSAGES {
                let what = "the stream holds more messages than the limit";
                return Some(Err(Fault::unknown(Code::ResultTooLarge, what)));
            }
            if let Some(message) = self.take(incoming).await {
                return Some(message);
            }
        }
    }

    /// What a message is for the caller; `None` if it is not for it.
    async fn take(&mut self, incoming: Incoming) -> Option<Result<Message, Fault>> {
        match incoming {
            Incoming::Response(id, reply) => match &self.kind {
                Kind::Answer { id: ours, method, .. } if answers(id, *ours, &reply) => {
                    Some(Outcome::of_answer(reply, *method).map(Message::Outcome))
                }
                Kind::Standing(Some(ours)) if answers(id, *ours, &reply) => {
                    self.events = None;
                    None
                }
                Kind::Answer { .. } | Kind::Standing(_) => {
                    tracing::debug!("a response to another request");
                    None
                }
            },
            Incoming::Request(id, method, params) => self.question(id, method, params).await,
            Incoming::Notification(method, params) => self.hand_on(&method, &params).map(Ok),
        }
    }

    /// A legacy upstream may end a stream before the answer and keep the rest for later; a stream that breaks is taken
    /// up in the same way. True if there is more to read.
    async fn resume(&mut self, why: &Result<Option<Incoming>, Fault>) -> bool {
        let Some(events) = &self.events else { return false };
        let place = events.place().clone();
        let broken = why.as_ref().is_err_and(|fault| fault.code() != Code::UpstreamTimeout);
        let is_standing = matches!(self.kind, Kind::Standing(_));
        let lost = place.last.is_none() || is_standing || broken;
        if lost || self.dialect == Dialect::Modern || self.resumed >= limits::RESUMPTIONS {
            return false;
        }
        self.resumed += 1;
        tokio::time::sleep(place.retry.unwrap_or(limits::RETRY)).await;
        match self.line.stream(&self.dialect, place).await {
            Ok(Some(events)) => {
                self.events = Some(events);
                true
            }
            Ok(None) => false,
            Err(fault) => {
                tracing::debug!(%fault, "a stream could not be taken up again");
                false
            }
        }
    }

    /// What an upstream asks for is decided by the caller; whatever it cannot ask for is refused here. In revision
    /// 2026-07-28 nothing is asked in this way, and nobody waits for an answer.
    async fn question(
        &mut self,
        id: Value,
        method: String,
        params: Value,
    ) -> Option<Result<Message, Fault>> {
        if method == "ping" {
            self.tell(message::pong(&id)).await;
            return None;
        }
        let talks = !matches!(self.kind, Kind::Answer { talks: false, .. });
        if QUESTIONS.contains(&method.as_str())
            && talks
            && let Some(reply_to) = self.reply_to(&id)
        {
            let params = if params.is_null() { Value::Object(Object::new()) } else { params };
            return Some(Ok(Message::Question(Question { method, params, reply_to, id })));
        }
        tracing::info!(method, "an upstream asked for something that is not offered");
        self.tell(message::refused(&id)).await;
        None
    }

    /// Tells the upstream that it does not get what it asked for.
    pub async fn refuse(&self, question: &Question) {
        tracing::info!(method = question.method, "an upstream does not get what it asked for");
        self.tell(message::refused(&question.id)).await;
    }

    fn reply_to(&self, id: &Value) -> Option<Value> {
        let Dialect::Session { version, id: session } = &self.dialect else { return None };
        let mut members = vec![("id", id.clone()), ("version", Value::from(*version))];
        if let Some(session) = session {
            members.push(("session", Value::from(session.to_str().ok()?)));
        }
        object(members)
    }

    async fn tell(&self, body: Result<Vec<u8>, Fault>) {
        if self.dialect == Dialect::Modern {
            return;
        }
        let told = match body {
            Ok(body) => self.line.tell(&self.dialect, body).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = told {
            tracing::debug!(%fault, "an upstream could not be answered");
        }
    }

    fn hand_on(&self, method: &str, params: &Value) -> Option<Message> {
        match &self.kind {
            Kind::Answer { id, progress, talks, .. } => match method {
                "notifications/progress" => {
                    progressed(params, *id, progress.as_ref()?, *talks).map(Message::Notification)
                }
                "notifications/message" if *talks => Some(Message::Log(params.clone())),
                _ => None,
            },
            Kind::Standing(_) if method == "notifications/message" => {
                Some(Message::Log(params.clone()))
            }
            Kind::Standing(_) => changed(method, params).map(Message::Notification),
        }
    }
}

impl std::fmt::Debug for Messages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messages").field("line", &self.line).finish_non_exhaustive()
    }
}

/// Progress of this call, under the client's token; nothing else.
fn progressed(params: &Value, id: i64, progress: &Progress, talks: bool) -> Option<Value> {
    if params.get("progressToken").and_then(Value::as_i64) != Some(id) {
        return None;
    }
    let mut kept = vec![("progressToken", progress.token.clone())];
    for name in ["progress", "total"] {
        if let Some(number) = params.get(name).filter(|number| number.as_f64().is_some()) {
            kept.push((name, number.clone()));
        }
    }
    if let Some(text) = params.get("message").filter(|text| text.as_str().is_some())
        && talks
    {
        kept.push(("message", text.clone()));
    }
    notification("notifications/progress", object(kept)?)
}

/// That something changed, without any words.
fn changed(method: &str, params: &Value) -> Option<Value> {
    if let Some(method) = CHANGES.into_iter().find(|one| *one == method) {
        return notification(method, object([])?);
    }
    let uri = params.get("uri").filter(|uri| uri.as_str().is_some() && method == UPDATED)?;
    notification(UPDATED, object([("uri", uri.clone())])?)
}

fn notification(method: &str, params: Value) -> Option<Value> {
    object([("jsonrpc", Value::from("2.0")), ("method", Value::from(method)), ("params", params)])
}

fn object<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Option<Value> {
    Object::try_from_members(members).ok().map(Value::Object)
}

fn ended() -> Fault {
    Fault::unknown(Code::UpstreamInvalid, "the stream ended without an answer")
}
