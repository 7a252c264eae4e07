//! Signed notes (c2sp.org/signed-note) with Ed25519 keys.
//!
//! A note is text, a blank line, and one line per signature:
//! `— <name> <base64(key id, signature)>`. The key id is the first four bytes of
//! SHA-256(name, `0A`, `01`, public key). A verifier key is written
//! `<name>+<key id, 8 hexadecimal digits>+<base64(01, public key)>`.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash::sha256;
use crate::limits::{NOTE_BYTES, NOTE_SIGNATURES};

/// The algorithm byte of Ed25519 in c2sp.org/signed-note.
const ED25519_KEY: u8 = 0x01;

/// A name and the Ed25519 key that signs under it.
pub struct NoteSigner {
    key: Ed25519KeyPair,
    verifier: NoteVerifier,
}

/// A name and the Ed25519 key that its signatures are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteVerifier {
    name: String,
    id: [u8; 4],
    public: [u8; 32],
}

/// A note of which at least one signature was verified and none of a known key was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenNote {
    text: String,
    signers: Vec<NoteVerifier>,
    unknown: usize,
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name is empty or has white space, a plus sign or a control character.
    #[error("key name is empty or has a space, a `+` or a control character")]
    Name,
    /// Not an Ed25519 private key.
    #[error("private key is not an Ed25519 key in PKCS#8")]
    Private,
    /// Not `name+hash+key`.
    #[error("verifier key is not of the form `name+hash+key`; copy the whole line")]
    Form,
    /// A key of another algorithm.
    #[error("verifier key is of an unknown algorithm; only Ed25519 (01) is known")]
    Algorithm,
    /// The hash belongs to another name or key.
    #[error("verifier key's hash does not fit its name and key; copy the whole line")]
    Id,
}

/// Why a note cannot be signed or believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The text has control characters or does not end with a newline.
    #[error("note text is empty, lacks its last newline, or has a control character")]
    Text,
    /// Too long.
    #[error("note is longer than {NOTE_BYTES} bytes")]
    TooLong,
    /// No blank line followed by signature lines.
    #[error("note is malformed: {0}")]
    Malformed(&'static str),
    /// No signer was given.
    #[error("note has no signer")]
    NoSigner,
    /// The key named is known, and the signature is not by it.
    #[error("signature of `{name}` is wrong; the note was altered")]
    Signature {
        /// The known key's name.
        name: String,
    },
    /// No signature is by a known key.
    #[error("note is signed by none of the known keys")]
    Unverified,
}

impl NoteSigner {
    /// A signer from the 32 bytes of an Ed25519 seed.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        Self::new(name, Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Private)?)
    }

    /// A signer from an Ed25519 private key in PKCS#8 (RFC 8410), version 1 or 2.
    pub fn from_pkcs8(name: &str, pkcs8: &[u8]) -> Result<Self, KeyError> {
        let key =
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(|_| KeyError::Private)?;
        Self::new(name, key)
    }

    /// What checks this signer's signatures.
    #[must_use]
    pub const fn verifier(&self) -> &NoteVerifier {
        &self.verifier
    }

    fn new(name: &str, key: Ed25519KeyPair) -> Result<Self, KeyError> {
        let public = key.public_key().as_ref().try_into().map_err(|_| KeyError::Private)?;
        Ok(Self { key, verifier: NoteVerifier::new(name, public)? })
    }

    fn line(&self, text: &str) -> String {
        let mut signature = self.verifier.id.to_vec();
        signature.extend_from_slice(self.key.sign(text.as_bytes()).as_ref());
        format!("— {} {}\n", self.verifier.name, STANDARD.encode(signature))
    }
}

/// The name and key id only.
impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoteSigner").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

impl NoteVerifier {
    /// A verifier from the 32 bytes of an Ed25519 public key.
    pub fn new(name: &str, public: [u8; 32]) -> Result<Self, KeyError> {
        if !is_key_name(name) {
            return Err(KeyError::Name);
        }
        let [a, b, c, d, ..] = sha256(&[name.as_bytes(), b"\n", &[ED25519_KEY], public.as_slice()]);
        Ok(Self { name: name.to_owned(), id: [a, b, c, d], public })
    }

    /// Reads a verifier key, the form that [`NoteVerifier`] displays as.
    pub fn parse(vkey: &str) -> Result<Self, KeyError> {
        let (name, rest) = vkey.split_once('+').ok_or(KeyError::Form)?;
        let (id, key) = rest.split_once('+').ok_or(KeyError::Form)?;
        let key = STANDARD.decode(key).map_err(|_| KeyError::Form)?;
        let public = match key.split_first() {
            Some((&ED25519_KEY, public)) => public.try_into().map_err(|_| KeyError::Form)?,
            Some(_) => return Err(KeyError::Algorithm),
            None => return Err(KeyError::Form),
        };
        let verifier = Self::new(name, public)?;
        if verifier.hex_id() == id { Ok(verifier) } else { Err(KeyError::Id) }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Ed25519 public key.
    #[must_use]
    pub const fn public_key(&self) -> &[u8; 32] {
        &self.public
    }

    fn hex_id(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.id))
    }

    fn verify(&self, text: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public).verify(text.as_bytes(), signature).is_ok()
    }
}

/// The verifier key: `name+hash+key`.
impl fmt::Display for NoteVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519_KEY];
        key.extend_from_slice(&self.public);
        write!(f, "{}+{}+{}", self.name, self.hex_id(), STANDARD.encode(key))
    }
}

impl OpenNote {
    /// The text that was signed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The known keys that signed it, each once, in the order of their signatures.
    #[must_use]
    pub fn signers(&self) -> &[NoteVerifier] {
        &self.signers
    }

    /// The number of signature lines by keys that are not known.
    #[must_use]
    pub const fn unknown(&self) -> usize {
        self.unknown
    }
}

/// Signs a text, which ends with a newline, and returns the note.
pub fn sign(text: &str, signers: &[&NoteSigner]) -> Result<String, NoteError> {
    if !text.ends_with('\n') || has_control(text) {
        return Err(NoteError::Text);
    }
    if signers.is_empty() {
        return Err(NoteError::NoSigner);
    }
    let lines: String = signers.iter().map(|signer| signer.line(text)).collect();
    let note = format!("{text}\n{lines}");
    if note.len() > NOTE_BYTES { Err(NoteError::TooLong) } else { Ok(note) }
}

/// Opens a note: believed if a known key signed it and no signature of a known key is wrong.
/// Signatures of unknown keys are counted and otherwise ignored.
pub fn open(note: &[u8], known: &[NoteVerifier]) -> Result<OpenNote, NoteError> {
    if note.len() > NOTE_BYTES {
        return Err(NoteError::TooLong);
    }
    let note = std::str::from_utf8(note).map_err(|_| NoteError::Malformed("it is not UTF-8"))?;
    if has_control(note) {
        return Err(NoteError::Malformed("it has a control character"));
    }
    let (text, lines) = split(note)?;
    let mut signers: Vec<NoteVerifier> = Vec::new();
    let mut unknown = 0;
    for (count, line) in lines.split_terminator('\n').enumerate() {
        if count >= NOTE_SIGNATURES {
            return Err(NoteError::Malformed("it has too many signatures"));
        }
        let (name, id, signature) = signature_line(line)
            .ok_or(NoteError::Malformed("a line after the blank line is no signature"))?;
        let mut named = known.iter().filter(|key| key.name == name && key.id == id).peekable();
        if named.peek().is_none() {
            unknown += 1;
            continue;
        }
        let signer = named
            .find(|key| key.verify(text, &signature))
            .ok_or_else(|| NoteError::Signature { name: name.to_owned() })?;
        if !signers.contains(signer) {
            signers.push(signer.clone());
        }
    }
    if signers.is_empty() {
        return Err(NoteError::Unverified);
    }
    Ok(OpenNote { text: text.to_owned(), signers, unknown })
}

/// The text with its newline, and the signature lines with theirs.
fn split(note: &str) -> Result<(&str, &str), NoteError> {
    let blank = note.rfind("\n\n").ok_or(NoteError::Malformed("it has no blank line"))?;
    let (text, rest) = note.split_at_checked(blank + 1).unwrap_or((note, ""));
    let lines = rest.strip_prefix('\n').unwrap_or_default();
    if lines.ends_with('\n') {
        Ok((text, lines))
    } else {
        Err(NoteError::Malformed("it does not end with a signature line"))
    }
}

fn signature_line(line: &str) -> Option<(&str, [u8; 4], Vec<u8>)> {
    let (name, encoded) = line.strip_prefix("— ")?.split_once(' ')?;
    let bytes = STANDARD.decode(encoded).ok()?;
    let (id, signature) = bytes.split_first_chunk()?;
    if signature.is_empty() || !is_key_name(name) {
        return None;
    }
    Some((name, *id, signature.to_vec()))
}

fn is_key_name(name: &str) -> bool {
    let wrong = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    !name.is_empty() && !name.chars().any(wrong)
}

fn has_control(text: &str) -> bool {
    text.bytes().any(|byte| byte < 0x20 && byte != b'\n')
}
