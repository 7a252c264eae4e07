//! Certificates for agents, asked for by whoever may use the control socket.

use super::agent_name;
use crate::{app::App, control::Failed, exit::Exit};
use serde_json::{Value, json};
use std::sync::Arc;

/// Signs that the key of a request is an agent's.
pub(super) async fn sign(app: &Arc<App>, agent: &str, csr: &str) -> anyhow::Result<Value> {
    let name = agent_name(&app.gate.world().compiled, agent)?;
    app.ensure_authority().await?;
    let signed = super::tokens::issuer(app)?.certify(name.clone(), csr).await;
    let signed = signed.map_err(|error| Failed {
        exit: Exit::Denied,
        message: format!("no certificate for agent `{name}`: {error}"),
    })?;
    Ok(json!({
        "agent": name.as_str(),
        "authority": signed.authority,
        "certificate": signed.certificate,
        "expires": signed.expires.to_string(),
        "instance": signed.key,
        "spiffe_id": signed.spiffe_id.as_str(),
    }))
}
