//! An agent earlier in a chain of delegations.

use crate::{AgentName, Digest, PartyName, TokenId};

/// An agent from whose token the token in use was exchanged, directly or over others. What ends for it ends for all
/// that came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// The agent.
    pub agent: AgentName,
    /// The thumbprint of its instance's key, if it showed one.
    pub instance: Option<String>,
    /// The scoped key that bought its token, if one did.
    pub key: Option<String>,
    /// Who answered for it.
    pub owner: PartyName,
    /// Its token, from which the next one in the chain came.
    pub token: TokenId,
    /// Its version.
    pub version: Digest,
}

impl Ancestor {
    /// Kind and name of every subject whose stop ends it, and so what came of its token.
    pub fn subjects(&self) -> impl Iterator<Item = (&'static str, String)> {
        let instance = self.instance.clone().map(|instance| ("instance", instance));
        let key = self.key.clone().map(|key| ("key", key));
        [
            ("agent", self.agent.to_string()),
            ("version", self.version.to_string()),
            ("owner", self.owner.to_string()),
            ("token", self.token.to_string()),
        ]
        .into_iter()
        .chain(instance)
        .chain(key)
    }
}
