//! Whether the secrets that upstreams need are there, asked of the same broker that lends them.

use super::{ConfigError, Loaded};
use declared::{SecretSource, SecretState};
use model::{
    Name,
    declared::{CredentialSource, Upstream, UpstreamKind},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};
use upstream::{Broker, BrokerError};

/// Every referenced secret is there and not empty; else its reference is marked.
pub(crate) fn check_secrets(loaded: &Loaded, directory: Option<&Path>) -> Result<(), ConfigError> {
    let asked = Asked { directory: directory.map(Path::to_owned) };
    let missing = declared::check_secrets(&loaded.declared, &loaded.sources, &asked);
    if missing.is_empty() { Ok(()) } else { Err(loaded.invalid(missing)) }
}

struct Asked {
    directory: Option<PathBuf>,
}

impl SecretSource for Asked {
    fn state(&self, source: &CredentialSource) -> SecretState {
        let broker =
            Broker::new(Arc::new(|name: &str| std::env::var(name).ok()), self.directory.clone());
        let Ok(name) = Name::new("asked") else { return SecretState::Missing };
        let upstream = Upstream {
            kind: UpstreamKind::Http,
            url: "http://127.0.0.1".into(),
            local: None,
            credential: Some(source.clone()),
            actions: BTreeMap::new(),
            default_action: None,
            line: 0,
        };
        match broker.check(&BTreeMap::from([(name, upstream)])) {
            Ok(()) => SecretState::Present,
            Err(errors) => errors.first().map_or(SecretState::Missing, state),
        }
    }
}

fn state(error: &BrokerError) -> SecretState {
    match error {
        BrokerError::Unset(_) => SecretState::Missing,
        BrokerError::Empty(_) => SecretState::Empty,
        BrokerError::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            SecretState::Missing
        }
        other => SecretState::Unreadable(other.to_string()),
    }
}
