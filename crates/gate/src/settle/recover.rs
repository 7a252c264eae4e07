//! Closes the entries that a dead run of this node left open: nobody knows how they ended.

use super::Outcome;
use crate::{Gate, execute::Ending};
use model::{Code, Duration, EntryId, TraceId, record::KeyScope};

/// Closes each as `unknown`; gives how many.
pub async fn recover(gate: &Gate, open: Vec<EntryId>) -> usize {
    let mut closed = 0_usize;
    for entry in open {
        let outcome = Outcome {
            entry,
            trace: TraceId(entry.0),
            agent: String::new(),
            action: String::new(),
            scope: KeyScope::default(),
            duration: Duration(0),
            sampled: false,
            ending: Ending { word: "unknown", code: Some(Code::Stopping), ..Ending::default() },
        };
        let written = match gate.store.journal().append(outcome, gate.stamp()) {
            Ok(pending) => pending.await.is_ok(),
            Err(_) => false,
        };
        if written {
            closed = closed.saturating_add(1);
        } else {
            tracing::error!(%entry, "an entry left open by an earlier run could not be closed");
        }
    }
    closed
}
