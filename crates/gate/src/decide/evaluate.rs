//! Brings a verdict to a clearance or a refusal. Approval never skips evaluation: the action is evaluated again.

use super::{consult, hold};
use crate::{Gate, Refusal, World, settle};
use identity::Actor;
use policy::{Call, Clearance, Facts, Verdict};

/// Evaluates; a verdict that asks is held for a human and evaluated again with the approval as one more fact.
pub async fn evaluate(
    gate: &Gate,
    world: &World,
    actor: &Actor,
    call: Call,
    facts: Facts,
) -> Result<Clearance, Refusal> {
    let ask = match policy::decide(actor, call, &facts) {
        Verdict::Allow(clearance) => return Ok(clearance),
        Verdict::Deny(denial) => return Err(settle::deny(gate, actor, denial, &facts).await),
        Verdict::Consult(consultation) => {
            return consult::consult(gate, world, actor, consultation).await;
        }
        Verdict::Ask(ask) => ask,
    };
    let (approval, ask) = hold::hold(gate, world, actor, ask, &facts).await?;
    let facts = Facts { now: gate.clock.now(), approval: Some(approval), ..facts };
    match policy::decide(actor, ask.into_call(), &facts) {
        Verdict::Allow(clearance) => Ok(clearance),
        Verdict::Deny(denial) => Err(settle::deny(gate, actor, denial, &facts).await),
        Verdict::Consult(consultation) => consult::consult(gate, world, actor, consultation).await,
        // A reason appeared that nobody signed: what was approved is not this any more.
        Verdict::Ask(ask) => {
            gate.asks.forget(ask.binding());
            Err(hold::pend(gate, world, actor, ask, &facts).await)
        }
    }
}
