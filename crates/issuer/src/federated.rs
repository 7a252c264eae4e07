//! Agents that come with an assertion of a foreign issuer (RFC 7523 §2.2): who is believed, and about whom.

use crate::{
    authenticate::{ASSERTION_TYPES, Client, Reuse, Way},
    directory::Directory,
    error::IssueError,
    form::Form,
    settings::Settings,
};
use identity::{CredentialError, Expected, Foreign, ForeignKeys, stated_issuer, verify_foreign};
use model::{AgentName, Name, Peer, declared::Federated};
use std::{future::Future, pin::Pin, sync::Arc};

/// The keys of a foreign issuer, or that they cannot be had now.
pub type ForeignKeysSoon<'a> =
    Pin<Box<dyn Future<Output = Result<Arc<ForeignKeys>, IssueError>> + Send + 'a>>;

/// `typ` of what workloads bring: projected tokens, tokens of a pipeline, JWT-SVIDs.
const TYPES: &[&str] = &["JWT", "JOSE"];

/// An assertion whose stated issuer is declared for the agent that `client_id` names.
pub(crate) struct Candidate {
    agent: AgentName,
    pinned_since: u64,
    issuer: String,
    declared: Vec<Federated>,
    assertion: String,
}

impl Candidate {
    /// Whether a form brings one. Only declared issuers are ever asked for their keys.
    pub(crate) fn of(directory: &dyn Directory, form: &Form) -> Option<Candidate> {
        let kind = form.get("client_assertion_type")?;
        let assertion = form.get("client_assertion").filter(|_| ASSERTION_TYPES.contains(&kind))?;
        let agent: AgentName = Name::new(form.get("client_id")?).ok()?;
        let issuer = stated_issuer(assertion).ok()?;
        let registered = directory.agent(&agent)?;
        let declared = registered.federated.iter().filter(|entry| entry.issuer == issuer);
        let declared: Vec<Federated> = declared.cloned().collect();
        let (assertion, pinned_since) = (assertion.to_owned(), registered.pinned_since);
        let candidate = Candidate { agent, pinned_since, issuer, declared, assertion };
        (!candidate.declared.is_empty()).then_some(candidate)
    }

    /// Authenticates it. Keys that do not know the one that signed are fetched once more: the issuer may have changed
    /// them.
    pub(crate) async fn authenticate(
        self,
        directory: &dyn Directory,
        settings: &Settings,
        peer: Option<Peer>,
    ) -> Result<Client, IssueError> {
        let keys = directory.foreign_keys(&self.issuer, false).await?;
        let checked = match self.check(&keys, directory, settings) {
            Err(IssueError::Federated(CredentialError::UnknownKey { .. })) => {
                let keys = directory.foreign_keys(&self.issuer, true).await?;
                self.check(&keys, directory, settings)
            }
            checked => checked,
        };
        checked.map(|client| Client { peer, ..client })
    }

    fn check(
        &self,
        keys: &ForeignKeys,
        directory: &dyn Directory,
        settings: &Settings,
    ) -> Result<Client, IssueError> {
        // The assertion is one; which entry it fits, its claims say. Each entry has its own greatest age.
        let mut refused = IssueError::OtherWorkload;
        for entry in &self.declared {
            let expected = Expected {
                issuer: &self.issuer,
                audience: settings.issuer(),
                types: TYPES,
                max_age: Some(entry.max_age),
            };
            match verify_foreign(&self.assertion, keys, &expected, directory.now()) {
                Ok(token) if is(entry, &token) => match self.reuse(entry, &token) {
                    Some(reuse) => {
                        let (issuer, subject) = (self.issuer.clone(), token.subject().to_owned());
                        let way = Way::Federated { issuer, subject, reuse };
                        return Ok(Client { agent: self.agent.clone(), way, peer: None });
                    }
                    None => refused = IssueError::Unpinned,
                },
                Ok(_) => {}
                Err(error) => refused = IssueError::Federated(error),
            }
        }
        Err(refused)
    }

    /// How often the assertion counts; `None` if it lacks what its key would be pinned by.
    fn reuse(&self, entry: &Federated, token: &Foreign) -> Option<Reuse> {
        match &entry.pin {
            Some(pin) => token.workload(&self.agent, self.pinned_since, pin).map(Reuse::Pinned),
            None => {
                let (what, until) = token.single_use();
                Some(Reuse::Once(what, until))
            }
        }
    }
}

/// Whether a token is of exactly the declared workload.
fn is(entry: &Federated, token: &Foreign) -> bool {
    let claims = || entry.claims.iter().all(|(path, value)| token.says(path, value));
    token.subject() == entry.subject && claims()
}
