//! One child as whoever talks to it sees it: messages in, answers out.

use super::{
    SESSION, Server,
    desk::{Desk, Piece},
    json,
    message::{self, Sent},
};
use crate::{Body, Fault, UpstreamCredential, broker::SecretHandle, limits};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use model::Code;
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OnceCell, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// A running child.
#[derive(Debug)]
pub(super) struct Child {
    /// Which start it was.
    session: HeaderValue,
    server: Arc<Server>,
    secret: SecretHandle,
    /// Lines for its standard input.
    input: mpsc::Sender<Bytes>,
    pub(super) desk: Arc<Desk>,
    /// It ends now.
    pub(super) stop: CancellationToken,
    /// It ends as soon as nothing is waited for.
    pub(super) retired: CancellationToken,
    greeting: OnceCell<Value>,
    greeted: AtomicBool,
}

/// What became of a message.
pub(super) enum Taken {
    /// It reached the child's input, and this is the answer, or where it will come.
    Answered(Response<Body>),
    /// The child had ended: it got nothing.
    Gone,
}

impl Child {
    pub(super) fn new(
        number: u64,
        credential: &UpstreamCredential,
        server: &Arc<Server>,
        input: mpsc::Sender<Bytes>,
    ) -> Child {
        Child {
            session: HeaderValue::from(number),
            server: Arc::clone(server),
            secret: credential.secret(),
            input,
            desk: Arc::new(Desk::open()),
            stop: CancellationToken::new(),
            retired: CancellationToken::new(),
            greeting: OnceCell::new(),
            greeted: AtomicBool::new(false),
        }
    }

    pub(super) const fn session(&self) -> &HeaderValue {
        &self.session
    }

    /// Whether it was started as it would be started now.
    pub(super) fn is_current(&self, credential: &UpstreamCredential, server: &Arc<Server>) -> bool {
        let ends = self.stop.is_cancelled() || self.desk.is_closed();
        !ends && self.secret == credential.secret() && self.server == *server
    }

    pub(super) fn end(&self) {
        self.stop.cancel();
    }

    /// Hands on a line of the child's; gives what it is told in turn.
    pub(super) fn sort(&self, line: &[u8]) -> Option<Bytes> {
        self.desk.sort(line, self.server.shared)
    }

    /// Puts a line into its input if there is room.
    pub(super) fn tell(&self, line: Bytes) -> bool {
        self.input.try_send(line).is_ok()
    }

    /// Since when nothing is waited for.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.desk.idle_since()
    }

    /// The stream of what belongs to no request; a child that serves everybody has none.
    pub(super) fn listen(&self, bounds: (Duration, usize)) -> Option<Response<Body>> {
        let pieces = if self.server.shared { None } else { self.desk.listen() }?;
        Some(events(Body::pieces(pieces, None, bounds)))
    }

    /// Takes one message.
    pub(super) async fn take(
        self: &Arc<Child>,
        sent: Sent,
        body: Bytes,
        bounds: (Duration, usize),
    ) -> Result<Taken, Fault> {
        match sent {
            Sent::Initialize(id) => self.initialize(id, body, bounds.0).await,
            Sent::Discover(id) => self.discover(id, body).await,
            Sent::Request(id) => {
                let Some((pieces, seat)) = self.desk.register(id) else { return Ok(Taken::Gone) };
                let seat = seat.telling(self.input.clone());
                if !self.write(body).await? {
                    return Ok(Taken::Gone);
                }
                Ok(Taken::Answered(events(Body::pieces(pieces, Some(seat), bounds))))
            }
            Sent::Initialized if self.greeted.swap(true, Ordering::Relaxed) => Ok(accepted()),
            Sent::Cancelled(id) if !self.desk.leave(id) => Ok(accepted()),
            Sent::Initialized | Sent::Cancelled(_) | Sent::Told => {
                Ok(if self.write(body).await? { accepted() } else { Taken::Gone })
            }
        }
    }

    /// A child hears `initialize` once; whoever sends it later gets the same answer.
    async fn initialize(
        self: &Arc<Child>,
        id: i64,
        body: Bytes,
        patience: Duration,
    ) -> Result<Taken, Fault> {
        let gone = Fault::upstream(Code::UpstreamUnreachable, "the local server ended");
        let greeted = self.greeting.get_or_try_init(|| async {
            let line = match self.ask(id, body, patience).await? {
                Some(Ok(Some(line))) => line,
                Some(Ok(None)) => return Err(silent(patience)),
                Some(Err(fault)) => return Err(fault),
                None => return Err(gone.clone()),
            };
            serde_json::from_slice::<Value>(&line)
                .map_err(|_| Fault::unknown(Code::UpstreamInvalid, "the answer is not JSON"))
        });
        let answer = match greeted.await {
            Ok(answer) => message::answer_to(id, answer),
            Err(fault) if fault == gone => return Ok(Taken::Gone),
            Err(fault) => return Err(fault),
        };
        let mut response = json(answer);
        response.headers_mut().insert(SESSION, self.session.clone());
        Ok(Taken::Answered(response))
    }

    /// Old servers answer `server/discover` with an error, not at all, or by ending.
    async fn discover(self: &Arc<Child>, id: i64, body: Bytes) -> Result<Taken, Fault> {
        let answer = match self.ask(id, body, limits::CHILD_DISCOVERY).await? {
            Some(Ok(Some(line))) => line,
            Some(Ok(None) | Err(_)) => message::unknown_method(id),
            None => return Ok(Taken::Gone),
        };
        Ok(Taken::Answered(json(answer)))
    }

    /// The child's one answer to a request, as it came: `None` if it had ended, `Ok(None)` if none came in time.
    async fn ask(
        &self,
        id: i64,
        body: Bytes,
        patience: Duration,
    ) -> Result<Option<Result<Option<Bytes>, Fault>>, Fault> {
        let Some((mut pieces, seat)) = self.desk.register(id) else { return Ok(None) };
        if !self.write(body).await? {
            return Ok(None);
        }
        let last = tokio::time::timeout(patience, last_of(&mut pieces)).await;
        drop(seat);
        Ok(Some(match last {
            Err(_) => Ok(None),
            Ok(None) => Err(Fault::unknown(Code::UpstreamUnreachable, "the local server ended")),
            Ok(Some(Err(fault))) => Err(fault),
            Ok(Some(Ok(event))) => Ok(Some(data_of(event))),
        }))
    }

    /// Puts a line into the child's input; false if the child has ended.
    async fn write(&self, line: Bytes) -> Result<bool, Fault> {
        use mpsc::error::SendTimeoutError;
        match self.input.send_timeout(line, limits::CHILD_INPUT_WAIT).await {
            Ok(()) => Ok(true),
            Err(SendTimeoutError::Closed(_)) => Ok(false),
            Err(SendTimeoutError::Timeout(_)) => Err(Fault::upstream(
                Code::UpstreamUnreachable,
                "the local server does not read what it is sent",
            )),
        }
    }
}

/// The answer that ends a stream, past what comes before it.
async fn last_of(pieces: &mut mpsc::Receiver<Piece>) -> Option<Piece> {
    let mut last = None;
    while let Some(piece) = pieces.recv().await {
        last = Some(piece);
    }
    last
}

/// The message in an event of ours.
fn data_of(event: Bytes) -> Bytes {
    let end = event.len().saturating_sub(2);
    if event.starts_with(b"data: ") && end >= 6 { event.slice(6..end) } else { event }
}

fn silent(patience: Duration) -> Fault {
    Fault::unknown(Code::UpstreamTimeout, format!("no answer came within {patience:?}"))
}

fn events(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn accepted() -> Taken {
    Taken::Answered(super::bare(StatusCode::ACCEPTED))
}
