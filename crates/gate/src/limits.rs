//! Every limit of the gate, with the reason for its number.

use std::time::Duration;

/// Verified tokens kept: 10,000 agents with a few audiences each; about 1 KiB each.
pub const CACHED_TOKENS: usize = 32_768;
/// Tasks kept parsed: what is active within a token's life on one node.
pub const CACHED_TASKS: usize = 16_384;
/// How often a call is decided again because something was revoked meanwhile.
pub const MAX_DECISIONS: usize = 3;
/// How long a call waits for a human before it is answered as pending (F3): under every client's default time-out.
pub const HOLD: Duration = Duration::from_secs(3);
/// How long a plain call whose bytes have left may still take when a person stops it: its answer is worth more than an
/// unknown outcome; with the writing of its outcome it stays within the second that S8 gives.
pub const LET_END: Duration = Duration::from_millis(500);
/// From which refusal of the very same call on an MCP client waits for it: honest agents try twice.
pub const LOOP_TIMES: u32 = 3;
/// … and how long: a loop of thousands a minute becomes one of sixty, far under every client's time-out.
pub const LOOP_PAUSE: Duration = Duration::from_secs(1);
/// How long a refusal counts as one of the same call.
pub const LOOP_SPAN: model::Duration = model::Duration::seconds(600);
/// Calls whose refusals are remembered for that; about 100 bytes each.
pub const LOOP_CALLS: usize = 8_192;
/// Calls held at once; above it, pending at once.
pub const MAX_HELD: usize = 1_024;
/// Open asks of one task or, without a task, of one agent and user (S21).
pub const ASKS_PER_TASK: usize = 3;
/// Open asks of one approval rule (S21).
pub const ASKS_PER_RULE: usize = 20;
/// Open asks on a node: bounds memory whatever the agents do.
pub const MAX_ASKS: usize = 4_096;
/// Frames of a stream buffered between upstream and client: a slow client slows the upstream.
pub const STREAM_FRAMES: usize = 16;
/// Bytes of a stream after which what has gone out is recorded.
pub const SEGMENT_BYTES: u64 = 1024 * 1024;
/// Time after which it is recorded.
pub const SEGMENT_TIME: model::Duration = model::Duration::seconds(5);
/// Bytes of an HTTP answer looked ahead before it becomes a stream.
pub const WHOLE_ANSWER: usize = 256 * 1024;
/// Bytes of one HTTP answer with `returns:`: it must be parsed whole.
pub const PROJECTED_ANSWER: usize = 4 * 1024 * 1024;
/// Bytes of a request's body at the HTTP edge.
pub const REQUEST_BODY: usize = 1024 * 1024;
/// Bytes of a body that is read before anybody is believed: enough for any honest call, little beside a connection.
pub const STRANGER_BODY: usize = 64 * 1024;
/// How long a client may leave a frame of its answer unread before it counts as gone.
pub const SLOW_READER: Duration = Duration::from_secs(30);
/// How long a request for a token may take in all.
pub const TOKEN_REQUEST: Duration = Duration::from_secs(30);
/// How long a request's body may take to arrive.
pub const REQUEST_BODY_TIME: Duration = Duration::from_secs(30);
/// How long request headers may take (slowloris).
pub const HEADER_TIME: Duration = Duration::from_secs(10);
/// Connections at once on the agents' listener.
pub const CONNECTIONS: usize = 8_192;
/// Calls and streams of one agent open at once: thirty-two agents at this bound fill the listener, and one agent's
/// parallel work is commonly below a tenth of it.
pub const CALLS_PER_AGENT: usize = 256;
/// Longest request head; also bounds tokens in headers.
pub const HEAD_BYTES: usize = 64 * 1024;
/// Sampled records of requests refused before authentication: at most this many a second, whoever sends them.
pub const SAMPLES_PER_SECOND: u64 = 1;
/// Characters of an unknown operation's name kept in its refusal's record.
pub const UNKNOWN_NAME: usize = 128;
/// How long a stopping gate waits for open calls.
pub const DRAIN: Duration = Duration::from_secs(20);
/// One MCP message of a client: the largest arguments and what wraps them.
pub const MCP_FRAME: canonical::Limits = canonical::Limits {
    bytes: canonical::Limits::ARGUMENTS.bytes + 64 * 1024,
    depth: canonical::Limits::ARGUMENTS.depth + 2,
    members: canonical::Limits::ARGUMENTS.members + 1_000,
};
/// Bytes of a JSON-RPC id or progress token that is text: they are repeated in answers.
pub const MCP_ID: usize = 256;
/// How long a legacy MCP session handle opens: a working day and the night after it; then clients initialise again.
pub const MCP_SESSION: model::Duration = model::Duration::seconds(24 * 3_600);
/// Characters of the handle of a session or an event: nonce, expiry, the longest names, a number and the tag are 360 in
/// base64.
pub const MCP_HANDLE: usize = 512;
/// Characters of the handle of a question: it holds the upstream's session id, which is at most 1 KiB.
pub const MCP_QUESTION: usize = 4 * 1024;
/// Characters of a request state: it holds the upstream's own, and goes back and forth in each round.
pub const MCP_STATE: usize = 32 * 1024;
/// Characters of the handle of a task: it holds the upstream's own id, and travels in a header.
pub const MCP_TASK: usize = 2 * 1024;
/// How long the handle of a task opens: as long as work that runs overnight takes, and its result is fetched next day.
pub const MCP_TASK_LIFE: model::Duration = model::Duration::seconds(48 * 3_600);
/// How long a question waits for its answer, and a state for its next round: as long as a human may be at lunch.
pub const MCP_ROUND: model::Duration = model::Duration::seconds(3_600);
/// Questions of one round: a human answers a few, not a list.
pub const MCP_QUESTIONS: usize = 16;
/// How long a call in a legacy session may take before its answer becomes a stream that can be taken up again.
pub const MCP_PATIENCE: Duration = Duration::from_millis(150);
/// Events kept of one stream that can be taken up again.
pub const REPLAY_EVENTS: usize = 1_024;
/// Bytes of the events kept of one stream: one answer of the largest size in use and its progress.
pub const REPLAY_BYTES: usize = 4 << 20;
/// Bytes of the events kept of all streams.
pub const REPLAY_TOTAL: usize = 128 << 20;
/// How long a stream's events are kept when it has ended or nobody reads it: clients reconnect within seconds.
pub const REPLAY_KEPT: Duration = Duration::from_secs(60);
/// When clients are told to ask for the rest of a stream.
pub const REPLAY_RETRY_MILLIS: u64 = 1_000;
/// Calls of legacy sessions that can be cancelled by their id.
pub const MCP_CANCELLABLE: usize = 16_384;
/// Ended sessions remembered: what clients end within some minutes on a busy node; looked through in microseconds.
pub const MCP_ENDED: usize = 4_096;
/// How often an open stream looks whether its caller may still have it; S8 allows a second.
pub const STREAM_CHECK: Duration = Duration::from_millis(500);
/// How long the standing stream of an upstream is left alone when it has ended.
pub const STANDING_PAUSE: Duration = Duration::from_secs(5);
/// Standing streams at once on a node.
pub const MCP_STANDING: usize = 4_096;
/// Resources that one subscription may name.
pub const MCP_WATCHED: usize = 64;
/// How long clients may keep a list: short, since a freeze or a new rule changes it.
pub const MCP_LIST_MILLIS: i64 = 30_000;
/// Silence on an event stream after which a comment is sent: under the 30 s after which common proxies cut.
pub const MCP_KEEP_ALIVE: Duration = Duration::from_secs(15);
/// LIMIT: a task and its ancestors. A chain of delegations is as long at most (RFC 8693 as it is used here).
pub const TASK_DEPTH: usize = 4;
