//! Clients that open tasks: their keys, as control state and, in development, made here.

use super::{App, world};
use crate::{api, config::Loaded};
use anyhow::Context as _;
use canonical::Value;
use identity::{AgentKey, AgentKeys, Algorithm};
use issuer::RegisteredClient;
use model::{Name, declared::Declared, record::StateChange};
use std::sync::Arc;
use store::State;

/// The prefix of clients' public keys: `client-key/CLIENT`, a JWK set.
const CLIENT_KEYS: &str = "client-key/";

/// The name under which a development key of a client is kept.
fn key_name(client: &Name) -> String {
    format!("client/{client}")
}

/// The public keys of a client, as text, if they are in force.
pub(crate) fn keys_of(state: &State, client: &Name) -> Option<Vec<u8>> {
    state.rows.get(&format!("{CLIENT_KEYS}{client}")).map(|row| row.to_vec())
}

/// Rows of clients' public keys; a key made by `dev` stays until its client states one or is gone.
pub(crate) fn key_rows(
    app: &App,
    state: &State,
    loaded: &Loaded,
) -> anyhow::Result<Vec<(String, Option<Vec<u8>>)>> {
    let clients = &loaded.declared.clients;
    let mut rows = Vec::new();
    for (name, client) in clients {
        let key = format!("{CLIENT_KEYS}{name}");
        if let Some(path) = &client.keys {
            let text = loaded.files.keys.get(path);
            let text = text.with_context(|| format!("`{path}` was not sent along"))?;
            AgentKeys::parse(text.as_bytes()).with_context(|| {
                format!("`{path}` of client `{name}` is not a set of public keys")
            })?;
            rows.push((key, Some(text.clone().into_bytes())));
        } else if app.store.get_key(&key_name(name))?.is_none() {
            rows.push((key, None));
        }
    }
    let is_gone = |name: &str| !clients.keys().any(|client| client.as_str() == name);
    let gone = world::rows(state, CLIENT_KEYS).filter(|(name, _)| is_gone(name));
    rows.extend(gone.map(|(name, _)| (format!("{CLIENT_KEYS}{name}"), None)));
    Ok(rows)
}

impl App {
    /// In development: makes keys for the clients that declare none.
    pub(super) fn make_client_keys(
        &self,
        state: &State,
        declared: &Declared,
    ) -> anyhow::Result<Vec<StateChange>> {
        let mut changes = Vec::new();
        for (name, client) in &declared.clients {
            let key = format!("{CLIENT_KEYS}{name}");
            if client.keys.is_some() || state.rows.contains_key(&key) {
                continue;
            }
            let made = match self.store.get_key(&key_name(name))? {
                Some(document) => AgentKey::from_pkcs8(Algorithm::EdDsa, &document)?,
                None => {
                    let mut random = [0_u8; 32];
                    self.entropy.fill(&mut random);
                    let made = AgentKey::from_random(Algorithm::EdDsa, &random)?;
                    self.store.put_key(&key_name(name), made.pkcs8())?;
                    made
                }
            };
            let jwk = canonical::parse(&made.public().jwk(), &canonical::Limits::ARGUMENTS)?;
            let set = gate::json::object([("keys", Value::Array(vec![jwk]))]);
            changes.push(StateChange { key, value: Some(set.to_bytes()) });
        }
        Ok(changes)
    }

    /// The development key of a client.
    pub(crate) fn client_key(&self, client: &Name) -> anyhow::Result<AgentKey> {
        let document = self.store.get_key(&key_name(client))?.with_context(|| {
            format!(
                "Ambit holds no key of client `{client}`: it declares `keys:`, or it is unknown"
            )
        })?;
        Ok(AgentKey::from_pkcs8(Algorithm::EdDsa, &document)?)
    }

    /// What the token service knows of a client.
    pub(super) fn registered_client(&self, name: &Name) -> Option<Arc<RegisteredClient>> {
        let declared = self.gate.world().compiled.declared().clients.contains_key(name);
        let keys = keys_of(&self.store.state(), name).filter(|_| declared)?;
        let keys = Arc::new(AgentKeys::parse(&keys).ok()?);
        Some(Arc::new(RegisteredClient { keys, audience: api::audience(self) }))
    }
}
