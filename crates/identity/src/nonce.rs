//! Nonces of proofs of possession (RFC 9449 §8): a MAC over the time, so that nobody stores them.
//!
//! Every node that holds the key takes every node's nonces: a client keeps one nonce for one address, whatever stands
//! behind it (S9).

use crate::limits::{LEEWAY, NONCE_BUCKET};
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::Timestamp;
use std::fmt;

const DOMAIN: &[u8] = b"ambit-dpop-nonce-v1\0";

/// The key that nonces are made and recognised with, shared by all nodes of a store.
pub struct NonceKey(hmac::Key);

/// How nonces are asked for where a proof is shown.
#[derive(Clone, Copy, Debug)]
pub enum Nonces<'a> {
    /// None are given out: the proof's own `iat` decides whether it is fresh, and a nonce means nothing.
    None,
    /// They are given out. One that is shown must be current, and then decides instead of `iat`.
    Offered(&'a NonceKey),
    /// A current one must be shown.
    Demanded(&'a NonceKey),
}

impl NonceKey {
    /// A key of 32 random bytes.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> NonceKey {
        NonceKey(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The nonce to give out now. It is taken for at least [`NONCE_BUCKET`] and at most twice that.
    #[must_use]
    pub fn current(&self, now: Timestamp) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, &message(bucket(now))))
    }

    /// Until when this nonce is taken; `None` if it is not taken at all.
    pub(crate) fn good_until(&self, nonce: &str, now: Timestamp) -> Option<Timestamp> {
        let tag = URL_SAFE_NO_PAD.decode(nonce).ok()?;
        // The next bucket has begun already on a node whose clock is ahead.
        let newest = bucket(now.after(LEEWAY));
        let oldest = bucket(now).saturating_sub(1);
        let good = (oldest..=newest)
            .find(|bucket| hmac::verify(&self.0, &message(*bucket), &tag).is_ok())?;
        Some(Timestamp::from_seconds(
            good.saturating_add(2).saturating_mul(NONCE_BUCKET.as_seconds()),
        ))
    }
}

impl fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceKey(…)")
    }
}

const fn bucket(now: Timestamp) -> i64 {
    now.seconds().div_euclid(NONCE_BUCKET.as_seconds())
}

fn message(bucket: i64) -> Vec<u8> {
    [DOMAIN, &bucket.to_be_bytes()].concat()
}
