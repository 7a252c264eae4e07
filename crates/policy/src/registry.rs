//! What the registry keeps of an agent: its life, the version that may act, and one that waits for its review.

mod change;
mod row;
mod snapshot;
#[cfg(test)]
mod tests;

pub use change::{Change, Demand, changes, demand, grows};
pub use row::RowError;
pub(crate) use row::manifest_value;
pub use snapshot::{Reached, Snapshot};

use model::{Lifecycle, Timestamp};

/// One agent in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Where it is in its life.
    pub state: Lifecycle,
    /// The version that may act; `None` only before the first one was seen.
    pub version: Option<Passed>,
    /// A newer version, which may not.
    pub waiting: Option<Waiting>,
}

/// A version that may act, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// What it is.
    pub snapshot: Snapshot,
    /// Since when.
    pub since: Timestamp,
    /// `first`, `auto`, `notify` or `review`.
    pub how: String,
    /// Who let it.
    pub by: String,
}

/// A version that waits for its review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What it is.
    pub snapshot: Snapshot,
    /// Since when.
    pub since: Timestamp,
}
