//! Declared state: what is compared, applied, taken back and tried.

use super::DataDir;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Where the declared state is.
#[derive(Args, Clone, Debug)]
pub(crate) struct Declared {
    /// File or directory with the declared state
    #[arg(value_name = "PATH", default_value = "ambit.yaml", env = "AMBIT_CONFIG")]
    pub(crate) path: PathBuf,
    /// Below which directory `credential: file:…` is read
    #[arg(long, value_name = "DIR", env = "AMBIT_SECRETS_DIR")]
    pub(crate) secrets_dir: Option<PathBuf>,
    /// Do not look whether the secrets are there (for CI)
    #[arg(long)]
    pub(crate) without_secrets: bool,
}

/// `ambit diff`
#[derive(Args, Debug)]
pub(crate) struct Diff {
    #[command(flatten)]
    pub(crate) declared: Declared,
    /// End with 3 if there are differences
    #[arg(long)]
    pub(crate) exit_code: bool,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

/// `ambit rollback`
#[derive(Args, Debug)]
pub(crate) struct Rollback {
    /// The revision's number in `ambit history`, or `previous`
    #[arg(value_name = "REV")]
    pub(crate) revision: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Do not let failing `tests:` hold it; only where nobody gains
    #[arg(long)]
    pub(crate) skip_tests: bool,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

/// `ambit export`
#[derive(Args, Debug)]
pub(crate) struct Export {
    /// The directory; files that are there are not overwritten
    pub(crate) directory: PathBuf,
    /// Overwrite files that are there
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

/// `ambit apply`
#[derive(Args, Debug)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) declared: Declared,
    /// Only show what would change
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Do not let failing `tests:` hold it; only where nobody gains
    #[arg(long)]
    pub(crate) skip_tests: bool,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

/// `ambit check AGENT ACTION k=v…`
#[derive(Args, Debug)]
pub(crate) struct Check {
    /// The agent
    pub(crate) agent: String,
    /// The action: `upstream.operation`
    pub(crate) action: String,
    /// Arguments: `k=text`, or `k:=JSON`
    #[arg(value_name = "K=V")]
    pub(crate) arguments: Vec<String>,
    /// The human acted for
    #[arg(long = "for", value_name = "USER")]
    pub(crate) user: Option<String>,
    /// The task's intent
    #[arg(long, value_name = "INTENT")]
    pub(crate) intent: Option<String>,
    /// A parameter of the task: `k=text`, or `k:=JSON`
    #[arg(long = "param", value_name = "K=V")]
    pub(crate) params: Vec<String>,
    /// File or directory with the declared state
    #[arg(long, value_name = "PATH", default_value = "ambit.yaml", env = "AMBIT_CONFIG")]
    pub(crate) config: PathBuf,
}

/// `ambit policy …`
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// The Cedar that the declared state generates
    Generated(Declared),
    /// The policies that are loaded, with their files
    List(Declared),
}
