//! Inclusion and consistency proofs (RFC 6962 section 2.1), made from stored hashes and checked.

use crate::hash::{EMPTY_ROOT, Hash, node_hash};
use crate::limits::PROOF_HASHES;

/// Where the hashes of complete subtrees come from.
pub trait HashReader {
    /// Why a hash could not be read.
    type Error;

    /// The hash of the complete subtree over the leaves `index * 2^level` up to
    /// `(index + 1) * 2^level`. Asked only for subtrees that lie within the tree's size.
    fn hash(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

impl<R: HashReader + ?Sized> HashReader for &R {
    type Error = R::Error;

    fn hash(&self, level: u8, index: u64) -> Result<Hash, R::Error> {
        (**self).hash(level, index)
    }
}

/// Why a proof could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError<E> {
    /// The leaf or the older tree is not part of the tree.
    #[error("{asked} is not within a tree of {size} leaves")]
    Range {
        /// The leaf's index, or the older size.
        asked: u64,
        /// The tree's size.
        size: u64,
    },
    /// A hash could not be read.
    #[error("a hash of the tree cannot be read")]
    Reader(#[source] E),
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf or the older tree would not be part of the tree.
    #[error("{asked} is not within a tree of {size} leaves")]
    Range {
        /// The leaf's index, or the older size.
        asked: u64,
        /// The tree's size.
        size: u64,
    },
    /// Too few or too many hashes for the sizes.
    #[error("proof has the wrong number of hashes")]
    Length,
    /// The hashes lead to another root.
    #[error("proof leads to another root")]
    Root,
    /// The hashes lead to another root of the older tree.
    #[error("proof leads to another root of the older tree")]
    OldRoot,
}

/// The root of the first `size` leaves.
pub fn root<R: HashReader>(reader: &R, size: u64) -> Result<Hash, R::Error> {
    if size == 0 { Ok(EMPTY_ROOT) } else { subtree(reader, 0, size) }
}

/// The hashes that prove leaf `index` to be in the tree of `size` leaves, from the leaf up.
pub fn inclusion<R: HashReader>(
    reader: &R,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, ReadError<R::Error>> {
    if index >= size {
        return Err(ReadError::Range { asked: index, size });
    }
    let mut siblings = Vec::new();
    let (mut low, mut high) = (0, size);
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            siblings.push((middle, high));
            high = middle;
        } else {
            siblings.push((low, middle));
            low = middle;
        }
    }
    read_all(reader, siblings)
}

/// The hashes that prove the tree of `old` leaves to be the beginning of the tree of `new` ones.
pub fn consistency<R: HashReader>(
    reader: &R,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, ReadError<R::Error>> {
    if old > new {
        return Err(ReadError::Range { asked: old, size: new });
    }
    let mut siblings = Vec::new();
    let (mut low, mut high) = (0, new);
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    while high != old {
        let middle = low + split(high - low);
        if old <= middle {
            siblings.push((middle, high));
            high = middle;
        } else {
            siblings.push((low, middle));
            low = middle;
        }
    }
    // Where the old tree is one complete subtree from the left, its root is known already.
    if low > 0 {
        siblings.push((low, high));
    }
    read_all(reader, siblings)
}

/// Checks that the leaf with this hash is at `index` in the tree of `size` leaves with this root
/// (RFC 9162 section 2.1.3.2).
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Range { asked: index, size });
    }
    if proof.len() > PROOF_HASHES {
        return Err(ProofError::Length);
    }
    let (mut at, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            // At the right edge the levels without a sibling are passed over.
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    match last {
        0 if hash == *root => Ok(()),
        0 => Err(ProofError::Root),
        _ => Err(ProofError::Length),
    }
}

/// Checks that the tree of `old` leaves with `old_root` is the beginning of the tree of `new`
/// leaves with `new_root` (RFC 9162 section 2.1.4.2).
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Range { asked: old, size: new });
    }
    if old == new || old == 0 {
        return verify_trivial(old, old_root, new, new_root, proof);
    }
    if proof.len() > PROOF_HASHES {
        return Err(ProofError::Length);
    }
    // A complete old tree is its own first hash; else the proof brings it.
    let (first, rest) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        proof.split_first().ok_or(ProofError::Length)?
    };
    let skipped = (old - 1).trailing_ones();
    let (mut at, mut last) = ((old - 1) >> skipped, (new - 1) >> skipped);
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if at & 1 == 1 || at == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    match last {
        0 if old_hash != *old_root => Err(ProofError::OldRoot),
        0 if new_hash != *new_root => Err(ProofError::Root),
        0 => Ok(()),
        _ => Err(ProofError::Length),
    }
}

/// Equal trees, or an empty old one: nothing to prove, but the roots must be right.
fn verify_trivial(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if !proof.is_empty() {
        Err(ProofError::Length)
    } else if old == 0 && *old_root != EMPTY_ROOT {
        Err(ProofError::OldRoot)
    } else if old == new && old_root != new_root {
        Err(ProofError::Root)
    } else {
        Ok(())
    }
}

/// The largest power of two below `count`, which is at least 2.
const fn split(count: u64) -> u64 {
    1 << (u64::BITS - 1 - (count - 1).leading_zeros())
}

fn read_all<R: HashReader>(
    reader: &R,
    top_down: Vec<(u64, u64)>,
) -> Result<Vec<Hash>, ReadError<R::Error>> {
    top_down
        .into_iter()
        .rev()
        .map(|(low, high)| subtree(reader, low, high).map_err(ReadError::Reader))
        .collect()
}

/// The hash over the leaves `low..high`, `low` being a multiple of the next power of two.
/// Recursion ends within 64 levels.
fn subtree<R: HashReader>(reader: &R, low: u64, high: u64) -> Result<Hash, R::Error> {
    let count = high - low;
    if count.is_power_of_two() {
        let level = count.trailing_zeros();
        return reader.hash(u8::try_from(level).unwrap_or(u8::MAX), low >> level);
    }
    let middle = low + split(count);
    let left = subtree(reader, low, middle)?;
    let right = subtree(reader, middle, high)?;
    Ok(node_hash(&left, &right))
}
