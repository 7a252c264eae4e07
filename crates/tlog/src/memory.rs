//! A whole tree in memory, for verifiers of exports and for tests.

use crate::frontier::Frontier;
use crate::hash::Hash;
use crate::proof::{HashReader, ReadError, consistency, inclusion};

/// Every hash of every complete subtree; about 64 bytes per leaf.
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    frontier: Frontier,
    levels: Vec<Vec<Hash>>,
}

/// The tree does not have this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {index} of level {level} is not in the tree")]
pub struct NoSuchNode {
    level: u8,
    index: u64,
}

impl MemoryTree {
    /// The tree without leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self { frontier: Frontier::new(), levels: Vec::new() }
    }

    /// Appends a leaf by its [`leaf_hash`](crate::leaf_hash) and returns its index.
    pub fn append(&mut self, leaf: Hash) -> u64 {
        let levels = &mut self.levels;
        self.frontier.append_with(leaf, |level, _, hash| {
            let level = usize::from(level);
            if levels.len() <= level {
                levels.push(Vec::new());
            }
            if let Some(row) = levels.get_mut(level) {
                row.push(*hash);
            }
        })
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root over all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// The right edge.
    #[must_use]
    pub const fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Proves a leaf to be in the tree of all leaves.
    pub fn inclusion(&self, index: u64) -> Result<Vec<Hash>, ReadError<NoSuchNode>> {
        inclusion(self, index, self.size())
    }

    /// Proves the tree of the first `old` leaves to be the beginning of this one.
    pub fn consistency(&self, old: u64) -> Result<Vec<Hash>, ReadError<NoSuchNode>> {
        consistency(self, old, self.size())
    }
}

impl HashReader for MemoryTree {
    type Error = NoSuchNode;

    fn hash(&self, level: u8, index: u64) -> Result<Hash, NoSuchNode> {
        let row = self.levels.get(usize::from(level));
        let at = usize::try_from(index).ok();
        row.zip(at).and_then(|(row, at)| row.get(at)).copied().ok_or(NoSuchNode { level, index })
    }
}

impl Extend<Hash> for MemoryTree {
    fn extend<I: IntoIterator<Item = Hash>>(&mut self, leaves: I) {
        for leaf in leaves {
            self.append(leaf);
        }
    }
}

impl FromIterator<Hash> for MemoryTree {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaves: I) -> Self {
        let mut tree = Self::new();
        tree.extend(leaves);
        tree
    }
}
