//! The evidence without which no byte leaves for an upstream.

use ledger::{AppendError, Durable, NotWritten, Pending};
use policy::{Call, Clearance};

/// Permission to write to an upstream, made only from a clearance that was handed to the journal.
///
/// A consequential action, and one that uses up a proof, an approval or a limit, departs after its open
/// entry is durable. Any other may depart while the entry is pending, and must
/// [`settle`](Departure::settle) before anything returns.
///
/// A clearance alone does not depart:
/// ```compile_fail
/// fn forge(clearance: policy::Clearance) -> upstream::Departure {
///     upstream::Departure { state: clearance }
/// }
/// ```
#[must_use = "a departure that is dropped leaves its entry open"]
pub struct Departure {
    state: State,
}

enum State {
    Durable(Durable<Clearance>),
    Pending(Pending<Clearance>),
    Lost(NotWritten<Clearance>),
}

impl Departure {
    /// Waits for the entry where the action must not depart before it; returns at once otherwise.
    /// On failure the clearance comes back with the reason, to be decided again.
    pub async fn obtain(pending: Pending<Clearance>) -> Result<Departure, NotWritten<Clearance>> {
        if pending.get().departs_durable() {
            return Ok(Departure { state: State::Durable(pending.await?) });
        }
        Ok(Departure { state: State::Pending(pending) })
    }

    /// The durable entry; waits for it where the action departed before it was. Once failed, it
    /// fails again.
    ///
    /// INVARIANT: called before the first byte of an answer returns to the agent.
    pub async fn settle(&mut self) -> Result<&Durable<Clearance>, AppendError> {
        if let State::Pending(pending) = &mut self.state {
            self.state = match pending.await {
                Ok(durable) => State::Durable(durable),
                Err(lost) => State::Lost(lost),
            };
        }
        match &self.state {
            State::Durable(durable) => Ok(durable),
            State::Lost(lost) => Err(lost.error.clone()),
            State::Pending(_) => Err(AppendError::Stopped),
        }
    }

    /// What was cleared.
    pub fn clearance(&self) -> &Clearance {
        match &self.state {
            State::Durable(durable) => durable.get(),
            State::Pending(pending) => pending.get(),
            State::Lost(lost) => &lost.value,
        }
    }

    /// The call, with the argument bytes that were decided on.
    pub fn call(&self) -> &Call {
        self.clearance().call()
    }

    /// The open entry.
    #[must_use]
    pub fn entry(&self) -> model::EntryId {
        self.clearance().entry()
    }

    /// The trace that the action belongs to.
    #[must_use]
    pub fn trace(&self) -> model::TraceId {
        self.clearance().trace()
    }

    /// Which operation of which upstream.
    #[must_use]
    pub fn action(&self) -> &model::ActionId {
        self.call().action()
    }
}
