//! The gate's counters, as the operations listener shows them.

use model::{Code, Decision};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Word {
    word: &'static str,
}

/// Counters; cheap to clone, shared by all clones.
#[derive(Clone, Default)]
pub struct Metrics {
    opened: Family<Word, Counter>,
    closed: Family<Word, Counter>,
    refused: Family<Word, Counter>,
    strangers: Family<Word, Counter>,
    asked: Counter,
    bearer: Counter,
    would: Family<Word, Counter>,
}

impl Metrics {
    /// Registers all counters under their public names.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "ambit_entries_opened",
            "Actions admitted, by class",
            self.opened.clone(),
        );
        registry.register("ambit_entries_closed", "Actions ended, by ending", self.closed.clone());
        registry.register(
            "ambit_refused",
            "Authenticated requests refused, by code",
            self.refused.clone(),
        );
        registry.register(
            "ambit_strangers_refused",
            "Requests refused before authentication",
            self.strangers.clone(),
        );
        registry.register("ambit_asked", "Questions put to humans", self.asked.clone());
        registry.register(
            "ambit_bearer_calls",
            "Actions admitted with a token that is bound to nothing",
            self.bearer.clone(),
        );
        registry.register(
            "ambit_would",
            "Actions of observed agents that enforcing would have denied or asked about",
            self.would.clone(),
        );
    }

    pub(crate) fn opened(&self, observing: bool) {
        let word = if observing { "observing" } else { "consequential" };
        self.opened.get_or_create(&Word { word }).inc();
    }

    pub(crate) fn closed(&self, word: &'static str) {
        self.closed.get_or_create(&Word { word }).inc();
    }

    pub(crate) fn refused(&self, code: Code) {
        self.refused.get_or_create(&Word { word: code.slug() }).inc();
    }

    pub(crate) fn stranger(&self, code: Code) {
        self.strangers.get_or_create(&Word { word: code.slug() }).inc();
    }

    pub(crate) fn would(&self, decision: Decision) {
        self.would.get_or_create(&Word { word: decision.as_str() }).inc();
    }

    pub(crate) fn bearer(&self) {
        self.bearer.inc();
    }

    /// How many actions were admitted with a token that is bound to nothing, since the start.
    #[must_use]
    pub fn bearer_calls(&self) -> u64 {
        self.bearer.get()
    }

    pub(crate) fn asked(&self) {
        self.asked.inc();
    }
}
