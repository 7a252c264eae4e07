//! The disk under the ledger: SQLite or PostgreSQL, the data directory with its keys, state in memory, the index,
//! offline checks.
//!
//! No row type, closure or transaction crosses this crate's front: writes go in as records through
//! [`ledger::Journal`], reads of the flow come from memory, everything searchable from the [`Index`].

mod archive;
mod directory;
mod error;
mod export;
pub mod forgetful;
mod index;
pub mod limits;
mod medium;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(not(feature = "postgres"))]
#[path = "without_postgres.rs"]
mod postgres;
mod record;
mod resume;
mod sqlite;
mod start;
mod vault;
mod verify;
mod view;

pub use archive::Archive;
pub use directory::{holds_ledger, last_database};
pub use error::StoreError;
pub use index::{Filter, Index, Kept, TraceSummary};
pub use postgres::Database;
pub use record::Record;
pub use start::{Options, Store};
pub use vault::SecretFacts;
pub use verify::verify;
pub use view::{OnChange, State};
