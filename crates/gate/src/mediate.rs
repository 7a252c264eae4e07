//! One action from request to record: the whole flow, top down.

use crate::{
    Gate, admit, decide, execute, limits, settle,
    stops::{Generation, Watch},
};
use ledger::{AppendError, NotWritten};
use model::{AskId, Code, Digest, EntryId, Peer, TaskId, Timestamp, TraceId, UpstreamName};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use upstream::Departure;

/// Through which door a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Edge {
    /// `/mcp/{upstream}`.
    Mcp,
    /// `/http/{upstream}/…`.
    Http,
}

impl Edge {
    /// The word in paths, facts and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Edge::Mcp => "mcp",
            Edge::Http => "http",
        }
    }
}

/// The credential as it came, not yet believed.
#[derive(Clone)]
pub struct Credential {
    /// How it is presented.
    pub scheme: identity::Scheme,
    /// The access token.
    token: String,
    /// Its SHA-256: what verified tokens are remembered by.
    digest: Digest,
    /// The DPoP proof, if one came.
    pub proof: Option<String>,
    /// The certificate that the peer of the connection proved to hold.
    certificate: Option<Arc<identity::Certificate>>,
    /// Where the connection comes from.
    peer: Option<Peer>,
    /// The request's method, as the proof must name it.
    pub method: String,
    /// The request's URL without query, as the proof must name it.
    pub url: String,
}

impl Credential {
    /// A token as it came, with nothing beside it yet.
    #[must_use]
    pub fn new(scheme: identity::Scheme, token: String, method: String, url: String) -> Credential {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
        let digest = Digest(<[u8; 32]>::try_from(digest.as_ref()).unwrap_or_default());
        Credential {
            scheme,
            token,
            digest,
            proof: None,
            certificate: None,
            peer: None,
            method,
            url,
        }
    }

    /// The same with the proof that came with it.
    #[must_use]
    pub fn with_proof(self, proof: Option<String>) -> Credential {
        Credential { proof, ..self }
    }

    /// The same with what the connection brought.
    #[must_use]
    pub fn over(self, connection: &http::Extensions) -> Credential {
        let certificate =
            connection.get::<identity::PeerCertificate>().and_then(|shown| shown.now());
        let peer = connection.get::<Peer>().copied();
        Credential { certificate, peer, ..self }
    }

    /// Where the connection comes from.
    #[must_use]
    pub const fn peer(&self) -> Option<Peer> {
        self.peer
    }

    /// The certificate that the peer of the connection proved to hold.
    #[must_use]
    pub fn certificate(&self) -> Option<&identity::Certificate> {
        self.certificate.as_deref()
    }

    /// The access token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The SHA-256 of the token.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

/// One request for one action, as an edge understood it; nothing in it is believed.
pub struct ActionRequest {
    /// Through which door.
    pub edge: Edge,
    /// The credential; `None` if none came.
    pub credential: Option<Credential>,
    /// Which upstream is meant.
    pub upstream: UpstreamName,
    /// Whether it came through the door of all upstreams, which is another audience.
    pub aggregate: bool,
    /// Which operation, by the name that the caller used.
    pub operation: String,
    /// The arguments, parsed once.
    pub arguments: canonical::Value,
    /// The trace that this call belongs to.
    pub trace: TraceId,
    /// `traceparent` to hand on, if one came.
    pub traceparent: Option<String>,
    /// A task reference that came with this call; it only narrows.
    pub task: Option<TaskId>,
    /// What is sent if it is allowed.
    pub outbound: Outbound,
}

/// What is sent to the upstream, beside the arguments.
pub enum Outbound {
    /// An MCP request.
    Mcp {
        /// Which request of the protocol.
        method: upstream::mcp::Method,
        /// The conversation that it belongs to.
        conversation: upstream::mcp::Conversation,
        /// The client's progress token, if it wants progress.
        progress: Option<canonical::Value>,
        /// Answers to what the upstream asked in an earlier round.
        inputs: Option<Box<upstream::mcp::Inputs>>,
        /// Of a request about a task: for whom it was begun; none if its handle is not one of ours.
        mcp_task: Option<Box<McpTask>>,
    },
    /// The client's answer to what an MCP upstream asked.
    Reply(Box<Replying>),
    /// An HTTP request rebuilt from its parsed parts.
    Http(upstream::HttpRequest),
}

/// A task that an upstream began: what its handle says.
pub struct McpTask {
    /// The agent that called.
    pub agent: String,
    /// The human that it acted for.
    pub user: Option<String>,
    /// The tool that was called.
    pub action: String,
}

/// An answer to a question of an upstream.
pub struct Replying {
    /// Where it goes, as the question said.
    pub reply_to: canonical::Value,
    /// The human for whom the question was asked.
    pub user: Option<String>,
    /// A result or an error.
    pub reply: Result<canonical::Value, canonical::Value>,
}

/// What an edge writes back.
pub enum Answer {
    /// A complete answer; its outcome is durable.
    Whole(Reply),
    /// Frames as they come; the last one is sent after its outcome is durable.
    Stream(Head, mpsc::Receiver<Frame>),
    /// Nothing was executed, or its outcome may not be returned.
    Refused(Refusal),
}

/// A complete answer.
pub enum Reply {
    /// The `result` (or `error`) of a JSON-RPC response.
    Mcp(upstream::mcp::Outcome),
    /// An HTTP response.
    Http(http::Response<bytes::Bytes>),
}

/// What a stream begins with.
pub enum Head {
    /// An MCP answer as server-sent events.
    Mcp,
    /// Status and headers of an HTTP response.
    Http(http::response::Parts),
}

/// One frame of a stream.
pub enum Frame {
    /// A notification that belongs to the call, or a question of the upstream under a handle of ours.
    Message(canonical::Value),
    /// Bytes of an HTTP body.
    Bytes(bytes::Bytes),
    /// The end: for MCP the result, for HTTP the last bytes.
    Last(Reply),
    /// The stream broke off; the edge must not end it cleanly.
    Broken(Refusal),
}

/// Why nothing is returned. A value, not an error.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// A sentence for the caller beyond the code's own; never internals.
    pub detail: Option<String>,
    /// The record of this refusal, if one was written.
    pub entry: Option<EntryId>,
    /// The trace.
    pub trace: TraceId,
    /// What a pending ask can be claimed by.
    pub asked: Option<Box<Asked>>,
    /// How often the very same call was refused lately, if this was not the first time.
    pub repeated: Option<u32>,
}

/// A pending ask, as the caller is told.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its handle.
    pub handle: AskId,
    /// Who was asked, in words.
    pub approvers: String,
    /// Until when an answer counts.
    pub until: Timestamp,
}

impl Refusal {
    /// A refusal with nothing beyond its code.
    #[must_use]
    pub fn new(code: Code, trace: TraceId) -> Refusal {
        Refusal { code, detail: None, entry: None, trace, asked: None, repeated: None }
    }

    /// The same with a sentence for the caller.
    #[must_use]
    pub fn with(self, detail: impl Into<String>) -> Refusal {
        Refusal { detail: Some(detail.into()), ..self }
    }
}

/// What was authorised.
pub(crate) struct Authorized {
    /// The evidence that bytes may leave.
    pub(crate) departure: Departure,
    /// Who acts.
    pub(crate) actor: identity::Actor,
    /// Who was stopped when it was decided.
    pub(crate) stops: Arc<Generation>,
    /// Its place among the agent's open calls.
    pub(crate) seat: admit::seats::Seat,
}

impl Gate {
    /// Takes one request to its answer. Whatever the caller does meanwhile, an entry that was opened gets one outcome.
    pub async fn mediate(self: &Arc<Self>, request: ActionRequest) -> Answer {
        if !self.is_admitting() {
            return Answer::Refused(Refusal::new(Code::Stopping, request.trace));
        }
        match self.authorize(&request).await {
            Ok(authorized) => self.carried(authorized, request).await,
            Err(refusal) => {
                // A loop is slowed down: a model that repeats itself is told so, and not at full speed.
                let loops = refusal.repeated.is_some_and(|times| times >= limits::LOOP_TIMES);
                if loops && request.edge == Edge::Mcp {
                    tokio::time::sleep(limits::LOOP_PAUSE).await;
                }
                Answer::Refused(refusal)
            }
        }
    }

    /// The same for a caller whom the edge has greeted: its proof is used up by that.
    pub async fn mediate_for(
        self: &Arc<Self>,
        actor: &identity::Actor,
        request: ActionRequest,
    ) -> Answer {
        match execute::authorize_following(self, actor, &request).await {
            Ok(authorized) => self.carried(authorized, request).await,
            Err(refusal) => Answer::Refused(refusal),
        }
    }

    async fn carried(self: &Arc<Self>, authorized: Authorized, request: ActionRequest) -> Answer {
        let (reply, answer) = oneshot::channel();
        let gate = Arc::clone(self);
        let trace = request.trace;
        self.running
            .spawn(async move { Box::pin(gate.carry_out(authorized, request, reply)).await });
        answer.await.unwrap_or_else(|_| Answer::Refused(Refusal::new(Code::UpstreamInvalid, trace)))
    }

    /// The evidence that bytes may leave, who acts, and who was stopped when that was decided.
    async fn authorize(&self, request: &ActionRequest) -> Result<Authorized, Refusal> {
        let mut last = Refusal::new(Code::Undecidable, request.trace);
        let mut seat = None;
        for _ in 0..limits::MAX_DECISIONS {
            let stops = self.stops.current();
            let world = self.world();
            let actor = admit::authenticate(self, &world, request)?;
            let (actor, tasks) = admit::identify(self, &world, &actor, request).await?;
            let taken = match seat.take() {
                Some(seat) => seat,
                None => admit::seat(self, &world, &actor, request).await?,
            };
            let call = admit::look_up(self, &world, &actor, request).await?;
            let facts = decide::context(self, &world, &actor, tasks, request);
            let clearance = decide::evaluate(self, &world, &actor, call, facts).await?;
            execute::entrusted(self, &actor, &clearance).await?;
            let observing = !clearance.is_consequential();
            match execute::commit(self, clearance).await {
                Ok(departure) => {
                    self.metrics.opened(observing);
                    if !actor.bound() {
                        self.metrics.bearer();
                    }
                    if let Some(would) = departure.clearance().would() {
                        self.metrics.would(would);
                    }
                    return Ok(Authorized { departure, actor, stops, seat: taken });
                }
                Err(not_written) => match settle::unwritten(self, &actor, not_written).await {
                    settle::Unwritten::DecideAgain(refusal) => {
                        (last, seat) = (refusal, Some(taken));
                    }
                    settle::Unwritten::Refused(refusal) => return Err(refusal),
                },
            }
        }
        Err(last)
    }

    async fn carry_out(
        self: Arc<Self>,
        authorized: Authorized,
        request: ActionRequest,
        mut reply: oneshot::Sender<Answer>,
    ) {
        let Authorized { departure, actor, stops, seat } = authorized;
        let subjects = departure.clearance().subjects().clone();
        let mut watch = Watch::begin(Arc::clone(&self), stops, subjects);
        let mut exchange =
            settle::Exchange::begin(Arc::clone(&self), departure, (actor, seat), &request);
        let response = match watch.stopped() {
            Some(code) => Err(execute::Failure { code, after_send: false }),
            None => tokio::select! {
                response = execute::forward(&self, &mut exchange, request) => response,
                () = reply.closed() => Err(execute::Failure::cancelled()),
                code = watch.cut(limits::LET_END) => {
                    Err(execute::Failure { code, after_send: true })
                }
            },
        };
        let response = execute::ask_first(&exchange, response).await;
        match execute::inspect(&self, &exchange, response) {
            execute::Inspected::Whole(whole, ending) => {
                let answer = settle::close(exchange, ending, whole).await;
                let _caller_may_be_gone = reply.send(answer).is_err();
            }
            execute::Inspected::Stream(stream) => {
                Box::pin(execute::pump(exchange, watch, stream, reply)).await;
            }
        }
    }
}

/// The refusal that a failed append stands for.
#[must_use]
pub fn refusal_of(error: &AppendError, trace: TraceId) -> Refusal {
    use model::record::Condition;
    let code = match error {
        AppendError::Moved => Code::Revoked,
        AppendError::Failed(Condition::Unused { .. }) => Code::ProofReplayed,
        AppendError::Failed(Condition::Within { .. }) => Code::LimitReached,
        AppendError::Failed(_) | AppendError::Stopped | AppendError::Unfit(_) => Code::Unrecorded,
        AppendError::Saturated => Code::Saturated,
    };
    Refusal::new(code, trace)
}

/// True if the value should be decided again rather than refused: something moved, or an approval was used meanwhile.
#[must_use]
pub fn decide_again<T>(failed: &NotWritten<T>) -> bool {
    use model::record::Condition;
    matches!(failed.error, AppendError::Moved | AppendError::Failed(Condition::Approval { .. }))
}
