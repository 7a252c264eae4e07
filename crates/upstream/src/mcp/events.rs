//! Messages of one event stream, and where it stands if it must be taken up again.

use super::message::{self, Incoming};
use crate::{Body, Fault, limits};
use futures_util::StreamExt as _;
use model::Code;
use sse_stream::SseStream;
use std::time::Duration;

/// A stream that is being read.
pub(super) struct Events {
    stream: Box<SseStream<Body>>,
    place: Place,
}

/// How far a stream was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// The id of the last event that had one.
    pub(super) last: Option<String>,
    /// How long the upstream wants to be left alone before it is asked for the rest.
    pub(super) retry: Option<Duration>,
}

impl Events {
    pub(super) fn new(body: Body) -> Events {
        Events::after(body, Place::default())
    }

    /// The rest of a stream that was read up to a place.
    pub(super) fn after(body: Body, place: Place) -> Events {
        Events { stream: Box::new(SseStream::new(body)), place }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The next message; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Incoming>, Fault> {
        loop {
            let event = match self.stream.next().await {
                None => return Ok(None),
                Some(Ok(event)) => event,
                Some(Err(sse_stream::Error::Body(error))) => {
                    let what = format!("the stream broke off: {error}");
                    let fault = error.downcast::<Fault>().map(|fault| *fault);
                    return Err(fault.unwrap_or(Fault::unknown(Code::UpstreamTimeout, what)));
                }
                Some(Err(error)) => {
                    let what = format!("the stream is not valid: {error}");
                    return Err(Fault::unknown(Code::UpstreamInvalid, what));
                }
            };
            if let Some(id) = event.id.filter(|id| id.len() <= limits::EVENT_ID_BYTES) {
                self.place.last = Some(id);
            }
            if let Some(retry) = event.retry {
                self.place.retry = Some(Duration::from_millis(retry).min(limits::RETRY_MAX));
            }
            let is_message = event.event.as_deref().is_none_or(|kind| kind == "message");
            match event.data {
                Some(data) if is_message && !data.trim().is_empty() => {
                    return message::read(data.as_bytes()).map(Some);
                }
                _ => {}
            }
        }
    }
}
