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
