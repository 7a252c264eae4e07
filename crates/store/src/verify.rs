//! Offline verification of a database file or data directory, with nothing but the public key.

use crate::{
    archive::Stored,
    directory::{self, Place},
    error::{During, StoreError},
    limits::WALK_ROWS,
    postgres::{self, Database},
    sqlite::{Reading, open_reader, stored_node},
    start::read_checkpoint,
};
use ledger::{Report, Verifier};
use model::EntryId;
use rusqlite::OptionalExtension as _;
use std::path::Path;
use tlog::{Checkpoint, NoteVerifier};

/// Checks all batches of a data directory's ledger, or of a copied database file, against each other and against the
/// kept checkpoints. `database` says where a data directory's ledger is, if not where it was last. `vkey` is the ledger's verifier key; each of `kept` is a signed note. A data directory's own
/// checkpoint file counts as kept. An error means that the check could not be made; what is wrong with the ledger is
/// in the report.
pub fn verify(
    path: &Path,
    database: Option<&Database>,
    vkey: &str,
    kept: &[String],
) -> Result<Report, StoreError> {
    let verifier = NoteVerifier::parse(vkey).map_err(|error| StoreError::Checkpoint {
        place: "verifier key".into(),
        found: error.to_string(),
    })?;
    let folder = path.is_dir().then_some(path);
    let own = match folder {
        Some(folder) => directory::read_note(&directory::checkpoint(folder))?,
        None => None,
    };
    let kept = kept.iter().chain(&own).map(|note| read_checkpoint(note, &verifier));
    let kept = kept.collect::<Result<Vec<_>, _>>()?;
    let mut report = match folder.map(|folder| directory::place(folder, database)).transpose()? {
        Some(Place::Server(database)) => {
            let (node, stored) = postgres::open_reader(&database)?;
            check(node, stored.as_ref(), &verifier, kept)?
        }
        place => {
            let within = place.map(|_| directory::database(path));
            let connection = open_reader(within.as_deref().unwrap_or(path))?;
            check(stored_node(&connection)?, &Reading(&connection), &verifier, kept)?
        }
    };
    if let Some(folder) = folder {
        name_entries(&mut report, &folder.join("index.db"));
    }
    Ok(report)
}

/// The key's name ends with the node that the database says it is of; then every batch is looked at.
fn check(
    node: Option<u64>,
    stored: &dyn Stored,
    key: &NoteVerifier,
    kept: Vec<Checkpoint>,
) -> Result<Report, StoreError> {
    let (node, name) = (node.unwrap_or_default(), key.name());
    if !name.ends_with(&format!("/{node:016x}")) {
        let found = format!("it is of `{name}`, the database is of node {node:016x}");
        return Err(StoreError::Checkpoint { place: "verifier key".into(), found });
    }
    let mut verifier = Verifier::new(kept);
    let mut from = 0;
    loop {
        let rows = stored.rows_from(from, WALK_ROWS).map_err(|error| StoreError::Damaged {
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
