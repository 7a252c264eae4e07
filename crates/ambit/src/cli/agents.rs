//! `ambit agent …` and `ambit owner …`: the registry.

use super::DataDir;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

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
