//! `ambit token` and `ambit key …`.

use super::DataDir;
use clap::{Args, Subcommand, ValueEnum};

/// How a token is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TokenFormat {
    /// One header per line: `Authorization: DPoP …`
    Header,
    /// A JSON object
    Json,
    /// `AMBIT_TOKEN=…` lines
    Env,
}

/// `ambit token`
#[derive(Args, Debug)]
pub(crate) struct Token {
    /// The agent
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: String,
    /// The upstream's full door URL
    #[arg(long, value_name = "URL")]
    pub(crate) audience: String,
    /// How to print it
    #[arg(long, value_enum, default_value_t = TokenFormat::Header)]
    pub(crate) format: TokenFormat,
    /// The task it is for
    #[arg(long, value_name = "TASK")]
    pub(crate) task: Option<String>,
    /// Sign a proof of possession for a request to this URL (default: the audience)
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Sign a proof of possession for this method
    #[arg(long, value_name = "METHOD", default_value = "POST")]
    pub(crate) method: String,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

/// `ambit key create`
#[derive(Args, Debug)]
pub(crate) struct KeyCreate {
    /// The agent whose tokens it buys
    #[arg(long)]
    pub(crate) agent: String,
    /// How long it lives: at most 24h
    #[arg(long = "for", value_name = "SPAN")]
    pub(crate) life: Option<String>,
    /// Only for this upstream; may be repeated
    #[arg(long = "upstream", value_name = "NAME")]
    pub(crate) upstreams: Vec<String>,
    /// Only for this action, `upstream.operation`; may be repeated
    #[arg(long = "action", value_name = "ACTION")]
    pub(crate) actions: Vec<String>,
    /// Only from this network (CIDR); may be repeated
    #[arg(long = "network", value_name = "CIDR")]
    pub(crate) networks: Vec<String>,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

/// `ambit key …`
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a scoped key: a secret of a day that buys bound tokens of one agent; it is shown once
    Create(KeyCreate),
    /// Scoped keys, what each is for and until when
    List {
        /// Only this agent's
        #[arg(long)]
        agent: Option<String>,
        #[command(flatten)]
        data: DataDir,
    },
    /// Sign with a new key from now on, rather than when its term ends
    Rotate {
        /// The key of the authority that signs agents' certificates, rather than the one that signs tokens
        #[arg(long)]
        authority: bool,
        /// Believe nothing of the old keys any more: somebody else has them
        #[arg(long)]
        withdraw: bool,
        #[command(flatten)]
        data: DataDir,
    },
}
