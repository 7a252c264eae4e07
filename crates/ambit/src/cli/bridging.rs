//! `ambit bridge` and `ambit run`: the agent's side.

use super::DataDir;
use clap::Args;
use std::{net::SocketAddr, path::PathBuf};

/// For whom a bridge speaks.
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("own").multiple(true))]
pub(crate) struct Who {
    /// The agent
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: String,
    /// Only this upstream's tools (default: all that the agent may see)
    #[arg(long, value_name = "UPSTREAM")]
    pub(crate) upstream: Option<String>,
    /// The task that every call belongs to, unless it names its own
    #[arg(long, value_name = "TASK")]
    pub(crate) task: Option<String>,
    /// The file with this instance's own key, as `ambit bridge --enrol` left it (default: the key that `dev` made)
    #[arg(long, value_name = "FILE", env = "AMBIT_AGENT_KEY", group = "own")]
    pub(crate) key: Option<PathBuf>,
    /// The file where the platform keeps its token for this workload (`federated:`), read anew for each access token. The
    /// proofs are then signed with the key in `--key`, which is made there the first time, or with one of this start alone
    #[arg(
        long,
        value_name = "FILE",
        env = "AMBIT_AGENT_ASSERTION",
        group = "own",
        requires = "gate"
    )]
    pub(crate) assertion: Option<PathBuf>,
    /// Where the gate is (default: what the data directory says)
    #[arg(long, value_name = "URL", env = "AMBIT_GATE", requires = "own")]
    pub(crate) gate: Option<String>,
    /// The authority of the gate's certificate, PEM (default: those of the platform)
    #[arg(long, value_name = "FILE", env = "AMBIT_GATE_CA")]
    pub(crate) ca: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

/// `ambit bridge`
#[derive(Args, Debug)]
#[command(
    after_help = "Without `--listen`, MCP on stdin and stdout: what a desktop client starts. With it, the base URL is printed \
                        once the door is open; MCP is below it at /mcp and /mcp/UPSTREAM, HTTP at /http/UPSTREAM/…."
)]
pub(crate) struct Bridge {
    #[command(flatten)]
    pub(crate) who: Who,
    /// Make this instance's own key, give its public half with this one-time code, and end
    #[arg(long, value_name = "CODE", requires = "key", conflicts_with = "listen")]
    pub(crate) enrol: Option<String>,
    /// Open a local door here instead; loopback only
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
}

/// `ambit run`
#[derive(Args, Debug)]
#[command(
    after_help = "The program finds its door in AMBIT_MCP_URL (MCP), AMBIT_HTTP_URL (add /UPSTREAM/…), AMBIT_URL (the base of \
                        both) and its name in AMBIT_AGENT. The exit code is the program's."
)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) who: Who,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}
