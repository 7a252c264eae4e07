//! The ledger as a whole: a checkpoint to keep, a copy to carry away, and its verification without a gate.

use crate::app::App;
use anyhow::Context as _;
use serde_json::{Value, json};
use std::path::Path;

/// A checkpoint over everything that is durable.
pub(super) fn checkpoint(app: &App) -> anyhow::Result<Value> {
    let note = app.store.checkpoint(app.clock.now())?;
    Ok(json!({ "checkpoint": note, "vkey": app.store.vkey() }))
}

/// Writes a copy that verifies by itself.
pub(super) fn export(app: &App, file: &str) -> anyhow::Result<Value> {
    app.store.checkpoint(app.clock.now())?;
    let records = app.store.export(Path::new(file)).with_context(|| format!("`{file}` cannot be written"))?;
    Ok(json!({ "file": file, "records": records, "vkey": app.store.vkey() }))
}

/// What an offline verification found.
#[derive(Clone, Debug)]
pub(crate) struct Verified {
    /// Whether everything holds.
    pub(crate) holds: bool,
    /// How many entries were looked at.
    pub(crate) records: u64,
    /// The root of the tree over them, in hexadecimal.
    pub(crate) root: String,
    /// The first entry that does not hold, by its sequence.
    pub(crate) entry: Option<u64>,
    /// What does not hold.
    pub(crate) problem: Option<String>,
}
