//! Programs that go on: the demo, the gate in both forms, and what they listen to.

use super::DataDir;
use clap::{Args, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf};

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
