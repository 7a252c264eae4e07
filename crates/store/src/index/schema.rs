//! The index's tables. It is not migrated: another version, node or a shorter ledger begin it anew.

use crate::{
    error::{During, StoreError},
    limits::{INDEX_CACHE_KIB, INDEX_WAL_PAGES},
};
use rusqlite::Connection;

/// Raised with every change below.
const VERSION: u32 = 1;

/// Outcomes are found through their entry alone, so they cost one index entry instead of three.
const TABLES: &str = "
    DROP TABLE IF EXISTS records;
    DROP TABLE IF EXISTS meta;
    CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), node BLOB NOT NULL, position INTEGER NOT NULL) STRICT;
    CREATE TABLE records (
        sequence INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        entry BLOB,
        trace BLOB,
        agent TEXT,
        action TEXT,
        decision TEXT,
        code TEXT,
        task TEXT,
        closes BLOB
    ) STRICT;
    CREATE INDEX by_entry ON records (entry) WHERE entry IS NOT NULL;
    CREATE INDEX by_trace ON records (trace) WHERE kind <> 2;
    CREATE INDEX by_agent ON records (agent, sequence) WHERE kind <> 2;";

pub(super) const INSERT: &str = "INSERT INTO records \
    (sequence, at, kind, entry, trace, agent, action, decision, code, task, closes) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

/// Makes the tables unless they are this ledger's; gives the next sequence that is missing.
pub(super) fn prepare(connection: &Connection, node: u64, size: u64) -> Result<u64, StoreError> {
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; \
             PRAGMA wal_autocheckpoint = {INDEX_WAL_PAGES}; PRAGMA cache_size = -{INDEX_CACHE_KIB};"
        ))
        .during("opened (index)")?;
    let version: u32 = connection
        .query_row("PRAGMA user_version", (), |row| row.get(0))
        .during("opened (index)")?;
    if version == VERSION {
        let found: (Vec<u8>, i64) = connection
            .query_row("SELECT node, position FROM meta", (), |row| Ok((row.get(0)?, row.get(1)?)))
            .during("opened (index)")?;
        let position = u64::try_from(found.1).unwrap_or(u64::MAX);
        if found.0 == node.to_be_bytes() && position <= size {
            return Ok(position);
        }
    }
    connection
        .execute_batch(&format!("BEGIN; {TABLES} PRAGMA user_version = {VERSION};"))
        .and_then(|()| {
            let sql = "INSERT INTO meta (id, node, position) VALUES (1, ?1, 0)";
            connection.execute(sql, [node.to_be_bytes().as_slice()])
        })
        .and_then(|_| connection.execute_batch("COMMIT"))
        .during("made (index)")?;
    Ok(0)
}

pub(super) fn clear(connection: &Connection) -> Result<(), StoreError> {
    connection
        .execute_batch("BEGIN; DELETE FROM records; UPDATE meta SET position = 0; COMMIT")
        .during("emptied (index)")
}

pub(super) fn set_position(connection: &Connection, position: u64) -> Result<(), StoreError> {
    let position = i64::try_from(position).unwrap_or(i64::MAX);
    connection
        .prepare_cached("UPDATE meta SET position = ?1")
        .and_then(|mut update| update.execute([position]))
        .map(drop)
        .during("indexed")
}
