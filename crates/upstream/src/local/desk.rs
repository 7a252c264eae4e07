//! Who waits for what from one child.

use super::message::{self, Received};
use crate::{Fault, limits};
use bytes::Bytes;
use model::Code;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    sync::mpsc::{self, OwnedPermit},
    time::Instant,
};

/// A piece of an answer, or its end by a fault.
pub(super) type Piece = Result<Bytes, Fault>;

/// The open requests of one child.
#[derive(Debug)]
pub(super) struct Desk(Mutex<Open>);

#[derive(Debug)]
struct Open {
    waiting: BTreeMap<i64, Waiting>,
    listener: Option<mpsc::Sender<Piece>>,
    used: Instant,
    /// Nothing more is taken.
    closed: bool,
}

#[derive(Debug)]
struct Waiting {
    pieces: mpsc::Sender<Piece>,
    /// The place of the last piece, kept free for it.
    last: OwnedPermit<Piece>,
}

impl Desk {
    pub(super) fn open() -> Desk {
        Desk(Mutex::new(Open {
            waiting: BTreeMap::new(),
            listener: None,
            used: Instant::now(),
            closed: false,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for the answer to a request; `None` if the child takes nothing more or the id is in use.
    pub(super) fn register(self: &Arc<Desk>, id: i64) -> Option<(mpsc::Receiver<Piece>, Seat)> {
        let (pieces, receiver) = mpsc::channel(limits::CHILD_PIECES);
        let last = pieces.clone().try_reserve_owned().ok()?;
        let mut open = self.lock();
        if open.closed || open.waiting.contains_key(&id) {
            return None;
        }
        open.used = Instant::now();
        open.waiting.insert(id, Waiting { pieces, last });
        Some((receiver, Seat { desk: Arc::clone(self), id, tell: None }))
    }

    /// A place for what belongs to no request; a later one replaces it.
    pub(super) fn listen(&self) -> Option<mpsc::Receiver<Piece>> {
        let mut open = self.lock();
        if open.closed {
            return None;
        }
        let (pieces, receiver) = mpsc::channel(limits::CHILD_PIECES);
        open.listener = Some(pieces);
        Some(receiver)
    }

    /// Whether nothing is waited for, and since when.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let open = self.lock();
        open.waiting.is_empty().then_some(open.used)
    }

    /// Takes nothing more, if nothing was waited for since then; true if so.
    pub(super) fn close_if_idle(&self, before: Instant) -> bool {
        let mut open = self.lock();
        open.closed |= open.waiting.is_empty() && open.used <= before;
        open.closed
    }

    /// Whether nothing more is taken.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Takes nothing more and tells everybody who waits.
    pub(super) fn close(&self, why: &str) {
        let waiting = {
            let mut open = self.lock();
            open.closed = true;
            open.listener = None;
            std::mem::take(&mut open.waiting)
        };
        for waiting in waiting.into_values() {
            // The code says that it may have happened.
            drop(waiting.last.send(Err(Fault::unknown(Code::UpstreamTimeout, why))));
        }
    }

    /// Hands on a message of the child's. Gives what the child is told in turn.
    pub(super) fn sort(&self, line: &[u8], shared: bool) -> Option<Bytes> {
        match Received::read(line) {
            Received::Answer(id) => self.answer(id, line),
            Received::About(id) => {
                let open = self.lock();
                let waiting = open.waiting.get(&id)?;
                offer(&waiting.pieces, line);
            }
            Received::Question(id, method) => return self.question(&id, &method, line, shared),
            Received::News => {
                let open = self.lock();
                // Of a child that serves everybody nobody knows whom it concerns.
                if !shared && let Some(to) = open.listener.as_ref().or_else(|| open.only()) {
                    offer(to, line);
                }
            }
            Received::Stray => {
                let only = self.lock().only_id();
                match only {
                    Some(id) => self.answer(id, line),
                    None => tracing::debug!("a local server reports an error of no request"),
                }
            }
            Received::Nonsense => self.nonsense(),
        }
        None
    }

    /// Forgets a request; true if it was still waited for.
    pub(super) fn leave(&self, id: i64) -> bool {
        let mut open = self.lock();
        open.used = Instant::now();
        open.waiting.remove(&id).is_some()
    }

    fn answer(&self, id: i64, line: &[u8]) {
        let mut open = self.lock();
        open.used = Instant::now();
        let Some(waiting) = open.waiting.remove(&id) else {
            tracing::debug!("a local server answers a request that nobody waits for");
            return;
        };
        drop(waiting.last.send(Ok(message::event(line))));
    }

    /// A question can be handed on only where it is clear whose it is.
    fn question(&self, id: &Value, method: &str, line: &[u8], shared: bool) -> Option<Bytes> {
        let open = self.lock();
        if method != "ping"
            && !shared
            && let Some(to) = open.only().or(open.listener.as_ref())
            && offer(to, line)
        {
            return None;
        }
        Some(message::refused(id, method))
    }

    /// Nobody can say whose answer it was, so nobody waits on.
    fn nonsense(&self) {
        let waiting = std::mem::take(&mut self.lock().waiting);
        for waiting in waiting.into_values() {
            let fault = Fault::unknown(
                Code::UpstreamInvalid,
                "a local server wrote a line that is no message",
            );
            drop(waiting.last.send(Err(fault)));
        }
    }
}

impl Open {
    fn only_id(&self) -> Option<i64> {
        let mut ids = self.waiting.keys();
        ids.next().copied().filter(|_| ids.next().is_none())
    }

    fn only(&self) -> Option<&mpsc::Sender<Piece>> {
        self.waiting.get(&self.only_id()?).map(|waiting| &waiting.pieces)
    }
}

/// What does not find room is left out: only the last piece of an answer must arrive.
fn offer(to: &mpsc::Sender<Piece>, line: &[u8]) -> bool {
    to.try_send(Ok(message::event(line))).is_ok()
}

/// A request that waits. Leaving it before its answer forgets the request and tells the child.
#[derive(Debug)]
pub(crate) struct Seat {
    desk: Arc<Desk>,
    id: i64,
    tell: Option<mpsc::Sender<Bytes>>,
}

impl Seat {
    /// The same, where the child is to be told that nobody waits any more.
    pub(super) fn telling(mut self, child: mpsc::Sender<Bytes>) -> Seat {
        self.tell = Some(child);
        self
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let waited = self.desk.leave(self.id);
        if waited
            && let Some(child) = &self.tell
            && child.try_send(message::cancelled(self.id)).is_err()
        {
            tracing::debug!("a local server could not be told of a cancellation");
        }
    }
}
