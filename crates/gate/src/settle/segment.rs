//! Records parts of a long stream while it goes out, so that a crash leaves more than an open entry.

use super::Exchange;
use crate::limits;
use canonical::Writer;
use model::{
    EntryId, Timestamp, TraceId,
    record::{KeyScope, Parts, RecordKind, Recordable},
};

/// A part of a stream that has gone out.
pub struct Segment {
    pub(super) entry: EntryId,
    pub(super) trace: TraceId,
    pub(super) agent: String,
    pub(super) action: String,
    pub(super) scope: KeyScope,
    /// Bytes and frames of the whole stream so far.
    pub(super) bytes: u64,
    pub(super) frames: u64,
}

impl Recordable for Segment {
    fn kind(&self) -> RecordKind {
        RecordKind::Segment
    }

    fn scope(&self) -> KeyScope {
        self.scope.clone()
    }

    fn parts(&self) -> Parts {
        let mut envelope = Vec::with_capacity(256);
        let mut writer = Writer::new(&mut envelope);
        writer.begin_object();
        writer.field_str("action", &self.action).field_str("agent", &self.agent);
        writer.field_int("bytes", self.bytes).field_str("entry", &self.entry.to_string());
        writer.field_int("frames", self.frames).field_str("trace", &self.trace.to_string());
        writer.field_int("v", 1).end();
        let is_sorted = writer.finish().is_ok();
        debug_assert!(is_sorted, "the names above stand in canonical order");
        Parts { envelope, ..Parts::default() }
    }
}

/// Counts what of a stream has gone out, and records it after each 1 MiB or 5 s.
pub struct Segments {
    bytes: u64,
    frames: u64,
    recorded: u64,
    since: Timestamp,
}

impl Segments {
    /// Nothing has gone out.
    #[must_use]
    pub fn begin(exchange: &Exchange) -> Segments {
        Segments { bytes: 0, frames: 0, recorded: 0, since: exchange.gate().clock.now() }
    }

    /// One frame has gone out. The record is queued before the outcome, which waits for it too; one that finds no room
    /// is only late, since the next one counts the whole stream.
    pub fn sent(&mut self, exchange: &Exchange, bytes: usize) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.frames = self.frames.saturating_add(1);
        let gate = exchange.gate();
        let now = gate.clock.now();
        let due = self.bytes.saturating_sub(self.recorded) >= limits::SEGMENT_BYTES
            || now.since(self.since) >= limits::SEGMENT_TIME;
        if !due {
            return;
        }
        let segment = exchange.segment(self.bytes, self.frames);
        if let Ok(pending) = gate.store.journal().append(segment, gate.stamp()) {
            drop(pending);
            (self.recorded, self.since) = (self.bytes, now);
        }
    }
}
