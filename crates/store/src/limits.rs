//! Every limit of this crate, with the reason for its number.

use std::time::Duration;

/// Batches between snapshots of the condition memory: a start replays at most these, well under a second.
pub const SNAPSHOT_EVERY: u32 = 4_096;
/// Bytes of write-ahead log at which it is copied into the database without holding up the writer.
pub const WAL_SOFT: u64 = 4 << 20;
/// Bytes of write-ahead log at which it is emptied even if the writer must wait for that.
pub const WAL_HARD: u64 = 256 << 20;
/// How often the keeper looks: checkpoints are signed at most once per second.
pub const KEEPER_PACE: Duration = Duration::from_secs(1);
/// How long the index lets records gather before it takes them, so that it does not compete with every commit.
pub const INDEX_PACE: Duration = Duration::from_millis(200);
/// Batches that the index takes in one transaction.
pub const INDEX_ROWS: usize = 256;
/// Pages of the index's write-ahead log at which it is copied: traces are random, so a page is changed many times before.
pub const INDEX_WAL_PAGES: u32 = 4_096;
/// KiB of the index's pages held in memory: the traces of some hundred thousand calls.
pub const INDEX_CACHE_KIB: u32 = 8_192;
/// Batches read at once when the ledger is walked: a batch may hold some megabytes.
pub const WALK_ROWS: usize = 64;
/// How long a connection waits for another one of this process.
pub const BUSY: Duration = Duration::from_secs(10);
/// How long a database server may take to answer. A commit takes milliseconds; one that takes this long is given up, and
/// with it the ledger's writer.
pub const SERVER_ANSWER: Duration = Duration::from_secs(30);
/// How often, and how long apart, the writer's lock is asked for: a server takes a moment to see that the process which
/// held it is gone.
pub const WRITER_LOCK_TRIES: u32 = 60;
/// See [`WRITER_LOCK_TRIES`].
pub const WRITER_LOCK_PACE: Duration = Duration::from_millis(50);
/// Bytes of a file of passwords; a line has some dozens.
pub const PASSFILE_BYTES: u64 = 64 << 10;
/// How long live state (tasks, asks) is kept after its last change, in microseconds: 35 days, longer than a task or
/// an approval lives. A task that is gone is refused.
pub const LIVE_KEPT: i64 = 35 * 86_400 * 1_000_000;
/// Data keys that a reader keeps unwrapped.
pub const KEYS_CACHED: usize = 4_096;
/// Records that one query gives at most.
pub const QUERY_RECORDS: usize = 10_000;
/// Bytes of a kept checkpoint file; a signed note of ours has about 250.
pub const NOTE_BYTES: u64 = 64 << 10;
