//! Holds an action for a human: seconds, then a handle. An answer is bound to the exact action (S16).

mod records;
mod shown;

pub use records::Answered;
pub use shown::Shown;

use crate::{
    Gate, Refusal, World, limits,
    mediate::{Asked, refusal_of},
    settle,
};
use identity::Actor;
use model::{AskId, Code, Digest, Timestamp, record::StateChange};
use policy::{Approval, Ask, AskRecord, Facts};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// Where an ask stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has answered.
    Waiting,
    /// A human said yes; usable until then.
    Approved(Timestamp),
    /// A human said no.
    Declined,
}

struct Held {
    shown: Arc<Shown>,
    standing: Standing,
    answered: Arc<Notify>,
}

/// The questions that wait for a human, and the answers that wait for their action. Bounded; restored at start.
pub struct Asks {
    held: Mutex<HashMap<Digest, Held>>,
    waiters: tokio::sync::Semaphore,
    arrived: Notify,
}

impl Asks {
    /// Reads back what the ledger's store still knows.
    #[must_use]
    pub fn restore(store: &store::Store, now: Timestamp) -> Asks {
        let asks = Asks {
            held: Mutex::new(HashMap::new()),
            waiters: tokio::sync::Semaphore::new(limits::MAX_HELD),
            arrived: Notify::new(),
        };
        for (key, row) in store.live_prefix("ask/") {
            match Shown::from_bytes(&row) {
                Some((shown, standing)) if shown.until > now || standing != Standing::Waiting => {
                    asks.insert(shown, standing);
                }
                Some(_) => {}
                None => tracing::warn!(
                    key,
                    "an open ask could not be read back; it must be asked again"
                ),
            }
        }
        asks
    }

    /// Those that wait for an answer, oldest first.
    #[must_use]
    pub fn waiting(&self, now: Timestamp) -> Vec<Arc<Shown>> {
        let held = self.lock();
        let waiting =
            held.values().filter(|h| h.standing == Standing::Waiting && h.shown.until > now);
        let mut shown: Vec<Arc<Shown>> = waiting.map(|h| Arc::clone(&h.shown)).collect();
        shown.sort_by_key(|shown| shown.id);
        shown
    }

    /// Completes when a new ask arrives.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Forgets what was held for this binding: it was used, or is not what was signed any more.
    pub fn forget(&self, binding: Digest) {
        self.lock().remove(&binding);
    }

    /// Forgets an ask by its id, wherever it is bound.
    pub fn forget_ask(&self, ask: AskId) {
        self.lock().retain(|_, held| held.shown.id != ask);
    }

    fn insert(&self, shown: Shown, standing: Standing) -> Arc<Notify> {
        let answered = Arc::new(Notify::new());
        let held = Held { standing, answered: Arc::clone(&answered), shown: Arc::new(shown) };
        self.lock().insert(held.shown.binding, held);
        answered
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(
        &self,
        binding: &Digest,
        now: Timestamp,
    ) -> Option<(Arc<Shown>, Standing, Arc<Notify>)> {
        let mut held = self.lock();
        let found = held.get(binding)?;
        let over = match found.standing {
            Standing::Waiting | Standing::Declined => found.shown.until <= now,
            Standing::Approved(until) => until <= now,
        };
        if over {
            held.remove(binding);
            return None;
        }
        Some((Arc::clone(&found.shown), found.standing, Arc::clone(&found.answered)))
    }

    /// Whether one more may be asked: bounded per task (or agent and user), per rule and in all (S21).
    fn has_room(&self, ask: &Ask, whose: &str, now: Timestamp) -> bool {
        let mut held = self.lock();
        held.retain(|_, h| match h.standing {
            Standing::Waiting | Standing::Declined => h.shown.until > now,
            Standing::Approved(until) => until > now,
        });
        let open = || held.values().filter(|h| h.standing == Standing::Waiting);
        let of_task = open().filter(|h| h.shown.whose == whose).count();
        let of_rule = ask
            .rules
            .iter()
            .map(|rule| open().filter(|h| h.shown.rules.contains(&rule.to_string())).count());
        held.len() < limits::MAX_ASKS
            && of_task < limits::ASKS_PER_TASK
            && of_rule.max().unwrap_or(0) < limits::ASKS_PER_RULE
    }
}

/// The task, or without one the agent and its human: whose question it is.
fn whose(actor: &Actor) -> String {
    match actor.task() {
        Some(task) => task.to_string(),
        None => format!(
            "{}/{}",
            actor.agent(),
            actor.user().map(model::UserName::as_str).unwrap_or_default()
        ),
    }
}

/// Finds an approval for the asked action, or asks and waits a moment. Gives the approval as a fact for a fresh
/// evaluation, never a clearance.
pub async fn hold(
    gate: &Gate,
    world: &World,
    actor: &Actor,
    ask: Ask,
    facts: &Facts,
) -> Result<(Approval, Ask), Refusal> {
    let key = ask.binding();
    let found = gate.asks.find(&key, gate.clock.now());
    let shown = match found {
        Some((shown, _, _)) => shown,
        None => put(gate, world, actor, &ask, facts).await?,
    };
    if let Ok(_seat) = gate.asks.waiters.try_acquire() {
        wait(gate, &key).await;
    }
    match gate.asks.find(&key, gate.clock.now()) {
        Some((shown, Standing::Approved(_), _)) => Ok((shown.approval(), ask)),
        Some((_, Standing::Declined, _)) => {
            gate.asks.forget(key);
            Err(settle::refuse_call(gate, actor, ask.call(), facts, Code::AnsweredNo).await)
        }
        Some((_, Standing::Waiting, _)) | None => {
            // A proof is used up by this record and not by the ask's, so that the same call may still depart above.
            let refusal = settle::refuse_call(gate, actor, ask.call(), facts, Code::Asked).await;
            Err(Refusal { asked: Some(Box::new(asked(&shown))), ..refusal })
        }
    }
}

/// Asks without waiting: the reasons grew after somebody signed.
pub async fn pend(gate: &Gate, world: &World, actor: &Actor, ask: Ask, facts: &Facts) -> Refusal {
    match put(gate, world, actor, &ask, facts).await {
        Ok(shown) => {
            let refusal = settle::refuse_call(gate, actor, ask.call(), facts, Code::Asked).await;
            Refusal { asked: Some(Box::new(asked(&shown))), ..refusal }
        }
        Err(refusal) => refusal,
    }
}

async fn wait(gate: &Gate, key: &Digest) {
    let Some((_, Standing::Waiting, answered)) = gate.asks.find(key, gate.clock.now()) else {
        return;
    };
    let notified = answered.notified();
    let still = gate.asks.find(key, gate.clock.now()).map(|(_, standing, _)| standing);
    if still == Some(Standing::Waiting) {
        let _nobody_answered = tokio::time::timeout(limits::HOLD, notified).await.is_err();
    }
}

/// Records a new ask durably and shows it.
async fn put(
    gate: &Gate,
    world: &World,
    actor: &Actor,
    ask: &Ask,
    facts: &Facts,
) -> Result<Arc<Shown>, Refusal> {
    let now = gate.clock.now();
    let whose = whose(actor);
    if !gate.asks.has_room(ask, &whose, now) {
        return Err(settle::refuse_call(gate, actor, ask.call(), facts, Code::TooManyAsks).await);
    }
    let id = AskId::new(now, gate.random());
    let shown = Shown::new(id, world, actor, ask, whose, now);
    let row =
        StateChange { key: format!("ask/{id}"), value: Some(shown.to_bytes(Standing::Waiting)) };
    let record = AskRecord::new(id, shown.until, ask, vec![row]);
    let pending = gate.store.journal().append(record, gate.stamp());
    let pending = pending.map_err(|failed| refusal_of(&failed.error, facts.trace))?;
    let durable = pending.await.map_err(|failed| refusal_of(&failed.error, facts.trace))?;
    drop(durable);
    gate.metrics.asked();
    let binding = shown.binding;
    gate.asks.insert(shown, Standing::Waiting);
    gate.asks.arrived.notify_one();
    let found = gate.asks.find(&binding, now).map(|(shown, _, _)| shown);
    found.ok_or_else(|| Refusal::new(Code::Undecidable, facts.trace))
}

fn asked(shown: &Shown) -> Asked {
    Asked { handle: shown.id, approvers: shown.approvers.clone(), until: shown.until }
}

/// Why an answer was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// There is no such open ask.
    #[error("ask `{0}` is not open: it was answered, has expired or never was")]
    NotOpen(AskId),
    /// The answer could not be recorded.
    #[error("the answer to ask `{0}` could not be recorded, so it does not count")]
    Unrecorded(AskId),
}

impl Gate {
    /// Takes a human's answer: recorded durably first, then in force.
    pub async fn answer(
        &self,
        id: AskId,
        approved: bool,
        by: &str,
        proof: &str,
    ) -> Result<(), AnswerError> {
        let now = self.clock.now();
        let shown = self.asks.waiting(now).into_iter().find(|shown| shown.id == id);
        let shown = shown.ok_or(AnswerError::NotOpen(id))?;
        let use_until = now.after(shown.use_within);
        let standing = if approved { Standing::Approved(use_until) } else { Standing::Declined };
        let record = Answered::new(Arc::clone(&shown), standing, by, proof, now);
        let pending = self.store.journal().append(record, self.stamp());
        let pending = pending.map_err(|_| AnswerError::Unrecorded(id))?;
        let durable = pending.await.map_err(|_| AnswerError::Unrecorded(id))?;
        drop(durable);
        let mut held = self.asks.lock();
        if let Some(held) = held.get_mut(&shown.binding) {
            held.standing = standing;
            held.answered.notify_waiters();
        }
        Ok(())
    }
}
