//! Declared humans: issuers that name them, what groups of them may do, and the clients that open tasks for them.

use super::ActionPattern;
use crate::name::{AgentName, Name};
use std::collections::BTreeSet;

/// An identity provider whose humans can be acted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HumanIssuer {
    /// Its issuer URL, as its tokens state it.
    pub url: String,
    /// The claim that names the human; stable and never given to another one.
    pub subject: String,
    /// The only audience of its ID tokens; `None`: the name of the client that shows one.
    pub audience: Option<String>,
    /// What its humans may do; `None`: nothing is stated.
    pub actions: Option<BTreeSet<ActionPattern>>,
    /// The entry's line in its file, 1-based.
    pub line: u32,
}

/// A client of the control API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The agent whose tasks it opens.
    pub agent: Option<AgentName>,
    /// The intents that it may open tasks for.
    pub may_open: BTreeSet<Name>,
    /// What else it may do.
    pub may: BTreeSet<ApiRight>,
    /// Path of a JWKS with its public keys, relative to the file; `None`: `dev` generates one.
    pub keys: Option<String>,
    /// How it shows for whom a task is.
    pub humans: Shown,
    /// The entry's line in its file, 1-based.
    pub line: u32,
}

/// What a client of the control API may do with the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ApiRight {
    /// Read it.
    Read,
    /// Stop what it names: suspend and revoke. Letting go again is for people.
    Stop,
}

impl ApiRight {
    /// The word in `ambit.yaml`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ApiRight::Read => "read",
            ApiRight::Stop => "stop",
        }
    }
}

/// How a client shows for whom a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// By the human's own token.
    Proven,
    /// Its word is enough for people of this machine. It can act for each of them.
    Stated,
}
