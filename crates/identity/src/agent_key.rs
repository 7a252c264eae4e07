//! The private side of an agent: its key, its client assertions and its proofs. The gate never uses
//! it; `dev`, the demo, the bench and the tests do, as an agent would.

use crate::{
    compact::seal,
    key::{Algorithm, KeyError, PublicKey},
    proof::token_digest,
    secret::Secret,
    signing::MintError,
    signoff::{SignoffClaims, TYPE},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use canonical::{Writer, WriterError};
use model::{AgentName, Timestamp};
use std::fmt;
use zeroize::Zeroizing;

/// An agent's private key, for client assertions and proofs of possession.
pub struct AgentKey(Secret);

/// What a client assertion says.
#[derive(Clone, Copy, Debug)]
pub struct AssertionClaims<'a> {
    /// `iss` and `sub`.
    pub agent: &'a AgentName,
    /// `aud`: the issuer's URL.
    pub audience: &'a str,
    /// `jti`: never the same twice.
    pub jti: &'a str,
    /// `iat`.
    pub issued: Timestamp,
    /// `exp`.
    pub expires: Timestamp,
}

/// What a proof of possession says.
#[derive(Clone, Copy, Debug)]
pub struct ProofClaims<'a> {
    /// `htm`.
    pub method: &'a str,
    /// `htu`, without query and fragment.
    pub url: &'a str,
    /// The access token that it goes with, for `ath`; none at the token endpoint.
    pub token: Option<&'a str>,
    /// `jti`: never the same twice.
    pub jti: &'a str,
    /// `iat`.
    pub issued: Timestamp,
    /// `nonce`: the last that the server gave, if it gives any.
    pub nonce: Option<&'a str>,
}

impl AgentKey {
    /// Reads a PKCS#8 document.
    pub fn from_pkcs8(algorithm: Algorithm, document: &[u8]) -> Result<AgentKey, KeyError> {
        Secret::from_pkcs8(algorithm, document).map(AgentKey)
    }

    /// Makes a key from 32 random bytes. For ES256 one draw in 2^32 is refused: draw again.
    pub fn from_random(algorithm: Algorithm, random: &[u8; 32]) -> Result<AgentKey, KeyError> {
        Secret::from_random(algorithm, random).map(AgentKey)
    }

    /// The PKCS#8 document, to be stored wrapped.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        self.0.pkcs8()
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        self.0.public()
    }

    /// The PRIVATE JWK as JSON, for handing the key to its agent; never for a log or a record.
    #[must_use]
    pub fn private_jwk(&self) -> Zeroizing<String> {
        let public = self.public();
        let (x, y) = public.coordinates();
        let y = y.map(|y| format!(r#","y":"{y}""#)).unwrap_or_default();
        let d = Zeroizing::new(URL_SAFE_NO_PAD.encode(self.0.scalar()));
        Zeroizing::new(format!(
            r#"{{"alg":"{}","crv":"{}","d":"{}","kid":"{}","kty":"{}","use":"sig","x":"{x}"{y}}}"#,
            public.algorithm().as_str(),
            public.curve(),
            d.as_str(),
            public.thumbprint(),
            public.kind(),
        ))
    }

    /// Signs a client assertion (RFC 7523 §3).
    pub fn assertion(&self, claims: &AssertionClaims<'_>) -> Result<String, MintError> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.begin_object().field_str("aud", claims.audience);
        writer.field_int("exp", claims.expires.seconds());
        writer.field_int("iat", claims.issued.seconds());
        writer.field_str("iss", claims.agent.as_str()).field_str("jti", claims.jti);
        writer.field_str("sub", claims.agent.as_str()).end();
        writer.finish()?;
        seal(&self.header("JWT", Names::Kid)?, &out, &self.0).ok_or(MintError::Signing)
    }

    /// Signs a proof of possession (RFC 9449 §4.2).
    pub fn proof(&self, claims: &ProofClaims<'_>) -> Result<String, MintError> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.begin_object();
        if let Some(token) = claims.token {
            writer.field_str("ath", &URL_SAFE_NO_PAD.encode(token_digest(token).as_bytes()));
        }
        writer.field_str("htm", claims.method).field_str("htu", claims.url);
        writer.field_int("iat", claims.issued.seconds()).field_str("jti", claims.jti);
        if let Some(nonce) = claims.nonce {
            writer.field_str("nonce", nonce);
        }
        writer.end();
        writer.finish()?;
        seal(&self.header("dpop+jwt", Names::Jwk)?, &out, &self.0).ok_or(MintError::Signing)
    }

    /// Signs the review of a version of an agent.
    pub fn signoff(&self, claims: &SignoffClaims<'_>) -> Result<String, MintError> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.begin_object().field_str("agent", claims.agent.as_str());
        writer.field_int("iat", claims.issued.seconds());
        writer.field_str("page", &claims.page.to_string());
        writer.field_str("sub", claims.reviewer.as_str());
        writer.field_str("version", &claims.version.to_string()).end();
        writer.finish()?;
        seal(&self.header(TYPE, Names::Kid)?, &out, &self.0).ok_or(MintError::Signing)
    }

    fn header(&self, kind: &str, names: Names) -> Result<Vec<u8>, WriterError> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.begin_object().field_str("alg", self.public().algorithm().as_str());
        match names {
            Names::Kid => writer.field_str("kid", self.public().thumbprint()),
            Names::Jwk => writer.field_raw("jwk", &self.public().jwk()),
        };
        writer.field_str("typ", kind).end();
        writer.finish()?;
        Ok(out)
    }
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentKey({:?})", self.public())
    }
}

/// How a header names its key.
enum Names {
    Kid,
    Jwk,
}
