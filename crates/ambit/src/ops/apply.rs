//! Makes a declared state the one in force: checked, tested, recorded, then published.

use crate::{
    app::{App, Control, agent_key_name, world},
    config::{self, Files, Loaded},
    control::Failed,
    exit::Exit,
    views,
};
use anyhow::Context as _;
use model::record::StateChange;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Applies texts that came over the control socket.
pub(super) async fn apply(app: &App, files: Files) -> anyhow::Result<Value> {
    let loaded = config::from_files(files)?;
    let applied = apply_files(app, &loaded).await?;
    app.ensure_agent_keys().await?;
    Ok(applied)
}

/// Applies files that were read. Nothing changes unless every problem is solved and every test passes.
pub(crate) async fn apply_files(app: &App, loaded: &Loaded) -> anyhow::Result<Value> {
    config::check_secrets(loaded, app.settings.secrets_dir.as_deref())?;
    let state = app.store.state();
    let compiled = loaded.compile_with(&world::definitions(&state)?)?;
    let results = compiled.run_tests(app.clock.now());
    let failed: Vec<_> = results.iter().filter(|result| !result.passed).collect();
    if !failed.is_empty() {
        let lines: Vec<String> = failed.iter().map(|result| views::case_line(result)).collect();
        let message = format!(
            "nothing was applied: {} of {} tests fail\n{}",
            failed.len(),
            results.len(),
            lines.join("\n")
        );
        return Err(Failed { exit: Exit::Unproven, message }.into());
    }
    let changes = changes(app, &state, loaded)?;
    let keys: Vec<&str> = changes.iter().map(|change| change.key.as_str()).collect();
    let answer = json!({
        "changed": keys,
        "policies": compiled.digest().to_string(),
        "tests": results.len(),
        "agents": loaded.declared.agents.len(),
    });
    if !changes.is_empty() {
        let reason = format!("`{}` applied", loaded.files.path);
        app.control(Control { what: "apply", reason, changes }).await?;
    }
    Ok(answer)
}

/// The rows that differ from those in force.
fn changes(app: &App, state: &store::State, loaded: &Loaded) -> anyhow::Result<Vec<StateChange>> {
    let mut wanted: Vec<(String, Option<Vec<u8>>)> =
        vec![(world::DECLARED.to_owned(), Some(loaded.files.main.clone().into_bytes()))];
    for (path, text) in &loaded.files.policies {
        wanted.push((policy_row(path), Some(text.clone().into_bytes())));
    }
    let kept: BTreeSet<String> = wanted.iter().map(|(key, _)| key.clone()).collect();
    let gone =
        state.rows.keys().filter(|key| key.starts_with(world::POLICIES) && !kept.contains(*key));
    wanted.extend(gone.map(|key| (key.clone(), None)));
    wanted.extend(key_rows(app, state, loaded)?);
    let differs = |(key, value): &(String, Option<Vec<u8>>)| {
        state.rows.get(key).map(AsRef::as_ref) != value.as_deref()
    };
    Ok(wanted.into_iter().filter(differs).map(|(key, value)| StateChange { key, value }).collect())
}

fn policy_row(path: &str) -> String {
    format!("{}{}", world::POLICIES, path.strip_prefix("policies/").unwrap_or(path))
}

/// Public keys of agents that state a file; a key made by `dev` stays until its agent states one or is gone.
fn key_rows(
    app: &App,
    state: &store::State,
    loaded: &Loaded,
) -> anyhow::Result<Vec<(String, Option<Vec<u8>>)>> {
    let mut rows = Vec::new();
    for (name, agent) in &loaded.declared.agents {
        let key = format!("{}{name}", world::AGENT_KEYS);
        if let Some(path) = &agent.credentials.keys {
            let text = loaded
                .files
                .keys
                .get(path)
                .with_context(|| format!("`{path}` was not sent along"))?;
            identity::AgentKeys::parse(text.as_bytes()).with_context(|| {
                format!("`{path}` of agent `{name}` is not a set of public keys")
            })?;
            rows.push((key, Some(text.clone().into_bytes())));
        } else if app.store.get_key(&agent_key_name(name))?.is_none() {
            rows.push((key, None));
        }
    }
    for key in state.rows.keys() {
        let name = key.strip_prefix(world::AGENT_KEYS);
        if name
            .is_some_and(|name| !loaded.declared.agents.keys().any(|agent| agent.as_str() == name))
        {
            rows.push((key.clone(), None));
        }
    }
    Ok(rows)
}
