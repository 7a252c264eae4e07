//! The doors `/mcp/{upstream}` and, for all upstreams, `/mcp`: streamable HTTP in revision 2026-07-28 and, for clients
//! that begin with `initialize`, 2025-11-25 and 2025-06-18. A message is read once, the flow is asked, and the answer is
//! written in the client's revision.

mod call;
mod door;
mod era;
mod lists;
pub(super) mod place;
mod reading;
mod refuse;
pub(in crate::wire) mod rpc;
mod session;
mod standing;
mod streams;

pub(in crate::wire) use door::of_path;
pub(crate) use streams::Streams;

use super::{Body, credential, full};
use crate::{
    ActionRequest, Answer, Edge, Gate, Outbound, Refusal, admit,
    execute::{answer_of, narrowed},
    json::object,
    limits,
    mediate::{Credential, Replying},
    seal::Purpose,
};
use ::http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts,
};
use bytes::Bytes;
use canonical::Value;
use door::{Door, Way};
use era::Era;
use identity::Actor;
use model::{Code, Name, TaskId, TraceId};
use rpc::{Kind, Message, Wrong};
use std::{error::Error, sync::Arc};
use upstream::mcp::{Capabilities, Conversation, Level, Party};

/// The task that a call belongs to, in `_meta`.
const TASK: &str = "dev.ambit/task";
/// The least severe log message that a client of 2026-07-28 wants, in `_meta`.
const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";

/// What the names of headers that repeat arguments begin with.
const MIRRORED: &str = "mcp-param-";

/// Answers one request at a door; without a way, at a path that is none.
pub(super) async fn handle<B>(
    gate: &Arc<Gate>,
    way: Option<Way>,
    request: Request<B>,
) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    let Some(way) = way else { return plain(StatusCode::NOT_FOUND) };
    if !place::is_ours(&gate.settings().base_url, &head) {
        let trace = gate.new_trace();
        let refusal = Refusal::new(Code::ProtocolInvalid, trace);
        gate.stranger(&refusal, Edge::Mcp, way.door.upstream());
        return plain(StatusCode::FORBIDDEN);
    }
    match head.method {
        Method::POST => post(gate, way, &head, body).await,
        Method::GET => listen(gate, way, &head).await,
        Method::DELETE => end_session(gate, way, &head).await,
        _ => not_allowed(),
    }
}

/// One message and everything that came with it; nothing in it is believed.
struct Visit {
    door: Door,
    /// Whether this door keeps silent about the token service.
    silent: bool,
    credential: Option<Credential>,
    trace: TraceId,
    traceparent: Option<String>,
    task: Option<TaskId>,
    era: Era,
    conversation: Conversation,
    /// Whether the client takes events as an answer.
    takes_events: bool,
    /// Headers that repeat arguments, by their names.
    mirrored: Vec<(String, String)>,
    /// Whether it knows the event without data that begins a stream (2025-11-25).
    knows_beginnings: bool,
}

async fn post<B>(gate: &Arc<Gate>, way: Way, head: &Parts, body: B) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let credential = credential_of(gate, head);
    let known = gate.knows(credential.as_ref());
    let limit = if known { limits::MCP_FRAME.bytes } else { limits::STRANGER_BODY };
    let read = match reading::read(&head.headers, body, limit).await {
        Ok(message) => match era::of(&message, &head.headers) {
            Ok(era) => Ok((message, era)),
            Err(wrong) => Err((wrong.about(&message), Code::ProtocolInvalid)),
        },
        Err(failed) => Err(failed),
    };
    let (message, era) = match read {
        Ok(read) => read,
        Err((wrong, code)) => {
            let refusal = Refusal::new(code, gate.new_trace());
            gate.stranger(&refusal, Edge::Mcp, way.door.upstream());
            return wrong.response();
        }
    };
    let mut visit = visit(gate, way, head, &message, era);
    if era == Era::Legacy
        && message.method != "initialize"
        && let Err(refused) = in_session(gate, &mut visit, &head.headers)
    {
        return refused.about(&message).response();
    }
    match message.kind {
        Kind::Notification => notify(gate, &visit, &message).await,
        Kind::Request(ref id) => respond(gate, visit, id.clone(), message).await,
        Kind::Response(handle, reply) => replied(gate, &visit, &handle, reply).await,
    }
}

async fn respond(gate: &Arc<Gate>, visit: Visit, id: Value, message: Message) -> Response<Body> {
    if let Some(method) = call::method_of(&message.method, visit.era) {
        return call::answer(gate, visit, id, method, message).await;
    }
    if message.method == "resources/list" {
        return resources(gate, visit, id, message).await;
    }
    let actor = match greet(gate, &visit).await {
        Ok(actor) => actor,
        Err(refusal) => return refuse::visit(gate, &visit, Some(&id), &refusal),
    };
    let (door, era) = (&visit.door, visit.era);
    let result = match (message.method.as_str(), era == Era::Modern) {
        ("initialize", false) => return initialize(gate, &visit, &actor, &id, &message),
        ("ping", false) => lists::nothing(),
        ("logging/setLevel", false) => {
            match Level::parse(message.text("level").unwrap_or_default()) {
                Some(level) => {
                    set_level(gate, &visit, &actor, level).await;
                    lists::nothing()
                }
                None => {
                    let what = "`params.level` is no level";
                    return Wrong::new(StatusCode::OK, rpc::INVALID_PARAMS, what).to(id).response();
                }
            }
        }
        ("server/discover", true) => lists::discovered(gate, door, &actor),
        ("subscriptions/listen", true) => {
            let none = lists::nothing();
            let filter = message.params.get("notifications").unwrap_or(&none);
            return standing::listen(gate, &visit, &actor, id, filter).await;
        }
        ("tools/list", _) => lists::tools(gate, door, &actor, era),
        ("resources/templates/list", _) => lists::templates(gate, door, &actor, era),
        ("prompts/list", _) => lists::prompts(gate, door, &actor, era),
        _ => return rpc::unknown_method(era, id, &message.method).response(),
    };
    rpc::result(era, &id, result)
}

fn initialize(
    gate: &Gate,
    visit: &Visit,
    actor: &Actor,
    id: &Value,
    message: &Message,
) -> Response<Body> {
    let none = lists::nothing();
    let declared = message.params.get("capabilities").unwrap_or(&none);
    let capabilities = Capabilities::declared(declared);
    let result = lists::initialized(gate, &visit.door, actor, &message.params);
    let response = rpc::result(visit.era, id, result);
    session::attach(gate, &visit.door, actor.agent(), capabilities, response)
}

/// The resources of an upstream change with its data: each list is an action of its own. The door of all asks one
/// upstream after another, a page at a time.
async fn resources(gate: &Arc<Gate>, visit: Visit, id: Value, message: Message) -> Response<Body> {
    if visit.door.upstream().is_some() {
        let actor = match greet(gate, &visit).await {
            Ok(actor) => actor,
            Err(refusal) => return refuse::visit(gate, &visit, Some(&id), &refusal),
        };
        if lists::listable(gate, &visit.door, &actor).is_empty() {
            return rpc::result(visit.era, &id, lists::list(visit.era, "resources", Vec::new()));
        }
        // What was shown with the list is used up by now.
        return call::list_resources(gate, visit, &actor, id, message).await;
    }
    let actor = match greet(gate, &visit).await {
        Ok(actor) => actor,
        Err(refusal) => return refuse::visit(gate, &visit, Some(&id), &refusal),
    };
    call::list_all_resources(gate, visit, &actor, id, message).await
}

/// How severe a log message must be, for each upstream that may send any.
async fn set_level(gate: &Arc<Gate>, visit: &Visit, actor: &Actor, level: Level) {
    let world = gate.world();
    let wide = Conversation { level: Some(level), ..visit.conversation };
    for upstream in visit.door.upstreams(gate, &world, actor) {
        let conversation = narrowed(gate, actor, &upstream, wide);
        if conversation.level.is_none() {
            continue;
        }
        let party = party(actor, conversation);
        let told = match gate.broker.lend_for_conversation(&upstream, &party) {
            Ok(credential) => gate.mcp.set_level(&gate.client, credential, &party).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = told {
            tracing::debug!(%upstream, %fault, "an upstream could not be told of a log level");
        }
    }
}

fn party(actor: &Actor, conversation: Conversation) -> Party {
    Party { agent: actor.agent().clone(), user: actor.user().cloned(), conversation }
}

/// A notification: a cancellation is carried to the call's upstream, the others change nothing here.
async fn notify(gate: &Gate, visit: &Visit, message: &Message) -> Response<Body> {
    match greet(gate, visit).await {
        Ok(_actor) => {
            if message.method == "notifications/cancelled"
                && let (Some(session), Some(id)) =
                    (visit.conversation.session, message.params.get("requestId"))
            {
                let known = streams::cancel(gate, session, id);
                tracing::debug!(known, "a client cancelled a call");
            }
            plain(StatusCode::ACCEPTED)
        }
        Err(refusal) => refuse::visit(gate, visit, None, &refusal),
    }
}

/// An answer to what an upstream asked: an action of its own, since it flows to the upstream.
async fn replied(
    gate: &Arc<Gate>,
    visit: &Visit,
    handle: &str,
    reply: Result<Value, Value>,
) -> Response<Body> {
    let unknown = || {
        let what = "nothing was asked under this id, or the question is too old";
        Wrong::new(StatusCode::BAD_REQUEST, rpc::INVALID_REQUEST, what).response()
    };
    let Some(held) = gate.unseal(Purpose::Question, handle) else { return unknown() };
    let text = |name: &str| held.get(name).and_then(Value::as_str).map(str::to_owned);
    let session = visit.conversation.session.map(|session| format!("{session:032x}"));
    let claimed = visit.credential.as_ref().map(|one| session::claimed_agent(one.token()));
    let owner = text("agent").and_then(|agent| Name::new(&agent).ok());
    let own = text("session") == session && claimed.is_none_or(|claimed| claimed == owner);
    let parts = (text("upstream").and_then(|name| Name::new(&name).ok()), text("operation"));
    let (true, (Some(upstream), Some(operation)), Some(reply_to)) =
        (own, parts, held.get("reply_to"))
    else {
        return unknown();
    };
    let nothing = || object([("phase", "answer".into())]);
    let request = ActionRequest {
        edge: Edge::Mcp,
        credential: visit.credential.clone(),
        upstream: upstream.clone(),
        aggregate: visit.door.is_aggregate(),
        arguments: answer_of(&operation, &reply).unwrap_or_else(nothing),
        operation,
        trace: visit.trace,
        traceparent: None,
        // An answer is given under the task of the call that it was asked in.
        task: visit.task.or_else(|| text("task").and_then(|task| TaskId::parse(&task))),
        outbound: Outbound::Reply(Box::new(Replying {
            reply_to: reply_to.clone(),
            user: text("user"),
            reply,
        })),
    };
    match gate.mediate(request).await {
        Answer::Refused(refusal) => {
            if let Some(agent) = owner.filter(|_| !refuse::is_stranger(refusal.code)) {
                let user = text("user").and_then(|user| model::UserName::new(&user).ok());
                let party = Party { agent, user, conversation: visit.conversation };
                decline(gate, upstream, party, reply_to.clone());
            }
            refuse::visit(gate, visit, None, &refusal)
        }
        Answer::Whole(_) | Answer::Stream(..) => plain(StatusCode::ACCEPTED),
    }
}

/// An upstream whose question may not be answered hears so, and does not wait.
fn decline(gate: &Arc<Gate>, upstream: model::UpstreamName, party: Party, reply_to: Value) {
    let running = gate.running.clone();
    let gate = Arc::clone(gate);
    running.spawn(async move {
        let told = match gate.broker.lend_for_conversation(&upstream, &party) {
            Ok(credential) => gate.mcp.decline(&gate.client, credential, &party, &reply_to).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = told {
            tracing::debug!(%upstream, %fault, "an upstream could not be told that nobody answers");
        }
    });
}

/// A stream that nobody asked for anything on: the standing one of a session, or the rest of one after an event.
async fn listen(gate: &Arc<Gate>, way: Way, head: &Parts) -> Response<Body> {
    if !head.headers.contains_key(session::HEADER) {
        return not_allowed();
    }
    let mut visit = unasked(gate, way, head);
    if let Err(refused) = in_session(gate, &mut visit, &head.headers) {
        return refused.response();
    }
    if !visit.takes_events {
        return plain(StatusCode::NOT_ACCEPTABLE);
    }
    let actor = match greet(gate, &visit).await {
        Ok(actor) => actor,
        Err(refusal) => return refuse::visit(gate, &visit, None, &refusal),
    };
    let session = visit.conversation.session.unwrap_or_default();
    match credential::single(&head.headers, "last-event-id") {
        Some(handle) => standing::resumed(gate, session, handle),
        None => standing::of_session(gate, &visit, &actor),
    }
}

/// A session's handle is stored by nobody. That it ended is remembered here, and what was opened upstream is closed.
async fn end_session(gate: &Arc<Gate>, way: Way, head: &Parts) -> Response<Body> {
    if !head.headers.contains_key(session::HEADER) {
        return not_allowed();
    }
    let mut visit = unasked(gate, way, head);
    if let Err(refused) = in_session(gate, &mut visit, &head.headers) {
        return refused.response();
    }
    let actor = match greet(gate, &visit).await {
        Ok(actor) => actor,
        Err(refusal) => return refuse::visit(gate, &visit, None, &refusal),
    };
    gate.streams.end_session(visit.conversation.session.unwrap_or_default());
    let world = gate.world();
    let party = party(&actor, visit.conversation);
    for upstream in visit.door.upstreams(gate, &world, &actor) {
        let ended = match gate.broker.lend_for_conversation(&upstream, &party) {
            Ok(credential) => gate.mcp.end(&gate.client, credential, &party).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = ended {
            tracing::debug!(%upstream, %fault, "a session could not be ended at an upstream");
        }
    }
    plain(StatusCode::NO_CONTENT)
}

async fn greet(gate: &Gate, visit: &Visit) -> Result<Actor, Refusal> {
    let credential = visit.credential.as_ref();
    admit::greet(gate, credential, Edge::Mcp, visit.door.upstream(), visit.trace).await
}

/// Checks that the session was opened here by the agent that the token names, and takes over what its handle holds. The
/// token itself is verified where the actor is made; a token that lies about its agent gets no further than that.
fn in_session(gate: &Gate, visit: &mut Visit, headers: &HeaderMap) -> Result<(), Wrong> {
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
    if let Some(session) = session::open(gate, &visit.door, handle)
        && !gate.streams.has_ended(session.number)
        && claimed.is_none_or(|claimed| claimed == session.agent)
    {
        visit.conversation.session = Some(session.number);
        visit.conversation.capabilities = session.capabilities;
        return Ok(());
    }
    let what = "the session is not known: send `initialize` again";
    Err(Wrong::new(StatusCode::NOT_FOUND, rpc::INVALID_REQUEST, what))
}

fn visit(gate: &Gate, way: Way, head: &Parts, message: &Message, era: Era) -> Visit {
    let meta = |name: &str| message.meta(name).and_then(Value::as_str);
    let of_header = || credential::single(&head.headers, "traceparent");
    let well_formed = |text: &&str| credential::trace_of(text).is_some();
    let traceparent =
        meta("traceparent").filter(well_formed).or_else(|| of_header().filter(well_formed));
    let mut visit = unasked(gate, way, head);
    visit.trace = traceparent.and_then(credential::trace_of).unwrap_or(visit.trace);
    visit.traceparent = traceparent.map(str::to_owned);
    visit.task = task(message.meta(TASK), &head.headers);
    visit.era = era;
    if era == Era::Modern {
        visit.conversation.capabilities =
            era::capabilities(message).map(Capabilities::declared).unwrap_or_default();
        visit.conversation.level = meta(LOG_LEVEL).and_then(Level::parse);
        visit.mirrored = mirrored(&head.headers);
    }
    visit
}

/// The headers of a request that repeat arguments; one that comes twice has no value that could be right.
fn mirrored(headers: &HeaderMap) -> Vec<(String, String)> {
    let named = headers.keys().filter(|name| name.as_str().starts_with(MIRRORED));
    let valued = named.map(|name| {
        let value = credential::single(headers, name.as_str()).unwrap_or_default();
        (name.as_str().to_owned(), value.to_owned())
    });
    valued.collect()
}

/// What comes without a message.
fn unasked(gate: &Gate, way: Way, head: &Parts) -> Visit {
    let accept = credential::single(&head.headers, header::ACCEPT.as_str()).unwrap_or_default();
    let [newest, ..] = era::LEGACY;
    Visit {
        door: way.door,
        silent: way.silent,
        credential: credential_of(gate, head),
        trace: gate.new_trace(),
        traceparent: None,
        task: None,
        era: Era::Legacy,
        conversation: Conversation::default(),
        mirrored: Vec::new(),
        takes_events: accept.to_ascii_lowercase().contains("text/event-stream"),
        knows_beginnings: credential::single(&head.headers, "mcp-protocol-version") == Some(newest),
    }
}

fn credential_of(gate: &Gate, head: &Parts) -> Option<Credential> {
    let url = format!("{}{}", gate.settings().base_url, head.uri.path());
    let read = credential::read(&head.headers, head.method.as_str(), url);
    read.map(|credential| credential.over(&head.extensions))
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
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST, GET, DELETE"));
    response
}

#[cfg(test)]
mod tests;
