//! Makes a declared state the one in force: checked, tested, compared, recorded, then published.

use super::revisions;
use crate::{
    app::{App, Control, Vault, agent_key_name, world},
    config::{self, Files, Loaded},
    control::Failed,
    exit::Exit,
    views,
};
use anyhow::Context as _;
use model::record::StateChange;
use policy::{CaseResult, Compiled, Difference, Direction};
use serde_json::{Value, json};
use std::{collections::BTreeSet, path::Path, sync::Arc};

/// How a state comes into force.
pub(crate) struct How {
    /// `apply`, `rollback`, `watch`.
    pub(crate) what: &'static str,
    /// Why, in the words of who did it.
    pub(crate) reason: String,
    /// Failing tests do not hold it, if it only narrows.
    pub(crate) skip_tests: bool,
    /// It is refused if anybody gains.
    pub(crate) only_narrows: bool,
}

/// A state that was compared with the one in force.
pub(crate) struct Compared {
    /// What differs in access.
    pub(crate) differences: Vec<Difference>,
    /// Whether anybody gains.
    pub(crate) widens: bool,
    /// How its `tests:` came out.
    pub(crate) tests: Vec<CaseResult>,
    compiled: Compiled,
}

/// Applies texts that came over the control socket.
pub(super) async fn apply(app: &App, files: Files, how: How) -> anyhow::Result<Value> {
    let loaded = config::from_files(files)?;
    let applied = apply_as(app, &loaded, how).await?;
    app.ensure_agent_keys().await?;
    Ok(applied)
}

/// Applies files that were read at a start.
pub(crate) async fn apply_files(app: &App, loaded: &Loaded) -> anyhow::Result<Value> {
    let reason = format!("`{}` applied", loaded.files.path);
    apply_as(app, loaded, How { what: "apply", reason, skip_tests: false, only_narrows: false })
        .await
}

/// Compares with what is in force; everything that can be wrong with the files is an error.
pub(crate) fn compare(app: &App, loaded: &Loaded) -> anyhow::Result<Compared> {
    let vault = Arc::new(Vault::of(&app.store));
    config::check_secrets(loaded, app.settings.secrets_dir.as_deref(), Some(vault))?;
    config::check_observation(loaded, app.clock.now())?;
    let compiled = loaded.compile_with(&world::definitions(&app.store.state())?)?;
    let differences = app.gate.world().compiled.differences(&compiled);
    let widens = differences.iter().any(|found| found.direction == Direction::Widens);
    let tests = compiled.run_tests(app.clock.now());
    Ok(Compared { differences, widens, tests, compiled })
}

/// Applies files that were read. Nothing changes unless every problem is solved and every test passes; tests may be
/// skipped only by a change that gives nobody more.
pub(crate) async fn apply_as(app: &App, loaded: &Loaded, how: How) -> anyhow::Result<Value> {
    let _one_at_a_time = app.applying.lock().await;
    let compared = compare(app, loaded)?;
    anyhow::ensure!(
        !compared.widens || !how.only_narrows,
        "it widens what is in force by now: `ambit apply` takes it"
    );
    let failed: Vec<_> = compared.tests.iter().filter(|result| !result.passed).collect();
    if !failed.is_empty() && (!how.skip_tests || compared.widens) {
        let lines: Vec<String> = failed.iter().map(|result| views::case_line(result)).collect();
        let skipped =
            if how.skip_tests { "; tests are skipped only where nobody gains" } else { "" };
        let message = format!(
            "nothing was applied: {} of {} tests fail{skipped}\n{}",
            failed.len(),
            compared.tests.len(),
            lines.join("\n")
        );
        return Err(Failed { exit: Exit::Unproven, message }.into());
    }
    let state = app.store.state();
    let changes = changes(app, &state, loaded)?;
    let keys: Vec<String> = changes.iter().map(|change| change.key.clone()).collect();
    let mut answer = json!({
        "changed": keys,
        "policies": compared.compiled.digest().to_string(),
        "tests": compared.tests.len(),
        "tests_failed": failed.len(),
        "agents": loaded.declared.agents.len(),
        "widens": compared.widens,
        "access": views::differences(&compared.differences),
    });
    // First, so that nobody is stopped in between for want of an owner.
    app.confirm_in_sandbox(&loaded.declared).await?;
    if !changes.is_empty() {
        let (rev, kept) = revisions::next(app, &state, &loaded.files, &how, &compared)?;
        let changes = changes.into_iter().chain(kept).collect();
        let Control { what, reason, .. } =
            Control { what: how.what, reason: how.reason, changes: Vec::new() };
        app.control(Control { what, reason, changes }).await?;
        app.proposals.forget();
        if let Some(members) = answer.as_object_mut() {
            members.insert("revision".into(), rev.into());
        }
    }
    let withheld = app.know_upstreams(&loaded.declared).await?;
    if let Some(answer) = answer.as_object_mut().filter(|_| !withheld.is_empty()) {
        let names = withheld.iter().map(|name| name.as_str()).collect();
        answer.insert("credentials_withheld".into(), names);
    }
    Ok(answer)
}

/// What applying these texts would change, without doing it.
pub(super) fn difference(app: &App, files: Files) -> anyhow::Result<Value> {
    let before = revisions::in_force(&app.store.state())?;
    let loaded = config::from_files(files)?;
    let compared = compare(app, &loaded)?;
    let patch = patch(&before, &loaded.files);
    let failed: Vec<&CaseResult> = compared.tests.iter().filter(|case| !case.passed).collect();
    Ok(json!({
        "differs": !patch.is_empty(),
        "widens": compared.widens,
        "access": views::differences(&compared.differences),
        "tests": compared.tests.len(),
        "failed": failed.iter().map(|case| views::case_line(case)).collect::<Vec<_>>(),
        "patch": patch,
    }))
}

/// The texts' differences, file by file.
pub(super) fn patch(before: &Files, after: &Files) -> String {
    let mut out = String::new();
    let mut file = |path: &str, before: &str, after: &str| {
        if before != after {
            out.push_str(&views::patch(Path::new(path), before, after));
        }
    };
    file("ambit.yaml", &before.main, &after.main);
    for (before, after) in [
        (&before.policies, &after.policies),
        (&before.keys, &after.keys),
        (&before.manifests, &after.manifests),
    ] {
        let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for path in paths {
            let text = |files: &std::collections::BTreeMap<String, String>| {
                files.get(path).cloned().unwrap_or_default()
            };
            file(path, &text(before), &text(after));
        }
    }
    out
}

/// The rows that differ from those in force.
fn changes(app: &App, state: &store::State, loaded: &Loaded) -> anyhow::Result<Vec<StateChange>> {
    let mut wanted: Vec<(String, Option<Vec<u8>>)> =
        vec![(world::DECLARED.to_owned(), Some(loaded.files.main.clone().into_bytes()))];
    for (path, text) in &loaded.files.policies {
        wanted.push((policy_row(path), Some(text.clone().into_bytes())));
    }
    for (path, text) in &loaded.files.manifests {
        wanted.push((format!("{}{path}", world::MANIFESTS), Some(text.clone().into_bytes())));
    }
    let kept: BTreeSet<String> = wanted.iter().map(|(key, _)| key.clone()).collect();
    let is_file = |key: &str| key.starts_with(world::POLICIES) || key.starts_with(world::MANIFESTS);
    let gone = state.rows.keys().filter(|key| is_file(key) && !kept.contains(*key));
    wanted.extend(gone.map(|key| (key.clone(), None)));
    wanted.extend(key_rows(app, state, loaded)?);
    wanted.extend(crate::app::client_key_rows(app, state, loaded)?);
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
        if crate::app::registry::is_decommissioned(state, name)? {
            // Its name stays taken, and no key is its own again.
            rows.push((key, None));
        } else if let Some(path) = &agent.credentials.keys {
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
