//! Stops: freezing an agent, and revoking tokens, agents and tasks. In force for every entry after they return.

use super::{agent_name, usage};
use crate::{
    app::{App, Control},
    control::Which,
};
use model::{AgentName, TaskId, TokenId, record::StateChange};
use serde_json::{Value, json};

/// The row of a frozen agent.
pub(super) fn frozen(agent: &AgentName) -> String {
    format!("frozen/agent/{agent}")
}

/// Stops an agent until a person lets it act again.
pub(super) async fn freeze(app: &App, agent: &str, reason: String) -> anyhow::Result<Value> {
    let name = agent_name(&app.gate.world().compiled, agent)?;
    let change = StateChange { key: frozen(&name), value: Some(because(app, &reason)) };
    app.control(Control { what: "freeze", reason, changes: vec![change] }).await?;
    Ok(
        json!({ "agent": name.as_str(), "frozen": true, "control_revision": app.gate.world().revision }),
    )
}

/// Lets a frozen or revoked agent act again.
pub(super) async fn unfreeze(app: &App, agent: &str, reason: String) -> anyhow::Result<Value> {
    let name = agent_name(&app.gate.world().compiled, agent)?;
    let held = [frozen(&name), format!("revoked/agent/{name}")];
    let state = app.store.state();
    let held = held.into_iter().filter(|key| state.rows.contains_key(key));
    let changes: Vec<_> = held.map(|key| StateChange { key, value: None }).collect();
    if changes.is_empty() {
        return Ok(json!({ "agent": name.as_str(), "frozen": false, "changed": false }));
    }
    app.control(Control { what: "unfreeze", reason, changes }).await?;
    Ok(json!({ "agent": name.as_str(), "frozen": false, "changed": true }))
}

/// Revokes: a token and a task for good, an agent until a person lets it act again.
pub(super) async fn revoke(
    app: &App,
    which: Which,
    name: &str,
    reason: String,
) -> anyhow::Result<Value> {
    let known = match which {
        Which::Token => TokenId::parse(name).map(|token| token.to_string()),
        Which::Task => TaskId::parse(name).map(|task| task.to_string()),
        Which::Agent => Some(agent_name(&app.gate.world().compiled, name)?.to_string()),
    };
    let name =
        known.ok_or_else(|| usage(format!("`{name}` is not the id of a {}", which.as_str())))?;
    let key = format!("revoked/{}/{name}", which.as_str());
    let change = StateChange { key, value: Some(because(app, &reason)) };
    app.control(Control { what: "revoke", reason, changes: vec![change] }).await?;
    Ok(json!({ "revoked": which.as_str(), "name": name }))
}

fn because(app: &App, reason: &str) -> Vec<u8> {
    let at = app.clock.now().to_string();
    let v = canonical::Value::Integer(1);
    gate::json::object([("at", at.as_str().into()), ("reason", reason.into()), ("v", v)]).to_bytes()
}
