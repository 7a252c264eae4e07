//! A reviewer's signature under the review of one version of an agent.

use crate::{
    agent_keys::AgentKeys,
    claims::Claims,
    compact::Compact,
    credential::{Credential, CredentialError},
    limits::ASSERTION_BYTES,
};
use model::{AgentName, Digest, Name, Timestamp};

const WHAT: Credential = Credential::Signoff;
/// No access token, proof or assertion can serve as one, and none of these as any other.
pub(crate) const TYPE: &str = "ambit-review+jwt";

/// What a reviewer signs.
#[derive(Clone, Debug)]
pub struct SignoffClaims<'a> {
    /// Who reviews.
    pub reviewer: &'a Name,
    /// The agent.
    pub agent: &'a AgentName,
    /// The version that may act.
    pub version: Digest,
    /// The digest of the page that was shown.
    pub page: Digest,
    /// When.
    pub issued: Timestamp,
}

/// Evidence that the holder of one of these keys signed the review of this version, as this page shows it.
///
/// ```compile_fail
/// let signoff: identity::Signoff = todo!();
/// let again = signoff.clone(); // one signature is one value
/// ```
#[must_use]
#[derive(Debug)]
pub struct Signoff {
    key: String,
}

impl Signoff {
    /// The thumbprint of the key that signed.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// Checks form, type, key, algorithm and signature, and that it says exactly this.
pub fn verify_signoff(
    signed: &str,
    keys: &AgentKeys,
    expected: &SignoffClaims<'_>,
) -> Result<Signoff, CredentialError> {
    let compact = Compact::open(signed, WHAT, ASSERTION_BYTES)?;
    compact.expect_type(TYPE)?;
    let kid = compact.header_text("kid")?;
    let key = keys.find(Some(kid)).ok_or(CredentialError::UnknownKey { what: WHAT })?;
    compact.check_signature(key)?;
    let claims = Claims::new(WHAT, compact.claims()?);
    let wanted = [
        ("agent", expected.agent.to_string()),
        ("page", expected.page.to_string()),
        ("sub", expected.reviewer.to_string()),
        ("version", expected.version.to_string()),
    ];
    for (member, text) in wanted {
        if claims.text(member)? != text {
            return Err(claims.inconsistent("it is of another reviewer, agent, version or page"));
        }
    }
    claims.begun(expected.issued)?;
    Ok(Signoff { key: key.thumbprint().to_owned() })
}
