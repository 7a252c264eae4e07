//! Mints access tokens (RFC 9068) with the issuer's key.

use crate::{
    compact::seal,
    delegation::{Delegation, write_chain, write_details},
    key::{Algorithm, KeyError, PublicKey},
    limits::{MAX_TOKEN_LIFE, TOKEN_BYTES},
    secret::Secret,
};
use canonical::{Writer, WriterError};
use model::{AgentName, Digest, TaskId, Timestamp, TokenId, UserName};
use std::fmt;

/// What a token says. The claims are stated in [`SigningKey::mint`].
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// `iss`: the issuer's URL, exactly as clients know it.
    pub issuer: &'a str,
    /// `aud`: the door's full URL.
    pub audience: &'a str,
    /// `agent` and `client_id`; `sub` or `act.sub`.
    pub agent: &'a AgentName,
    /// `agent_version`.
    pub version: Digest,
    /// `agent_instance`: the thumbprint of the instance's key, if it showed one.
    pub instance: Option<&'a str>,
    /// `sub`, if the agent acts for a human.
    pub user: Option<&'a UserName>,
    /// `task`.
    pub task: Option<TaskId>,
    /// `scope`, if any.
    pub scope: Option<&'a str>,
    /// `jti`.
    pub token: TokenId,
    /// `iat`; cut to whole seconds.
    pub issued: Timestamp,
    /// `exp`; cut to whole seconds.
    pub expires: Timestamp,
    /// Whether `cnf.jkt` binds the token to `instance`.
    pub bound: bool,
    /// On whose account, how far, and who may go on: `act`, `chain`, `authorization_details`, `may_act`.
    pub delegation: Delegation<'a>,
    /// The SHA-256 of the certificate that `cnf.x5t#S256` binds it to instead, in base64url.
    pub certificate: Option<&'a str>,
}

/// Why a token was not minted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// It would expire before it begins, or live longer than any token may.
    #[error("the token would live {seconds} s: 1 to {limit} are allowed")]
    Life {
        /// The life asked for, in seconds.
        seconds: i64,
        /// The limit in seconds.
        limit: i64,
    },
    /// It is to be bound, and no key is named.
    #[error("a bound token needs the thumbprint of the key it is bound to")]
    NoInstance,
    /// It would be longer than the gate reads.
    #[error("the token would have {length} bytes: at most {limit} are read; shorten the names")]
    TooLarge {
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The claims could not be written.
    #[error("the claims could not be written")]
    Claims(#[from] WriterError),
    /// The library could not sign.
    #[error("the signing key could not be used")]
    Signing,
}

/// The issuer's private key for access tokens, and for nothing else (S20: one key, one purpose,
/// one algorithm). Its `kid` is its RFC 7638 thumbprint.
pub struct SigningKey(Secret);

impl SigningKey {
    /// Reads a PKCS#8 document.
    pub fn from_pkcs8(algorithm: Algorithm, document: &[u8]) -> Result<SigningKey, KeyError> {
        Secret::from_pkcs8(algorithm, document).map(SigningKey)
    }

    /// Makes a key from 32 random bytes. For ES256 one draw in 2^32 is refused: draw again.
    pub fn from_random(algorithm: Algorithm, random: &[u8; 32]) -> Result<SigningKey, KeyError> {
        Secret::from_random(algorithm, random).map(SigningKey)
    }

    /// The PKCS#8 document, to be stored wrapped.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        self.0.pkcs8()
    }

    /// What the key is for.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.0.public().algorithm()
    }

    /// The `kid` of its tokens.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.0.public().thumbprint()
    }

    /// The public half, for [`crate::VerificationKeys`].
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        self.0.public()
    }

    /// The public JWK as canonical JSON.
    #[must_use]
    pub fn public_jwk(&self) -> Vec<u8> {
        self.0.public().jwk()
    }

    /// Signs an RFC 9068 token (`typ: at+jwt`): `iss`, `aud`, `sub`, `client_id`, `iat`, `exp`,
    /// `jti`, and of our own `agent`, `agent_version`, `agent_instance`, `task`. An autonomous agent
    /// is its own `sub`; for a human, `sub` is the human and `act.sub` the agent (RFC 8693 §4.1). A token that was
    /// exchanged keeps `sub`, nests `act` and lists its ancestors in `chain`. A bound token has `cnf.jkt` (RFC 9449
    /// §6.1) or `cnf.x5t#S256` (RFC 8705 §3.1).
    pub fn mint(&self, grant: &Grant<'_>) -> Result<String, MintError> {
        let (issued, expires) = (grant.issued.seconds(), grant.expires.seconds());
        let seconds = expires.saturating_sub(issued);
        let limit = MAX_TOKEN_LIFE.as_seconds();
        if seconds < 1 || seconds > limit {
            return Err(MintError::Life { seconds, limit });
        }
        if grant.bound && grant.instance.is_none() {
            return Err(MintError::NoInstance);
        }
        self.sealed(&write_claims(grant, issued, expires)?)
    }

    /// Claims as a signed token that is not longer than it is read.
    pub(crate) fn sealed(&self, claims: &[u8]) -> Result<String, MintError> {
        let token = seal(&self.header()?, claims, &self.0).ok_or(MintError::Signing)?;
        if token.len() > TOKEN_BYTES {
            return Err(MintError::TooLarge { length: token.len(), limit: TOKEN_BYTES });
        }
        Ok(token)
    }

    fn header(&self) -> Result<Vec<u8>, WriterError> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.begin_object().field_str("alg", self.algorithm().as_str());
        writer.field_str("kid", self.kid()).field_str("typ", "at+jwt").end();
        writer.finish()?;
        Ok(out)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({} {})", self.algorithm().as_str(), self.kid())
    }
}

fn write_claims(grant: &Grant<'_>, issued: i64, expires: i64) -> Result<Vec<u8>, WriterError> {
    let mut out = Vec::with_capacity(640);
    let mut writer = Writer::new(&mut out);
    let agent = grant.agent.as_str();
    let bound_to = grant.instance.filter(|_| grant.bound);
    writer.begin_object();
    let delegation = &grant.delegation;
    delegation.write_act(&mut writer, agent, grant.user.is_some());
    writer.field_str("agent", agent);
    if let Some(instance) = grant.instance {
        writer.field_str("agent_instance", instance);
    }
    writer.field_str("agent_version", &grant.version.to_string());
    writer.field_str("aud", grant.audience);
    if let Some(actions) = delegation.actions {
        writer.field_raw("authorization_details", &write_details(actions));
    }
    if !delegation.chain.is_empty() {
        writer.field_raw("chain", &write_chain(delegation.chain));
    }
    writer.field_str("client_id", agent);
    match (grant.certificate, bound_to) {
        (Some(thumbprint), _) => {
            writer.field_object("cnf").field_str("x5t#S256", thumbprint).end();
        }
        (None, Some(jkt)) => drop(writer.field_object("cnf").field_str("jkt", jkt).end()),
        (None, None) => {}
    }
    writer.field_int("exp", expires).field_int("iat", issued);
    writer.field_str("iss", grant.issuer).field_str("jti", &grant.token.to_string());
    delegation.write_may_act(&mut writer);
    if let Some(scope) = grant.scope {
        writer.field_str("scope", scope);
    }
    delegation.write_key(&mut writer);
    delegation.write_subject(&mut writer, agent, grant.user);
    if let Some(task) = grant.task {
        writer.field_str("task", &task.to_string());
    }
    writer.end();
    writer.finish()?;
    Ok(out)
}
