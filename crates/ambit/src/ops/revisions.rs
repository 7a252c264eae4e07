//! The declared states that were in force: kept whole, so that any of them can come back.

use super::{
    apply::{Compared, How, apply_as},
    traces::read,
    usage,
};
use crate::{
    app::{App, world},
    config::{self, Files, write_lock},
    limits, views,
};
use anyhow::Context as _;
use model::record::StateChange;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use store::State;

/// The prefix of the rows of earlier revisions: `history/NUMBER/about` and the texts.
const HISTORY: &str = "history/";
const ABOUT: &str = "about";
const MAIN: &str = "ambit.yaml";

/// What is in force, as files.
pub(super) fn in_force(state: &State) -> anyhow::Result<Files> {
    let text = |bytes: &Arc<[u8]>| String::from_utf8(bytes.to_vec());
    let main = state.rows.get(world::DECLARED).map(text).transpose()?.unwrap_or_default();
    let policies = world::policy_files(state)?;
    let mut keys = BTreeMap::new();
    let declared = world::declared(state)?;
    for (name, client) in declared.clients {
        if let (Some(path), Some(found)) = (client.keys, crate::app::client_keys(state, &name)) {
            keys.insert(path, String::from_utf8(found)?);
        }
    }
    for (name, agent) in declared.agents {
        if let (Some(path), Some(found)) =
            (agent.credentials.keys, world::agent_keys(state, name.as_str()))
        {
            keys.insert(path, String::from_utf8(found)?);
        }
    }
    Ok(Files {
        path: MAIN.to_owned(),
        main,
        policies: policies.into_iter().map(|file| (file.path, file.text)).collect(),
        keys,
        manifests: world::manifests(state)?,
    })
}

/// The rows that keep a state which is about to come into force, and its number. The oldest ones go.
pub(super) fn next(
    app: &App,
    state: &State,
    files: &Files,
    how: &How,
    compared: &Compared,
) -> anyhow::Result<(u64, Vec<StateChange>)> {
    let mut changes = Vec::new();
    let before = in_force(state)?;
    let mut rev = numbers(state).last().copied().unwrap_or(0);
    if rev == 0 && !before.main.is_empty() {
        rev = 1;
        changes.extend(rows(rev, &before, &json!({ "v": 1, "what": "before", "reason": "" }))?);
    }
    rev = rev.saturating_add(1);
    let about = json!({
        "v": 1,
        "what": how.what,
        "reason": how.reason,
        "at": app.clock.now().to_string(),
        "by": format!("uid {}", rustix::process::getuid().as_raw()),
        "widens": compared.widens,
        "access": views::differences(&compared.differences).as_array().map_or(0, Vec::len),
        "replaced": fingerprint(&before),
    });
    changes.extend(rows(rev, files, &about)?);
    changes.extend(surplus(state));
    Ok((rev, changes))
}

/// Every revision that is kept, the oldest first.
pub(super) fn history(app: &App) -> Value {
    let state = app.store.state();
    let row = |rev: u64| {
        let mut about = about(&state, rev)?;
        about.as_object_mut()?.insert("revision".into(), rev.into());
        Some(about)
    };
    numbers(&state).into_iter().filter_map(row).collect()
}

/// Brings a kept revision back into force: compared, tested, recorded like any other change.
pub(super) async fn rollback(
    app: &App,
    revision: &str,
    reason: String,
    skip_tests: bool,
) -> anyhow::Result<Value> {
    let state = app.store.state();
    let numbers = numbers(&state);
    let wanted = match revision {
        "previous" => numbers.iter().rev().nth(1).copied(),
        text => text.parse().ok().filter(|rev| numbers.contains(rev)),
    };
    let rev = wanted.ok_or_else(|| {
        let known: Vec<String> = numbers.iter().map(u64::to_string).collect();
        usage(format!("no revision `{revision}` is kept; there are {}", known.join(", ")))
    })?;
    let files = files(&state, rev)?;
    let patch = super::apply::patch(&in_force(&state)?, &files);
    let loaded = config::from_files(files)?;
    let reason = format!("to revision {rev}: {reason}");
    let how = How { what: "rollback", reason, skip_tests, only_narrows: false };
    let mut applied = apply_as(app, &loaded, how).await?;
    app.ensure_agent_keys().await?;
    if let Some(members) = applied.as_object_mut() {
        members.insert("rolled_back_to".into(), rev.into());
        members.insert("patch".into(), patch.into());
    }
    Ok(applied)
}

/// What is in force, as files with the pinned definitions.
pub(super) fn export(app: &App) -> anyhow::Result<Value> {
    let files = in_force(&app.store.state())?;
    anyhow::ensure!(!files.main.is_empty(), "nothing is applied");
    let world = app.gate.world();
    let pins = world.definitions.iter().map(|(action, value)| (action.to_string(), value));
    let lock = String::from_utf8(write_lock(pins)?)?;
    let mut all: BTreeMap<&str, &str> = BTreeMap::from([(MAIN, files.main.as_str())]);
    let texts = files.policies.iter().chain(&files.keys).chain(&files.manifests);
    all.extend(texts.map(|(path, text)| (path.as_str(), text.as_str())));
    all.insert(config::LOCK_FILE, &lock);
    Ok(json!({ "files": all }))
}

/// Whether anything was ever applied.
pub(crate) fn has_revision(app: &App) -> bool {
    !numbers(&app.store.state()).is_empty()
}

/// Whether these files are what is in force.
pub(crate) fn are_in_force(app: &App, files: &Files) -> bool {
    in_force(&app.store.state()).is_ok_and(|before| fingerprint(&before) == fingerprint(files))
}

/// Whether these files are what the last change, a rollback, has taken out of force.
pub(crate) fn was_rolled_back(app: &App, files: &Files) -> bool {
    let state = app.store.state();
    let last = numbers(&state).last().and_then(|rev| about(&state, *rev));
    last.is_some_and(|about| {
        let text = |member: &str| about.get(member).and_then(Value::as_str);
        text("what") == Some("rollback") && text("replaced") == Some(&fingerprint(files))
    })
}

fn numbers(state: &State) -> Vec<u64> {
    let rows = state.rows.range(HISTORY.to_owned()..);
    let keys = rows.map_while(|(key, _)| key.strip_prefix(HISTORY));
    keys.filter_map(|key| key.strip_suffix(&format!("/{ABOUT}"))?.parse().ok()).collect()
}

fn key(rev: u64, part: &str) -> String {
    format!("{HISTORY}{rev:08}/{part}")
}

fn about(state: &State, rev: u64) -> Option<Value> {
    state.rows.get(&key(rev, ABOUT)).map(|row| read(row))
}

fn rows(rev: u64, files: &Files, about: &Value) -> anyhow::Result<Vec<StateChange>> {
    let row = |part: &str, bytes: Vec<u8>| StateChange { key: key(rev, part), value: Some(bytes) };
    let about = canonical::parse(about.to_string().as_bytes(), &canonical::Limits::ARGUMENTS)?;
    let mut rows = vec![row(ABOUT, about.to_bytes()), row(MAIN, files.main.clone().into_bytes())];
    for (path, text) in &files.policies {
        rows.push(row(path, text.clone().into_bytes()));
    }
    for (path, text) in &files.keys {
        rows.push(row(&format!("keys:{path}"), text.clone().into_bytes()));
    }
    for (path, text) in &files.manifests {
        rows.push(row(&format!("manifest:{path}"), text.clone().into_bytes()));
    }
    Ok(rows)
}

fn files(state: &State, rev: u64) -> anyhow::Result<Files> {
    let prefix = key(rev, "");
    let mut files = Files { path: MAIN.to_owned(), ..Files::default() };
    for (name, row) in state.rows.range(prefix.clone()..) {
        let Some(part) = name.strip_prefix(&prefix) else { break };
        let text = || String::from_utf8(row.to_vec()).context("a kept revision is not text");
        if let Some(path) = part.strip_prefix("manifest:") {
            files.manifests.insert(path.to_owned(), text()?);
            continue;
        }
        match part.strip_prefix("keys:") {
            Some(path) => drop(files.keys.insert(path.to_owned(), text()?)),
            None if part == ABOUT => {}
            None if part == MAIN => files.main = text()?,
            None => drop(files.policies.insert(part.to_owned(), text()?)),
        }
    }
    Ok(files)
}

/// Removes revisions beyond the number and the bytes that are kept; the newest two stay in any case.
fn surplus(state: &State) -> Vec<StateChange> {
    let numbers = numbers(state);
    let size = |rev: u64| -> usize {
        let prefix = key(rev, "");
        let rows = state.rows.range(prefix.clone()..);
        rows.take_while(|(name, _)| name.starts_with(&prefix)).map(|(_, row)| row.len()).sum()
    };
    let (mut bytes, mut gone) = (0_usize, Vec::new());
    for (age, rev) in numbers.iter().rev().enumerate() {
        bytes = bytes.saturating_add(size(*rev));
        let keeps = age < limits::KEPT_REVISIONS && bytes <= limits::KEPT_BYTES;
        if age >= 2 && !keeps {
            let prefix = key(*rev, "");
            let rows = state.rows.range(prefix.clone()..);
            let names = rows.map(|(name, _)| name).take_while(|name| name.starts_with(&prefix));
            gone.extend(names.map(|name| StateChange { key: name.clone(), value: None }));
        }
    }
    gone
}

/// Names texts, to be compared with those of another time.
fn fingerprint(files: &Files) -> String {
    use aws_lc_rs::digest::{Context, SHA256};
    let mut context = Context::new(&SHA256);
    let mut add = |text: &str| {
        context.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(text.as_bytes());
    };
    add(&files.main);
    for (path, text) in files.policies.iter().chain(&files.keys).chain(&files.manifests) {
        add(path);
        add(text);
    }
    hex::encode(context.finish().as_ref())
}
