//! Declared state as plain nouns: what `ambit.yaml` says after it was read and checked for form.

mod humans;

pub use humans::{ApiRight, Client, HumanIssuer, Shown};

use crate::{
    action::{Effect, RiskTier, Sink},
    name::{ActionId, AgentName, Name, PartyName, UpstreamName, UserName},
    network::Network,
    spiffe::SpiffeId,
    time::{Duration, Timestamp},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Everything that is declared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Declared {
    /// Who may act.
    pub agents: BTreeMap<AgentName, Agent>,
    /// Kinds of task.
    pub intents: BTreeMap<Name, Intent>,
    /// Systems behind the gate.
    pub upstreams: BTreeMap<UpstreamName, Upstream>,
    /// Playgrounds.
    pub boundaries: BTreeMap<Name, Boundary>,
    /// Who is asked, and how.
    pub approvals: BTreeMap<Name, ApprovalRule>,
    /// Parties outside that are asked before an action, or told after it.
    pub hooks: BTreeMap<Name, Hook>,
    /// People known on this machine, with their groups.
    pub people: BTreeMap<UserName, BTreeSet<Name>>,
    /// Identity providers whose humans can be acted for.
    pub issuers: BTreeMap<Name, HumanIssuer>,
    /// What the people of a group may do. Where nothing is stated for any group or issuer, nothing is intersected.
    pub rights: BTreeMap<Name, BTreeSet<ActionPattern>>,
    /// Who opens tasks.
    pub clients: BTreeMap<Name, Client>,
    /// Cases that gate every `apply`.
    pub tests: Vec<Case>,
    /// Hand-written Cedar, in the order of file names.
    pub policies: Vec<PolicyFile>,
}

/// A file of Cedar policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFile {
    /// Its path as the user knows it: `policies/helpdesk.cedar`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// A registered agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// What it is for.
    pub purpose: String,
    /// Who answers for it.
    pub owner: PartyName,
    /// Its playground.
    pub boundary: Name,
    /// Optional narrowing; `high` actions must be named here or in an intent.
    pub only: Option<Vec<ActionPattern>>,
    /// Whom it may serve; `None`: it acts for itself only.
    pub users: Option<PartyName>,
    /// The agents that may act on its account, by exchanging its tokens; sorted.
    pub may_act: Vec<AgentName>,
    /// How it proves who it is.
    pub credentials: Credentials,
    /// Until when what would be denied or asked is let pass and recorded as such (`mode: observe`).
    pub observe_until: Option<Timestamp>,
    /// Who else answers for it, where it belongs, what it is made of, and who reviews its changes.
    pub governance: Governance,
    /// The block's line in its file, 1-based, for explanations.
    pub line: u32,
}

/// Who else answers for an agent, where it belongs, what it is made of, and who reviews its changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Governance {
    /// Who is accountable for it.
    pub sponsor: Option<PartyName>,
    /// Where it runs; `None`: anywhere.
    pub environment: Option<Name>,
    /// Path of the file that says what it is made of, relative to the file.
    pub manifest: Option<String>,
    /// What that file says.
    pub parts: Option<std::sync::Arc<crate::manifest::Manifest>>,
    /// Who reviews which change; `None`: each change passes with a record.
    pub review: Option<crate::manifest::Review>,
}

/// How an agent proves who it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Credentials {
    /// What a token is bound to.
    pub proof: Proof,
    /// Path of a JWKS with the agent's public keys, relative to the file; `None`: `dev` generates one.
    pub keys: Option<String>,
    /// Life of its tokens.
    pub ttl: Duration,
    /// Age at which one of its keys is refused; `None`: no age is too old.
    pub max_age: Option<Duration>,
    /// The workload whose certificates (X.509-SVID) of a foreign trust domain are its own, too.
    pub spiffe_id: Option<SpiffeId>,
    /// The workloads of foreign issuers that it is.
    pub federated: Vec<Federated>,
    /// The networks that its requests may come from; empty: any.
    pub networks: Vec<Network>,
}

/// A workload as a foreign issuer names it. Everything is compared whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Federated {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// Further claims, by name or JSON pointer.
    pub claims: BTreeMap<String, String>,
    /// How long after its `iat` an assertion is taken.
    pub max_age: Duration,
    /// The claim that tells one workload from the next, by name or JSON pointer. With it an assertion may be used again,
    /// by the key that this workload came with first; `None`: each counts once.
    pub pin: Option<String>,
}

impl Default for Credentials {
    /// What is not declared: bound tokens of a quarter of an hour.
    fn default() -> Credentials {
        let ttl = Duration::seconds(15 * 60);
        Credentials {
            proof: Proof::Dpop,
            keys: None,
            ttl,
            max_age: None,
            spiffe_id: None,
            federated: Vec::new(),
            networks: Vec::new(),
        }
    }
}

/// What a token is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// RFC 9449, the default.
    Dpop,
    /// RFC 8705: the certificate of the connection.
    Mtls,
    /// Nothing: a bearer token, stated per agent.
    None,
}

impl Proof {
    /// The word of the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Proof::Dpop => "dpop",
            Proof::Mtls => "mtls",
            Proof::None => "none",
        }
    }
}

/// `tickets.read`, `tickets.*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ActionPattern {
    /// Exactly this action.
    Exact(ActionId),
    /// All low and medium actions of an upstream; never a `high` one.
    All(UpstreamName),
}

/// A kind of task.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// Names and types of its parameters.
    pub params: BTreeMap<String, ParamType>,
    /// What it allows, with argument constraints.
    pub allow: BTreeMap<ActionPattern, BTreeMap<String, Constraint>>,
    /// The block's line in its file, 1-based.
    pub line: u32,
}

/// The type of an intent's parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamType {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
}

/// What an argument must equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Constraint {
    /// The task's parameter of this name (`$ticket`).
    Param(String),
    /// This text.
    Text(String),
    /// This whole number.
    Integer(i64),
    /// This truth value.
    Boolean(bool),
}

/// A system behind the gate.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// How it is spoken to.
    pub kind: UpstreamKind,
    /// Its URL: scheme, host, port and path prefix; of a local server [`LocalServer::address`].
    pub url: String,
    /// The command of a local server, which is spoken to over its standard streams.
    pub local: Option<LocalServer>,
    /// Where its credential comes from.
    pub credential: Option<CredentialSource>,
    /// Which environment it belongs to; `None`: any.
    pub environment: Option<Name>,
    /// Its catalog.
    pub actions: BTreeMap<String, Action>,
    /// The catalog entry for every operation that is not named (`"*"`).
    pub default_action: Option<Action>,
    /// The block's line in its file, 1-based.
    pub line: u32,
}

/// How an upstream is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamKind {
    /// MCP streamable HTTP.
    Mcp,
    /// Plain HTTP with routes.
    Http,
}

/// An MCP server that runs on this machine as a child process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalServer {
    /// The program and its arguments; never empty.
    pub command: Vec<String>,
    /// Environment variables that it gets beside the few that every local server gets.
    pub variables: BTreeMap<String, String>,
    /// The environment variable that its credential is put into.
    pub credential_variable: Option<String>,
    /// Whether one process serves all agents and humans.
    pub shared: bool,
}

impl LocalServer {
    /// What stands for a URL: another command is another address.
    #[must_use]
    pub fn address(&self) -> String {
        let mut address = String::from("stdio:");
        for part in &self.command {
            address.push('/');
            for byte in part.bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                        address.push(char::from(byte));
                    }
                    other => address.push_str(&format!("%{other:02X}")),
                }
            }
        }
        address
    }
}

/// Where an upstream's credential comes from (E14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// An environment variable; only `AMBIT_SECRET_*` is ever read.
    Env(String),
    /// A file below `--secrets-dir`.
    File(String),
    /// A secret of the embedded vault.
    Secret(Name),
    /// A secret of the embedded vault for each human acted for (`secret:NAME/{user}`).
    SecretOfUser(Name),
}

impl std::fmt::Display for CredentialSource {
    /// The reference as it is written: `env:AMBIT_SECRET_TICKETS`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CredentialSource::Env(name) => write!(f, "env:{name}"),
            CredentialSource::File(path) => write!(f, "file:{path}"),
            CredentialSource::Secret(name) => write!(f, "secret:{name}"),
            CredentialSource::SecretOfUser(name) => write!(f, "secret:{name}/{{user}}"),
        }
    }
}

/// One catalog entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// What it does.
    pub effect: Effect,
    /// Where its arguments go.
    pub sink: Sink,
    /// How much a mistake would cost.
    pub risk: RiskTier,
    /// Data classes it touches: `hr.compensation`.
    pub data: BTreeSet<String>,
    /// Which resource it names, from its arguments.
    pub resource: Option<Resource>,
    /// For HTTP: method and path template.
    pub route: Option<Route>,
    /// JSON pointers kept of a structured result; empty: all.
    pub returns: Vec<String>,
    /// Who is asked when a guard asks.
    pub approval: Option<Name>,
    /// Argument names that the approver sees first.
    pub show: Vec<String>,
    /// What must pass before it happens, in this order.
    pub before: Vec<Before>,
    /// What is done with its result.
    pub after: Vec<After>,
    /// False if effect or risk was not stated: then the entry counts as not fully catalogued (consequential).
    pub complete: bool,
    /// The entry's line in its file, 1-based.
    pub line: u32,
}

/// A party outside, asked or told over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its URL.
    pub url: String,
    /// How long its answer may take; later is no answer.
    pub within: Duration,
    /// What the gate proves itself with.
    pub secret: Option<CredentialSource>,
    /// The entry's line in its file, 1-based.
    pub line: u32,
}

/// What must pass before an action happens. It can only refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// The upstream runs it with this argument set to true first, and does not fail.
    DryRun(String),
    /// A decision point says yes (AuthZEN).
    Pdp(Name),
    /// A webhook answers with success.
    Webhook(Name),
    /// The task's parameters or the arguments hold this, and it is not empty.
    Require(String),
}

impl Before {
    /// The hook that is asked, if one is.
    #[must_use]
    pub fn hook(&self) -> Option<&Name> {
        match self {
            Before::Pdp(name) | Before::Webhook(name) => Some(name),
            Before::DryRun(_) | Before::Require(_) => None,
        }
    }
}

impl fmt::Display for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Before::DryRun(argument) => write!(f, "dry_run:{argument}"),
            Before::Pdp(name) => write!(f, "pdp:{name}"),
            Before::Webhook(name) => write!(f, "webhook:{name}"),
            Before::Require(what) => write!(f, "require:{what}"),
        }
    }
}

/// What is done with an action's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// The upstream's credential in it, or what this JSON pointer names, is replaced.
    Mask(Option<String>),
    /// A hook is told how it ended.
    Notify(Name),
    /// This share, in percent, is put on the list for review.
    Sample(u8),
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            After::Mask(None) => f.write_str("mask"),
            After::Mask(Some(pointer)) => write!(f, "mask:{pointer}"),
            After::Notify(name) => write!(f, "notify:{name}"),
            After::Sample(percent) => write!(f, "sample:{percent}%"),
        }
    }
}

/// Which resource an action names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its type: `ticket`.
    pub kind: String,
    /// The argument that holds its id (`$id` in the file, without the `$` here).
    pub id: Option<String>,
    /// The argument that holds its tenant.
    pub tenant: Option<String>,
}

/// `POST /users/{user}/password-reset`, `GET /users?page&sort`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path segments in order.
    pub segments: Vec<Segment>,
    /// The names that may come in the query; each may be absent.
    pub query: BTreeSet<String>,
}

/// One path segment of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Exactly this text.
    Literal(String),
    /// Any one segment, as an argument of this name.
    Param(String),
}

/// A playground.
#[derive(Clone, Debug, PartialEq)]
pub struct Boundary {
    /// What lies inside.
    pub upstreams: BTreeSet<UpstreamName>,
    /// Data classes that never leave through it.
    pub deny_data: BTreeSet<String>,
    /// Calls per agent within a span.
    pub calls: Option<CallLimit>,
    /// The block's line in its file, 1-based.
    pub line: u32,
}

/// `300/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimit {
    /// How many calls.
    pub max: u32,
    /// Within which span.
    pub window: Duration,
}

/// Who is asked, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct ApprovalRule {
    /// Who may approve.
    pub approvers: Approvers,
    /// How many must.
    pub required: u32,
    /// Who may not.
    pub exclude: BTreeSet<Exclusion>,
    /// What an approver must show.
    pub proof: ApprovalProof,
    /// Until when an ask can be answered.
    pub answer_within: Duration,
    /// Until when an approval can be used.
    pub use_within: Duration,
}

/// Who may approve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approvers {
    /// This user or group.
    Party(PartyName),
    /// The human acted for.
    Requester,
}

/// Who may not approve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exclusion {
    /// The human acted for.
    Requester,
    /// The agent's owner.
    Owner,
}

/// What an approver must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApprovalProof {
    /// A passkey with user verification.
    Passkey,
    /// A fresh sign-in with several factors at the organisation's provider.
    IdpMfa,
}

/// One case of `tests:`.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Who acts.
    pub agent: AgentName,
    /// For whom.
    pub user: Option<UserName>,
    /// What.
    pub action: ActionId,
    /// With which arguments, as canonical JSON of an object.
    pub args: Vec<u8>,
    /// Under which intent, with which parameters (canonical JSON of an object).
    pub intent: Option<(Name, Vec<u8>)>,
    /// What must come of it.
    pub expect: crate::action::Decision,
    /// Which rule must be among the reasons of a deny or ask.
    pub reason: Option<String>,
    /// The case's line in its file, 1-based.
    pub line: u32,
}
