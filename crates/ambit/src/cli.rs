//! The command tree: what can be typed, and nothing of what it does.

mod clients;

pub(crate) use clients::Client;

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

/// `ambit demo`
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// End after the story; the exit code is 1 if an act did not come out as told
    #[arg(long)]
    pub(crate) exit: bool,
    /// Tell the story with one guard off: then the exit code is 1
    #[arg(long, value_enum, value_name = "NAME")]
    pub(crate) guard_off: Option<Guard>,
}

/// A guard that the demo can tell its story without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Guard {
    /// The task's intent binds no argument.
    Intent,
    /// Tokens are bound to nothing.
    Proof,
    /// Nothing is frozen.
    Freeze,
    /// The ledger's copy is not verified.
    Ledger,
    /// The boundary is wide.
    Boundary,
}

/// Where the data directory is.
#[derive(Args, Clone, Debug)]
pub(crate) struct DataDir {
    /// Data directory
    #[arg(long, value_name = "DIR", default_value = ".ambit", env = "AMBIT_DATA")]
    pub(crate) data: PathBuf,
}

/// `ambit dev`
#[derive(Args, Debug)]
pub(crate) struct Dev {
    /// File or directory with the declared state
    #[arg(long, value_name = "PATH", default_value = "ambit.yaml", env = "AMBIT_CONFIG")]
    pub(crate) config: PathBuf,
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// PostgreSQL database for the ledger: postgres://USER@127.0.0.1/NAME, or ?host=DIR of a Unix socket
    /// (default: SQLite in the data directory)
    #[arg(long, value_name = "URL", env = "AMBIT_DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: Option<String>,
    /// Where agents come in
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8400", env = "AMBIT_LISTEN")]
    pub(crate) listen: SocketAddr,
    /// Where operators look: health and metrics
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8401", env = "AMBIT_OPS_LISTEN")]
    pub(crate) ops_listen: SocketAddr,
    /// Where the control API is, for `clients:`
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8402", env = "AMBIT_API_LISTEN")]
    pub(crate) api_listen: SocketAddr,
    #[command(flatten)]
    pub(crate) tls: Tls,
    /// Below which directory `credential: file:…` is read
    #[arg(long, value_name = "DIR", env = "AMBIT_SECRETS_DIR")]
    pub(crate) secrets_dir: Option<PathBuf>,
    /// Send traces here, as OTLP over HTTP (JSON): the base URL of a collector
    #[arg(long, value_name = "URL", env = "AMBIT_OTLP_ENDPOINT", value_parser = crate::follow::Collector::of)]
    pub(crate) otlp_endpoint: Option<crate::follow::Collector>,
    /// Refuse DPoP proofs without a current nonce at every door (the token endpoint always does)
    #[arg(long, env = "AMBIT_DEMAND_NONCES", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) demand_nonces: bool,
    /// The environment that this gate belongs to: `dev`, `staging`, `prod` (default: the one that it belonged to before,
    /// at first a sandbox). In `prod` drafts do not act; outside of a sandbox owners are confirmed by `ambit owner confirm`
    #[arg(long, value_name = "NAME", env = "AMBIT_ENVIRONMENT", value_parser = environment)]
    pub(crate) environment: Option<model::Name>,
    /// How long a confirmation that an owner is alive counts (default and most: 30d)
    #[arg(long, value_name = "SPAN", env = "AMBIT_OWNER_TERM", value_parser = owner_term)]
    pub(crate) owner_term: Option<model::Duration>,
    /// Run as the twin of a test, with one guard off
    #[arg(long, value_enum, hide = true)]
    pub(crate) guard_off: Option<DevGuard>,
    /// Stop when stdin closes
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}

fn environment(text: &str) -> Result<model::Name, String> {
    model::Name::new(text).map_err(|error| error.to_string())
}

fn owner_term(text: &str) -> Result<model::Duration, String> {
    let term = model::Duration::parse(text).filter(|term| term.0 > 0);
    let term = term.ok_or_else(|| format!("`{text}` is no span: write `30d` or `12h`"))?;
    let most = crate::limits::OWNER_TERM;
    if term <= most { Ok(term) } else { Err(format!("at most {most}")) }
}

/// TLS where agents come in, and who is believed about their certificates.
#[derive(Args, Clone, Debug)]
pub(crate) struct Tls {
    /// Speak TLS where agents come in, with this certificate (PEM, its chain below it); read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "AMBIT_TLS_CERT")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "AMBIT_TLS_KEY")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The URL that agents know this gate by, without a path: the issuer, and the beginning of each audience
    /// (default: where agents come in)
    #[arg(long, value_name = "URL", env = "AMBIT_BASE_URL")]
    pub(crate) base_url: Option<String>,
    /// The trust domain in which agents get certificates: spiffe://NAME/agent/AGENT
    #[arg(long, value_name = "NAME", env = "AMBIT_TRUST_DOMAIN", default_value = crate::settings::TRUST_DOMAIN, value_parser = |text: &str| model::TrustDomain::new(text))]
    pub(crate) trust_domain: model::TrustDomain,
    /// Certificate authorities (PEM) of a foreign trust domain, for agents with a `spiffe_id` of it; may be repeated
    #[arg(long, value_name = "NAME=FILE", value_parser = crate::settings::trust_bundle)]
    pub(crate) trust_bundle: Vec<(model::TrustDomain, PathBuf)>,
}

/// `ambit server …`
#[derive(Debug, Subcommand)]
pub(crate) enum Server {
    /// Check what it rests on, then serve until told to stop
    #[command(
        after_help = "It does not start while another user of this machine can read or change the data directory, the declared state or \
                      the secrets, and it answers no process of its own user. Nothing is asked at a terminal, no key is made for an \
                      agent, and files come into force by `ambit apply` alone."
    )]
    Run(ServerRun),
}

/// `ambit server run`
#[derive(Args, Debug)]
pub(crate) struct ServerRun {
    #[command(flatten)]
    pub(crate) gate: Dev,
}

/// A guard of the gate that a test can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DevGuard {
    /// Revocations and freezes are obeyed.
    Revocation,
    /// `returns:` projects results.
    Projection,
    /// A token that is bound to nothing reaches nothing `high`.
    Bearer,
    /// Reused assertions of foreign workloads are held to their first key.
    Pins,
}

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

/// `ambit agent …`
#[derive(Debug, Subcommand)]
pub(crate) enum Agent {
    /// Registered agents
    List(DataDir),
    /// One agent
    Show {
        /// The agent
        agent: String,
        #[command(flatten)]
        data: DataDir,
    },
    /// Suspend an agent until it is resumed
    Suspend(AgentStop),
    /// Let an agent go on that a person suspended
    Resume(AgentStop),
    /// Print a one-time code with which an instance gives its own key (15 minutes)
    Enrol {
        /// The agent
        agent: String,
        #[command(flatten)]
        data: DataDir,
    },
    /// An agent's enrolled instances
    Instances {
        /// The agent
        agent: String,
        #[command(flatten)]
        data: DataDir,
    },
    /// End an agent for good: first what it has and what Ambit cannot take away, then, with `--yes`, the end
    Decommission(AgentDecommission),
    /// What of an agent Ambit cannot take away: where it lies, and who can
    Residual {
        /// The agent
        agent: String,
        #[command(flatten)]
        data: DataDir,
    },
    /// What a version of an agent is, what changed and what it newly reaches; approve it
    Review(AgentReview),
    /// Sign a certificate (X.509-SVID) that a key is an agent's; of the request, only its key is taken
    Cert {
        /// The agent
        agent: String,
        /// Certificate signing request (PEM), of an Ed25519 or P-256 key
        #[arg(long, value_name = "FILE")]
        csr: PathBuf,
        #[command(flatten)]
        data: DataDir,
    },
    /// Export the key that `ambit dev` generated for an agent
    Key {
        /// The agent
        agent: String,
        /// In which form
        #[arg(long, value_enum)]
        export: KeyForm,
        #[command(flatten)]
        data: DataDir,
    },
}

/// `ambit agent decommission`
#[derive(Args, Debug)]
pub(crate) struct AgentDecommission {
    /// The agent
    pub(crate) agent: String,
    /// Do it: there is no way back
    #[arg(long)]
    pub(crate) yes: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

/// `ambit agent review`
#[derive(Args, Debug)]
pub(crate) struct AgentReview {
    /// The agent
    pub(crate) agent: String,
    /// Approve what is shown: the version may act
    #[arg(long)]
    pub(crate) approve: bool,
    /// Hand a draft in for its first review: it does not act meanwhile
    #[arg(long, conflicts_with = "approve")]
    pub(crate) request: bool,
    /// Who reviews
    #[arg(long = "as", value_name = "NAME", requires = "approve", requires = "key")]
    pub(crate) reviewer: Option<String>,
    /// The file with her private key (JWK), which `ambit owner key NAME --new FILE` makes
    #[arg(long, value_name = "FILE", requires = "reviewer")]
    pub(crate) key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

/// An agent whose life goes on differently.
#[derive(Args, Debug)]
pub(crate) struct AgentStop {
    /// The agent
    pub(crate) agent: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

/// The form of an exported key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyForm {
    /// RFC 7517, with its private part.
    Jwk,
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

/// `ambit owner …`
#[derive(Debug, Subcommand)]
pub(crate) enum Owner {
    /// Confirm that an owner or sponsor is alive, for 30 days
    Confirm {
        /// `user:NAME` or `group:NAME`; a bare name is a user's
        name: String,
        #[command(flatten)]
        data: DataDir,
    },
    /// Owners and sponsors, and until when each is known to be alive
    List(DataDir),
    /// Give the key that a human signs reviews with
    Key(OwnerKey),
}

/// `ambit owner key`
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["new", "public"]))]
pub(crate) struct OwnerKey {
    /// The human
    pub(crate) name: String,
    /// Make a key: its private part goes into this file, which must not exist, and nowhere else
    #[arg(long, value_name = "FILE")]
    pub(crate) new: Option<PathBuf>,
    /// Take the public key in this file (JWK or JWKS)
    #[arg(long, value_name = "FILE")]
    pub(crate) public: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) data: DataDir,
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
