//! Tokens for clients that open tasks: principals of their own, with keys of their own, and no way to any door.

use crate::{
    authenticate::{Client, Way},
    decide::{Binding, Wish},
    directory::RegisteredClient,
    error::IssueError,
    issue::{Issued, Issuer},
    limits::CLIENT_LIFE,
};
use canonical::Writer;
use identity::ClientGrant;
use ledger::{AppendError, subject_digest};
use model::{
    Decision, Digest, Name, Timestamp, TokenId,
    record::{Condition, Parts, RecordKind, Recordable},
};

/// A client's token was issued, or refused.
struct ClientRecord {
    client: Name,
    key: String,
    development: bool,
    revision: u64,
    given: Result<Given, IssueError>,
    uses: Vec<(Digest, Timestamp)>,
}

struct Given {
    token: TokenId,
    bound_to: String,
    audience: String,
    subjects: Vec<Digest>,
}

impl Recordable for ClientRecord {
    fn kind(&self) -> RecordKind {
        RecordKind::Token
    }

    fn parts(&self) -> Parts {
        let mut out = Vec::with_capacity(512);
        let mut writer = Writer::new(&mut out);
        let revision = self.revision.to_string();
        let given = self.given.as_ref();
        writer.begin_object();
        if let Ok(given) = given {
            writer.field_str("audience", &given.audience).field_bool("bound", true);
        }
        writer.field_str("boundary", if self.development { "development" } else { "production" });
        writer.field_str("client", self.client.as_str());
        if let Err(error) = given {
            writer.field_str("code", error.code().slug());
        }
        writer.field_str("control_revision", &revision);
        let decision = if given.is_ok() { Decision::Allow } else { Decision::Deny };
        writer.field_str("decision", decision.as_str());
        if let Err(error) = given {
            writer.field_str("detail", error.reason());
        }
        writer.field_str("edge", "oauth");
        if let Ok(given) = given {
            writer.field_str("instance", &given.bound_to);
        }
        writer.field_str("key", &self.key).field_str("operation", "issue");
        if let Ok(given) = given {
            writer.field_str("token", &given.token.to_string());
        }
        writer.field_int("v", 1).field_str("via", "private_key_jwt").end();
        let complete = writer.finish();
        debug_assert!(complete.is_ok(), "the envelope is canonical: {complete:?}");
        Parts { envelope: out, ..Parts::default() }
    }

    fn conditions(&self) -> Vec<Condition> {
        let uses =
            self.uses.iter().map(|(what, until)| Condition::Unused { what: *what, until: *until });
        let subjects = self.given.as_ref().ok().map(|given| given.subjects.clone());
        let standing = subjects
            .map(|subjects| Condition::NotRevokedSince { subjects, decided_at: self.revision });
        uses.chain(standing).collect()
    }
}

impl Issuer {
    /// Answers an authenticated client. It gets tokens for the control API alone, each bound to the key of its proof.
    pub(crate) async fn grant_to_client(
        &self,
        client: Client,
        registered: &RegisteredClient,
        wish: &Wish,
    ) -> Result<Issued, IssueError> {
        let revision = self.directory.control_revision();
        let now = self.directory.now();
        let (key, assertion) = match &client.way {
            Way::Assertion { key, single_use } => (key.clone(), Some(*single_use)),
            _ => (String::new(), None),
        };
        let proof = match &wish.binding {
            Binding::Proof { jkt, single_use } => Some((jkt.clone(), *single_use)),
            _ => None,
        };
        let uses: Vec<_> =
            assertion.into_iter().chain(proof.iter().map(|(_, single_use)| *single_use)).collect();
        let subjects = vec![
            subject_digest("client", client.agent.as_str()),
            subject_digest("instance", &key),
            subject_digest("all", "*"),
        ];
        let decided = self.check_client(registered, wish, proof.as_ref(), &subjects);
        let id = TokenId::new(now, self.directory.random());
        let issued = Timestamp::from_seconds(now.seconds());
        let expires = issued.after(CLIENT_LIFE);
        let minted = decided.and_then(|bound_to| {
            let token = self.directory.signing_key().mint_for_client(&ClientGrant {
                issuer: self.settings.issuer(),
                audience: &registered.audience,
                client: &client.agent,
                token: id,
                issued,
                expires,
                bound_to: &bound_to,
            })?;
            Ok((token, bound_to))
        });
        let (token, given) = match minted {
            Ok((token, bound_to)) => {
                let audience = registered.audience.clone();
                (Ok(token), Ok(Given { token: id, bound_to, audience, subjects }))
            }
            Err(error) => (Err(error.clone()), Err(error)),
        };
        let development = self.settings.development();
        let name = client.agent.clone();
        let record = ClientRecord { client: name, key, development, revision, given, uses };
        match self.record(record).await {
            Ok(()) => {}
            Err(AppendError::Failed(Condition::Unused { what, .. })) => {
                let of_proof = proof.is_some_and(|(_, (used, _))| used == what);
                return Err(if of_proof {
                    IssueError::ProofReplayed
                } else {
                    IssueError::AssertionReplayed
                });
            }
            Err(error) => return Err(IssueError::of_append(&error)),
        }
        let expires_in = expires.since(self.directory.now()).as_seconds().max(0);
        token.map(|token| Issued {
            token,
            id,
            expires,
            expires_in,
            bound: true,
            actions: None,
            exchanged: false,
            by_proof: true,
        })
    }

    /// The key that its token is bound to.
    fn check_client(
        &self,
        registered: &RegisteredClient,
        wish: &Wish,
        proof: Option<&(String, (Digest, Timestamp))>,
        subjects: &[Digest],
    ) -> Result<String, IssueError> {
        if wish.resource != registered.audience {
            return Err(IssueError::Target);
        }
        if wish.task.is_some() {
            return Err(IssueError::Task);
        }
        if subjects.iter().any(|subject| self.directory.is_revoked(subject)) {
            return Err(IssueError::Revoked);
        }
        proof.map(|(jkt, _)| jkt.clone()).ok_or(IssueError::ProofMissing)
    }
}
