//! Why the store could not be opened, read or written.

use std::path::PathBuf;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or directory cannot be used.
    #[error("`{path}` cannot be {what}")]
    File {
        /// Which.
        path: PathBuf,
        /// `opened`, `written`, …
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others may write into the directory.
    #[error("`{path}` may be written by others (mode {mode:o}); run `chmod 700 {path}`")]
    Permissions {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another process has the directory.
    #[error("`{0}` is in use by another process; stop it, or use its control socket")]
    Locked(PathBuf),
    /// The key-encryption key is not 32 bytes.
    #[error(
        "`{0}` does not hold 32 bytes; bring back the file from its backup, the ledger cannot be read without it"
    )]
    Kek(PathBuf),
    /// The database cannot be used.
    #[error("the database cannot be {what}")]
    Database {
        /// `read`, `written`, …
        what: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The address of the database cannot be used.
    #[error("the database URL cannot be used: {0}")]
    Address(String),
    /// A file of passwords that others may read.
    #[error(
        "`{path}` holds passwords and may be read by others (mode {mode:o}); run `chmod 600 {path}`"
    )]
    PassFile {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The database server cannot be used.
    #[error("the database `{database}` cannot be {what}")]
    Server {
        /// Which, without its password.
        database: String,
        /// `reached`, `written`, …
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database server is not one to keep a ledger on.
    #[error("the database `{database}` cannot hold the ledger: {found}")]
    Unfit {
        /// Which, without its password.
        database: String,
        /// What is wrong with it.
        found: String,
    },
    /// Another process writes the database.
    #[error(
        "the database `{0}` has a writer already: stop that Ambit, or give this one a database of its own"
    )]
    Taken(String),
    /// The data directory holds a ledger, and a database elsewhere is asked for.
    #[error(
        "`{0}` holds a ledger of its own (ambit.db); give the ledger on a server a data directory of its own"
    )]
    Within(PathBuf),
    /// The database was made by a newer program.
    #[error(
        "the database has schema version {found}; this program knows up to {known}: use the newer program"
    )]
    Newer {
        /// What it has.
        found: u32,
        /// The newest known here.
        known: u32,
    },
    /// The ledger is broken or does not fit what vouches for it.
    #[error(transparent)]
    Fatal(#[from] ledger::Fatal),
    /// A key does not open what it should.
    #[error(transparent)]
    Seal(#[from] ledger::SealError),
    /// A checkpoint or its key cannot be used.
    #[error("the checkpoint {place} cannot be used: {found}")]
    Checkpoint {
        /// Which.
        place: String,
        /// What is wrong.
        found: String,
    },
    /// A thread cannot be started.
    #[error("a thread of the store cannot be started")]
    Thread(#[source] std::io::Error),
    /// A stored thing cannot be read back.
    #[error("{place} cannot be read: {found}")]
    Damaged {
        /// Which.
        place: String,
        /// What is wrong.
        found: String,
    },
}

/// Names what was done with the database when it failed.
pub(crate) trait During<T> {
    fn during(self, what: &'static str) -> Result<T, StoreError>;
}

impl<T> During<T> for Result<T, rusqlite::Error> {
    fn during(self, what: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Database { what, source })
    }
}

impl StoreError {
    /// The same as an end of the ledger's writer.
    pub(crate) fn fatal(self, what: &'static str, place: &'static str) -> ledger::Fatal {
        match self {
            StoreError::Fatal(fatal) => fatal,
            other => ledger::Fatal::Medium { what, place, source: Box::new(other) },
        }
    }
}
