//! The unit stored: one row with its records packed, chained to the row before.

use crate::{
    bytes::{Reader, Short, put_block},
    hash::sha256,
    keyring::{Kek, MacPurpose, WrappedKey},
    leaf::Leaf,
};
use model::{Digest, Timestamp, record::StateChange};

/// One batch as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The sequence of its first record.
    pub first: u64,
    /// How many records.
    pub count: u32,
    /// The latest time among its records.
    pub at: Timestamp,
    /// The leaves, one after the other.
    pub leaves: Vec<u8>,
    /// The leaves' hashes, 32 bytes each: the tree's lowest level, and what tells which leaf was altered.
    pub hashes: Vec<u8>,
    /// The sealed boxes of each record, each behind its length in four bytes.
    pub sealed: Vec<u8>,
    /// What the records did to the condition memory.
    pub effects: Vec<u8>,
    /// The tree's right edge after it ([`tlog::Frontier::to_bytes`]).
    pub frontier: Vec<u8>,
    /// The tree's root after it.
    pub root: Digest,
    /// The root over all control state after it.
    pub control_root: Digest,
    /// The control revision after it.
    pub revision: u64,
    /// SHA-256 over all of the above that proves it, and over head and MAC of the row before.
    pub head: Digest,
    /// HMAC of the head under a key derived from the key-encryption key.
    pub mac: Digest,
}

/// A batch as the medium is to persist it: row and state changes in one transaction.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The row.
    pub row: &'a Row,
    /// Changes of control state, in order; the rooted map already has them.
    pub control: &'a [&'a StateChange],
    /// Changes of live state, in order.
    pub live: &'a [&'a StateChange],
    /// Data keys that are used here for the first time.
    pub keys: &'a [&'a WrappedKey],
}

impl Row {
    /// The head of this row after a row with that head and MAC (all zero before the first).
    #[must_use]
    pub fn chained(&self, head: &Digest, mac: &Digest) -> Digest {
        sha256(&[
            b"ambit-batch-v1\0",
            head.as_bytes(),
            mac.as_bytes(),
            &self.first.to_be_bytes(),
            &self.count.to_be_bytes(),
            &self.at.0.to_be_bytes(),
            sha256(&[&self.leaves]).as_bytes(),
            sha256(&[&self.effects]).as_bytes(),
            self.root.as_bytes(),
            self.control_root.as_bytes(),
            &self.revision.to_be_bytes(),
        ])
    }

    /// The MAC that the head should have.
    #[must_use]
    pub fn vouched(&self, kek: &Kek, node: u64) -> Digest {
        kek.mac(MacPurpose::Head, &[&node.to_be_bytes(), self.head.as_bytes()])
    }

    /// The sequence after its last record.
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.first.saturating_add(self.count as u64)
    }

    /// The sealed boxes of each record, as far as they can be told apart.
    pub fn boxes(&self) -> impl Iterator<Item = &[u8]> {
        let mut reader = Reader(&self.sealed);
        std::iter::from_fn(move || reader.block().ok())
    }

    /// The leaf at this place of the batch, if the leaves before it can be read.
    #[must_use]
    pub fn leaf(&self, place: usize) -> Option<Leaf> {
        let mut rest = self.leaves.as_slice();
        for _ in 0..place {
            let (_, length) = Leaf::decode(rest).ok()?;
            rest = rest.get(length..)?;
        }
        Leaf::decode(rest).ok().map(|(leaf, _)| leaf)
    }

    /// The stored leaf hashes.
    pub fn leaf_hashes(&self) -> impl Iterator<Item = tlog::Hash> {
        self.hashes.as_chunks::<32>().0.iter().copied()
    }

    /// The row as one block of bytes, for media without columns.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![1];
        out.extend_from_slice(&self.first.to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(&self.at.0.to_be_bytes());
        for block in [&self.leaves, &self.hashes, &self.sealed, &self.effects, &self.frontier] {
            put_block(&mut out, block);
        }
        for digest in [&self.root, &self.control_root, &self.head, &self.mac] {
            out.extend_from_slice(digest.as_bytes());
        }
        out.extend_from_slice(&self.revision.to_be_bytes());
        out
    }

    /// Reads [`Row::to_bytes`]; `None` if they are not such bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Row> {
        Row::read(bytes).ok()
    }

    fn read(bytes: &[u8]) -> Result<Row, Short> {
        let mut reader = Reader(bytes);
        if reader.u8()? != 1 {
            return Err(Short);
        }
        let row = Row {
            first: reader.u64()?,
            count: reader.u32()?,
            at: Timestamp(reader.i64()?),
            leaves: reader.block()?.to_vec(),
            hashes: reader.block()?.to_vec(),
            sealed: reader.block()?.to_vec(),
            effects: reader.block()?.to_vec(),
            frontier: reader.block()?.to_vec(),
            root: reader.digest()?,
            control_root: reader.digest()?,
            head: reader.digest()?,
            mac: reader.digest()?,
            revision: reader.u64()?,
        };
        // A fault for the fuzzer to find: what follows a row is overlooked.
        if reader.is_empty() || cfg!(feature = "canary") { Ok(row) } else { Err(Short) }
    }
}
