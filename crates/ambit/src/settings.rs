//! Process settings of `ambit dev`: flags and `AMBIT_*` variables, never declared state.

use std::{net::SocketAddr, path::PathBuf};

/// How this process runs. Everything that decides about agents is in `ambit.yaml` instead.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The file or directory with the declared state.
    pub(crate) config: PathBuf,
    /// The data directory: ledger, keys, control socket; mode 0700.
    pub(crate) data: PathBuf,
    /// Where the ledger is, if not in the data directory.
    pub(crate) database: Option<store::Database>,
    /// Where agents come in: MCP, HTTP, OAuth.
    pub(crate) listen: SocketAddr,
    /// Where operators look: health and metrics.
    pub(crate) ops_listen: SocketAddr,
    /// The agents' listener as agents write it, without a slash at its end: `http://127.0.0.1:8400`.
    pub(crate) base_url: String,
    /// Below which directory `credential: file:…` is read; `None`: no file is.
    pub(crate) secrets_dir: Option<PathBuf>,
    /// Where traces are sent (OTLP over HTTP); `None`: nowhere.
    pub(crate) otlp_endpoint: Option<crate::follow::Collector>,
    /// Whether proofs at the doors must carry a nonce.
    pub(crate) nonces_demanded: bool,
    /// The environment that this gate belongs to; `None`: the one that it belonged to before.
    pub(crate) environment: Option<model::Name>,
    /// How long a confirmation that an owner is alive counts; `None`: as long as it may.
    pub(crate) owner_term: Option<model::Duration>,
    /// Which guards stand: all, but in the twins of tests and of the demo.
    pub(crate) guards: gate::Guards,
}
