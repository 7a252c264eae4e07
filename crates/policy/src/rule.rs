//! One policy, generated or hand-written, with what slices and explanations need of it.

use crate::reads::Reads;
use cedar_policy::{Effect, Policy};
use model::Name;

/// Who is asked where a policy's forbidding can be lifted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asking {
    /// Nobody: no approval lifts it.
    Nobody,
    /// The rule of the action's catalog entry, or `default`.
    OfAction,
    /// This rule.
    Rule(Name),
}

/// One policy.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Its `@id`, or its place.
    pub(crate) id: String,
    /// The file it stands in.
    pub(crate) path: String,
    /// Its line in that file; 0 for generated ones.
    pub(crate) line: u32,
    /// What a human is told when it decides.
    pub(crate) sentence: String,
    /// Who is asked.
    pub(crate) asking: Asking,
    /// Whether it permits or forbids.
    pub(crate) effect: Effect,
    /// Its text as it stands in its file.
    pub(crate) text: String,
    /// As it stands among all policies.
    pub(crate) stated: Policy,
    /// As it stands in a slice. Its scope may be wider, since the slice is narrower.
    pub(crate) resolved: Policy,
    /// What it reads of the context.
    pub(crate) reads: Reads,
}
