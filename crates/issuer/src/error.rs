//! Why no token was issued, and the one mapping to RFC 6749 errors and codes.

use http::StatusCode;
use identity::{AuthorityError, CredentialError, DetailsError, MintError};
use ledger::AppendError;
use model::Code;

/// Why no token was issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The form cannot be read.
    #[error("the request is not a form as the token endpoint takes it: {0}")]
    Form(&'static str),
    /// A parameter is missing.
    #[error("the parameter `{0}` is missing")]
    Missing(&'static str),
    /// A parameter comes more than once.
    #[error("a parameter comes more than once: send each once")]
    Repeated,
    /// The client authenticates in another way.
    #[error(
        "clients authenticate in one way: by `client_assertion`, by their certificate, or by a scoped key"
    )]
    Method,
    /// The client assertion was refused.
    #[error("{0}")]
    Assertion(CredentialError),
    /// The token to revoke was refused.
    #[error("{0}")]
    Token(CredentialError),
    /// `client_id` is another than the assertion's.
    #[error("`client_id` is not the subject of the client assertion")]
    OtherClient,
    /// The connection's certificate is nobody's that `client_id` names, or has expired.
    #[error(
        "the certificate of this connection is not one of the agent that `client_id` names, or is not valid now"
    )]
    Certificate,
    /// The key of the connection's certificate is of another kind.
    #[error("the key of the connection's certificate is not an Ed25519 or P-256 key")]
    CertificateKey,
    /// The agent's tokens are bound to its certificate, and none came.
    #[error(
        "this agent's tokens are bound to its certificate: ask over TLS with it, and without a `DPoP` header"
    )]
    CertificateMissing,
    /// The assertion of a foreign issuer was refused.
    #[error("{0}")]
    Federated(CredentialError),
    /// The assertion of a foreign issuer is not of a declared workload.
    #[error(
        "the assertion's subject or claims are not those of a workload that is declared for this agent"
    )]
    OtherWorkload,
    /// The assertion may be used again, and lacks the claim that its key would be pinned by.
    #[error("the assertion lacks the claim that `pin` names for this agent, or it is no text")]
    Unpinned,
    /// The workload's assertions are pinned to another key.
    #[error(
        "this workload came with another key before: use that key, or wait until the last assertion that came with it \
         has ended"
    )]
    OtherKey,
    /// The keys of a foreign issuer cannot be had.
    #[error("the keys of the assertion's issuer cannot be had now: try again in a few seconds")]
    IssuerAway,
    /// The certificate signing request was refused.
    #[error("{0}")]
    Request(AuthorityError),
    /// The certificate signing request is for another key than the client's.
    #[error(
        "`csr` is for another key than the one that this client authenticated with: use that key"
    )]
    RequestKey,
    /// There is no certificate authority here.
    #[error("no certificates are signed here")]
    NoAuthority,
    /// The client assertion was used before.
    #[error("the client assertion was used before: sign a new one with another `jti`")]
    AssertionReplayed,
    /// Another grant type.
    #[error("only `client_credentials` and token exchange are granted here")]
    GrantType,
    /// A scope was asked for.
    #[error("no scopes are defined here: leave `scope` out and name the door in `resource`")]
    Scope,
    /// The agent, its version, instance, task, human or upstream is revoked or frozen.
    #[error("this identity was revoked or frozen: stop, a person decides when it may act again")]
    Revoked,
    /// The registry does not let the agent act.
    #[error("{}: {}", .0.sentence(), .0.fix())]
    Standing(Code),
    /// The secret is not a scoped key of this client.
    #[error("the client secret is not a scoped key of this client: `ambit key create` makes one")]
    ScopedKey,
    /// The scoped key has ended.
    #[error("the scoped key has ended: ask for another, `ambit key create` makes one")]
    ScopedKeyEnded,
    /// A scoped key was shown for something else than a token.
    #[error("a scoped key buys tokens at /oauth/token, and does nothing else")]
    ScopedKeyElsewhere,
    /// A scoped key came without a proof or certificate.
    #[error(
        "a scoped key buys bound tokens only: send one `DPoP` header, or ask over TLS with a certificate"
    )]
    ScopedKeyProof,
    /// The client asks from a network that is not listed for its agent.
    #[error("{}: {}", Code::NetworkUnlisted.sentence(), Code::NetworkUnlisted.fix())]
    Network,
    /// The one-time code is no code that is open.
    #[error("this is no open code of enrolment: ask for another with `ambit agent enrol NAME`")]
    Enrolment,
    /// The version that was stated is no version that may act.
    #[error(
        "`agent_version` is no version of this agent that may act: leave it out to be the newest"
    )]
    Version,
    /// The agent must bind its tokens.
    #[error("this agent's tokens are bound to a key: send one `DPoP` header")]
    ProofMissing,
    /// The proof of possession was refused.
    #[error("{0}")]
    Proof(CredentialError),
    /// More than one `DPoP` header.
    #[error("more than one `DPoP` header came: send one")]
    ProofRepeated,
    /// The proof was used before.
    #[error("the DPoP proof was used before: sign a fresh one")]
    ProofReplayed,
    /// The named key is not one of the agent's.
    #[error("the key to bind to is not one of the agent's keys")]
    ForeignKey,
    /// The key is too old.
    #[error(
        "the key is older than its agent's `max_age`: give the agent a new one in `credentials: keys`"
    )]
    KeyAged,
    /// The resource is not exactly one door that the agent sees.
    #[error("`resource` is not the URL of exactly one door that this agent may use")]
    Target,
    /// The task is not an open one of this agent.
    #[error("`task` is not an open task of this agent")]
    Task,
    /// A type of token that is not exchanged here.
    #[error("`{0}` is another type than `urn:ietf:params:oauth:token-type:access_token`")]
    TokenType(&'static str),
    /// The token to be exchanged was refused.
    #[error("the subject token was refused: {0}")]
    SubjectToken(CredentialError),
    /// The actor's token was refused.
    #[error("the actor token was refused: {0}")]
    ActorToken(CredentialError),
    /// The actor's token is another agent's.
    #[error("`actor_token` is not a token of the client: the client is the actor, leave it out")]
    OtherActor,
    /// The subject does not let this client act.
    #[error("the agent of the subject token does not list this client in its `may_act`")]
    Unlisted,
    /// Too many agents in the chain.
    #[error("a chain of delegations has at most four agents: let an earlier one do the work")]
    ChainTooDeep,
    /// Somebody in the chain is revoked or frozen.
    #[error("the subject token, or an agent that it comes of, was revoked or frozen")]
    SubjectRevoked,
    /// An agent in the chain may not act now.
    #[error("an agent that the subject token comes of may not act now: {}", .0.sentence())]
    SubjectRefused(Code),
    /// The subject token is of an earlier version of its agent, or one that it comes of is.
    #[error("the subject token is of an earlier version of its agent: get a new one from it")]
    SubjectOutdated,
    /// The details cannot be read.
    #[error("`authorization_details` was refused: {0}")]
    Details(&'static str),
    /// The details are not ours.
    #[error("`authorization_details` was refused: {0}")]
    DetailsRefused(DetailsError),
    /// The details ask for more than there is.
    #[error("`authorization_details` asks for more than client, subject token and door have")]
    DetailsWider,
    /// The token would be too long.
    #[error("the token would name too many actions: ask for fewer in `authorization_details`")]
    TooLarge,
    /// Nothing is left of the task's life.
    #[error("the task ends before a token could be used")]
    Life,
    /// The token could not be made.
    #[error("the token could not be made")]
    Mint,
    /// The world changed on every attempt.
    #[error("the decision could not be made: try again later")]
    Undecidable,
    /// The ledger is full.
    #[error("the issuer is busy, nothing was issued: try again in a few seconds")]
    Saturated,
    /// The record could not be written.
    #[error("the issue could not be recorded, nothing was issued: try again in a few seconds")]
    Unrecorded,
}

impl IssueError {
    /// The status and the `error` of RFC 6749 §5.2, RFC 8707 §2 and RFC 9449 §5.
    #[must_use]
    pub const fn answer(&self) -> (StatusCode, &'static str) {
        match self {
            // RFC 8693 section 2.2.2 has this one error for whatever is wrong with one of the two tokens.
            IssueError::Form(_)
            | IssueError::Missing(_)
            | IssueError::Repeated
            | IssueError::Request(_)
            | IssueError::RequestKey
            | IssueError::TokenType(_)
            | IssueError::SubjectToken(_)
            | IssueError::ActorToken(_)
            | IssueError::OtherActor
            | IssueError::Unlisted
            | IssueError::ChainTooDeep
            | IssueError::SubjectRevoked
            | IssueError::SubjectOutdated
            | IssueError::SubjectRefused(_)
            | IssueError::Token(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            IssueError::CertificateMissing => (StatusCode::BAD_REQUEST, "invalid_request"),
            IssueError::NoAuthority => (StatusCode::NOT_FOUND, "invalid_request"),
            IssueError::Details(_)
            | IssueError::DetailsRefused(_)
            | IssueError::DetailsWider
            | IssueError::TooLarge => (StatusCode::BAD_REQUEST, "invalid_authorization_details"),
            IssueError::Method
            | IssueError::Certificate
            | IssueError::CertificateKey
            | IssueError::Federated(_)
            | IssueError::OtherWorkload
            | IssueError::Unpinned
            | IssueError::OtherKey
            | IssueError::Assertion(_)
            | IssueError::OtherClient
            | IssueError::KeyAged
            | IssueError::ScopedKey
            | IssueError::ScopedKeyEnded
            | IssueError::ScopedKeyElsewhere
            | IssueError::AssertionReplayed => (StatusCode::UNAUTHORIZED, "invalid_client"),
            IssueError::GrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
            IssueError::Scope => (StatusCode::BAD_REQUEST, "invalid_scope"),
            IssueError::Revoked
            | IssueError::Standing(_)
            | IssueError::Network
            | IssueError::Version
            | IssueError::Enrolment => (StatusCode::BAD_REQUEST, "unauthorized_client"),
            IssueError::Proof(CredentialError::NonceMissing | CredentialError::NonceStale) => {
                (StatusCode::BAD_REQUEST, "use_dpop_nonce")
            }
            IssueError::ProofMissing
            | IssueError::ScopedKeyProof
            | IssueError::Proof(_)
            | IssueError::ProofRepeated
            | IssueError::ProofReplayed
            | IssueError::ForeignKey => (StatusCode::BAD_REQUEST, "invalid_dpop_proof"),
            IssueError::Target => (StatusCode::BAD_REQUEST, "invalid_target"),
            IssueError::Task | IssueError::Life => (StatusCode::BAD_REQUEST, "invalid_grant"),
            IssueError::Mint => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
            IssueError::Undecidable
            | IssueError::Saturated
            | IssueError::IssuerAway
            | IssueError::Unrecorded => {
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
            }
        }
    }

    /// The code for records and answers.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            IssueError::Form(_)
            | IssueError::Missing(_)
            | IssueError::Repeated
            | IssueError::Request(_)
            | IssueError::NoAuthority
            | IssueError::GrantType
            | IssueError::TokenType(_)
            | IssueError::Details(_)
            | IssueError::DetailsRefused(_)
            | IssueError::TooLarge
            | IssueError::Scope => Code::ProtocolInvalid,
            IssueError::Method => Code::CredentialMissing,
            IssueError::Assertion(error)
            | IssueError::Token(error)
            | IssueError::SubjectToken(error)
            | IssueError::ActorToken(error)
            | IssueError::Proof(error) => error.code(),
            IssueError::OtherClient | IssueError::OtherActor | IssueError::AssertionReplayed => {
                Code::CredentialInvalid
            }
            IssueError::Revoked | IssueError::SubjectRevoked => Code::Revoked,
            IssueError::Standing(code) | IssueError::SubjectRefused(code) => *code,
            IssueError::Version | IssueError::SubjectOutdated => Code::VersionChanged,
            IssueError::Enrolment => Code::CredentialInvalid,
            IssueError::Network => Code::NetworkUnlisted,
            IssueError::ScopedKey | IssueError::ScopedKeyElsewhere => Code::CredentialInvalid,
            IssueError::ScopedKeyEnded => Code::CredentialExpired,
            IssueError::ScopedKeyProof => Code::ProofInvalid,
            IssueError::Certificate | IssueError::CertificateKey | IssueError::RequestKey => {
                Code::CredentialInvalid
            }
            IssueError::CertificateMissing => Code::ProofInvalid,
            IssueError::Federated(error) => error.code(),
            IssueError::OtherWorkload | IssueError::Unpinned => Code::CredentialInvalid,
            IssueError::OtherKey => Code::KeyPinned,
            IssueError::IssuerAway => Code::IssuerUnavailable,
            IssueError::ProofMissing | IssueError::ProofRepeated | IssueError::ForeignKey => {
                Code::ProofInvalid
            }
            IssueError::ProofReplayed => Code::ProofReplayed,
            IssueError::Target
            | IssueError::Task
            | IssueError::Unlisted
            | IssueError::ChainTooDeep
            | IssueError::DetailsWider
            | IssueError::Life => Code::NotGranted,
            IssueError::KeyAged => Code::CredentialExpired,
            IssueError::Mint | IssueError::Undecidable => Code::Undecidable,
            IssueError::Saturated => Code::Saturated,
            IssueError::Unrecorded => Code::Unrecorded,
        }
    }

    /// One word for counters.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            IssueError::Form(_) => "form",
            IssueError::Missing(_) => "missing",
            IssueError::Repeated => "repeated",
            IssueError::Method => "method",
            IssueError::Assertion(error)
            | IssueError::Token(error)
            | IssueError::SubjectToken(error)
            | IssueError::ActorToken(error)
            | IssueError::Proof(error) => error.reason(),
            IssueError::TokenType(_) => "token_type",
            IssueError::OtherActor => "other_actor",
            IssueError::Unlisted => "unlisted",
            IssueError::ChainTooDeep => "chain",
            IssueError::SubjectRevoked => "subject_revoked",
            IssueError::SubjectOutdated => "subject_outdated",
            IssueError::SubjectRefused(_) => "subject_refused",
            IssueError::Details(_) | IssueError::DetailsRefused(_) => "details",
            IssueError::DetailsWider => "details_wider",
            IssueError::TooLarge => "too_large",
            IssueError::OtherClient => "client_id",
            IssueError::Federated(error) => error.reason(),
            IssueError::OtherWorkload => "workload",
            IssueError::Unpinned => "unpinned",
            IssueError::OtherKey => "other_key",
            IssueError::IssuerAway => "issuer_away",
            IssueError::Certificate => "certificate",
            IssueError::CertificateKey => "certificate_key",
            IssueError::CertificateMissing => "certificate_missing",
            IssueError::Request(_) => "csr",
            IssueError::RequestKey => "csr_key",
            IssueError::NoAuthority => "no_authority",
            IssueError::AssertionReplayed => "assertion_replayed",
            IssueError::GrantType => "grant_type",
            IssueError::Scope => "scope",
            IssueError::Revoked => "revoked",
            IssueError::Standing(code) => code.slug(),
            IssueError::Version => "version",
            IssueError::Enrolment => "enrolment",
            IssueError::Network => "network",
            IssueError::ScopedKey => "scoped_key",
            IssueError::ScopedKeyEnded => "scoped_key_ended",
            IssueError::ScopedKeyElsewhere => "scoped_key_elsewhere",
            IssueError::ScopedKeyProof => "scoped_key_proof",
            IssueError::ProofMissing => "proof_missing",
            IssueError::ProofRepeated => "proof_repeated",
            IssueError::ProofReplayed => "proof_replayed",
            IssueError::ForeignKey => "foreign_key",
            IssueError::KeyAged => "key_aged",
            IssueError::Target => "target",
            IssueError::Task => "task",
            IssueError::Life => "life",
            IssueError::Mint => "mint",
            IssueError::Undecidable => "undecidable",
            IssueError::Saturated => "saturated",
            IssueError::Unrecorded => "unrecorded",
        }
    }

    /// What a client is told: the fixed code and the sentence. A client that did not authenticate
    /// is not told whether its name, its key or its signature was wrong, since the difference would
    /// tell which agents exist.
    #[must_use]
    pub fn description(&self) -> String {
        let sentence = match self {
            IssueError::Assertion(
                CredentialError::UnknownClient
                | CredentialError::UnknownKey { .. }
                | CredentialError::Algorithm { .. }
                | CredentialError::Signature { .. },
            ) => "the client assertion is not signed by a key of a registered agent".to_owned(),
            other => other.to_string(),
        };
        let code = self.code();
        let text = format!("{} ({}): {sentence}", code.slug(), code.number());
        // RFC 6749 section 5.2 allows printable ASCII without `"` and `\` here.
        let allowed = |c: char| (' '..='~').contains(&c) && c != '"' && c != '\\';
        text.chars().map(|c| if allowed(c) { c } else { '?' }).collect()
    }

    /// What a failed append means where it is not about one of our own conditions.
    pub(crate) const fn of_append(error: &AppendError) -> IssueError {
        match error {
            AppendError::Moved => IssueError::Undecidable,
            AppendError::Saturated => IssueError::Saturated,
            AppendError::Failed(_) | AppendError::Stopped | AppendError::Unfit(_) => {
                IssueError::Unrecorded
            }
        }
    }
}

impl From<MintError> for IssueError {
    fn from(error: MintError) -> IssueError {
        match error {
            MintError::TooLarge { .. } => IssueError::TooLarge,
            MintError::Life { .. }
            | MintError::NoInstance
            | MintError::Claims(_)
            | MintError::Signing => IssueError::Mint,
        }
    }
}
