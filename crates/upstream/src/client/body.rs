//! An upstream's answer as it arrives, under a limit of time and length.

use crate::{Fault, local::Seat};
use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use model::Code;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep},
};

/// The body of an upstream's answer. It fails instead of stalling or growing without end; after a
/// failure it yields nothing. Dropping it cancels the request.
#[derive(Debug)]
pub struct Body {
    inner: Source,
    idle: Duration,
    deadline: Pin<Box<Sleep>>,
    left: usize,
    limit: usize,
    done: bool,
}

/// Where it comes from.
#[derive(Debug)]
enum Source {
    /// A connection.
    Network(Incoming),
    /// A local server; leaving the seat cancels the request there.
    Local { pieces: mpsc::Receiver<Result<Bytes, Fault>>, _seat: Option<Seat> },
    /// It is here.
    Whole(Option<Bytes>),
}

impl Source {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match self {
            Source::Network(incoming) => {
                let polled = http_body::Body::poll_frame(Pin::new(incoming), cx);
                polled.map_err(|error| {
                    let what = format!("the answer broke off: {error}");
                    Fault::unknown(Code::UpstreamTimeout, what)
                })
            }
            Source::Local { pieces, _seat } => {
                pieces.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
            }
            Source::Whole(bytes) => {
                let bytes = bytes.take().filter(|bytes| !bytes.is_empty());
                Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }
}

impl Body {
    pub(super) fn new(inner: Incoming, idle: Duration, limit: usize) -> Body {
        Body::of(Source::Network(inner), (idle, limit))
    }

    /// Pieces as they come from a local server, and the place that is left with them.
    pub(crate) fn pieces(
        pieces: mpsc::Receiver<Result<Bytes, Fault>>,
        seat: Option<Seat>,
        bounds: (Duration, usize),
    ) -> Body {
        Body::of(Source::Local { pieces, _seat: seat }, bounds)
    }

    /// All of it at once.
    pub(crate) fn whole(bytes: Bytes) -> Body {
        let limit = bytes.len();
        Body::of(Source::Whole(Some(bytes)), (Duration::ZERO, limit))
    }

    fn of(inner: Source, (idle, limit): (Duration, usize)) -> Body {
        let deadline = Box::pin(tokio::time::sleep(idle));
        Body { inner, idle, deadline, left: limit, limit, done: false }
    }

    /// Reads the whole body, at most `limit` bytes.
    pub async fn collect_up_to(mut self, limit: usize) -> Result<Bytes, Fault> {
        self.left = self.left.min(limit);
        self.limit = self.limit.min(limit);
        let mut whole = Vec::new();
        while let Some(frame) =
            std::future::poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut self), cx)).await
        {
            if let Ok(data) = frame?.into_data() {
                whole.extend_from_slice(&data);
            }
        }
        Ok(whole.into())
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Fault> {
        let length = frame.data_ref().map_or(0, Buf::remaining);
        match self.left.checked_sub(length) {
            Some(left) => {
                self.left = left;
                Ok(frame)
            }
            None => Err(Fault::unknown(
                Code::ResultTooLarge,
                format!("the answer is longer than {} bytes", self.limit),
            )),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let result = match self.inner.poll(cx) {
            Poll::Ready(None) => {
                self.done = true;
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Ok(frame))) => {
                let next = Instant::now() + self.idle;
                self.deadline.as_mut().reset(next);
                self.take(frame)
            }
            Poll::Ready(Some(Err(fault))) => Err(fault),
            Poll::Pending => match self.deadline.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => {
                    let what = format!("the answer stood still for {:?}", self.idle);
                    Err(Fault::unknown(Code::UpstreamTimeout, what))
                }
            },
        };
        self.done = result.is_err();
        Poll::Ready(Some(result))
    }

    fn is_end_stream(&self) -> bool {
        self.done || matches!(&self.inner, Source::Network(body) if body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Source::Network(body) => body.size_hint(),
            Source::Local { .. } => SizeHint::default(),
            Source::Whole(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
        }
    }
}
