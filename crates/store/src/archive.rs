//! What the store needs of a disk beside writing batches: reading them back, and a few named things.

use crate::error::StoreError;
use ledger::{KeyId, Row, WrappedKey};
use std::path::Path;

/// Reads while the medium writes. Every method may be called from any thread.
pub trait Archive: Send + Sync {
    /// Batches that hold records from sequence `from` on, at most `limit`, in order.
    fn rows(&self, from: u64, limit: usize) -> Result<Vec<Row>, StoreError>;
    /// A wrapped data key; `None` if it was erased.
    fn data_key(&self, id: &KeyId) -> Result<Option<WrappedKey>, StoreError>;
    /// A named sealed value.
    fn named(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Sets a named sealed value, durable when it returns.
    fn put_named(&self, name: &str, sealed: &[u8]) -> Result<(), StoreError>;
    /// The checkpoint kept outside the database.
    fn kept(&self) -> Result<Option<String>, StoreError>;
    /// Keeps a checkpoint outside the database, durable when it returns.
    fn keep(&self, note: &str) -> Result<(), StoreError>;
    /// Copies everything into a new file as of one moment; gives how many records it has.
    fn copy(&self, file: &Path) -> Result<u64, StoreError>;
    /// Bounds what lies beside the database; called about once per second.
    fn tidy(&self) -> Result<(), StoreError>;
    /// An error is why the writer can write no more, learnt while it has nothing to write; called about once per
    /// second.
    fn lost(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// What a start reads, once.
pub(crate) trait Stored {
    /// The last batch.
    fn last(&self) -> Result<Option<Row>, StoreError>;
    /// The last batch that begins before this sequence.
    fn row_before(&self, sequence: u64) -> Result<Option<Row>, StoreError>;
    /// Batches that begin at this sequence or later, at most `limit`, in order.
    fn rows_from(&self, first: u64, limit: usize) -> Result<Vec<Row>, StoreError>;
    /// The snapshot of the condition memory, if there is one.
    fn snapshot(&self) -> Result<Option<Snapshot>, StoreError>;
    /// The rows of control state.
    fn control(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError>;
    /// The sealed rows of live state.
    fn live(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError>;
}

/// The condition memory after the records before `next`.
pub(crate) struct Snapshot {
    pub(crate) next: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) mac: Vec<u8>,
}

/// [`Archive::rows`]: the batch that holds `from` and those after it.
pub(crate) fn rows_holding(
    stored: &dyn Stored,
    from: u64,
    limit: usize,
) -> Result<Vec<Row>, StoreError> {
    let holds = stored.row_before(from.saturating_add(1))?.filter(|row| row.next() > from);
    stored.rows_from(holds.map_or(from, |row| row.first), limit)
}

/// The node's number as it is stored.
pub(crate) fn read_node(bytes: &[u8]) -> Result<u64, StoreError> {
    <[u8; 8]>::try_from(bytes).map(u64::from_be_bytes).map_err(|_| StoreError::Damaged {
        place: "the node's number".into(),
        found: "it is not eight bytes".into(),
    })
}

/// Sequences stay far below 2^63; what is beyond it compares as the largest.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A negative number was not written by this program; it reads as the largest, which fits no chain.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
