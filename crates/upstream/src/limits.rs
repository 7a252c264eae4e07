//! Every limit of this crate, with the reason for its number.

use std::time::Duration;

/// LIMIT: an upstream in the same region completes TCP and TLS within a second; five leave room
/// for one lost handshake packet and its retransmission.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);
/// LIMIT: from the request's departure to the answer's head. Most clients of agents give up after
/// a minute, so that an answer that comes later finds nobody.
pub(crate) const FIRST_BYTE: Duration = Duration::from_secs(60);
/// LIMIT: between two parts of an answer; servers that stream send a comment every 15 to 30 s.
pub(crate) const IDLE: Duration = Duration::from_secs(60);
/// LIMIT: bytes of one answer, streams included; four protocol frames of the largest size.
pub(crate) const RESPONSE_BYTES: usize = 16 << 20;
/// LIMIT: bytes of the answers that a protocol handshake needs; they are a page of JSON.
pub(crate) const HANDSHAKE_BYTES: usize = 1 << 20;
/// LIMIT: idle connections kept per host; as many as calls commonly run in parallel.
pub(crate) const IDLE_CONNECTIONS: usize = 64;
/// LIMIT: an idle connection is closed before common servers close it at 60 to 75 s, since a
/// request written into a closing connection has an unknown outcome.
pub(crate) const IDLE_CONNECTION: Duration = Duration::from_secs(30);
/// LIMIT: bytes of a secret; the longest in use (signed tokens with many claims) are near 8 KiB.
pub(crate) const SECRET_BYTES: u64 = 16 << 10;
/// LIMIT: a secret shorter than this is not looked for in response headers, where it would match
/// by chance.
pub(crate) const SECRET_SOUGHT_BYTES: usize = 8;
/// LIMIT: bytes of a session id that an upstream hands out; ids in use are below 100.
pub(crate) const SESSION_ID_BYTES: usize = 1 << 10;
/// LIMIT: legacy sessions held open, one for each (upstream, agent, human); about 1 KiB each.
pub(crate) const SESSIONS: usize = 10_000;
/// LIMIT: tools of one upstream; the largest servers in use list fewer than 500.
pub(crate) const TOOLS: usize = 2_000;
/// LIMIT: pages of `tools/list`; bounds a server that hands out cursors for ever.
pub(crate) const PAGES: usize = 100;
/// LIMIT: canonical bytes of one definition; a model cannot read a longer one.
pub(crate) const DEFINITION_BYTES: usize = 256 << 10;
/// LIMIT: messages on one response stream before its answer; bounds a server that only talks.
pub(crate) const STREAM_MESSAGES: usize = 10_000;
/// LIMIT: how long a cancellation notice may take; nobody waits for it.
pub(crate) const CANCEL_NOTICE: Duration = Duration::from_secs(5);
/// LIMIT: parameters mirrored into headers for one call; servers allow about 100 headers.
pub(crate) const MIRRORED_PARAMETERS: usize = 32;
/// LIMIT: local servers at once; a runtime such as Node takes 50 to 80 MiB each.
pub(crate) const CHILDREN: usize = 64;
/// LIMIT: local servers of one upstream at once, so that one upstream leaves room for others.
pub(crate) const CHILDREN_PER_UPSTREAM: usize = 32;
/// LIMIT: a local server that nobody used for so long is ended; the next call starts another.
pub(crate) const CHILD_IDLE: Duration = Duration::from_secs(300);
/// LIMIT: the same for one that another has replaced, since its secret or its variables changed.
pub(crate) const CHILD_RETIRED: Duration = Duration::from_secs(1);
/// LIMIT: lines that wait for a local server to read them.
pub(crate) const CHILD_INPUT: usize = 64;
/// LIMIT: how long a line may wait for room among them.
pub(crate) const CHILD_INPUT_WAIT: Duration = Duration::from_secs(5);
/// LIMIT: pieces of one answer that wait to be read; the place of the last one is kept free.
pub(crate) const CHILD_PIECES: usize = 64;
/// LIMIT: bytes of one message of a local server, as of one protocol frame over HTTP.
pub(crate) const CHILD_LINE: usize = canonical::Limits::FRAME.bytes;
/// LIMIT: how long a local server may leave `server/discover` unanswered before it counts as one
/// of an older revision; includes its start, which takes a few seconds where a package runner looks for updates.
pub(crate) const CHILD_DISCOVERY: Duration = Duration::from_secs(10);
/// LIMIT: how long a local server may take to end once its input is closed, and again once it got
/// SIGTERM; the specification of stdio asks for "a reasonable time".
pub(crate) const CHILD_GRACE: Duration = Duration::from_secs(2);
/// LIMIT: pause after a local server ended by itself; doubled each time it does so again.
pub(crate) const CHILD_BACK_OFF: Duration = Duration::from_millis(250);
/// LIMIT: longest such pause: somebody who mends the server waits no longer than this.
pub(crate) const CHILD_BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// LIMIT: a call waits for such a pause to end if it is this short; else it is refused.
pub(crate) const CHILD_SHORT_WAIT: Duration = Duration::from_secs(1);
/// LIMIT: a local server that lived this long is trusted to start well again.
pub(crate) const CHILD_HEALTHY: Duration = Duration::from_secs(60);
/// LIMIT: how often one message is offered to a new child because the one before had just ended.
pub(crate) const CHILD_TRIES: usize = 3;
/// LIMIT: bytes of one line that a local server says beside its messages.
pub(crate) const CHILD_LOG_LINE: usize = 2 << 10;
/// LIMIT: such lines logged of one local server in one span.
pub(crate) const CHILD_LOG_LINES: u32 = 60;
/// The span.
pub(crate) const CHILD_LOG_SPAN: Duration = Duration::from_secs(60);
/// Bytes of a hook's answer: a decision with its reasons.
pub(crate) const HOOK_ANSWER: usize = 64 * 1024;
/// LIMIT: bytes of a foreign issuer's discovery document or JWK set; as `identity` reads them.
pub(crate) const ISSUER_DOCUMENT: usize = 256 << 10;
/// LIMIT: bytes of an event id; ids in use are below 200.
pub(crate) const EVENT_ID_BYTES: usize = 1 << 10;
/// LIMIT: how long an upstream may put off the rest of a stream; under the silence that clients bear.
pub(crate) const RETRY_MAX: Duration = Duration::from_secs(10);
/// LIMIT: the pause before the rest of a stream is asked for, where the upstream names none.
pub(crate) const RETRY: Duration = Duration::from_secs(1);
/// LIMIT: how often in a row a stream is taken up again without a message of it coming.
pub(crate) const RESUMPTIONS: usize = 5;
/// How long the keys of a foreign issuer are used before they are fetched again: a key that it withdraws is refused this
/// much later at most.
pub(crate) const ISSUER_FRESH: model::Duration = model::Duration::seconds(300);
/// How long they are believed if they cannot be fetched again: an hour without the issuer stops no agent.
pub(crate) const ISSUER_STALE: model::Duration = model::Duration::seconds(3_600);
/// LIMIT: the pause between two requests to one issuer; strangers who name unknown keys cause no more.
pub(crate) const ISSUER_PAUSE: model::Duration = model::Duration::seconds(10);
/// LIMIT: how long one document of a foreign issuer may take.
pub(crate) const ISSUER_ANSWER: Duration = Duration::from_secs(5);
