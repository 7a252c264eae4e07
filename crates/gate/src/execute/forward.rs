//! Sends the action with the upstream's credential, and waits for the first of the answer.

use super::inspect::Ending;
use crate::{ActionRequest, Gate, Outbound, limits, settle::Exchange};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use model::{Code, declared::Before};
use upstream::mcp;

/// What came back.
#[expect(
    clippy::large_enum_variant,
    reason = "one is made for each call and moved twice; a box would cost more"
)]
pub enum Response {
    /// A complete MCP outcome.
    Mcp(mcp::Outcome),
    /// An MCP answer that streams.
    McpStream(mcp::Messages),
    /// A complete HTTP response.
    Http(http::Response<Bytes>),
    /// An HTTP response that is long or slow: its head, the bytes looked ahead, the rest.
    HttpStream(http::response::Parts, Bytes, upstream::Body),
    /// An MCP outcome that may not be returned, and why.
    Withheld(String),
}

/// Why nothing came back.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// What happened.
    pub code: Code,
    /// True if bytes may have reached the upstream: then nobody knows whether the act happened.
    pub after_send: bool,
}

impl Failure {
    /// The caller hung up.
    #[must_use]
    pub const fn cancelled() -> Failure {
        Failure { code: Code::UpstreamTimeout, after_send: true }
    }

    /// How such a call ended, for its outcome record.
    #[must_use]
    pub fn ending(self) -> Ending {
        let word = if self.after_send { "unknown" } else { "failed" };
        Ending { word, code: Some(self.code), ..Ending::default() }
    }
}

impl From<upstream::Fault> for Failure {
    fn from(fault: upstream::Fault) -> Failure {
        tracing::warn!(%fault, "an upstream failed");
        Failure { code: fault.code(), after_send: fault.after_send() }
    }
}

/// Lends the credential and sends the request. Nothing is returned before the entry is durable.
pub async fn forward(
    gate: &Gate,
    exchange: &mut Exchange,
    request: ActionRequest,
) -> Result<Response, Failure> {
    rehearse(gate, exchange, &request).await?;
    unstopped(gate, exchange)?;
    let traceparent = request.traceparent;
    let credential = gate.broker.lend(exchange.departure())?;
    exchange.lent(credential.lookout());
    let response = match request.outbound {
        Outbound::Mcp { method, conversation: wide, progress, mut inputs, mcp_task } => {
            let upstream = &request.upstream;
            let conversation = super::narrowed(gate, exchange.actor(), upstream, wide);
            let conversation = super::tasks::offered(exchange, conversation);
            exchange.narrow(conversation);
            if method.is_of_tasks() {
                super::tasks::check(exchange, mcp_task.as_deref())?;
            }
            if let Some(inputs) = &mut inputs {
                Box::pin(super::initiated::answers(exchange, inputs)).await?;
                unstopped(gate, exchange)?;
            }
            let ask =
                mcp::Ask { method, conversation, progress, inputs, traceparent, dry_run: None };
            match gate.mcp.call(&gate.client, exchange.departure(), credential, ask).await? {
                mcp::Answer::Whole(outcome) => Response::Mcp(outcome),
                mcp::Answer::Stream(messages) => Response::McpStream(messages),
            }
        }
        Outbound::Reply(replying) => {
            let crate::mediate::Replying { reply_to, reply, user } = *replying;
            if exchange.actor().user().map(model::UserName::as_str) != user.as_deref() {
                return Err(Failure { code: Code::ProtocolInvalid, after_send: false });
            }
            let departure = exchange.departure();
            gate.mcp.reply(&gate.client, departure, credential, &reply_to, &reply).await?;
            Response::Mcp(mcp::Outcome::of_result(canonical::Object::new()))
        }
        Outbound::Http(outgoing) => {
            let departure = exchange.departure();
            let response = gate.client.send(departure, credential, outgoing, traceparent).await?;
            let whole = gate.settings.guards.projection
                && !departure.clearance().call().entry().action.returns.is_empty();
            look_ahead(
                response,
                if whole { limits::PROJECTED_ANSWER } else { limits::WHOLE_ANSWER },
                whole,
            )
            .await?
        }
    };
    // A stream's first byte follows at once. A whole answer waits for its outcome, which waits for the entry.
    if matches!(response, Response::McpStream(_) | Response::HttpStream(..)) {
        let settled = exchange.departure().settle().await;
        settled.map_err(|failed| Failure {
            code: crate::mediate::refusal_of(&failed, model::TraceId(1)).code,
            after_send: true,
        })?;
    }
    Ok(response)
}

/// What was stopped while its departure was prepared does not depart.
fn unstopped(gate: &Gate, exchange: &mut Exchange) -> Result<(), Failure> {
    let stopped = gate.stopped(exchange.departure().clearance().subjects());
    stopped.map_or(Ok(()), |code| Err(Failure { code, after_send: false }))
}

/// Runs what `before: [dry_run]` asks for: the same call with one argument more, which must not fail. Nothing of its
/// answer is returned.
async fn rehearse(
    gate: &Gate,
    exchange: &mut Exchange,
    request: &ActionRequest,
) -> Result<(), Failure> {
    let argument = exchange.catalog().action.before.iter().find_map(|before| match before {
        Before::DryRun(argument) => Some(argument.clone()),
        Before::Pdp(_) | Before::Webhook(_) | Before::Require(_) => None,
    });
    let Some(argument) = argument else { return Ok(()) };
    let traceparent = request.traceparent.clone();
    let departure = exchange.departure();
    let credential = gate.broker.lend(departure)?;
    let passed = match &request.outbound {
        Outbound::Mcp { method, conversation, .. } => {
            let call = mcp::Ask {
                method: *method,
                // A rehearsal asks nobody anything.
                conversation: mcp::Conversation {
                    session: conversation.session,
                    ..Default::default()
                },
                progress: None,
                inputs: None,
                traceparent,
                dry_run: Some(argument),
            };
            let answer = gate.mcp.call(&gate.client, departure, credential, call).await;
            match answer.map_err(rehearsed)? {
                mcp::Answer::Whole(outcome) => !outcome.is_error() && !outcome.asks(),
                mcp::Answer::Stream(messages) => last(messages).await?,
            }
        }
        // An answer to a question has no form in which it could be tried.
        Outbound::Reply(_) => false,
        Outbound::Http(outgoing) => {
            let mut outgoing = outgoing.clone();
            outgoing.query.retain(|(name, _)| *name != argument);
            outgoing.query.push((argument, "true".to_owned()));
            let answer = gate.client.send(departure, credential, outgoing, traceparent).await;
            answer.map_err(rehearsed)?.status().is_success()
        }
    };
    if passed { Ok(()) } else { Err(Failure { code: Code::DryRunFailed, after_send: false }) }
}

/// A dry run that came to nothing: the act itself was never sent.
fn rehearsed(fault: upstream::Fault) -> Failure {
    Failure { after_send: false, ..Failure::from(fault) }
}

/// Whether the outcome at the end of a stream is no error.
async fn last(mut messages: mcp::Messages) -> Result<bool, Failure> {
    loop {
        match messages.next().await {
            Some(Ok(mcp::Message::Notification(_) | mcp::Message::Log(_))) => {}
            Some(Ok(mcp::Message::Question(question))) => messages.refuse(&question).await,
            Some(Ok(mcp::Message::Outcome(outcome))) => {
                return Ok(!outcome.is_error() && !outcome.asks());
            }
            Some(Err(fault)) => return Err(rehearsed(fault)),
            None => return Ok(false),
        }
    }
}

/// Reads an HTTP answer up to a limit: most are whole then; a longer one becomes a stream, unless it must be whole.
async fn look_ahead(
    response: http::Response<upstream::Body>,
    limit: usize,
    must_be_whole: bool,
) -> Result<Response, Failure> {
    let (parts, mut body) = response.into_parts();
    let mut ahead = BytesMut::new();
    let streams = parts
        .headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if streams && !must_be_whole {
        return Ok(Response::HttpStream(parts, Bytes::new(), body));
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Failure { code: Code::UpstreamInvalid, after_send: true })?;
        if let Ok(data) = frame.into_data() {
            ahead.extend_from_slice(&data);
        }
        if ahead.len() > limit {
            if must_be_whole {
                return Err(Failure { code: Code::ResultTooLarge, after_send: true });
            }
            return Ok(Response::HttpStream(parts, ahead.freeze(), body));
        }
    }
    Ok(Response::Http(http::Response::from_parts(parts, ahead.freeze())))
}
