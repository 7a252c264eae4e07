//! The door `/mcp/{upstream}`: streamable HTTP in revision 2026-07-28 and, for clients that begin with `initialize`,
//! 2025-11-25 and 2025-06-18. It reads a message once, asks the flow, and writes the answer in the client's revision.

mod call;
mod claim;
mod era;
mod lists;
pub(super) mod place;
mod refuse;
mod rpc;
mod session;

use super::{Body, credential, full};
use crate::{Edge, Gate, Refusal, admit, limits, mediate::Credential};
use ::http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts,
};
use bytes::Bytes;
use canonical::Value;
use era::Era;
use http_body_util::{BodyExt, Limited};
use model::{Code, Name, TaskId, TraceId, UpstreamName};
use rpc::{Kind, Message, Wrong};
use std::{error::Error, sync::Arc};

/// The task that a call belongs to, in `_meta`.
const TASK: &str = "dev.ambit/task";

/// Answers one request at this door.
pub async fn handle<B>(gate: &Arc<Gate>, upstream: &str, request: Request<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    let Ok(upstream) = Name::new(upstream) else { return plain(StatusCode::NOT_FOUND) };
    if !place::is_ours(&gate.settings().base_url, &head) {
        let trace = gate.new_trace();
        gate.stranger(&Refusal::new(Code::ProtocolInvalid, trace), Edge::Mcp, &upstream);
        return plain(StatusCode::FORBIDDEN);
    }
    match head.method {
        Method::POST => post(gate, upstream, &head, body).await,
        Method::DELETE => end_session(gate, upstream, &head).await,
        _ => not_allowed(),
    }
}

/// One message and everything that came with it; nothing in it is believed.
struct Visit {
    upstream: UpstreamName,
    credential: Option<Credential>,
    trace: TraceId,
    traceparent: Option<String>,
    task: Option<TaskId>,
    era: Era,
    /// Whether the client takes events as an answer.
    takes_events: bool,
}

async fn post<B>(gate: &Arc<Gate>, upstream: UpstreamName, head: &Parts, body: B) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let credential = credential_of(gate, head);
    let known = gate.knows(credential.as_ref());
    let limit = if known { limits::MCP_FRAME.bytes } else { limits::STRANGER_BODY };
    let read = match read(&head.headers, body, limit).await {
        Ok(message) => match era::of(&message, &head.headers) {
            Ok(era) => Ok((message, era)),
            Err(wrong) => Err((wrong.about(&message), Code::ProtocolInvalid)),
        },
        Err(failed) => Err(failed),
    };
    let (message, era) = match read {
        Ok(read) => read,
        Err((wrong, code)) => {
            gate.stranger(&Refusal::new(code, gate.new_trace()), Edge::Mcp, &upstream);
            return wrong.response();
        }
    };
    let visit = visit(gate, upstream, head, &message, era);
    if era == Era::Legacy
        && message.method != "initialize"
        && let Err(refused) = in_session(gate, &visit, &head.headers)
    {
        return refused.about(&message).response();
    }
    match message.kind {
        Kind::Notification => notify(gate, &visit).await,
        Kind::Request(ref id) => respond(gate, visit, id.clone(), message).await,
    }
}

async fn respond(gate: &Arc<Gate>, visit: Visit, id: Value, message: Message) -> Response<Body> {
    if message.method == "tools/call" {
        return call::answer(gate, visit, id, message).await;
    }
    let actor = match greet(gate, &visit).await {
        Ok(actor) => actor,
        Err(refusal) => return refuse::visit(gate, &visit, Some(&id), &refusal),
    };
    let modern = visit.era == Era::Modern;
    let result = match (message.method.as_str(), modern) {
        ("initialize", false) => {
            let response = rpc::result(visit.era, &id, lists::initialized(&message.params));
            return session::attach(gate, &visit.upstream, actor.agent(), response);
        }
        ("ping", false) => lists::nothing(),
        ("server/discover", true) => lists::discovered(),
        ("tools/list", _) => lists::tools(gate, actor.agent(), &visit.upstream, visit.era),
        ("resources/list", _) => lists::empty("resources", visit.era),
        ("resources/templates/list", _) => lists::empty("resourceTemplates", visit.era),
        ("prompts/list", _) => lists::empty("prompts", visit.era),
        _ => return rpc::unknown_method(visit.era, id, &message.method).response(),
    };
    rpc::result(visit.era, &id, result)
}

/// A notification is taken; none of them changes anything here.
async fn notify(gate: &Gate, visit: &Visit) -> Response<Body> {
    match greet(gate, visit).await {
        Ok(_actor) => plain(StatusCode::ACCEPTED),
        Err(refusal) => refuse::visit(gate, visit, None, &refusal),
    }
}

/// Sessions are sealed handles that nobody stores, so ending one is only acknowledged.
async fn end_session(gate: &Gate, upstream: UpstreamName, head: &Parts) -> Response<Body> {
    if !head.headers.contains_key(session::HEADER) {
        return not_allowed();
    }
    let visit = Visit {
        credential: credential_of(gate, head),
        trace: gate.new_trace(),
        traceparent: None,
        task: None,
        era: Era::Legacy,
        takes_events: false,
        upstream,
    };
    if let Err(refused) = in_session(gate, &visit, &head.headers) {
        return refused.response();
    }
    match greet(gate, &visit).await {
        Ok(_actor) => plain(StatusCode::NO_CONTENT),
        Err(refusal) => refuse::visit(gate, &visit, None, &refusal),
    }
}

async fn greet(gate: &Gate, visit: &Visit) -> Result<identity::Actor, Refusal> {
    let credential = visit.credential.as_ref();
    admit::greet(gate, credential, Edge::Mcp, &visit.upstream, visit.trace).await
}

/// Checks that the session was opened here by the agent that the token names. The token itself is verified where the
/// actor is made; a token that lies about its agent gets no further than that.
fn in_session(gate: &Gate, visit: &Visit, headers: &HeaderMap) -> Result<(), Wrong> {
    let handle = credential::single(headers, session::HEADER).ok_or_else(|| {
        Wrong::new(
            StatusCode::BAD_REQUEST,
            rpc::INVALID_REQUEST,
            "no session: send `initialize` first",
        )
    })?;
    // Without a credential there is nobody to compare with: the flow answers that with 401.
    let Some(credential) = &visit.credential else { return Ok(()) };
    let claimed = session::claimed_agent(credential.token());
    let owner = session::open(gate, &visit.upstream, handle);
    if owner.is_some() && (claimed.is_none() || owner == claimed) {
        return Ok(());
    }
    let what = "the session is not known: send `initialize` again";
    Err(Wrong::new(StatusCode::NOT_FOUND, rpc::INVALID_REQUEST, what))
}

async fn read<B>(headers: &HeaderMap, body: B, limit: usize) -> Result<Message, (Wrong, Code)>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let wrong = |status, what: &str| Wrong::new(status, rpc::INVALID_REQUEST, what);
    let kind = credential::single(headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json")
        || headers.contains_key(header::CONTENT_ENCODING)
    {
        let what = "send `content-type: application/json`, without content encoding";
        return Err((wrong(StatusCode::UNSUPPORTED_MEDIA_TYPE, what), Code::ProtocolInvalid));
    }
    let collected = Limited::new(body, limit).collect();
    let bytes = match tokio::time::timeout(limits::REQUEST_BODY_TIME, collected).await {
        Err(_) => {
            let what = "the body did not arrive in time";
            return Err((wrong(StatusCode::REQUEST_TIMEOUT, what), Code::ProtocolInvalid));
        }
        Ok(Err(_)) => {
            let what = format!("the body is longer than {limit} bytes: send less");
            return Err((wrong(StatusCode::PAYLOAD_TOO_LARGE, &what), Code::BodyTooLarge));
        }
        Ok(Ok(collected)) => collected.to_bytes(),
    };
    rpc::read(&bytes)
}

fn visit(gate: &Gate, upstream: UpstreamName, head: &Parts, message: &Message, era: Era) -> Visit {
    let meta = |name: &str| message.meta(name).and_then(Value::as_str);
    let of_header = || credential::single(&head.headers, "traceparent");
    let well_formed = |text: &&str| credential::trace_of(text).is_some();
    let traceparent =
        meta("traceparent").filter(well_formed).or_else(|| of_header().filter(well_formed));
    let trace = traceparent.and_then(credential::trace_of).unwrap_or_else(|| gate.new_trace());
    let accept = credential::single(&head.headers, header::ACCEPT.as_str()).unwrap_or_default();
    Visit {
        upstream,
        credential: credential_of(gate, head),
        trace,
        traceparent: traceparent.map(str::to_owned),
        task: task(message.meta(TASK), &head.headers),
        era,
        takes_events: accept.to_ascii_lowercase().contains("text/event-stream"),
    }
}

fn credential_of(gate: &Gate, head: &Parts) -> Option<Credential> {
    let url = format!("{}{}", gate.settings().base_url, head.uri.path());
    credential::read(&head.headers, head.method.as_str(), url)
}

/// The task reference of a call. One that cannot be read, or two that differ, name a task that does not exist: the
/// flow refuses and records that, rather than the call going on without its task.
fn task(meta: Option<&Value>, headers: &HeaderMap) -> Option<TaskId> {
    const NONE: TaskId = TaskId(0);
    let of_meta = meta.map(|value| value.as_str().and_then(TaskId::parse).unwrap_or(NONE));
    let of_header = headers
        .contains_key("ambit-task")
        .then(|| credential::task_of(headers).ok().flatten().unwrap_or(NONE));
    match (of_meta, of_header) {
        (Some(one), Some(other)) if one != other => Some(NONE),
        (one, other) => one.or(other),
    }
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn not_allowed() -> Response<Body> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    response
}

#[cfg(test)]
mod tests;
