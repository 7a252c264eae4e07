//! Requests that are actions: the message becomes an action request, and the flow's answer a response in the client's
//! revision.

use super::{
    Body, Visit,
    door::Door,
    era::{self, Era},
    refuse,
    rpc::{self, Message},
    streams,
};
use crate::{
    ActionRequest, Answer, Edge, Frame, Gate, Outbound, Refusal, execute, limits,
    mediate::{Head, McpTask, Reply},
};
use ::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use canonical::{Object, Value};
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame as HttpFrame;
use model::{Code, Name, UpstreamName, reserved};
use std::{pin::Pin, sync::Arc};
use tokio::sync::mpsc;
use upstream::mcp::{Capabilities, Inputs, Method, Outcome};

const ACCEL: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What an answer needs to know of its request.
pub(super) struct Asked {
    gate: Arc<Gate>,
    pub(super) era: Era,
    pub(super) id: Value,
    pub(super) method: Method,
    /// The tool, prompt or address that was asked for, as the client calls it.
    pub(super) name: String,
    /// Whose it is.
    upstream: Option<UpstreamName>,
    door: Door,
    /// What the client declared, for an upstream that wants more.
    declared: upstream::mcp::Capabilities,
    /// Whether answers of an earlier round came with it.
    has_inputs: bool,
}

/// The request of the protocol that is an action; `None` if this method is none.
pub(super) fn method_of(name: &str, era: Era) -> Option<Method> {
    let all = [
        Method::CallTool,
        Method::ReadResource,
        Method::GetPrompt,
        Method::Complete,
        Method::Subscribe,
        Method::Unsubscribe,
        Method::GetTask,
        Method::UpdateTask,
        Method::CancelTask,
    ];
    let method = all.into_iter().find(|method| method.as_str() == name)?;
    let of_sessions = matches!(method, Method::Subscribe | Method::Unsubscribe);
    match era {
        Era::Legacy => !method.is_of_tasks(),
        Era::Modern => !of_sessions,
    }
    .then_some(method)
}

/// Takes one such request through the flow.
pub(super) async fn answer(
    gate: &Arc<Gate>,
    visit: Visit,
    id: Value,
    method: Method,
    message: Message,
) -> Response<Body> {
    let (request, asked) = match request(gate, &visit, id.clone(), method, message) {
        Ok(parts) => parts,
        Err(wrong) => return wrong.to(id).response(),
    };
    if let Err(wrong) = mirrored(gate, &visit, &request) {
        return wrong.to(id).response();
    }
    match visit.conversation.session {
        Some(session) if visit.takes_events => {
            in_session(gate, visit, asked, request, session).await
        }
        _ => match gate.mediate(request).await {
            Answer::Stream(Head::Mcp, frames) => events(asked, frames),
            whole => asked.whole(&visit, whole),
        },
    }
}

/// `Mcp-Param-*` repeat arguments that the tool's definition names; the body is what counts.
fn mirrored(gate: &Gate, visit: &Visit, request: &ActionRequest) -> Result<(), rpc::Wrong> {
    if visit.era == Era::Legacy {
        return Ok(());
    }
    let action = model::ActionId::new(request.upstream.clone(), &request.operation);
    let expected = action.ok().and_then(|action| gate.mcp.mirrored(&action, &request.arguments));
    let expected = expected.unwrap_or_default();
    let names = visit.mirrored.iter().map(|(name, _)| name.as_str());
    for name in expected.keys().map(HeaderName::as_str).chain(names) {
        let given = visit.mirrored.iter().find(|(given, _)| given == name);
        let given = given.map(|(_, value)| era::decode(value));
        let wanted = expected.get(name).and_then(|value| value.to_str().ok()).map(era::decode);
        // A header that nobody asked for says nothing that could be believed.
        if wanted.is_some() && wanted != given {
            let what = format!("`{name}` must come once and equal the argument that it repeats");
            return Err(rpc::Wrong::new(StatusCode::BAD_REQUEST, rpc::HEADER_MISMATCH, what));
        }
    }
    Ok(())
}

fn request(
    gate: &Arc<Gate>,
    visit: &Visit,
    id: Value,
    method: Method,
    mut message: Message,
) -> Result<(ActionRequest, Asked), rpc::Wrong> {
    let invalid = |what: &str| rpc::Wrong::new(StatusCode::BAD_REQUEST, rpc::INVALID_PARAMS, what);
    let progress = message.meta("progressToken").filter(|token| is_token(token)).cloned();
    let inputs = inputs(&mut message, visit.era, method)?;
    if method.is_of_tasks() && !visit.conversation.capabilities.has(Capabilities::TASKS) {
        return Err(rpc::undeclared_tasks());
    }
    let (named, arguments) = named(gate, &visit.door, method, &mut message).map_err(invalid)?;
    let conversation = visit.conversation;
    let (upstream, inner) = match named.place {
        Some(place) => place,
        // At the door of all, a name without an upstream is one that does not exist.
        None => (absent(), format!("{} {}", method.as_str(), named.name)),
    };
    let operation = match method.operation() {
        Some(operation) => operation.to_owned(),
        // No tool has the name of a method: what calls itself so is what does not exist.
        None if reserved::is_reserved(&inner) => format!("{} {inner}", method.as_str()),
        None => inner,
    };
    let asked = Asked {
        gate: Arc::clone(gate),
        era: visit.era,
        id,
        method,
        name: named.name,
        upstream: Some(upstream.clone()),
        door: visit.door.clone(),
        declared: conversation.capabilities,
        has_inputs: inputs.is_some(),
    };
    let request = ActionRequest {
        edge: Edge::Mcp,
        credential: visit.credential.clone(),
        upstream,
        aggregate: visit.door.is_aggregate(),
        operation,
        arguments,
        trace: visit.trace,
        traceparent: visit.traceparent.clone(),
        task: visit.task,
        outbound: Outbound::Mcp {
            method,
            conversation,
            progress: progress.filter(|_| visit.takes_events),
            inputs,
            mcp_task: named.mcp_task,
        },
    };
    Ok((request, asked))
}

/// A well-formed name that no upstream is looked for under: refusals need one.
fn absent() -> UpstreamName {
    #[expect(clippy::expect_used, reason = "a constant that a test reads")]
    Name::new("none").expect("`none` is a name")
}

/// What a request names.
struct Named {
    /// As the client calls it.
    name: String,
    /// Whose it is, and its name there.
    place: Option<(UpstreamName, String)>,
    /// Of a task: for whom it was begun.
    mcp_task: Option<Box<McpTask>>,
}

/// What a request names, and its arguments with the names that its upstream knows.
fn named(
    gate: &Gate,
    door: &Door,
    method: Method,
    message: &mut Message,
) -> Result<(Named, Value), &'static str> {
    let Value::Object(params) = &mut message.params else {
        return Err("`params` must be an object");
    };
    drop(params.remove("_meta"));
    let none = || Value::Object(Object::new());
    match method {
        Method::CallTool => {
            let name = text(params, "name").ok_or("`params.name` must be text")?;
            let place = door.place(&name);
            let arguments = params.remove("arguments").unwrap_or_else(none);
            Ok((Named { name, place, mcp_task: None }, arguments))
        }
        Method::ReadResource | Method::Subscribe | Method::Unsubscribe => {
            let name = text(params, "uri").ok_or("`params.uri` must be text")?;
            let place = door.place_of_uri(&name);
            replace(params, "uri", place.as_ref());
            let named = Named { name, place, mcp_task: None };
            Ok((named, std::mem::replace(&mut message.params, none())))
        }
        Method::GetPrompt => {
            let name = text(params, "name").ok_or("`params.name` must be text")?;
            let place = door.place(&name);
            replace(params, "name", place.as_ref());
            let named = Named { name, place, mcp_task: None };
            Ok((named, std::mem::replace(&mut message.params, none())))
        }
        Method::Complete => {
            let Some(Value::Object(reference)) = params.get_mut("ref") else {
                return Err("`params.ref` must be an object");
            };
            let by_uri = reference.contains("uri");
            let member = if by_uri { "uri" } else { "name" };
            let name = text(reference, member).ok_or("`params.ref` must name something")?;
            let place = if by_uri { door.place_of_uri(&name) } else { door.place(&name) };
            replace(reference, member, place.as_ref());
            let named = Named { name, place, mcp_task: None };
            Ok((named, std::mem::replace(&mut message.params, none())))
        }
        Method::GetTask | Method::UpdateTask | Method::CancelTask => {
            let name = text(params, "taskId").ok_or("`params.taskId` must be text")?;
            let opened = execute::opened(gate, &name);
            let opened = opened.filter(|(upstream, ..)| match door.upstream() {
                Some(own) => own == upstream,
                None => true,
            });
            let (place, mcp_task) = match opened {
                Some((upstream, id, task)) => (Some((upstream, id)), Some(Box::new(task))),
                None => (door.upstream().map(|upstream| (upstream.clone(), name.clone())), None),
            };
            replace(params, "taskId", place.as_ref());
            let named = Named { name, place, mcp_task };
            Ok((named, std::mem::replace(&mut message.params, none())))
        }
        Method::ListResources => {
            let name = String::new();
            let place = door.upstream().map(|upstream| (upstream.clone(), String::new()));
            let named = Named { name, place, mcp_task: None };
            Ok((named, std::mem::replace(&mut message.params, none())))
        }
    }
}

fn text(object: &Object, name: &str) -> Option<String> {
    object.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn replace(object: &mut Object, member: &str, place: Option<&(UpstreamName, String)>) {
    if let (Some(value), Some((_, inner))) = (object.get_mut(member), place) {
        *value = Value::from(inner.as_str());
    }
}

/// Answers of an earlier round.
fn inputs(
    message: &mut Message,
    era: Era,
    method: Method,
) -> Result<Option<Box<Inputs>>, rpc::Wrong> {
    let invalid = |what: &str| {
        Err(rpc::Wrong::new(StatusCode::BAD_REQUEST, rpc::INVALID_PARAMS, what.to_owned()))
    };
    if era == Era::Legacy || !method.takes_answers() {
        return Ok(None);
    }
    let Value::Object(params) = &mut message.params else { return Ok(None) };
    let (responses, state) = (params.remove("inputResponses"), params.remove("requestState"));
    let state = match state {
        None => None,
        Some(Value::String(state)) => Some(state),
        Some(_) => return invalid("`requestState` must be the text that was given"),
    };
    let responses = match responses {
        None if state.is_none() => return Ok(None),
        None => Value::Object(Object::new()),
        Some(Value::Object(responses)) => {
            if responses.iter().any(|(_, response)| response.as_object().is_none()) {
                return invalid("each of `inputResponses` must be an object");
            }
            Value::Object(responses)
        }
        Some(_) => return invalid("`inputResponses` must be an object"),
    };
    Ok(Some(Box::new(Inputs { responses, state })))
}

/// A call of a legacy session: one that takes long becomes a stream that can be left and taken up again, and each can be
/// cancelled by its id.
async fn in_session(
    gate: &Arc<Gate>,
    visit: Visit,
    asked: Asked,
    request: ActionRequest,
    session: u128,
) -> Response<Body> {
    let call = streams::cancellable(gate, session, &asked.id);
    let mut work: Work = Box::pin({
        let gate = Arc::clone(gate);
        async move { gate.mediate(request).await }
    });
    let begun = tokio::select! {
        answer = &mut work => match answer {
            Answer::Stream(Head::Mcp, frames) => Begun::Frames(frames),
            whole => return asked.whole(&visit, whole),
        },
        () = call.token.cancelled() => return ended(),
        () = tokio::time::sleep(limits::MCP_PATIENCE) => Begun::Waiting(work),
    };
    let kept = streams::open(gate, session);
    // Clients of earlier revisions read an event without data as a message.
    let beginning = visit.knows_beginnings.then(|| kept.beginning(gate));
    let body = StreamBody::new(kept.read(beginning, 0)).boxed_unsync();
    let gate = Arc::clone(gate);
    gate.running.clone().spawn(async move {
        let carried = carry(&gate, &visit, &asked, begun, &kept);
        tokio::select! {
            () = carried => {}
            () = call.token.cancelled() => {}
        }
        kept.end(&gate);
    });
    stream_response(body)
}

type Work = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What has begun when an answer becomes a stream.
enum Begun {
    Waiting(Work),
    Frames(mpsc::Receiver<Frame>),
}

/// Carries an answer into a stream. Dropping this cancels the call at its upstream.
async fn carry(
    gate: &Arc<Gate>,
    visit: &Visit,
    asked: &Asked,
    begun: Begun,
    kept: &Arc<streams::Kept>,
) {
    let mut frames = match begun {
        Begun::Frames(frames) => frames,
        Begun::Waiting(work) => match work.await {
            Answer::Stream(Head::Mcp, frames) => frames,
            whole => {
                let last = asked.last(visit, whole);
                let _nobody_reads = kept.send(gate, &last).await.is_err();
                return;
            }
        },
    };
    while let Some(frame) = frames.recv().await {
        let Some((message, is_last)) = asked.frame(frame) else { return };
        if kept.send(gate, &message).await.is_err() || is_last {
            return;
        }
    }
}

impl Asked {
    /// The response of a complete answer.
    fn whole(&self, visit: &Visit, answer: Answer) -> Response<Body> {
        match answer {
            Answer::Whole(Reply::Mcp(outcome)) => {
                let status = match outcome.missing_capability() {
                    Some(_) if self.era == Era::Modern => StatusCode::BAD_REQUEST,
                    _ => StatusCode::OK,
                };
                rpc::answer(status, &self.outcome(outcome))
            }
            Answer::Refused(refusal) => match refuse::action(&self.gate, visit, self, &refusal) {
                Ok(message) => rpc::answer(StatusCode::OK, &message),
                Err(response) => *response,
            },
            Answer::Whole(Reply::Http(_)) | Answer::Stream(..) => {
                rpc::answer(StatusCode::OK, &refuse::told(self, &self.crossed(visit)))
            }
        }
    }

    /// The last message of a stream whose answer came whole.
    fn last(&self, visit: &Visit, answer: Answer) -> Value {
        match answer {
            Answer::Whole(Reply::Mcp(outcome)) => self.outcome(outcome),
            Answer::Refused(refusal) => match refuse::action(&self.gate, visit, self, &refusal) {
                Ok(message) => message,
                // The status has gone out: what is left to say is the code.
                Err(_) => refuse::told(self, &refusal),
            },
            Answer::Whole(Reply::Http(_)) | Answer::Stream(..) => {
                refuse::told(self, &self.crossed(visit))
            }
        }
    }

    /// The message of a frame, and whether it is the last; `None` if the answer broke off.
    fn frame(&self, frame: Frame) -> Option<(Value, bool)> {
        match frame {
            Frame::Message(message) => Some((message, false)),
            Frame::Last(Reply::Mcp(outcome)) => Some((self.outcome(outcome), true)),
            Frame::Broken(refusal) => Some((refuse::told(self, &refusal), true)),
            Frame::Bytes(_) | Frame::Last(Reply::Http(_)) => None,
        }
    }

    fn outcome(&self, outcome: Outcome) -> Value {
        if let Some(missing) = outcome.missing_capability()
            && (self.era == Era::Legacy || self.declared.has(declared(missing)))
        {
            // The client offers it, or cannot be told in its revision: it is the catalog that does not.
            let refusal = Refusal::new(Code::ResultWithheld, model::TraceId(1));
            let why = "the upstream needs something of the client that is not granted";
            return refuse::told(self, &refusal.with(why));
        }
        if outcome.is_protocol_error() {
            return rpc::error_message(Some(&self.id), outcome.into_value());
        }
        let kind = match (outcome.asks(), outcome.is_task()) {
            (true, _) => Some("input_required"),
            (false, true) => Some("task"),
            (false, false) => None,
        };
        let mut result = outcome.into_value();
        if let Some(kind) = kind {
            if let Value::Object(members) = &mut result {
                let _inserted = members.insert("resultType", kind).is_ok();
            }
        } else {
            self.finish(&mut result);
        }
        rpc::result_message(self.era, &self.id, result)
    }

    /// For whom and how long a result may be kept, and its names at this door.
    fn finish(&self, result: &mut Value) {
        let kept = matches!(self.method, Method::ReadResource | Method::ListResources);
        let Value::Object(members) = result else { return };
        if self.method == Method::GetTask {
            // Clients know a task by the handle that they were given.
            drop(members.remove("taskId"));
            let _known = members.insert("taskId", self.name.as_str()).is_ok();
            return;
        }
        let ttl = members.remove("ttlMs").filter(|ttl| ttl.as_u64().is_some());
        if kept && self.era == Era::Modern {
            let ttl = ttl.unwrap_or(Value::Integer(0));
            let _new = [members.insert("cacheScope", "private"), members.insert("ttlMs", ttl)];
        }
        if let (Method::ReadResource, Some(upstream)) = (self.method, &self.upstream)
            && let Some(contents) = members.get_mut("contents")
        {
            self.door.rename(upstream, contents, "uri");
        }
    }

    pub(super) fn has_inputs(&self) -> bool {
        self.has_inputs
    }

    /// Whether clients check this tool's results against an output schema.
    pub(super) fn shows_structure(&self) -> bool {
        let Some((upstream, tool)) = self.door.place(&self.name) else { return false };
        let action = model::ActionId::new(upstream, &tool);
        let world = self.gate.world();
        let definition = action.ok().and_then(|action| world.definitions.get(&action).cloned());
        self.method == Method::CallTool
            && definition.is_some_and(|definition| definition.get("outputSchema").is_some())
    }

    /// Whether the arguments are wrong because they name no pinned prompt.
    pub(super) fn is_no_prompt(&self, code: Code) -> bool {
        if self.method != Method::GetPrompt || code != Code::ArgumentsInvalid {
            return false;
        }
        let place = self.door.place(&self.name);
        let action = self
            .upstream
            .clone()
            .map(|upstream| model::ActionId::new(upstream, reserved::GET_PROMPT));
        let world = self.gate.world();
        let pinned = action.and_then(Result::ok).and_then(|action| world.definitions.get(&action));
        let prompts = pinned.and_then(|pinned| pinned.get("prompts")).and_then(Value::as_array);
        let name = place.as_ref().map(|(_, name)| name.as_str());
        !prompts
            .unwrap_or_default()
            .iter()
            .any(|one| one.get("name").and_then(Value::as_str) == name)
    }

    /// The flow answers an MCP request with an MCP reply; anything else is a fault of our own.
    fn crossed(&self, visit: &Visit) -> Refusal {
        Refusal::new(Code::UpstreamInvalid, visit.trace)
    }
}

fn declared(capabilities: &Value) -> upstream::mcp::Capabilities {
    upstream::mcp::Capabilities::declared(capabilities)
}

/// The answer as server-sent events. The flow sends the last frame after its outcome is durable; dropping the body
/// drops the receiver, which the flow takes as cancellation.
fn events(asked: Asked, frames: mpsc::Receiver<Frame>) -> Response<Body> {
    let stream = stream::unfold(Some((asked, frames)), |state| async move {
        let (asked, mut frames) = state?;
        let (bytes, go_on) = match tokio::time::timeout(limits::MCP_KEEP_ALIVE, frames.recv()).await
        {
            Err(_) => (Bytes::from_static(b":\n\n"), true),
            Ok(frame) => match frame.and_then(|frame| asked.frame(frame)) {
                Some((message, is_last)) => (event(&message), !is_last),
                None => return Some((Err(std::io::Error::other("the answer broke off")), None)),
            },
        };
        let rest = go_on.then_some((asked, frames));
        Some((Ok(HttpFrame::data(bytes)), rest))
    });
    stream_response(StreamBody::new(stream).boxed_unsync())
}

/// A stream that is over: its request was cancelled, and nobody waits for an answer.
fn ended() -> Response<Body> {
    stream_response(super::full(Bytes::new()))
}

pub(super) fn stream_response(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ACCEL, HeaderValue::from_static("no"));
    response
}

pub(super) fn event(message: &Value) -> Bytes {
    let mut bytes = b"event: message\ndata: ".to_vec();
    // Canonical JSON escapes line breaks, so that one message is one `data` line.
    message.write(&mut bytes);
    bytes.extend_from_slice(b"\n\n");
    bytes.into()
}

fn is_token(token: &Value) -> bool {
    match token {
        Value::Integer(_) => true,
        Value::String(text) => text.len() <= limits::MCP_ID,
        _ => false,
    }
}

/// One page of the resources of this door's upstream.
pub(super) async fn list_resources(
    gate: &Arc<Gate>,
    visit: Visit,
    actor: &identity::Actor,
    id: Value,
    message: Message,
) -> Response<Body> {
    let (request, asked) = match request(gate, &visit, id.clone(), Method::ListResources, message) {
        Ok(parts) => parts,
        Err(wrong) => return wrong.to(id).response(),
    };
    let answer = gate.mediate_for(actor, request).await;
    asked.whole(&visit, answer)
}

/// The resources of all upstreams behind this door: a page of one upstream at a time, whose cursor says where to go on.
pub(super) async fn list_all_resources(
    gate: &Arc<Gate>,
    visit: Visit,
    actor: &identity::Actor,
    id: Value,
    message: Message,
) -> Response<Body> {
    let upstreams = super::lists::listable(gate, &visit.door, actor);
    let cursor = message.text("cursor").and_then(|cursor| visit.door.place_of_uri(cursor));
    let from = match &cursor {
        Some((upstream, _)) => upstreams.iter().position(|one| one == upstream),
        None => Some(0),
    };
    let Some((at, upstream)) = from.and_then(|at| Some((at, upstreams.get(at)?.clone()))) else {
        let empty = super::lists::list(visit.era, "resources", Vec::new());
        return rpc::result(visit.era, &id, empty);
    };
    let own = cursor.map(|(_, cursor)| cursor).filter(|cursor| !cursor.is_empty());
    let params = own.map(|cursor| ("cursor", Value::String(cursor)));
    let message = Message { params: crate::json::object(params), ..message };
    let (mut request, asked) =
        match request(gate, &visit, id.clone(), Method::ListResources, message) {
            Ok(parts) => parts,
            Err(wrong) => return wrong.to(id).response(),
        };
    request.upstream = upstream.clone();
    let answer = match gate.mediate_for(actor, request).await {
        Answer::Whole(Reply::Mcp(outcome)) if !outcome.is_protocol_error() => {
            let mut page = outcome.into_value();
            super::lists::resources(&visit.door, &upstream, &mut page);
            let next = upstreams.get(at.saturating_add(1));
            go_on(&visit.door, &mut page, &upstream, next);
            let page = page.as_object().cloned().unwrap_or_default();
            Answer::Whole(Reply::Mcp(Outcome::of_result(page)))
        }
        other => other,
    };
    asked.whole(&visit, answer)
}

/// Where a page goes on: with the same upstream's next page, or with the next upstream.
fn go_on(door: &Door, page: &mut Value, upstream: &UpstreamName, next: Option<&UpstreamName>) {
    let Some(page) = page.as_object_mut() else { return };
    let own = page.remove("nextCursor").and_then(|own| own.as_str().map(str::to_owned));
    let cursor = match (own, next) {
        (Some(own), _) => Some(door.shown_uri(upstream, &own)),
        (None, Some(next)) => Some(door.shown_uri(next, "")),
        (None, None) => None,
    };
    if let Some(cursor) = cursor {
        let _inserted = page.insert("nextCursor", cursor).is_ok();
    }
}
