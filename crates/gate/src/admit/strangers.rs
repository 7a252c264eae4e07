//! Requests refused before authentication: counted by reason, and sampled under a limit, so that strangers cannot fill
//! the ledger.

use crate::{Edge, Gate, Refusal, limits};
use model::{
    UpstreamName,
    record::{Parts, RecordKind, Recordable},
};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// How many were refused, and when the last sample was taken.
#[derive(Default)]
pub struct Strangers {
    refused: AtomicU64,
    last_sample: AtomicI64,
}

/// A sampled refusal: no actor, because nobody was believed.
struct Sample {
    code: &'static str,
    edge: &'static str,
    upstream: String,
    refused: u64,
}

impl Recordable for Sample {
    fn kind(&self) -> RecordKind {
        RecordKind::Sampled
    }

    fn parts(&self) -> Parts {
        let refused = i64::try_from(self.refused).unwrap_or(i64::MAX >> 11);
        let envelope = crate::json::object([
            ("code", self.code.into()),
            ("edge", self.edge.into()),
            ("refused", canonical::Value::Integer(refused)),
            ("upstream", self.upstream.as_str().into()),
        ]);
        Parts { envelope: envelope.to_bytes(), ..Parts::default() }
    }
}

impl Gate {
    /// Counts a request refused before authentication where nothing worth a sample is known of it.
    pub fn count_stranger(&self, code: model::Code) {
        self.metrics.stranger(code);
    }

    /// Counts a request that nobody is believed to have sent, and records one in a second.
    pub(crate) fn stranger(&self, refusal: &Refusal, edge: Edge, upstream: Option<&UpstreamName>) {
        self.metrics.stranger(refusal.code);
        let refused = self.strangers.refused.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let now = self.clock.now();
        let gap = 1_000_000 / i64::try_from(limits::SAMPLES_PER_SECOND).unwrap_or(1);
        let last = self.strangers.last_sample.load(Ordering::Relaxed);
        let due = now.0.saturating_sub(last) >= gap;
        let taken = due
            && self
                .strangers
                .last_sample
                .compare_exchange(last, now.0, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if taken {
            let sample = Sample {
                code: refusal.code.slug(),
                edge: edge.as_str(),
                upstream: upstream.map_or_else(|| "*".to_owned(), ToString::to_string),
                refused,
            };
            // A sample that does not fit into a full journal is only a sample: the count above stands.
            if let Ok(pending) = self.store.journal().append(sample, self.stamp()) {
                drop(pending);
            }
        }
    }
}
