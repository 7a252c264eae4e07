//! The end of an agent: first what it has, then it is taken away, then what is left that Ambit cannot take away.

use super::{
    holds::calls_ended,
    registry::{registered, wrong},
    traces::{each_record, envelope, up_to_date},
};
use crate::{
    app::{App, Control, agent_key_name, registry, world},
    limits,
};
use model::{
    ActionId, AgentName, TaskId, Timestamp,
    declared::{Agent, Declared, Proof},
    record::{RecordKind, StateChange},
};
use policy::TaskFacts;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use store::{Filter, Kept};

/// Everything that an agent has, as of now.
#[derive(Clone)]
struct Holdings {
    keys: Vec<String>,
    instances: Vec<String>,
    tasks: Vec<TaskId>,
    asks: Vec<model::AskId>,
    grants: BTreeMap<String, usize>,
    codes: Vec<String>,
    /// Ids of its scoped keys.
    scoped: Vec<String>,
    /// Agents that may act for it, and that it may act for.
    delegated: Vec<String>,
    /// Clients that open tasks of it.
    clients: Vec<String>,
    /// What the ledger keeps of it.
    kept: Vec<Kept>,
}

/// Shows what would be ended; with `yes`, ends it for good.
pub(super) async fn decommission(
    app: &App,
    agent: &str,
    reason: String,
    yes: bool,
) -> anyhow::Result<Value> {
    let (name, registration) = registered(app, agent)?;
    let found = holdings(app, &name).await?;
    if !yes {
        let residual = residual(app, &name).await?;
        // A state that has no way here says so before anyone confirms.
        let ended = registration.state.decommission(String::new(), String::new(), Timestamp(0));
        drop(ended.map_err(|error| wrong(&name, &error))?);
        return Ok(json!({
            "agent": name.as_str(), "done": false, "plan": plan(&found), "residual": residual,
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
    let by = registry::operator();
    let reason = format!("agent `{name}` decommissioned by {by}: {reason}");
    app.control(Control { what: "decommission", reason: reason.clone(), changes }).await?;
    let (mut found, mut open) = (found.clone(), found);
    loop {
        for ask in &open.asks {
            // One that was answered meanwhile is not open any more.
            let _answered =
                app.gate.answer(*ask, false, "decommission", "decommission").await.is_err();
        }
        // What was enrolled or opened while the agent still stood; nothing is any more.
        open = holdings(app, &name).await?;
        let changes = open.removed(app, &name, now);
        if changes.is_empty() {
            break;
        }
        app.control(Control { what: "decommission", reason: reason.clone(), changes }).await?;
        found.add(&open);
    }
    app.gate.end_local_servers_of(&name);
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
        "ended": plan(&found),
        "residual": residual(app, &name).await?,
        "checkpoint": signed.get("checkpoint"),
    }))
}

async fn holdings(app: &App, name: &AgentName) -> anyhow::Result<Holdings> {
    let (state, now) = (app.store.state(), app.clock.now());
    let keys = registry::keys_of(&state, name);
    let keys = keys.iter().flat_map(|keys| keys.thumbprints().map(str::to_owned)).collect();
    let below = |prefix: String| -> Vec<String> {
        registry::below(&state, prefix).map(|(name, _)| name.to_owned()).collect()
    };
    let tasks = app.store.live_prefix("task/");
    let tasks = tasks.iter().filter_map(|(_, row)| TaskFacts::from_bytes(row).ok());
    let is_open = |task: &TaskFacts| {
        let ended = format!("revoked/task/{}", task.id);
        task.agent == *name && task.expires > now && !state.rows.contains_key(&ended)
    };
    let tasks = tasks.filter(is_open);
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
        scoped: below(identity::ScopedKey::rows(name)),
        delegated: delegated(app.gate.world().compiled.declared(), name),
        clients: clients(app.gate.world().compiled.declared(), name),
        kept: kept(app, name).await?,
    })
}

/// Clients that open tasks of it: their keys stay, and open nothing for it any more.
fn clients(declared: &Declared, name: &AgentName) -> Vec<String> {
    let own = declared.clients.iter().filter(|(_, client)| client.agent.as_ref() == Some(name));
    own.map(|(client, _)| client.to_string()).collect()
}

/// What the ledger has of it, counted.
async fn kept(app: &App, name: &AgentName) -> anyhow::Result<Vec<Kept>> {
    up_to_date(app).await?;
    let (store, name) = (Arc::clone(&app.store), name.to_string());
    Ok(tokio::task::spawn_blocking(move || store.index().kept_of(&name)).await??)
}

/// How many records there are, and since when.
fn counted(kept: &[Kept]) -> (u64, Option<Timestamp>) {
    (kept.iter().map(|kept| kept.count).sum(), kept.iter().map(|kept| kept.since).min())
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
    let (count, since) = counted(&found.kept);
    let held = since.map(|since| format!("records in the ledger since {since}; they stay"));
    json!([
        { "what": "keys", "count": found.keys.len(), "which": found.keys.join(", ") },
        { "what": "instances", "count": found.instances.len(), "which": found.instances.join(", ") },
        { "what": "enrolment codes", "count": found.codes.len(), "which": "" },
        { "what": "scoped keys", "count": found.scoped.len(), "which": found.scoped.join(", ") },
        { "what": "upstream grants", "count": found.grants.len(), "which": grants.join(", ") },
        { "what": "delegations", "count": found.delegated.len(), "which": found.delegated.join(", ") },
        { "what": "clients", "count": found.clients.len(), "which": found.clients.join(", ") },
        { "what": "open tasks", "count": tasks.len(), "which": tasks.join(", ") },
        { "what": "open asks", "count": asks.len(), "which": asks.join(", ") },
        { "what": "data held", "count": count, "which": held },
    ])
}

impl Holdings {
    /// Takes in what came after it was looked for.
    fn add(&mut self, later: &Holdings) {
        self.instances.extend(later.instances.iter().cloned());
        self.codes.extend(later.codes.iter().cloned());
        self.tasks.extend(&later.tasks);
    }

    /// The rows that are taken away.
    fn removed(&self, app: &App, name: &AgentName, now: Timestamp) -> Vec<StateChange> {
        let state = app.store.state();
        let gone = |key: String| StateChange { key, value: None };
        let rows = std::iter::once(format!("{}{name}", world::AGENT_KEYS))
            .chain(self.instances.iter().map(|id| registry::instances_of(name) + id))
            .chain(self.codes.iter().map(|id| registry::codes_of(name) + id));
        let scoped = identity::ScopedKey::rows(name);
        let scoped = registry::below(&state, scoped.clone())
            .flat_map(|(id, _)| [format!("{scoped}{id}"), format!("revoked/key/{id}")]);
        let rows = rows.chain(scoped.collect::<Vec<_>>());
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
    let kept = kept(app, name).await?;
    upstreams(declared, name, &kept, &mut add);
    tokens(app, declared, name, &mut add).await?;
    certificates(app, name, &mut add).await?;
    for (action, times) in sent(app, &kept)? {
        let why = "what left is with whoever received it".to_owned();
        add("data sent out", format!("{action} ({times} calls)"), why);
    }
    let (count, since) = counted(&kept);
    let since = since.map_or_else(String::new, |since| format!(", since {since}"));
    let why = "the ledger keeps what it did; personal parts go with the keys of their month";
    add("records", format!("{count} of its records{since}"), why.to_owned());
    if let Some(agent) = declared.agents.get(name) {
        outside(agent, &mut add);
    }
    named(declared, name, &mut add);
    Ok(Value::Array(out))
}

/// What else can show that somebody is this agent, and lies elsewhere.
fn outside(agent: &Agent, add: &mut impl FnMut(&str, String, String)) {
    if let Some(path) = &agent.credentials.keys {
        let why = "its private half is with whoever runs the agent; it opens nothing here";
        add("key outside", path.clone(), why.to_owned());
    }
    let why = "whoever issues it there still does; it opens nothing here";
    if let Some(id) = &agent.credentials.spiffe_id {
        add("workload outside", id.to_string(), why.to_owned());
    }
    for foreign in &agent.credentials.federated {
        let which = format!("{} at {}", foreign.subject, foreign.issuer);
        add("workload outside", which, why.to_owned());
    }
}

/// Where the declared state still names it: none of it has an effect any more.
fn named(declared: &Declared, name: &AgentName, add: &mut impl FnMut(&str, String, String)) {
    let mut line = |line: u32, why: &str| {
        add("declaration", format!("ambit.yaml:{line}"), why.to_owned());
    };
    if let Some(agent) = declared.agents.get(name) {
        line(agent.line, "the file still declares it: remove the block; the name stays taken");
    }
    for (other, agent) in declared.agents.iter().filter(|(other, _)| *other != name) {
        if agent.may_act.contains(name) {
            line(agent.line, &format!("`{other}` still lists it in `may_act`: remove it there"));
        }
    }
    for client in declared.clients.values().filter(|client| client.agent.as_ref() == Some(name)) {
        line(client.line, "a client for its tasks, whose key stays: it opens none; remove it");
    }
    let quoted = format!("\"{name}\"");
    for policy in declared.policies.iter().filter(|policy| policy.text.contains(&quoted)) {
        let why = "a policy still names it: remove what is of no use";
        add("policy", policy.path.clone(), why.to_owned());
    }
}

/// How often each of its actions that carry data out was begun, as its first and its last record say.
fn sent(app: &App, kept: &[Kept]) -> anyhow::Result<BTreeMap<String, u64>> {
    let leaves = |sequence: u64| -> anyhow::Result<bool> {
        let Some(record) = app.store.read(sequence)? else { return Ok(false) };
        let said = envelope(&record);
        let text = |member: &str| said.get(member).and_then(Value::as_str).unwrap_or_default();
        Ok(text("sink") == "external" || matches!(text("effect"), "send" | "transfer"))
    };
    let mut sent = BTreeMap::new();
    for kept in kept.iter().filter(|kept| kept.kind == RecordKind::Opened.number()) {
        if leaves(kept.first)? || leaves(kept.last)? {
            let action = kept.action.clone().unwrap_or_default();
            let times = sent.entry(action).or_insert(0_u64);
            *times = times.saturating_add(kept.count);
        }
    }
    Ok(sent)
}

/// Credentials at upstreams, which the agent has never seen: who else lives on them decides what can be done.
fn upstreams(
    declared: &Declared,
    name: &AgentName,
    kept: &[Kept],
    add: &mut impl FnMut(&str, String, String),
) {
    let reaches = |agent: &AgentName| -> BTreeSet<_> {
        let boundary = declared.agents.get(agent).map(|agent| &agent.boundary);
        let boundary = boundary.and_then(|boundary| declared.boundaries.get(boundary));
        boundary.map(|boundary| boundary.upstreams.clone()).unwrap_or_default()
    };
    // What it has used counts as well, where its block is gone or says otherwise by now.
    let opened = kept.iter().filter(|kept| kept.kind == RecordKind::Opened.number());
    let used = opened.filter_map(|kept| ActionId::parse(kept.action.as_deref()?).ok());
    let used = used.map(|action| action.upstream);
    for upstream in reaches(name).into_iter().chain(used).collect::<BTreeSet<_>>() {
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

/// What was handed out lately: the longest life of a token ago.
fn lately(app: &App, agent: &AgentName) -> Filter {
    let since = app.clock.now().0.saturating_sub(limits::TOKEN_LIFE_MAX.0);
    Filter {
        agent: Some(agent.to_string()),
        kind: Some(RecordKind::Token),
        since: Some(Timestamp(since)),
        ..Filter::default()
    }
}

/// Tokens that were handed out and have not ended by themselves: its own, and those that others got for them.
async fn tokens(
    app: &App,
    declared: &Declared,
    name: &AgentName,
    add: &mut impl FnMut(&str, String, String),
) -> anyhow::Result<()> {
    let now = app.clock.now();
    for holder in holders(declared, name) {
        let (mut latest, mut count) = (None, 0_usize);
        let see = |record: &store::Record| {
            let said = envelope(record);
            let came_of_it = |chain: &Value| {
                let links = chain.as_array().into_iter().flatten();
                links
                    .into_iter()
                    .any(|link| link.get("agent").is_some_and(|agent| agent == name.as_str()))
            };
            let counts = holder == *name || said.get("chain").is_some_and(came_of_it);
            let life = said.get("ttl").and_then(Value::as_i64).filter(|_| counts);
            let ends = life.map(|life| record.leaf.at.after(model::Duration::seconds(life)));
            if let Some(ends) = ends.filter(|ends| *ends > now) {
                count = count.saturating_add(1);
                latest = latest.max(Some(ends));
            }
        };
        each_record(app, lately(app, &holder), see).await?;
        let Some(latest) = latest else { continue };
        let agent = declared.agents.get(&holder);
        let bearer = agent.is_some_and(|agent| agent.credentials.proof == Proof::None);
        let how = if bearer { "bearer tokens" } else { "bound tokens" };
        let whose = if holder == *name { String::new() } else { format!(" of {holder}") };
        let why = format!(
            "at Ambit their remaining life is zero, each request asks the registry; whoever verifies them by the published keys alone believes them until {latest}"
        );
        add("tokens", format!("{count} {how}{whose}"), why);
    }
    Ok(())
}

/// Who can hold tokens that came of its own: itself, and whom `may_act` hands them on to.
fn holders(declared: &Declared, name: &AgentName) -> BTreeSet<AgentName> {
    let mut all = BTreeSet::from([name.clone()]);
    for _ in 1..identity::limits::CHAIN_AGENTS {
        let next = all.iter().filter_map(|agent| declared.agents.get(agent));
        let next: Vec<_> = next.flat_map(|agent| agent.may_act.iter().cloned()).collect();
        all.extend(next);
    }
    all
}

/// Certificates that were signed for it and have not ended by themselves.
async fn certificates(
    app: &App,
    name: &AgentName,
    add: &mut impl FnMut(&str, String, String),
) -> anyhow::Result<()> {
    let since = app.clock.now().0.saturating_sub(identity::limits::CERTIFICATE_LIFE.0);
    let filter = Filter { since: Some(Timestamp(since)), ..lately(app, name) };
    let mut count = 0_usize;
    let see = |record: &store::Record| {
        let said = envelope(record);
        let is = |member: &str, text: &str| said.get(member).is_some_and(|found| found == text);
        let signed = is("operation", "certificate") && is("decision", "allow");
        count = count.saturating_add(usize::from(signed));
    };
    each_record(app, filter, see).await?;
    if count > 0 {
        let why = "none is taken here any more; whoever believes the authority's certificate alone takes them until they end";
        add("certificates", format!("{count} signed lately"), why.to_owned());
    }
    Ok(())
}
