//! Looks for a lent secret in what an upstream answers: an agent must not learn it from there.

use super::Secret;
use crate::limits;
use bytes::{Bytes, BytesMut};
use memchr::memmem;
use std::sync::Arc;

/// Knows the secret that was lent for one call, and looks for it.
#[derive(Clone, Default)]
pub struct Lookout {
    secret: Option<Arc<Secret>>,
    /// The end of what was passed, as far as it may be the beginning of the secret.
    held: Bytes,
}

impl Lookout {
    pub(super) fn new(secret: Option<Arc<Secret>>) -> Lookout {
        Lookout { secret, held: Bytes::new() }
    }

    /// The text to look for: the secret without the scheme that it is sent under.
    fn sought(&self) -> Option<&[u8]> {
        let value = self.secret.as_ref()?.value.as_str();
        let schemes = ["Bearer ", "Basic ", "Token ", "token ", "ApiKey "];
        let bare = schemes.iter().find_map(|scheme| value.strip_prefix(scheme)).unwrap_or(value);
        Some(bare.as_bytes()).filter(|sought| sought.len() >= limits::SECRET_SOUGHT_BYTES)
    }

    /// Whether this text holds the secret.
    #[must_use]
    pub fn finds(&self, text: &[u8]) -> bool {
        self.sought().is_some_and(|sought| memmem::find(text, sought).is_some())
    }

    /// Hands on the next piece of a stream, less what may be the beginning of the secret; `None`
    /// once the secret is in it.
    pub fn pass(&mut self, piece: Bytes) -> Option<Bytes> {
        let Some(sought) = self.sought() else { return Some(piece) };
        let mut all = if self.held.is_empty() {
            piece
        } else {
            let mut joined = BytesMut::from(self.held.as_ref());
            joined.extend_from_slice(&piece);
            joined.freeze()
        };
        if memmem::find(&all, sought).is_some() {
            return None;
        }
        let from = all.len().saturating_sub(sought.len().saturating_sub(1));
        let begins = |at: &usize| all.get(*at..).is_some_and(|end| sought.starts_with(end));
        let at = (from..all.len()).find(begins).unwrap_or(all.len());
        self.held = all.split_off(at);
        Some(all)
    }

    /// What was held back, at the end of a stream: the secret did not follow.
    pub fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.held)
    }
}

impl std::fmt::Debug for Lookout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lookout(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    fn lookout(value: &str) -> Lookout {
        let value = Zeroizing::new(value.to_owned());
        Lookout::new(Some(Arc::new(Secret {
            header: http::header::AUTHORIZATION,
            text: value.clone(),
            value,
        })))
    }

    /// What comes out of a stream of pieces, and whether it came to its end.
    fn passed(value: &str, pieces: &[&str]) -> (String, bool) {
        let (mut lookout, mut out) = (lookout(value), String::new());
        for piece in pieces {
            match lookout.pass(Bytes::copy_from_slice(piece.as_bytes())) {
                Some(bytes) => out.push_str(std::str::from_utf8(&bytes).unwrap()),
                None => return (out, false),
            }
        }
        out.push_str(std::str::from_utf8(&lookout.rest()).unwrap());
        (out, true)
    }

    #[test]
    fn a_secret_is_found_across_pieces_and_no_part_of_it_is_handed_on() {
        let check = |pieces: &[&str], expected: &str, ended: bool| {
            assert_eq!(
                passed("Bearer sesame-opens", pieces),
                (expected.to_owned(), ended),
                "{pieces:?}"
            );
        };
        check(&["a sesame-opens b"], "", false);
        check(&["a sesame", "-opens b"], "a ", false);
        check(&["a s", "e", "s", "ame-open", "s"], "a ", false);
        check(&["sesame-sesame", "-opens"], "sesame-", false);
        check(&["sesame-", "sesame-open", "ed"], "sesame-sesame-opened", true);
        check(&["all sess", "ions"], "all sessions", true);
        check(&["ends with sesame-open"], "ends with sesame-open", true);
        check(&["", "x", ""], "x", true);
        // At every border, and byte by byte.
        let text = "before sesame-opens after";
        for at in 0..=text.len() {
            let (one, two) = text.split_at(at);
            let (out, ended) = passed("sesame-opens", &[one, two]);
            assert!(!ended && "before ".starts_with(&out), "{at}: {out}");
        }
        let bytes: Vec<String> = text.chars().map(String::from).collect();
        let bytes: Vec<&str> = bytes.iter().map(String::as_str).collect();
        check(&bytes, "before ", false);
    }

    #[test]
    fn too_short_a_secret_is_not_looked_for() {
        assert_eq!(passed("short", &["a short b"]), ("a short b".to_owned(), true));
        assert!(Lookout::default().pass(Bytes::from_static(b"x")).is_some());
    }

    #[test]
    fn every_scheme_is_taken_off() {
        assert!(lookout("Basic dXNlcjpwYXNz").finds(b"got dXNlcjpwYXNz"));
        assert!(!lookout("Basic dXNlcjpwYXNz").finds(b"got dXNlcjpwYX"));
    }
}
