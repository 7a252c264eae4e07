//! Opens the entry: the point of no return. A consequential call waits for it here, an observing one before it answers.

use crate::Gate;
use ledger::{AppendError, NotWritten};
use model::record::Condition;
use policy::Clearance;
use upstream::Departure;

/// Appends the clearance as an open entry and gives the evidence that bytes may leave. Where an agent is observed, a
/// limit that is used up is recorded as such and stops nothing.
pub async fn commit(gate: &Gate, clearance: Clearance) -> Result<Departure, NotWritten<Clearance>> {
    let failed = match once(gate, clearance).await {
        Ok(departure) => return Ok(departure),
        Err(failed) => failed,
    };
    if !matches!(failed.error, AppendError::Failed(Condition::Within { .. })) {
        return Err(failed);
    }
    match failed.value.beyond_limit() {
        Ok(observed) => once(gate, observed).await,
        Err(value) => Err(NotWritten { error: failed.error, value }),
    }
}

async fn once(gate: &Gate, clearance: Clearance) -> Result<Departure, NotWritten<Clearance>> {
    let pending = gate.store.journal().append(clearance, gate.stamp())?;
    Departure::obtain(pending).await
}
