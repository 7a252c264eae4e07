//! Issues an access token to whoever may use the control socket, with a proof that makes it usable once.

use super::{agent_name, usage};
use crate::{app::App, control::Failed, exit::Exit};
use anyhow::Context as _;
use identity::{AgentKey, AgentKeys, ProofClaims};
use issuer::{Issuer, LocalRequest};
use model::{AgentName, declared::Proof};
use serde_json::{Value, json};
use std::sync::Arc;

/// Issues a token. For a bound one with a key that `dev` made, `proof` is good for one request of that method and URL.
pub(super) async fn issue(
    app: &Arc<App>,
    agent: &str,
    audience: &str,
    task: Option<&str>,
    (url, method): (Option<&str>, &str),
) -> anyhow::Result<Value> {
    let world = app.gate.world();
    let name = agent_name(&world.compiled, agent)?;
    if let Some(code) = world.registry.refused(&name, app.clock.now())
        && code == model::Code::AgentDecommissioned
    {
        // It has no key any more that a token could be bound to.
        let message = format!("no token for agent `{name}`: {}", code.sentence());
        return Err(Failed { exit: Exit::Denied, message }.into());
    }
    let declared = world.compiled.agent(&name).map(|entry| entry.declared.credentials.proof);
    let (key, bind_to) = match declared {
        Some(Proof::Dpop) | None => bound_to(app, &name)?,
        // The token service says that it needs the certificate.
        Some(Proof::None | Proof::Mtls) => (None, None),
    };
    let request = LocalRequest {
        agent: name.clone(),
        resource: audience.to_owned(),
        task: task.map(str::to_owned),
        bind_to,
    };
    let issued = issuer(app)?.issue(request).await.map_err(|error| Failed {
        exit: Exit::Denied,
        message: format!("no token for agent `{name}`: {error}"),
    })?;
    let url = url.unwrap_or(audience);
    let proof = key.map(|key| proof(app, &key, &issued.token, (url, method))).transpose()?;
    Ok(json!({
        "token": issued.token,
        "type": if issued.by_proof { "DPoP" } else { "Bearer" },
        "id": issued.id.to_string(),
        "agent": name.as_str(),
        "audience": audience,
        "task": task,
        "expires": issued.expires.to_string(),
        "expires_in": issued.expires_in,
        "proof": proof,
        "proof_for": json!({ "method": method, "url": url }),
    }))
}

pub(super) fn issuer(app: &Arc<App>) -> anyhow::Result<Issuer> {
    let settings = issuer::Settings::new(&app.settings.base_url, true)?;
    Ok(Issuer::new(app.clone(), app.store.journal().clone(), settings))
}

/// The key that `dev` made, or the agent's only declared one, which only the agent can sign with.
fn bound_to(app: &App, agent: &AgentName) -> anyhow::Result<(Option<AgentKey>, Option<String>)> {
    if let Ok(key) = app.agent_key(agent) {
        let thumbprint = key.public().thumbprint().to_owned();
        return Ok((Some(key), Some(thumbprint)));
    }
    let row = crate::app::world::agent_keys(&app.store.state(), agent.as_str());
    let row = row.with_context(|| format!("agent `{agent}` has no key"))?;
    let keys = AgentKeys::parse(&row)?;
    let mut thumbprints = keys.thumbprints();
    match (thumbprints.next(), thumbprints.next()) {
        (Some(only), None) => Ok((None, Some(only.to_owned()))),
        _ => Err(usage(format!(
            "agent `{agent}` declares several keys: it asks for its tokens itself, at /oauth/token"
        ))),
    }
}

fn proof(
    app: &App,
    key: &AgentKey,
    token: &str,
    (url, method): (&str, &str),
) -> anyhow::Result<String> {
    let mut random = [0_u8; 16];
    app.entropy.fill(&mut random);
    let settings = app.gate.settings();
    // Where none is demanded the time decides, which leaves whoever pastes the proof a whole minute.
    let nonce = settings.nonces_demanded.then(|| settings.nonce_key.current(app.clock.now()));
    let claims = ProofClaims {
        method,
        url: url.split(['?', '#']).next().unwrap_or(url),
        token: Some(token),
        jti: &hex::encode(random),
        issued: app.clock.now(),
        nonce: nonce.as_deref(),
    };
    Ok(key.proof(&claims)?)
}
