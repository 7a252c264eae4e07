//! Closes an entry: the outcome is durable before a plain answer, or the last frame of a stream, is sent.

use super::Exchange;
use crate::{
    Gate,
    execute::Ending,
    mediate::{Answer, Refusal, Reply},
};
use canonical::Writer;
use ledger::{AppendError, Pending};
use model::{
    Code, Duration, EntryId, TraceId,
    record::{Condition, KeyScope, Parts, RecordKind, Recordable},
};

/// How an action ended.
pub struct Outcome {
    pub(super) entry: EntryId,
    pub(super) trace: TraceId,
    pub(super) agent: String,
    pub(super) action: String,
    pub(super) scope: KeyScope,
    pub(super) duration: Duration,
    pub(super) sampled: bool,
    pub(super) ending: Ending,
}

impl Recordable for Outcome {
    fn kind(&self) -> RecordKind {
        RecordKind::Outcome
    }

    fn scope(&self) -> KeyScope {
        self.scope.clone()
    }

    fn parts(&self) -> Parts {
        let mut envelope = Vec::with_capacity(320);
        let mut writer = Writer::new(&mut envelope);
        writer.begin_object();
        writer.field_str("action", &self.action).field_str("agent", &self.agent);
        writer.field_int("bytes", self.ending.bytes);
        if let Some(code) = self.ending.code {
            writer.field_str("code", code.slug());
        }
        writer.field_int("dropped", self.ending.dropped);
        writer.field_int("duration_us", self.duration.0);
        writer.field_str("ending", self.ending.word).field_str("entry", &self.entry.to_string());
        if self.ending.masked > 0 {
            writer.field_int("masked", self.ending.masked);
        }
        if self.sampled {
            writer.field_bool("sampled", true);
        }
        if let Some(status) = self.ending.status {
            writer.field_int("status", status);
        }
        writer.field_str("trace", &self.trace.to_string()).field_int("v", 1);
        writer.end();
        let mut result = Vec::with_capacity(96);
        let mut writer_of_result = Writer::new(&mut result);
        writer_of_result.begin_object().field_str("digest", &self.ending.digest).end();
        let sorted = [writer.finish().is_ok(), writer_of_result.finish().is_ok()];
        debug_assert!(
            sorted.iter().all(|sorted| *sorted),
            "the names above stand in canonical order"
        );
        Parts { envelope, result, ..Parts::default() }
    }

    fn conditions(&self) -> Vec<Condition> {
        vec![Condition::Closes(self.entry)]
    }
}

/// Writes the outcome durably and only then lets the answer go.
pub async fn close(
    mut exchange: Exchange,
    ending: Ending,
    answer: Result<Reply, Refusal>,
) -> Answer {
    match write(&mut exchange, ending).await {
        Ok(()) => match answer {
            Ok(reply) => Answer::Whole(reply),
            Err(refusal) => Answer::Refused(refusal),
        },
        Err(refusal) => Answer::Refused(refusal),
    }
}

/// Writes the outcome durably. If that fails the ledger has failed, and nothing is returned.
///
/// The outcome is queued behind its entry and both are awaited: one wait where the answer came before the entry was
/// durable. An entry that was not opened cannot be closed either, so the outcome of one is refused with it.
pub async fn write(exchange: &mut Exchange, ending: Ending) -> Result<(), Refusal> {
    let gate = std::sync::Arc::clone(exchange.gate());
    let trace = exchange.trace();
    let unrecorded =
        Refusal { entry: Some(exchange.entry()), ..Refusal::new(Code::Unrecorded, trace) };
    let word = ending.word;
    let queued = queue(&gate, exchange.outcome(ending)).await;
    if let Err(error) = exchange.departure().settle().await.map(drop) {
        return Err(exchange.refuse_unopened(&error).await);
    }
    gate.metrics.closed(word);
    let written = match queued {
        Ok(pending) => pending.await.map(drop).map_err(|failed| failed.error),
        Err(error) => Err(error),
    };
    written.map_err(|error| {
        tracing::error!(%error, "an outcome could not be written");
        unrecorded
    })
}

/// Queues an outcome. A full journal drains within milliseconds; an outcome that is owed waits for it.
async fn queue(gate: &Gate, mut outcome: Outcome) -> Result<Pending<Outcome>, AppendError> {
    loop {
        match gate.store.journal().append(outcome, gate.stamp()) {
            Ok(pending) => return Ok(pending),
            Err(full) if matches!(full.error, AppendError::Saturated) => outcome = full.value,
            Err(failed) => return Err(failed.error),
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}
