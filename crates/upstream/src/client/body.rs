//! An upstream's answer as it arrives, under a limit of time and length.

use crate::Fault;
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
use tokio::time::{Instant, Sleep};

/// The body of an upstream's answer. It fails instead of stalling or growing without end; after a
/// failure it yields nothing. Dropping it cancels the request.
#[derive(Debug)]
pub struct Body {
    inner: Incoming,
    idle: Duration,
    deadline: Pin<Box<Sleep>>,
    left: usize,
    limit: usize,
    done: bool,
}

impl Body {
    pub(super) fn new(inner: Incoming, idle: Duration, limit: usize) -> Body {
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
        let result = match http_body::Body::poll_frame(Pin::new(&mut self.inner), cx) {
            Poll::Ready(None) => {
                self.done = true;
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Ok(frame))) => {
                let next = Instant::now() + self.idle;
                self.deadline.as_mut().reset(next);
                self.take(frame)
            }
            Poll::Ready(Some(Err(error))) => {
                let what = format!("the answer broke off: {error}");
                Err(Fault::unknown(Code::UpstreamTimeout, what))
            }
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
        self.done || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
