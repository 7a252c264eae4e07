//! The record of a human's answer.

use super::{Shown, Standing};
use canonical::Value;
use model::{
    Timestamp,
    record::{Condition, KeyScope, Parts, RecordKind, Recordable, StateChange},
};
use std::sync::Arc;

/// A human answered.
pub struct Answered {
    shown: Arc<Shown>,
    standing: Standing,
    by: String,
    proof: String,
    now: Timestamp,
}

impl Answered {
    /// An answer to an open ask.
    #[must_use]
    pub fn new(
        shown: Arc<Shown>,
        standing: Standing,
        by: &str,
        proof: &str,
        now: Timestamp,
    ) -> Answered {
        Answered { shown, standing, by: by.to_owned(), proof: proof.to_owned(), now }
    }
}

impl Recordable for Answered {
    fn kind(&self) -> RecordKind {
        RecordKind::Answered
    }

    fn scope(&self) -> KeyScope {
        KeyScope { tenant: String::new(), human: self.shown.user.clone() }
    }

    fn parts(&self) -> Parts {
        let approved = matches!(self.standing, Standing::Approved(_));
        let reasons = self.shown.reasons.iter().map(|id| Value::String(id.clone())).collect();
        let envelope = crate::json::object([
            ("action", self.shown.action.as_str().into()),
            ("agent", self.shown.agent.as_str().into()),
            ("approved", Value::Bool(approved)),
            ("ask", self.shown.id.to_string().as_str().into()),
            ("binding", self.shown.binding.to_string().as_str().into()),
            ("proof", self.proof.as_str().into()),
            ("reasons", Value::Array(reasons)),
            ("trace", self.shown.trace.to_string().as_str().into()),
        ]);
        let subject = crate::json::object([("by", self.by.as_str().into())]);
        Parts { envelope: envelope.to_bytes(), subject: subject.to_bytes(), ..Parts::default() }
    }

    fn conditions(&self) -> Vec<Condition> {
        let use_until = match self.standing {
            Standing::Approved(until) => until,
            Standing::Waiting | Standing::Declined => self.now,
        };
        let approved = matches!(self.standing, Standing::Approved(_));
        vec![Condition::Answers { ask: self.shown.id, approved, use_until }]
    }

    fn changes(&self) -> Vec<StateChange> {
        let value = Some(self.shown.to_bytes(self.standing));
        vec![StateChange { key: format!("ask/{}", self.shown.id), value }]
    }
}
