//! Keys: the key-encryption key's derived uses, and data keys per (tenant, human, month).

use crate::limits::{KEY_USES, KEYS_HELD};
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf, hmac,
};
use model::{Digest, Timestamp, record::KeyScope};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use zeroize::Zeroizing;

/// Randomness, injected. It never fails: where the system has none the process must not go on.
pub trait Entropy: Send + Sync {
    /// Fills the slice with bytes that nobody can predict.
    fn fill(&self, out: &mut [u8]);
}

/// A box could not be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The cryptographic library refused.
    #[error("sealing failed inside the cryptographic library; nothing was written")]
    Library,
    /// The key-encryption key does not open this wrapped key or value.
    #[error(
        "`{0}` cannot be opened with this key-encryption key; it is another data directory's, or altered"
    )]
    Unwrap(String),
}

/// The 16-byte name of a data key.
pub type KeyId = [u8; 16];

/// A data key as it is persisted. Erasing it erases everything sealed under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// Its name, which stands in every box sealed under it.
    pub id: KeyId,
    /// Whose it is: HMAC of tenant and human under a key derived from the key-encryption key, so that no name stays.
    pub owner: Digest,
    /// The UTC month it was drawn in, as `2026-11`.
    pub month: String,
    /// Nonce (12), ciphertext (32), tag (16).
    pub wrapped: Vec<u8>,
}

/// A data key in memory.
pub struct DataKey {
    id: KeyId,
    cipher: LessSafeKey,
    wrapped: WrappedKey,
    persisted: AtomicBool,
    uses: AtomicU64,
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.wrapped.month)
    }
}

impl DataKey {
    /// Its name.
    #[must_use]
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    pub(crate) const fn cipher(&self) -> &LessSafeKey {
        &self.cipher
    }

    /// What must be persisted with its first use; `None` once that has happened.
    pub(crate) fn unpersisted(&self) -> Option<&WrappedKey> {
        (!self.persisted.load(Ordering::Acquire)).then_some(&self.wrapped)
    }

    pub(crate) fn mark_persisted(&self) {
        self.persisted.store(true, Ordering::Release);
    }
}

/// The key-encryption key: only keys derived from it by HKDF are ever used, one per purpose.
#[derive(Clone)]
pub struct Kek(Arc<Derived>);

struct Derived {
    wrap: LessSafeKey,
    live: LessSafeKey,
    named: LessSafeKey,
    secret: LessSafeKey,
    id: [u8; 8],
    owner: hmac::Key,
    head: hmac::Key,
    memory: hmac::Key,
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kek")
    }
}

/// What a value sealed directly under the key-encryption key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A row of live state (tasks, asks).
    Live,
    /// A named secret (signing keys).
    Named,
    /// An upstream's secret in the embedded vault.
    Secret,
}

/// What a keyed digest is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacPurpose {
    /// The head of a batch.
    Head,
    /// A snapshot of the condition memory.
    Memory,
}

impl Kek {
    /// Derives all keys from 32 random bytes, which the caller erases.
    pub fn new(secret: &[u8; 32]) -> Result<Kek, SealError> {
        let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, secret);
        let aead = |purpose: &str| -> Result<LessSafeKey, SealError> {
            let key = expand::<32>(&prk, purpose.as_bytes())?;
            UnboundKey::new(&AES_256_GCM, key.as_slice())
                .map(LessSafeKey::new)
                .map_err(|_| SealError::Library)
        };
        let mac = |purpose: &str| -> Result<hmac::Key, SealError> {
            let key = expand::<32>(&prk, purpose.as_bytes())?;
            Ok(hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()))
        };
        Ok(Kek(Arc::new(Derived {
            wrap: aead("ambit-kek-v1 data keys")?,
            live: aead("ambit-kek-v1 live state")?,
            named: aead("ambit-kek-v1 named secrets")?,
            secret: aead("ambit-kek-v1 upstream secrets")?,
            id: *expand::<8>(&prk, b"ambit-kek-v1 name of the key")?,
            owner: mac("ambit-kek-v1 key owners")?,
            head: mac("ambit-kek-v1 batch heads")?,
            memory: mac("ambit-kek-v1 condition memory")?,
        })))
    }

    /// Names the key without telling anything of it, so that what is sealed can say by which key.
    #[must_use]
    pub fn id(&self) -> [u8; 8] {
        self.0.id
    }

    /// HMAC-SHA-256 for one purpose.
    #[must_use]
    pub fn mac(&self, purpose: MacPurpose, parts: &[&[u8]]) -> Digest {
        match purpose {
            MacPurpose::Head => mac(&self.0.head, parts),
            MacPurpose::Memory => mac(&self.0.memory, parts),
        }
    }

    /// Seals a value under the key-encryption key; `name` is bound to it. Gives nonce, ciphertext and tag.
    pub fn seal(
        &self,
        purpose: Purpose,
        name: &str,
        value: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealError> {
        let cipher = self.cipher(purpose);
        seal_random(cipher, name.as_bytes(), value, entropy)
    }

    /// Opens what [`Kek::seal`] gave for the same purpose and name.
    pub fn open(
        &self,
        purpose: Purpose,
        name: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let cipher = self.cipher(purpose);
        open_random(cipher, name.as_bytes(), sealed).ok_or_else(|| SealError::Unwrap(name.into()))
    }

    fn cipher(&self, purpose: Purpose) -> &LessSafeKey {
        match purpose {
            Purpose::Live => &self.0.live,
            Purpose::Named => &self.0.named,
            Purpose::Secret => &self.0.secret,
        }
    }

    /// Whose keys these are: HMAC of tenant, a zero byte and human.
    #[must_use]
    pub fn owner(&self, scope: &KeyScope) -> Digest {
        mac(&self.0.owner, &[scope.tenant.as_bytes(), b"\0", scope.human.as_bytes()])
    }

    /// Unwraps a persisted data key.
    pub fn unwrap_key(&self, wrapped: &WrappedKey) -> Result<DataKey, SealError> {
        let unknown = || SealError::Unwrap(format!("data key of {}", wrapped.month));
        let secret =
            open_random(&self.0.wrap, &wrap_aad(wrapped), &wrapped.wrapped).ok_or_else(unknown)?;
        Ok(DataKey {
            id: wrapped.id,
            cipher: cipher_of(&secret)?,
            wrapped: wrapped.clone(),
            persisted: AtomicBool::new(true),
            uses: AtomicU64::new(0),
        })
    }

    fn draw_key(
        &self,
        scope: &KeyScope,
        at: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<DataKey, SealError> {
        let mut id = [0_u8; 16];
        entropy.fill(&mut id);
        let mut secret = Zeroizing::new([0_u8; 32]);
        entropy.fill(secret.as_mut_slice());
        let mut wrapped =
            WrappedKey { id, owner: self.owner(scope), month: at.month(), wrapped: Vec::new() };
        wrapped.wrapped =
            seal_random(&self.0.wrap, &wrap_aad(&wrapped), secret.as_slice(), entropy)?;
        Ok(DataKey {
            id,
            cipher: cipher_of(secret.as_slice())?,
            wrapped,
            persisted: AtomicBool::new(false),
            uses: AtomicU64::new(0),
        })
    }
}

/// Data keys at hand, drawn when first needed. A process draws its own: keys of earlier runs are only for reading.
#[derive(Clone)]
pub struct Keyring(Arc<Ring>);

struct Ring {
    kek: Kek,
    entropy: Arc<dyn Entropy>,
    held: Mutex<BTreeMap<(i64, KeyScope), Arc<DataKey>>>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring")
    }
}

impl Keyring {
    /// A keyring without data keys.
    #[must_use]
    pub fn new(kek: Kek, entropy: Arc<dyn Entropy>) -> Keyring {
        Keyring(Arc::new(Ring { kek, entropy, held: Mutex::new(BTreeMap::new()) }))
    }

    /// The key-encryption key.
    #[must_use]
    pub fn kek(&self) -> &Kek {
        &self.0.kek
    }

    /// The key for this scope in the month of `at`; drawn and wrapped if there is none at hand.
    pub(crate) fn key(&self, scope: &KeyScope, at: Timestamp) -> Result<Arc<DataKey>, SealError> {
        let slot = (month_number(at), scope.clone());
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = held.get(&slot)
            && key.uses.fetch_add(1, Ordering::Relaxed) < KEY_USES
        {
            return Ok(key.clone());
        }
        if held.len() >= KEYS_HELD {
            // Past months go first; then a human's key, never the one without human, which sorts first. An
            // unpersisted key lives on in the records that carry it.
            let past = held.first_key_value().is_some_and(|((month, _), _)| *month < slot.0);
            let _dropped = if past { held.pop_first() } else { held.pop_last() };
        }
        let key = Arc::new(self.0.kek.draw_key(scope, at, self.0.entropy.as_ref())?);
        held.insert(slot, key.clone());
        Ok(key)
    }
}

/// Expands a uniformly random key (RFC 5869 §3.3 lets the extraction out for such) into `N` bytes.
pub(crate) fn expand<const N: usize>(
    prk: &hkdf::Prk,
    info: &[u8],
) -> Result<Zeroizing<[u8; N]>, SealError> {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut out = Zeroizing::new([0_u8; N]);
    let info = [info];
    let okm = prk.expand(&info, Length(N)).map_err(|_| SealError::Library)?;
    okm.fill(out.as_mut_slice()).map_err(|_| SealError::Library)?;
    Ok(out)
}

fn cipher_of(secret: &[u8]) -> Result<LessSafeKey, SealError> {
    let key = UnboundKey::new(&AES_256_GCM, secret).map_err(|_| SealError::Library)?;
    Ok(LessSafeKey::new(key))
}

fn mac(key: &hmac::Key, parts: &[&[u8]]) -> Digest {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    let mut out = [0_u8; 32];
    out.copy_from_slice(context.sign().as_ref());
    Digest(out)
}

fn wrap_aad(key: &WrappedKey) -> Vec<u8> {
    [key.id.as_slice(), key.owner.as_bytes(), key.month.as_bytes()].concat()
}

fn seal_random(
    cipher: &LessSafeKey,
    aad: &[u8],
    value: &[u8],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, SealError> {
    let mut nonce = [0_u8; 12];
    entropy.fill(&mut nonce);
    let mut body = Zeroizing::new(value.to_vec());
    let tag = cipher
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            body.as_mut_slice(),
        )
        .map_err(|_| SealError::Library)?;
    Ok([nonce.as_slice(), body.as_slice(), tag.as_ref()].concat())
}

fn open_random(cipher: &LessSafeKey, aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, body) = sealed.split_first_chunk::<12>()?;
    let mut body = Zeroizing::new(body.to_vec());
    let length = cipher
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), body.as_mut_slice())
        .ok()?
        .len();
    body.truncate(length);
    Some(body)
}

/// Months since year 0 in UTC (proleptic Gregorian), by the civil-from-days arithmetic on a March-based year.
fn month_number(at: Timestamp) -> i64 {
    let days = at.0.div_euclid(86_400_000_000) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    (era * 400 + year_of_era) * 12 + march_month + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_month_number_changes_exactly_with_the_month() {
        let start = Timestamp::from_seconds(1_790_000_000);
        let mut before = (month_number(start), start.month());
        for hour in 0..24 * 800 {
            let at = Timestamp(start.0 + hour * 3_600_000_000);
            let now = (month_number(at), at.month());
            assert_eq!(now.0 != before.0, now.1 != before.1, "{at}");
            assert!(now.0 == before.0 || now.0 == before.0 + 1);
            before = now;
        }
    }
}
