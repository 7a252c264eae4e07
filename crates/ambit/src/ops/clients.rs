//! The development key of a client that opens tasks.

use super::usage;
use crate::app::{App, Control};
use model::Name;
use serde_json::Value;

/// The private key that `dev` made for a client. That it was handed out is recorded first.
pub(super) async fn key(app: &App, client: &str) -> anyhow::Result<Value> {
    let name = Name::new(client).ok();
    let world = app.gate.world();
    let known = |name: &Name| world.compiled.declared().clients.contains_key(name);
    let name = name.filter(known).ok_or_else(|| usage(format!("no client `{client}`")))?;
    let key = app.client_key(&name)?;
    let reason = format!("development key of client `{name}` exported");
    app.control(Control { what: "client-key-export", reason, changes: Vec::new() }).await?;
    Ok(serde_json::from_str(&key.private_jwk())?)
}
