//! What a version of an agent is made of, how each part is known, and who reviews a change of it.

use crate::{
    name::{ActionId, PartyName},
    time::Duration,
};
use std::{collections::BTreeMap, fmt};

/// What `manifest: FILE` says: written by whoever builds the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The model: `vendor/name@date`.
    pub model: Option<String>,
    /// Prompts, by name, as digests.
    pub prompts: BTreeMap<String, String>,
    /// Tools that it is built with, with the digests of their definitions where they are known.
    pub tools: BTreeMap<ActionId, Option<String>>,
    /// Systems that it is wired to beside its upstreams, with what fixes them: a version or digest.
    pub integrations: BTreeMap<String, String>,
    /// The image that it runs from, as a digest.
    pub image: Option<String>,
}

/// How a part of a version is known; the weakest is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Evidence {
    /// A party that the agent cannot make say so says so.
    Attested,
    /// The gate has seen it itself.
    Observed,
    /// The agent's builder says so.
    Declared,
}

impl Evidence {
    /// The word in records and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Evidence::Attested => "attested",
            Evidence::Observed => "observed",
            Evidence::Declared => "declared",
        }
    }
}

/// What kind of part has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A prompt.
    Prompt,
    /// The model.
    Model,
    /// Which tools there are, and how far each may be used.
    Tools,
    /// What a tool says of itself.
    ToolDefinition,
    /// A system that it is wired to.
    Integration,
    /// The image that it runs from.
    Image,
}

impl Class {
    /// All classes, in the order of a review page: prompts first, side effects last.
    pub const ALL: [Class; 6] = [
        Class::Prompt,
        Class::Model,
        Class::Integration,
        Class::Image,
        Class::Tools,
        Class::ToolDefinition,
    ];

    /// The word in records and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Prompt => "prompt",
            Class::Model => "model",
            Class::Tools => "tools",
            Class::ToolDefinition => "tool definition",
            Class::Integration => "integration",
            Class::Image => "image",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What must happen before a changed version acts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Nothing: it passes with a record.
    Auto,
    /// Nothing: it passes with a record, and the owner is told.
    Notify,
    /// The agent's owner or sponsor reviews it.
    Owner,
    /// This party reviews it.
    Party(PartyName),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Auto => f.write_str("auto"),
            Rule::Notify => f.write_str("notify"),
            Rule::Owner => f.write_str("owner"),
            Rule::Party(party) => party.fmt(f),
        }
    }
}

/// Who reviews which change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// Changed tools and tool definitions.
    pub tools: Rule,
    /// Changed integrations.
    pub integrations: Rule,
    /// A changed model.
    pub model: Rule,
    /// A changed prompt.
    pub prompt: Rule,
    /// A changed image.
    pub image: Rule,
    /// How often the whole agent is reviewed.
    pub every: Option<Duration>,
}

impl Review {
    /// The rule for a class of change.
    #[must_use]
    pub const fn rule(&self, class: Class) -> &Rule {
        match class {
            Class::Prompt => &self.prompt,
            Class::Model => &self.model,
            Class::Tools | Class::ToolDefinition => &self.tools,
            Class::Integration => &self.integrations,
            Class::Image => &self.image,
        }
    }
}
