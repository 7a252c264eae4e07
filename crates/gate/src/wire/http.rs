//! The door `/http/{upstream}/…`: routes of the catalog are actions, everything else does not exist.

mod refuse;
pub(in crate::wire) mod request;

use super::{Body, credential};
use crate::{
    Answer, Edge, Frame, Gate,
    mediate::{Head, Reply},
};
use ::http::{HeaderMap, Request, Response, header};
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame as HttpFrame, Incoming};
use model::{Name, TraceId};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Answers one request at this door.
pub async fn handle(gate: &Arc<Gate>, incoming: Request<Incoming>) -> Response<Body> {
    let traceparent = credential::single(incoming.headers(), "traceparent")
        .filter(|text| credential::trace_of(text).is_some())
        .map(str::to_owned);
    let trace =
        traceparent.as_deref().and_then(credential::trace_of).unwrap_or_else(|| gate.new_trace());
    let upstream = split(incoming.uri().path()).map(|(upstream, _)| upstream);
    match request::read(gate, incoming, trace, traceparent).await {
        Ok(request) => answer(gate.mediate(request).await),
        Err(refusal) => {
            match upstream {
                Some(upstream) => gate.stranger(&refusal, Edge::Http, Some(&upstream)),
                None => gate.count_stranger(refusal.code),
            }
            refuse::response(&refusal)
        }
    }
}

fn answer(answer: Answer) -> Response<Body> {
    match answer {
        Answer::Refused(refusal) => refuse::response(&refusal),
        Answer::Whole(Reply::Http(response)) => {
            let (mut parts, body) = response.into_parts();
            clean(&mut parts.headers);
            Response::from_parts(
                parts,
                Full::new(body).map_err(|never| match never {}).boxed_unsync(),
            )
        }
        Answer::Stream(Head::Http(mut parts), frames) => {
            clean(&mut parts.headers);
            Response::from_parts(parts, streaming(frames))
        }
        // The flow answers an HTTP request with an HTTP reply; anything else is a fault of our own.
        Answer::Whole(Reply::Mcp(_)) | Answer::Stream(Head::Mcp, _) => {
            refuse::response(&crate::Refusal::new(model::Code::UpstreamInvalid, TraceId(1)))
        }
    }
}

/// The body of a streamed answer: an end that is not clean is an error, so that nobody takes a part for the whole.
fn streaming(frames: mpsc::Receiver<Frame>) -> Body {
    let stream = stream::unfold(Some(frames), |state| async move {
        let mut frames = state?;
        match frames.recv().await {
            Some(Frame::Bytes(bytes)) => Some((Ok(HttpFrame::data(bytes)), Some(frames))),
            Some(Frame::Last(Reply::Http(rest))) => {
                Some((Ok(HttpFrame::data(rest.into_body())), None))
            }
            Some(Frame::Message(_) | Frame::Last(Reply::Mcp(_)) | Frame::Broken(_)) | None => {
                Some((Err(std::io::Error::other("the answer broke off")), None))
            }
        }
    });
    StreamBody::new(stream).boxed_unsync()
}

/// Headers that belong to one connection, or would let an upstream speak for the gate.
fn clean(headers: &mut HeaderMap) {
    for name in [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::TE,
        header::TRAILER,
    ] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-authenticate");
    headers.remove(header::WWW_AUTHENTICATE);
    headers.remove(header::SET_COOKIE);
    headers.remove(header::CONTENT_LENGTH);
    headers.remove("dpop-nonce");
}

/// The upstream's name in a path of this door, and the rest of the path.
fn split(path: &str) -> Option<(Name, &str)> {
    let rest = path.strip_prefix("/http/")?;
    let (upstream, rest) = rest.split_once('/').unwrap_or((rest, ""));
    Some((Name::new(upstream).ok()?, rest))
}
