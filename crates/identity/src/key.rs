//! A public key that is for one algorithm, and its JWK (RFC 7517, RFC 8037) and thumbprint (RFC 7638).

use aws_lc_rs::{digest, signature};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use canonical::{Object, Value, Writer};
use jsonwebtoken::{DecodingKey, crypto};
use std::fmt;

/// A signature algorithm; a key is for exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// Ed25519 (RFC 8037).
    EdDsa,
    /// ECDSA with P-256 and SHA-256 (RFC 7518 §3.4).
    Es256,
}

impl Algorithm {
    /// The `alg` that we write.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Algorithm::EdDsa => "EdDSA",
            Algorithm::Es256 => "ES256",
        }
    }

    /// Whether an `alg` in a header or JWK means this algorithm. Ed25519 has two names (RFC 9864).
    #[must_use]
    pub(crate) fn is_called(self, name: &str) -> bool {
        match self {
            Algorithm::EdDsa => name == "EdDSA" || name == "Ed25519",
            Algorithm::Es256 => name == "ES256",
        }
    }

    pub(crate) const fn of_jwt(self) -> jsonwebtoken::Algorithm {
        match self {
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        }
    }
}

/// Why a JWK is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It holds a private or symmetric member.
    #[error("the key holds the private member `{0}`: give the public key only")]
    Private(&'static str),
    /// Its kind is not taken.
    #[error("the key is not an Ed25519 (`OKP`) or P-256 (`EC`) key: make one of these")]
    Kind,
    /// A member is missing or has the wrong form.
    #[error("`{0}` of the key is missing or not of its form")]
    Member(&'static str),
    /// It is declared for something else than verifying signatures with its algorithm.
    #[error("`{0}` of the key says that it is for something else")]
    Purpose(&'static str),
    /// The coordinates are not a point of the curve.
    #[error("the key is not a point of its curve")]
    Point,
}

/// A public key for verifying signatures with one algorithm.
#[derive(Clone)]
pub struct PublicKey {
    algorithm: Algorithm,
    verifying: DecodingKey,
    thumbprint: String,
    x: String,
    y: Option<String>,
}

/// Members of private and symmetric keys (RFC 7518 §6).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "k", "p", "q", "dp", "dq", "qi", "oth"];

impl PublicKey {
    /// Takes a public key from a JWK. Unknown members are ignored (RFC 7517 §4); private ones,
    /// another `alg`, `use` other than `sig`, and `key_ops` without `verify` refuse it.
    pub fn from_jwk(jwk: &Object) -> Result<PublicKey, KeyError> {
        if let Some(member) = PRIVATE_MEMBERS.iter().find(|member| jwk.contains(member)) {
            return Err(KeyError::Private(member));
        }
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let algorithm = match (text("kty"), text("crv")) {
            (Some("OKP"), Some("Ed25519")) => Algorithm::EdDsa,
            (Some("EC"), Some("P-256")) => Algorithm::Es256,
            _ => return Err(KeyError::Kind),
        };
        check_purpose(jwk, algorithm)?;
        let x = coordinate(jwk, "x")?;
        match algorithm {
            Algorithm::EdDsa => PublicKey::ed25519(&x),
            Algorithm::Es256 => {
                let y = coordinate(jwk, "y")?;
                PublicKey::p256(&x, &y)
            }
        }
    }

    /// An Ed25519 key from its 32 bytes.
    pub(crate) fn ed25519(x: &[u8; 32]) -> Result<PublicKey, KeyError> {
        signature::ParsedPublicKey::new(&signature::ED25519, x).map_err(|_| KeyError::Point)?;
        let x64 = URL_SAFE_NO_PAD.encode(x);
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x64}"}}"#);
        Ok(PublicKey::assemble(Algorithm::EdDsa, DecodingKey::from_ed_der(x), &members, x64, None))
    }

    /// A P-256 key from its affine coordinates.
    pub(crate) fn p256(x: &[u8; 32], y: &[u8; 32]) -> Result<PublicKey, KeyError> {
        let point = [&[4_u8], x.as_slice(), y.as_slice()].concat();
        signature::ParsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, &point)
            .map_err(|_| KeyError::Point)?;
        let (x64, y64) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x64}","y":"{y64}"}}"#);
        let verifying = DecodingKey::from_ec_der(&point);
        Ok(PublicKey::assemble(Algorithm::Es256, verifying, &members, x64, Some(y64)))
    }

    fn assemble(
        algorithm: Algorithm,
        verifying: DecodingKey,
        required_members: &str,
        x: String,
        y: Option<String>,
    ) -> PublicKey {
        crate::install_crypto();
        let hash = digest::digest(&digest::SHA256, required_members.as_bytes());
        let thumbprint = URL_SAFE_NO_PAD.encode(hash.as_ref());
        PublicKey { algorithm, verifying, thumbprint, x, y }
    }

    /// What the key is for.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The RFC 7638 thumbprint with SHA-256 in base64url, 43 characters: the `kid` and the `jkt`.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The public JWK as canonical JSON, with `alg`, `kid` and `use`.
    #[must_use]
    pub fn jwk(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.begin_object().field_str("alg", self.algorithm.as_str());
        writer.field_str("crv", self.curve()).field_str("kid", &self.thumbprint);
        writer.field_str("kty", self.kind()).field_str("use", "sig").field_str("x", &self.x);
        if let Some(y) = &self.y {
            writer.field_str("y", y);
        }
        writer.end();
        // The members above are in order, which is all that `finish` can object to.
        drop(writer.finish());
        out
    }

    pub(crate) const fn curve(&self) -> &'static str {
        match self.algorithm {
            Algorithm::EdDsa => "Ed25519",
            Algorithm::Es256 => "P-256",
        }
    }

    pub(crate) const fn kind(&self) -> &'static str {
        match self.algorithm {
            Algorithm::EdDsa => "OKP",
            Algorithm::Es256 => "EC",
        }
    }

    pub(crate) fn coordinates(&self) -> (&str, Option<&str>) {
        (&self.x, self.y.as_deref())
    }

    /// Whether the base64url signature fits the message under this key's own algorithm.
    pub(crate) fn verifies(&self, message: &str, signature: &str) -> bool {
        let algorithm = self.algorithm.of_jwt();
        matches!(
            crypto::verify(signature, message.as_bytes(), &self.verifying, algorithm),
            Ok(true)
        )
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.algorithm.as_str(), self.thumbprint)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &PublicKey) -> bool {
        self.thumbprint == other.thumbprint
    }
}

impl Eq for PublicKey {}

fn check_purpose(jwk: &Object, algorithm: Algorithm) -> Result<(), KeyError> {
    let fits = |name: &'static str, accept: &dyn Fn(&Value) -> bool| match jwk.get(name) {
        Some(value) if !accept(value) => Err(KeyError::Purpose(name)),
        Some(_) | None => Ok(()),
    };
    fits("alg", &|value| value.as_str().is_some_and(|name| algorithm.is_called(name)))?;
    fits("use", &|value| value.as_str() == Some("sig"))?;
    fits("key_ops", &|value| {
        value.as_array().is_some_and(|ops| ops.iter().any(|op| op.as_str() == Some("verify")))
    })
}

fn coordinate(jwk: &Object, name: &'static str) -> Result<[u8; 32], KeyError> {
    let text = jwk.get(name).and_then(Value::as_str).ok_or(KeyError::Member(name))?;
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyError::Member(name))?;
    bytes.try_into().map_err(|_| KeyError::Member(name))
}
