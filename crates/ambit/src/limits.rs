//! Every limit of this crate, with the reason for its number.

use std::time::Duration;

/// Longest request or reply line on the control socket: a large `apply` (ambit.yaml and its policies) fits eightfold.
pub(crate) const CONTROL_LINE_BYTES: usize = 8 * 1024 * 1024;
/// Longest `ambit.yaml` or `.cedar` file that is read: forty times the largest example, far below memory.
pub(crate) const DECLARED_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Most bytes of a secret that are read: one more than a credential may have, so that a longer one is refused, not cut.
pub(crate) const SECRET_BYTES: u64 = 16 * 1024 + 1;
/// Most `.cedar` files beside one `ambit.yaml`: a directory read by mistake is noticed.
pub(crate) const POLICY_FILES: usize = 1_000;
/// Longest request body that a demo upstream reads: its largest real request is below 4 KiB.
pub(crate) const STANDIN_BODY_BYTES: usize = 64 * 1024;
/// Longest answer that the demo's agent reads: the gate's largest answer here is below 16 KiB.
pub(crate) const DEMO_ANSWER_BYTES: usize = 256 * 1024;
/// How long the demo waits for a process that it started to say where it listens: cold disks included.
pub(crate) const DEMO_START: Duration = Duration::from_secs(20);
/// How long the demo waits for one answer: a hundred times what the slowest took on two busy cores.
pub(crate) const DEMO_ANSWER: Duration = Duration::from_secs(10);
/// How long a command waits for a running gate's reply: an `upstream pin` asks a slow upstream.
pub(crate) const CONTROL_REPLY: Duration = Duration::from_secs(60);
/// Control connections served at once: people and scripts on one machine, not traffic.
pub(crate) const CONTROL_CONNECTIONS: usize = 32;
/// Records that `trace list` and `trace show` return at most when no limit is given: a screen many times over.
pub(crate) const RECORDS_SHOWN: u32 = 1_000;
/// How long a token-signing key is in use before the next one replaces it.
pub(crate) const SIGNING_KEY_TERM: model::Duration = model::Duration::seconds(24 * 3_600);
/// How long a replaced key still verifies: longer than the longest life of a token.
pub(crate) const SIGNING_KEY_OVERLAP: model::Duration = model::Duration::seconds(2 * 3_600);
/// How long before it signs a key is published: twice as long as the set of keys may be cached.
pub(crate) const SIGNING_KEY_LEAD: model::Duration = model::Duration::seconds(600);
/// How long a revoked token is remembered after it ended: clocks of other machines may be behind.
pub(crate) const REVOKED_KEPT: model::Duration = model::Duration::seconds(3_600);
/// Ended tokens forgotten at one look: one record stays far below the largest that a ledger takes.
pub(crate) const ENDED_PER_LOOK: usize = 1_000;
/// From which percentage of its `max_age` on a key is announced as one that will be refused: of 90 days the last 18.
pub(crate) const KEY_ANNOUNCED: i64 = 80;
/// How often keys, pinned definitions and the checkpoint are looked after.
pub(crate) const UPKEEP: Duration = Duration::from_secs(60);
/// How often `trace tail` asks for more: at once for a person.
pub(crate) const TAIL: Duration = Duration::from_millis(250);
/// How long `doctor` waits for one upstream: all of them are asked before anyone walks away.
pub(crate) const PROBE: Duration = Duration::from_secs(3);
/// Free bytes of the data directory's disk below which `doctor` warns: a day of heavy records.
pub(crate) const DISK_LOW: u64 = 2 * 1024 * 1024 * 1024;
/// Free bytes below which it fails: minutes of heavy records.
pub(crate) const DISK_FULL: u64 = 200 * 1024 * 1024;
/// How often a follower looks for new records: traces and notices are soon enough within half a second.
pub(crate) const FOLLOW_PACE: Duration = Duration::from_millis(250);
/// The longest wait of a follower whose receiver is away.
pub(crate) const FOLLOW_WAIT: Duration = Duration::from_secs(30);
/// Records read for one delivery: some hundred KiB of spans.
pub(crate) const FOLLOW_RECORDS: u64 = 512;
/// Opened entries that the follower of traces remembers: calls under way, many times over.
pub(crate) const FOLLOW_OPEN: usize = 16_384;
/// How long one delivery may take.
pub(crate) const FOLLOW_DELIVERY: Duration = Duration::from_secs(10);
/// Earlier declared states that can be rolled back to: more than anyone looks at in a list.
pub(crate) const KEPT_REVISIONS: usize = 32;
/// Bytes of earlier declared states that are kept: they are in memory with all control state.
pub(crate) const KEPT_BYTES: usize = 16 * 1024 * 1024;
/// How often `dev` looks whether its files have changed: at once for a person, nothing for a machine.
pub(crate) const WATCH: Duration = Duration::from_millis(300);
/// The farthest end of `mode: observe`: a pilot, and not a way to live.
pub(crate) const OBSERVE_MAX: model::Duration = model::Duration::seconds(30 * 86_400);
/// How long before its end an observation is announced: two working days and a weekend's warning are in it.
pub(crate) const OBSERVE_WARNING: model::Duration = model::Duration::seconds(3 * 86_400);
/// How long a confirmation that an owner or sponsor is alive counts at most: a leaver is noticed within a month.
pub(crate) const OWNER_TERM: model::Duration = model::Duration::seconds(30 * 86_400);
/// Life of a scoped key when nothing is said: a day of work.
pub(crate) const SCOPED_KEY_LIFE: model::Duration = model::Duration::seconds(8 * 3_600);
/// Longest life of a scoped key (S19): what is a shared secret for longer is one.
pub(crate) const SCOPED_KEY_MAX: model::Duration = model::Duration::seconds(24 * 3_600);
/// Scoped keys of one agent at once, ended ones of the last hour included: bounds control state, and what a person
/// can oversee.
pub(crate) const SCOPED_KEYS: usize = 32;
/// Actions, upstreams and networks that one scoped key names: bounds its row, which the door reads.
pub(crate) const SCOPED_KEY_NAMES: usize = 64;
/// How long a one-time code of enrolment may be used.
pub(crate) const ENROL_LIFE: model::Duration = model::Duration::seconds(15 * 60);
/// The longest life of a token: what was issued before has ended.
pub(crate) const TOKEN_LIFE_MAX: model::Duration = identity::limits::MAX_TOKEN_LIFE;
/// How long a draft may be used before somebody reviews it: a sprint.
pub(crate) const DRAFT_LIFE: model::Duration = model::Duration::seconds(14 * 86_400);
/// How long an overdue review is only warned of, at most; a tenth of short terms.
pub(crate) const REVIEW_GRACE: model::Duration = model::Duration::seconds(14 * 86_400);
/// Agents that one record registers at most, and the bytes of their rows: a quarter of what a record may have.
pub(crate) const REGISTERED_AT_ONCE: usize = 1_000;
pub(crate) const REGISTERED_BYTES: usize = 2 * 1024 * 1024;
/// Sentences that one record of the registry says at most: its rows say the rest.
pub(crate) const REASONS: usize = 32;
/// The shortest and the longest wait until the registry is looked at again.
pub(crate) const REGISTRY_BEAT: (Duration, Duration) =
    (Duration::from_millis(50), Duration::from_secs(60));
/// How long a stop waits for listeners after the last entry is closed.
pub(crate) const STOP: Duration = Duration::from_secs(5);
/// How long a stop waits for the calls that it ends: they have half a second, then the time of one outcome's writing;
/// the lease that S8 names is the most.
pub(crate) const STOPPED_CALLS: Duration = Duration::from_secs(5);
/// How long a task lasts: a working day; its tokens are of minutes.
pub(crate) const TASK_LIFE: model::Duration = model::Duration::seconds(8 * 3_600);
/// Longest text of what set a task off: a long mail; it is kept whole, as a record's part.
pub(crate) const TRIGGER_BYTES: usize = 64 * 1024;
/// How long a question to the index waits for what was durable when it was asked: a hundred times its usual lag.
pub(crate) const INDEX_WAIT: Duration = Duration::from_secs(5);
/// How long what must be complete waits for the index: it takes in more than ten thousand records a second.
pub(crate) const INDEX_COMPLETE: Duration = Duration::from_secs(60);
/// Most characters of arguments in one line of a trace: the line still fits a wide terminal.
pub(crate) const LINE_DATA: usize = 60;
/// Most characters of arguments in `why`: three lines of a terminal; `-o json` has all.
pub(crate) const WHY_ARGUMENTS: usize = 240;
/// How often the terminal's reader is looked at before a question is shown: more lines than it can hold.
pub(crate) const TYPED_AHEAD: usize = 4;
/// How long the bridge tries to reach the gate before it answers in its place: within two seconds a client is told.
pub(crate) const BRIDGE_PATIENCE: Duration = Duration::from_millis(1_500);
/// … and before it answers a client's first request for tools in its place, which it can do with an empty list only.
pub(crate) const BRIDGE_FIRST_LIST: Duration = Duration::from_secs(10);
/// How long one attempt to connect may take; the gate is on this machine.
pub(crate) const BRIDGE_CONNECT: Duration = Duration::from_millis(500);
/// First pause between attempts; it doubles, and each is shortened at random so that bridges do not come at once.
pub(crate) const BRIDGE_FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause while the bridge looks for a gate that is away.
pub(crate) const BRIDGE_LOOK_MAX: Duration = Duration::from_secs(5);
/// When a client is told to try again first; it doubles with each call that finds no gate.
pub(crate) const BRIDGE_AGAIN: Duration = Duration::from_secs(2);
/// … and when at the latest.
pub(crate) const BRIDGE_AGAIN_MAX: Duration = Duration::from_secs(30);
/// How long the gate may take to begin an answer: its own wait for a slow upstream, and some.
pub(crate) const BRIDGE_ANSWER: Duration = Duration::from_secs(90);
/// Silence on a stream after which it counts as broken; the gate sends a comment every 15 s.
pub(crate) const BRIDGE_SILENCE: Duration = Duration::from_secs(60);
/// How long a token may take to be bought: two durable writes.
pub(crate) const BRIDGE_TOKEN: Duration = Duration::from_secs(5);
/// Longest answer of the token endpoint; a token is below 2 KiB.
pub(crate) const BRIDGE_TOKEN_BYTES: usize = 64 * 1024;
/// Longest token of the platform's that a bridge reads: theirs are below 4 KiB.
pub(crate) const BRIDGE_ASSERTION_BYTES: u64 = 64 * 1024;
/// Longest file of authorities that a bridge reads: a platform's own is about 250 KiB.
pub(crate) const BRIDGE_AUTHORITIES_BYTES: u64 = 4 * 1024 * 1024;
/// How long the control socket may take.
pub(crate) const BRIDGE_CONTROL: Duration = Duration::from_secs(1);
/// Longest message between client and gate, as of one frame at the gate's upstreams.
pub(crate) const BRIDGE_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// Lines that wait to be read by a client.
pub(crate) const BRIDGE_LINES: usize = 64;
/// Calls of one client under way at once; also connections kept to the gate.
pub(crate) const BRIDGE_CALLS: usize = 64;
/// How long a connection to the gate is kept idle: shorter than the gate keeps it.
pub(crate) const BRIDGE_IDLE_CONNECTION: Duration = Duration::from_secs(5);
/// Connections at once at a local door.
pub(crate) const BRIDGE_CONNECTIONS: usize = 256;
/// How long a request's head may take at a local door.
pub(crate) const BRIDGE_HEAD: Duration = Duration::from_secs(10);
/// Sessions of clients that a local door remembers.
pub(crate) const BRIDGE_SESSIONS: usize = 1_024;
/// Paths that a local door keeps a conversation without session for: one for each upstream.
pub(crate) const BRIDGE_DOORS: usize = 256;
/// Tokens that one bridge holds: of each door without a task, and of hundreds of tasks at once.
pub(crate) const BRIDGE_TOKENS: usize = 1_024;
/// How long before its end a certificate authority is replaced: a month in which somebody notices that it cannot be.
pub(crate) const AUTHORITY_LEFT: model::Duration = model::Duration::seconds(30 * 24 * 3_600);
/// How long one request of the control API may take: an issuer's keys may have to be fetched.
pub(crate) const API_REQUEST: Duration = Duration::from_secs(30);
/// Longest body of a request: a trigger's text, percent-free, with parameters and a token beside it.
pub(crate) const API_BODY_BYTES: usize = 256 * 1024;
/// How much of a refused request is kept in its record.
pub(crate) const API_RECORDED_CHARS: usize = 512;
/// Longest reference of a trigger: a URL or an id and a few words.
pub(crate) const TRIGGER_REFERENCE_CHARS: usize = 256;
/// Oldest ID token that proves a human: a working day, as long as a task.
pub(crate) const ID_TOKEN_AGE: model::Duration = model::Duration::seconds(8 * 3_600);
/// How long an idempotency key is remembered: callers retry within minutes.
pub(crate) const IDEMPOTENCY_KEPT: model::Duration = model::Duration::seconds(24 * 3_600);
