//! The registry of ids: UUIDv7 (RFC 9562) with a prefix that tells what is named. Append only.

use crate::time::Timestamp;
use std::fmt;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Lays out a UUIDv7 from a time and ten random bytes.
fn uuid_v7(now: Timestamp, random: [u8; 10]) -> u128 {
    let millis = u128::from(now.millis().unsigned_abs()) & 0xffff_ffff_ffff;
    let tail = random.iter().fold(0_u128, |all, byte| (all << 8) | u128::from(*byte));
    let version = 0x7_u128 << 76;
    let variant = 0b10_u128 << 62;
    let rand_a = ((tail >> 64) & 0xfff) << 64;
    let rand_b = tail & 0x3fff_ffff_ffff_ffff;
    (millis << 80) | version | rand_a | variant | rand_b
}

fn write_base32(f: &mut fmt::Formatter<'_>, prefix: &str, bits: u128) -> fmt::Result {
    let mut text = [b'0'; 26];
    let mut rest = bits;
    for letter in text.iter_mut().rev() {
        let index = usize::try_from(rest & 31).unwrap_or(0);
        *letter = ALPHABET.get(index).copied().unwrap_or(b'0');
        rest >>= 5;
    }
    f.write_str(prefix)?;
    f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
}

fn read_base32(text: &str, prefix: &str) -> Option<u128> {
    let body = text.strip_prefix(prefix)?;
    if body.len() != 26 {
        return None;
    }
    body.bytes().try_fold(0_u128, |bits, byte| {
        let digit = ALPHABET.iter().position(|letter| *letter == byte)?;
        bits.checked_mul(32)?.checked_add(u128::try_from(digit).ok()?)
    })
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl $name {
            /// The prefix of the text form.
            pub const PREFIX: &'static str = $prefix;

            /// A new id from a time and ten random bytes.
            #[must_use]
            pub fn new(now: Timestamp, random: [u8; 10]) -> $name {
                $name(uuid_v7(now, random))
            }

            /// Reads the text form; anything else is `None`.
            #[must_use]
            pub fn parse(text: &str) -> Option<$name> {
                read_base32(text, $prefix).map($name)
            }

            /// The sixteen bytes, big endian.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0.to_be_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_base32(f, $prefix, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

ids! {
    /// One action, from its open entry (or refusal) to its outcome.
    EntryId "ent_";
    /// One delegated piece of work.
    TaskId "tsk_";
    /// One question to a human.
    AskId "ask_";
    /// One issued access token (its `jti`).
    TokenId "tok_";
}

/// A W3C trace id (Trace Context §3.2.2.3): sixteen bytes, not all zero, as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub u128);

impl TraceId {
    /// Reads 32 lower-case hexadecimal digits; all zeros is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<TraceId> {
        let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(lower) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().filter(|bits| *bits != 0).map(TraceId)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_text_form_and_sort_by_time() {
        let early = EntryId::new(Timestamp::from_seconds(1_790_000_000), [255; 10]);
        let late = EntryId::new(Timestamp::from_seconds(1_790_000_001), [0; 10]);
        assert_eq!(EntryId::parse(&early.to_string()), Some(early));
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(TaskId::parse(&early.to_string()), None);
        assert_eq!((early.0 >> 76) & 0xf, 7);
        assert_eq!((early.0 >> 62) & 0b11, 0b10);
    }

    #[test]
    fn an_id_of_more_than_128_bits_is_refused() {
        assert_eq!(EntryId::parse("ent_zzzzzzzzzzzzzzzzzzzzzzzzzz"), None);
    }
}
