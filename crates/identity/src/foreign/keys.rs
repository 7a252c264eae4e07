//! The public keys of a foreign issuer, read from its JWK set (RFC 7517 §5).

use crate::{
    key::{KeyError, PublicKey},
    limits::{FOREIGN_JWKS, FOREIGN_KEYS, RSA_BITS},
};
use aws_lc_rs::signature;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use canonical::{Object, ParseError, Value};
use jsonwebtoken::{DecodingKey, crypto};
use std::fmt;

/// What a foreign key is for: one algorithm, which its kind decides and for RSA its `alg`.
#[derive(Clone)]
enum Kind {
    /// Ed25519 or P-256, which bring their algorithm.
    Own(PublicKey),
    /// RSA with SHA-256.
    Rsa(DecodingKey, Padding),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Padding {
    /// PKCS #1 v1.5: `RS256`, and what a key without `alg` is for, since it is what OpenID Connect asks of everyone.
    Pkcs1,
    /// `PS256`.
    Pss,
}

/// One public key of a foreign issuer.
#[derive(Clone)]
pub(crate) struct ForeignKey(Kind);

/// The public keys of one foreign issuer. It may publish keys of kinds that are not taken here, or that are for other
/// purposes; they are left out, and what is signed by one of them is refused as signed by an unknown key.
#[derive(Clone, Default)]
pub struct ForeignKeys {
    keys: Vec<(Option<String>, ForeignKey)>,
}

/// Why a foreign JWK set was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignKeysError {
    /// It is not acceptable JSON.
    #[error("the JWK set is not acceptable JSON")]
    Json(#[source] ParseError),
    /// It is no JWK set.
    #[error("the JWK set has no list `keys`")]
    Form,
    /// It has too many keys.
    #[error("the JWK set has {count} keys: at most {limit} are read")]
    Count {
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// None of its keys can be used.
    #[error("the JWK set has no key for RS256, PS256, ES256 or EdDSA")]
    Empty,
}

impl ForeignKeys {
    /// Reads a JWK set. A symmetric key is never taken, nor one that holds private members.
    pub fn parse(jwks: &[u8]) -> Result<ForeignKeys, ForeignKeysError> {
        let value = canonical::parse(jwks, &FOREIGN_JWKS).map_err(ForeignKeysError::Json)?;
        let keys = value.get("keys").and_then(Value::as_array).ok_or(ForeignKeysError::Form)?;
        if keys.len() > FOREIGN_KEYS {
            return Err(ForeignKeysError::Count { count: keys.len(), limit: FOREIGN_KEYS });
        }
        let mut taken = Vec::with_capacity(keys.len());
        for jwk in keys.iter().filter_map(Value::as_object) {
            let kid = jwk.get("kid").and_then(Value::as_str).map(str::to_owned);
            if let Ok(key) = ForeignKey::from_jwk(jwk) {
                taken.push((kid, key));
            }
        }
        if taken.is_empty() {
            Err(ForeignKeysError::Empty)
        } else {
            Ok(ForeignKeys { keys: taken })
        }
    }

    /// How many keys can be used.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key that a header means: by `kid`, or the only one. Two keys of one `kid` are told apart by nothing that
    /// can be believed, so that neither is taken.
    pub(crate) fn find(&self, kid: Option<&str>) -> Option<&ForeignKey> {
        let mut meant =
            self.keys.iter().filter(|(name, _)| kid.is_none() || name.as_deref() == kid);
        let (_, key) = meant.next()?;
        if meant.next().is_some() { None } else { Some(key) }
    }
}

impl fmt::Debug for ForeignKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(kid, _)| kid)).finish()
    }
}

impl ForeignKey {
    fn from_jwk(jwk: &Object) -> Result<ForeignKey, KeyError> {
        if jwk.get("kty").and_then(Value::as_str) == Some("RSA") {
            return ForeignKey::rsa(jwk);
        }
        // SPIFFE bundles say `jwt-svid` where others say `sig`.
        if jwk.get("use").and_then(Value::as_str) == Some("jwt-svid") {
            let mut renamed = jwk.clone();
            renamed.remove("use");
            return PublicKey::from_jwk(&renamed).map(|key| ForeignKey(Kind::Own(key)));
        }
        PublicKey::from_jwk(jwk).map(|key| ForeignKey(Kind::Own(key)))
    }

    fn rsa(jwk: &Object) -> Result<ForeignKey, KeyError> {
        if ["d", "p", "q", "dp", "dq", "qi", "oth"].iter().any(|member| jwk.contains(member)) {
            return Err(KeyError::Private("d"));
        }
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let padding = match (jwk.contains("alg"), text("alg")) {
            (false, _) | (true, Some("RS256")) => Padding::Pkcs1,
            (true, Some("PS256")) => Padding::Pss,
            (true, _) => return Err(KeyError::Purpose("alg")),
        };
        let for_signing = match (jwk.contains("use"), text("use")) {
            (false, _) | (true, Some("sig" | "jwt-svid")) => true,
            (true, _) => false,
        };
        if !for_signing {
            return Err(KeyError::Purpose("use"));
        }
        let number = |name: &'static str| {
            let bytes = text(name).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
            let bytes = bytes.ok_or(KeyError::Member(name))?;
            // A leading zero is written by some; it is part of no number.
            let first = bytes.iter().position(|byte| *byte != 0).ok_or(KeyError::Member(name))?;
            bytes.get(first..).map(<[u8]>::to_vec).ok_or(KeyError::Member(name))
        };
        let (modulus, exponent) = (number("n")?, number("e")?);
        if !RSA_BITS.contains(&modulus.len().saturating_mul(8)) {
            return Err(KeyError::Member("n"));
        }
        // What cannot be a key is left out here, and not at each token.
        let parts = signature::RsaPublicKeyComponents { n: &modulus, e: &exponent };
        let parsed = parts.to_parsed_public_key(&signature::RSA_PKCS1_2048_8192_SHA256);
        drop(parsed.map_err(|_| KeyError::Point)?);
        crate::install_crypto();
        let key = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
        Ok(ForeignKey(Kind::Rsa(key, padding)))
    }

    /// Whether an `alg` in a header is the one that this key is for.
    pub(crate) fn is_for(&self, alg: &str) -> bool {
        match &self.0 {
            Kind::Own(key) => key.algorithm().is_called(alg),
            Kind::Rsa(_, Padding::Pkcs1) => alg == "RS256",
            Kind::Rsa(_, Padding::Pss) => alg == "PS256",
        }
    }

    /// Whether the base64url signature fits the message under this key's own algorithm.
    pub(crate) fn verifies(&self, message: &str, signature: &str) -> bool {
        let (key, algorithm) = match &self.0 {
            Kind::Own(key) => return key.verifies(message, signature),
            Kind::Rsa(key, Padding::Pkcs1) => (key, jsonwebtoken::Algorithm::RS256),
            Kind::Rsa(key, Padding::Pss) => (key, jsonwebtoken::Algorithm::PS256),
        };
        matches!(crypto::verify(signature, message.as_bytes(), key, algorithm), Ok(true))
    }
}
