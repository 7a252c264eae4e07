//! Hands a stream on frame by frame and withholds the last one until the outcome is durable.

use super::{
    Initiator,
    inspect::{self, Ending, Streaming},
};
use crate::{
    limits,
    mediate::{Answer, Frame, Refusal, Reply},
    settle::{self, Exchange},
    stops::Watch,
};
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use http_body_util::BodyExt;
use model::Code;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use upstream::mcp;

/// Pumps a stream to its end. A caller that hangs up cancels the upstream's side; the outcome is written in any case.
/// A person who stops the call cuts its stream at once.
pub(crate) async fn pump(
    exchange: Exchange,
    watch: Watch,
    stream: Streaming,
    reply: oneshot::Sender<Answer>,
) {
    let (frames, receiver) = mpsc::channel(limits::STREAM_FRAMES);
    // A caller that is gone closes `frames`, which the pumps notice at their next frame.
    let _caller_may_be_gone = reply.send(Answer::Stream(stream.head(), receiver)).is_err();
    match stream {
        Streaming::Mcp(messages) => pump_mcp(exchange, watch, messages, frames).await,
        Streaming::Http(parts, ahead, body) => {
            pump_http(exchange, watch, &parts, ahead, body, frames).await;
        }
    }
}

async fn pump_mcp(
    mut exchange: Exchange,
    mut watch: Watch,
    mut messages: mcp::Messages,
    frames: mpsc::Sender<Frame>,
) {
    let mut initiator = Initiator::within(&exchange);
    let mut segments = settle::Segments::begin(&exchange);
    let (last, ending) = loop {
        let next = tokio::select! {
            next = messages.next() => next,
            () = frames.closed() => break (None, super::Failure::cancelled().ending()),
            code = watch.cut(Duration::ZERO) => break stopped(code, &exchange),
        };
        let message = match next {
            Some(Ok(mcp::Message::Outcome(outcome))) => {
                let (reply, ending) = last_of(&exchange, outcome).await;
                break (Some(reply), ending);
            }
            Some(Ok(message)) => initiator.hand_on(exchange.gate(), &messages, message).await,
            Some(Err(fault)) => {
                let failure = super::Failure::from(fault);
                break (Some(Err(Refusal::new(failure.code, exchange.trace()))), failure.ending());
            }
            None => {
                let refusal = Refusal::new(Code::UpstreamInvalid, exchange.trace());
                let ending =
                    Ending { word: "unknown", code: Some(refusal.code), ..Ending::default() };
                break (Some(Err(refusal)), ending);
            }
        };
        let Some(message) = message else { continue };
        let bytes = message.to_bytes();
        if exchange.leaks(&bytes) {
            let (withheld, ending) = inspect::withheld(&exchange, inspect::LEAK);
            break (Some(withheld), ending);
        }
        match handed(&frames, Frame::Message(message), &mut watch).await {
            Handed::On => segments.sent(&exchange, bytes.len()),
            Handed::Gone => break (None, super::Failure::cancelled().ending()),
            Handed::Stopped(code) => break stopped(code, &exchange),
        }
    };
    drop(messages);
    let written = settle::write(&mut exchange, ending).await;
    drop(watch);
    finish(frames, last, written).await;
}

/// How an MCP stream ends that a person has stopped.
fn stopped(code: Code, exchange: &Exchange) -> (Option<Result<Reply, Refusal>>, Ending) {
    let failure = super::Failure { code, after_send: true };
    (Some(Err(Refusal::new(code, exchange.trace()))), failure.ending())
}

/// The last frame of an MCP answer.
async fn last_of(exchange: &Exchange, outcome: mcp::Outcome) -> (Result<Reply, Refusal>, Ending) {
    match super::ask_first(exchange, Ok(super::Response::Mcp(outcome))).await {
        Ok(super::Response::Mcp(outcome)) => {
            inspect::mcp_outcome(exchange.gate(), exchange, outcome)
        }
        Ok(super::Response::Withheld(why)) => inspect::withheld(exchange, &why),
        Ok(_) | Err(_) => inspect::withheld(exchange, "the answer is not one of MCP"),
    }
}

async fn pump_http(
    mut exchange: Exchange,
    mut watch: Watch,
    parts: &http::response::Parts,
    ahead: Bytes,
    mut body: upstream::Body,
    frames: mpsc::Sender<Frame>,
) {
    let (status, live) = (parts.status.as_u16(), is_live(parts));
    let mut passing = Passing { running: Context::new(&SHA256), bytes: 0 };
    let mut lookout = exchange.lookout();
    let mut held = Bytes::new();
    let mut next = Some(ahead);
    let mut segments = settle::Segments::begin(&exchange);
    let (last, word, code) = loop {
        let data = match next.take() {
            Some(ahead) => ahead,
            None => {
                let frame = tokio::select! {
                    frame = body.frame() => frame,
                    () = frames.closed() => break (None, "unknown", Some(Code::UpstreamTimeout)),
                    code = watch.cut(Duration::ZERO) => {
                        break (Some(Err(code)), "unknown", Some(code));
                    }
                };
                match frame {
                    None => {
                        let rest = [held, lookout.rest()].concat();
                        let word = if status < 400 { "done" } else { "failed" };
                        break (Some(Ok(Bytes::from(rest))), word, None);
                    }
                    Some(Err(_)) => {
                        let code = Code::UpstreamInvalid;
                        break (Some(Err(code)), "unknown", Some(code));
                    }
                    Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                }
            }
        };
        let Some(data) = lookout.pass(data) else {
            let code = Code::ResultWithheld;
            tracing::warn!(entry = %exchange.entry(), why = inspect::LEAK, "a stream was broken off");
            break (Some(Err(code)), "done", Some(code));
        };
        if data.is_empty() {
            continue;
        }
        // Of a stream whose parts mean something alone, only its end is withheld; of any other, its last part.
        let ready = if live { data } else { std::mem::replace(&mut held, data) };
        if ready.is_empty() {
            continue;
        }
        passing.note(&ready);
        let length = ready.len();
        match handed(&frames, Frame::Bytes(ready), &mut watch).await {
            Handed::On => segments.sent(&exchange, length),
            Handed::Gone => break (None, "unknown", Some(Code::UpstreamTimeout)),
            Handed::Stopped(code) => break (Some(Err(code)), "unknown", Some(code)),
        }
    };
    drop(body);
    if let Some(Ok(rest)) = &last {
        passing.note(rest);
    }
    let ending = passing.ending(word, code, status);
    let written = settle::write(&mut exchange, ending).await;
    drop(watch);
    let trace = exchange.trace();
    let last = last.map(|last| match last {
        Ok(rest) => Ok(Reply::Http(http::Response::new(rest))),
        Err(code) => Err(Refusal::new(code, trace)),
    });
    finish(frames, last, written).await;
}

/// Whether a body is read part by part while it comes: an event held back would be an event too late.
fn is_live(parts: &http::response::Parts) -> bool {
    let kind = parts.headers.get(http::header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    let live: [&[u8]; 2] = [b"text/event-stream", b"application/x-ndjson"];
    kind.is_some_and(|kind| live.iter().any(|live| kind.starts_with(live)))
}

/// Size and digest of what was handed on so far.
struct Passing {
    running: Context,
    bytes: u64,
}

impl Passing {
    fn note(&mut self, bytes: &Bytes) {
        self.running.update(bytes);
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }

    fn ending(self, word: &'static str, code: Option<Code>, status: u16) -> Ending {
        let digest = inspect::hex(&self.running.finish());
        Ending {
            word,
            code,
            status: Some(status),
            bytes: self.bytes,
            digest,
            dropped: 0,
            masked: 0,
        }
    }
}

async fn finish(
    frames: mpsc::Sender<Frame>,
    last: Option<Result<Reply, Refusal>>,
    written: Result<(), Refusal>,
) {
    let frame = match (written, last) {
        (Err(refusal), _) | (Ok(()), Some(Err(refusal))) => Frame::Broken(refusal),
        (Ok(()), Some(Ok(reply))) => Frame::Last(reply),
        (Ok(()), None) => return,
    };
    // The caller may be gone; the outcome stands either way.
    let _caller_may_be_gone = !sent(&frames, frame).await;
}

/// What became of a frame.
enum Handed {
    On,
    Gone,
    Stopped(Code),
}

/// Hands a frame on, unless the call is stopped while its client does not read.
async fn handed(frames: &mpsc::Sender<Frame>, frame: Frame, watch: &mut Watch) -> Handed {
    tokio::select! {
        on = sent(frames, frame) => if on { Handed::On } else { Handed::Gone },
        code = watch.cut(Duration::ZERO) => Handed::Stopped(code),
    }
}

/// Hands a frame on; false if the client is gone, or has left its answer unread for too long.
async fn sent(frames: &mpsc::Sender<Frame>, frame: Frame) -> bool {
    matches!(tokio::time::timeout(limits::SLOW_READER, frames.send(frame)).await, Ok(Ok(())))
}
