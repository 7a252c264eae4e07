//! An agent's life as an enum: each transition consumes the state before it, and each state holds only what it has.

use crate::{
    code::Code,
    time::{Duration, Timestamp},
};
use std::fmt;

/// Where an agent is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// Declared, and reviewed by nobody: usable by its creator outside of production, for low actions, until it ends.
    Draft {
        /// Who declared it.
        creator: String,
        /// Since when.
        since: Timestamp,
        /// Until when it may be used.
        ends: Timestamp,
    },
    /// Handed in for its first review, or again after it was suspended unreviewed.
    UnderReview {
        /// Who handed it in.
        by: String,
        /// Since when.
        since: Timestamp,
    },
    /// It may act.
    Active {
        /// Who let it.
        by: String,
        /// Since when.
        since: Timestamp,
        /// When the whole agent was reviewed last.
        reviewed: Timestamp,
    },
    /// It may not act until somebody resumes or reviews it.
    Suspended {
        /// Who, or which rule.
        by: Suspender,
        /// Why, in their words.
        reason: String,
        /// Since when.
        since: Timestamp,
        /// When it was reviewed last; `None`: never.
        reviewed: Option<Timestamp>,
    },
    /// It never acts again, and nobody else gets its name.
    Decommissioned {
        /// Who ended it.
        by: String,
        /// Why, in their words.
        reason: String,
        /// Since when.
        since: Timestamp,
    },
}

/// Who suspends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Suspender {
    /// A person.
    Person(String),
    /// A rule: `review.every`.
    Rule(String),
}

impl fmt::Display for Suspender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Suspender::Person(name) => f.write_str(name),
            Suspender::Rule(name) => write!(f, "rule {name}"),
        }
    }
}

/// A transition that the state does not have; the state itself comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongState {
    /// The agent's state, unchanged.
    pub state: Lifecycle,
    /// What was wanted.
    pub wanted: &'static str,
}

impl std::error::Error for WrongState {}

impl fmt::Display for WrongState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, wanted) = (self.state.as_str(), self.wanted);
        let way = match &self.state {
            Lifecycle::Draft { .. } | Lifecycle::UnderReview { .. } => {
                "approve its review: `ambit agent review NAME --approve`"
            }
            Lifecycle::Active { .. } => "it acts already",
            Lifecycle::Suspended { reviewed: Some(_), by: Suspender::Person(_), .. } => {
                "let it go on: `ambit agent resume NAME`"
            }
            Lifecycle::Suspended { .. } => {
                "approve its review: `ambit agent review NAME --approve`"
            }
            Lifecycle::Decommissioned { .. } => {
                "there is no way back: register a successor under another name"
            }
        };
        write!(f, "the agent is {state}, so it cannot be {wanted}: {way}")
    }
}

impl Lifecycle {
    /// Declared by somebody whom nobody has reviewed yet.
    #[must_use]
    pub fn draft(creator: String, now: Timestamp, life: Duration) -> Lifecycle {
        Lifecycle::Draft { creator, since: now, ends: now.after(life) }
    }

    /// Declared by who may let it act at once.
    #[must_use]
    pub fn active(by: String, now: Timestamp) -> Lifecycle {
        Lifecycle::Active { by, since: now, reviewed: now }
    }

    /// Hands a draft in for review; it does not act meanwhile.
    pub fn hand_in(self, by: String, now: Timestamp) -> Result<Lifecycle, WrongState> {
        match self {
            Lifecycle::Draft { .. } => Ok(Lifecycle::UnderReview { by, since: now }),
            state => Err(WrongState { state, wanted: "handed in for review" }),
        }
    }

    /// The whole agent was reviewed and may act.
    pub fn approve(self, by: String, now: Timestamp) -> Result<Lifecycle, WrongState> {
        match self {
            Lifecycle::Active { by, since, .. } => {
                Ok(Lifecycle::Active { by, since, reviewed: now })
            }
            Lifecycle::Draft { .. }
            | Lifecycle::UnderReview { .. }
            | Lifecycle::Suspended { by: Suspender::Rule(_), .. }
            | Lifecycle::Suspended { reviewed: None, .. } => {
                Ok(Lifecycle::Active { by, since: now, reviewed: now })
            }
            // A person's stop is lifted by a person who says so, not by a signature under a page.
            Lifecycle::Suspended { by, reason, since, reviewed: Some(_) } => {
                Ok(Lifecycle::Suspended { by, reason, since, reviewed: Some(now) })
            }
            state @ Lifecycle::Decommissioned { .. } => {
                Err(WrongState { state, wanted: "reviewed" })
            }
        }
    }

    /// Stops it until somebody resumes it.
    pub fn suspend(
        self,
        by: Suspender,
        reason: String,
        now: Timestamp,
    ) -> Result<Lifecycle, WrongState> {
        match self {
            Lifecycle::Draft { .. } | Lifecycle::UnderReview { .. } => {
                Ok(Lifecycle::Suspended { by, reason, since: now, reviewed: None })
            }
            Lifecycle::Active { reviewed, .. } => {
                Ok(Lifecycle::Suspended { by, reason, since: now, reviewed: Some(reviewed) })
            }
            // What a rule stopped, a review lets go on: a person's stop outlives that.
            Lifecycle::Suspended { by: Suspender::Rule(_), reviewed, .. }
                if matches!(by, Suspender::Person(_)) =>
            {
                Ok(Lifecycle::Suspended { by, reason, since: now, reviewed })
            }
            state @ (Lifecycle::Suspended { .. } | Lifecycle::Decommissioned { .. }) => {
                Err(WrongState { state, wanted: "suspended" })
            }
        }
    }

    /// Lets one go on that a person stopped. What a rule stopped, or nobody ever reviewed, needs a review.
    pub fn resume(self, by: String, now: Timestamp) -> Result<Lifecycle, WrongState> {
        match self {
            Lifecycle::Suspended { by: Suspender::Person(_), reviewed: Some(reviewed), .. } => {
                Ok(Lifecycle::Active { by, since: now, reviewed })
            }
            Lifecycle::Suspended { by: Suspender::Person(_), reviewed: None, .. } => {
                Ok(Lifecycle::UnderReview { by, since: now })
            }
            state => Err(WrongState { state, wanted: "resumed" }),
        }
    }

    /// Ends it for good.
    pub fn decommission(
        self,
        by: String,
        reason: String,
        now: Timestamp,
    ) -> Result<Lifecycle, WrongState> {
        match self {
            state @ Lifecycle::Decommissioned { .. } => {
                Err(WrongState { state, wanted: "decommissioned" })
            }
            Lifecycle::Draft { .. }
            | Lifecycle::UnderReview { .. }
            | Lifecycle::Active { .. }
            | Lifecycle::Suspended { .. } => {
                Ok(Lifecycle::Decommissioned { by, reason, since: now })
            }
        }
    }

    /// Why the agent may not act now, if it may not. `production`: drafts do not act.
    #[must_use]
    pub fn refused(&self, production: bool, now: Timestamp) -> Option<Code> {
        match self {
            Lifecycle::Active { .. } => None,
            Lifecycle::Draft { ends, .. } => {
                (production || *ends <= now).then_some(Code::VersionUnreviewed)
            }
            Lifecycle::UnderReview { .. } => Some(Code::VersionUnreviewed),
            Lifecycle::Suspended { .. } => Some(Code::AgentSuspended),
            Lifecycle::Decommissioned { .. } => Some(Code::AgentDecommissioned),
        }
    }

    /// Whether only low actions are open to it.
    #[must_use]
    pub const fn is_draft(&self) -> bool {
        matches!(self, Lifecycle::Draft { .. })
    }

    /// Since when it is in this state.
    #[must_use]
    pub const fn since(&self) -> Timestamp {
        match self {
            Lifecycle::Draft { since, .. }
            | Lifecycle::UnderReview { since, .. }
            | Lifecycle::Active { since, .. }
            | Lifecycle::Suspended { since, .. }
            | Lifecycle::Decommissioned { since, .. } => *since,
        }
    }

    /// Why it was stopped, in the words of who or what did it.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Lifecycle::Suspended { reason, .. } | Lifecycle::Decommissioned { reason, .. } => {
                Some(reason)
            }
            Lifecycle::Draft { .. } | Lifecycle::UnderReview { .. } | Lifecycle::Active { .. } => {
                None
            }
        }
    }

    /// The word in rows, records and answers.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Lifecycle::Draft { .. } => "draft",
            Lifecycle::UnderReview { .. } => "under review",
            Lifecycle::Active { .. } => "active",
            Lifecycle::Suspended { .. } => "suspended",
            Lifecycle::Decommissioned { .. } => "decommissioned",
        }
    }
}

#[cfg(test)]
mod tests;
