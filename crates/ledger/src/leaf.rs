//! The leaf of the tree, format 1: what is proved about a record without telling anything of it.

use crate::bytes::{Reader, Short};
use model::{Digest, Timestamp, record::RecordKind};

/// The only leaf format so far.
pub const LEAF_VERSION: u8 = 1;

/// Salted commitments to the four parts: SHA-256 of 16 bytes of salt and the part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commitments {
    /// Agent, action, decision, digests.
    pub envelope: Digest,
    /// The human and the chain.
    pub subject: Digest,
    /// The arguments.
    pub arguments: Digest,
    /// The result, or what is kept of it.
    pub result: Digest,
}

/// One leaf. It holds nothing personal and no tree index.
///
/// Bytes, big endian: version (1), kind (1), node (8), sequence (8), time in microseconds (8), the commitments to
/// envelope, subject, arguments and result (32 each), SHA-256 of the sealed boxes beside the tree (32), and for kind
/// `control` alone the root over all control state after it (32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// What kind of record it is.
    pub kind: RecordKind,
    /// Which node wrote it.
    pub node: u64,
    /// Its number in that node's journal, from 0.
    pub sequence: u64,
    /// The record's time.
    pub at: Timestamp,
    /// The commitments.
    pub commitments: Commitments,
    /// SHA-256 of the sealed boxes.
    pub sealed: Digest,
    /// The root over all control state after this record; only for kind `control`.
    pub control_root: Option<Digest>,
}

/// Why bytes are no leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// Another version.
    #[error("leaf has version {0}; this program reads version 1")]
    Version(u8),
    /// An unknown kind.
    #[error("leaf has the unknown kind {0}; it was written by a newer program or is damaged")]
    Kind(u8),
    /// The bytes end within the leaf.
    #[error("leaf is cut short; it is damaged")]
    Truncated,
}

impl From<Short> for LeafError {
    fn from(_: Short) -> LeafError {
        LeafError::Truncated
    }
}

impl Leaf {
    /// Appends the leaf's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[LEAF_VERSION, self.kind.number()]);
        out.extend_from_slice(&self.node.to_be_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.at.0.to_be_bytes());
        let Commitments { envelope, subject, arguments, result } = &self.commitments;
        for digest in [envelope, subject, arguments, result, &self.sealed] {
            out.extend_from_slice(digest.as_bytes());
        }
        if self.kind == RecordKind::Control {
            out.extend_from_slice(self.control_root.unwrap_or_default().as_bytes());
        }
    }

    /// Reads one leaf from the front; gives it with the bytes that it takes.
    pub fn decode(bytes: &[u8]) -> Result<(Leaf, usize), LeafError> {
        let mut reader = Reader(bytes);
        let version = reader.u8()?;
        if version != LEAF_VERSION {
            return Err(LeafError::Version(version));
        }
        let number = reader.u8()?;
        let kind = RecordKind::from_number(number).ok_or(LeafError::Kind(number))?;
        let leaf = Leaf {
            kind,
            node: reader.u64()?,
            sequence: reader.u64()?,
            at: Timestamp(reader.i64()?),
            commitments: Commitments {
                envelope: reader.digest()?,
                subject: reader.digest()?,
                arguments: reader.digest()?,
                result: reader.digest()?,
            },
            sealed: reader.digest()?,
            control_root: if kind == RecordKind::Control { Some(reader.digest()?) } else { None },
        };
        Ok((leaf, bytes.len() - reader.0.len()))
    }

    /// The bytes of a leaf of this kind.
    #[must_use]
    pub fn length(kind: RecordKind) -> usize {
        186 + if kind == RecordKind::Control { 32 } else { 0 }
    }
}
