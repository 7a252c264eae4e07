//! The ledger as a whole: a checkpoint to keep, a copy to carry away, and its verification without a gate.

use crate::{app::App, database};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::path::Path;

/// The ledger's public key, beside the database, for who verifies without a gate.
const KEY_FILE: &str = "ledger.vkey";

/// A checkpoint over everything that is durable.
pub(super) fn checkpoint(app: &App) -> anyhow::Result<Value> {
    let note = app.store.checkpoint(app.clock.now())?;
    Ok(json!({ "checkpoint": note, "vkey": app.store.vkey() }))
}

/// Writes a copy that verifies by itself.
pub(super) fn export(app: &App, file: &str) -> anyhow::Result<Value> {
    app.store.checkpoint(app.clock.now())?;
    let records =
        app.store.export(Path::new(file)).with_context(|| format!("`{file}` cannot be written"))?;
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
    /// Up to which entry a checkpoint vouches for it.
    pub(crate) vouched: u64,
    /// Everything that does not hold.
    pub(crate) problems: Vec<String>,
}

impl Verified {
    /// As an answer.
    pub(crate) fn value(&self) -> Value {
        json!({
            "holds": self.holds,
            "records": self.records,
            "root": self.root,
            "vouched": self.vouched,
            "entry": self.entry,
            "problem": self.problem,
            "problems": self.problems,
        })
    }
}

/// Verifies a data directory or a copy of the ledger, offline. Without a key, the one beside it is taken: that proves
/// what a checkpoint kept elsewhere proves only if the key was kept elsewhere, too.
pub(crate) fn verify(
    path: &Path,
    key: Option<&str>,
    kept: Option<&str>,
) -> anyhow::Result<Verified> {
    let key = match key {
        Some(key) => key.trim().to_owned(),
        None => beside(path)?,
    };
    let kept: Vec<String> = kept.map(str::to_owned).into_iter().collect();
    let database = if path.is_dir() { database::find(path, None)? } else { None };
    let report = store::verify(path, database.as_ref(), &key, &kept)
        .with_context(|| format!("`{}` cannot be verified", path.display()))?;
    let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    Ok(Verified {
        holds: report.is_sound(),
        records: report.entries,
        root: report.root.to_string(),
        vouched: report.vouched,
        entry: report.problems.first().map(|problem| problem.first),
        problem: problems.first().cloned(),
        problems,
    })
}

fn beside(path: &Path) -> anyhow::Result<String> {
    let directory = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    let file = directory.join(KEY_FILE);
    let key = std::fs::read_to_string(&file).with_context(|| {
        format!(
            "no key: give `--key` (from `ambit ledger key`), since `{}` cannot be read",
            file.display()
        )
    })?;
    Ok(key.trim().to_owned())
}

/// Leaves the public key where [`verify`] finds it.
pub(crate) fn leave_key(app: &App) -> anyhow::Result<()> {
    let file = app.settings.data.join(KEY_FILE);
    std::fs::write(&file, app.store.vkey())
        .with_context(|| format!("`{}` cannot be written", file.display()))
}
