//! Offline verification of a database file or data directory, with nothing but the public key.

use crate::archive::Stored as _;
use crate::{
    directory,
    error::{During, StoreError},
    limits::WALK_ROWS,
    sqlite::{Reading, open_reader, stored_node},
    start::read_checkpoint,
};
use ledger::{Report, Verifier};
use model::EntryId;
use rusqlite::{Connection, OptionalExtension as _};
use std::path::Path;
use tlog::NoteVerifier;

/// Checks all batches of a data directory, or of a copied database file, against each other and against the kept
/// checkpoints. `vkey` is the ledger's verifier key; each of `kept` is a signed note. A data directory's own
/// checkpoint file counts as kept. An error means that the check could not be made; what is wrong with the ledger is
/// in the report.
pub fn verify(path: &Path, vkey: &str, kept: &[String]) -> Result<Report, StoreError> {
    let verifier = NoteVerifier::parse(vkey).map_err(|error| StoreError::Checkpoint {
        place: "verifier key".into(),
        found: error.to_string(),
    })?;
    let (database, folder) = if path.is_dir() {
        (directory::database(path), Some(path))
    } else {
        (path.to_owned(), None)
    };
    let own = match folder {
        Some(folder) => directory::read_note(&directory::checkpoint(folder))?,
        None => None,
    };
    let kept = kept.iter().chain(&own).map(|note| read_checkpoint(note, &verifier));
    let kept = kept.collect::<Result<Vec<_>, _>>()?;
    let connection = open_reader(&database)?;
    check_node(&connection, &verifier)?;
    let mut report = walk(&connection, Verifier::new(kept))?;
    if let Some(folder) = folder {
        name_entries(&mut report, &folder.join("index.db"));
    }
    Ok(report)
}

/// The key's name ends with the node that the database says it is of.
fn check_node(connection: &Connection, verifier: &NoteVerifier) -> Result<(), StoreError> {
    let node = stored_node(connection)?.unwrap_or_default();
    let name = verifier.name();
    if name.ends_with(&format!("/{node:016x}")) {
        Ok(())
    } else {
        let found = format!("it is of `{name}`, the database is of node {node:016x}");
        Err(StoreError::Checkpoint { place: "verifier key".into(), found })
    }
}

fn walk(connection: &Connection, mut verifier: Verifier) -> Result<Report, StoreError> {
    let reading = Reading(connection);
    let mut from = 0;
    loop {
        let rows = reading.rows_from(from, WALK_ROWS).map_err(|error| StoreError::Damaged {
            place: format!("a batch with entries from {from} on"),
            found: error.to_string(),
        })?;
        let Some(last) = rows.last() else { break };
        from = last.first.saturating_add(1);
        rows.iter().for_each(|row| verifier.take(row));
    }
    Ok(verifier.finish())
}

/// Names entries from the index, which is an outside memory as well; without one they stay unnamed.
fn name_entries(report: &mut Report, index: &Path) {
    let Ok(connection) = open_reader(index) else { return };
    let name = |sequence: u64| -> Option<EntryId> {
        let sql = "SELECT entry FROM records WHERE sequence = ?1 AND entry IS NOT NULL";
        let sequence = i64::try_from(sequence).ok()?;
        let found = connection.query_row(sql, [sequence], |row| row.get::<_, [u8; 16]>(0));
        let found = found.optional().during("searched (index)").ok()??;
        Some(EntryId(u128::from_be_bytes(found)))
    };
    for problem in &mut report.problems {
        if problem.entry.is_none() && problem.first == problem.last {
            problem.entry = name(problem.first);
        }
    }
}
