//! Issues a token: authenticate, decide, mint, record durably, hand out.

use crate::{
    authenticate::{Client, Reuse, Shown, Way, authenticate},
    decide::{Binding, Decided, Wish, check_client, decide},
    directory::Directory,
    error::IssueError,
    exchange,
    federated::Candidate,
    form::Form,
    limits::DECISIONS,
    record::{IssuedRecord, Origin, RefusedRecord},
    scoped_key::is_secret,
    settings::Settings,
};
use identity::{Delegation, Grant, Nonces, ProofTarget, verify_proof};
use ledger::{AppendError, Journal};
use model::{
    ActionId, AgentName, Code, Timestamp, TokenId,
    record::{Condition, Recordable},
};
use std::{collections::BTreeSet, sync::Arc};

/// The authorization server.
#[derive(Clone)]
pub struct Issuer {
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) settings: Arc<Settings>,
    journal: Journal,
}

/// A token whose issue is durable.
#[must_use = "the issue is recorded: hand the token out"]
pub struct Issued {
    /// The access token.
    pub token: String,
    /// Its `jti`.
    pub id: TokenId,
    /// Its `exp`.
    pub expires: Timestamp,
    /// Seconds from now until it ends.
    pub expires_in: i64,
    /// Whether it is bound to a key or certificate.
    pub bound: bool,
    /// Whether it is shown as `DPoP`; otherwise as `Bearer`, over TLS with the certificate that it is bound to if it is.
    pub by_proof: bool,
    /// The only actions that it reaches, if it names them.
    pub actions: Option<BTreeSet<ActionId>>,
    /// Whether it came of another token.
    pub exchanged: bool,
}

/// What is asked for over `control.sock` by who was checked there.
#[derive(Clone, Debug)]
pub struct LocalRequest {
    /// The agent.
    pub agent: AgentName,
    /// The door's full URL.
    pub resource: String,
    /// A task of the agent, by its reference.
    pub task: Option<String>,
    /// The thumbprint of one of the agent's keys to bind the token to; `None` only for an agent
    /// with `proof: none`.
    pub bind_to: Option<String>,
}

impl Issuer {
    /// An issuer that knows what the directory knows and records in this journal.
    #[must_use]
    pub fn new(directory: Arc<dyn Directory>, journal: Journal, settings: Settings) -> Issuer {
        Issuer { directory, settings: Arc::new(settings), journal }
    }

    /// Issues a token without an assertion, for `ambit token` on `control.sock`. The checks are the
    /// same but for the client's authentication, which is the socket's: mode 0600 and peer uid.
    pub async fn issue(&self, request: LocalRequest) -> Result<Issued, IssueError> {
        let client = Client { agent: request.agent, way: Way::Control, peer: None };
        let binding = request.bind_to.map_or(Binding::None, Binding::Key);
        let (resource, task) = (request.resource, request.task);
        let wish = Wish { resource, task, version: None, binding, actions: None, parent: None };
        self.grant(client, wish).await
    }

    /// Answers `POST /oauth/token`.
    pub(crate) async fn token(&self, shown: Shown<'_>, body: &[u8]) -> Result<Issued, IssueError> {
        let (form, client) = self.admit_any(shown, body).await?;
        let wish = match self.read_wish(&client, &form) {
            Ok(wish) => wish,
            Err(error) => {
                let exchange = form.get("grant_type") == Some(exchange::GRANT);
                let operation = if exchange { "exchange" } else { "issue" };
                return Err(self.refuse(client, None, error, operation).await);
            }
        };
        match self.read_binding(shown, &self.settings.token_endpoint()) {
            Ok(binding) => {
                let wish = Wish { binding, ..wish };
                match self.directory.client(&client.agent) {
                    Some(registered) => self.grant_to_client(client, &registered, &wish).await,
                    None => self.grant(client, wish).await,
                }
            }
            // The client is to come again, with the same assertion if it likes: nothing is decided yet.
            Err(error) if error.code() == Code::NonceWanted => {
                self.count(&error);
                Err(error)
            }
            Err(error) => {
                let operation = wish.operation();
                Err(self.refuse(client, Some(wish), error, operation).await)
            }
        }
    }

    /// What an authenticated client asks for, but for its proof.
    fn read_wish(&self, client: &Client, form: &Form) -> Result<Wish, IssueError> {
        let parent = match form.require("grant_type")? {
            "client_credentials" => None,
            exchange::GRANT => {
                let (directory, settings) = (self.directory.as_ref(), &self.settings);
                Some(exchange::read_parent(directory, settings, client, form)?)
            }
            _ => return Err(IssueError::GrantType),
        };
        if form.get("scope").is_some() {
            return Err(IssueError::Scope);
        }
        let text = |name| form.get(name).map(str::to_owned);
        Ok(Wish {
            resource: exchange::read_resource(form)?,
            task: text("task"),
            version: text("agent_version"),
            binding: Binding::None,
            actions: exchange::read_actions(form)?,
            parent,
        })
    }

    /// Reads and authenticates a request for anything but a token, which is all that a scoped key is for.
    pub(crate) async fn admit(
        &self,
        shown: Shown<'_>,
        body: &[u8],
    ) -> Result<(Form, Client), IssueError> {
        let (form, client) = self.admit_any(shown, body).await?;
        if matches!(client.way, Way::ScopedKey { .. }) {
            self.count(&IssueError::ScopedKeyElsewhere);
            return Err(IssueError::ScopedKeyElsewhere);
        }
        Ok((form, client))
    }

    /// Reads and authenticates a request. A stranger is counted, not recorded.
    async fn admit_any(&self, shown: Shown<'_>, body: &[u8]) -> Result<(Form, Client), IssueError> {
        let directory = self.directory.as_ref();
        let form = Form::read(shown.headers, body).inspect_err(|error| self.count(error))?;
        let foreign = Candidate::of(directory, &form);
        let client = match foreign.filter(|_| !is_secret(shown, &form)) {
            Some(foreign) => foreign.authenticate(directory, &self.settings, shown.peer).await,
            None => authenticate(directory, &self.settings, shown, &form),
        };
        Ok((form, client.inspect_err(|error| self.count(error))?))
    }

    pub(crate) fn count(&self, error: &IssueError) {
        self.directory.refused_before_authentication(error.code(), error.reason());
    }

    /// What a request to another endpoint than the token's must hold at its commit, beside the use of its assertion: an
    /// assertion that may be used again proves nothing without the key that it is pinned to.
    pub(crate) async fn prove_key(
        &self,
        client: &Client,
        shown: Shown<'_>,
        url: &str,
        operation: &'static str,
    ) -> Result<Vec<Condition>, IssueError> {
        if client.pinned().is_none() {
            return Ok(Vec::new());
        }
        // Read before everything that is looked at, as for a token: who may buy none makes no pin either.
        let revision = self.directory.control_revision();
        let standing = check_client(self.directory.as_ref(), client);
        let read = standing.and_then(|subjects| Ok((subjects, self.read_binding(shown, url)?)));
        let read = read.and_then(|(subjects, binding)| {
            let (key, used) = match binding {
                Binding::Proof { jkt, single_use: (what, until) } => {
                    (jkt, Some(Condition::Unused { what, until }))
                }
                Binding::Certificate { key, .. } => (key.ok_or(IssueError::CertificateKey)?, None),
                Binding::None | Binding::Key(_) => return Err(IssueError::ProofMissing),
            };
            Ok((key, used, Condition::NotRevokedSince { subjects, decided_at: revision }))
        });
        match read {
            Ok((key, used, standing)) => {
                let origin = self.origin(client.clone(), revision);
                Ok(origin.pins(&key).into_iter().chain(used).chain([standing]).collect())
            }
            // The client is to come again with the nonce.
            Err(error) if error.code() == Code::NonceWanted => {
                self.count(&error);
                Err(error)
            }
            Err(error) => Err(self.refuse(client.clone(), None, error, operation).await),
        }
    }

    /// The proof for this URL that came, or else the certificate of the connection.
    fn read_binding(
        &self,
        Shown { headers, certificate, .. }: Shown<'_>,
        url: &str,
    ) -> Result<Binding, IssueError> {
        let mut sent = headers.get_all("dpop").iter();
        let Some(first) = sent.next() else {
            let shown = certificate.filter(|shown| shown.is_current(self.directory.now()));
            return Ok(shown.map_or(Binding::None, |shown| Binding::Certificate {
                thumbprint: shown.thumbprint().to_owned(),
                key: shown.key_thumbprint().map(str::to_owned),
            }));
        };
        if sent.next().is_some() {
            return Err(IssueError::ProofRepeated);
        }
        let nonces = Nonces::Demanded(self.directory.nonce_key());
        let target = ProofTarget { method: "POST", url, token: None, nonces };
        // What is not ASCII is not base64url either, so that it fails as a proof.
        let text = first.to_str().unwrap_or_default();
        let proof = verify_proof(text, &target, self.directory.now()).map_err(IssueError::Proof)?;
        let single_use = proof.single_use();
        Ok(Binding::Proof { jkt: proof.thumbprint().to_owned(), single_use })
    }

    /// Decides, mints and records, again if someone was revoked meanwhile.
    async fn grant(&self, client: Client, wish: Wish) -> Result<Issued, IssueError> {
        for _ in 0..DECISIONS {
            // Read before everything that the decision looks at.
            let revision = self.directory.control_revision();
            let made = decide(self.directory.as_ref(), &client, &wish)
                .and_then(|decided| Ok((self.mint(&client, &wish, &decided)?, decided)));
            let ((token, id), decided) = match made {
                Ok(made) => made,
                Err(error) => {
                    let operation = wish.operation();
                    return Err(self.refuse(client, Some(wish), error, operation).await);
                }
            };
            let (expires, bound, actions) =
                (decided.expires, decided.bound, decided.actions.clone());
            let exchanged = wish.parent.is_some();
            let by_proof = bound && decided.certificate.is_none();
            let origin = self.origin(client.clone(), revision);
            let record = IssuedRecord { origin, wish: wish.clone(), decided, token: id };
            match self.record(record).await {
                Ok(()) => {
                    let expires_in = expires.since(self.directory.now()).as_seconds().max(0);
                    return Ok(Issued {
                        token,
                        id,
                        expires,
                        expires_in,
                        bound,
                        by_proof,
                        actions,
                        exchanged,
                    });
                }
                Err(AppendError::Moved) => {}
                Err(AppendError::Failed(condition)) => {
                    return Err(self.replayed(client, wish, &condition).await);
                }
                Err(error) => return Err(IssueError::of_append(&error)),
            }
        }
        let operation = wish.operation();
        Err(self.refuse(client, Some(wish), IssueError::Undecidable, operation).await)
    }

    fn mint(
        &self,
        client: &Client,
        wish: &Wish,
        decided: &Decided,
    ) -> Result<(String, TokenId), IssueError> {
        let id = TokenId::new(decided.issued, self.directory.random());
        let token = self.directory.signing_key().mint(&Grant {
            issuer: self.settings.issuer(),
            audience: &wish.resource,
            agent: &client.agent,
            version: decided.version,
            instance: decided.instance.as_deref(),
            user: decided.user.as_ref(),
            task: decided.task,
            scope: None,
            token: id,
            issued: decided.issued,
            expires: decided.expires,
            bound: decided.bound,
            certificate: decided.certificate.as_deref(),
            delegation: Delegation {
                chain: &decided.chain,
                actions: decided.actions.as_ref(),
                may_act: &decided.may_act,
                key: client.scoped_key().map(|(id, _)| id),
            },
        })?;
        Ok((token, id))
    }

    /// A used proof and another key than the pinned one make a refused client, who is recorded; a used assertion makes a
    /// stranger, whose record fails for the same reason and who is counted.
    async fn replayed(&self, client: Client, wish: Wish, condition: &Condition) -> IssueError {
        let is_proof = matches!(
            (condition, &wish.binding),
            (Condition::Unused { what, .. }, Binding::Proof { single_use, .. })
                if *what == single_use.0
        );
        let error = match condition {
            Condition::Pinned { .. } => IssueError::OtherKey,
            _ if is_proof => IssueError::ProofReplayed,
            _ => IssueError::AssertionReplayed,
        };
        let operation = wish.operation();
        self.refuse(client, Some(wish), error, operation).await
    }

    /// Records the refusal durably and gives the error to answer with: the refusal, or that it
    /// could not be recorded.
    pub(crate) async fn refuse(
        &self,
        client: Client,
        wish: Option<Wish>,
        error: IssueError,
        operation: &'static str,
    ) -> IssueError {
        let (now, origin) =
            (self.directory.now(), self.origin(client, self.directory.control_revision()));
        let client = origin.client.clone();
        let record = RefusedRecord { origin, wish, error: error.clone(), operation, now };
        match self.record(record).await {
            Ok(()) => {
                if error == IssueError::OtherKey {
                    self.directory.other_key(&client.agent);
                }
                error
            }
            // Enough of these are recorded.
            Err(AppendError::Failed(Condition::Within { .. })) => {
                self.count(&error);
                error
            }
            Err(error) => self.not_recorded(&client, &error),
        }
    }

    /// The same for a request that is recorded with what [`Issuer::prove_key`] gave.
    pub(crate) async fn unproven(
        &self,
        client: Client,
        error: &AppendError,
        operation: &'static str,
    ) -> IssueError {
        let error = match error {
            AppendError::Failed(Condition::Pinned { .. }) => IssueError::OtherKey,
            AppendError::Failed(Condition::Unused { .. }) if client.pinned().is_some() => {
                IssueError::ProofReplayed
            }
            AppendError::Moved if client.pinned().is_some() => IssueError::Revoked,
            error => return self.not_recorded(&client, error),
        };
        self.refuse(client, None, error, operation).await
    }

    /// What a record that was not written means; a used assertion makes a stranger.
    pub(crate) fn not_recorded(&self, client: &Client, error: &AppendError) -> IssueError {
        match error {
            AppendError::Failed(condition) if condition_is_of(condition, client) => {
                self.count(&IssueError::AssertionReplayed);
                IssueError::AssertionReplayed
            }
            error => IssueError::of_append(error),
        }
    }

    pub(crate) fn origin(&self, client: Client, revision: u64) -> Origin {
        let (development, pinning) = (self.settings.development(), self.settings.pins());
        Origin { client, development, pinning, revision }
    }

    /// Appends a record and waits until it is durable.
    pub(crate) async fn record<T>(&self, record: T) -> Result<(), AppendError>
    where
        T: Recordable + Send + Unpin + 'static,
    {
        let pending = self.journal.append(record, self.directory.stamp());
        let durable = match pending {
            Ok(pending) => pending.await,
            Err(refused) => return Err(refused.error),
        };
        match durable {
            Ok(_) => Ok(()),
            Err(refused) => Err(refused.error),
        }
    }
}

/// Whether the condition is that the client's assertion is unused.
fn condition_is_of(condition: &Condition, client: &Client) -> bool {
    let Condition::Unused { what, .. } = condition else { return false };
    match &client.way {
        Way::Assertion { single_use: (used, _), .. }
        | Way::Federated { reuse: Reuse::Once(used, _), .. } => used == what,
        Way::Federated { reuse: Reuse::Pinned(_), .. }
        | Way::Certificate { .. }
        | Way::ScopedKey { .. }
        | Way::Control => false,
    }
}
