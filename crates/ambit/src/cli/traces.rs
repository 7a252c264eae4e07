//! `ambit trace …`, `why`, `report …` and `ledger …`: what happened.

use super::DataDir;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `ambit trace …`
#[derive(Debug, Subcommand)]
pub(crate) enum Trace {
    /// Actions, newest last
    List(TraceList),
    /// Actions as they end or are refused, until interrupted
    Tail(TraceTail),
    /// Everything of one trace
    Show {
        /// The trace (32 hexadecimal digits) or the entry (`ent_…`)
        trace: String,
        #[command(flatten)]
        data: DataDir,
    },
}

/// `ambit trace list`
#[derive(Args, Debug)]
pub(crate) struct TraceList {
    #[command(flatten)]
    pub(crate) which: TraceFilter,
    /// Only the newest N actions
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u32>,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

/// Which actions.
#[derive(Args, Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TraceFilter {
    /// Only this agent
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: Option<String>,
    /// Only for this human
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Only this action
    #[arg(long, value_name = "ACTION")]
    pub(crate) action: Option<String>,
    /// Only this decision: allow, ask, deny, would_ask or would_deny
    #[arg(long, value_name = "DECISION")]
    pub(crate) decision: Option<String>,
    /// Only this code, of a refusal or of an ending
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Option<String>,
    /// Only this task
    #[arg(long, value_name = "TASK")]
    pub(crate) task: Option<String>,
    /// Only what `after: [sample]` put on the list for review
    #[arg(long)]
    pub(crate) sampled: bool,
    /// Not before: `2h`, a day, or a time
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// Before: `1h`, a day, or a time
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<String>,
}

/// `ambit trace tail`
#[derive(Args, Debug)]
pub(crate) struct TraceTail {
    #[command(flatten)]
    pub(crate) which: TraceFilter,
    /// First the newest N that are there
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub(crate) lines: u32,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

/// `ambit why TRACE|--last`
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["trace", "last", "handle"]))]
pub(crate) struct Why {
    /// The trace (32 hexadecimal digits) or the entry (`ent_…`)
    pub(crate) trace: Option<String>,
    /// The last refusal
    #[arg(long)]
    pub(crate) last: bool,
    /// What a human is asked, by the handle that the agent was given
    #[arg(long, value_name = "HANDLE")]
    pub(crate) handle: Option<String>,
    /// … of this agent
    #[arg(long, value_name = "AGENT", requires = "last")]
    pub(crate) agent: Option<String>,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

/// `ambit report …`
#[derive(Debug, Subcommand)]
pub(crate) enum Report {
    /// What enforcing would have refused of an agent in `mode: observe`, and the change that would allow it
    Would(ReportWould),
}

/// `ambit report would`
#[derive(Args, Debug)]
pub(crate) struct ReportWould {
    /// The agent
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: String,
    /// Since when: `7d`, a day, or a time
    #[arg(long, value_name = "WHEN", default_value = "7d")]
    pub(crate) since: String,
    /// Print only the change to ambit.yaml, as a patch
    #[arg(long, conflicts_with = "write")]
    pub(crate) diff: bool,
    /// Write the change into the file; it is in force after `ambit apply`
    #[arg(long)]
    pub(crate) write: bool,
    /// The file with the declared state
    #[arg(long, value_name = "PATH", default_value = "ambit.yaml", env = "AMBIT_CONFIG")]
    pub(crate) config: PathBuf,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

/// `ambit ledger …`
#[derive(Debug, Subcommand)]
pub(crate) enum Ledger {
    /// The public key that checkpoints verify with
    Key(DataDir),
    /// Verify a data directory or an export, offline
    Verify(LedgerVerify),
    /// A signed checkpoint of the ledger as it is, to keep elsewhere
    Checkpoint(DataDir),
    /// Copy the ledger to a file that `ledger verify` reads
    Export {
        /// The file; it must not exist
        file: PathBuf,
        #[command(flatten)]
        data: DataDir,
    },
}

/// `ambit ledger verify`
#[derive(Args, Debug)]
pub(crate) struct LedgerVerify {
    /// Data directory or exported file
    #[arg(long, value_name = "DIR|FILE", default_value = ".ambit", env = "AMBIT_DATA")]
    pub(crate) data: PathBuf,
    /// The key that it must be signed with (default: the one beside it)
    #[arg(long, value_name = "VKEY")]
    pub(crate) key: Option<String>,
    /// A checkpoint kept elsewhere that the ledger must contain
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
}
