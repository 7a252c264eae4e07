//! Stops: freezing what a selector names, and revoking tokens, agents and tasks. When they return, nothing that they
//! name reaches an upstream, and what was under way has ended.

use super::{
    selector::{self, Selected},
    traces::{each_record, envelope, read, text},
    usage,
};
use crate::{
    app::{App, Control, Old, directory::drop_pins, registry},
    control::Which,
    limits,
};
use model::{
    AgentName, Digest, TaskId, Timestamp, TokenId,
    record::{RecordKind, StateChange},
};
use serde_json::{Value, json};
use store::Filter;

/// The row of a frozen agent.
pub(super) fn frozen(agent: &AgentName) -> String {
    format!("frozen/agent/{agent}")
}

/// Takes a new token-signing key into use at once.
pub(super) async fn rotate_key(app: &App, withdraw: bool) -> anyhow::Result<Value> {
    app.rotate_now(if withdraw { Old::Withdraw } else { Old::Overlap }).await?;
    Ok(json!({ "kid": app.signing.load().kid(), "withdrawn": withdraw }))
}

/// Takes a new authority for agents' certificates into use at once. Where the old one is withdrawn, so is what came of
/// its certificates: forged ones may have bought tokens.
pub(super) async fn rotate_authority(app: &App, withdraw: bool) -> anyhow::Result<Value> {
    app.rotate_authority(if withdraw { Old::Withdraw } else { Old::Overlap }).await?;
    let mut ended = 0;
    if withdraw {
        let by_certificate = |said: &Value| text(said, "via").as_deref() == Some("tls_client_auth");
        let tokens = bought(app, &[], by_certificate).await?;
        ended = tokens.len();
        end_tokens(app, tokens, "bought with a certificate of the withdrawn authority").await?;
    }
    Ok(json!({
        "believed": app.authorities(),
        "withdrawn": withdraw,
        "tokens_ended": ended,
        "calls_ended": calls_ended(app).await,
    }))
}

/// Stops what the selector names until a person lets it go.
pub(super) async fn freeze(
    app: &App,
    selector: &str,
    effects: &[String],
    reason: String,
) -> anyhow::Result<Value> {
    let selected = selector::read(&app.gate.world(), selector, effects)?;
    let change =
        |one: &Selected| StateChange { key: one.row(), value: Some(because(app, &reason)) };
    let changes = selected.iter().map(change).collect();
    app.control(Control { what: "freeze", reason: reason.clone(), changes }).await?;
    Ok(json!({
        "frozen": true,
        "selected": names(&selected),
        "reason": reason,
        "calls_ended": calls_ended(app).await,
        "control_revision": app.gate.world().revision,
    }))
}

/// What can be let go again after it was revoked; tokens, tasks, instances and versions cannot.
const RETURNS: [&str; 4] = ["agent", "user", "owner", "upstream"];

/// Lets go what was frozen; an agent, human, owner or upstream also of its revocation.
pub(super) async fn unfreeze(
    app: &App,
    selector: &str,
    effects: &[String],
    reason: String,
) -> anyhow::Result<Value> {
    let selected = selector::read(&app.gate.world(), selector, effects)?;
    let revoked = selected.iter().filter(|one| RETURNS.contains(&one.kind));
    let revoked: Vec<_> = revoked.map(|one| format!("revoked/{}/{}", one.kind, one.name)).collect();
    let state = app.store.state();
    for one in selected.iter().filter(|one| one.kind == "agent") {
        // It comes back with new tokens: whoever has a copy of one from before comes back with nothing.
        let agent = AgentName::new(&one.name)?;
        if state.rows.contains_key(&format!("revoked/agent/{agent}")) {
            let of_before = bought(app, &[agent], |_| true).await?;
            end_tokens(app, of_before, &format!("of agent `{}`, which was revoked", one.name))
                .await?;
        }
    }
    let rows = selected.iter().map(Selected::row).chain(revoked);
    let rows = rows.filter(|key| state.rows.contains_key(key));
    let changes: Vec<_> = rows.map(|key| StateChange { key, value: None }).collect();
    let changed = !changes.is_empty();
    if changed {
        app.control(Control { what: "unfreeze", reason, changes }).await?;
    }
    Ok(json!({ "frozen": false, "selected": names(&selected), "changed": changed }))
}

/// Everything that is frozen, and agents that are revoked, with since when and why.
pub(super) fn list(app: &App) -> Value {
    let state = app.store.state();
    let row = |(key, row): (&String, &std::sync::Arc<[u8]>)| {
        let (how, what) = match key.strip_prefix("frozen/") {
            Some(what) => ("frozen", what),
            None => ("revoked", key.strip_prefix("revoked/")?),
        };
        let (kind, name) = what.split_once('/')?;
        if how == "revoked" && !RETURNS.contains(&kind) {
            return None;
        }
        let row = read(row);
        let selector = if kind == "all" { "all".to_owned() } else { format!("{kind}:{name}") };
        Some(json!({
            "selector": selector, "how": how, "since": text(&row, "at"), "reason": text(&row, "reason"),
        }))
    };
    state.rows.iter().filter_map(row).collect()
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
        Which::Task => {
            let task = TaskId::parse(name).filter(|task| app.gate.task(*task).is_some());
            task.map(|task| task.to_string())
        }
        Which::Agent | Which::User | Which::Owner | Which::Upstream => {
            let selector = format!("{}:{name}", which.as_str());
            let selected = selector::read(&app.gate.world(), &selector, &[])?;
            selected.into_iter().next().map(|one| one.name)
        }
        Which::Key => super::keys::is_known(app, name).then(|| name.to_owned()),
        Which::Version => Digest::from_hex(name).map(|digest| digest.to_string()),
        Which::Instance => is_thumbprint(name).then(|| name.to_owned()),
    };
    let name =
        known.ok_or_else(|| usage(format!("`{name}` is not the id of a {}", which.as_str())))?;
    let key = format!("revoked/{}/{name}", which.as_str());
    let value = match which {
        // It has ended by then, whenever it was issued.
        Which::Token => ended_by(app, &reason),
        Which::Task
        | Which::Key
        | Which::Agent
        | Which::Instance
        | Which::Version
        | Which::User
        | Which::Owner
        | Which::Upstream => because(app, &reason),
    };
    let buyers = match which {
        Which::Instance => Some(agents_with(app, &name)),
        _ => None,
    };
    let mut changes = vec![StateChange { key, value: Some(value) }];
    if matches!(which, Which::Agent) {
        // A revision that no earlier drop had, since each drop is a change.
        changes.push(drop_pins(&name, app.gate.world().revision.saturating_add(1)));
        // Let go again, it comes with new ones: a copied key does not come back with it.
        let keys = super::keys::of_agent(app, &AgentName::new(&name)?).into_iter();
        changes.extend(keys.map(|id| StateChange {
            key: format!("revoked/key/{id}"),
            value: Some(because(app, &reason)),
        }));
    }
    app.control(Control { what: "revoke", reason: reason.clone(), changes }).await?;
    if let Some(buyers) = buyers {
        // Those that are bound to another key do not end with this one, which buys no more by now.
        let other = |said: &Value| {
            let is = |member: &str| text(said, member).as_deref() == Some(name.as_str());
            is("key") && !is("instance")
        };
        let tokens = bought(app, &buyers, other).await?;
        end_tokens(app, tokens, &format!("bought with the revoked key {name}: {reason}")).await?;
    }
    Ok(json!({ "revoked": which.as_str(), "name": name, "calls_ended": calls_ended(app).await }))
}

/// The agents that a key is one of.
fn agents_with(app: &App, key: &str) -> Vec<AgentName> {
    let (state, world) = (app.store.state(), app.gate.world());
    let has = |agent: &&AgentName| {
        registry::keys_of(&state, agent).is_some_and(|keys| keys.contains(key))
    };
    world.compiled.agents().filter(has).cloned().collect()
}

/// Tokens that may still live and whose record fits, of these agents. Where there are none, a certificate may name the key
/// that is asked for: then every agent's tokens are looked through.
async fn bought(
    app: &App,
    buyers: &[AgentName],
    fits: impl Fn(&Value) -> bool,
) -> anyhow::Result<Vec<String>> {
    let now = app.clock.now();
    let mut found = Vec::new();
    let lately = Filter {
        kind: Some(RecordKind::Token),
        since: Some(Timestamp(now.0.saturating_sub(limits::TOKEN_LIFE_MAX.0))),
        ..Filter::default()
    };
    let each: Vec<Option<String>> = match buyers {
        [] => vec![None],
        some => some.iter().map(|agent| Some(agent.to_string())).collect(),
    };
    for agent in each {
        let see = |record: &store::Record| {
            let said = envelope(record);
            found.extend(text(&said, "token").filter(|_| fits(&said)));
        };
        each_record(app, Filter { agent, ..lately.clone() }, see).await?;
    }
    Ok(found)
}

async fn end_tokens(app: &App, tokens: Vec<String>, reason: &str) -> anyhow::Result<()> {
    let value = ended_by(app, reason);
    let revoked = |token: String| StateChange {
        key: format!("revoked/token/{token}"),
        value: Some(value.clone()),
    };
    for changes in registry::portions(tokens.into_iter().map(revoked).collect()) {
        app.control(Control { what: "revoke", reason: reason.to_owned(), changes }).await?;
    }
    Ok(())
}

/// 43 characters of base64url: the SHA-256 of a key (RFC 7638).
fn is_thumbprint(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.len() == 43 && text.chars().all(allowed)
}

/// Whether every call that a stop meant has ended; one that has not is cut as soon as its outcome can be written.
pub(crate) async fn calls_ended(app: &App) -> bool {
    let ended = app.gate.stopped_calls_ended(limits::STOPPED_CALLS).await;
    if !ended {
        tracing::error!("a call that was stopped is still being closed");
    }
    ended
}

fn names(selected: &[Selected]) -> Vec<String> {
    selected.iter().map(Selected::text).collect()
}

fn ended_by(app: &App, reason: &str) -> Vec<u8> {
    let now = app.clock.now();
    let until = now.after(limits::SIGNING_KEY_OVERLAP).seconds();
    gate::json::object([
        ("at", now.to_string().as_str().into()),
        ("reason", reason.into()),
        ("until", canonical::Value::Integer(until)),
        ("v", canonical::Value::Integer(1)),
    ])
    .to_bytes()
}

fn because(app: &App, reason: &str) -> Vec<u8> {
    let at = app.clock.now().to_string();
    let v = canonical::Value::Integer(1);
    gate::json::object([("at", at.as_str().into()), ("reason", reason.into()), ("v", v)]).to_bytes()
}

/// Ends a task: nothing reaches anything under it when this returns.
pub(crate) async fn end_task(app: &App, id: TaskId, reason: String) -> anyhow::Result<()> {
    revoke(app, Which::Task, &id.to_string(), reason).await.map(drop)
}
