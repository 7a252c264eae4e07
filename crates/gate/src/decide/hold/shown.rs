//! What an approver is shown, and what the store keeps of an ask.

use super::Standing;
use crate::World;
use canonical::{Limits, Value};
use identity::Actor;
use model::{AskId, Digest, Duration, Name, Timestamp, TraceId, declared::Approvers};
use policy::{Approval, Ask};
use std::collections::BTreeSet;

/// One question, as a human sees it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its handle.
    pub id: AskId,
    /// The trace of the call that asked.
    pub trace: TraceId,
    /// What an answer is bound to.
    pub binding: Digest,
    /// Whose question it is: a task, or an agent and its human.
    pub whose: String,
    /// The agent.
    pub agent: String,
    /// The human acted for; empty if none.
    pub user: String,
    /// The action.
    pub action: String,
    /// The canonical arguments, exactly as they will be forwarded.
    pub arguments: Vec<u8>,
    /// Argument names to show first.
    pub show: Vec<String>,
    /// The approval rules that must be met.
    pub rules: Vec<String>,
    /// Who is asked, in words.
    pub approvers: String,
    /// Ids of the policies that asked.
    pub reasons: BTreeSet<String>,
    /// Until when it may be answered.
    pub until: Timestamp,
    /// How long an approval may be used.
    pub use_within: Duration,
}

impl Shown {
    pub(super) fn new(
        id: AskId,
        world: &World,
        actor: &Actor,
        ask: &Ask,
        whose: String,
        now: Timestamp,
    ) -> Shown {
        let declared = &world.compiled.declared().approvals;
        let rules =
            ask.rules.iter().filter_map(|name| Some((name.to_string(), declared.get(name)?)));
        let rules: Vec<_> = rules.collect();
        let words = |approvers: &Approvers| match approvers {
            Approvers::Party(party) => party.to_string(),
            Approvers::Requester => "the human acted for".to_owned(),
        };
        let within = rules.iter().map(|(_, rule)| rule.answer_within).min();
        let use_within = rules.iter().map(|(_, rule)| rule.use_within).min();
        Shown {
            id,
            trace: ask.facts().trace,
            binding: ask.binding(),
            whose,
            agent: actor.agent().to_string(),
            user: actor.user().map(ToString::to_string).unwrap_or_default(),
            action: ask.call().action().to_string(),
            arguments: ask.call().bytes().to_vec(),
            show: ask.call().entry().action.show.clone(),
            approvers: rules
                .iter()
                .map(|(_, rule)| words(&rule.approvers))
                .collect::<Vec<_>>()
                .join(", "),
            rules: rules.into_iter().map(|(name, _)| name).collect(),
            reasons: ask.reasons.iter().map(|reason| reason.id.clone()).collect(),
            until: now.after(within.unwrap_or(Duration::seconds(600))),
            use_within: use_within.unwrap_or(Duration::seconds(600)),
        }
    }

    /// The approval as a fact for the evaluation at its use.
    #[must_use]
    pub fn approval(&self) -> Approval {
        let rules = self.rules.iter().filter_map(|rule| Name::new(rule).ok()).collect();
        Approval { ask: self.id, reasons: self.reasons.clone(), rules }
    }

    /// The row that the store keeps.
    #[must_use]
    pub fn to_bytes(&self, standing: Standing) -> Vec<u8> {
        let text = |text: &str| Value::String(text.to_owned());
        let list = |items: &mut dyn Iterator<Item = &String>| {
            Value::Array(items.map(|item| text(item)).collect())
        };
        let (word, use_until) = match standing {
            Standing::Waiting => ("waiting", 0),
            Standing::Approved(until) => ("approved", until.0),
            Standing::Declined => ("declined", 0),
        };
        crate::json::object([
            ("action", text(&self.action)),
            ("agent", text(&self.agent)),
            ("approvers", text(&self.approvers)),
            ("arguments", text(&String::from_utf8_lossy(&self.arguments))),
            ("binding", text(&self.binding.to_string())),
            ("id", text(&self.id.to_string())),
            ("reasons", list(&mut self.reasons.iter())),
            ("rules", list(&mut self.rules.iter())),
            ("show", list(&mut self.show.iter())),
            ("standing", text(word)),
            ("until", Value::Integer(self.until.0)),
            ("trace", text(&self.trace.to_string())),
            ("use_until", Value::Integer(use_until)),
            ("use_within", Value::Integer(self.use_within.0)),
            ("user", text(&self.user)),
            ("v", Value::Integer(1)),
            ("whose", text(&self.whose)),
        ])
        .to_bytes()
    }

    /// Reads a row back; anything malformed is `None`.
    #[must_use]
    pub fn from_bytes(row: &[u8]) -> Option<(Shown, Standing)> {
        let row = canonical::parse(row, &Limits::FRAME).ok()?;
        let text = |name: &str| row.get(name)?.as_str().map(str::to_owned);
        let number = |name: &str| row.get(name)?.as_i64();
        let list = |name: &str| -> Option<Vec<String>> {
            let Value::Array(items) = row.get(name)? else { return None };
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect()
        };
        let standing = match text("standing")?.as_str() {
            "waiting" => Standing::Waiting,
            "approved" => Standing::Approved(Timestamp(number("use_until")?)),
            _ => Standing::Declined,
        };
        let shown = Shown {
            id: AskId::parse(&text("id")?)?,
            binding: Digest::from_hex(&text("binding")?)?,
            trace: TraceId::parse(&text("trace")?)?,
            whose: text("whose")?,
            agent: text("agent")?,
            user: text("user")?,
            action: text("action")?,
            arguments: text("arguments")?.into_bytes(),
            show: list("show")?,
            rules: list("rules")?,
            approvers: text("approvers")?,
            reasons: list("reasons")?.into_iter().collect(),
            until: Timestamp(number("until")?),
            use_within: Duration(number("use_within")?),
        };
        Some((shown, standing))
    }
}
