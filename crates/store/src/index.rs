//! The index: everything searchable, in a file of its own, filled from batches, lagging visibly, rebuilt at will.

mod query;
mod schema;

pub use query::{Filter, Kept, TraceSummary};

use crate::{
    archive::Archive,
    error::{During, StoreError},
    limits::{INDEX_PACE, INDEX_ROWS},
    record::{Envelope, Opener},
    view::View,
};
use ledger::Leaf;
use model::{EntryId, TraceId, record::RecordKind};
use rusqlite::{Connection, params};
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The index of one ledger. Nothing that decides reads it.
pub struct Index {
    connection: Mutex<Connection>,
    archive: Arc<dyn Archive>,
    opener: Arc<Opener>,
    standing: Mutex<Standing>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Standing {
    /// The next sequence that it does not have.
    position: u64,
    /// Up to where someone waits for it.
    wanted: u64,
    ended: bool,
}

impl Index {
    pub(crate) fn new(
        connection: Connection,
        node: u64,
        size: u64,
        archive: Arc<dyn Archive>,
        opener: Arc<Opener>,
    ) -> Result<Index, StoreError> {
        let position = schema::prepare(&connection, node, size)?;
        Ok(Index {
            connection: Mutex::new(connection),
            archive,
            opener,
            standing: Mutex::new(Standing { position, ..Standing::default() }),
            moved: Condvar::new(),
        })
    }

    /// The next sequence that it does not have; the ledger's size minus this is the lag in records.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.standing().position
    }

    /// Waits on this thread, at most so long, until the record with this sequence is indexed; whether it is.
    pub fn caught_up(&self, sequence: u64, at_most: Duration) -> bool {
        let mut standing = self.standing();
        standing.wanted = standing.wanted.max(sequence.saturating_add(1));
        self.moved.notify_all();
        let (standing, _) = self
            .moved
            .wait_timeout_while(standing, at_most, |it| it.position <= sequence && !it.ended)
            .unwrap_or_else(PoisonError::into_inner);
        standing.position > sequence
    }

    /// Forgets everything and begins anew from the batches.
    pub fn rebuild(&self) -> Result<(), StoreError> {
        let connection = self.lock();
        schema::clear(&connection)?;
        self.standing().position = 0;
        self.moved.notify_all();
        Ok(())
    }

    /// The index's thread: takes batches until the ledger has ended.
    pub(crate) fn follow(&self, view: &View) {
        loop {
            let progress = view.wait_beyond(self.position(), INDEX_PACE);
            let behind = self.position() < progress.size;
            if behind && !progress.ended {
                self.gather(progress.size);
            }
            if let Err(error) = self.take(view) {
                tracing::error!(%error, "the index cannot follow; run `ambit ledger reindex`");
                break;
            }
            if progress.ended {
                break;
            }
        }
        self.end();
    }

    /// Nothing more will come.
    pub(crate) fn end(&self) {
        self.standing().ended = true;
        self.moved.notify_all();
    }

    /// Lets records gather for a while, unless someone waits for one that is there.
    fn gather(&self, size: u64) {
        let waited = self.moved.wait_timeout_while(self.standing(), INDEX_PACE, |it| {
            !it.ended && (it.wanted <= it.position || it.position >= size)
        });
        drop(waited);
    }

    /// Takes what there is; at the end of the ledger the rest is left to the next start.
    fn take(&self, view: &View) -> Result<(), StoreError> {
        while self.position() < view.now_at().size {
            let mut connection = self.lock();
            // Read again under the lock: a rebuild may have set it back.
            let position = self.position();
            let rows = self.archive.rows(position, INDEX_ROWS)?;
            let Some(next) = rows.last().map(ledger::Row::next) else { return Ok(()) };
            let transaction = connection.transaction().during("indexed")?;
            {
                let mut insert = transaction.prepare_cached(schema::INSERT).during("indexed")?;
                for row in &rows {
                    for found in self.opener.envelopes(row) {
                        match found {
                            Ok((leaf, envelope)) => {
                                put(&mut insert, &leaf, envelope.as_deref()).during("indexed")?;
                            }
                            Err(error) => tracing::error!(%error, "an entry is damaged"),
                        }
                    }
                }
            }
            schema::set_position(&transaction, next)?;
            transaction.commit().during("indexed")?;
            self.standing().position = next;
            self.moved.notify_all();
            if view.now_at().ended {
                break;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put(
    insert: &mut rusqlite::CachedStatement<'_>,
    leaf: &Leaf,
    envelope: Option<&[u8]>,
) -> rusqlite::Result<()> {
    let found = envelope.and_then(Envelope::read).unwrap_or_default();
    let entry = found.entry.and_then(EntryId::parse).map(EntryId::to_bytes);
    let trace = found.trace.and_then(TraceId::parse).map(|trace| trace.0.to_be_bytes());
    let closes = entry.filter(|_| leaf.kind == RecordKind::Outcome);
    insert
        .execute(params![
            i64::try_from(leaf.sequence).unwrap_or(i64::MAX),
            leaf.at.0,
            leaf.kind.number(),
            entry,
            trace,
            found.agent,
            found.action,
            found.decision,
            found.code,
            found.task,
            closes,
        ])
        .map(drop)
}
