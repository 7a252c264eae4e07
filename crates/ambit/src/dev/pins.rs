//! Pins what a model reads before a call: tool definitions are recorded at first sight, and a changed one is
//! quarantined until a person accepts it (S17).

use crate::{
    app::{App, Control, world},
    ops,
};
use model::{
    ActionId, UpstreamName,
    declared::{Declared, Upstream, UpstreamKind},
    record::StateChange,
    reserved,
};
use std::sync::Arc;

/// Looks at every MCP upstream of a declared state that is about to be applied.
pub(crate) async fn pin_new(app: &Arc<App>, declared: &Declared) {
    if let Err(error) = app.know_upstreams(declared).await {
        tracing::error!(%error, "the declared upstreams cannot be used");
        return;
    }
    for (name, upstream) in &declared.upstreams {
        if upstream.kind == UpstreamKind::Mcp {
            look(app, name, upstream, false).await;
        }
    }
}

/// Looks again at what is in force.
pub(crate) async fn pin_again(app: &Arc<App>) {
    match world::declared(&app.store.state()) {
        Ok(declared) => pin_new(app, &declared).await,
        Err(error) => tracing::error!(%error, "declared state cannot be read"),
    }
}

/// Accepts the definitions that an upstream shows now. Gives how many changed.
pub(crate) async fn pin(app: &Arc<App>, name: &UpstreamName) -> anyhow::Result<usize> {
    let declared = world::declared(&app.store.state())?;
    let upstream = declared.upstreams.get(name);
    let upstream =
        upstream.ok_or_else(|| ops::usage(format!("no upstream `{name}` is declared")))?;
    app.know_upstreams(&declared).await?;
    let changes = changes(app, name, upstream, true).await?;
    let count = changes.iter().filter(|change| change.key.starts_with(world::PINS)).count();
    if !changes.is_empty() {
        let reason = format!("definitions of `{name}` accepted");
        app.control(Control { what: "pin", reason, changes }).await?;
    }
    Ok(count)
}

async fn look(app: &Arc<App>, name: &UpstreamName, upstream: &Upstream, accept: bool) {
    let looked = changes(app, name, upstream, accept).await;
    let done = match looked {
        Ok(changes) if changes.is_empty() => return,
        Ok(changes) => {
            let reason = format!("definitions of `{name}` seen");
            app.control(Control { what: "pin", reason, changes }).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        tracing::warn!(upstream = %name, %error, "the definitions of an upstream could not be pinned; its unpinned tools stay hidden");
    }
}

/// Tools that are declared by name and that the upstream does not have: said once each, and again only after they were
/// there.
fn warn_of_lacking(
    app: &App,
    name: &UpstreamName,
    upstream: &Upstream,
    seen: &[(String, Vec<u8>)],
) {
    for operation in upstream.actions.keys() {
        let lacking = format!("lacking {name}.{operation}");
        if seen.iter().any(|(tool, _)| tool == operation) {
            app.told.forget(&lacking);
        } else if app.told.first(lacking) {
            tracing::warn!(
                "`{name}` has no tool `{operation}`: its calls are refused as `definition_unseen`; correct the name in `ambit.yaml`, or the upstream"
            );
        }
    }
}

async fn changes(
    app: &Arc<App>,
    name: &UpstreamName,
    upstream: &Upstream,
    accept: bool,
) -> anyhow::Result<Vec<StateChange>> {
    let seen = app.gate.definitions_of(name).await?;
    warn_of_lacking(app, name, upstream, &seen);
    let state = app.store.state();
    let mut changes = Vec::new();
    for (operation, bytes) in seen {
        let by_default = upstream.default_action.is_some() && !reserved::is_reserved(&operation);
        let catalogued = upstream.actions.contains_key(&operation)
            || by_default
            || operation == reserved::INSTRUCTIONS;
        let Ok(action) = ActionId::new(name.clone(), &operation) else { continue };
        if !catalogued {
            continue;
        }
        let (pin, quarantine) =
            (format!("{}{action}", world::PINS), format!("{}{action}", world::QUARANTINE));
        let pinned = state.rows.get(&pin);
        let held = state.rows.contains_key(&quarantine);
        let same = pinned.is_some_and(|row| row.as_ref() == bytes.as_slice());
        if same && held {
            changes.push(StateChange { key: quarantine, value: None });
        } else if !same && (pinned.is_none() || accept) {
            changes.push(StateChange { key: pin, value: Some(bytes) });
            if held {
                changes.push(StateChange { key: quarantine, value: None });
            }
        } else if !same && !held {
            tracing::error!(%action, "a tool's definition changed; it is refused until `ambit upstream pin {name}`");
            changes.push(StateChange { key: quarantine, value: Some(bytes) });
        }
    }
    Ok(changes)
}
