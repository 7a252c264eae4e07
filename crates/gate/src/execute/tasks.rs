//! Tasks that an upstream begins instead of answering (`io.modelcontextprotocol/tasks`): whoever called is who may ask
//! how it is getting on, and only for as long as the tool itself is granted.

use super::{Failure, initiated};
use crate::{Gate, json::object, limits, mediate::McpTask, seal::Purpose, settle::Exchange};
use canonical::{Object, Value};
use model::{
    Code, Name, UpstreamName, UserName,
    declared::{Action, After},
};
use upstream::mcp::{Capabilities, Conversation, Outcome};

/// What of a client's offers holds for this call: an action whose results are narrowed or masked gives them itself,
/// because a task's states have no form in which that could be done.
pub(super) fn offered(exchange: &Exchange, conversation: Conversation) -> Conversation {
    if is_whole(&exchange.catalog().action) {
        return conversation;
    }
    let capabilities = conversation.capabilities.without(Capabilities::TASKS);
    Conversation { capabilities, ..conversation }
}

fn is_whole(action: &Action) -> bool {
    let masks = |after: &After| matches!(after, After::Mask(_));
    action.returns.is_empty() && !action.after.iter().any(masks)
}

/// Puts the upstream's own id of a new task into a handle of ours.
pub(super) fn begun(exchange: &Exchange, outcome: &Outcome) -> Result<Outcome, String> {
    if !exchange.conversation().capabilities.has(Capabilities::TASKS) {
        return Err("the upstream began a task, which was not offered to it".to_owned());
    }
    let Value::Object(mut task) = outcome.value().clone() else {
        return Err("the task is no object".to_owned());
    };
    let id = task.remove("taskId").unwrap_or(Value::Null);
    let (actor, action) = (exchange.actor(), exchange.call().action());
    let mut held = vec![
        ("action", Value::from(action.operation.as_ref())),
        ("agent", actor.agent().as_str().into()),
        ("id", id),
        ("upstream", action.upstream.as_str().into()),
    ];
    held.extend(actor.user().map(|user| ("user", user.as_str().into())));
    let handle = exchange.gate().seal(Purpose::Task, &object(held), limits::MCP_TASK_LIFE);
    let handle = handle.ok_or("the task's id is too long for a handle")?;
    task.insert("taskId", handle).map_err(|error| error.to_string())?;
    Ok(outcome.clone().with(task))
}

/// Whose task a handle is, the upstream's own id of it, and for whom it was begun.
pub(crate) fn opened(gate: &Gate, handle: &str) -> Option<(UpstreamName, String, McpTask)> {
    let held = gate.unseal(Purpose::Task, handle)?;
    let text = |name: &str| held.get(name).and_then(Value::as_str).map(str::to_owned);
    let task = McpTask { agent: text("agent")?, user: text("user"), action: text("action")? };
    Some((Name::new(&text("upstream")?).ok()?, text("id")?, task))
}

/// Refuses another's task, and one whose tool this token does not reach, the agent is not granted any more, or has since
/// come to give parts of its results only.
pub(super) fn check(exchange: &Exchange, task: Option<&McpTask>) -> Result<(), Failure> {
    let refused = Failure { code: Code::ProtocolInvalid, after_send: false };
    let task = task.ok_or(refused)?;
    let (actor, gate) = (exchange.actor(), exchange.gate());
    let upstream = &exchange.call().action().upstream;
    let own = task.agent == actor.agent().as_str()
        && task.user.as_deref() == actor.user().map(UserName::as_str);
    let world = gate.world();
    let mut visible = world.compiled.visible(actor.agent(), upstream, gate.clock.now());
    let granted = visible.any(|entry| {
        *entry.id.operation == *task.action && actor.reaches(&entry.id) && is_whole(&entry.action)
    });
    if own && granted { Ok(()) } else { Err(refused) }
}

/// How a task is getting on: what it asks for is decided like any question of an upstream.
pub(super) async fn told(exchange: &Exchange, outcome: &Outcome) -> Result<Outcome, String> {
    if outcome.is_error() {
        return Ok(outcome.clone());
    }
    let Value::Object(mut task) = outcome.value().clone() else {
        return Err("the task is no object".to_owned());
    };
    if let Some(requests) = task.remove("inputRequests") {
        let Value::Object(requests) = requests else {
            return Err("the task's questions are no object".to_owned());
        };
        let shown = initiated::shown(exchange, &requests).await?;
        task.insert("inputRequests", shown).map_err(|error| error.to_string())?;
    }
    if let Some(Value::Object(result)) = task.get_mut("result") {
        plain(result)?;
    }
    Ok(outcome.clone().with(task))
}

/// Takes out of a result what the two parties of one hop say to each other.
fn plain(result: &mut Object) -> Result<(), String> {
    let Some(Value::Object(meta)) = result.remove("_meta") else { return Ok(()) };
    let kept = meta.into_iter().filter(|(name, _)| !name.starts_with("io.modelcontextprotocol/"));
    let kept: Vec<_> = kept.collect();
    if kept.is_empty() {
        return Ok(());
    }
    let meta = Object::try_from_members(kept).map_err(|error| error.to_string())?;
    result.insert("_meta", Value::Object(meta)).map_err(|error| error.to_string())
}
