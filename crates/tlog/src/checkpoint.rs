//! The text that a log signs (c2sp.org/tlog-checkpoint).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash::Hash;

/// A log's name, its size and the root over all its leaves.
///
/// The body is three lines: origin, size in decimal, root in base64. Lines after them are
/// extensions, which are kept but mean nothing here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
    extensions: Vec<String>,
}

/// Why a text is no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The origin is empty or has a control character.
    #[error("checkpoint has no origin; the first line names the log")]
    Origin,
    /// The size is not a decimal number without leading zeros.
    #[error("checkpoint has no size; the second line is a decimal number")]
    Size,
    /// The root is not 32 bytes of base64.
    #[error("checkpoint has no root; the third line is 32 bytes in base64")]
    Root,
    /// An empty extension line, or no newline at the end.
    #[error("checkpoint has an empty line or does not end with a newline")]
    Lines,
}

impl Checkpoint {
    /// A checkpoint without extensions. The origin is one line of printable text.
    pub fn new(origin: impl Into<String>, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        let origin = origin.into();
        if origin.is_empty() || origin.chars().any(char::is_control) {
            return Err(CheckpointError::Origin);
        }
        Ok(Self { origin, size, root, extensions: Vec::new() })
    }

    /// Reads the body of a checkpoint: the text of its note.
    pub fn parse(body: &str) -> Result<Self, CheckpointError> {
        let mut lines = body.strip_suffix('\n').ok_or(CheckpointError::Lines)?.split('\n');
        let origin = lines.next().unwrap_or_default();
        let size = lines.next().and_then(decimal).ok_or(CheckpointError::Size)?;
        let root = lines.next().and_then(root_of).ok_or(CheckpointError::Root)?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(CheckpointError::Lines);
        }
        Ok(Self { extensions, ..Self::new(origin, size, root)? })
    }

    /// The log's name.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root over all leaves.
    #[must_use]
    pub const fn root(&self) -> &Hash {
        &self.root
    }

    /// The lines after the root.
    #[must_use]
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

/// The body: what [`Checkpoint::parse`] reads and a note signs.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, STANDARD.encode(self.root))?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn root_of(line: &str) -> Option<Hash> {
    STANDARD.decode(line).ok()?.try_into().ok()
}

/// A number as it would be printed.
pub(crate) fn decimal(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0'));
    if plain { digits.parse().ok() } else { None }
}
