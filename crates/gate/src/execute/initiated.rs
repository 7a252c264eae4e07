//! What an upstream initiates: an action of its own kind, decided for the agent of the call, off unless it is catalogued
//! and granted, and with an entry of its own (S17).

use super::{Ending, Failure, Response, tasks};
use crate::{
    ActionRequest, Edge, Gate, Outbound, Refusal, admit, decide,
    json::object,
    limits,
    mediate::Authorized,
    seal::Purpose,
    settle::{self, Exchange},
};
use canonical::{Object, Value};
use identity::Actor;
use model::{ActionId, Code, TraceId, UpstreamName, reserved};
use std::sync::Arc;
use upstream::mcp::{
    Capabilities, Conversation, Inputs, Level, Message, Messages, Outcome, Question,
};
use url::{Host, Url};

/// In whose name an upstream's initiatives are decided.
pub struct Initiator {
    actor: Actor,
    upstream: UpstreamName,
    conversation: Conversation,
    trace: TraceId,
    /// Whether this stream's log messages are handed on, once that is decided.
    logs: Option<bool>,
}

/// A question of an upstream as the gate sees it.
struct Asked {
    /// The operation that it is catalogued as.
    operation: String,
    /// What a client must have declared.
    needs: Capabilities,
    /// What is decided on.
    arguments: Value,
    /// What the client is shown.
    params: Value,
}

impl Initiator {
    /// During a call.
    pub fn within(exchange: &Exchange) -> Initiator {
        Initiator {
            actor: exchange.actor().following(),
            upstream: exchange.call().action().upstream.clone(),
            conversation: exchange.conversation(),
            trace: exchange.trace(),
            logs: None,
        }
    }

    /// Outside of any call.
    #[must_use]
    pub fn standing(
        actor: &Actor,
        upstream: UpstreamName,
        conversation: Conversation,
        trace: TraceId,
    ) -> Initiator {
        Initiator { actor: actor.following(), upstream, conversation, trace, logs: None }
    }

    /// What of a message the client gets. A question that it does not get is refused at once.
    pub async fn hand_on(
        &mut self,
        gate: &Arc<Gate>,
        messages: &Messages,
        message: Message,
    ) -> Option<Value> {
        match message {
            Message::Notification(notification) => Some(notification),
            Message::Log(params) => self.log(gate, &params).await,
            Message::Question(question) => match Box::pin(self.question(gate, &question)).await {
                Ok(request) => Some(request),
                Err(why) => {
                    tracing::info!(upstream = %self.upstream, why, "a question was not handed on");
                    messages.refuse(&question).await;
                    None
                }
            },
            Message::Outcome(_) => None,
        }
    }

    async fn log(&mut self, gate: &Arc<Gate>, params: &Value) -> Option<Value> {
        let name = params.get("level").and_then(Value::as_str)?;
        let level = Level::parse(name)?;
        let wanted = match (self.conversation.session, self.conversation.level) {
            // In a legacy session the upstream itself keeps to the level that was set.
            (Some(_), None) => true,
            (None, None) => false,
            (_, Some(least)) => level >= least,
        };
        if !wanted {
            return None;
        }
        let logs = match self.logs {
            Some(logs) => logs,
            None => {
                let arguments = object([("level", name.into()), ("phase", "question".into())]);
                let decided = decide_initiated(gate, self, reserved::LOG, arguments);
                let decided = Box::pin(decided).await;
                *self.logs.insert(decided.is_ok())
            }
        };
        let kept = ["data", "level", "logger"].into_iter();
        let kept = kept.filter_map(|name| Some((name, params.get(name)?.clone())));
        logs.then(|| notification(reserved::LOG, object(kept)))
    }

    /// The request that the client gets, under a handle that finds its way back.
    async fn question(&self, gate: &Arc<Gate>, question: &Question) -> Result<Value, String> {
        let asked = question_of(gate, &self.upstream, &question.method, &question.params)?;
        let Asked { operation, needs, arguments, params } = asked;
        let decided = decide_initiated(gate, self, &operation, arguments).await;
        decided.map_err(|refusal| format!("`{operation}`: {}", refusal.code.sentence()))?;
        if !self.conversation.capabilities.has(needs) {
            return Err(format!("the client does not offer `{operation}`"));
        }
        let session = self.conversation.session.unwrap_or_default();
        let mut held = vec![
            ("agent", self.actor.agent().as_str().into()),
            ("operation", operation.as_str().into()),
            ("reply_to", question.reply_to.clone()),
            ("session", format!("{session:032x}").into()),
            ("upstream", self.upstream.as_str().into()),
        ];
        held.extend(self.actor.task().map(|task| ("task", task.to_string().into())));
        held.extend(self.actor.user().map(|user| ("user", user.as_str().into())));
        let handle = gate.seal(Purpose::Question, &object(held), limits::MCP_ROUND);
        let handle = handle.ok_or("the question is too long for a handle")?;
        Ok(object([
            ("id", handle.into()),
            ("jsonrpc", "2.0".into()),
            ("method", question.method.as_str().into()),
            ("params", params),
        ]))
    }
}

/// Decides, records and at once closes something that an upstream initiates.
pub async fn decide_initiated(
    gate: &Arc<Gate>,
    initiator: &Initiator,
    operation: &str,
    arguments: Value,
) -> Result<(), Refusal> {
    let Initiator { actor, upstream, trace, .. } = initiator;
    let conversation = Conversation::default();
    let method = upstream::mcp::Method::CallTool;
    let request = ActionRequest {
        edge: Edge::Mcp,
        credential: None,
        upstream: upstream.clone(),
        aggregate: false,
        operation: operation.to_owned(),
        arguments,
        trace: *trace,
        traceparent: None,
        task: None,
        outbound: Outbound::Mcp {
            method,
            conversation,
            progress: None,
            inputs: None,
            mcp_task: None,
        },
    };
    let Authorized { departure, actor, seat, .. } =
        authorize_following(gate, actor, &request).await?;
    let mut exchange = Exchange::begin(Arc::clone(gate), departure, (actor, seat), &request);
    settle::write(&mut exchange, Ending { word: "done", ..Ending::default() }).await
}

/// Decides and opens what follows from a request whose caller is known already.
pub(crate) async fn authorize_following(
    gate: &Gate,
    caller: &Actor,
    request: &ActionRequest,
) -> Result<Authorized, Refusal> {
    let caller = &caller.following();
    let mut last = Refusal::new(Code::Undecidable, request.trace);
    for _ in 0..limits::MAX_DECISIONS {
        let stops = gate.stops.current();
        let world = gate.world();
        let (actor, tasks) = admit::identify(gate, &world, caller, request).await?;
        let actor = &actor;
        let seat = admit::seat(gate, &world, actor, request).await?;
        let call = admit::look_up(gate, &world, actor, request).await?;
        let facts = decide::context(gate, &world, actor, tasks, request);
        let clearance = decide::evaluate(gate, &world, actor, call, facts).await?;
        match super::commit(gate, clearance).await {
            Ok(departure) => {
                return Ok(Authorized { departure, actor: actor.following(), stops, seat });
            }
            Err(not_written) => match settle::unwritten(gate, actor, not_written).await {
                settle::Unwritten::DecideAgain(refusal) => last = refusal,
                settle::Unwritten::Refused(refusal) => return Err(refusal),
            },
        }
    }
    Err(last)
}

/// Decides the questions that an upstream answers with instead of a result. They are handed on all together or, with a
/// reason, not at all; the upstream's own state travels sealed inside ours.
pub async fn ask_first(
    exchange: &Exchange,
    response: Result<Response, Failure>,
) -> Result<Response, Failure> {
    let Ok(Response::Mcp(outcome)) = &response else { return response };
    // Few calls ask: what they need does not lie in the future of each call.
    let decided = if outcome.asks() {
        Box::pin(questions(exchange, outcome)).await
    } else if outcome.is_task() {
        tasks::begun(exchange, outcome)
    } else if exchange.call().action().operation.as_ref() == reserved::GET_TASK {
        Box::pin(tasks::told(exchange, outcome)).await
    } else {
        return response;
    };
    Ok(match decided {
        Ok(outcome) => Response::Mcp(outcome),
        Err(why) => Response::Withheld(why),
    })
}

async fn questions(exchange: &Exchange, outcome: &Outcome) -> Result<Outcome, String> {
    let gate = exchange.gate();
    let mut members = Vec::new();
    if let Some(requests) = outcome.value().get("inputRequests").and_then(Value::as_object) {
        members.push(("inputRequests", shown(exchange, requests).await?));
    }
    if let Some(state) = outcome.value().get("requestState") {
        let held = held(exchange, Some(state));
        let sealed = gate.seal(Purpose::State, &held, limits::MCP_ROUND);
        members.push(("requestState", sealed.ok_or("the request state is too long")?.into()));
    }
    let members = Object::try_from_members(members).map_err(|error| error.to_string())?;
    Ok(Outcome::asking(members))
}

/// What the client is shown of an upstream's questions, each of which was decided.
pub(super) async fn shown(exchange: &Exchange, requests: &Object) -> Result<Value, String> {
    let gate = exchange.gate();
    let initiator = Initiator::within(exchange);
    let mut shown = Vec::new();
    for (key, request) in requests {
        if shown.len() >= limits::MCP_QUESTIONS {
            return Err("the upstream asks more questions at once than the limit".to_owned());
        }
        let method = request.get("method").and_then(Value::as_str).unwrap_or_default();
        let none = Value::Object(Object::new());
        let params = request.get("params").unwrap_or(&none);
        let asked = question_of(gate, &initiator.upstream, method, params)?;
        let decided = decide_initiated(gate, &initiator, &asked.operation, asked.arguments).await;
        if let Err(refusal) = decided {
            let (what, why) = (&asked.operation, refusal.code.slug());
            return Err(format!("the upstream asks for `{what}`, which is refused ({why})"));
        }
        if !initiator.conversation.capabilities.has(asked.needs) {
            return Err(format!(
                "the upstream asks for `{}`, which is not offered",
                asked.operation
            ));
        }
        let request = [("method", Value::from(method)), ("params", asked.params)];
        shown.push((key.to_owned(), object(request)));
    }
    let shown = Object::try_from_members(shown).map_err(|error| error.to_string())?;
    Ok(Value::Object(shown))
}

/// What a state is bound to: the actor, the action and its arguments.
fn held(exchange: &Exchange, state: Option<&Value>) -> Value {
    let (actor, call) = (exchange.actor(), exchange.call());
    let mut held = vec![
        ("action", Value::from(call.action().to_string())),
        ("agent", actor.agent().as_str().into()),
        ("digest", call.digest().to_string().into()),
    ];
    held.extend(state.map(|state| ("state", state.clone())));
    held.extend(actor.user().map(|user| ("user", user.as_str().into())));
    object(held)
}

/// Opens the state of an earlier round and decides the answers that come with it: each is a flow to the upstream.
pub(super) async fn answers(exchange: &Exchange, inputs: &mut Inputs) -> Result<(), Failure> {
    let refused = |code| Failure { code, after_send: false };
    if let Some(sealed) = inputs.state.take() {
        let opened = exchange.gate().unseal(Purpose::State, &sealed);
        let state = opened.as_ref().and_then(|opened| opened.get("state"));
        if opened.is_none() || opened.as_ref() != Some(&held(exchange, state)) {
            return Err(refused(Code::ProtocolInvalid));
        }
        inputs.state = state.and_then(Value::as_str).map(str::to_owned);
    }
    let Value::Object(responses) = &inputs.responses else {
        return Err(refused(Code::ProtocolInvalid));
    };
    if responses.len() > limits::MCP_QUESTIONS {
        return Err(refused(Code::ProtocolInvalid));
    }
    let initiator = Initiator::within(exchange);
    for (_, response) in responses {
        let operation = operation_of(response).ok_or(refused(Code::ProtocolInvalid))?;
        // An answer without content tells the upstream nothing but that there is none.
        let Some(arguments) = answer_of(operation, &Ok(response.clone())) else { continue };
        let decided = decide_initiated(exchange.gate(), &initiator, operation, arguments).await;
        decided.map_err(|refusal| refused(shown_code(refusal.code)))?;
    }
    Ok(())
}

/// A refused answer is no hidden tool.
fn shown_code(code: Code) -> Code {
    if code == Code::NotInCatalog { Code::NotGranted } else { code }
}

/// What an answer answers, by its form.
fn operation_of(response: &Value) -> Option<&'static str> {
    let has = |name: &str| response.get(name).is_some();
    match response {
        Value::Object(_) if has("action") => Some(reserved::ELICIT),
        Value::Object(_) if has("roots") => Some(reserved::ROOTS),
        Value::Object(_) if has("role") || has("model") => Some(reserved::SAMPLE),
        _ => None,
    }
}

/// The arguments that an answer is decided with; none if nothing flows to the upstream.
#[must_use]
pub fn answer_of(operation: &str, reply: &Result<Value, Value>) -> Option<Value> {
    let phase = ("phase", Value::from("answer"));
    let Ok(result) = reply else { return None };
    let elicits = operation == reserved::ELICIT || reserved::host_of(operation).is_some();
    if !elicits {
        return Some(object([phase, ("result", result.clone())]));
    }
    let content = result.get("content").filter(|content| content.as_object().is_some())?;
    let action = result.get("action").and_then(Value::as_str).unwrap_or_default();
    Some(object([("action", action.into()), ("content", content.clone()), phase]))
}

/// What a question is as an action; an error says why it is none.
fn question_of(
    gate: &Gate,
    upstream: &UpstreamName,
    method: &str,
    params: &Value,
) -> Result<Asked, String> {
    let phase = ("phase", Value::from("question"));
    let text = |name: &str| params.get(name).and_then(Value::as_str).unwrap_or_default();
    let shown = |names: &[&'static str]| {
        let kept = names.iter().filter_map(|name| Some((*name, params.get(name)?.clone())));
        kept.collect::<Vec<_>>()
    };
    match method {
        reserved::ELICIT if text("mode") == "url" => {
            let host = host(gate, text("url"))?;
            let message = format!("{upstream} asks: {}", text("message"));
            let mut params = shown(&["elicitationId", "mode", "url"]);
            params.push(("message", message.into()));
            let mut arguments = shown(&["message", "mode", "url"]);
            arguments.extend([("host", host.as_str().into()), phase]);
            Ok(Asked {
                operation: format!("{}/{host}", reserved::ELICIT),
                needs: Capabilities::URL,
                arguments: object(arguments),
                params: object(params),
            })
        }
        reserved::ELICIT => {
            let mut arguments = shown(&["message", "requestedSchema"]);
            arguments.extend([("mode", "form".into()), phase]);
            Ok(Asked {
                operation: reserved::ELICIT.to_owned(),
                needs: Capabilities::FORM,
                arguments: object(arguments),
                params: object(shown(&["message", "mode", "requestedSchema"])),
            })
        }
        reserved::SAMPLE => {
            let tools = params.get("tools").is_some();
            let needs = if tools { Capabilities::SAMPLING_TOOLS } else { Capabilities::SAMPLING };
            let params = without(params, &["_meta", "task"]);
            let arguments = object([("params", params.clone()), phase]);
            Ok(Asked { operation: reserved::SAMPLE.to_owned(), needs, arguments, params })
        }
        reserved::ROOTS => Ok(Asked {
            operation: reserved::ROOTS.to_owned(),
            needs: Capabilities::ROOTS,
            arguments: object([phase]),
            params: Value::Object(Object::new()),
        }),
        _ => Err("the upstream asks for something that nobody knows".to_owned()),
    }
}

/// The host of a page that a human is sent to: reached by TLS, and none of Ambit's own names.
fn host(gate: &Gate, url: &str) -> Result<String, String> {
    let url = Url::parse(url).map_err(|error| format!("the page's address: {error}"))?;
    let host = url.host().ok_or("the page's address has no host")?;
    let is_local = match &host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && is_local) {
        return Err("the page is not reached by https".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the page's address holds a user".to_owned());
    }
    let own = Url::parse(&gate.settings().base_url).ok();
    let same_place = own.as_ref().is_some_and(|own| {
        own.host_str() == url.host_str()
            && own.port_or_known_default() == url.port_or_known_default()
    });
    if same_place || (!is_local && own.is_some_and(|own| own.host_str() == url.host_str())) {
        return Err("the page bears Ambit's own name".to_owned());
    }
    Ok(host.to_string())
}

fn without(value: &Value, names: &[&str]) -> Value {
    let mut value = value.clone();
    if let Value::Object(members) = &mut value {
        for name in names {
            drop(members.remove(name));
        }
    }
    value
}

fn notification(method: &str, params: Value) -> Value {
    object([("jsonrpc", "2.0".into()), ("method", method.into()), ("params", params)])
}

/// What of a client's offers an upstream is told of: what the catalog lets it ask this agent for.
#[must_use]
pub fn narrowed(
    gate: &Gate,
    actor: &Actor,
    upstream: &UpstreamName,
    wide: Conversation,
) -> Conversation {
    if wide.capabilities == Capabilities::default() && wide.level.is_none() {
        return wide;
    }
    let world = gate.world();
    let mut may = Capabilities::default();
    let mut logs = false;
    for entry in admit::visible(gate, &world, actor, upstream) {
        let ActionId { operation, .. } = &entry.id;
        may = may.with(match operation.as_ref() {
            reserved::ELICIT => Capabilities::FORM,
            reserved::SAMPLE => Capabilities::SAMPLING.with(Capabilities::SAMPLING_TOOLS),
            reserved::ROOTS => Capabilities::ROOTS,
            reserved::GET_TASK if wide.session.is_none() => Capabilities::TASKS,
            other if reserved::host_of(other).is_some() => Capabilities::URL,
            _ => Capabilities::default(),
        });
        logs = logs || operation.as_ref() == reserved::LOG;
    }
    Conversation {
        capabilities: wide.capabilities.within(may),
        level: wide.level.filter(|_| logs),
        ..wide
    }
}
