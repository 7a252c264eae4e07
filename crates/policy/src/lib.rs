//! Decides: who may do what, with which arguments, for whom, and who is asked.
//!
//! Declared state is compiled once ([`compile`]); each call finds its [`Slice`], becomes a [`Call`]
//! with typed arguments, and is decided ([`decide`]) to a [`Clearance`], an [`Ask`] or a
//! [`Denial`].
//!
//! INVARIANTS: grants are data, guardrails are `forbid`s, so no permit undoes a tier. Any
//! evaluation error and any missing entity denies. An approval only lifts what was signed.
//!
//! Deliberately absent: IO, a clock, randomness, YAML, tokens, revocation (it is a condition of
//! the record), counting (likewise).
#![deny(missing_docs, clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

mod agent;
mod call;
mod cases;
mod catalog;
mod check;
mod compiled;
mod context;
mod decide;
mod difference;
mod digest;
mod entities;
mod envelope;
mod evidence;
mod explain;
mod facts;
mod generated;
mod guard;
mod infer;
mod intent;
mod limits;
mod method;
mod problem;
mod reads;
pub mod registry;
mod rights;
mod rule;
mod scan;
mod schema;
mod shape;
mod slice;
mod subjects;
mod task;
#[cfg(test)]
mod tests;
mod written;

pub use agent::AgentEntry;
pub use call::{ArgumentError, Call};
pub use cases::{CaseResult, Question};
pub use catalog::{CatalogEntry, QUERY};
pub use compiled::{Compiled, compile};
pub use decide::{Reason, Ruling, Verdict, decide, evaluate};
pub use difference::{Difference, Direction};
pub use digest::subject_digest;
pub use evidence::{Ask, AskRecord, Clearance, Consultation, Denial, Refused, binding};
pub use explain::{Checked, Explanation, Finding, why};
pub use facts::{Approval, Facts, FactsError, Subject};
pub use problem::{Place, Problem};
pub use scan::Scan;
pub use slice::Slice;
pub use subjects::{Subjects, everything, subjects_of};
pub use task::{TaskFacts, Trigger, Widens, narrows};

use model::{ActionId, Digest};
use std::collections::BTreeMap;

/// Pinned definitions of MCP tools.
pub type Definitions = BTreeMap<ActionId, Definition>;

/// One pinned definition: everything that a model reads before it calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Name, title, description, annotations, input and output schema as canonical JSON.
    pub canonical: Vec<u8>,
    /// SHA-256 of [`Definition::canonical`].
    pub digest: Digest,
    /// The input schema.
    pub input_schema: canonical::Value,
}

impl Definition {
    /// Takes the canonical bytes of a definition. Without an input schema any object is accepted.
    pub fn new(canonical: Vec<u8>) -> Result<Definition, canonical::ParseError> {
        let value = canonical::parse(&canonical, &canonical::Limits::FRAME)?;
        let anything = || canonical::Value::Object(canonical::Object::new());
        let input_schema = value.get("inputSchema").cloned().unwrap_or_else(anything);
        Ok(Definition { digest: digest::sha256(&canonical), canonical, input_schema })
    }
}

/// What the declared file is called in reasons.
pub(crate) const DECLARED_PATH: &str = "ambit.yaml";

/// What stands for a file where a policy was generated.
pub(crate) const GENERATED_PATH: &str = "(generated)";
