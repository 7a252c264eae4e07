//! What enforcing would have refused of an agent that is observed: by action and rule, each with what would allow it,
//! and one text of `ambit.yaml` that does so for all of them.

use super::{
    agent_name,
    traces::{read, text},
    usage,
    why::explained_by,
};
use crate::{
    app::{App, world},
    config::{self, Files},
};
use gate::World;
use model::{
    ActionId, AgentName, Decision, RiskTier, Timestamp,
    declared::{ActionPattern, Declared, PolicyFile},
};
use policy::Compiled;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use store::{Filter, Record};

/// What a group of records has in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    action: String,
    rule: String,
    would: String,
}

struct Group {
    calls: u64,
    first: Timestamp,
    last: Timestamp,
    trace: String,
    latest: Record,
}

/// Groups what was let pass since then, says what would allow each, and proves it on the recorded facts.
pub(super) async fn report(app: &App, agent: &str, since: Timestamp) -> anyhow::Result<Value> {
    let world = app.gate.world();
    let agent = agent_name(&world.compiled, agent)?;
    let groups = groups(app, &agent, since).await?;
    let state = app.store.state();
    let before =
        state.rows.get(world::DECLARED).map(|row| String::from_utf8_lossy(row).into_owned());
    let before = before.ok_or_else(|| usage("nothing is applied"))?;
    let actions: BTreeSet<ActionId> =
        groups.keys().filter_map(|key| ActionId::parse(&key.action).ok()).collect();
    let (after, hindrance) = match proposed(&world, &agent, &before, &actions) {
        Ok(after) => (after, None),
        Err(error) => (before.clone(), Some(error.to_string())),
    };
    let proposal = compiled(app, &state, &after);
    let rows: Vec<Value> = groups
        .iter()
        .map(|(key, group)| {
            let then = proposal.as_ref().ok().map(|compiled| then(compiled, &agent, group));
            row(key, group, then)
        })
        .collect();
    let hindrance = hindrance.or(proposal.err().map(|error| error.to_string()));
    let unchanged = hindrance.is_some() || after == before;
    Ok(json!({
        "agent": agent.as_str(),
        "since": since.to_string(),
        "observe_until": world.compiled.agent(&agent).and_then(|entry| entry.declared.observe_until).map(super::agents::day),
        "groups": rows,
        "before": before,
        "after": if unchanged { Value::Null } else { after.into() },
        "hindrance": hindrance,
    }))
}

async fn groups(
    app: &App,
    agent: &AgentName,
    since: Timestamp,
) -> anyhow::Result<BTreeMap<Key, Group>> {
    let mut groups: BTreeMap<Key, Group> = BTreeMap::new();
    for would in ["would_deny", "would_ask"] {
        let filter = Filter {
            agent: Some(agent.to_string()),
            decision: Some(would.to_owned()),
            since: Some(since),
            ..Filter::default()
        };
        for record in super::traces::records(app, filter).await? {
            let envelope = record.envelope.as_deref().map(read).unwrap_or_default();
            let action = text(&envelope, "action").unwrap_or_default();
            let key = Key { action, rule: rule(&envelope), would: would.to_owned() };
            let (at, trace) = (record.leaf.at, text(&envelope, "trace").unwrap_or_default());
            match groups.get_mut(&key) {
                Some(group) => {
                    group.calls = group.calls.saturating_add(1);
                    (group.last, group.trace, group.latest) = (at, trace, record);
                }
                None => {
                    let group = Group { calls: 1, first: at, last: at, trace, latest: record };
                    groups.insert(key, group);
                }
            }
        }
    }
    Ok(groups)
}

/// The rules that decided: policies by their ids, `grant` where one is missing, `limit.calls` where it is used up.
fn rule(envelope: &Value) -> String {
    let reasons = envelope.get("reasons").and_then(Value::as_array).into_iter().flatten();
    let ids: Vec<&str> = reasons.filter_map(|reason| reason.get("id")?.as_str()).collect();
    if !ids.is_empty() {
        return ids.join(" + ");
    }
    match text(envelope, "code").as_deref() {
        Some("limit_reached") => "limit.calls".to_owned(),
        _ => "grant".to_owned(),
    }
}

fn row(key: &Key, group: &Group, then: Option<Decision>) -> Value {
    json!({
        "action": key.action,
        "rule": key.rule,
        "would": key.would,
        "calls": group.calls,
        "first": group.first.to_string(),
        "last": group.last.to_string(),
        "trace": group.trace,
        "then": then.map(Decision::as_str),
        "advice": advice(&key.rule, then),
    })
}

/// What to do about a rule that a grant does not lift.
fn advice(rule: &str, then: Option<Decision>) -> Option<&'static str> {
    match then {
        Some(Decision::Allow) => None,
        Some(Decision::Ask) => Some(
            "a human is asked at each call; a lower `risk:` or another `approval:` would change that",
        ),
        Some(Decision::Deny) | None => Some(match rule {
            "guard.users" => "the agent does not serve this user: `users:` says whom it serves",
            "guard.intent" => {
                "the task's intent does not allow it: add it to the intent's `allow:`"
            }
            "guard.data" => "the boundary's `deny_data:` names a class that the action touches",
            "guard.extra" => "the call has an argument that the tool's schema does not name",
            "limit.calls" => "the boundary's `limits: { calls: … }` is used up",
            _ => "a policy by hand forbids it, or the file could not be edited: change it there",
        }),
    }
}

/// The file with the grants that are missing: actions by name, never a wildcard that was not there in effect.
fn proposed(
    world: &World,
    agent: &AgentName,
    before: &str,
    actions: &BTreeSet<ActionId>,
) -> anyhow::Result<String> {
    let declared = world.compiled.declared();
    let Some(own) = declared.agents.get(agent) else { return Ok(before.to_owned()) };
    let inside = declared.boundaries.get(&own.boundary);
    let outside: BTreeSet<String> = actions
        .iter()
        .filter(|action| inside.is_some_and(|inside| !inside.upstreams.contains(&action.upstream)))
        .map(|action| action.upstream.to_string())
        .collect();
    let mut text = before.to_owned();
    if !outside.is_empty() {
        let others = others(declared, agent);
        anyhow::ensure!(
            others.is_empty(),
            "boundary `{}` is shared with {} and would be widened for all: give `{agent}` a boundary of its own first",
            own.boundary,
            others.join(", ")
        );
        let items: Vec<String> = outside.iter().cloned().collect();
        text = declared::add_to_list(
            &text,
            &["boundaries", own.boundary.as_str(), "upstreams"],
            &items,
        )?;
    }
    let only = only(world, declared, agent, actions, !outside.is_empty());
    if !only.is_empty() {
        text = declared::add_to_list(&text, &["agents", agent.as_str(), "only"], &only)?;
    }
    Ok(text)
}

/// Agents of the same boundary without an `only:`, which would get what it gets.
fn others(declared: &Declared, agent: &AgentName) -> Vec<String> {
    let Some(own) = declared.agents.get(agent) else { return Vec::new() };
    let shares = |(name, other): &(&AgentName, &model::declared::Agent)| {
        *name != agent && other.boundary == own.boundary && other.only.is_none()
    };
    declared.agents.iter().filter(shares).map(|(name, _)| format!("agent `{name}`")).collect()
}

/// What `only:` must name in addition. Where there is none yet and one is needed, it first says what held without it.
fn only(
    world: &World,
    declared: &Declared,
    agent: &AgentName,
    actions: &BTreeSet<ActionId>,
    widened: bool,
) -> Vec<String> {
    let Some(own) = declared.agents.get(agent) else { return Vec::new() };
    let inside = declared.boundaries.get(&own.boundary);
    let is_high = |action: &ActionId| {
        world.compiled.entry(action).is_some_and(|entry| entry.action.risk == RiskTier::High)
    };
    let is_inside = |action: &ActionId| {
        inside.is_some_and(|inside| inside.upstreams.contains(&action.upstream))
    };
    let covered = |action: &ActionId| match &own.only {
        Some(only) => only.iter().any(|pattern| match pattern {
            ActionPattern::Exact(exact) => exact == action,
            ActionPattern::All(upstream) => *upstream == action.upstream && !is_high(action),
        }),
        None => is_inside(action) && !is_high(action),
    };
    let missing: Vec<String> =
        actions.iter().filter(|action| !covered(action)).map(ToString::to_string).collect();
    if own.only.is_some() || (missing.is_empty() && !widened) {
        return missing;
    }
    let held = inside.into_iter().flat_map(|inside| &inside.upstreams);
    held.map(|upstream| format!("{upstream}.*")).chain(missing).collect()
}

/// The proposal under the definitions and policies in force.
fn compiled(app: &App, state: &store::State, text: &str) -> anyhow::Result<Compiled> {
    let policies = world::policy_files(state)?;
    let files = Files {
        path: "ambit.yaml".to_owned(),
        main: text.to_owned(),
        policies: policies.into_iter().map(|PolicyFile { path, text }| (path, text)).collect(),
        ..Files::default()
    };
    let loaded = config::from_files(files)?;
    config::check_observation(&loaded, app.clock.now())?;
    Ok(loaded.compile_with(&world::definitions(state)?)?)
}

/// What enforcing the proposal would decide of the latest call of a group.
fn then(compiled: &Compiled, agent: &AgentName, group: &Group) -> Decision {
    let version = compiled.agent(agent).map(|entry| entry.version);
    let explained = version.and_then(|version| explained_by(compiled, &group.latest, version));
    explained.map_or(Decision::Deny, |explanation| explanation.decision)
}
