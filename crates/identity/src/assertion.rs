//! Checks a client assertion: `private_key_jwt` (RFC 7523 §3, OpenID Connect Core §9).

use crate::{
    agent_keys::AgentKeys,
    claims::Claims,
    compact::{Compact, is_type},
    credential::{Credential, CredentialError},
    limits::{ASSERTION_BYTES, ASSERTION_COMMIT_WITHIN, ASSERTION_LIFE, LEEWAY},
    proof::use_digest,
};
use model::{AgentName, Digest, Name, Timestamp};
use std::sync::Arc;

const WHAT: Credential = Credential::Assertion;

/// Evidence that the holder of one of the agent's keys asks the issuer for a token. Its single use
/// is not checked here: [`ClientAssertion::single_use`] goes into the record that does.
///
/// ```compile_fail
/// let assertion: identity::ClientAssertion = todo!();
/// let again = assertion.clone(); // one assertion is one value
/// ```
#[must_use]
#[derive(Debug)]
pub struct ClientAssertion {
    agent: AgentName,
    key_thumbprint: String,
    expires: Timestamp,
    single_use: Digest,
}

impl ClientAssertion {
    /// The agent: `iss` and `sub`.
    #[must_use]
    pub const fn agent(&self) -> &AgentName {
        &self.agent
    }

    /// The thumbprint of the key that signed.
    #[must_use]
    pub fn key_thumbprint(&self) -> &str {
        &self.key_thumbprint
    }

    /// Its `exp`.
    #[must_use]
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// What must be unused, and until when its use must be remembered. Commit it within
    /// [`ASSERTION_COMMIT_WITHIN`] of the check.
    #[must_use]
    pub fn single_use(&self) -> (Digest, Timestamp) {
        (self.single_use, self.expires.after(LEEWAY).after(ASSERTION_COMMIT_WITHIN))
    }
}

/// Checks form, type, client, key, algorithm, signature, audience, times and `jti`.
///
/// `iss` and `sub` are the agent's name. `aud` is one value: the issuer's URL, or the token
/// endpoint's, which many clients send. `typ` is absent, `JWT` or `client-authentication+jwt`, so
/// that no access token or proof can serve as one. `exp` may have passed by the leeway.
pub fn verify_client_assertion(
    assertion: &str,
    keys_of_agent: impl FnOnce(&AgentName) -> Option<Arc<AgentKeys>>,
    issuer: &str,
    token_endpoint: &str,
    now: Timestamp,
) -> Result<ClientAssertion, CredentialError> {
    let compact = Compact::open(assertion, WHAT, ASSERTION_BYTES)?;
    check_type(&compact)?;
    let claims = Claims::new(WHAT, compact.claims()?);
    let name = claims.text("sub")?;
    if claims.text("iss")? != name {
        return Err(claims.inconsistent("`iss` is not `sub`"));
    }
    let agent = Name::new(name).map_err(|_| CredentialError::UnknownClient)?;
    let keys = keys_of_agent(&agent).ok_or(CredentialError::UnknownClient)?;
    let kid = compact.header.contains("kid").then(|| compact.header_text("kid")).transpose()?;
    let key = keys.find(kid).ok_or(CredentialError::UnknownKey { what: WHAT })?;
    compact.check_signature(key)?;
    let audience = claims.audience()?;
    if audience != issuer && audience != token_endpoint {
        return Err(CredentialError::Audience { what: WHAT });
    }
    let expires = check_times(&claims, now)?;
    let single_use = use_digest("ambit-assertion-v1", agent.as_str(), claims.identifier()?);
    let key_thumbprint = key.thumbprint().to_owned();
    Ok(ClientAssertion { agent, key_thumbprint, expires, single_use })
}

fn check_type(compact: &Compact<'_>) -> Result<(), CredentialError> {
    let expected = "JWT";
    if !compact.header.contains("typ") {
        return Ok(());
    }
    let found = compact.header_text("typ")?;
    if is_type(found, expected) || is_type(found, "client-authentication+jwt") {
        return Ok(());
    }
    Err(CredentialError::Type { what: WHAT, expected })
}

fn check_times(claims: &Claims, now: Timestamp) -> Result<Timestamp, CredentialError> {
    let expires = claims.time("exp")?;
    claims.begun(now)?;
    if expires.after(LEEWAY) <= now {
        return Err(CredentialError::Expired { what: WHAT });
    }
    if expires > now.after(ASSERTION_LIFE).after(LEEWAY) {
        let limit = ASSERTION_LIFE.as_seconds();
        return Err(CredentialError::TooLong { what: WHAT, limit });
    }
    Ok(expires)
}
