//! Registered agents, and the development key of one.

use super::agent_name;
use crate::app::{App, Control};
use model::declared::{Agent, Proof};
use policy::AgentEntry;
use serde_json::{Value, json};

/// All agents, by name.
pub(super) fn list(app: &App) -> Value {
    let compiled = &app.gate.world().compiled;
    let names = compiled.declared().agents.keys();
    names.filter_map(|name| compiled.agent(name)).map(|entry| row(app, entry)).collect()
}

/// One agent, with what it sees of each upstream.
pub(super) fn show(app: &App, agent: &str) -> anyhow::Result<Value> {
    let world = app.gate.world();
    let name = agent_name(&world.compiled, agent)?;
    let entry = world.compiled.agent(&name);
    let mut row = entry.map(|entry| row(app, entry)).unwrap_or_default();
    let mut actions = Vec::new();
    for upstream in world.compiled.declared().upstreams.keys() {
        for found in world.compiled.visible(&name, upstream, app.clock.now()) {
            actions.push(json!({
                "name": found.id.to_string(),
                "risk": found.action.risk.as_str(),
                "effect": found.action.effect.as_str(),
                "sink": found.action.sink.as_str(),
            }));
        }
    }
    if let Some(members) = row.as_object_mut() {
        members.insert("actions".into(), actions.into());
    }
    Ok(row)
}

fn row(app: &App, entry: &AgentEntry) -> Value {
    let Agent { purpose, owner, boundary, users, credentials, line, .. } = &entry.declared;
    let frozen = app.store.state().rows.contains_key(&super::holds::frozen(&entry.name));
    json!({
        "name": entry.name.as_str(),
        "purpose": purpose,
        "owner": owner.to_string(),
        "boundary": boundary.as_str(),
        "users": users.as_ref().map(ToString::to_string),
        "version": entry.version.to_string(),
        "proof": match credentials.proof { Proof::Dpop => "dpop", Proof::None => "none" },
        "keys": credentials.keys.as_deref().unwrap_or("(made by dev)"),
        "ttl": credentials.ttl.to_string(),
        "frozen": frozen,
        "mode": if entry.observes(app.clock.now()) { "observe" } else { "enforce" },
        "observe_until": entry.declared.observe_until.map(day),
        "line": line,
    })
}

/// The day that `observe_until` states.
pub(super) fn day(until: model::Timestamp) -> String {
    until.to_string().chars().take(10).collect()
}

/// The private key that `dev` made for an agent. That it was handed out is recorded first.
pub(super) async fn key(app: &App, agent: &str) -> anyhow::Result<Value> {
    let name = agent_name(&app.gate.world().compiled, agent)?;
    let key = app.agent_key(&name)?;
    let reason = format!("development key of agent `{name}` exported");
    app.control(Control { what: "agent-key-export", reason, changes: Vec::new() }).await?;
    Ok(serde_json::from_str(&key.private_jwk())?)
}
