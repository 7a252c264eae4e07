//! Records a refusal durably before it is answered.

use super::repeats::{is_final, same_call};
use crate::{
    ActionRequest, Gate, Refusal, World,
    admit::Tasks,
    decide, limits,
    mediate::{decide_again, refusal_of},
};
use identity::Actor;
use ledger::{AppendError, NotWritten};
use model::{
    Code, Digest,
    record::{Condition, KeyScope, Parts, RecordKind, Recordable},
};
use policy::{Call, Clearance, Denial, Facts, Refused};

/// What became of a clearance whose entry was not written.
pub enum Unwritten {
    /// Something moved: decide again. The refusal stands if that never ends.
    DecideAgain(Refusal),
    /// It is refused.
    Refused(Refusal),
}

/// A refusal together with the proof that the refused request uses up.
struct Refusing {
    refused: Refused,
    conditions: Vec<Condition>,
}

impl Recordable for Refusing {
    fn kind(&self) -> RecordKind {
        self.refused.kind()
    }

    fn scope(&self) -> KeyScope {
        self.refused.scope()
    }

    fn parts(&self) -> Parts {
        self.refused.parts()
    }

    fn conditions(&self) -> Vec<Condition> {
        self.conditions.clone()
    }
}

/// Refuses before a call exists: the action is unknown, hidden, or its arguments do not fit.
pub async fn refuse(
    gate: &Gate,
    world: &World,
    actor: &Actor,
    request: &ActionRequest,
    code: Code,
    detail: Option<String>,
) -> Refusal {
    let facts = decide::context(gate, world, actor, Tasks::default(), request);
    let operation: String = request.operation.chars().take(limits::UNKNOWN_NAME).collect();
    let action = format!("{}.{operation}", request.upstream);
    let refused = Refused::unmatched(actor, &action, None, (code, detail.as_deref()), &facts);
    let refusal = Refusal { detail, entry: Some(facts.entry), ..Refusal::new(code, request.trace) };
    let same = same_call(actor, &action, &request.arguments.to_bytes());
    append(gate, Some(actor), refused, counted(gate, refusal, same)).await
}

/// Refuses a catalogued call for a reason that is not a verdict: a human said no, or too many are asked.
pub async fn refuse_call(
    gate: &Gate,
    actor: &Actor,
    call: &Call,
    facts: &Facts,
    code: Code,
) -> Refusal {
    let action = call.action().to_string();
    let refused = Refused::unmatched(actor, &action, Some(call.entry()), (code, None), facts);
    let refusal = Refusal { entry: Some(facts.entry), ..Refusal::new(code, facts.trace) };
    let same = same_call(actor, &action, call.bytes());
    append(gate, Some(actor), refused, counted(gate, refusal, same)).await
}

/// Refuses with a verdict's reasons in the record; the caller gets the code and its sentence.
pub async fn deny(gate: &Gate, actor: &Actor, denial: Denial, facts: &Facts) -> Refusal {
    let detail = denial.told().map(str::to_owned);
    let refusal =
        Refusal { entry: Some(facts.entry), detail, ..Refusal::new(denial.code, facts.trace) };
    let call = denial.call();
    let same = same_call(actor, &call.action().to_string(), call.bytes());
    append(gate, Some(actor), Refused::denied(&denial), counted(gate, refusal, same)).await
}

/// A clearance whose entry was not written is decided again if something moved, and refused otherwise.
pub async fn unwritten(gate: &Gate, actor: &Actor, failed: NotWritten<Clearance>) -> Unwritten {
    let clearance = &failed.value;
    let refusal = refusal_of(&failed.error, clearance.trace());
    if let AppendError::Failed(Condition::Approval { ask, .. }) = &failed.error {
        gate.asks.forget_ask(*ask);
    }
    if decide_again(&failed) {
        return Unwritten::DecideAgain(refusal);
    }
    Unwritten::Refused(unopened(gate, clearance, &failed.error, Some(actor)).await)
}

/// Refuses a cleared call whose entry could not be opened. What the ledger itself cannot write is not recorded either.
pub async fn unopened(
    gate: &Gate,
    clearance: &Clearance,
    error: &AppendError,
    actor: Option<&Actor>,
) -> Refusal {
    let refusal =
        Refusal { entry: Some(clearance.entry()), ..refusal_of(error, clearance.trace()) };
    if !matches!(error, AppendError::Failed(_) | AppendError::Moved) {
        return refusal;
    }
    // A replayed proof has nothing left to use up; any other failure left the proof unused.
    let proves = if refusal.code == Code::ProofReplayed { None } else { actor };
    append(gate, proves, Refused::unwritten(clearance, refusal.code), refusal).await
}

/// The refusal with how often the same call was refused lately.
fn counted(gate: &Gate, refusal: Refusal, same: Digest) -> Refusal {
    if !is_final(refusal.code) {
        return refusal;
    }
    Refusal { repeated: gate.repeats.note(same, gate.clock.now()), ..refusal }
}

/// Invariant 1: durable first. What cannot be recorded is refused with that reason instead.
async fn append(
    gate: &Gate,
    proves: Option<&Actor>,
    refused: Refused,
    refusal: Refusal,
) -> Refusal {
    gate.metrics.refused(refusal.code);
    let proof = proves.and_then(Actor::proof_use);
    let conditions =
        proof.map(|(what, until)| Condition::Unused { what, until }).into_iter().collect();
    let pending = match gate.store.journal().append(Refusing { refused, conditions }, gate.stamp())
    {
        Ok(pending) => pending,
        Err(failed) => return refusal_of(&failed.error, refusal.trace),
    };
    match pending.await {
        Ok(durable) => {
            drop(durable);
            refusal
        }
        Err(failed) => refusal_of(&failed.error, refusal.trace),
    }
}
