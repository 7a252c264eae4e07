//! What a version is, kept so that a later one can be compared with it.

use crate::Compiled;
use model::{ActionId, AgentName, Digest, manifest::Manifest};
use std::collections::BTreeMap;

/// A version of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The digest of all of it.
    pub version: Digest,
    /// The digest of all but its manifest: versions of one base reach the same.
    pub base: Digest,
    /// What its builder says it is made of.
    pub manifest: Option<Manifest>,
    /// How far it gets with which action, as the gate knows it.
    pub reach: BTreeMap<ActionId, Reached>,
}

/// How far an agent gets with an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The further, the greater: under an intent, where a policy permits, ask, allow.
    pub level: u8,
    /// The definition that the gate has pinned.
    pub definition: Option<Digest>,
}

impl Reached {
    /// The level in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self.level {
            0 => "under an intent",
            1 => "where a policy permits",
            2 => "ask",
            _ => "allow",
        }
    }
}

impl Snapshot {
    /// The current version of an agent; `None` if it is not declared.
    #[must_use]
    pub fn of(compiled: &Compiled, agent: &AgentName) -> Option<Snapshot> {
        let entry = compiled.agent(agent)?;
        let manifest = entry.declared.governance.parts.as_deref().cloned();
        let reach = compiled.reach(agent);
        Some(Snapshot { version: entry.version, base: entry.base, manifest, reach })
    }
}
