//! What stands in for PostgreSQL in a build without it: a database that cannot be named.

use crate::{
    archive::Stored,
    directory::Directory,
    error::StoreError,
    start::{Options, Store},
};
use ledger::Entropy;
use model::Timestamp;
use std::{fmt, path::PathBuf, sync::Arc};

/// A PostgreSQL database. This build knows none.
#[derive(Clone, Debug)]
pub enum Database {}

impl Database {
    /// Refuses: this build has no PostgreSQL.
    pub fn parse(_text: &str, _usual: Option<PathBuf>) -> Result<Database, StoreError> {
        Err(StoreError::Address("this build has no PostgreSQL (feature `postgres`)".into()))
    }

    /// Whether the URL held the password itself.
    #[must_use]
    pub fn holds_password(&self) -> bool {
        match *self {}
    }
}

impl fmt::Display for Database {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

pub(crate) fn open(
    _directory: Directory,
    database: &Database,
    _options: &Options,
    _now: Timestamp,
    _entropy: Arc<dyn Entropy>,
) -> Result<Store, StoreError> {
    match *database {}
}

pub(crate) fn open_reader(
    database: &Database,
) -> Result<(Option<u64>, Box<dyn Stored>), StoreError> {
    match *database {}
}
