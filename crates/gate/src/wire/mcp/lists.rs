//! What this door says about itself, and what an agent may see behind it.

use super::era::{Era, LEGACY, spoken};
use crate::{Gate, json::object, limits};
use canonical::{Object, Value};
use model::{AgentName, UpstreamName};

/// Results of the modern revision say how long and for whom they may be kept.
fn listed(era: Era, name: &str, items: Vec<Value>) -> Value {
    let mut members = vec![(name, Value::Array(items))];
    if era == Era::Modern {
        members.push(("cacheScope", "private".into()));
        members.push(("ttlMs", Value::Integer(limits::MCP_LIST_MILLIS)));
    }
    object(members)
}

/// A list of what is not offered.
pub(super) fn empty(name: &str, era: Era) -> Value {
    listed(era, name, Vec::new())
}

/// The answer to `ping`.
pub(super) fn nothing() -> Value {
    Value::Object(Object::new())
}

/// The answer to `initialize`: the client's revision if it is one with sessions, else the newest of those.
pub(super) fn initialized(params: &Value) -> Value {
    let asked = params.get("protocolVersion").and_then(Value::as_str).unwrap_or_default();
    let [newest, ..] = LEGACY;
    let version = LEGACY.into_iter().find(|version| *version == asked).unwrap_or(newest);
    object([
        ("capabilities", capabilities()),
        ("protocolVersion", version.into()),
        ("serverInfo", server_info()),
    ])
}

/// The answer to `server/discover`.
pub(super) fn discovered() -> Value {
    let versions = spoken().map(Value::from).collect::<Vec<_>>();
    object([
        ("_meta", object([("io.modelcontextprotocol/serverInfo", server_info())])),
        ("cacheScope", "private".into()),
        ("capabilities", capabilities()),
        ("supportedVersions", versions.into()),
        ("ttlMs", Value::Integer(limits::MCP_LIST_MILLIS)),
    ])
}

/// The pinned definitions of what this agent may find, sorted by name.
///
/// `outputSchema` is not shown: a refusal, a pending ask or a projected result has another form, and clients that check
/// it end the run.
pub(super) fn tools(gate: &Gate, agent: &AgentName, upstream: &UpstreamName, era: Era) -> Value {
    let world = gate.world();
    let visible = world.compiled.visible(agent, upstream, gate.clock.now());
    let claim = gate.asks().open_of(agent.as_str(), gate.clock.now(), None);
    let claim = claim.map(|_| super::claim::definition());
    let tools = visible
        .filter(|entry| !world.quarantined.contains(&entry.id))
        .filter_map(|entry| world.definitions.get(&entry.id))
        .map(shown)
        .chain(claim)
        .collect();
    listed(era, "tools", tools)
}

fn shown(definition: &Value) -> Value {
    let mut definition = definition.clone();
    if let Value::Object(members) = &mut definition {
        drop(members.remove("outputSchema"));
    }
    definition
}

fn capabilities() -> Value {
    object([("tools", nothing())])
}

fn server_info() -> Value {
    object([("name", "ambit".into()), ("version", env!("CARGO_PKG_VERSION").into())])
}
