//! Why and where a text is refused.

use std::fmt;

use crate::NameError;
use crate::limits::NAME_SHOWN;

/// Why a text is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// A member name occurs twice in one object.
    DuplicateName(String),
    /// Two member names of one object differ only in case.
    CaseFoldedName {
        /// The later name.
        added: String,
        /// The earlier one.
        present: String,
    },
    /// The number as written is not what a double-based reader makes of it.
    NumberNotExact,
    /// A whole number beyond 2^53 - 1.
    IntegerTooLarge,
    /// More containers are open than the limit allows.
    TooDeep {
        /// The containers allowed.
        limit: usize,
    },
    /// More bytes than the limit allows.
    TooLarge {
        /// The bytes allowed.
        limit: usize,
    },
    /// More values than the limit allows.
    TooManyValues {
        /// The values allowed.
        limit: usize,
    },
    /// Not UTF-8.
    NotUtf8,
    /// An escape names half of a surrogate pair.
    LoneSurrogate,
    /// A code point that Unicode reserves, such as U+FFFE (RFC 7493 section 2.1).
    Noncharacter,
    /// Not JSON; what was expected.
    Syntax(&'static str),
    /// Something other than white space follows the value.
    TrailingData,
}

impl Reason {
    pub(super) fn of_names(error: NameError) -> Self {
        match error {
            NameError::Duplicate(name) => Self::DuplicateName(name),
            NameError::CaseFolded { added, present } => Self::CaseFoldedName { added, present },
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateName(name) => {
                write!(f, "member `{}` occurs twice; keep one", shown(name))
            }
            Self::CaseFoldedName { added, present } => write!(
                f,
                "members `{}` and `{}` differ only in case; keep one",
                shown(present),
                shown(added)
            ),
            Self::NumberNotExact => {
                f.write_str("number does not survive a double; round it or send it as a string")
            }
            Self::IntegerTooLarge => {
                f.write_str("whole number beyond 2^53 - 1; send it as a string")
            }
            Self::TooDeep { limit } => write!(f, "nested deeper than {limit}; flatten it"),
            Self::TooLarge { limit } => write!(f, "longer than {limit} bytes; send less"),
            Self::TooManyValues { limit } => write!(f, "more than {limit} values; send fewer"),
            Self::NotUtf8 => f.write_str("not UTF-8; encode the text as UTF-8"),
            Self::LoneSurrogate => {
                f.write_str("half of a surrogate pair; send both halves or neither")
            }
            Self::Noncharacter => f.write_str("reserved code point (noncharacter); remove it"),
            Self::Syntax(expected) => write!(f, "expected {expected}"),
            Self::TrailingData => f.write_str("data after the value; send one value"),
        }
    }
}

/// A name cut short and with its control characters escaped.
fn shown(name: &str) -> String {
    name.chars().take(NAME_SHOWN).flat_map(char::escape_debug).collect()
}

/// A refused text: why, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct ParseError {
    offset: usize,
    line: usize,
    column: usize,
    reason: Reason,
}

impl ParseError {
    /// Bytes before the offending place.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// The line of the offending place, from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.line
    }

    /// The column of the offending place in characters, from 1.
    #[must_use]
    pub const fn column(&self) -> usize {
        self.column
    }

    /// Why.
    #[must_use]
    pub const fn reason(&self) -> &Reason {
        &self.reason
    }

    /// The stable name of the reason, for counters and records. Append-only.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.reason {
            Reason::DuplicateName(_) => "duplicate_name",
            Reason::CaseFoldedName { .. } => "case_folded_name",
            Reason::NumberNotExact | Reason::IntegerTooLarge => "number_not_exact",
            Reason::TooDeep { .. } => "too_deep",
            Reason::TooLarge { .. } | Reason::TooManyValues { .. } => "too_large",
            Reason::NotUtf8 => "not_utf8",
            Reason::LoneSurrogate => "lone_surrogate",
            Reason::Noncharacter => "noncharacter",
            Reason::Syntax(_) => "syntax",
            Reason::TrailingData => "trailing_data",
        }
    }
}

/// A reason at an offset, before line and column are counted.
#[derive(Debug)]
pub(super) struct Fault {
    offset: usize,
    reason: Reason,
}

impl Fault {
    #[cold]
    pub(super) const fn at(offset: usize, reason: Reason) -> Self {
        Self { offset, reason }
    }

    #[cold]
    pub(super) fn locate(self, bytes: &[u8]) -> ParseError {
        let before = bytes.get(..self.offset).unwrap_or(bytes);
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let starts_character = |byte: &&u8| **byte & 0xC0 != 0x80;
        ParseError {
            offset: self.offset,
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            column: 1 + before.iter().skip(line_start).filter(starts_character).count(),
            reason: self.reason,
        }
    }
}
