//! Every limit of this crate, with the reason for its number.

use std::time::Duration;

/// Longest request or reply line on the control socket: a large `apply` (ambit.yaml and its policies) fits eightfold.
pub(crate) const CONTROL_LINE_BYTES: usize = 8 * 1024 * 1024;
/// Longest `ambit.yaml` or `.cedar` file that is read: forty times the largest example, far below memory.
pub(crate) const DECLARED_FILE_BYTES: u64 = 4 * 1024 * 1024;
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
/// How often keys, pinned definitions and the checkpoint are looked after.
pub(crate) const UPKEEP: Duration = Duration::from_secs(60);
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
/// Most characters of arguments in one line of a trace: the line still fits a wide terminal.
pub(crate) const LINE_DATA: usize = 60;
/// Most characters of arguments in `why`: three lines of a terminal; `-o json` has all.
pub(crate) const WHY_ARGUMENTS: usize = 240;
/// How often the terminal's reader is looked at before a question is shown: more lines than it can hold.
pub(crate) const TYPED_AHEAD: usize = 4;
