//! The right edge of a growing tree: all that a writer needs to append and to know the root.

use crate::hash::{EMPTY_ROOT, Hash, node_hash, take_u64, whole_hashes};

/// A tree reduced to the roots of its largest complete subtrees, left to right.
///
/// The tree of `size` leaves has one such subtree per one bit of `size`; appending costs two
/// hashes on average, the root at most 63.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    subtrees: Vec<Hash>,
}

/// Why bytes are no frontier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrontierError {
    /// Another version, or none.
    #[error("frontier has an unknown version; it was written by a newer program or is damaged")]
    Version,
    /// The number of hashes is not the one that the size asks for.
    #[error("frontier does not have one hash per one bit of its size; it is damaged")]
    Length,
}

const VERSION: u8 = 1;

impl Frontier {
    /// The tree without leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, subtrees: Vec::new() }
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf by its [`leaf_hash`](crate::leaf_hash) and returns its index.
    pub fn append(&mut self, leaf: Hash) -> u64 {
        self.append_with(leaf, |_, _, _| {})
    }

    /// Appends a leaf and tells of each node that is complete by it, the leaf (level 0) first:
    /// `complete(level, index, hash)`. Returns the leaf's index.
    pub fn append_with(&mut self, leaf: Hash, mut complete: impl FnMut(u8, u64, &Hash)) -> u64 {
        let index = self.size;
        let mut hash = leaf;
        let mut level = 0;
        complete(level, index, &hash);
        // A one bit of the size is a subtree on the left that this one completes a pair with.
        while index >> level & 1 == 1 {
            let Some(left) = self.subtrees.pop() else { break };
            hash = node_hash(&left, &hash);
            level += 1;
            complete(level, index >> level, &hash);
        }
        self.subtrees.push(hash);
        self.size += 1;
        index
    }

    /// The root over all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut subtrees = self.subtrees.iter().rev();
        match subtrees.next() {
            Some(last) => subtrees.fold(*last, |right, left| node_hash(left, &right)),
            None => EMPTY_ROOT,
        }
    }

    /// The roots of the largest complete subtrees, left to right.
    #[must_use]
    pub fn subtrees(&self) -> &[Hash] {
        &self.subtrees
    }

    /// Version 1: byte `01`, size as eight bytes most significant first, then the subtrees' roots
    /// left to right, 32 bytes each.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(9 + 32 * self.subtrees.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.size.to_be_bytes());
        bytes.extend_from_slice(self.subtrees.as_flattened());
        bytes
    }

    /// Reads [`Frontier::to_bytes`]. The hashes cannot be checked here: compare the root with one
    /// that is vouched for.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FrontierError> {
        let body = bytes.strip_prefix(&[VERSION]).ok_or(FrontierError::Version)?;
        let (size, rest) = take_u64(body).ok_or(FrontierError::Length)?;
        let subtrees = whole_hashes(rest).ok_or(FrontierError::Length)?;
        if u32::try_from(subtrees.len()) != Ok(size.count_ones()) {
            return Err(FrontierError::Length);
        }
        Ok(Self { size, subtrees: subtrees.to_vec() })
    }
}
