//! A sparse Merkle map: one root over a set of keys and values, changed by path.
//!
//! Version 1. Keys are 256 bits and must be spread evenly (hash them); values are 32-byte digests.
//! A subtree without keys has the hash [`EMPTY_ROOT`]; one with a single key is that leaf,
//! SHA-256(`02`, key, value), however high it stands; any other is
//! SHA-256(`03`, left, right), keys going left or right by their bits, the most significant first.
//! So the root depends on the set alone, and a change costs about log2(n) + 1 hashes. Leaves and
//! nodes of this map and of the RFC 6962 tree (`00`, `01`) cannot be taken for one another.

use std::fmt;

use crate::hash::{Hash, sha256, whole_hashes};
use crate::limits::MAP_DEPTH;

/// The root of the map without keys.
pub const EMPTY_ROOT: Hash = [0; 32];

const VERSION: u8 = 1;

/// A map in memory, about 250 bytes per key.
#[derive(Clone, Default)]
pub struct Map {
    root: Link,
    len: usize,
}

type Link = Option<Box<Node>>;

#[derive(Clone)]
enum Node {
    Leaf { key: Hash, value: Hash, hash: Hash },
    Branch { left: Link, right: Link, hash: Hash },
}

/// Proof of a key's value, or of its absence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapProof {
    end: End,
    /// The hashes beside the path, from its end up.
    siblings: Vec<Hash>,
}

/// Where the path of a key ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Empty,
    Leaf { key: Hash, value: Hash },
}

/// Why a map proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapProofError {
    /// Another version, a wrong length, or more siblings than a key has bits.
    #[error("map proof is malformed or of an unknown version")]
    Malformed,
    /// The path ends in a leaf of another key that does not lie on it.
    #[error("map proof ends in a leaf that is not on the key's path")]
    Path,
    /// The hashes lead to another root.
    #[error("map proof leads to another root")]
    Root,
}

impl Map {
    /// The map without keys.
    #[must_use]
    pub const fn new() -> Self {
        Self { root: None, len: 0 }
    }

    /// The root over all keys and values.
    #[must_use]
    pub fn root(&self) -> Hash {
        hash_of(&self.root)
    }

    /// The number of keys.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no key.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &Hash) -> Option<&Hash> {
        let mut link = &self.root;
        for depth in 0..=MAP_DEPTH {
            match link.as_deref()? {
                Node::Leaf { key: present, value, .. } => {
                    return (present == key).then_some(value);
                }
                Node::Branch { left, right, .. } => {
                    link = if bit(key, depth) { right } else { left };
                }
            }
        }
        None
    }

    /// Sets a key's value and returns the one it had.
    pub fn insert(&mut self, key: Hash, value: Hash) -> Option<Hash> {
        let old = put(&mut self.root, 0, &key, &value);
        self.len += usize::from(old.is_none());
        old
    }

    /// Takes a key out and returns its value.
    pub fn remove(&mut self, key: &Hash) -> Option<Hash> {
        let old = take(&mut self.root, 0, key);
        self.len -= usize::from(old.is_some());
        old
    }

    /// Proves the key's value, or that it has none.
    #[must_use]
    pub fn prove(&self, key: &Hash) -> MapProof {
        let mut siblings = Vec::new();
        let mut link = &self.root;
        let mut end = End::Empty;
        for depth in 0..=MAP_DEPTH {
            match link.as_deref() {
                None => break,
                Some(Node::Leaf { key, value, .. }) => {
                    end = End::Leaf { key: *key, value: *value };
                    break;
                }
                Some(Node::Branch { left, right, .. }) => {
                    let (next, beside) =
                        if bit(key, depth) { (right, left) } else { (left, right) };
                    siblings.push(hash_of(beside));
                    link = next;
                }
            }
        }
        siblings.reverse();
        MapProof { end, siblings }
    }
}

/// Builds the map at the cost of one hash per node; of equal keys the last wins.
impl FromIterator<(Hash, Hash)> for Map {
    fn from_iter<I: IntoIterator<Item = (Hash, Hash)>>(entries: I) -> Self {
        let mut entries: Vec<(Hash, Hash)> = entries.into_iter().collect();
        entries.reverse();
        // Stable, so that the last given is the first kept.
        entries.sort_by_key(|(key, _)| *key);
        entries.dedup_by_key(|(key, _)| *key);
        Self { len: entries.len(), root: build(&entries, 0) }
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("root", &self.root()).field("len", &self.len).finish()
    }
}

impl MapProof {
    /// What the proof says of the key under this root: its value, or that it has none.
    pub fn verify(&self, root: &Hash, key: &Hash) -> Result<Option<Hash>, MapProofError> {
        let depth = self.siblings.len();
        if depth > MAP_DEPTH {
            return Err(MapProofError::Malformed);
        }
        let (mut hash, found) = match &self.end {
            End::Empty => (EMPTY_ROOT, None),
            End::Leaf { key: present, value } if present == key => {
                (leaf_hash(key, value), Some(*value))
            }
            End::Leaf { key: present, value } => {
                if !(0..depth).all(|at| bit(present, at) == bit(key, at)) {
                    return Err(MapProofError::Path);
                }
                (leaf_hash(present, value), None)
            }
        };
        for (sibling, depth) in self.siblings.iter().zip((0..depth).rev()) {
            hash = match bit(key, depth) {
                true => branch_hash(sibling, &hash),
                false => branch_hash(&hash, sibling),
            };
        }
        if hash == *root { Ok(found) } else { Err(MapProofError::Root) }
    }

    /// Version 1: byte `01`; byte `00` for a path that ends empty, or byte `01`, key and value of
    /// the leaf it ends in; then the siblings from the end up, 32 bytes each.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        match &self.end {
            End::Empty => bytes.push(0),
            End::Leaf { key, value } => {
                bytes.push(1);
                bytes.extend_from_slice(key);
                bytes.extend_from_slice(value);
            }
        }
        bytes.extend_from_slice(self.siblings.as_flattened());
        bytes
    }

    /// Reads [`MapProof::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MapProofError> {
        let (end, hashes) = match bytes {
            [VERSION, 0, rest @ ..] => (End::Empty, whole_hashes(rest)),
            [VERSION, 1, rest @ ..] => match whole_hashes(rest) {
                Some([key, value, rest @ ..]) => {
                    (End::Leaf { key: *key, value: *value }, Some(rest))
                }
                _ => return Err(MapProofError::Malformed),
            },
            _ => return Err(MapProofError::Malformed),
        };
        let siblings = hashes
            .filter(|hashes| hashes.len() <= MAP_DEPTH)
            .ok_or(MapProofError::Malformed)?
            .to_vec();
        Ok(Self { end, siblings })
    }
}

fn put(link: &mut Link, depth: usize, key: &Hash, value: &Hash) -> Option<Hash> {
    match link.as_deref_mut() {
        None => {
            *link = Some(leaf(key, value));
            None
        }
        Some(Node::Leaf { key: present, value: old, hash }) if present == key => {
            *hash = leaf_hash(key, value);
            Some(std::mem::replace(old, *value))
        }
        Some(Node::Leaf { key: present, .. }) => {
            // The leaf that stands here moves down one level, as often as both go the same way.
            let right = bit(present, depth);
            let moved = link.take();
            let (left, right) = if right { (None, moved) } else { (moved, None) };
            *link = Some(Box::new(Node::Branch { left, right, hash: EMPTY_ROOT }));
            put(link, depth, key, value)
        }
        Some(Node::Branch { left, right, hash }) => {
            let side = if bit(key, depth) { &mut *right } else { &mut *left };
            let old = put(side, depth + 1, key, value);
            *hash = branch_hash(&hash_of(left), &hash_of(right));
            old
        }
    }
}

fn take(link: &mut Link, depth: usize, key: &Hash) -> Option<Hash> {
    match link.as_deref_mut()? {
        Node::Leaf { key: present, value, .. } => {
            if present != key {
                return None;
            }
            let old = *value;
            *link = None;
            Some(old)
        }
        Node::Branch { left, right, hash } => {
            let side = if bit(key, depth) { &mut *right } else { &mut *left };
            let old = take(side, depth + 1, key)?;
            let lone = match (left.as_deref(), right.as_deref()) {
                (Some(Node::Leaf { .. }), None) => Some(left.take()),
                (None, Some(Node::Leaf { .. })) => Some(right.take()),
                _ => None,
            };
            match lone {
                Some(leaf) => *link = leaf,
                None => *hash = branch_hash(&hash_of(left), &hash_of(right)),
            }
            Some(old)
        }
    }
}

/// The subtree over entries that are sorted, distinct and alike in their first `depth` bits.
fn build(entries: &[(Hash, Hash)], depth: usize) -> Link {
    match entries {
        [] => None,
        [(key, value)] => Some(leaf(key, value)),
        _ => {
            let middle = entries.partition_point(|(key, _)| !bit(key, depth));
            let (left, right) = entries.split_at_checked(middle)?;
            let (left, right) = (build(left, depth + 1), build(right, depth + 1));
            let hash = branch_hash(&hash_of(&left), &hash_of(&right));
            Some(Box::new(Node::Branch { left, right, hash }))
        }
    }
}

fn leaf(key: &Hash, value: &Hash) -> Box<Node> {
    Box::new(Node::Leaf { key: *key, value: *value, hash: leaf_hash(key, value) })
}

fn hash_of(link: &Link) -> Hash {
    match link.as_deref() {
        None => EMPTY_ROOT,
        Some(Node::Leaf { hash, .. } | Node::Branch { hash, .. }) => *hash,
    }
}

fn leaf_hash(key: &Hash, value: &Hash) -> Hash {
    sha256(&[&[0x02], key, value])
}

fn branch_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[0x03], left, right])
}

/// Bit `at` of a key, the most significant first.
fn bit(key: &Hash, at: usize) -> bool {
    key.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1)
}
