//! Who is stopped, and what is under way when somebody is: it ends before whoever stopped it is answered (S8).

use crate::Gate;
use arc_swap::ArcSwap;
use model::{Code, Digest};
use policy::Subjects;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// Who is stopped now, and the generations of calls that began before.
pub(crate) struct Stops {
    current: ArcSwap<Generation>,
    ended: Mutex<Vec<Arc<Generation>>>,
}

/// The calls that were decided while the same subjects were stopped.
pub(crate) struct Generation {
    revoked: HashSet<Digest>,
    ended: CancellationToken,
    under_way: TaskTracker,
}

impl Generation {
    fn new(revoked: HashSet<Digest>) -> Arc<Generation> {
        Arc::new(Generation {
            revoked,
            ended: CancellationToken::new(),
            under_way: TaskTracker::new(),
        })
    }

    /// Whether anybody at all is stopped.
    pub(crate) fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }

    /// Whether a subject is stopped.
    pub(crate) fn contains(&self, subject: &Digest) -> bool {
        self.revoked.contains(subject)
    }
}

impl Stops {
    pub(crate) fn new(revoked: HashSet<Digest>) -> Stops {
        Stops { current: ArcSwap::new(Generation::new(revoked)), ended: Mutex::new(Vec::new()) }
    }

    /// Who is stopped now.
    pub(crate) fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// Takes over who is stopped. Where somebody new is, every call under way looks whether it is meant.
    pub(crate) fn replace(&self, revoked: HashSet<Digest>) {
        let before = self.current.load_full();
        let grew = revoked.iter().any(|subject| !before.contains(subject));
        if !grew && revoked.len() == before.revoked.len() {
            return;
        }
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|generation| !generation.under_way.is_empty());
        ended.push(Arc::clone(&before));
        self.current.store(Generation::new(revoked));
        before.under_way.close();
        before.ended.cancel();
    }

    fn ended(&self) -> Vec<Arc<Generation>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Gate {
    /// Why these are stopped now, if one of them is.
    pub(crate) fn stopped(&self, subjects: &Subjects) -> Option<Code> {
        let now = self.stops.current();
        let code = subjects.stopped(|subject| now.contains(subject));
        code.filter(|_| self.settings.guards.revocation)
    }

    /// Waits until every call that is stopped has ended, at most so long; whether they all have. When it is true,
    /// nothing that was decided before the stop can reach an upstream.
    pub async fn stopped_calls_ended(&self, at_most: Duration) -> bool {
        let all = async {
            // The oldest first: a call that is not meant moves on to the newest before it leaves.
            for generation in self.stops.ended() {
                generation.under_way.wait().await;
            }
        };
        tokio::time::timeout(at_most, all).await.is_ok()
    }
}

/// One call's eye on who is stopped, from before it departs until it is closed.
#[must_use]
pub(crate) struct Watch {
    gate: Arc<Gate>,
    generation: Arc<Generation>,
    under_way: TaskTrackerToken,
    subjects: Subjects,
}

impl Watch {
    /// Begins where the call was decided: what was stopped since then stops it.
    pub(crate) fn begin(gate: Arc<Gate>, decided: Arc<Generation>, subjects: Subjects) -> Watch {
        let under_way = decided.under_way.token();
        Watch { gate, generation: decided, under_way, subjects }
    }

    /// Begins where nothing was decided, unless somebody is stopped already.
    pub(crate) fn of_listener(gate: &Arc<Gate>, subjects: Subjects) -> Result<Watch, Code> {
        let mut watch = Watch::begin(Arc::clone(gate), gate.stops.current(), subjects);
        watch.look().map_or(Ok(watch), Err)
    }

    /// Why the call may not go on, if it may not.
    pub(crate) fn stopped(&mut self) -> Option<Code> {
        while self.generation.ended.is_cancelled() {
            if let Some(code) = self.look() {
                return Some(code);
            }
        }
        None
    }

    /// Completes when the call must be cut: at once, or after what is plainly about to end had its time.
    pub(crate) async fn cut(&mut self, grace: Duration) -> Code {
        loop {
            self.generation.ended.cancelled().await;
            if let Some(code) = self.look() {
                tokio::time::sleep(grace).await;
                return code;
            }
        }
    }

    /// Looks who is stopped now; moves on to the newest generation if this call is not.
    fn look(&mut self) -> Option<Code> {
        let newest = self.gate.stops.current();
        let stopped = self.subjects.stopped(|subject| newest.contains(subject));
        if stopped.is_some() && self.gate.settings.guards.revocation {
            return stopped;
        }
        // The new seat is taken before the old one is left: nobody who waits for both misses this call.
        self.under_way = newest.under_way.token();
        self.generation = newest;
        None
    }
}
