//! Sealing: salted commitments to a record's parts, and the two encrypted boxes beside the tree, format 1.

use crate::{
    bytes::{Reader, Short, put_block},
    hash::sha256,
    keyring::{DataKey, KeyId, Keyring, SealError, expand},
    leaf::{Commitments, Leaf},
};
use aws_lc_rs::{
    aead::{Aad, Nonce},
    hkdf,
};
use model::{
    Digest, Timestamp,
    record::{KeyScope, Parts, RecordKind},
};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The only format of boxes so far.
const BOX_VERSION: u8 = 1;
const SALT: usize = 16;

/// A record's time and the randomness it needs; salts and nonces are derived from the seed.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// The record's time.
    pub now: Timestamp,
    /// 32 random bytes, drawn for this record alone.
    pub seed: [u8; 32],
}

/// A sealed record that has no sequence yet.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) kind: RecordKind,
    pub(crate) at: Timestamp,
    pub(crate) commitments: Commitments,
    /// Bytes: version (1), envelope box, personal box; a box is key id (16), length (4), nonce
    /// (12), ciphertext, tag (16).
    pub(crate) boxes: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) keys: [Arc<DataKey>; 2],
}

/// What a record says, as far as its keys are still there. The parts are checked against the leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disclosed {
    /// Agent, action, decision, digests; `None` if its key was erased.
    pub envelope: Option<Vec<u8>>,
    /// The personal parts; `None` if their key was erased.
    pub personal: Option<Personal>,
}

/// The personal parts of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Personal {
    /// The human and the chain.
    pub subject: Vec<u8>,
    /// The arguments.
    pub arguments: Vec<u8>,
    /// The result, or what is kept of it.
    pub result: Vec<u8>,
}

/// Why sealed boxes do not belong to their leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The ciphertext is not the one that the leaf names.
    #[error("the sealed parts are not those that the leaf names; they were altered")]
    Altered,
    /// The boxes have another version or are cut short.
    #[error("the sealed parts are not of version 1 or are cut short")]
    Format,
    /// The key does not open the box.
    #[error("the {0} box does not open with its key")]
    Key(&'static str),
    /// A part is not the one that the leaf commits to.
    #[error("the {0} is not the one that the leaf commits to")]
    Commitment(&'static str),
}

impl From<Short> for OpenError {
    fn from(_: Short) -> OpenError {
        OpenError::Format
    }
}

/// Commits to the parts and encrypts them.
pub(crate) fn seal(
    keyring: &Keyring,
    node: u64,
    kind: RecordKind,
    scope: &KeyScope,
    parts: &Parts,
    stamp: &Stamp,
) -> Result<Sealed, SealError> {
    let at = stamp.now;
    let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &stamp.seed);
    let derived = expand::<88>(&prk, b"ambit-record-v1")?;
    let mut derived = Reader(derived.as_slice());
    let mut salt = || derived.array::<SALT>().map_err(|_| SealError::Library);
    let salts = [salt()?, salt()?, salt()?, salt()?];
    let nonces = [
        derived.array::<12>().map_err(|_| SealError::Library)?,
        derived.array::<12>().map_err(|_| SealError::Library)?,
    ];
    let [envelope, subject, arguments, result] = &salts;
    let commitments = Commitments {
        envelope: sha256(&[envelope, &parts.envelope]),
        subject: sha256(&[subject, &parts.subject]),
        arguments: sha256(&[arguments, &parts.arguments]),
        result: sha256(&[result, &parts.result]),
    };
    let nobody = KeyScope { tenant: scope.tenant.clone(), human: String::new() };
    let keys = [keyring.key(&nobody, at)?, keyring.key(scope, at)?];
    let [open_key, personal_key] = &keys;
    let [open_nonce, personal_nonce] = nonces;

    let personal = parts.subject.len() + parts.arguments.len() + parts.result.len();
    let mut boxes = Vec::with_capacity(1 + 2 * 48 + SALT + 60 + parts.envelope.len() + personal);
    boxes.push(BOX_VERSION);
    put_box(&mut boxes, open_key, open_nonce, &aad(b'e', node, kind, at), |out| {
        out.extend_from_slice(envelope);
        out.extend_from_slice(&parts.envelope);
    })?;
    put_box(&mut boxes, personal_key, personal_nonce, &aad(b'p', node, kind, at), |out| {
        let parts = [&parts.subject, &parts.arguments, &parts.result];
        for (salt, part) in [subject, arguments, result].into_iter().zip(parts) {
            out.extend_from_slice(salt);
            put_block(out, part);
        }
    })?;
    let digest = sha256(&[&boxes]);
    Ok(Sealed { kind, at, commitments, boxes, digest, keys })
}

/// Opens a record's boxes and checks each part against the leaf. `find` gives the data key of an id, or `None` if it
/// was erased.
pub fn disclose(
    leaf: &Leaf,
    boxes: &[u8],
    mut find: impl FnMut(&KeyId) -> Option<Arc<DataKey>>,
) -> Result<Disclosed, OpenError> {
    if sha256(&[boxes]) != leaf.sealed {
        return Err(OpenError::Altered);
    }
    let mut reader = Reader(boxes);
    if reader.u8()? != BOX_VERSION {
        return Err(OpenError::Format);
    }
    let open = take_box(&mut reader, leaf, b'e', "envelope", &mut find)?;
    let personal = take_box(&mut reader, leaf, b'p', "personal", &mut find)?;
    if !reader.is_empty() {
        return Err(OpenError::Format);
    }
    let commitments = &leaf.commitments;
    let envelope = open.map(|plain| envelope_of(&plain, leaf));
    let personal = personal.map(|plain| -> Result<Personal, OpenError> {
        let mut reader = Reader(plain.as_slice());
        let mut part = |commitment: &Digest, what: &'static str| {
            let salt = reader.slice(SALT)?;
            let part = reader.block()?;
            committed(salt, part, commitment, what)
        };
        Ok(Personal {
            subject: part(&commitments.subject, "subject")?,
            arguments: part(&commitments.arguments, "arguments")?,
            result: part(&commitments.result, "result")?,
        })
    });
    Ok(Disclosed { envelope: envelope.transpose()?, personal: personal.transpose()? })
}

/// Opens a record's envelope alone and checks it against the leaf; `None` if its key was erased. For what only searches:
/// the personal box is neither opened nor looked at.
pub fn disclose_envelope(
    leaf: &Leaf,
    boxes: &[u8],
    find: impl FnMut(&KeyId) -> Option<Arc<DataKey>>,
) -> Result<Option<Vec<u8>>, OpenError> {
    let mut reader = Reader(boxes);
    if reader.u8()? != BOX_VERSION {
        return Err(OpenError::Format);
    }
    let open = take_box(&mut reader, leaf, b'e', "envelope", find)?;
    open.map(|plain| envelope_of(&plain, leaf)).transpose()
}

fn envelope_of(plain: &[u8], leaf: &Leaf) -> Result<Vec<u8>, OpenError> {
    let (salt, part) = plain.split_at_checked(SALT).ok_or(OpenError::Format)?;
    committed(salt, part, &leaf.commitments.envelope, "envelope")
}

/// The ids of the data keys that a record's boxes lie under: envelope, personal.
pub fn box_keys(boxes: &[u8]) -> Result<[KeyId; 2], OpenError> {
    let mut reader = Reader(boxes);
    if reader.u8()? != BOX_VERSION {
        return Err(OpenError::Format);
    }
    let envelope = reader.array()?;
    reader.block()?;
    Ok([envelope, reader.array()?])
}

fn committed(
    salt: &[u8],
    part: &[u8],
    commitment: &Digest,
    what: &'static str,
) -> Result<Vec<u8>, OpenError> {
    if sha256(&[salt, part]) == *commitment {
        Ok(part.to_vec())
    } else {
        Err(OpenError::Commitment(what))
    }
}

fn put_box(
    boxes: &mut Vec<u8>,
    key: &DataKey,
    nonce: [u8; 12],
    aad: &[u8],
    fill: impl FnOnce(&mut Vec<u8>),
) -> Result<(), SealError> {
    boxes.extend_from_slice(key.id());
    let length_at = boxes.len();
    boxes.extend_from_slice(&[0; 4]);
    boxes.extend_from_slice(&nonce);
    let start = boxes.len();
    fill(boxes);
    let length = nonce.len() + boxes.len() - start + 16;
    let (head, plain) = boxes.split_at_mut_checked(start).ok_or(SealError::Library)?;
    let tag = key
        .cipher()
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), plain)
        .map_err(|_| SealError::Library)?;
    let length = u32::try_from(length).map_err(|_| SealError::Library)?;
    let place = head.get_mut(length_at..length_at + 4).ok_or(SealError::Library)?;
    place.copy_from_slice(&length.to_be_bytes());
    boxes.extend_from_slice(tag.as_ref());
    Ok(())
}

fn take_box(
    reader: &mut Reader<'_>,
    leaf: &Leaf,
    which: u8,
    name: &'static str,
    mut find: impl FnMut(&KeyId) -> Option<Arc<DataKey>>,
) -> Result<Option<Zeroizing<Vec<u8>>>, OpenError> {
    let id = reader.array()?;
    let sealed = reader.block()?;
    let Some(key) = find(&id) else { return Ok(None) };
    // The nonce is derived from the record's seed, which is gone: it stands before the ciphertext.
    let (nonce, sealed) = sealed.split_first_chunk::<12>().ok_or(OpenError::Format)?;
    let mut plain = Zeroizing::new(sealed.to_vec());
    let aad = aad(which, leaf.node, leaf.kind, leaf.at);
    let length = key
        .cipher()
        .open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(aad.as_slice()),
            plain.as_mut_slice(),
        )
        .map_err(|_| OpenError::Key(name))?
        .len();
    plain.truncate(length);
    Ok(Some(plain))
}

/// Binds a box to its place: which box, node, kind and time of the record.
fn aad(which: u8, node: u64, kind: RecordKind, at: Timestamp) -> Vec<u8> {
    let mut aad = Vec::with_capacity(32);
    aad.extend_from_slice(b"ambit-box-v1");
    aad.extend_from_slice(&[which, kind.number()]);
    aad.extend_from_slice(&node.to_be_bytes());
    aad.extend_from_slice(&at.0.to_be_bytes());
    aad
}
