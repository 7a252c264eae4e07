//! `ambit freeze`, `unfreeze` and `revoke`.

use super::DataDir;
use clap::{Args, Subcommand};

/// `ambit freeze`
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "It ends only by `ambit unfreeze`. In an emergency: \
    ambit freeze all --effect write,delete,transfer,auth-change,execute,send --reason …")]
pub(crate) struct Freeze {
    /// What is frozen
    #[command(subcommand)]
    pub(crate) command: Option<FreezeCommand>,
    #[command(flatten)]
    pub(crate) stop: Stop,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", required = true)]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

/// `ambit freeze …`
#[derive(Debug, Subcommand)]
pub(crate) enum FreezeCommand {
    /// What is frozen, since when and why
    List(DataDir),
}

/// What is stopped or let go.
#[derive(Args, Debug)]
pub(crate) struct Stop {
    /// An agent's name, or agent:, owner:, user:, upstream:, action:, effect:, tenant: and a name, or `all`
    #[arg(required = true)]
    pub(crate) selector: Option<String>,
    /// With `all`: only actions of these effects
    #[arg(long, value_name = "EFFECT,…", value_delimiter = ',')]
    pub(crate) effect: Vec<String>,
}

/// `ambit unfreeze`
#[derive(Args, Debug)]
pub(crate) struct Unfreeze {
    #[command(flatten)]
    pub(crate) stop: Stop,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

/// `ambit revoke …`
#[derive(Debug, Subcommand)]
pub(crate) enum Revoke {
    /// Revoke one token
    Token(RevokeOne),
    /// Revoke an agent with every token that it has, until `unfreeze`
    Agent(RevokeOne),
    /// Revoke a task
    Task(RevokeOne),
    /// Revoke a scoped key by its id, with every token that it bought
    Key(RevokeOne),
    /// Revoke one instance of an agent, or one of its keys with the tokens that it bought, by the key's thumbprint
    Instance(RevokeOne),
    /// Revoke one version of an agent, by its digest
    Version(RevokeOne),
    /// Revoke a human: no agent acts for her until `unfreeze`, and she answers for none
    User(RevokeOne),
    /// Revoke an owner (`group:NAME` or `user:NAME`) with all agents that it owns, until `unfreeze`
    Owner(RevokeOne),
    /// Revoke an upstream: nothing reaches it until `unfreeze`
    Upstream(RevokeOne),
}

/// What is revoked.
#[derive(Args, Debug)]
pub(crate) struct RevokeOne {
    /// Its name or id
    // A thumbprint may begin with a hyphen.
    #[arg(allow_hyphen_values = true)]
    pub(crate) name: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) data: DataDir,
}
