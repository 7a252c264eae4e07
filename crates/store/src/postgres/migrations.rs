//! The schema as numbered steps, forward only; the table `schema` holds the number of the last one.

use super::line::Line;
use crate::error::StoreError;

/// Step N brings the schema from version N to N + 1. Steps are never edited, only appended. What cannot be compressed
/// is stored without trying.
const STEPS: &[&str] = &[
    // 1: batches, state, keys
    "CREATE TABLE meta (name text COLLATE \"C\" PRIMARY KEY, value bytea NOT NULL);
     CREATE TABLE batches (
         first bigint PRIMARY KEY,
         count bigint NOT NULL,
         at bigint NOT NULL,
         leaves bytea NOT NULL,
         hashes bytea NOT NULL,
         sealed bytea NOT NULL,
         effects bytea NOT NULL,
         frontier bytea NOT NULL,
         root bytea NOT NULL,
         control_root bytea NOT NULL,
         revision bigint NOT NULL,
         head bytea NOT NULL,
         mac bytea NOT NULL
     );
     ALTER TABLE batches
         ALTER COLUMN leaves SET STORAGE EXTERNAL,
         ALTER COLUMN hashes SET STORAGE EXTERNAL,
         ALTER COLUMN sealed SET STORAGE EXTERNAL,
         ALTER COLUMN frontier SET STORAGE EXTERNAL;
     CREATE TABLE state (key text COLLATE \"C\" PRIMARY KEY, value bytea NOT NULL);
     CREATE TABLE live (
         key text COLLATE \"C\" PRIMARY KEY,
         changed bigint NOT NULL,
         value bytea NOT NULL
     );
     CREATE TABLE keys (
         id bytea PRIMARY KEY,
         owner bytea NOT NULL,
         month text NOT NULL,
         wrapped bytea NOT NULL
     );
     CREATE TABLE named (name text COLLATE \"C\" PRIMARY KEY, value bytea NOT NULL);
     CREATE TABLE memory (
         id integer PRIMARY KEY CHECK (id = 1),
         next bigint NOT NULL,
         bytes bytea NOT NULL,
         mac bytea NOT NULL
     );",
];

/// Brings the schema up to date, each step in a transaction of its own; refuses a newer one. Only the holder of the
/// writer's lock calls this.
pub(super) fn migrate(line: &Line) -> Result<(), StoreError> {
    if version(line)?.is_none() {
        line.batch(
            "BEGIN;
             CREATE SCHEMA IF NOT EXISTS ambit;
             CREATE TABLE ambit.schema (id integer PRIMARY KEY CHECK (id = 1), version integer NOT NULL);
             INSERT INTO ambit.schema (id, version) VALUES (1, 0);
             COMMIT;",
        )?;
    }
    loop {
        let done = version(line)?.unwrap_or(0);
        refuse_newer(done)?;
        let Some(step) = usize::try_from(done).ok().and_then(|done| STEPS.get(done)) else {
            return Ok(());
        };
        let next = done.saturating_add(1);
        line.batch(&format!("BEGIN; {step} UPDATE ambit.schema SET version = {next}; COMMIT;"))?;
    }
}

/// Refuses a schema that this program does not know.
pub(super) fn check(line: &Line) -> Result<(), StoreError> {
    match version(line)? {
        Some(found) => refuse_newer(found),
        None => Err(StoreError::Unfit {
            database: line.database().to_string(),
            found: "it holds no ledger".into(),
        }),
    }
}

fn refuse_newer(found: u32) -> Result<(), StoreError> {
    let known = u32::try_from(STEPS.len()).unwrap_or(u32::MAX);
    if found > known { Err(StoreError::Newer { found, known }) } else { Ok(()) }
}

/// `None` before the first step.
fn version(line: &Line) -> Result<Option<u32>, StoreError> {
    let there = line.query("SELECT to_regclass('ambit.schema') IS NOT NULL", &[])?;
    if !there.first().is_some_and(|row| row.try_get(0).unwrap_or(false)) {
        return Ok(None);
    }
    let rows = line.query("SELECT version FROM ambit.schema WHERE id = 1", &[])?;
    let found: Option<i32> = rows.first().and_then(|row| row.try_get(0).ok());
    Ok(Some(found.and_then(|found| u32::try_from(found).ok()).unwrap_or(0)))
}
