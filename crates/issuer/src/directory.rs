//! What the issuer knows of agents, tasks and keys: answered from memory, without IO.

use crate::{
    certificate::Certified, enrol::Enrolment, error::IssueError, federated::ForeignKeysSoon,
};
use identity::{AgentKeys, NonceKey, ScopedKey, SigningKey, SigningRequest, VerificationKeys};
use model::SpiffeId;
use model::{
    ActionId, AgentName, Code, Digest, Duration, Name, Network, PartyName, TaskId, Timestamp,
    UpstreamName, UserName,
    declared::{Federated, Proof},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::Arc,
};

/// A registered agent, as of one control revision.
#[derive(Clone, Debug)]
pub struct RegisteredAgent {
    /// Its version.
    pub version: Digest,
    /// Who answers for it.
    pub owner: PartyName,
    /// The keys that its assertions are signed with.
    pub keys: Arc<AgentKeys>,
    /// Those of them that are older than its `max_age` lets them be.
    pub aged: BTreeSet<String>,
    /// What its tokens must be bound to.
    pub proof: Proof,
    /// The workloads that it is: its own SPIFFE ID here, and the one that is declared of a foreign trust domain.
    pub workloads: BTreeSet<SpiffeId>,
    /// The workloads of foreign issuers that it is.
    pub federated: Vec<Federated>,
    /// The networks that its requests may come from; empty: any.
    pub networks: Vec<Network>,
    /// The control revision at which the pins of its workloads' keys were dropped last; 0 if never.
    pub pinned_since: u64,
    /// Declared life of its tokens.
    pub ttl: Duration,
    /// The doors that it sees, by their full URL, which is the audience of a token.
    /// None of them stands for the door of all.
    pub doors: BTreeMap<String, Option<UpstreamName>>,
    /// The agents that may exchange its tokens.
    pub may_act: Vec<AgentName>,
}

/// A client that opens tasks.
#[derive(Clone, Debug)]
pub struct RegisteredClient {
    /// The keys that its assertions are signed with.
    pub keys: Arc<AgentKeys>,
    /// The URL of the control API, which is the only audience of its tokens.
    pub audience: String,
}

/// An open task.
#[derive(Clone, Debug)]
pub struct TaskGrant {
    /// The agent that works on it.
    pub agent: AgentName,
    /// The human it is for.
    pub user: Option<UserName>,
    /// When it ends.
    pub expires: Timestamp,
    /// The tasks that it lies within: what ends one of them ends it.
    pub within: Vec<TaskId>,
}

/// What is waited for.
pub type Soon<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// The issuer's view of the rest. Every method but those that return a future answers at once from memory.
pub trait Directory: Send + Sync {
    /// The agent of this name, if it is registered.
    fn agent(&self, name: &AgentName) -> Option<Arc<RegisteredAgent>>;

    /// Why an agent may not act at all now, if it may not: by its life, its owner, its environment or the
    /// review of this version.
    fn refused(&self, _agent: &AgentName, _version: &Digest) -> Option<Code> {
        None
    }

    /// A one-time code of an agent, by its id.
    fn enrolment(&self, _agent: &AgentName, _id: &str) -> Option<Enrolment> {
        None
    }

    /// A scoped key of an agent, by its id; one that has ended may still be known.
    fn scoped_key(&self, _agent: &AgentName, _id: &str) -> Option<ScopedKey> {
        None
    }

    /// Whether a key is the one key of an enrolled instance: its tokens are bound to no other.
    fn is_instance(&self, _agent: &AgentName, _key: &str) -> bool {
        false
    }

    /// Whether an earlier version of an agent may go on beside its newest one.
    fn goes_on(&self, _agent: &AgentName, _version: &Digest) -> bool {
        false
    }

    /// The agent whose own ID, or whose declared one, this is.
    fn agent_of(&self, id: &SpiffeId) -> Option<AgentName>;

    /// Signs a certificate that this key is this agent's, which is registered. What else the request asks for is not
    /// in it.
    fn certify(&self, agent: &AgentName, request: &SigningRequest)
    -> Result<Certified, IssueError>;

    /// The keys of a foreign issuer that an agent declares; with `newer`, those that it may have since.
    fn foreign_keys<'a>(&'a self, issuer: &'a str, newer: bool) -> ForeignKeysSoon<'a>;

    /// The client of this name, if it is registered. No agent has its name.
    fn client(&self, _name: &Name) -> Option<Arc<RegisteredClient>> {
        None
    }

    /// The task of this id, if it is open.
    fn task(&self, id: TaskId) -> Option<TaskGrant>;

    /// Waits until the calls that a stop meant have ended.
    fn stopped_calls_ended(&self) -> Soon<'_> {
        Box::pin(std::future::ready(()))
    }

    /// The actions that the agent finds at a door: of one upstream, or of all that the door of all shows.
    fn actions(&self, agent: &AgentName, upstream: Option<&UpstreamName>) -> BTreeSet<ActionId>;

    /// Whether an action is of tier `high`, which no token reaches that is bound to nothing or came of one.
    fn is_high(&self, action: &ActionId) -> bool;

    /// Whether this subject (`ledger::subject_digest`) is revoked or frozen.
    fn is_revoked(&self, subject: &Digest) -> bool;

    /// The control revision that the answers belong to, or an earlier one. The issuer reads it
    /// before anything else, so that what changes meanwhile moves its record.
    fn control_revision(&self) -> u64;

    /// The key that signs now.
    fn signing_key(&self) -> Arc<SigningKey>;

    /// The keys that are believed and published.
    fn verification_keys(&self) -> Arc<VerificationKeys>;

    /// The key of the nonces that proofs must carry.
    fn nonce_key(&self) -> &NonceKey;

    /// The time.
    fn now(&self) -> Timestamp;

    /// Time and randomness for one record.
    fn stamp(&self) -> ledger::Stamp;

    /// Randomness for one id.
    fn random(&self) -> [u8; 10];

    /// Tells the operator that an agent's reused assertion came with another key than the one that it is pinned to.
    fn other_key(&self, _agent: &AgentName) {}

    /// Counts a request that was refused before its client was authenticated. It may be sampled
    /// into the ledger there, under a limit: here nothing is recorded that a stranger can repeat.
    fn refused_before_authentication(&self, code: Code, reason: &'static str);
}
