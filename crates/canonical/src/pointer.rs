//! RFC 6901 pointers.

use std::borrow::Cow;
use std::fmt;

use crate::Value;

/// A parsed RFC 6901 pointer.
///
/// Where it is used to select ([`crate::project`]), a segment `*` passes through every element of
/// an array; on an object it is the member of that name, as in RFC 6901.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer {
    segments: Vec<String>,
}

/// Why a text is no pointer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// Neither empty nor starting with a slash.
    #[error("pointer `{0}` does not start with `/`; write `/{0}`")]
    NoSlash(String),
    /// A tilde that is not followed by 0 or 1.
    #[error("pointer `{0}` has a `~` that is neither `~0` nor `~1`; write `~0` for a tilde")]
    Tilde(String),
}

impl Pointer {
    /// Reads the text form (RFC 6901 section 3).
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        if text.is_empty() {
            return Ok(Self { segments: Vec::new() });
        }
        let rest = text.strip_prefix('/').ok_or_else(|| PointerError::NoSlash(text.to_owned()))?;
        let segments: Option<Vec<String>> =
            rest.split('/').map(|segment| unescape(segment).map(Cow::into_owned)).collect();
        segments
            .map(|segments| Self { segments })
            .ok_or_else(|| PointerError::Tilde(text.to_owned()))
    }

    /// The unescaped segments from the root down.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().map(String::as_str)
    }
}

impl std::str::FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, PointerError> {
        Self::parse(text)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments
            .iter()
            .try_for_each(|segment| write!(f, "/{}", segment.replace('~', "~0").replace('/', "~1")))
    }
}

impl Value {
    /// The value that an RFC 6901 pointer names; `None` if there is none or the text is no pointer.
    #[must_use]
    pub fn pointer(&self, rfc6901: &str) -> Option<&Self> {
        if rfc6901.is_empty() {
            return Some(self);
        }
        rfc6901.strip_prefix('/')?.split('/').try_fold(self, |value, segment| match value {
            Self::Object(object) => object.get(&unescape(segment)?),
            Self::Array(items) => items.get(array_index(segment)?),
            _ => None,
        })
    }
}

/// An array index of RFC 6901 section 4: digits without leading zeros.
pub(crate) fn array_index(segment: &str) -> Option<usize> {
    let digits = segment.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (segment.len() > 1 && segment.starts_with('0')) {
        return None;
    }
    segment.parse().ok()
}

fn unescape(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('~') {
        return Some(Cow::Borrowed(segment));
    }
    let mut parts = segment.split('~');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (sign, rest) = match part.strip_prefix('0') {
            Some(rest) => ('~', rest),
            None => ('/', part.strip_prefix('1')?),
        };
        text.push(sign);
        text.push_str(rest);
    }
    Some(Cow::Owned(text))
}
