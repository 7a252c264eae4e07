//! The duty to close: whoever holds an [`Exchange`] owes its entry one outcome.

use super::Outcome;
use crate::{ActionRequest, Gate, Outbound, admit::seats::Seat, execute::Ending};
use identity::Actor;
use model::{Code, EntryId, Timestamp, TraceId, declared::After, record::KeyScope};
use policy::CatalogEntry;
use std::sync::Arc;
use upstream::{Departure, Lookout, mcp::Conversation};

/// An open entry that waits for its outcome. Dropped unclosed (a panic, a cancelled task), it queues `unknown`.
#[must_use]
pub struct Exchange {
    gate: Arc<Gate>,
    departure: Departure,
    actor: Actor,
    conversation: Conversation,
    entry: EntryId,
    trace: TraceId,
    agent: String,
    action: String,
    scope: KeyScope,
    begun: Timestamp,
    owed: bool,
    lookout: Lookout,
    _seat: Seat,
}

impl Exchange {
    /// Takes over the duty for an entry that was opened.
    pub fn begin(
        gate: Arc<Gate>,
        departure: Departure,
        (actor, seat): (Actor, Seat),
        request: &ActionRequest,
    ) -> Exchange {
        let clearance = departure.clearance();
        let conversation = match &request.outbound {
            Outbound::Mcp { conversation, .. } => *conversation,
            Outbound::Http(_) | Outbound::Reply(_) => Conversation::default(),
        };
        Exchange {
            actor,
            conversation,
            entry: clearance.entry(),
            trace: request.trace,
            agent: clearance.agent().to_string(),
            action: clearance.call().action().to_string(),
            scope: model::record::Recordable::scope(clearance),
            begun: gate.clock.now(),
            owed: true,
            lookout: Lookout::default(),
            _seat: seat,
            gate,
            departure,
        }
    }

    /// The entry.
    #[must_use]
    pub fn entry(&self) -> EntryId {
        self.entry
    }

    /// The trace.
    #[must_use]
    pub fn trace(&self) -> TraceId {
        self.trace
    }

    /// The catalog entry of the action.
    #[must_use]
    pub fn catalog(&self) -> &CatalogEntry {
        self.departure.clearance().call().entry()
    }

    /// Who acts.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The conversation that the call belongs to.
    #[must_use]
    pub fn conversation(&self) -> Conversation {
        self.conversation
    }

    /// Takes over what is left of the conversation for this upstream.
    pub fn narrow(&mut self, conversation: Conversation) {
        self.conversation = conversation;
    }

    /// The cleared call.
    pub fn call(&self) -> &policy::Call {
        self.departure.clearance().call()
    }

    /// The gate that owns this exchange.
    #[must_use]
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// The evidence that bytes may leave.
    pub fn departure(&mut self) -> &mut Departure {
        &mut self.departure
    }

    /// Notes which secret was lent for this call.
    pub fn lent(&mut self, lookout: Lookout) {
        self.lookout = lookout;
    }

    /// Whether an answer holds the secret that was lent for this call.
    #[must_use]
    pub fn leaks(&self, answer: &[u8]) -> bool {
        self.lookout.finds(answer)
    }

    /// Looks for the lent secret in a stream.
    #[must_use]
    pub fn lookout(&self) -> Lookout {
        self.lookout.clone()
    }

    /// An answer with the secret that was lent for this call replaced; `None` if it is not in it.
    #[must_use]
    pub fn masked(&self, answer: &[u8]) -> Option<Vec<u8>> {
        self.gate.broker.masked(&self.departure, answer)
    }

    /// The record of a part of its stream: so many bytes and frames have gone out.
    #[must_use]
    pub fn segment(&self, bytes: u64, frames: u64) -> super::Segment {
        super::Segment {
            entry: self.entry,
            trace: self.trace,
            agent: self.agent.clone(),
            action: self.action.clone(),
            scope: self.scope.clone(),
            bytes,
            frames,
        }
    }

    /// The outcome that is owed; from here on its writer has the duty.
    pub fn outcome(&mut self, ending: Ending) -> Outcome {
        self.owed = false;
        Outcome {
            entry: self.entry,
            trace: self.trace,
            agent: std::mem::take(&mut self.agent),
            action: std::mem::take(&mut self.action),
            scope: std::mem::take(&mut self.scope),
            duration: self.gate.clock.now().since(self.begun),
            sampled: self.is_sampled(),
            ending,
        }
    }

    /// Whether the catalog puts this act on the list for review: by the random half of its entry's id.
    fn is_sampled(&self) -> bool {
        let share = self.catalog().action.after.iter().find_map(|after| match after {
            After::Sample(percent) => Some(*percent),
            After::Mask(_) | After::Notify(_) => None,
        });
        share.is_some_and(|percent| {
            (self.entry.0 & u128::from(u32::MAX)) % 100 < u128::from(percent)
        })
    }

    /// Refuses instead of closing: the entry was never written, so nothing is owed to it.
    pub async fn refuse_unopened(&mut self, error: &ledger::AppendError) -> crate::Refusal {
        self.owed = false;
        super::unopened(&self.gate, self.departure.clearance(), error, None).await
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.owed {
            let ending =
                Ending { word: "unknown", code: Some(Code::Undecidable), ..Ending::default() };
            let outcome = self.outcome(ending);
            tracing::error!(entry = %self.entry, "a call was abandoned; its outcome is recorded as unknown");
            let stamp = self.gate.stamp();
            if let Ok(pending) = self.gate.store.journal().append(outcome, stamp) {
                drop(pending);
            }
        }
    }
}
