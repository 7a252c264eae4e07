//! Where the ledger is: in the data directory, or in a PostgreSQL database that a URL names.

use anyhow::Context as _;
use std::{
    env,
    path::{Path, PathBuf},
};
use store::Database;

/// The variable that names the database.
const VARIABLE: &str = "AMBIT_DATABASE_URL";

/// The database that was asked for (`--database-url`, `AMBIT_DATABASE_URL`), else the one that the data directory
/// used last; `None` if the ledger is in the data directory.
pub(crate) fn find(data: &Path, asked: Option<&str>) -> anyhow::Result<Option<Database>> {
    let variable = env::var(VARIABLE).ok().filter(|url| !url.is_empty());
    // A ledger within the directory is not where the variable says; a flag says that it should be.
    let variable = variable.filter(|_| asked.is_some() || !store::holds_ledger(data));
    let noted = store::last_database(data)?;
    let Some(url) = asked.or(variable.as_deref()).or(noted.as_deref()) else { return Ok(None) };
    let database = Database::parse(url, passfile()).context("the ledger's database")?;
    // What is typed is seen by every user of the machine, in the list of processes.
    anyhow::ensure!(
        !database.holds_password() || asked != Some(url) || variable.as_deref() == Some(url),
        "a password on the command line can be read by every user of this machine: leave it out of \
         `--database-url`, and put it into `~/.pgpass` or a file named by `PGPASSFILE`, or give the whole URL in \
         `{VARIABLE}`"
    );
    Ok(Some(database))
}

/// Where libpq looks for passwords.
fn passfile() -> Option<PathBuf> {
    let named = env::var_os("PGPASSFILE").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".pgpass")))
}
