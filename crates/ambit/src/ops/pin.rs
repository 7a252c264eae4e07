//! What a person accepts of an upstream: its tool definitions, and that its credential goes to its address.

use super::usage;
use crate::{
    app::App,
    config::{LOCK_FILE, write_lock},
    dev,
};
use anyhow::Context as _;
use model::Name;
use serde_json::{Value, json};
use std::sync::Arc;

/// Where an upstream's credential was given for; gives it for where the upstream is now, if that is confirmed.
pub(super) async fn credential(app: &App, name: &str, confirm: bool) -> anyhow::Result<Value> {
    let upstream = Name::new(name).map_err(|error| usage(error.to_string()))?;
    if confirm {
        app.give_credential(&upstream).await?;
    }
    app.credential(&upstream)
}

/// Accepts what the upstream shows now, and writes `ambit.lock` beside the gate's configuration.
pub(super) async fn pin(app: &Arc<App>, name: &str) -> anyhow::Result<Value> {
    let upstream = Name::new(name).map_err(|error| usage(error.to_string()))?;
    let count = dev::pin(app, &upstream).await?;
    let config = &app.settings.config;
    let directory = if config.is_dir() { Some(config.as_path()) } else { config.parent() };
    let path =
        directory.map(|directory| directory.join(LOCK_FILE)).unwrap_or_else(|| LOCK_FILE.into());
    let world = app.gate.world();
    let definitions = world.definitions.iter().map(|(action, value)| (action.to_string(), value));
    let bytes = write_lock(definitions)?;
    std::fs::write(&path, bytes)
        .with_context(|| format!("`{}` cannot be written", path.display()))?;
    Ok(
        json!({ "upstream": upstream.as_str(), "pinned": count, "lock": path.display().to_string() }),
    )
}
