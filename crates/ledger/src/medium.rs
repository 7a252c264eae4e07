//! What makes batches durable: the seam between the journal and a disk.

use crate::{batch::Batch, control::ControlMap, memory::Claim};
use model::{Digest, record::Condition};
use tlog::Frontier;

/// Where a journal ends, as its medium found it.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    /// Which node writes here.
    pub node: u64,
    /// The tree's right edge; its size is the next sequence.
    pub frontier: Frontier,
    /// The last row's head; zero before the first.
    pub head: Digest,
    /// The last row's MAC; zero before the first.
    pub mac: Digest,
    /// All control state.
    pub control: ControlMap,
    /// The control revision.
    pub revision: u64,
}

/// The ledger can no longer be trusted or written: admission stops and nothing is retried.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// Reading or writing failed.
    #[error("the {place} of the ledger cannot be {what}; stop, check the disk, then start again")]
    Medium {
        /// `read` or `written` or a longer phrase.
        what: &'static str,
        /// Which part.
        place: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What was read is not what the ledger vouches for.
    #[error(
        "{place} is not what the ledger vouches for: {found}; compare with a backup, run `ambit ledger verify`"
    )]
    Integrity {
        /// Which part.
        place: String,
        /// What is wrong with it.
        found: String,
    },
    /// The medium broke its contract.
    #[error("the medium gave {got} answers for {asked} claims; this is a defect of Ambit")]
    Answers {
        /// How many answers.
        got: usize,
        /// How many claims.
        asked: usize,
    },
    /// A batch does not fit the format.
    #[error("a batch of {0} records does not fit its format; this is a defect of Ambit")]
    Batch(usize),
}

/// Where batches go. Called from one thread.
pub trait Medium: Send {
    /// Finds where the journal ends and takes over what an earlier run left open. Called once, first.
    fn resume(&mut self) -> Result<Tail, Fatal>;

    /// Which claims hold, each after those before it that do. An admitted claim is remembered at once: only a
    /// fatal end can follow without its record being persisted.
    fn check(&mut self, claims: &[Claim<'_>]) -> Result<Vec<Result<(), Condition>>, Fatal>;

    /// Makes row and changes durable together. `Ok` means that they survive a power loss and that readers of the
    /// state see the changes. An error is final: the batch may or may not be there after a restart.
    fn persist(&mut self, batch: &Batch<'_>) -> Result<(), Fatal>;
}
