//! Opens the entry: the point of no return. A consequential call waits for it here, an observing one before it answers.

use crate::Gate;
use ledger::NotWritten;
use policy::Clearance;
use upstream::Departure;

/// Appends the clearance as an open entry and gives the evidence that bytes may leave.
pub async fn commit(gate: &Gate, clearance: Clearance) -> Result<Departure, NotWritten<Clearance>> {
    let pending = gate.store.journal().append(clearance, gate.stamp())?;
    Departure::obtain(pending).await
}
