//! Where each human has a credential of her own at an upstream, whoever has none is refused before an entry is opened.

use crate::{Gate, Refusal, settle};
use identity::Actor;
use model::Code;
use policy::Clearance;

/// Looks whether there is a credential to lend.
pub async fn entrusted(gate: &Gate, actor: &Actor, clearance: &Clearance) -> Result<(), Refusal> {
    let upstream = &clearance.action().upstream;
    if gate.broker.is_entrusted(upstream, clearance.subject().user.as_ref()) {
        return Ok(());
    }
    let (call, facts) = (clearance.call(), clearance.facts());
    Err(settle::refuse_call(gate, actor, call, facts, Code::UpstreamCredential).await)
}
