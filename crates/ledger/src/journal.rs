//! The journal: records are sealed on the caller's thread, wait in a bounded queue, and come back as evidence.

mod queue;

pub(crate) use queue::{Job, Queue, Ticket};

use crate::{
    keyring::Keyring,
    limits::RECORD_BYTES,
    seal::{Stamp, seal},
};
use model::{
    Timestamp,
    record::{Condition, RecordKind, Recordable},
};
use queue::Slot;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Why a record was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Someone named by the decision was revoked or frozen after it: decide again.
    #[error("revoked or frozen after the decision was made; decide again")]
    Moved,
    /// A condition did not hold at commit.
    #[error("a condition of the record did not hold when it was to be written: {0:?}")]
    Failed(Condition),
    /// Too much waits to be written.
    #[error("too many records wait to be written; try again in a few seconds")]
    Saturated,
    /// The journal has stopped. Whether the record is there is known after a restart.
    #[error("the ledger has stopped; nothing is admitted until it is started again")]
    Stopped,
    /// The record itself cannot be written.
    #[error("the record cannot be written: {0}")]
    Unfit(&'static str),
}

/// A record that was not accepted or not written, with its value.
pub struct NotWritten<T> {
    /// Why.
    pub error: AppendError,
    /// The value, given back.
    pub value: T,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The node that wrote it.
    pub node: u64,
    /// Its number in that node's journal.
    pub sequence: u64,
    /// The record's time.
    pub at: Timestamp,
}

/// Evidence that the record of this value is written and synced.
///
/// ```compile_fail,E0451
/// fn forge(place: ledger::Place) -> ledger::Durable<&'static str> {
///     ledger::Durable { value: "never written", place }
/// }
/// ```
///
/// It is not `Clone`:
///
/// ```compile_fail,E0599
/// fn twice(evidence: &ledger::Durable<String>) -> ledger::Durable<String> {
///     evidence.clone()
/// }
/// ```
#[must_use]
pub struct Durable<T> {
    value: T,
    place: Place,
}

/// A record that waits to be written, in order. Dropping it does not take the record back.
///
/// It cannot be forged, nor does it give its value away before the record is durable or refused:
///
/// ```compile_fail,E0616
/// fn early(pending: ledger::Pending<String>) -> Option<String> {
///     pending.value
/// }
/// ```
#[must_use]
pub struct Pending<T> {
    value: Option<T>,
    slot: Arc<Slot>,
}

/// The way into the ledger. Clones share one queue.
#[derive(Clone)]
pub struct Journal {
    queue: Arc<Queue>,
    keyring: Keyring,
    node: u64,
}

impl Journal {
    pub(crate) fn new(queue: Arc<Queue>, keyring: Keyring, node: u64) -> Journal {
        Journal { queue, keyring, node }
    }

    /// The node whose journal this is.
    #[must_use]
    pub const fn node(&self) -> u64 {
        self.node
    }

    /// Seals the record and queues it. Full refuses, it never waits.
    pub fn append<T: Recordable + Send + 'static>(
        &self,
        value: T,
        stamp: Stamp,
    ) -> Result<Pending<T>, NotWritten<T>> {
        // Refused before sealing, so that overload costs nothing; the push below decides.
        if let Err(error) = self.queue.room() {
            return Err(NotWritten { error, value });
        }
        let (ticket, slot) = Ticket::new();
        let pushed = self.prepare(&value, &stamp, ticket).and_then(|job| self.queue.push(job));
        match pushed {
            Ok(()) => Ok(Pending { value: Some(value), slot }),
            Err(error) => Err(NotWritten { error, value }),
        }
    }

    /// Stops admission; what waits is still written, then the writer ends.
    pub fn close(&self) {
        self.queue.close();
    }

    /// Stops at once: what waits is refused, and the writer ends. For who has learnt that the medium is lost.
    pub fn stop(&self) {
        self.queue.stop();
    }

    /// Whether records are still accepted.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.queue.is_open()
    }

    fn prepare(
        &self,
        value: &dyn Recordable,
        stamp: &Stamp,
        ticket: Ticket,
    ) -> Result<Job, AppendError> {
        let (kind, parts, changes) = (value.kind(), value.parts(), value.changes());
        let conditions = value.conditions();
        let size = [&parts.envelope, &parts.subject, &parts.arguments, &parts.result]
            .iter()
            .fold(0_usize, |sum, part| sum.saturating_add(part.len()))
            .saturating_add(changes.iter().map(|change| change.key.len()).sum())
            .saturating_add(changes.iter().flat_map(|change| &change.value).map(Vec::len).sum());
        if size > RECORD_BYTES {
            return Err(AppendError::Unfit("it is larger than 8 MiB"));
        }
        if conditions.len() > usize::from(u8::MAX) {
            return Err(AppendError::Unfit("it has more than 255 conditions"));
        }
        if !changes.is_empty() && !may_change(kind) {
            return Err(AppendError::Unfit("records of its kind change no state"));
        }
        let sealed = seal(&self.keyring, self.node, kind, &value.scope(), &parts, stamp)
            .map_err(|_| AppendError::Unfit("it could not be sealed"))?;
        Ok(Job { ticket, sealed, conditions, changes, size })
    }
}

/// Which kinds change state: control state, or live state (tasks and asks).
fn may_change(kind: RecordKind) -> bool {
    matches!(
        kind,
        RecordKind::Control | RecordKind::Task | RecordKind::Asked | RecordKind::Answered
    )
}

impl<T> Durable<T> {
    /// The value.
    pub const fn get(&self) -> &T {
        &self.value
    }

    /// The value, without the evidence.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Where the record stands.
    pub const fn place(&self) -> Place {
        self.place
    }
}

impl<T> Pending<T> {
    /// The value, to look at. It panics once the future has given its result, as polling again would.
    pub fn get(&self) -> &T {
        self.value.as_ref().unwrap_or_else(resolved)
    }

    /// Waits on this thread until the record is durable or refused. Not for async tasks.
    pub fn wait_blocking(mut self) -> Result<Durable<T>, NotWritten<T>> {
        let value = self.value.take().unwrap_or_else(resolved);
        settle(value, self.slot.wait())
    }
}

#[expect(clippy::panic, reason = "a future that has given its result is not used again")]
fn resolved<V>() -> V {
    panic!("this record was settled before: its value went with the result")
}

/// INVARIANT: the only place that makes a [`Durable`]; `Ok` comes only from the writer after `persist` returned `Ok`.
fn settle<T>(value: T, outcome: Result<Place, AppendError>) -> Result<Durable<T>, NotWritten<T>> {
    match outcome {
        Ok(place) => Ok(Durable { value, place }),
        Err(error) => Err(NotWritten { error, value }),
    }
}

/// Nothing in it is pinned: it may be moved between polls whatever the value is.
impl<T> Unpin for Pending<T> {}

impl<T> Future for Pending<T> {
    type Output = Result<Durable<T>, NotWritten<T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(outcome) = self.slot.poll(context) else { return Poll::Pending };
        let value = self.value.take().unwrap_or_else(resolved);
        Poll::Ready(settle(value, outcome))
    }
}

impl<T> fmt::Debug for Durable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Durable").field("place", &self.place).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}

impl<T> fmt::Debug for NotWritten<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NotWritten({:?})", self.error)
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Journal({:016x})", self.node)
    }
}
