//! `ambit_claim`: Ambit's own tool, by which an agent takes up an action that waited for a human (F4). A model re-words
//! its arguments and a run may have ended meanwhile, so the handle stands for the very bytes that were shown and answered.

use super::{Body, Visit, refuse, rpc};
use crate::{Gate, decide::hold::Shown, json::object, limits};
use ::http::Response;
use canonical::Value;
use model::{ActionId, AskId};
use std::sync::Arc;

/// Its name; no upstream's tool of that name is reachable here.
pub(super) const TOOL: &str = "ambit_claim";

/// The action that a handle stands for.
pub(super) struct Claimed {
    pub(super) action: ActionId,
    pub(super) arguments: Value,
}

/// What a model reads of it; shown to agents that have something to claim.
pub(super) fn definition() -> Value {
    let text = |text: &str| Value::from(text);
    let property =
        |kind: &str, told: &str| object([("description", text(told)), ("type", text(kind))]);
    object([
        (
            "description",
            text(
                "Takes up an action of yours that waited for a human's approval: executes it once it is approved, exactly \
                 as it was asked for, and gives its result. Says so if it still waits or was declined.",
            ),
        ),
        (
            "inputSchema",
            object([
                (
                    "properties",
                    object([
                        (
                            "handle",
                            property(
                                "string",
                                "The handle that was given when the approval was asked for.",
                            ),
                        ),
                        (
                            "wait_seconds",
                            property("integer", "How long to wait for an answer; at most 3."),
                        ),
                    ]),
                ),
                ("required", Value::Array(vec![text("handle")])),
                ("type", text("object")),
            ]),
        ),
        ("name", text(TOOL)),
    ])
}

/// What a handle stands for, if it is open and was given to the agent that the token names. The token is verified with
/// the action that this becomes, and the action is decided anew: a handle carries no right.
pub(super) fn find(gate: &Gate, visit: &Visit, arguments: &Value) -> Option<Claimed> {
    let handle = arguments.get("handle").and_then(Value::as_str).and_then(AskId::parse)?;
    let token = visit.credential.as_ref()?.token();
    let agent = super::session::claimed_agent(token)?;
    let shown: Arc<Shown> = gate.asks.open_of(agent.as_str(), gate.clock.now(), Some(handle))?;
    let action = ActionId::parse(&shown.action).ok()?;
    let arguments = canonical::parse(&shown.arguments, &limits::MCP_FRAME).ok()?;
    Some(Claimed { action, arguments })
}

/// The answer where a handle stands for nothing; only who is believed gets it.
pub(super) async fn refuse(gate: &Gate, visit: &Visit, id: &Value) -> Response<Body> {
    if let Err(refusal) = super::greet(gate, visit).await {
        return match refuse::call(gate, visit, id, TOOL, &refusal) {
            Ok(result) => rpc::result(visit.era, id, result),
            Err(response) => *response,
        };
    }
    let text = "No open question of yours has this handle here: it was used, declined, has expired or never was. Call the \
                tool itself to ask again.";
    let block = object([("text", text.into()), ("type", "text".into())]);
    let result = object([("content", Value::Array(vec![block])), ("isError", Value::Bool(true))]);
    rpc::result(visit.era, id, result)
}
