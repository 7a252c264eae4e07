//! What readers see: control and live state in memory, swapped before a committer wakes, and how far the ledger is.

use ledger::Batch;
use model::EntryId;
use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

/// All control state at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// One more per control record that changed anything.
    pub revision: u64,
    /// The rows.
    pub rows: BTreeMap<String, Arc<[u8]>>,
}

/// Called on the writer's thread after each control change, before its committer wakes. It must be quick.
pub type OnChange = Box<dyn Fn(&Arc<State>) + Send + Sync>;

#[derive(Default)]
pub(crate) struct View {
    state: RwLock<Arc<State>>,
    live: RwLock<BTreeMap<String, Arc<[u8]>>>,
    listeners: RwLock<Vec<OnChange>>,
    recovered: Mutex<Vec<EntryId>>,
    progress: Mutex<Progress>,
    moved: Condvar,
}

/// How far the ledger is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// The next sequence: so many records are durable.
    pub(crate) size: u64,
    /// No more will come.
    pub(crate) ended: bool,
}

impl View {
    /// Sets what was found at a start.
    pub(crate) fn begin(
        &self,
        state: State,
        live: BTreeMap<String, Arc<[u8]>>,
        recovered: Vec<EntryId>,
        size: u64,
    ) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = live;
        *self.recovered.lock().unwrap_or_else(PoisonError::into_inner) = recovered;
        self.progress().size = size;
    }

    /// Takes the changes of a batch that is durable.
    pub(crate) fn publish(&self, batch: &Batch<'_>) {
        if !batch.live.is_empty() {
            let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
            for change in batch.live {
                set(&mut live, &change.key, change.value.as_deref());
            }
        }
        if batch.control.is_empty() {
            self.progress().size = batch.row.next();
        } else {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            // Copies the map only while a reader still holds the old one.
            let current = Arc::make_mut(&mut state);
            for change in batch.control {
                set(&mut current.rows, &change.key, change.value.as_deref());
            }
            current.revision = batch.row.revision;
            let state = Arc::clone(&state);
            self.progress().size = batch.row.next();
            let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
            listeners.iter().for_each(|listener| listener(&state));
        }
        self.moved.notify_all();
    }

    pub(crate) fn end(&self) {
        self.progress().ended = true;
        self.moved.notify_all();
    }

    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn live(&self, key: &str) -> Option<Arc<[u8]>> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(crate) fn live_prefix(&self, prefix: &str) -> Vec<(String, Arc<[u8]>)> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    pub(crate) fn recovered(&self) -> Vec<EntryId> {
        self.recovered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn listen(&self, listener: OnChange) {
        self.listeners.write().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    /// How far the ledger is at this moment.
    pub(crate) fn now_at(&self) -> Progress {
        *self.progress()
    }

    /// Waits until there are more than `seen` records, the end, or the span has passed.
    pub(crate) fn wait_beyond(&self, seen: u64, at_most: Duration) -> Progress {
        let (progress, _) = self
            .moved
            .wait_timeout_while(self.progress(), at_most, |it| it.size <= seen && !it.ended)
            .unwrap_or_else(PoisonError::into_inner);
        *progress
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set(rows: &mut BTreeMap<String, Arc<[u8]>>, key: &str, value: Option<&[u8]>) {
    match value {
        Some(value) => drop(rows.insert(key.to_owned(), value.into())),
        None => drop(rows.remove(key)),
    }
}
