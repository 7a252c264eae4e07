//! The command tree: what can be typed, and nothing of what it does.

mod agents;
mod bridging;
mod clients;
mod declaring;
mod keys;
mod serving;
mod stopping;
mod traces;

pub(crate) use agents::{
    Agent, AgentDecommission, AgentReview, AgentStop, KeyForm, Owner, OwnerKey,
};
pub(crate) use bridging::{Bridge, Run, Who};
pub(crate) use clients::Client;
pub(crate) use declaring::{Apply, Check, Declared, Diff, Export, Policy, Rollback};
pub(crate) use keys::{Key, KeyCreate, Token, TokenFormat};
pub(crate) use serving::{Demo, Dev, DevGuard, Guard, Server};
pub(crate) use stopping::{Freeze, FreezeCommand, Revoke, RevokeOne, Unfreeze};
pub(crate) use traces::{
    Ledger, LedgerVerify, Report, ReportWould, Trace, TraceFilter, TraceList, TraceTail, Why,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf};

/// Zero Trust gateway for AI agents.
#[derive(Debug, Parser)]
#[command(name = "ambit", version, disable_help_subcommand = true, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: `ambit help exit-codes`. First steps: `ambit demo`, then `ambit dev`."
)]
pub(crate) struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// Form of the answer on stdout
    #[arg(short = 'o', long = "output", global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Same as `-o json`
    #[arg(long, global = true, conflicts_with = "output")]
    pub(crate) json: bool,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Say more on stderr; twice: everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Never ask at the terminal
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto)]
    pub(crate) color: Colour,
}

impl Global {
    /// The form of the answer, with the alias resolved.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}

/// Form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON document per row.
    Jsonl,
    /// YAML.
    Yaml,
    /// Only names or ids, one a line.
    Name,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show an attack without Ambit, with an ordinary role, and with Ambit
    Demo(Demo),
    /// Run the gateway on this machine for development (loopback, as you)
    Dev(Dev),
    /// Run the gateway in production, as a user that no agent runs as
    #[command(subcommand)]
    Server(Server),
    /// Check ambit.yaml and its policies
    Validate(Declared),
    /// Run the cases of `tests:`
    Test(Declared),
    /// Show what a changed ambit.yaml would change in access
    Diff(Diff),
    /// Apply ambit.yaml and its policies to the gate
    Apply(Apply),
    /// The declared states that were in force
    History(DataDir),
    /// Bring an earlier declared state back
    Rollback(Rollback),
    /// Write the declared state in force into files
    Export(Export),
    /// Say what would be decided, without doing it
    Check(Check),
    /// Policies: what is generated, what is loaded
    #[command(subcommand)]
    Policy(Policy),
    /// Issue an access token for an agent
    Token(Token),
    /// Speak for an agent to the gate: an MCP server on stdin and stdout, or a local door
    Bridge(Bridge),
    /// Run a program with a local door of its own, as an agent
    Run(Run),
    /// Agents
    #[command(subcommand)]
    Agent(Agent),
    /// Clients that open tasks
    #[command(subcommand)]
    Client(Client),
    /// Tasks
    #[command(subcommand)]
    Task(Task),
    /// Stop an agent, or whatever else a selector names, at its next request
    Freeze(Freeze),
    /// Let go what was frozen, or an agent that was revoked
    Unfreeze(Unfreeze),
    /// Revoke a token, a task, an instance or a version, or an agent, user, owner or upstream
    #[command(subcommand)]
    Revoke(Revoke),
    /// Who answers for agents
    #[command(subcommand)]
    Owner(Owner),
    /// The token service's keys
    #[command(subcommand)]
    Key(Key),
    /// What happened
    #[command(subcommand)]
    Trace(Trace),
    /// Why something was decided as it was
    Why(Why),
    /// Reports over what was recorded
    #[command(subcommand)]
    Report(Report),
    /// The ledger
    #[command(subcommand)]
    Ledger(Ledger),
    /// Systems behind the gate
    #[command(subcommand)]
    Upstream(Upstream),
    /// Upstreams' secrets in the embedded vault
    #[command(subcommand)]
    Secret(Secret),
    /// Whether a gate runs, where, and since when
    Status(DataDir),
    /// Probe data, disk, clock, upstreams, pins and secrets; each line with its fix
    Doctor(DataDir),
    /// Completion for a shell
    Completion(Completion),
    /// The version
    Version,
    /// Help on a command or topic (`exit-codes`)
    Help(Topic),
    /// A small MCP server for the demo
    #[command(name = "__demo-mcp", hide = true)]
    DemoMcp(StandIn),
    /// A small HTTP API for the demo
    #[command(name = "__demo-http", hide = true)]
    DemoHttp(StandIn),
}

/// Where the data directory is.
#[derive(Args, Clone, Debug)]
pub(crate) struct DataDir {
    /// Data directory
    #[arg(long, value_name = "DIR", default_value = ".ambit", env = "AMBIT_DATA")]
    pub(crate) data: PathBuf,
}

/// `ambit task …`
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Open a task
    Open(TaskOpen),
    /// End a task: its tokens, its references and those of its sub-tasks reach nothing from then on
    End(RevokeOne),
}

/// `ambit task open`
#[derive(Args, Debug)]
pub(crate) struct TaskOpen {
    /// The agent
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: String,
    /// The declared intent
    #[arg(long, value_name = "INTENT")]
    pub(crate) intent: String,
    /// The human acted for
    #[arg(long = "for", value_name = "USER")]
    pub(crate) user: Option<String>,
    /// What started it, in words
    #[arg(long, value_name = "TEXT")]
    pub(crate) trigger: Option<String>,
    /// The intent's parameters: `k=text`, or `k:=JSON`
    #[arg(value_name = "K=V")]
    pub(crate) params: Vec<String>,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

/// `ambit upstream …`
#[derive(Debug, Subcommand)]
pub(crate) enum Upstream {
    /// Accept an upstream's tool definitions as they are, and write ambit.lock
    Pin {
        /// The upstream
        name: String,
        #[command(flatten)]
        data: DataDir,
    },
    /// Show for which address an upstream's credential was given, or give it for the present one
    Credential {
        /// The upstream
        name: String,
        /// Give it for the address that the upstream has in the applied state
        #[arg(long)]
        confirm: bool,
        #[command(flatten)]
        data: DataDir,
    },
}

/// `ambit secret …`
#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// Set a secret; its value is read from standard input, never from the command line
    Set {
        /// Its name: `credential: secret:NAME`
        name: String,
        /// Whose it is, where each human has her own: `secret:NAME/{user}`
        #[arg(long = "for", value_name = "USER")]
        user: Option<String>,
        #[command(flatten)]
        data: DataDir,
    },
    /// Names and ages, never values
    List(DataDir),
    /// Remove a secret
    Rm {
        /// Its name
        name: String,
        /// Whose it is, where each human has her own
        #[arg(long = "for", value_name = "USER")]
        user: Option<String>,
        /// Although an upstream uses it: its calls are refused until it is set again
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        data: DataDir,
    },
}

/// `ambit completion`
#[derive(Args, Debug)]
pub(crate) struct Completion {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// `ambit help`
#[derive(Args, Debug)]
pub(crate) struct Topic {
    /// A command, or `exit-codes`
    pub(crate) topic: Vec<String>,
}

/// What a demo upstream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A ticket system.
    Tickets,
    /// A mail server.
    Mail,
    /// A paste service.
    Paste,
}

/// A demo upstream.
#[derive(Args, Debug)]
pub(crate) struct StandIn {
    /// Where to listen; loopback only
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Its access log, JSON lines
    #[arg(long, value_name = "FILE")]
    pub(crate) log: PathBuf,
    /// What it is (MCP only)
    #[arg(long, value_enum, default_value_t = Kind::Tickets)]
    pub(crate) kind: Kind,
    /// A file with the credential that callers must show
    #[arg(long, value_name = "FILE")]
    pub(crate) credential_file: Option<PathBuf>,
    /// End when stdin closes
    #[arg(long)]
    pub(crate) until_stdin_closes: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_tree_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
