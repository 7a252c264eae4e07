//! Probes what an operator would look at first: data, disk, clock, upstreams, pins, secrets, agents.

use crate::{
    app::{
        App,
        registry::{self, Ground, Living},
        world,
    },
    limits,
};
use model::{
    ActionId, Name,
    declared::{CredentialSource, Upstream, UpstreamKind},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::Arc,
};

/// How a probe came out.
#[derive(Clone, Copy)]
enum State {
    Ok,
    Warn,
    Fail,
}

/// The probes so far.
#[derive(Default)]
struct Probes(Vec<Value>);

impl Probes {
    fn add(&mut self, state: State, probe: &str, found: impl Into<String>, fix: &str) {
        let state = match state {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail => "fail",
        };
        let fix = if fix.is_empty() { Value::Null } else { fix.into() };
        self.0.push(json!({ "state": state, "probe": probe, "found": found.into(), "fix": fix }));
    }
}

/// Runs every probe.
pub(super) async fn doctor(app: &Arc<App>) -> anyhow::Result<Value> {
    let mut probes = Probes::default();
    data(&app.settings.data, &mut probes);
    disk(&app.settings.data, &mut probes);
    clock(app, &mut probes);
    let state = app.store.state();
    let declared = world::declared(&state)?;
    match app.gate.know_upstreams(&declared, app.given()?) {
        Ok(()) => probes.add(State::Ok, "secrets", "every referenced secret is there", ""),
        Err(errors) => {
            for error in errors {
                probes.add(
                    State::Fail,
                    "secrets",
                    error.to_string(),
                    "put it there, then `ambit apply`",
                );
            }
        }
    }
    for (name, upstream) in &declared.upstreams {
        reach(app, name, upstream, &mut probes).await;
    }
    pins(app, &mut probes);
    accounts(app, &mut probes);
    agents(app, &mut probes);
    keys(app, &mut probes);
    match app.store.stopped() {
        None => probes.add(State::Ok, "ledger", format!("{} records", app.store.size()), ""),
        Some(why) => probes.add(
            State::Fail,
            "ledger",
            why,
            "the ledger admits nothing: look at its log, then restart",
        ),
    }
    Ok(Value::Array(probes.0))
}

/// Agents that the registry does not let act, and owners who are about to be forgotten.
fn registered(app: &App, probes: &mut Probes) {
    let world = app.gate.world();
    let (state, now) = (app.store.state(), app.clock.now());
    let declared = world.compiled.declared();
    let living = Living::new(&state, declared);
    let term = Ground::of(&state).term;
    for (name, agent) in &declared.agents {
        let owner = &agent.owner;
        let until = living.answered_until(agent);
        match super::registry::vigour(until, term, now) {
            word if word.starts_with('✕') => {
                let found = format!("nobody who answers for `{name}` is known to be alive");
                let fix = format!("`ambit owner confirm {owner}`");
                probes.add(State::Fail, "owner", found, &fix);
            }
            word if word.starts_with('!') => {
                let until = until.map(|until| until.to_string()).unwrap_or_default();
                let found = format!("who answers for `{name}` is known to be alive until {until}");
                let fix = format!("`ambit owner confirm {owner}`");
                probes.add(State::Warn, "owner", found, &fix);
            }
            _ => {}
        }
        review_due(name, agent, &state, now, probes);
        let refused = world.registry.refused(name, now);
        if let Some(code) = refused.filter(|code| *code != model::Code::OwnerAbsent) {
            let found = format!("agent `{name}` does not act: {}", code.sentence());
            let fix = format!("`ambit agent show {name}` says how it got there");
            probes.add(State::Warn, "registry", found, &fix);
        }
    }
}

/// Keys of agents that are refused for their age, or soon will be.
fn keys(app: &App, probes: &mut Probes) {
    let fix = "give the agent a new key in `credentials: keys`, then `ambit apply`";
    for key in app.aging_keys() {
        let state = if key.is_refused(app.clock.now()) { State::Fail } else { State::Warn };
        probes.add(state, "key", key.told(app.clock.now()), fix);
    }
}

/// A review that is due soon or overdue, and a draft that ends soon.
fn review_due(
    name: &Name,
    agent: &model::declared::Agent,
    state: &store::State,
    now: model::Timestamp,
    probes: &mut Probes,
) {
    let Ok(Some(known)) = registry::registration(state, name) else { return };
    let fix = format!("`ambit agent review {name}`");
    if let model::Lifecycle::Draft { ends, .. } = &known.state {
        let found = format!("agent `{name}` is a draft until {ends}");
        probes.add(State::Warn, "review", found, &fix);
    }
    let every = agent.governance.review.as_ref().and_then(|review| review.every);
    let due = registry::review_due(agent, &known.state);
    if let (Some(every), Some(due)) = (every, due)
        && due.since(now).0 <= every.0 / 5
    {
        let found = format!("the review of agent `{name}` is due at {due}");
        probes.add(State::Warn, "review", found, &fix);
    }
}

/// The data directory is its owner's alone, and so are the keys in it.
fn data(data: &Path, probes: &mut Probes) {
    let own = rustix::process::geteuid().as_raw();
    let mut sound = true;
    for (path, wanted) in
        [(data.to_owned(), 0o700), (data.join("keys"), 0o700), (data.join("keys/kek"), 0o600)]
    {
        let Ok(found) = std::fs::metadata(&path) else { continue };
        let mode = found.mode() & 0o777;
        if mode & !wanted != 0 {
            sound = false;
            let fix = format!("chmod {wanted:o} {}", path.display());
            probes.add(
                State::Fail,
                "data directory",
                format!("`{}` has mode {mode:o}", path.display()),
                &fix,
            );
        }
        if found.uid() != own {
            sound = false;
            let what = format!(
                "`{}` belongs to uid {}, this gate runs as {own}",
                path.display(),
                found.uid()
            );
            probes.add(
                State::Fail,
                "data directory",
                what,
                "run the gate as the owner of its data",
            );
        }
    }
    if sound {
        probes.add(
            State::Ok,
            "data directory",
            format!("`{}` is its owner's alone", data.display()),
            "",
        );
    }
}

fn disk(data: &Path, probes: &mut Probes) {
    match rustix::fs::statvfs(data) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let shown = format!("{} MiB free", free / (1024 * 1024));
            match free {
                free if free < limits::DISK_FULL => {
                    probes.add(
                        State::Fail,
                        "disk",
                        shown,
                        "make room: without it nothing can be recorded, so nothing is admitted",
                    );
                }
                free if free < limits::DISK_LOW => {
                    probes.add(State::Warn, "disk", shown, "make room, or move the data directory");
                }
                _ => probes.add(State::Ok, "disk", shown, ""),
            }
        }
        Err(error) => probes.add(State::Warn, "disk", error.to_string(), ""),
    }
}

/// A clock that was set back makes expired things valid again: the ledger remembers the latest time it saw.
fn clock(app: &App, probes: &mut Probes) {
    let now = app.clock.now();
    let last = app.store.size().checked_sub(1).and_then(|last| app.store.read(last).ok().flatten());
    match last {
        Some(last) if last.leaf.at > now.after(model::Duration::seconds(1)) => {
            let found = format!("it is {now}, and the last record is of {}", last.leaf.at);
            probes.add(
                State::Fail,
                "clock",
                found,
                "set the clock: it runs behind what was recorded",
            );
        }
        _ => probes.add(State::Ok, "clock", now.to_string(), ""),
    }
}

async fn reach(app: &Arc<App>, name: &Name, upstream: &Upstream, probes: &mut Probes) {
    let probe = format!("upstream {name}");
    let fix = "start it, or correct its URL and credential";
    if upstream.kind == UpstreamKind::Mcp {
        let asked = tokio::time::timeout(limits::PROBE, app.gate.definitions_of(name)).await;
        match asked {
            Ok(Ok(definitions)) => {
                probes.add(State::Ok, &probe, format!("answers, {} tools", definitions.len()), "");
            }
            Ok(Err(error)) => probes.add(State::Fail, &probe, error.to_string(), fix),
            Err(_) => probes.add(
                State::Fail,
                &probe,
                format!("no answer within {:?}", limits::PROBE),
                fix,
            ),
        }
        return;
    }
    let Ok(url) = url::Url::parse(&upstream.url) else { return };
    let address =
        (url.host_str().unwrap_or_default().to_owned(), url.port_or_known_default().unwrap_or(80));
    let connecting = tokio::net::TcpStream::connect(address);
    match tokio::time::timeout(limits::PROBE, connecting).await {
        Ok(Ok(_)) => probes.add(State::Ok, &probe, "accepts connections", ""),
        Ok(Err(error)) => probes.add(State::Fail, &probe, error.to_string(), fix),
        Err(_) => probes.add(
            State::Fail,
            &probe,
            format!("no connection within {:?}", limits::PROBE),
            fix,
        ),
    }
}

/// Declared tools that no pin stands behind, and definitions that changed.
fn pins(app: &App, probes: &mut Probes) {
    let world = app.gate.world();
    let mut sound = true;
    for action in &world.quarantined {
        sound = false;
        let fix = format!("look at it, then `ambit upstream pin {}`", action.upstream);
        probes.add(State::Fail, "pins", format!("the definition of `{action}` changed"), &fix);
    }
    for (name, upstream) in &world.compiled.declared().upstreams {
        if upstream.kind != UpstreamKind::Mcp {
            continue;
        }
        let named =
            upstream.actions.keys().filter_map(|tool| ActionId::new(name.clone(), tool).ok());
        for action in named.filter(|action| !world.definitions.contains_key(action)) {
            sound = false;
            let fix = "correct its name, or let the upstream offer it";
            probes.add(
                State::Warn,
                "pins",
                format!("`{action}` was never seen at its upstream, so it is refused"),
                fix,
            );
        }
    }
    if sound {
        probes.add(
            State::Ok,
            "pins",
            format!("{} definitions pinned", world.definitions.len()),
            "",
        );
    }
}

/// Accounts at upstreams that several agents share: the upstream's own log cannot tell them apart by account.
fn accounts(app: &App, probes: &mut Probes) {
    let world = app.gate.world();
    let declared = world.compiled.declared();
    let mut users: BTreeMap<String, (BTreeSet<&Name>, BTreeSet<&Name>)> = BTreeMap::new();
    for (name, upstream) in &declared.upstreams {
        let Some(source) = &upstream.credential else { continue };
        let secret = match source {
            CredentialSource::Env(name) => format!("env:{name}"),
            CredentialSource::File(path) => format!("file:{path}"),
            CredentialSource::Secret(name) => format!("secret:{name}"),
            // Each human has her own.
            CredentialSource::SecretOfUser(_) => continue,
        };
        let (upstreams, agents) = users.entry(secret).or_default();
        upstreams.insert(name);
        let now = app.clock.now();
        let reaching = world
            .compiled
            .agents()
            .filter(|agent| world.compiled.visible(agent, name, now).next().is_some());
        agents.extend(reaching);
    }
    let mut sound = true;
    for (secret, (upstreams, agents)) in users {
        let list = |names: &BTreeSet<&Name>| {
            names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
        };
        if agents.len() > 1 {
            sound = false;
            let found = format!(
                "`{secret}` of {} is used for several agents: {}",
                list(&upstreams),
                list(&agents)
            );
            probes.add(State::Warn, "shared accounts", found, "give each agent an account of its own at the upstream, or tell them apart there by the `Ambit-Action` header");
        }
        if upstreams.len() > 1 {
            sound = false;
            let found = format!("`{secret}` opens several upstreams: {}", list(&upstreams));
            probes.add(State::Warn, "shared accounts", found, "use one secret for each upstream");
        }
    }
    if sound {
        probes.add(State::Ok, "shared accounts", "no upstream's secret serves several agents", "");
    }
}

fn agents(app: &App, probes: &mut Probes) {
    for (agent, until) in super::observed(app) {
        let fix = "`ambit report would` says what enforcing would refuse";
        probes.add(
            State::Warn,
            "observe",
            format!("nothing holds agent `{agent}` back until {until}"),
            fix,
        );
    }
    let bearers = super::bearers(app);
    for name in &bearers {
        let fix = "use `ambit bridge`, or `proof: dpop` where its client can";
        probes.add(
            State::Warn,
            "bearer tokens",
            format!("tokens of agent `{name}` work for whoever holds them"),
            fix,
        );
    }
    let (tokens, calls) = (app.gate.bearer_tokens(), app.gate.metrics().bearer_calls());
    if !bearers.is_empty() || tokens > 0 || calls > 0 {
        let found = format!(
            "{} agents, {tokens} live tokens that a door has seen, {calls} calls since the start",
            bearers.len()
        );
        probes.add(State::Ok, "bearer use", found, "");
    }
    registered(app, probes);
    let frozen = super::holds::list(app);
    for row in frozen.as_array().into_iter().flatten() {
        let text = |member: &str| row.get(member).and_then(Value::as_str).unwrap_or_default();
        let found = format!("{} since {}: {}", text("selector"), text("since"), text("reason"));
        probes.add(State::Warn, text("how"), found, "`ambit unfreeze` lets it go");
    }
}
