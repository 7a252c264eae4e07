//! Sends what is recorded to others, at least once and in order: traces to a collector, notices to hooks. A follower
//! reads the ledger behind its cursor, which moves only after a delivery was taken.

mod notices;
mod traces;

pub(crate) use traces::Collector;

use crate::{app::App, limits};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use store::Record;
use tokio_util::sync::CancellationToken;

/// Starts every follower that is configured.
pub(crate) fn start(
    app: &Arc<App>,
    tasks: &tokio_util::task::TaskTracker,
    stop: &CancellationToken,
) {
    tasks.spawn(notices::follow(Arc::clone(app), stop.clone()));
    if let Some(endpoint) = app.settings.otlp_endpoint.clone() {
        tasks.spawn(traces::follow(Arc::clone(app), endpoint, stop.clone()));
    }
}

/// How far a follower is: the next sequence that was not yet taken, in a file of its own.
pub(super) struct Cursor {
    path: PathBuf,
    next: u64,
}

impl Cursor {
    /// The cursor of this name; a new one begins at `start`.
    pub(super) fn open(data: &Path, name: &str, start: u64) -> Cursor {
        let path = data.join(format!("follow-{name}"));
        let kept = std::fs::read_to_string(&path).ok();
        let kept = kept.and_then(|text| text.trim().parse().ok());
        let mut cursor = Cursor { path, next: kept.unwrap_or(start) };
        if kept.is_none() {
            // A run that ends before its first delivery is continued, not begun anew.
            cursor.advance(start);
        }
        cursor
    }

    /// The next sequence.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Moves on, durably enough: if the file is lost or old, records are sent again.
    pub(super) fn advance(&mut self, next: u64) {
        self.next = next;
        let written = self.path.with_extension("new");
        let done = std::fs::write(&written, next.to_string())
            .and_then(|()| std::fs::rename(&written, &self.path));
        if let Err(error) = done {
            tracing::warn!(%error, path = %self.path.display(), "a follower's place cannot be kept: after a restart it sends again");
        }
    }
}

/// The records from `from` on, at most so many, and the sequence after them. It ends before one that cannot be read
/// at the moment, so that none is passed over.
pub(super) async fn records(app: &App, from: u64, at_most: u64) -> (Vec<Record>, u64) {
    let end = app.store.size().min(from.saturating_add(at_most));
    let store = Arc::clone(&app.store);
    let read = move || -> Vec<Record> {
        let each = (from..end).map(|at| store.read(at));
        each.map_while(|read| match read {
            Ok(record) => record,
            Err(error) => {
                tracing::warn!(%error, "a record cannot be read; what follows the ledger waits for it");
                None
            }
        })
        .collect()
    };
    let found = tokio::task::spawn_blocking(read).await.unwrap_or_default();
    let next = found.last().map_or(from, |last| last.leaf.sequence.saturating_add(1));
    (found, next)
}

/// Waits between two looks: short after success, longer after each failure.
pub(super) struct Pace {
    failures: u32,
}

impl Pace {
    pub(super) const fn new() -> Pace {
        Pace { failures: 0 }
    }

    /// Notes how a delivery went.
    pub(super) fn went(&mut self, well: bool) {
        self.failures = if well { 0 } else { self.failures.saturating_add(1) };
    }

    /// How long until the next look.
    pub(super) fn wait(&self) -> Duration {
        let doubled = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        limits::FOLLOW_PACE.saturating_mul(doubled).min(limits::FOLLOW_WAIT)
    }
}
