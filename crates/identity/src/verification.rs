//! The keys of one issuer, by `kid`, each with the span in which it is believed.

use crate::{key::PublicKey, limits::VERIFICATION_KEYS};
use canonical::Writer;
use model::Timestamp;
use std::collections::BTreeMap;

/// The span in which a key's tokens are believed; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From when.
    pub not_before: Timestamp,
    /// Until when. After a rotation: the last `exp` of the tokens that the key signed.
    pub not_after: Timestamp,
}

impl Validity {
    /// Always.
    pub const ALWAYS: Validity =
        Validity { not_before: Timestamp(i64::MIN), not_after: Timestamp(i64::MAX) };

    pub(crate) fn contains(self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

/// The access token keys of one issuer. Several are valid at once while one takes over from
/// another.
#[derive(Clone, Debug, Default)]
pub struct VerificationKeys {
    keys: BTreeMap<String, (PublicKey, Validity)>,
}

impl VerificationKeys {
    /// No keys: every token is refused.
    #[must_use]
    pub fn new() -> VerificationKeys {
        VerificationKeys::default()
    }

    /// Adds a key, or gives a known one another span. False, and nothing changed, if
    /// [`VERIFICATION_KEYS`] are held already: drop expired ones first.
    #[must_use = "a key that was not added verifies nothing"]
    pub fn insert(&mut self, key: PublicKey, validity: Validity) -> bool {
        let kid = key.thumbprint().to_owned();
        if self.keys.len() >= VERIFICATION_KEYS && !self.keys.contains_key(&kid) {
            return false;
        }
        self.keys.insert(kid, (key, validity));
        true
    }

    /// Drops the keys whose span has ended.
    pub fn drop_expired(&mut self, now: Timestamp) {
        self.keys.retain(|_, (_, validity)| now <= validity.not_after);
    }

    /// Withdraws a key at once; false if it is not known.
    pub fn withdraw(&mut self, kid: &str) -> bool {
        self.keys.remove(kid).is_some()
    }

    /// Whether the same keys are believed for the same spans.
    #[must_use]
    pub fn same_as(&self, other: &VerificationKeys) -> bool {
        let spans = |keys: &VerificationKeys| -> Vec<(String, Validity)> {
            keys.keys.iter().map(|(kid, (_, validity))| (kid.clone(), *validity)).collect()
        };
        spans(self) == spans(other)
    }

    /// How many keys are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The JWK set (RFC 7517 §5) as canonical JSON: the keys whose span has not ended, those that
    /// are announced included, in the order of their `kid`.
    #[must_use]
    pub fn jwks(&self, now: Timestamp) -> String {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.begin_object().field_array("keys");
        for (key, validity) in self.keys.values() {
            if now <= validity.not_after {
                writer.item_raw(&key.jwk());
            }
        }
        writer.end().end();
        // The one member cannot be out of order, which is all that `finish` can object to.
        drop(writer.finish());
        String::from_utf8(out).unwrap_or_default()
    }

    /// The key of this `kid`, if it is believed at `now`.
    pub(crate) fn find(&self, kid: &str, now: Timestamp) -> Option<(&PublicKey, Validity)> {
        let (key, validity) = self.keys.get(kid)?;
        validity.contains(now).then_some((key, *validity))
    }
}
