//! Certificates of agents: who shows one (RFC 8705 §2), and who gets one (X.509-SVID).

use crate::{
    authenticate::{Client, Shown, Way},
    decide::is_inside,
    directory::{Directory, RegisteredAgent},
    error::IssueError,
    form::Form,
    issue::Issuer,
    record::CertifiedRecord,
};
use identity::{Certificate, SigningRequest};
use ledger::subject_digest;
use model::{AgentName, Digest, Name, Peer, SpiffeId, Timestamp};

/// A certificate that was signed for an agent.
#[derive(Clone, Debug)]
pub struct Certified {
    /// In PEM.
    pub certificate: String,
    /// The authority's own, in PEM.
    pub authority: String,
    /// Whom it names.
    pub spiffe_id: SpiffeId,
    /// The thumbprint of its key: the instance.
    pub key: String,
    /// Its end.
    pub expires: Timestamp,
}

/// Who shows a certificate: the agent that `client_id` names, by its name or its SPIFFE ID, if the certificate names
/// one of its workloads (`tls_client_auth`), or is of one of its registered keys (`self_signed_tls_client_auth`).
pub(crate) fn by_certificate(
    directory: &dyn Directory,
    (certificate, peer): (&Certificate, Option<Peer>),
    form: &Form,
) -> Result<Client, IssueError> {
    let id = form.get("client_id").ok_or(IssueError::Missing("client_id"))?;
    let named = Name::new(id).ok().or_else(|| directory.agent_of(&SpiffeId::parse(id).ok()?));
    let agent = named.ok_or(IssueError::Certificate)?;
    let registered = directory.agent(&agent).ok_or(IssueError::Certificate)?;
    let key = certificate.key_thumbprint().ok_or(IssueError::CertificateKey)?;
    let is_its = certificate.spiffe_id().is_some_and(|id| registered.workloads.contains(id))
        || registered.keys.contains(key);
    if !is_its || !certificate.is_current(directory.now()) {
        return Err(IssueError::Certificate);
    }
    Ok(Client { agent, way: Way::Certificate { key: key.to_owned() }, peer })
}

/// Whether the key of a request is the one that its client proved to hold: a certificate for another key would be
/// another instance, which whoever revokes the first does not know of.
fn is_own(client: &Client, request: &SigningRequest) -> bool {
    match &client.way {
        Way::Assertion { key, .. } | Way::Certificate { key } => key == request.key_thumbprint(),
        // It holds no key that a certificate could be for.
        Way::Federated { .. } | Way::ScopedKey { .. } => false,
        Way::Control => true,
    }
}

impl Issuer {
    /// Answers `POST /oauth/certificate`: a certificate for the key that the client authenticated with.
    pub(crate) async fn certificate(
        &self,
        shown: Shown<'_>,
        body: &[u8],
    ) -> Result<Certified, IssueError> {
        let (form, client) = self.admit(shown, body).await?;
        match form.require("csr").map(str::to_owned) {
            Ok(csr) => self.certified(client, &csr).await,
            Err(error) => Err(self.refuse(client, None, error, "certificate").await),
        }
    }

    /// Signs a certificate for whoever may use `control.sock`.
    pub async fn certify(&self, agent: AgentName, csr: &str) -> Result<Certified, IssueError> {
        self.certified(Client { agent, way: Way::Control, peer: None }, csr).await
    }

    async fn certified(&self, client: Client, csr: &str) -> Result<Certified, IssueError> {
        // Read before everything that the decision looks at.
        let revision = self.directory.control_revision();
        let signed = SigningRequest::read(csr)
            .map_err(IssueError::Request)
            .and_then(|request| self.sign(&client, &request));
        let (certified, subjects) = match signed {
            Ok(signed) => signed,
            Err(error) => return Err(self.refuse(client, None, error, "certificate").await),
        };
        let origin = self.origin(client.clone(), revision);
        let record = CertifiedRecord { origin, certified: certified.clone(), subjects };
        match self.record(record).await {
            Ok(()) => Ok(certified),
            // Somebody was revoked meanwhile: the client asks again, and learns whether it was meant.
            Err(ledger::AppendError::Moved) => Err(IssueError::Undecidable),
            Err(error) => Err(self.not_recorded(&client, &error)),
        }
    }

    fn sign(
        &self,
        client: &Client,
        request: &SigningRequest,
    ) -> Result<(Certified, Vec<Digest>), IssueError> {
        let agent = self.directory.agent(&client.agent).ok_or(IssueError::Revoked)?;
        if !is_inside(client, &agent) {
            return Err(IssueError::Network);
        }
        if !is_own(client, request) {
            return Err(IssueError::RequestKey);
        }
        let subjects = subjects(&client.agent, &agent, request.key_thumbprint());
        if subjects.iter().any(|subject| self.directory.is_revoked(subject)) {
            return Err(IssueError::Revoked);
        }
        if let Some(code) = self.directory.refused(&client.agent, &agent.version) {
            return Err(IssueError::Standing(code));
        }
        let certified = self.directory.certify(&client.agent, request)?;
        Ok((certified, subjects))
    }
}

/// Everyone whose revocation takes a certificate's issue back.
fn subjects(name: &AgentName, agent: &RegisteredAgent, instance: &str) -> Vec<Digest> {
    vec![
        subject_digest("agent", name.as_str()),
        subject_digest("version", &agent.version.to_string()),
        subject_digest("owner", &agent.owner.to_string()),
        subject_digest("instance", instance),
        subject_digest("all", "*"),
    ]
}
