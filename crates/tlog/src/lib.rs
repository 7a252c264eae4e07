//! A transparency log's arithmetic: RFC 6962 tree, C2SP tiles, checkpoints, signed notes, and a
//! sparse Merkle map. Domain-free: leaves are opaque hashes.
//!
//! Formats, all of them stable:
//!
//! | what | form | defined by |
//! |---|---|---|
//! | leaf hash, node hash | SHA-256 of `00`, leaf; of `01`, left, right | RFC 6962 section 2.1 |
//! | tile, entry bundle | [`Tile`], [`Bundle`] | c2sp.org/tlog-tiles |
//! | checkpoint | [`Checkpoint`] | c2sp.org/tlog-checkpoint |
//! | signed note, verifier key | [`note`] | c2sp.org/signed-note |
//! | right edge of a tree | [`Frontier::to_bytes`], version byte `01` | this crate |
//! | sparse Merkle map and its proofs | [`map`], version byte `01` | this crate |
//!
//! Deliberately absent: IO, clock, randomness (keys come in as bytes, Ed25519 signs
//! deterministically), what a leaf means, witness cosignatures.

mod checkpoint;
mod frontier;
mod hash;
mod limits;
pub mod map;
mod memory;
pub mod note;
mod proof;
mod tile;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use frontier::{Frontier, FrontierError};
pub use hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash};
pub use memory::MemoryTree;
pub use note::{NoteError, NoteSigner, NoteVerifier};
pub use proof::{
    HashReader, ProofError, ReadError, consistency, inclusion, root, verify_consistency,
    verify_inclusion,
};
pub use tile::{Bundle, BundleError, Tile, TileError, TileReader};
