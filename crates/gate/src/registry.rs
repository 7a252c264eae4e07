//! What the registry says of agents: whether one may act at all, before anything of its call is looked at.

use model::{AgentName, Code, Digest, Lifecycle, Name, Timestamp};
use std::collections::HashMap;

/// The environment in which drafts do not act and nobody is confirmed by starting a process.
pub const PRODUCTION: &str = "prod";

/// Every agent's standing, as of one control revision.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// By agent. `None`: no registry is kept, as in a world that a test made by hand.
    agents: Option<HashMap<AgentName, Standing>>,
    /// The gate's own environment.
    environment: Option<Name>,
}

/// One agent's standing.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Where it is in its life.
    pub state: Lifecycle,
    /// Until when its owner or sponsor is known to be alive; `None`: nobody is.
    pub answered_until: Option<Timestamp>,
    /// The environment that it belongs to.
    pub environment: Option<Name>,
    /// The version that waits for its review.
    pub waits: Option<Digest>,
}

impl Registry {
    /// A registry of these agents, at a gate of this environment.
    #[must_use]
    pub fn new(environment: Option<Name>, agents: HashMap<AgentName, Standing>) -> Registry {
        Registry { agents: Some(agents), environment }
    }

    /// The gate's own environment.
    #[must_use]
    pub fn environment(&self) -> Option<&Name> {
        self.environment.as_ref()
    }

    /// An agent's standing.
    #[must_use]
    pub fn standing(&self, agent: &AgentName) -> Option<&Standing> {
        self.agents.as_ref()?.get(agent)
    }

    /// Why an agent may not act now, if it may not. One that the registry does not know may not.
    #[must_use]
    pub fn refused(&self, agent: &AgentName, now: Timestamp) -> Option<Code> {
        let agents = self.agents.as_ref()?;
        let Some(standing) = agents.get(agent) else { return Some(Code::VersionUnreviewed) };
        let production = self.environment.as_ref().is_some_and(|name| name.as_str() == PRODUCTION);
        standing.state.refused(production, now).or_else(|| standing.unanswered(now)).or_else(|| {
            let foreign = differs(standing.environment.as_ref(), self.environment.as_ref());
            foreign.then_some(Code::EnvironmentMismatch)
        })
    }

    /// Why an agent may not act on an upstream of this environment, if it may not.
    #[must_use]
    pub fn refused_at(&self, agent: &AgentName, upstream: Option<&Name>) -> Option<Code> {
        let own = self.standing(agent).and_then(|standing| standing.environment.as_ref());
        let foreign = differs(upstream, self.environment.as_ref()) || differs(upstream, own);
        foreign.then_some(Code::EnvironmentMismatch)
    }

    /// Whether only low actions are open to an agent.
    #[must_use]
    pub fn is_draft(&self, agent: &AgentName) -> bool {
        self.standing(agent).is_some_and(|standing| standing.state.is_draft())
    }

    /// Whether this version of an agent waits for its review.
    #[must_use]
    pub fn waits(&self, agent: &AgentName, version: &Digest) -> bool {
        self.standing(agent).is_some_and(|standing| standing.waits.as_ref() == Some(version))
    }
}

impl Standing {
    /// While it is a draft, its creator answers for it.
    fn unanswered(&self, now: Timestamp) -> Option<Code> {
        let answered = self.answered_until.is_some_and(|until| now < until);
        (!answered && !self.state.is_draft()).then_some(Code::OwnerAbsent)
    }
}

/// Whether both are stated, and differ.
fn differs(one: Option<&Name>, other: Option<&Name>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one != other)
}

#[cfg(test)]
mod tests;
