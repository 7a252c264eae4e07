//! The ledger without a disk: leaves, sealing, conditions, the journal with its writer, and verification.
//!
//! A value that is [`model::record::Recordable`] goes into the [`Journal`], is sealed on the caller's thread, and
//! comes back as [`Durable`] once a [`Medium`] has persisted the batch it went into. What is proved about a record
//! stands in its [`Leaf`], what it says in two sealed boxes beside the tree.
//!
//! Deliberately absent: IO, clocks, randomness (a [`Stamp`] and an [`Entropy`] bring them), async runtimes.
#![deny(missing_docs)]
#![deny(clippy::wildcard_enum_match_arm)]

mod batch;
mod bytes;
mod control;
mod hash;
mod journal;
mod keyring;
mod leaf;
pub mod limits;
mod medium;
mod memory;
mod seal;
mod verify;
pub mod volatile;
mod writer;

pub use batch::{Batch, Row};
pub use control::ControlMap;
pub use hash::{revoked_subject, subject_digest};
pub use journal::{AppendError, Durable, Journal, NotWritten, Pending, Place};
pub use keyring::{
    DataKey, Entropy, Kek, KeyId, Keyring, MacPurpose, Purpose, SealError, WrappedKey,
};
pub use leaf::{Commitments, LEAF_VERSION, Leaf, LeafError};
pub use medium::{Fatal, Medium, Tail};
pub use memory::{Claim, EffectError, Memory, read_effects};
pub use seal::{Disclosed, OpenError, Personal, Stamp, box_keys, disclose, disclose_envelope};
pub use verify::{Finding, Problem, Report, Verifier, entries_of};
pub use writer::Writer;
