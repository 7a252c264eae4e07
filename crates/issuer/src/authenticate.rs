//! Who asks: by `private_key_jwt`, by the certificate of the connection, by a foreign issuer's word, or by a scoped key.

use crate::{
    certificate::by_certificate,
    directory::Directory,
    error::IssueError,
    form::Form,
    scoped_key::{by_scoped_key, is_secret},
    settings::Settings,
};
use http::HeaderMap;
use identity::{Certificate, ClientAssertion, ScopedKey, Workload, verify_client_assertion};
use model::{AgentName, Digest, Peer, Timestamp};

/// What a request shows beside its body.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) headers: &'a HeaderMap,
    /// The certificate that the listener took from the handshake.
    pub(crate) certificate: Option<&'a Certificate>,
    /// Where the connection comes from, as its socket says it.
    pub(crate) peer: Option<Peer>,
}

/// How an agent came to ask, as its record says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// With a client assertion, over HTTP.
    Assertion {
        /// The thumbprint of the key that signed.
        key: String,
        /// What is used up, and until when that is remembered.
        single_use: (Digest, Timestamp),
    },
    /// With the certificate of the connection (RFC 8705 §2).
    Certificate {
        /// The thumbprint of its key.
        key: String,
    },
    /// With an assertion of a foreign issuer (RFC 7523 §2.2).
    Federated {
        /// The issuer.
        issuer: String,
        /// Whom it names there.
        subject: String,
        /// How often it counts.
        reuse: Reuse,
    },
    /// With a scoped key (RFC 6749 §2.3.1).
    ScopedKey {
        /// Its id.
        id: String,
        /// What is kept of it.
        key: Box<ScopedKey>,
    },
    /// Over `control.sock`, whose peer was checked.
    Control,
}

/// How often an assertion of a foreign issuer counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// Once: what is used up, and until when that is remembered.
    Once(Digest, Timestamp),
    /// While it lives, with the key that this workload came with first. Nothing is proven by it alone.
    Pinned(Workload),
}

/// An authenticated client.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) agent: AgentName,
    pub(crate) way: Way,
    pub(crate) peer: Option<Peer>,
}

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The types of assertions of foreign issuers.
pub(crate) const ASSERTION_TYPES: [&str; 2] =
    [ASSERTION_TYPE, "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"];

/// Checks the assertion of a form, or without one the connection's certificate. Whoever fails here is a stranger:
/// counted, not recorded.
pub(crate) fn authenticate(
    directory: &dyn Directory,
    settings: &Settings,
    shown: Shown<'_>,
    form: &Form,
) -> Result<Client, IssueError> {
    if is_secret(shown, form) {
        return by_scoped_key(directory, shown, form);
    }
    let Shown { certificate, peer, .. } = shown;
    if let Some(certificate) = certificate.filter(|_| form.get("client_assertion").is_none()) {
        return by_certificate(directory, (certificate, peer), form);
    }
    if form.get("client_assertion_type") != Some(ASSERTION_TYPE) {
        return Err(IssueError::Method);
    }
    let assertion = verify_client_assertion(
        form.get("client_assertion").ok_or(IssueError::Method)?,
        |name| {
            let of_agent = directory.agent(name).map(|agent| agent.keys.clone());
            of_agent.or_else(|| directory.client(name).map(|client| client.keys.clone()))
        },
        settings.issuer(),
        &settings.token_endpoint(),
        directory.now(),
    )
    .map_err(IssueError::Assertion)?;
    if form.get("client_id").is_some_and(|id| id != assertion.agent().as_str()) {
        return Err(IssueError::OtherClient);
    }
    Ok(Client::of(&assertion, peer))
}

impl Client {
    /// The thumbprint of the key that it authenticated with, if it did with one of its own.
    pub(crate) fn key(&self) -> Option<&str> {
        match &self.way {
            Way::Assertion { key, .. } | Way::Certificate { key } => Some(key),
            Way::Federated { .. } | Way::ScopedKey { .. } | Way::Control => None,
        }
    }

    /// The scoped key that it came with, and its id.
    pub(crate) fn scoped_key(&self) -> Option<(&str, &ScopedKey)> {
        match &self.way {
            Way::ScopedKey { id, key } => Some((id, key)),
            Way::Assertion { .. }
            | Way::Certificate { .. }
            | Way::Federated { .. }
            | Way::Control => None,
        }
    }

    /// The workload whose key is pinned, if it came with an assertion that may be used again.
    pub(crate) const fn pinned(&self) -> Option<&Workload> {
        match &self.way {
            Way::Federated { reuse: Reuse::Pinned(workload), .. } => Some(workload),
            Way::Federated { .. }
            | Way::Assertion { .. }
            | Way::Certificate { .. }
            | Way::ScopedKey { .. }
            | Way::Control => None,
        }
    }

    fn of(assertion: &ClientAssertion, peer: Option<Peer>) -> Client {
        Client {
            peer,
            agent: assertion.agent().clone(),
            way: Way::Assertion {
                key: assertion.key_thumbprint().to_owned(),
                single_use: assertion.single_use(),
            },
        }
    }
}
