//! The public keys of one agent, read from its JWKS (RFC 7517 §5).

use crate::{
    key::{KeyError, PublicKey},
    limits::{AGENT_KEYS, JWKS},
};
use canonical::{ParseError, Value};
use std::collections::BTreeMap;

/// The public keys that an agent signs its client assertions with, by thumbprint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentKeys {
    keys: BTreeMap<String, PublicKey>,
    /// `kid` as the file gives it, to the thumbprint.
    names: BTreeMap<String, String>,
}

/// Why a JWKS was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgentKeysError {
    /// It is not acceptable JSON.
    #[error("the JWKS is not acceptable JSON")]
    Json(#[source] ParseError),
    /// It is neither a JWK set nor a single JWK.
    #[error("the JWKS has no `keys`: write `{{\"keys\": [ … ]}}`")]
    Form,
    /// It has no key, or too many.
    #[error("the JWKS has {count} keys: give 1 to {limit}")]
    Count {
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// One key is refused.
    #[error("key {place} of the JWKS is refused: {source}")]
    Key {
        /// Which, from 1.
        place: usize,
        /// Why.
        source: KeyError,
    },
    /// Two keys have one name.
    #[error("key {place} of the JWKS has the `kid` of another: give each its own")]
    SameName {
        /// Which, from 1.
        place: usize,
    },
}

impl AgentKeys {
    /// Reads a JWK set, or a single JWK. All keys must be public Ed25519 or P-256 keys: a set with a
    /// private member anywhere is refused whole, since a private key in a configuration file has
    /// leaked already.
    pub fn parse(jwks: &[u8]) -> Result<AgentKeys, AgentKeysError> {
        let value = canonical::parse(jwks, &JWKS).map_err(AgentKeysError::Json)?;
        let object = value.as_object().ok_or(AgentKeysError::Form)?;
        let single = std::slice::from_ref(&value);
        let keys = match object.get("keys") {
            Some(keys) => keys.as_array().ok_or(AgentKeysError::Form)?,
            None if object.contains("kty") => single,
            None => return Err(AgentKeysError::Form),
        };
        if keys.is_empty() || keys.len() > AGENT_KEYS {
            return Err(AgentKeysError::Count { count: keys.len(), limit: AGENT_KEYS });
        }
        let mut all = AgentKeys::default();
        for (place, jwk) in (1..).zip(keys) {
            let refused = |source| AgentKeysError::Key { place, source };
            let jwk = jwk.as_object().ok_or(refused(KeyError::Kind))?;
            let key = PublicKey::from_jwk(jwk).map_err(refused)?;
            let name = jwk.get("kid").and_then(Value::as_str);
            all.add(key, name).then_some(()).ok_or(AgentKeysError::SameName { place })?;
        }
        Ok(all)
    }

    /// The set of one key, for a key that `dev` generates.
    #[must_use]
    pub fn of(key: PublicKey) -> AgentKeys {
        let mut all = AgentKeys::default();
        all.add(key, None);
        all
    }

    /// The thumbprints, sorted.
    pub fn thumbprints(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Whether the agent has this key.
    #[must_use]
    pub fn contains(&self, thumbprint: &str) -> bool {
        self.keys.contains_key(thumbprint)
    }

    fn add(&mut self, key: PublicKey, name: Option<&str>) -> bool {
        let thumbprint = key.thumbprint().to_owned();
        let fresh = match name {
            Some(name) => self.names.insert(name.to_owned(), thumbprint.clone()).is_none(),
            None => true,
        };
        fresh && self.keys.insert(thumbprint, key).is_none()
    }

    /// The key that a header means: by `kid` (the file's or the thumbprint), or the only one.
    pub(crate) fn find(&self, kid: Option<&str>) -> Option<&PublicKey> {
        match kid {
            Some(kid) => self.keys.get(self.names.get(kid).map_or(kid, String::as_str)),
            None if self.keys.len() == 1 => self.keys.values().next(),
            None => None,
        }
    }
}
