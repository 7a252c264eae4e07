//! Scoped keys: made for a day, shown once, listed without their secret.

use super::{agent_name, usage};
use crate::{
    app::{App, Control},
    control::{Failed, KeyWish},
    exit::Exit,
    limits,
};
use identity::ScopedKey;
use model::{
    ActionId, AgentName, Duration, Name, Network, Timestamp, UpstreamName, record::StateChange,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};
use zeroize::Zeroizing;

/// Where all scoped keys stand in control state.
const ROWS: &str = "scoped-key/";

/// Makes a key. It is in the answer and nowhere else; what is kept is its digest.
pub(super) async fn create(app: &App, wish: KeyWish) -> anyhow::Result<Value> {
    let world = app.gate.world();
    let agent = agent_name(&world.compiled, &wish.agent)?;
    if let Some(code) = world.registry.refused(&agent, app.clock.now()) {
        let message = format!("no key for agent `{agent}`: {}", code.sentence());
        return Err(Failed { exit: Exit::Denied, message }.into());
    }
    let life = life(wish.life.as_deref())?;
    let now = app.clock.now();
    let until = Timestamp::from_seconds(now.after(life).seconds());
    let (upstreams, actions) = scope(app, &agent, &wish)?;
    let networks = read(&wish.networks, Network::parse)?;
    let (mut id, mut secret) = ([0_u8; 6], Zeroizing::new([0_u8; 32]));
    app.entropy.fill(&mut id);
    app.entropy.fill(secret.as_mut_slice());
    let text = Zeroizing::new(ScopedKey::text(&id, &secret));
    let id = hex::encode(id);
    let by = format!("uid {}", rustix::process::getuid().as_raw());
    let hash = ScopedKey::digest(&text);
    let key = ScopedKey { hash, made: now, until, by, actions, upstreams, networks };
    let mut changes = room(app, &agent, now)?;
    let (row, value) = (ScopedKey::row(&agent, &id), Some(key.to_bytes()));
    changes.push(StateChange { key: row, value });
    let reason = format!("scoped key {id} for agent `{agent}`");
    app.control(Control { what: "scoped-key", reason, changes }).await?;
    Ok(json!({
        "key": text.as_str(),
        "id": id,
        "agent": agent.as_str(),
        "scope": in_words(&key),
        "networks": key.networks.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "until": until.to_string(),
        "endpoint": format!("{}/oauth/token", app.settings.base_url),
    }))
}

/// The rows of keys that are over, to be taken away, if the agent may have one more then.
fn room(app: &App, agent: &AgentName, now: Timestamp) -> anyhow::Result<Vec<StateChange>> {
    let over = ended(app, now);
    let own = over.iter().filter(|(of, _)| of == agent).count();
    if of(app, Some(agent)).len().saturating_sub(own) >= limits::SCOPED_KEYS {
        let message = format!(
            "agent `{agent}` has {} scoped keys: one may be made an hour after another has ended",
            limits::SCOPED_KEYS
        );
        return Err(Failed { exit: Exit::Failed, message }.into());
    }
    let state = app.store.state();
    let rows = over
        .iter()
        .flat_map(|(agent, id)| [ScopedKey::row(agent, id), format!("revoked/key/{id}")]);
    let rows = rows.filter(|row| state.rows.contains_key(row));
    Ok(rows.map(|key| StateChange { key, value: None }).collect())
}

/// Every key that is not over for long.
pub(super) fn list(app: &App, agent: Option<&str>) -> anyhow::Result<Value> {
    let agent = agent.map(|agent| agent_name(&app.gate.world().compiled, agent)).transpose()?;
    let (now, state) = (app.clock.now(), app.store.state());
    let row = |(agent, id, key): (AgentName, String, ScopedKey)| {
        let revoked = state.rows.contains_key(&format!("revoked/key/{id}"));
        let standing = match (revoked, key.until > now) {
            (true, _) => "✕ revoked",
            (false, true) => "✓ open",
            (false, false) => "· ended",
        };
        json!({
            "id": id,
            "agent": agent.as_str(),
            "state": standing,
            "scope": in_words(&key),
            "networks": key.networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            "until": key.until.to_string(),
            "made": key.made.to_string(),
            "by": key.by,
        })
    };
    Ok(of(app, agent.as_ref()).into_iter().map(row).collect())
}

/// Whether there is a key of this id.
pub(super) fn is_known(app: &App, id: &str) -> bool {
    ScopedKey::is_id(id) && of(app, None).iter().any(|(_, known, _)| known == id)
}

/// The ids of an agent's keys.
pub(super) fn of_agent(app: &App, agent: &AgentName) -> Vec<String> {
    of(app, Some(agent)).into_iter().map(|(_, id, _)| id).collect()
}

fn of(app: &App, agent: Option<&AgentName>) -> Vec<(AgentName, String, ScopedKey)> {
    let state = app.store.state();
    let below = agent.map_or_else(|| ROWS.to_owned(), ScopedKey::rows);
    let rows = state.rows.range(below.clone()..).take_while(|(key, _)| key.starts_with(&below));
    let read = |(key, row): (&String, &Arc<[u8]>)| {
        let (agent, id) = key.strip_prefix(ROWS)?.split_once('/')?;
        Some((Name::new(agent).ok()?, id.to_owned(), ScopedKey::from_bytes(row)?))
    };
    rows.filter_map(read).collect()
}

/// Keys that ended so long ago that none of their tokens, nor of those that came of them, is alive.
fn ended(app: &App, now: Timestamp) -> Vec<(AgentName, String)> {
    let all = of(app, None).into_iter();
    let over = all.filter(|(_, _, key)| key.until.after(limits::TOKEN_LIFE_MAX) <= now);
    over.map(|(agent, id, _)| (agent, id)).collect()
}

fn life(text: Option<&str>) -> anyhow::Result<Duration> {
    let Some(text) = text else { return Ok(limits::SCOPED_KEY_LIFE) };
    let life = Duration::parse(text).filter(|life| life.0 > 0);
    let life = life.ok_or_else(|| usage(format!("`{text}` is no span: write `8h` or `45m`")))?;
    if life > limits::SCOPED_KEY_MAX {
        let most = limits::SCOPED_KEY_MAX;
        return Err(usage(format!(
            "a scoped key lives at most {most}; run `ambit bridge` with the agent's own key where that is too short"
        )));
    }
    Ok(life)
}

/// What is named must be there for this agent: a key for what it cannot reach is a slip of the pen.
fn scope(
    app: &App,
    agent: &AgentName,
    wish: &KeyWish,
) -> anyhow::Result<(BTreeSet<UpstreamName>, BTreeSet<ActionId>)> {
    let (world, now) = (app.gate.world(), app.clock.now());
    let upstreams = read(&wish.upstreams, UpstreamName::new)?;
    let actions = read(&wish.actions, ActionId::parse)?;
    let sees = |upstream: &UpstreamName, action: Option<&ActionId>| {
        let mut visible = world.compiled.visible(agent, upstream, now);
        visible.any(|entry| action.is_none_or(|action| entry.id == *action))
    };
    let upstream = upstreams.iter().find(|one| !sees(one, None)).map(ToString::to_string);
    let action = actions.iter().find(|one| !sees(&one.upstream, Some(one)));
    if let Some(unseen) = upstream.or_else(|| action.map(ToString::to_string)) {
        return Err(usage(format!(
            "agent `{agent}` does not reach `{unseen}`: `ambit agent show {agent}` says what it does"
        )));
    }
    Ok((upstreams.into_iter().collect(), actions.into_iter().collect()))
}

fn read<T>(
    texts: &[String],
    one: impl Fn(&str) -> Result<T, model::NameError>,
) -> anyhow::Result<Vec<T>> {
    if texts.len() > limits::SCOPED_KEY_NAMES {
        return Err(usage(format!(
            "a scoped key names at most {} of a kind",
            limits::SCOPED_KEY_NAMES
        )));
    }
    let read = |text: &String| one(text).map_err(|error| usage(error.to_string()));
    texts.iter().map(read).collect()
}

fn in_words(key: &ScopedKey) -> String {
    if key.is_whole() {
        return "all that the agent does".to_owned();
    }
    let upstreams = key.upstreams.iter().map(|upstream| format!("{upstream}.*"));
    let actions = key.actions.iter().map(ToString::to_string);
    upstreams.chain(actions).collect::<Vec<_>>().join(", ")
}
