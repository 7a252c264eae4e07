//! Streams on which clients hear what nobody asked for: the standing stream of a legacy session, and
//! `subscriptions/listen`. Nothing comes through that is not catalogued for the agent, and neither outlives its token.

use super::{Body, Visit, call, door::Door, refuse, streams};
use crate::{
    Gate, Refusal,
    execute::{Initiator, decide_initiated, narrowed},
    json::object,
    limits,
    stops::Watch,
};
use ::http::{Response, StatusCode};
use bytes::Bytes;
use canonical::{Object, Value};
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use identity::Actor;
use model::{Code, TraceId, UpstreamName, reserved};
use policy::Subjects;
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use upstream::mcp::{Conversation, Party};

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// What a client wants to hear of.
struct Listening {
    door: Door,
    actor: Actor,
    conversation: Conversation,
    trace: TraceId,
    /// The filter and the id of `subscriptions/listen`; a legacy session hears all.
    wanted: Option<(Value, Value)>,
}

/// The standing stream of a legacy session.
pub(super) fn of_session(gate: &Arc<Gate>, visit: &Visit, actor: &Actor) -> Response<Body> {
    let listening = Listening {
        door: visit.door.clone(),
        actor: actor.following(),
        conversation: visit.conversation,
        trace: visit.trace,
        wanted: None,
    };
    match listening.watch(gate, listening.door.upstream()) {
        Ok(watch) => open(gate, listening, watch, None),
        Err(code) => refuse::visit(gate, visit, None, &Refusal::new(code, visit.trace)),
    }
}

/// `subscriptions/listen`: first what of the filter is honoured, then what fits it.
pub(super) async fn listen(
    gate: &Arc<Gate>,
    visit: &Visit,
    actor: &Actor,
    id: Value,
    filter: &Value,
) -> Response<Body> {
    let honoured = honoured(gate, visit, actor, filter).await;
    let acknowledged = notification(
        "notifications/subscriptions/acknowledged",
        vec![("notifications", honoured.clone())],
        Some(&id),
    );
    let listening = Listening {
        door: visit.door.clone(),
        actor: actor.following(),
        conversation: Conversation { session: None, ..visit.conversation },
        trace: visit.trace,
        wanted: Some((honoured, id.clone())),
    };
    match listening.watch(gate, listening.door.upstream()) {
        Ok(watch) => open(gate, listening, watch, Some(acknowledged)),
        Err(code) => refuse::visit(gate, visit, Some(&id), &Refusal::new(code, visit.trace)),
    }
}

impl Listening {
    /// Its eye on who is stopped, as far as this upstream goes; an error if it may not listen any more.
    fn watch(&self, gate: &Arc<Gate>, upstream: Option<&UpstreamName>) -> Result<Watch, Code> {
        let world = gate.world();
        let agent = world.compiled.agent(self.actor.agent()).ok_or(Code::Revoked)?;
        let tasks = gate.line_of(self.actor.task());
        let subjects = Subjects::of_listener(&(&self.actor).into(), agent, &tasks, upstream);
        Watch::of_listener(gate, subjects)
    }
}

/// What of a filter is honoured: changes of lists, and the resources that the agent may watch.
async fn honoured(gate: &Arc<Gate>, visit: &Visit, actor: &Actor, filter: &Value) -> Value {
    let mut kept = Vec::new();
    for name in ["promptsListChanged", "resourcesListChanged", "toolsListChanged"] {
        if filter.get(name).and_then(Value::as_bool) == Some(true) {
            kept.push((name, Value::Bool(true)));
        }
    }
    let mut watched = Vec::new();
    let asked = filter.get("resourceSubscriptions").and_then(Value::as_array).unwrap_or_default();
    for uri in asked.iter().filter_map(Value::as_str).take(limits::MCP_WATCHED) {
        let Some((upstream, inner)) = visit.door.place_of_uri(uri) else { continue };
        let initiator = Initiator::standing(actor, upstream, visit.conversation, visit.trace);
        let arguments = object([("uri", inner.into())]);
        let decided = decide_initiated(gate, &initiator, reserved::SUBSCRIBE, arguments).await;
        if decided.is_ok() {
            watched.push(Value::from(uri));
        }
    }
    if !watched.is_empty() {
        kept.push(("resourceSubscriptions", Value::Array(watched)));
    }
    object(kept)
}

fn open(
    gate: &Arc<Gate>,
    listening: Listening,
    mut watch: Watch,
    first: Option<Value>,
) -> Response<Body> {
    let Ok(seat) = Arc::clone(&gate.streams.standing).try_acquire_owned() else {
        return super::plain(StatusCode::SERVICE_UNAVAILABLE);
    };
    let (sender, receiver) = mpsc::channel(limits::STREAM_FRAMES);
    let over = CancellationToken::new();
    let listening = Arc::new(listening);
    let world = gate.world();
    for upstream in listening.door.upstreams(gate, &world, &listening.actor) {
        let (gate, listening) = (Arc::clone(gate), Arc::clone(&listening));
        let (sender, over) = (sender.clone(), over.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = hear(&gate, &listening, upstream, &sender) => {}
                () = over.cancelled() => {}
            }
        });
    }
    let attending = {
        let gate = Arc::clone(gate);
        let over = over.clone();
        async move {
            tokio::select! {
                () = attend(&gate, &listening, sender) => over.cancel(),
                // Whoever stopped it is answered after nothing more can come through.
                _code = watch.cut(Duration::ZERO) => over.cancel(),
                () = over.cancelled() => {}
            }
            drop((watch, seat));
        }
    };
    tokio::spawn(attending);
    events(receiver, over, first)
}

/// Tells of changes of Ambit's own lists until the caller may not listen any more.
async fn attend(gate: &Arc<Gate>, listening: &Listening, sender: mpsc::Sender<Value>) {
    let mut published = gate.published.subscribe();
    published.mark_unchanged();
    loop {
        let changed = tokio::time::timeout(limits::STREAM_CHECK, published.changed()).await;
        let world = gate.world();
        let actor = &listening.actor;
        let stands =
            crate::admit::identify::standing(gate, &world, actor, listening.door.upstream());
        if stands.is_err() || actor.expires() <= gate.clock.now() || !gate.is_admitting() {
            return;
        }
        if changed.is_err() {
            continue;
        }
        for kind in ["prompts", "resources", "tools"] {
            let method = format!("notifications/{kind}/list_changed");
            let told = object([("jsonrpc", "2.0".into()), ("method", method.into())]);
            if let Some(told) = fitting(listening, told)
                && sender.send(told).await.is_err()
            {
                return;
            }
        }
    }
}

/// Hands on what one upstream sends, for as long as it does and is not stopped.
async fn hear(
    gate: &Arc<Gate>,
    listening: &Listening,
    upstream: UpstreamName,
    sender: &mpsc::Sender<Value>,
) {
    loop {
        if let Ok(mut watch) = listening.watch(gate, Some(&upstream)) {
            tokio::select! {
                over = hear_once(gate, listening, &upstream, sender) => if over { return },
                _code = watch.cut(Duration::ZERO) => {}
            }
        }
        tokio::time::sleep(limits::STANDING_PAUSE).await;
    }
}

/// Until the upstream's stream has ended; whether there is nothing more to hear at all.
async fn hear_once(
    gate: &Arc<Gate>,
    listening: &Listening,
    upstream: &UpstreamName,
    sender: &mpsc::Sender<Value>,
) -> bool {
    let conversation = narrowed(gate, &listening.actor, upstream, listening.conversation);
    let party = Party {
        agent: listening.actor.agent().clone(),
        user: listening.actor.user().cloned(),
        conversation,
    };
    let wanted = listening.wanted.as_ref().map(|(filter, _)| inner(filter, listening, upstream));
    let wanted = wanted.unwrap_or(Value::Null);
    let mut initiator =
        Initiator::standing(&listening.actor, upstream.clone(), conversation, listening.trace);
    let credential = gate.broker.lend_for_conversation(upstream, &party);
    let opened = match credential {
        Ok(credential) => gate.mcp.standing(&gate.client, credential, &party, &wanted).await,
        Err(fault) => Err(fault),
    };
    match opened {
        Ok(Some(mut messages)) => {
            while let Some(Ok(message)) = messages.next().await {
                let told = initiator.hand_on(gate, &messages, message).await;
                let told = told.map(|told| shown(listening, upstream, told));
                if let Some(told) = told.and_then(|told| fitting(listening, told))
                    && sender.send(told).await.is_err()
                {
                    return true;
                }
            }
            false
        }
        // It has no such stream.
        Ok(None) => true,
        Err(fault) => {
            tracing::debug!(%upstream, %fault, "a standing stream could not be opened");
            false
        }
    }
}

/// The filter with the resources of one upstream by their names there.
fn inner(filter: &Value, listening: &Listening, upstream: &UpstreamName) -> Value {
    let mut filter = filter.clone();
    if let Value::Object(members) = &mut filter
        && let Some(Value::Array(uris)) = members.get_mut("resourceSubscriptions")
    {
        let own = uris.iter().filter_map(|uri| {
            let (of, inner) = listening.door.place_of_uri(uri.as_str()?)?;
            (of == *upstream).then_some(Value::String(inner))
        });
        *uris = own.collect();
    }
    filter
}

/// A changed resource by its name at this door.
fn shown(listening: &Listening, upstream: &UpstreamName, mut told: Value) -> Value {
    if let Value::Object(message) = &mut told
        && let Some(Value::Object(params)) = message.get_mut("params")
        && let Some(place) = params.get_mut("uri")
        && let Some(uri) = place.as_str()
    {
        *place = Value::String(listening.door.shown_uri(upstream, uri));
    }
    told
}

/// A notification as a subscription gets it: only what it wants, under its id.
fn fitting(listening: &Listening, told: Value) -> Option<Value> {
    let Some((filter, id)) = &listening.wanted else { return Some(told) };
    let method = told.get("method").and_then(Value::as_str)?;
    let params = told.get("params").and_then(Value::as_object);
    let uri = params.and_then(|params| params.get("uri"));
    let wants = |name: &str| filter.get(name).and_then(Value::as_bool) == Some(true);
    let fits = match method {
        "notifications/prompts/list_changed" => wants("promptsListChanged"),
        "notifications/resources/list_changed" => wants("resourcesListChanged"),
        "notifications/tools/list_changed" => wants("toolsListChanged"),
        "notifications/resources/updated" => {
            let watched = filter.get("resourceSubscriptions").and_then(Value::as_array);
            uri.is_some_and(|uri| watched.unwrap_or_default().contains(uri))
        }
        _ => false,
    };
    let members = params.into_iter().flat_map(Object::iter);
    let members = members.map(|(name, value)| (name, value.clone())).collect();
    fits.then(|| notification(method, members, Some(id)))
}

fn notification(method: &str, mut params: Vec<(&str, Value)>, id: Option<&Value>) -> Value {
    params.extend(id.map(|id| ("_meta", object([(SUBSCRIPTION, id.clone())]))));
    object([("jsonrpc", "2.0".into()), ("method", method.into()), ("params", object(params))])
}

fn events(
    receiver: mpsc::Receiver<Value>,
    over: CancellationToken,
    first: Option<Value>,
) -> Response<Body> {
    let whole = over.clone().drop_guard();
    let begun = (receiver, over, whole, first);
    let stream = stream::unfold(begun, |(mut receiver, over, whole, first)| async move {
        let bytes = match first {
            Some(first) => call::event(&first),
            None => tokio::select! {
                biased;
                // What waits to be read is not told any more.
                () = over.cancelled() => return None,
                next = tokio::time::timeout(limits::MCP_KEEP_ALIVE, receiver.recv()) => match next {
                    Err(_) => Bytes::from_static(b":\n\n"),
                    Ok(Some(message)) => call::event(&message),
                    Ok(None) => return None,
                },
            },
        };
        Some((Ok(Frame::data(bytes)), (receiver, over, whole, None)))
    });
    call::stream_response(StreamBody::new(stream).boxed_unsync())
}

/// The rest of a stream after one of its events.
pub(super) fn resumed(gate: &Arc<Gate>, session: u128, handle: &str) -> Response<Body> {
    match streams::find(gate, session, handle) {
        Some((kept, place)) => {
            call::stream_response(StreamBody::new(kept.read(None, place)).boxed_unsync())
        }
        None => super::plain(StatusCode::NOT_FOUND),
    }
}
