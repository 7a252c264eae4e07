//! Looks at what came back before the agent does: projects it to what the catalog says it returns.

use super::{
    Failure, Response,
    mask::{self, Masks},
};
use crate::{
    Gate, World,
    mediate::{Head, Refusal, Reply},
    settle::Exchange,
};
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use model::Code;
use std::sync::Arc;
use upstream::mcp;

/// How an action ended, as its outcome record says.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// `done`, `failed` (the upstream said so, or nothing was sent) or `unknown`.
    pub word: &'static str,
    /// The code of a fault.
    pub code: Option<Code>,
    /// HTTP status of the upstream.
    pub status: Option<u16>,
    /// Bytes returned to the agent.
    pub bytes: u64,
    /// SHA-256 of the bytes returned, in hexadecimal; empty if none.
    pub digest: String,
    /// Members dropped by `returns:`.
    pub dropped: u64,
    /// Values replaced by `after: [mask]`.
    pub masked: u64,
}

/// What inspection leaves.
#[expect(
    clippy::large_enum_variant,
    reason = "one is made for each call and moved twice; a box would cost more"
)]
pub enum Inspected {
    /// A complete answer and how it ended.
    Whole(Result<Reply, Refusal>, Ending),
    /// A stream that is pumped frame by frame.
    Stream(Streaming),
}

/// A stream that has begun.
#[expect(
    clippy::large_enum_variant,
    reason = "one is made for each call and moved twice; a box would cost more"
)]
pub enum Streaming {
    /// Messages of an MCP answer.
    Mcp(mcp::Messages),
    /// An HTTP body, its head, and the bytes looked ahead.
    Http(http::response::Parts, Bytes, upstream::Body),
}

impl Streaming {
    /// What the stream begins with, for the edge.
    pub fn head(&self) -> Head {
        match self {
            Streaming::Mcp(_) => Head::Mcp,
            Streaming::Http(parts, _, _) => Head::Http(parts.clone()),
        }
    }
}

/// Decides what of a response may be returned.
pub fn inspect(gate: &Gate, exchange: &Exchange, response: Result<Response, Failure>) -> Inspected {
    match response {
        Err(failure) => {
            let refusal = Refusal {
                entry: Some(exchange.entry()),
                ..Refusal::new(failure.code, exchange.trace())
            };
            let word = if failure.after_send { "unknown" } else { "failed" };
            Inspected::Whole(
                Err(refusal),
                Ending { word, code: Some(failure.code), ..Ending::default() },
            )
        }
        Ok(Response::Mcp(outcome)) => {
            let (reply, ending) = mcp_outcome(gate, exchange, outcome);
            Inspected::Whole(reply, ending)
        }
        Ok(Response::Withheld(why)) => {
            let (reply, ending) = withheld(exchange, &why);
            Inspected::Whole(reply, ending)
        }
        Ok(Response::McpStream(messages)) => Inspected::Stream(Streaming::Mcp(messages)),
        Ok(Response::Http(response)) => {
            let (reply, ending) = http_whole(gate, exchange, response);
            Inspected::Whole(reply, ending)
        }
        Ok(Response::HttpStream(parts, ahead, body)) => {
            Inspected::Stream(Streaming::Http(parts, ahead, body))
        }
    }
}

/// Projects the result of an MCP call and says how the call ended.
pub(super) fn mcp_outcome(
    gate: &Gate,
    exchange: &Exchange,
    outcome: mcp::Outcome,
) -> (Result<Reply, Refusal>, Ending) {
    let projected = match returns(gate, exchange) {
        Returns::All => Ok((outcome, 0)),
        Returns::Only(world) => outcome.project(world.returns_of(exchange.catalog())),
    };
    match projected {
        Ok((outcome, dropped)) => {
            let masks = Masks::of(exchange);
            let masked = match &masks {
                Some(masks) => masks.outcome(outcome),
                None => Ok((outcome, 0)),
            };
            let Ok((mut outcome, mut masked)) = masked else {
                return withheld(exchange, UNMASKABLE);
            };
            let mut bytes = outcome.value().to_bytes();
            if masks.is_some_and(|masks| masks.credential)
                && let Some(clean) = exchange.masked(&bytes)
            {
                let Some(result) = mask::read_back(&clean) else {
                    return withheld(exchange, LEAK);
                };
                outcome = outcome.with(result);
                (bytes, masked) = (clean, masked.saturating_add(1));
            }
            if exchange.leaks(&bytes) {
                return withheld(exchange, LEAK);
            }
            let word = if outcome.is_error() { "failed" } else { "done" };
            let ending = Ending { word, dropped, masked, ..measured(&bytes) };
            (Ok(Reply::Mcp(outcome)), ending)
        }
        Err(mcp::NotProjectable) => withheld(exchange, UNNAMED),
    }
}

/// What of a result the catalog lets through.
enum Returns {
    All,
    Only(Arc<World>),
}

fn returns(gate: &Gate, exchange: &Exchange) -> Returns {
    if exchange.catalog().action.returns.is_empty() || !gate.settings.guards.projection {
        Returns::All
    } else {
        Returns::Only(gate.world())
    }
}

fn http_whole(
    gate: &Gate,
    exchange: &Exchange,
    response: http::Response<Bytes>,
) -> (Result<Reply, Refusal>, Ending) {
    let status = response.status();
    let word = if status.is_success() { "done" } else { "failed" };
    let (response, masked) = match masked_body(exchange, response) {
        Ok(masked) => masked,
        Err(why) => return withheld(exchange, why),
    };
    if exchange.leaks(response.body()) {
        return withheld(exchange, LEAK);
    }
    let Returns::Only(world) = returns(gate, exchange) else {
        let ending =
            Ending { word, status: Some(status.as_u16()), masked, ..measured(response.body()) };
        return (Ok(Reply::Http(response)), ending);
    };
    let (mut parts, body) = response.into_parts();
    // Headers are not named fields either: what is needed to read the body stays.
    let kept = [http::header::CONTENT_TYPE, http::header::CACHE_CONTROL, http::header::RETRY_AFTER];
    parts.headers = kept
        .into_iter()
        .filter_map(|name| Some((name.clone(), parts.headers.get(&name)?.clone())))
        .collect();
    // The words of an error are not the named fields either: its status says enough.
    let (body, dropped) = if status.is_success() {
        let Ok(value) = canonical::parse(&body, &canonical::Limits::FRAME) else {
            return withheld(exchange, UNNAMED);
        };
        let kept = canonical::project(&value, world.returns_of(exchange.catalog()));
        (Bytes::from(kept.value.to_bytes()), u64::try_from(kept.dropped).unwrap_or(u64::MAX))
    } else {
        (Bytes::new(), u64::from(!body.is_empty()))
    };
    let ending = Ending { word, status: Some(status.as_u16()), dropped, masked, ..measured(&body) };
    (Ok(Reply::Http(http::Response::from_parts(parts, body))), ending)
}

/// Masks a whole HTTP answer as the catalog says, and counts. The words of an error are not looked into.
fn masked_body(
    exchange: &Exchange,
    response: http::Response<Bytes>,
) -> Result<(http::Response<Bytes>, u64), &'static str> {
    let Some(masks) = Masks::of(exchange) else { return Ok((response, 0)) };
    let (mut parts, body) = response.into_parts();
    let (mut body, mut count) = masks.body(&body).ok_or(UNMASKABLE)?;
    if masks.credential
        && let Some(clean) = exchange.masked(&body)
    {
        (body, count) = (clean, count.saturating_add(1));
    }
    drop(parts.headers.remove(http::header::CONTENT_LENGTH));
    Ok((http::Response::from_parts(parts, Bytes::from(body)), count))
}

/// Why an answer is withheld: what is to be masked cannot be found in it.
const UNMASKABLE: &str = "parts of this action's answer are masked, and the answer is not JSON";
/// Why an answer is withheld: its fields cannot be told apart.
const UNNAMED: &str = "this action returns only named fields, and the answer is not a JSON object";
/// Why an answer is withheld: it would hand the agent what only the gate may hold.
pub(super) const LEAK: &str = "the answer holds the credential that the upstream was called with";

pub(super) fn withheld(exchange: &Exchange, why: &str) -> (Result<Reply, Refusal>, Ending) {
    tracing::warn!(entry = %exchange.entry(), action = %exchange.catalog().id, why, "an answer was withheld");
    let refusal = Refusal {
        entry: Some(exchange.entry()),
        ..Refusal::new(Code::ResultWithheld, exchange.trace())
    };
    let ending = Ending { word: "done", code: Some(Code::ResultWithheld), ..Ending::default() };
    (Err(refusal.with(why)), ending)
}

/// Size and digest of what is returned.
#[must_use]
pub(super) fn measured(bytes: &[u8]) -> Ending {
    Ending {
        bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        digest: hex(&digest(&SHA256, bytes)),
        ..Ending::default()
    }
}

/// A digest as records say it.
#[must_use]
pub(super) fn hex(digest: &aws_lc_rs::digest::Digest) -> String {
    let bytes = <[u8; 32]>::try_from(digest.as_ref());
    bytes.map(|bytes| model::Digest(bytes).to_string()).unwrap_or_default()
}
