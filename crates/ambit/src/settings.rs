//! Process settings of `ambit dev` and `ambit server run`: flags and `AMBIT_*` variables, never declared state.

use model::TrustDomain;
use std::{net::SocketAddr, path::PathBuf};

/// Who the gate runs as, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `ambit dev`: as whoever starts it, no boundary against code that runs as the same user.
    Development,
    /// `ambit server run`: as a user of its own that no agent runs as (S1).
    Production,
}

impl Form {
    /// The word of records and answers.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Form::Development => "development",
            Form::Production => "production",
        }
    }

    pub(crate) fn is_development(self) -> bool {
        self == Form::Development
    }
}

/// How this process runs. Everything that decides about agents is in `ambit.yaml` instead.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// In which form; what a data directory was made in counts for more.
    pub(crate) form: Form,
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
    /// Where the control API is.
    pub(crate) api_listen: SocketAddr,
    /// The agents' listener as agents write it, without a slash at its end: `http://127.0.0.1:8400`.
    pub(crate) base_url: String,
    /// TLS of the agents' listener; `None`: plain HTTP.
    pub(crate) tls: Option<TlsFiles>,
    /// In which Ambit's own authority names agents: `spiffe://TRUST-DOMAIN/agent/NAME`.
    pub(crate) trust_domain: TrustDomain,
    /// Authorities of foreign trust domains, as PEM files.
    pub(crate) trust_bundles: Vec<(TrustDomain, PathBuf)>,
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

/// The listener's certificate (a chain) and its key, in PEM; read again when they change.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    /// The chain, the listener's own certificate first.
    pub(crate) certificate: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
}

/// The trust domain where none is stated.
pub(crate) const TRUST_DOMAIN: &str = "ambit.internal";

/// `--trust-bundle DOMAIN=FILE`.
pub(crate) fn trust_bundle(text: &str) -> Result<(TrustDomain, PathBuf), String> {
    let (domain, path) = text.split_once('=').ok_or("write it as TRUST-DOMAIN=FILE")?;
    let domain = TrustDomain::new(domain).map_err(|error| error.to_string())?;
    Ok((domain, PathBuf::from(path)))
}
