//! What this door says about itself, and what an agent may see behind it.

use super::{
    door::Door,
    era::{Era, LEGACY, spoken},
};
use crate::{Gate, World, admit, json::object, limits};
use canonical::{Object, Value};
use identity::Actor;
use model::{ActionId, UpstreamName, reserved};

/// The extension by which an upstream may begin a task instead of answering.
const TASKS: &str = "io.modelcontextprotocol/tasks";

/// Results of the modern revision say how long and for whom they may be kept.
fn listed(era: Era, name: &str, items: Vec<Value>) -> Value {
    let mut members = vec![(name, Value::Array(items))];
    if era == Era::Modern {
        members.push(("cacheScope", "private".into()));
        members.push(("ttlMs", Value::Integer(limits::MCP_LIST_MILLIS)));
    }
    object(members)
}

/// The answer to `ping`, and to whatever else is only acknowledged.
pub(super) fn nothing() -> Value {
    Value::Object(Object::new())
}

/// The answer to `initialize`: the client's revision if it is one with sessions, else the newest of those.
pub(super) fn initialized(gate: &Gate, door: &Door, actor: &Actor, params: &Value) -> Value {
    let version = agreed(params);
    let mut members = vec![
        ("capabilities", capabilities(gate, door, actor, Era::Legacy)),
        ("protocolVersion", version.into()),
        ("serverInfo", server_info()),
    ];
    members.extend(instructions(gate, door, actor).map(|text| ("instructions", text)));
    object(members)
}

pub(super) fn agreed(params: &Value) -> &'static str {
    let asked = params.get("protocolVersion").and_then(Value::as_str).unwrap_or_default();
    let [newest, ..] = LEGACY;
    LEGACY.into_iter().find(|version| *version == asked).unwrap_or(newest)
}

/// The answer to `server/discover`.
pub(super) fn discovered(gate: &Gate, door: &Door, actor: &Actor) -> Value {
    let versions = spoken().map(Value::from).collect::<Vec<_>>();
    let mut members = vec![
        ("_meta", object([("io.modelcontextprotocol/serverInfo", server_info())])),
        ("cacheScope", "private".into()),
        ("capabilities", capabilities(gate, door, actor, Era::Modern)),
        ("supportedVersions", versions.into()),
        ("ttlMs", Value::Integer(limits::MCP_LIST_MILLIS)),
    ];
    members.extend(instructions(gate, door, actor).map(|text| ("instructions", text)));
    object(members)
}

/// The pinned definitions of the tools that this agent may find, sorted by name.
///
/// `outputSchema` is not shown of an action with `returns:`: what is left of its results may not fit.
pub(super) fn tools(gate: &Gate, door: &Door, actor: &Actor, era: Era) -> Value {
    let world = gate.world();
    let mut tools = Vec::new();
    for upstream in door.upstreams(gate, &world, actor) {
        let visible = admit::visible(gate, &world, actor, &upstream);
        for entry in visible.filter(|entry| !reserved::is_reserved(&entry.id.operation)) {
            let Some(definition) = pinned(&world, &entry.id) else { continue };
            let mut definition = definition.clone();
            if let Value::Object(members) = &mut definition {
                if !entry.action.returns.is_empty() {
                    drop(members.remove("outputSchema"));
                }
                if let Some(name) = members.get_mut("name") {
                    *name = door.shown(&upstream, &entry.id.operation).into();
                }
            }
            tools.push(definition);
        }
    }
    listed(era, "tools", tools)
}

/// The pinned prompts that this agent may fill in.
pub(super) fn prompts(gate: &Gate, door: &Door, actor: &Actor, era: Era) -> Value {
    let items = of_method(gate, door, actor, reserved::GET_PROMPT, "prompts", "name");
    listed(era, "prompts", items)
}

/// The pinned templates of the resources that this agent may read.
pub(super) fn templates(gate: &Gate, door: &Door, actor: &Actor, era: Era) -> Value {
    let method = reserved::READ_RESOURCE;
    let items = of_method(gate, door, actor, method, "resourceTemplates", "uriTemplate");
    listed(era, "resourceTemplates", items)
}

/// What is pinned beside a method, by its names at this door.
fn of_method(
    gate: &Gate,
    door: &Door,
    actor: &Actor,
    method: &str,
    member: &str,
    by: &str,
) -> Vec<Value> {
    let world = gate.world();
    let mut all = Vec::new();
    for upstream in door.upstreams(gate, &world, actor) {
        if !sees(gate, &world, actor, &upstream, method) {
            continue;
        }
        let Ok(action) = ActionId::new(upstream.clone(), method) else { continue };
        let Some(mut items) = pinned(&world, &action).and_then(|one| one.get(member)).cloned()
        else {
            continue;
        };
        door.rename(&upstream, &mut items, by);
        if let Value::Array(items) = items {
            all.extend(items);
        }
    }
    all
}

/// The upstreams behind a door whose resources this agent may list.
pub(super) fn listable(gate: &Gate, door: &Door, actor: &Actor) -> Vec<UpstreamName> {
    let world = gate.world();
    let upstreams = door.upstreams(gate, &world, actor).into_iter();
    upstreams.filter(|name| sees(gate, &world, actor, name, reserved::LIST_RESOURCES)).collect()
}

/// A page of resources by their names at this door.
pub(super) fn resources(door: &Door, upstream: &UpstreamName, result: &mut Value) {
    if let Some(resources) = result.as_object_mut().and_then(|page| page.get_mut("resources")) {
        door.rename(upstream, resources, "uri");
    }
}

/// A list as this revision has it.
pub(super) fn list(era: Era, name: &str, items: Vec<Value>) -> Value {
    listed(era, name, items)
}

/// A pinned definition that is not in quarantine.
fn pinned<'a>(world: &'a World, action: &ActionId) -> Option<&'a Value> {
    if world.quarantined.contains(action) { None } else { world.definitions.get(action) }
}

fn sees(
    gate: &Gate,
    world: &World,
    actor: &Actor,
    upstream: &UpstreamName,
    operation: &str,
) -> bool {
    admit::visible(gate, world, actor, upstream)
        .any(|entry| entry.id.operation.as_ref() == operation)
}

/// What an upstream says of itself, as it was pinned. The door of all says nothing: its lists name their upstreams.
fn instructions(gate: &Gate, door: &Door, actor: &Actor) -> Option<Value> {
    let upstream = door.upstream()?;
    let world = gate.world();
    admit::visible(gate, &world, actor, upstream).next()?;
    let action = ActionId::new(upstream.clone(), reserved::INSTRUCTIONS).ok()?;
    pinned(&world, &action)?.get("instructions").cloned()
}

/// What this agent finds behind this door.
fn capabilities(gate: &Gate, door: &Door, actor: &Actor, era: Era) -> Value {
    let world = gate.world();
    let upstreams = door.upstreams(gate, &world, actor);
    let any =
        |operation: &str| upstreams.iter().any(|name| sees(gate, &world, actor, name, operation));
    let changing = || vec![("listChanged", Value::Bool(true))];
    let mut members = vec![("tools", object(changing()))];
    if any(reserved::COMPLETE) {
        members.push(("completions", nothing()));
    }
    if any(reserved::GET_TASK) && era == Era::Modern {
        members.push(("extensions", object([(TASKS, nothing())])));
    }
    if any(reserved::LOG) && era == Era::Legacy {
        members.push(("logging", nothing()));
    }
    if any(reserved::GET_PROMPT) {
        members.push(("prompts", object(changing())));
    }
    if any(reserved::READ_RESOURCE) || any(reserved::LIST_RESOURCES) {
        let mut resources = changing();
        if any(reserved::SUBSCRIBE) {
            resources.push(("subscribe", Value::Bool(true)));
        }
        members.push(("resources", object(resources)));
    }
    object(members)
}

fn server_info() -> Value {
    object([("name", "ambit".into()), ("version", env!("CARGO_PKG_VERSION").into())])
}
