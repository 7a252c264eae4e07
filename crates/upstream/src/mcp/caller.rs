//! For whom a session with an upstream is held.

use model::{AgentName, UserName};

/// The agent and the human that a legacy session belongs to; never shared between two of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Caller {
    /// An agent, for a human or for itself, in a legacy session of its own client if it has one.
    Acting(AgentName, Option<UserName>, Option<u128>),
    /// Ambit, reading definitions.
    Ambit,
}

impl Caller {
    /// The human, if one is acted for.
    pub(crate) const fn user(&self) -> Option<&UserName> {
        match self {
            Caller::Acting(_, user, _) => user.as_ref(),
            Caller::Ambit => None,
        }
    }

    pub(crate) fn acting(
        agent: &AgentName,
        user: Option<&UserName>,
        session: Option<u128>,
    ) -> Caller {
        Caller::Acting(agent.clone(), user.cloned(), session)
    }
}
