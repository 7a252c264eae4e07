//! A copy of the database to carry away: one SQLite file in the form that the SQLite medium writes.

use super::{
    address::Database,
    line::{Access, Line},
    number, read_key, read_pair, stored_node,
};
use crate::{
    archive::Stored as _,
    error::{During as _, StoreError},
    export::new_file,
    limits::WALK_ROWS,
    sqlite,
};
use model::Timestamp;
use rusqlite::Connection;
use std::path::Path;

/// Copies everything as of one moment into a new file of mode 0600; gives how many records it has.
pub(super) fn copy(database: &Database, file: &Path) -> Result<u64, StoreError> {
    let line = Line::open(database, Access::Read)?;
    line.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
    new_file(file)?;
    let target = sqlite::open_copy(file)?;
    target.execute_batch("BEGIN").during("copied")?;
    let records = fill(&line, &target)?;
    target.execute_batch("COMMIT").during("copied")?;
    Ok(records)
}

fn fill(line: &Line, target: &Connection) -> Result<u64, StoreError> {
    if let Some(node) = stored_node(line)? {
        sqlite::set_node(target, node)?;
    }
    let (mut from, mut records) = (0, 0);
    loop {
        let rows = line.rows_from(from, WALK_ROWS)?;
        let Some(last) = rows.last() else { break };
        (from, records) = (last.first.saturating_add(1), last.next());
        rows.iter().try_for_each(|row| sqlite::insert_row(target, row))?;
    }
    for (key, value) in line.control()? {
        sqlite::set_state(target, &key, Some(&value))?;
    }
    for row in line.query("SELECT key, value, changed FROM live", &[])? {
        let (key, value) = read_pair(&row)?;
        sqlite::set_live(target, &key, Timestamp(number(&row, 2)?), Some(&value))?;
    }
    for row in line.query("SELECT id, owner, month, wrapped FROM keys", &[])? {
        sqlite::insert_key(target, &read_key(&row)?)?;
    }
    for row in line.query("SELECT name, value FROM named", &[])? {
        let (name, value) = read_pair(&row)?;
        sqlite::set_named(target, &name, &value)?;
    }
    if let Some(snapshot) = line.snapshot()? {
        sqlite::set_snapshot(target, &snapshot)?;
    }
    Ok(records)
}
