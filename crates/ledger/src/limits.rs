//! Every limit of this crate, with the reason for its number.

use std::time::Duration;

/// Records that may wait for a commit: 32 full batches, a quarter of a second of a saturated disk. More means that
/// the disk cannot follow, and waiting longer would only hide it.
pub const QUEUE_RECORDS: usize = 4_096;
/// Bytes that may wait for a commit, so that large results cannot take the memory that the records' limit allows.
pub const QUEUE_BYTES: usize = 64 << 20;
/// The four parts of one record together. A body is at most 4 MiB where it enters; twice that leaves room for names.
pub const RECORD_BYTES: usize = 8 << 20;
/// Waiting records at which the next commit begins at once: at 64 the cost of a commit per record is flat.
pub const COMMIT_AT: usize = 64;
/// How long a commit waits for company after the one before it.
pub const PACE: Duration = Duration::from_millis(1);

/// Data keys held in memory; one per human and month. A key that was dropped is drawn anew, never reused.
pub const KEYS_HELD: usize = 16_384;
/// Boxes under one data key: half of the 2^32 random nonces that NIST SP 800-38D §8.3 allows for AES-GCM.
pub const KEY_USES: u64 = 1 << 31;

/// Single uses remembered at once (DPoP proofs): 5,000 per second for two minutes and the margin, about 70 MB.
pub const USES_HELD: usize = 1_000_000;
/// Workloads of foreign issuers whose key is pinned at once: each lives as long as its last assertion, an hour as a
/// rule. Where no more fit, a workload that is not among them is refused.
pub const PINS_HELD: usize = 100_000;
/// Entries open at once; far above what one machine can carry, so reaching it means that closing does not work.
pub const OPEN_HELD: usize = 1_000_000;
/// Unanswered and unused questions to humans remembered at once.
pub const ASKS_HELD: usize = 100_000;
/// Keys of call limits remembered at once.
pub const WINDOWS_HELD: usize = 200_000;
/// Calls remembered exactly per limit and window; above it neighbours within 1/1024 of the window are counted as one
/// point at the later time, so a window may refuse that much too long and never allows too much.
pub const WINDOW_POINTS: usize = 1_024;
/// Revocations remembered with their revision; a decision older than the oldest remembered one is made again.
pub const REVOCATIONS_HELD: usize = 100_000;
/// How much later than its end something is forgotten, in microseconds: the times of callers are not ordered, and a
/// clock may be set back by as much.
pub const LATE: i64 = 300_000_000;
