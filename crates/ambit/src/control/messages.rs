//! The lines of the control socket.

use super::Failed;
use crate::{
    cli::TraceFilter,
    config::{ConfigError, Files},
    exit::Exit,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroize as _;

/// What can be asked of a gate. Nothing here answers an ask.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Where it listens, since when, how much it holds.
    Status,
    /// An access token, with a proof if it is bound.
    Token {
        agent: String,
        audience: String,
        task: Option<String>,
        url: Option<String>,
        method: String,
    },
    /// Registered agents.
    AgentList,
    /// One agent.
    AgentShow { agent: String },
    /// Stops an agent by its life, or lets it go on.
    AgentSuspend { agent: String, reason: String },
    /// Lets an agent go on.
    AgentResume { agent: String, reason: String },
    /// The review of an agent's version, or a reviewer's yes to it.
    AgentReview { agent: String, approval: Option<crate::ops::Approval> },
    /// Hands a draft in for its first review.
    AgentHandIn { agent: String },
    /// A one-time code for an instance.
    AgentEnrol { agent: String },
    /// An agent's instances.
    AgentInstances { agent: String },
    /// What of an agent Ambit cannot take away.
    AgentResidual { agent: String },
    /// Ends an agent for good, or shows what that would end.
    AgentDecommission { agent: String, reason: String, yes: bool },
    /// A reviewer's public key.
    OwnerKey { name: String, jwk: String },
    /// Confirms that an owner or sponsor is alive.
    OwnerConfirm { name: String },
    /// Who answers for agents.
    OwnerList,
    /// An agent's development key, with its private part.
    AgentKey { agent: String },
    /// A certificate for a key of an agent.
    AgentCert { agent: String, csr: String },
    /// A client's development key, with its private part.
    ClientKey { client: String },
    /// Opens a task.
    TaskOpen {
        agent: String,
        intent: String,
        user: Option<String>,
        trigger: Option<String>,
        params: Map<String, Value>,
    },
    /// Stops what a selector names.
    Freeze { selector: String, effects: Vec<String>, reason: String },
    /// Lets it go again.
    Unfreeze { selector: String, effects: Vec<String>, reason: String },
    /// What is stopped.
    FreezeList,
    /// Revokes.
    Revoke { kind: Which, name: String, reason: String },
    /// Makes a scoped key.
    KeyCreate(KeyWish),
    /// Scoped keys of an agent, or of all.
    KeyList { agent: Option<String> },
    /// Takes a new token-signing key into use at once.
    KeyRotate { authority: bool, withdraw: bool },
    /// Makes this declared state the one in force.
    Apply { files: Files, reason: Option<String>, skip_tests: bool },
    /// What applying it would change.
    Diff { files: Files },
    /// The declared states that were in force.
    History,
    /// Brings one of them back.
    Rollback { revision: String, reason: String, skip_tests: bool },
    /// The declared state in force, as files.
    Export,
    /// Actions, newest last.
    TraceList { which: TraceFilter, limit: Option<u32> },
    /// Actions that ended or were refused from a sequence on.
    TraceTail { which: TraceFilter, after: Option<u64> },
    /// Every probe.
    Doctor,
    /// All records of a trace or an entry.
    TraceShow { trace: String },
    /// What enforcing would have refused of an observed agent.
    ReportWould { agent: String, since: String },
    /// Why a trace or an entry, or the last refusal, was decided as it was.
    Why { trace: Option<String>, agent: Option<String>, handle: Option<String> },
    /// The ledger's public key.
    LedgerKey,
    /// A signed checkpoint.
    LedgerCheckpoint,
    /// Writes an export.
    LedgerExport { file: String },
    /// Accepts an upstream's definitions.
    UpstreamPin { name: String },
    /// Shows for which addresses an upstream's credential was given, or gives it for the present one.
    UpstreamCredential { name: String, confirm: bool },
    /// Sets a secret of the vault.
    SecretSet { name: String, user: Option<String>, value: SecretText },
    /// The vault's secrets, without their values.
    SecretList,
    /// Removes a secret of the vault, though an upstream uses it if that is forced.
    SecretRemove { name: String, user: Option<String>, force: bool },
}

/// A secret on its way into the vault: not shown, and wiped when it has arrived.
#[derive(Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct SecretText(String);

impl SecretText {
    /// Takes it over.
    pub(crate) const fn new(text: String) -> SecretText {
        SecretText(text)
    }

    /// The secret, without white space around it.
    pub(crate) fn trimmed(&self) -> &str {
        self.0.trim()
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText")
    }
}

impl Drop for SecretText {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What is revoked.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Which {
    /// One token.
    Token,
    /// All tokens of an agent.
    Agent,
    /// One task.
    Task,
    /// One scoped key.
    Key,
    /// One instance of an agent.
    Instance,
    /// One version of an agent.
    Version,
    /// One human.
    User,
    /// An owner, with the agents that it owns.
    Owner,
    /// An upstream.
    Upstream,
}

impl Which {
    /// The word in keys and records.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Which::Token => "token",
            Which::Agent => "agent",
            Which::Task => "task",
            Which::Key => "key",
            Which::Instance => "instance",
            Which::Version => "version",
            Which::User => "user",
            Which::Owner => "owner",
            Which::Upstream => "upstream",
        }
    }
}

/// A scoped key as it is asked for, in people's words.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct KeyWish {
    /// The agent.
    pub(crate) agent: String,
    /// Its life: `8h`.
    pub(crate) life: Option<String>,
    /// The upstreams that it is for.
    pub(crate) upstreams: Vec<String>,
    /// The actions that it is for.
    pub(crate) actions: Vec<String>,
    /// The networks that it comes from.
    pub(crate) networks: Vec<String>,
}

/// An answer.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reply {
    /// It was done, with this outcome.
    Ok(Value),
    /// It was not.
    Failed { exit: u8, message: String },
}

impl From<anyhow::Result<Value>> for Reply {
    fn from(served: anyhow::Result<Value>) -> Reply {
        match served {
            Ok(value) => Reply::Ok(value),
            Err(error) => {
                let failed = error.downcast_ref::<Failed>().map(|failed| failed.exit);
                let invalid = error.downcast_ref::<ConfigError>().map(ConfigError::exit);
                let exit = failed.or(invalid).unwrap_or(Exit::Failed);
                let message = error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ");
                Reply::Failed { exit: exit.number(), message }
            }
        }
    }
}

impl Reply {
    pub(super) fn into_result(self) -> anyhow::Result<Value> {
        match self {
            Reply::Ok(value) => Ok(value),
            Reply::Failed { exit, message } => {
                Err(Failed { exit: Exit::from_number(exit), message }.into())
            }
        }
    }
}
