//! The schema as numbered steps, forward only; `PRAGMA user_version` holds the number of the last one.

use crate::error::{During, StoreError};
use rusqlite::{Connection, TransactionBehavior};

/// Step N brings the schema from version N to N + 1. Steps are never edited, only appended.
const STEPS: &[&str] = &[
    // 1: batches, state, keys
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
     CREATE TABLE batches (
         first INTEGER PRIMARY KEY,
         count INTEGER NOT NULL,
         at INTEGER NOT NULL,
         leaves BLOB NOT NULL,
         hashes BLOB NOT NULL,
         sealed BLOB NOT NULL,
         effects BLOB NOT NULL,
         frontier BLOB NOT NULL,
         root BLOB NOT NULL,
         control_root BLOB NOT NULL,
         revision INTEGER NOT NULL,
         head BLOB NOT NULL,
         mac BLOB NOT NULL
     ) STRICT;
     CREATE TABLE state (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
     CREATE TABLE live (
         key TEXT PRIMARY KEY,
         changed INTEGER NOT NULL,
         value BLOB NOT NULL
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE keys (
         id BLOB PRIMARY KEY,
         owner BLOB NOT NULL,
         month TEXT NOT NULL,
         wrapped BLOB NOT NULL
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE named (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
     CREATE TABLE memory (
         id INTEGER PRIMARY KEY CHECK (id = 1),
         next INTEGER NOT NULL,
         bytes BLOB NOT NULL,
         mac BLOB NOT NULL
     ) STRICT;",
];

/// Brings the schema up to date, each step in a transaction of its own; refuses a newer one.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    loop {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .during("migrated")?;
        let found: u32 = transaction
            .query_row("PRAGMA user_version", (), |row| row.get(0))
            .during("migrated")?;
        let done = usize::try_from(found).unwrap_or(usize::MAX);
        if done > STEPS.len() {
            let known = u32::try_from(STEPS.len()).unwrap_or(u32::MAX);
            return Err(StoreError::Newer { found, known });
        }
        let Some(step) = STEPS.get(done) else { return Ok(()) };
        let version = format!("{step}\nPRAGMA user_version = {};", found.saturating_add(1));
        transaction.execute_batch(&version).during("migrated")?;
        transaction.commit().during("migrated")?;
    }
}
