//! Names of workloads across organisations: `spiffe://trust-domain/path` (SPIFFE ID §2).

use crate::{
    limits::SPIFFE_BYTES,
    name::{AgentName, NameError},
};
use std::fmt;

/// A SPIFFE ID with a path. Two are equal if their bytes are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    text: String,
    domain: TrustDomain,
}

/// A trust domain: whose certificate authorities speak for an ID.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(String);

const FORM: &str = "`spiffe://trust-domain/path`";

impl TrustDomain {
    /// Lower-case letters, digits, `.`, `-` and `_`.
    pub fn new(text: &str) -> Result<TrustDomain, NameError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
        if text.is_empty() || text.len() > 255 || !text.chars().all(allowed) {
            let form = "a trust domain: lower-case letters, digits, `.`, `-` and `_`";
            return Err(NameError::Form { name: cut(text), form });
        }
        Ok(TrustDomain(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ID of an agent that is registered here.
    #[must_use]
    pub fn agent(&self, name: &AgentName) -> SpiffeId {
        SpiffeId { text: format!("spiffe://{}/agent/{name}", self.0), domain: self.clone() }
    }
}

impl SpiffeId {
    /// Reads an ID of one certain form: no empty or dot segments, no escapes, no port, no query.
    pub fn parse(text: &str) -> Result<SpiffeId, NameError> {
        let refused = || NameError::Form { name: cut(text), form: FORM };
        if text.len() > SPIFFE_BYTES {
            return Err(refused());
        }
        let rest = text.strip_prefix("spiffe://").ok_or_else(refused)?;
        let (domain, path) = rest.split_once('/').ok_or_else(refused)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        let plain = |segment: &str| {
            !segment.is_empty() && segment != "." && segment != ".." && segment.chars().all(allowed)
        };
        if !path.split('/').all(plain) {
            return Err(refused());
        }
        let domain = TrustDomain::new(domain).map_err(|_| refused())?;
        Ok(SpiffeId { text: text.to_owned(), domain })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its trust domain.
    #[must_use]
    pub const fn domain(&self) -> &TrustDomain {
        &self.domain
    }
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let check = |text: &str, fine: bool| {
            assert_eq!(SpiffeId::parse(text).is_ok(), fine, "{text}");
        };
        check("spiffe://corp.example/ns/support/sa/helpdesk", true);
        check("spiffe://corp.example/A_b-c.d", true);
        for text in [
            "spiffe://corp.example",
            "spiffe://corp.example/",
            "spiffe://corp.example/a/",
            "spiffe://corp.example//a",
            "spiffe://corp.example/a/../b",
            "spiffe://corp.example/*",
            "spiffe://corp.example/a%2fb",
            "spiffe://corp.example:8443/a",
            "spiffe://user@corp.example/a",
            "spiffe://Corp.example/a",
            "SPIFFE://corp.example/a",
            "https://corp.example/a",
            "spiffe:///a",
        ] {
            check(text, false);
        }
    }

    #[test]
    fn an_agents_id_is_one() {
        let agent = TrustDomain::new("ambit.internal").unwrap();
        let agent = agent.agent(&crate::Name::new("help_desk-1").unwrap());
        assert_eq!(SpiffeId::parse(agent.as_str()).unwrap(), agent);
    }
}
