//! The limits of this crate, each with the reason for its number.

/// LIMIT: hashes in a full tile and entries in a full bundle (c2sp.org/tlog-tiles).
pub(crate) const TILE_WIDTH: u64 = 256;

/// LIMIT: tree levels that one tile spans; 2^8 = 256.
pub(crate) const TILE_HEIGHT: u8 = 8;

/// LIMIT: the highest tile level of c2sp.org/tlog-tiles; its one full tile would stand for 2^48
/// leaves.
pub(crate) const TILE_LEVELS: u8 = 5;

/// LIMIT: the longest inclusion or consistency proof of a tree with a 64-bit size.
pub(crate) const PROOF_HASHES: usize = 65;

/// LIMIT: a checkpoint has a few hundred bytes, and each witness adds one line of about 200; a
/// note of more than 64 KiB is none of ours.
pub(crate) const NOTE_BYTES: usize = 64 * 1024;

/// LIMIT: signatures read from one note; c2sp.org/signed-note asks readers for at least 16.
pub(crate) const NOTE_SIGNATURES: usize = 64;

/// LIMIT: the depth of a map with 256-bit keys.
pub(crate) const MAP_DEPTH: usize = 256;
