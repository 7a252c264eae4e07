//! Registered agents, and the development key of one.

use super::agent_name;
use crate::app::{
    App, Control,
    registry::{self, Ground, Living},
};
use model::{Timestamp, declared::Agent};
use policy::{AgentEntry, registry::Snapshot};
use serde_json::{Value, json};

/// All agents, by name: those that are declared, then those that the registry remembers.
pub(super) fn list(app: &App) -> anyhow::Result<Value> {
    let compiled = &app.gate.world().compiled;
    let names = compiled.declared().agents.keys();
    let declared = names.filter_map(|name| compiled.agent(name)).map(|entry| row(app, entry));
    let state = app.store.state();
    let known = registry::registrations(&state)?;
    let gone = known.into_iter().filter(|(name, _)| compiled.agent(name).is_none());
    let gone = gone.map(|(name, registration)| {
        let life = registration.state.as_str();
        json!({ "name": name.as_str(), "state": life, "declared": false, "purpose": "(not declared)" })
    });
    Ok(declared.chain(gone).collect())
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
        if let Some(version) = Snapshot::of(&world.compiled, &name) {
            members.insert("parts".into(), parts(&version).into());
        }
    }
    Ok(row)
}

/// What the version is made of, and how each part is known; the weakest is that of the version.
fn parts(version: &Snapshot) -> Vec<Value> {
    let nothing = Snapshot::default();
    let found = policy::registry::changes(&nothing, version);
    let row = |change: policy::registry::Change| {
        json!({
            "part": change.class.as_str(),
            "what": change.what,
            "is": change.to,
            "evidence": change.evidence.as_str(),
        })
    };
    found.into_iter().map(row).collect()
}

fn row(app: &App, entry: &AgentEntry) -> Value {
    let Agent { purpose, owner, boundary, users, credentials, line, .. } = &entry.declared;
    let (state, now) = (app.store.state(), app.clock.now());
    let frozen = state.rows.contains_key(&super::holds::frozen(&entry.name));
    let life = life(app, entry, &state, now);
    json!({
        "name": entry.name.as_str(),
        "declared": true,
        "state": life.state,
        "version_waits": life.version_waits,
        "since": life.since,
        "reason": life.reason,
        "answered": life.answered,
        "answered_until": life.until,
        "refused": life.refused,
        "sponsor": entry.declared.governance.sponsor.as_ref().map(ToString::to_string),
        "environment": entry.declared.governance.environment.as_ref().map(ToString::to_string),
        "purpose": purpose,
        "owner": owner.to_string(),
        "boundary": boundary.as_str(),
        "users": users.as_ref().map(ToString::to_string),
        "version": entry.version.to_string(),
        "proof": credentials.proof.as_str(),
        "keys": credentials.keys.as_deref().unwrap_or("(made by dev)"),
        "ttl": credentials.ttl.to_string(),
        "frozen": frozen,
        "mode": if entry.observes(app.clock.now()) { "observe" } else { "enforce" },
        "observe_until": entry.declared.observe_until.map(day),
        "line": line,
    })
}

/// Where an agent is in its life, and who answers for it.
#[derive(Default)]
struct Life {
    state: &'static str,
    version_waits: bool,
    reason: Option<String>,
    since: Option<String>,
    answered: &'static str,
    until: Option<String>,
    refused: Option<&'static str>,
}

fn life(app: &App, entry: &AgentEntry, state: &store::State, now: Timestamp) -> Life {
    let world = app.gate.world();
    let until = Living::new(state, world.compiled.declared()).answered_until(&entry.declared);
    let answered = super::registry::vigour(until, Ground::of(state).term, now);
    let refused = world.registry.refused(&entry.name, now);
    let known = registry::registration(state, &entry.name).ok().flatten();
    let (state, since) = match &known {
        None => ("unregistered", None),
        Some(known) => (known.state.as_str(), Some(known.state.since().to_string())),
    };
    let reason = known.as_ref().and_then(|known| known.state.reason());
    Life {
        state,
        reason: reason.map(str::to_owned),
        version_waits: known.is_some_and(|known| known.waiting.is_some()),
        since,
        answered,
        until: until.map(|until| until.to_string()),
        refused: refused.map(model::Code::slug),
    }
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
