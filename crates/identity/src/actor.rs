//! The evidence that this request comes from this agent.

use crate::{certificate::Certificate, nonce::Nonces, token::Verified};
use model::{ActionId, AgentName, Ancestor, Digest, Peer, TaskId, Timestamp, TokenId, UserName};
use std::sync::Arc;

/// How a token was shown in `Authorization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 6750.
    Bearer,
    /// RFC 9449.
    Dpop,
}

impl Scheme {
    /// Reads the scheme, which has no case (RFC 9110 §11.1); others are `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Scheme> {
        if text.eq_ignore_ascii_case("Bearer") {
            return Some(Scheme::Bearer);
        }
        text.eq_ignore_ascii_case("DPoP").then_some(Scheme::Dpop)
    }

    /// The scheme as it is written in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Bearer => "Bearer",
            Scheme::Dpop => "DPoP",
        }
    }
}

/// What a request shows.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    /// The scheme of `Authorization`.
    pub scheme: Scheme,
    /// The token of `Authorization`.
    pub token: &'a str,
    /// The one `DPoP` header; a request with several is refused before.
    pub proof: Option<&'a str>,
    /// The certificate that the peer of this connection proved to hold.
    pub certificate: Option<&'a Certificate>,
    /// Where this connection comes from.
    pub peer: Option<Peer>,
    /// The request's method.
    pub method: &'a str,
    /// The request's URL as the client knows it, without query and fragment.
    pub url: &'a str,
    /// The door's URL, which must be the token's only audience.
    pub audience: &'a str,
    /// Whether nonces are given out here, and asked for.
    pub nonces: Nonces<'a>,
}

/// Evidence that this request comes from this agent, in this version, for this human and task. One
/// request, one value: it can neither be copied nor made from parts.
///
/// ```compile_fail
/// fn twice(actor: identity::Actor) -> (identity::Actor, identity::Actor) {
///     (actor.clone(), actor)
/// }
/// ```
///
/// ```compile_fail
/// let forged = identity::Actor { verified: todo!(), proof_use: None };
/// ```
#[must_use]
#[derive(Debug)]
pub struct Actor {
    verified: Arc<Verified>,
    proof_use: Option<(Digest, Timestamp)>,
    /// The task that this request is narrowed to, and its human.
    under: Option<(TaskId, Option<UserName>)>,
    peer: Option<Peer>,
}

impl Actor {
    pub(crate) const fn new(
        verified: Arc<Verified>,
        proof_use: Option<(Digest, Timestamp)>,
        peer: Option<Peer>,
    ) -> Actor {
        Actor { verified, proof_use, under: None, peer }
    }

    /// The agent that acts: `agent`, which is `sub` or `act.sub`.
    #[must_use]
    pub fn agent(&self) -> &AgentName {
        &self.verified.agent
    }

    /// Its version when the token was issued.
    #[must_use]
    pub fn version(&self) -> Digest {
        self.verified.version
    }

    /// The thumbprint of the instance's key, if it showed one.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        self.verified.instance.as_deref()
    }

    /// The human it acts for: the one of the task that the request was narrowed to, or the token's.
    #[must_use]
    pub fn user(&self) -> Option<&UserName> {
        match &self.under {
            Some((_, user)) => user.as_ref(),
            None => self.user_of_token(),
        }
    }

    /// The task it works on: the one that the request was narrowed to, or the token's.
    #[must_use]
    pub fn task(&self) -> Option<TaskId> {
        self.under.as_ref().map(|(task, _)| *task).or(self.verified.task)
    }

    /// The human that the token names: `sub`, where `act` names the agent.
    #[must_use]
    pub fn user_of_token(&self) -> Option<&UserName> {
        self.verified.user.as_ref()
    }

    /// The agents from whose tokens this one came, the first first; empty for a token that its agent asked for itself.
    #[must_use]
    pub fn chain(&self) -> &[Ancestor] {
        &self.verified.chain
    }

    /// The agent that the work began with, whose task it is, and its instance: the first of the chain, or the agent
    /// itself.
    #[must_use]
    pub fn origin(&self) -> (&AgentName, Option<&str>) {
        match self.verified.chain.first() {
            Some(first) => (&first.agent, first.instance.as_deref()),
            None => (self.agent(), self.instance()),
        }
    }

    /// Whether the token reaches this action, if its agent does: it may name the only ones.
    #[must_use]
    pub fn reaches(&self, action: &ActionId) -> bool {
        self.verified.actions.as_ref().is_none_or(|actions| actions.contains(action))
    }

    /// The task that the token names.
    #[must_use]
    pub fn task_of_token(&self) -> Option<TaskId> {
        self.verified.task
    }

    /// The token's id.
    #[must_use]
    pub fn token(&self) -> TokenId {
        self.verified.token
    }

    /// The token's `scope`, if any.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.verified.scope.as_deref()
    }

    /// When the token ends.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.verified.expires
    }

    /// The id of the scoped key that bought the token, if one did.
    #[must_use]
    pub fn scoped_key(&self) -> Option<&str> {
        self.verified.scoped_key()
    }

    /// Where the connection of the request comes from, as its socket said.
    #[must_use]
    pub const fn peer(&self) -> Option<Peer> {
        self.peer
    }

    /// Whether the token is bound to a key or certificate, which then was proven for this request.
    #[must_use]
    pub fn bound(&self) -> bool {
        self.verified.is_bound()
    }

    /// What must be unused when the request's first record commits, and until when the use must be
    /// remembered; `None` for a bearer token. It holds only if that record commits within
    /// [`crate::limits::PROOF_COMMIT_WITHIN`]: a request that waits for a human uses its proof in
    /// the record that asks.
    #[must_use]
    pub fn proof_use(&self) -> Option<(Digest, Timestamp)> {
        self.proof_use
    }

    /// The same caller in what follows from its request: the proof is used up by the request's own record.
    pub fn following(&self) -> Actor {
        Actor { proof_use: None, ..self.narrowed(self.under.clone()) }
    }

    /// The same request, narrowed to a task of this agent and to the human whom it is for. That the task is this
    /// agent's, and that neither widens what the token says, is checked by whoever keeps the tasks.
    pub fn narrowed(&self, under: Option<(TaskId, Option<UserName>)>) -> Actor {
        let (proof_use, peer) = (self.proof_use, self.peer);
        Actor { verified: Arc::clone(&self.verified), proof_use, under, peer }
    }
}
