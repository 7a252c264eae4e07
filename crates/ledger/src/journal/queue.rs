//! The bounded queue between callers and the writer's thread, and the slots in which they are answered.

use super::{AppendError, Place};
use crate::{
    limits::{COMMIT_AT, PACE, QUEUE_BYTES, QUEUE_RECORDS},
    memory::Claim,
    seal::Sealed,
};
use model::record::{Condition, StateChange};
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
};

/// A sealed record on its way to the writer.
pub(crate) struct Job {
    pub(crate) ticket: Ticket,
    pub(crate) sealed: Sealed,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) changes: Vec<StateChange>,
    pub(crate) size: usize,
}

impl Job {
    pub(crate) fn claim(&self) -> Claim<'_> {
        Claim {
            at: self.sealed.at,
            kind: self.sealed.kind,
            conditions: &self.conditions,
            changes: &self.changes,
        }
    }
}

/// The duty to answer one caller; dropped without an answer it says that the journal stopped.
pub(crate) struct Ticket(Option<Arc<Slot>>);

impl Ticket {
    pub(crate) fn new() -> (Ticket, Arc<Slot>) {
        let slot = Arc::new(Slot::default());
        (Ticket(Some(slot.clone())), slot)
    }

    pub(crate) fn answer(mut self, outcome: Result<Place, AppendError>) {
        if let Some(slot) = self.0.take() {
            slot.fill(outcome);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            slot.fill(Err(AppendError::Stopped));
        }
    }
}

/// Where one caller waits.
#[derive(Default)]
pub(crate) struct Slot {
    state: Mutex<Answer>,
    filled: Condvar,
}

#[derive(Default)]
struct Answer {
    outcome: Option<Result<Place, AppendError>>,
    waker: Option<Waker>,
    blocked: bool,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Answer> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self, outcome: Result<Place, AppendError>) {
        let mut answer = self.lock();
        answer.outcome = Some(outcome);
        let (waker, blocked) = (answer.waker.take(), answer.blocked);
        drop(answer);
        if blocked {
            self.filled.notify_one();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Option<Result<Place, AppendError>> {
        let mut answer = self.lock();
        let outcome = answer.outcome.take();
        if outcome.is_none() {
            match &mut answer.waker {
                Some(waker) => waker.clone_from(context.waker()),
                None => answer.waker = Some(context.waker().clone()),
            }
        }
        outcome
    }

    pub(crate) fn wait(&self) -> Result<Place, AppendError> {
        let mut answer = self.lock();
        answer.blocked = true;
        let mut answer = self
            .filled
            .wait_while(answer, |answer| answer.outcome.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        answer.outcome.take().unwrap_or(Err(AppendError::Stopped))
    }
}

/// Records that wait for the next commit.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

struct Waiting {
    jobs: Vec<Job>,
    bytes: usize,
    open: bool,
    /// At how many waiting records the writer wants to be woken.
    wanted: usize,
}

impl Queue {
    pub(crate) fn new() -> Queue {
        let waiting = Waiting { jobs: Vec::new(), bytes: 0, open: true, wanted: 1 };
        Queue { waiting: Mutex::new(waiting), arrived: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more record could wait at this moment.
    pub(crate) fn room(&self) -> Result<(), AppendError> {
        self.lock().room(0)
    }

    pub(crate) fn push(&self, job: Job) -> Result<(), AppendError> {
        let mut waiting = self.lock();
        waiting.room(job.size)?;
        waiting.bytes = waiting.bytes.saturating_add(job.size);
        waiting.jobs.push(job);
        let wake = waiting.jobs.len() == waiting.wanted;
        drop(waiting);
        if wake {
            self.arrived.notify_one();
        }
        Ok(())
    }

    pub(crate) fn close(&self) {
        self.lock().open = false;
        self.arrived.notify_one();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.lock().open
    }

    /// Closes and drops what waits, so that each caller hears that the journal stopped.
    pub(crate) fn stop(&self) {
        let jobs = {
            let mut waiting = self.lock();
            waiting.open = false;
            waiting.bytes = 0;
            std::mem::take(&mut waiting.jobs)
        };
        self.arrived.notify_one();
        drop(jobs);
    }

    /// All that waits, once it is time to commit; empty when the queue is closed and drained. `last` is the size of
    /// the commit before: when as many wait again (or 64), waiting longer gains nothing; else one pace is waited.
    pub(crate) fn take(&self, last: usize) -> Vec<Job> {
        let mut waiting = self.lock();
        waiting.wanted = last.clamp(1, COMMIT_AT);
        let (mut waiting, _) = self
            .arrived
            .wait_timeout_while(waiting, PACE, |it| it.open && it.jobs.len() < it.wanted)
            .unwrap_or_else(PoisonError::into_inner);
        waiting.wanted = 1;
        let mut waiting = self
            .arrived
            .wait_while(waiting, |it| it.open && it.jobs.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        waiting.bytes = 0;
        // The writer is awake until it asks again: no caller need wake it.
        waiting.wanted = usize::MAX;
        std::mem::take(&mut waiting.jobs)
    }
}

impl Waiting {
    fn room(&self, size: usize) -> Result<(), AppendError> {
        if !self.open {
            Err(AppendError::Stopped)
        } else if self.jobs.len() >= QUEUE_RECORDS
            || self.bytes.saturating_add(size) > QUEUE_BYTES.max(size)
        {
            Err(AppendError::Saturated)
        } else {
            Ok(())
        }
    }
}
