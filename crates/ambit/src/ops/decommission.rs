//! The end of an agent: first what it has, then it is taken away, then what is left that Ambit cannot take away.

use super::{
    holds::calls_ended,
    registry::{registered, wrong},
    traces::{envelope, records},
};
use crate::{
    app::{App, Control, agent_key_name, registry, world},
    limits,
};
use model::{
    AgentName, TaskId, Timestamp,
    declared::{Declared, Proof},
    record::{RecordKind, StateChange},
};
use policy::TaskFacts;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use store::Filter;

/// Everything that an agent has, as of now.
struct Holdings {
    keys: Vec<String>,
    instances: Vec<String>,
    tasks: Vec<TaskId>,
    asks: Vec<model::AskId>,
    grants: BTreeMap<String, usize>,
    codes: Vec<String>,
    /// Agents that may act for it, and that it may act for.
    delegated: Vec<String>,
}

/// Shows what would be ended; with `yes`, ends it for good.
pub(super) async fn decommission(
    app: &App,
    agent: &str,
    reason: String,
    yes: bool,
) -> anyhow::Result<Value> {
    let (name, registration) = registered(app, agent)?;
    let found = holdings(app, &name)?;
    let residual = residual(app, &name).await?;
    let plan = plan(&found);
    if !yes {
        // A state that has no way here says so before anyone confirms.
        let ended = registration.state.decommission(String::new(), String::new(), Timestamp(0));
        drop(ended.map_err(|error| wrong(&name, &error))?);
        return Ok(json!({
            "agent": name.as_str(), "done": false, "plan": plan, "residual": residual,
        }));
    }
    let now = app.clock.now();
    let by = registry::operator();
    let state = registration.state.decommission(by, reason.clone(), now);
    let state = state.map_err(|error| wrong(&name, &error))?;
    let after = policy::registry::Registration { state, version: None, waiting: None };
    let mut changes = vec![
        registry::written(&name, &after),
        StateChange {
            key: registry::stop_row(&name),
            value: Some(registry::stop(model::Code::AgentDecommissioned.slug(), now)),
        },
    ];
    changes.extend(found.removed(app, &name, now));
    let reason = format!("agent `{name}` decommissioned: {reason}");
    app.control(Control { what: "decommission", reason, changes }).await?;
    for ask in &found.asks {
        // One that was answered meanwhile is not open any more.
        let _answered = app.gate.answer(*ask, false, "decommission", "decommission").await.is_err();
    }
    // The private half that `dev` kept is overwritten: nothing signs with it again.
    if app.store.get_key(&agent_key_name(&name))?.is_some() {
        app.store.put_key(&agent_key_name(&name), b"-")?;
    }
    let calls_ended = calls_ended(app).await;
    app.store.checkpoint(app.clock.now())?;
    let signed = super::ledger::checkpoint(app)?;
    Ok(json!({
        "agent": name.as_str(),
        "done": true,
        "calls_ended": calls_ended,
        "ended": plan,
        "residual": residual,
        "checkpoint": signed.get("checkpoint"),
    }))
}

fn holdings(app: &App, name: &AgentName) -> anyhow::Result<Holdings> {
    let (state, now) = (app.store.state(), app.clock.now());
    let keys = registry::keys_of(&state, name);
    let keys = keys.iter().flat_map(|keys| keys.thumbprints().map(str::to_owned)).collect();
    let below = |prefix: String| -> Vec<String> {
        registry::below(&state, prefix).map(|(name, _)| name.to_owned()).collect()
    };
    let tasks = app.store.live_prefix("task/");
    let tasks = tasks.iter().filter_map(|(_, row)| TaskFacts::from_bytes(row).ok());
    let tasks = tasks.filter(|task| task.agent == *name && task.expires > now);
    let asks = app.gate.asks().waiting(now);
    let asks = asks.iter().filter(|ask| ask.agent == name.as_str()).map(|ask| ask.id).collect();
    let mut grants = BTreeMap::new();
    for action in app.gate.world().compiled.reach(name).keys() {
        let count = grants.entry(action.upstream.to_string()).or_insert(0_usize);
        *count = count.saturating_add(1);
    }
    Ok(Holdings {
        keys,
        instances: below(registry::instances_of(name)),
        tasks: tasks.map(|task| task.id).collect(),
        asks,
        grants,
        codes: below(registry::codes_of(name)),
        delegated: delegated(app.gate.world().compiled.declared(), name),
    })
}

/// Who may act for it, and for whom it may act: their chains end with it, since each ancestor is asked for at each request.
fn delegated(declared: &Declared, name: &AgentName) -> Vec<String> {
    let own = declared.agents.get(name).into_iter().flat_map(|agent| &agent.may_act);
    let own = own.map(|actor| format!("{actor} for {name}"));
    let others = declared.agents.iter().filter(|(_, agent)| agent.may_act.contains(name));
    own.chain(others.map(|(subject, _)| format!("{name} for {subject}"))).collect()
}

fn plan(found: &Holdings) -> Value {
    let grants: Vec<String> =
        found.grants.iter().map(|(upstream, count)| format!("{upstream} ({count})")).collect();
    let tasks: Vec<String> = found.tasks.iter().map(ToString::to_string).collect();
    let asks: Vec<String> = found.asks.iter().map(ToString::to_string).collect();
    json!([
        { "what": "keys", "count": found.keys.len(), "which": found.keys.join(", ") },
        { "what": "instances", "count": found.instances.len(), "which": found.instances.join(", ") },
        { "what": "enrolment codes", "count": found.codes.len(), "which": "" },
        { "what": "upstream grants", "count": found.grants.len(), "which": grants.join(", ") },
        { "what": "delegations", "count": found.delegated.len(), "which": found.delegated.join(", ") },
        { "what": "open tasks", "count": tasks.len(), "which": tasks.join(", ") },
        { "what": "open asks", "count": asks.len(), "which": asks.join(", ") },
    ])
}

impl Holdings {
    /// The rows that are taken away.
    fn removed(&self, app: &App, name: &AgentName, now: Timestamp) -> Vec<StateChange> {
        let state = app.store.state();
        let gone = |key: String| StateChange { key, value: None };
        let rows = std::iter::once(format!("{}{name}", world::AGENT_KEYS))
            .chain(self.instances.iter().map(|id| registry::instances_of(name) + id))
            .chain(self.codes.iter().map(|id| registry::codes_of(name) + id));
        let rows = rows.filter(|key| state.rows.contains_key(key)).map(gone);
        let why = model::Code::AgentDecommissioned.slug();
        let ended = self.tasks.iter().map(|task| StateChange {
            key: format!("revoked/task/{task}"),
            value: Some(registry::stop(why, now)),
        });
        rows.chain(ended).collect()
    }
}

/// What is left of an agent, whether it is ended yet or not.
pub(super) async fn left(app: &App, agent: &str) -> anyhow::Result<Value> {
    let (name, _) = registered(app, agent)?;
    residual(app, &name).await
}

/// What Ambit cannot take away: each line says where it lies and who can.
async fn residual(app: &App, name: &AgentName) -> anyhow::Result<Value> {
    let world = app.gate.world();
    let declared = world.compiled.declared();
    let mut out = Vec::new();
    let mut add = |what: &str, which: String, why: String| {
        out.push(json!({ "what": what, "which": which, "why": why }));
    };
    upstreams(declared, name, &mut add);
    let own = Filter { agent: Some(name.to_string()), ..Filter::default() };
    tokens(app, declared, name, &own, &mut add).await?;
    let mut sent: BTreeMap<String, usize> = BTreeMap::new();
    let mut count = 0_usize;
    for record in records(app, own).await? {
        count = count.saturating_add(1);
        let said = envelope(&record);
        let text = |member: &str| said.get(member).and_then(Value::as_str).unwrap_or_default();
        let leaves = text("sink") == "external" || matches!(text("effect"), "send" | "transfer");
        if record.leaf.kind == RecordKind::Opened && leaves {
            let place = sent.entry(text("action").to_owned()).or_default();
            *place = place.saturating_add(1);
        }
    }
    for (action, times) in sent {
        let why = "what left is with whoever received it".to_owned();
        add("data sent out", format!("{action} ({times} calls)"), why);
    }
    let why = "the ledger keeps what it did; personal parts go with the keys of their month";
    add("records", format!("{count} of its records"), why.to_owned());
    if let Some(agent) = declared.agents.get(name) {
        if let Some(path) = &agent.credentials.keys {
            let why = "its private half is with whoever runs the agent; it opens nothing here";
            add("key outside", path.clone(), why.to_owned());
        }
        let why = "the file still declares it: remove the block; the name stays taken";
        add("declaration", format!("ambit.yaml:{}", agent.line), why.to_owned());
    }
    Ok(Value::Array(out))
}

/// Credentials at upstreams, which the agent has never seen: who else lives on them decides what can be done.
fn upstreams(declared: &Declared, name: &AgentName, add: &mut impl FnMut(&str, String, String)) {
    let reaches = |agent: &AgentName| -> BTreeSet<_> {
        let boundary = declared.agents.get(agent).map(|agent| &agent.boundary);
        let boundary = boundary.and_then(|boundary| declared.boundaries.get(boundary));
        boundary.map(|boundary| boundary.upstreams.clone()).unwrap_or_default()
    };
    for upstream in reaches(name) {
        let Some(found) = declared.upstreams.get(&upstream) else { continue };
        let Some(credential) = &found.credential else {
            let why = "it asks Ambit for no credential: who reaches its address needs none";
            add("upstream without credential", upstream.to_string(), why.to_owned());
            continue;
        };
        let same = |other: &&AgentName| {
            let reached = reaches(other);
            let mut lent = reached.iter().filter_map(|name| declared.upstreams.get(name));
            *other != name && lent.any(|upstream| upstream.credential.as_ref() == Some(credential))
        };
        let others: Vec<&str> =
            declared.agents.keys().filter(same).map(model::Name::as_str).collect();
        let which = format!("{upstream}: {credential}");
        if others.is_empty() {
            let why = "no other agent is lent it: revoke it at the upstream and remove it here";
            add("upstream credential", which, why.to_owned());
        } else {
            let why =
                format!("stays valid at the upstream: it is lent to {}, too", others.join(", "));
            add("shared upstream credential", which, why);
        }
    }
}

/// Tokens that were handed out and have not ended by themselves.
async fn tokens(
    app: &App,
    declared: &Declared,
    name: &AgentName,
    own: &Filter,
    add: &mut impl FnMut(&str, String, String),
) -> anyhow::Result<()> {
    let now = app.clock.now();
    let lately = Filter {
        kind: Some(RecordKind::Token),
        since: Some(Timestamp(now.0.saturating_sub(limits::TOKEN_LIFE_MAX.0))),
        ..own.clone()
    };
    let mut latest = None;
    let mut count = 0_usize;
    for record in records(app, lately).await? {
        let said = envelope(&record);
        let life = said.get("ttl").and_then(Value::as_i64);
        let ends = life.map(|life| record.leaf.at.after(model::Duration::seconds(life)));
        if let Some(ends) = ends.filter(|ends| *ends > now) {
            count = count.saturating_add(1);
            latest = latest.max(Some(ends));
        }
    }
    let Some(latest) = latest else { return Ok(()) };
    let agent = declared.agents.get(name);
    let bearer = agent.is_some_and(|agent| agent.credentials.proof == Proof::None);
    let how = if bearer { "bearer tokens" } else { "bound tokens" };
    let why = format!(
        "at Ambit their remaining life is zero, each request asks the registry; whoever verifies them by the published keys alone believes them until {latest}"
    );
    add("tokens", format!("{count} {how}"), why);
    Ok(())
}
