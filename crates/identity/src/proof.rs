//! Checks a proof of possession (DPoP, RFC 9449 §4.3).

use crate::{
    claims::Claims,
    compact::Compact,
    credential::{Credential, CredentialError},
    key::{KeyError, PublicKey},
    limits::{PROOF_AGE, PROOF_BYTES, PROOF_COMMIT_WITHIN},
    nonce::Nonces,
    target,
};
use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use canonical::Value;
use model::{Digest, Timestamp};

const WHAT: Credential = Credential::Proof;

/// What a proof has to be for.
#[derive(Clone, Copy, Debug)]
pub struct ProofTarget<'a> {
    /// The request's method, in its own case.
    pub method: &'a str,
    /// The request's URL as the client knows it, without query and fragment.
    pub url: &'a str,
    /// SHA-256 of the access token that comes with the proof; `None` at the token endpoint.
    pub token: Option<&'a Digest>,
    /// Whether nonces are given out here, and asked for.
    pub nonces: Nonces<'a>,
}

/// Evidence that the holder of a key signed this very request. Its single use is not checked here:
/// [`Proof::single_use`] goes into the record that does.
///
/// ```compile_fail
/// let proof: identity::Proof = todo!();
/// let again = proof.clone(); // one proof is one value
/// ```
#[must_use]
#[derive(Debug)]
pub struct Proof {
    jkt: String,
    single_use: Digest,
    until: Timestamp,
}

impl Proof {
    /// The thumbprint of the key that signed (RFC 7638, SHA-256, base64url).
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.jkt
    }

    /// What must be unused, and until when its use must be remembered. Commit it within
    /// [`PROOF_COMMIT_WITHIN`] of the check; a request that is held uses it in the record that
    /// holds it.
    #[must_use]
    pub const fn single_use(&self) -> (Digest, Timestamp) {
        (self.single_use, self.until)
    }
}

/// Checks form, type, key, algorithm, signature, method, URL, time and, with a token, its digest.
///
/// The key comes from the proof itself, so that a valid proof proves no identity: the caller
/// compares [`Proof::thumbprint`] with the key that a token or assertion names.
pub fn verify_proof(
    proof: &str,
    target: &ProofTarget<'_>,
    now: Timestamp,
) -> Result<Proof, CredentialError> {
    let compact = Compact::open(proof, WHAT, PROOF_BYTES)?;
    compact.expect_type("dpop+jwt")?;
    let key = embedded_key(&compact)?;
    compact.check_signature(&key)?;
    let claims = Claims::new(WHAT, compact.claims()?);
    if claims.text("htm")? != target.method {
        return Err(CredentialError::Method);
    }
    if !target::is_same(claims.text("htu")?, target.url) {
        return Err(CredentialError::Url);
    }
    if let Some(token) = target.token
        && claims.text("ath")? != URL_SAFE_NO_PAD.encode(token.as_bytes())
    {
        return Err(CredentialError::TokenDigest);
    }
    let fresh_until = check_time(&claims, target.nonces, now)?;
    let jkt = key.thumbprint().to_owned();
    let single_use = use_digest("ambit-dpop-v1", &jkt, claims.identifier()?);
    Ok(Proof { jkt, single_use, until: fresh_until.after(PROOF_COMMIT_WITHIN) })
}

fn embedded_key(compact: &Compact<'_>) -> Result<PublicKey, CredentialError> {
    let member = "jwk";
    let jwk = compact.header.get(member).ok_or(CredentialError::Missing { what: WHAT, member })?;
    let jwk = jwk.as_object().ok_or(CredentialError::Key)?;
    PublicKey::from_jwk(jwk).map_err(|error| match error {
        KeyError::Private(_) => CredentialError::PrivateKey,
        KeyError::Kind | KeyError::Member(_) | KeyError::Purpose(_) | KeyError::Point => {
            // A symmetric or RSA key is refused as a key, so that `alg` never chooses anything.
            CredentialError::Key
        }
    })
}

/// The end of freshness, by the nonce where one decides. `exp` and `nbf` are not part of a proof; where given, they
/// narrow it.
fn check_time(
    claims: &Claims,
    nonces: Nonces<'_>,
    now: Timestamp,
) -> Result<Timestamp, CredentialError> {
    let issued = claims.time("iat")?;
    if claims.optional_time("exp")?.is_some_and(|expires| expires <= now) {
        return Err(CredentialError::Expired { what: WHAT });
    }
    let key = match nonces {
        Nonces::None => None,
        Nonces::Offered(key) | Nonces::Demanded(key) => Some(key),
    };
    if let (Some(key), Some(nonce)) = (key, claims.optional_text("nonce")?) {
        // The issuer's own clock made it, so that the client's need not be right.
        return key.good_until(nonce, now).ok_or(CredentialError::NonceStale);
    }
    if matches!(nonces, Nonces::Demanded(_)) {
        return Err(CredentialError::NonceMissing);
    }
    let fresh_until = issued.after(PROOF_AGE);
    claims.begun(now)?;
    if now > fresh_until {
        return Err(CredentialError::Stale { limit: PROOF_AGE.as_seconds() });
    }
    Ok(fresh_until)
}

/// SHA-256 of `domain 0 holder 0 jti`. Neither a thumbprint nor a name contains a zero byte.
pub(crate) fn use_digest(domain: &str, holder: &str, jti: &str) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in [domain, "\0", holder, "\0", jti] {
        context.update(part.as_bytes());
    }
    finish(context)
}

/// SHA-256 of a token's text: the cache key, and in base64url its `ath`.
pub(crate) fn token_digest(token: &str) -> Digest {
    let mut context = Context::new(&SHA256);
    context.update(token.as_bytes());
    finish(context)
}

fn finish(context: Context) -> Digest {
    let mut bytes = [0_u8; 32];
    for (slot, byte) in bytes.iter_mut().zip(context.finish().as_ref()) {
        *slot = *byte;
    }
    Digest(bytes)
}

/// Whether a value is what `jkt` claims hold: 43 characters of base64url.
pub(crate) fn is_thumbprint(value: &Value) -> Option<&str> {
    let text = value.as_str()?;
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    (bytes.len() == 32).then_some(text)
}
