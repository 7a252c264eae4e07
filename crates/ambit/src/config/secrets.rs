//! Whether the secrets that upstreams need are there, asked of the same broker that lends them.

use super::{ConfigError, Loaded};
use declared::{SecretSource, SecretState};
use model::{
    Name,
    declared::{CredentialSource, Upstream, UpstreamKind},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};
use upstream::{Broker, BrokerError, Vault};

/// Every referenced secret is there and not empty; else its reference is marked. Without a vault nothing is said of the
/// secrets that are in one.
pub(crate) fn check_secrets(
    loaded: &Loaded,
    directory: Option<&Path>,
    vault: Option<Arc<dyn Vault>>,
) -> Result<(), ConfigError> {
    let asked = Asked { directory: directory.map(Path::to_owned), vault };
    let missing = declared::check_secrets(&loaded.declared, &loaded.sources, &asked);
    if missing.is_empty() { Ok(()) } else { Err(loaded.invalid(missing)) }
}

/// The secrets of a vault that this state names; who has no vault cannot say whether they are there.
pub(crate) fn in_vault(loaded: &Loaded) -> Vec<String> {
    let sources = loaded.declared.upstreams.values().filter_map(|up| up.credential.as_ref());
    let names = sources.filter_map(|source| match source {
        CredentialSource::Secret(name) => Some(name.to_string()),
        CredentialSource::Env(_)
        | CredentialSource::File(_)
        | CredentialSource::SecretOfUser(_) => None,
    });
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

struct Asked {
    directory: Option<PathBuf>,
    vault: Option<Arc<dyn Vault>>,
}

impl SecretSource for Asked {
    fn state(&self, source: &CredentialSource) -> SecretState {
        let mut broker =
            Broker::new(Arc::new(|name: &str| std::env::var(name).ok()), self.directory.clone());
        if let Some(vault) = &self.vault {
            broker = broker.with_vault(Arc::clone(vault));
        }
        let Ok(name) = Name::new("asked") else { return SecretState::Missing };
        let upstream = Upstream {
            kind: UpstreamKind::Http,
            url: "http://127.0.0.1".into(),
            local: None,
            environment: None,
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
        BrokerError::Unset(_) | BrokerError::NotInVault(_) => SecretState::Missing,
        BrokerError::NoVault(_) => SecretState::Unknown,
        BrokerError::Empty(_) => SecretState::Empty,
        BrokerError::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            SecretState::Missing
        }
        other => SecretState::Unreadable(other.to_string()),
    }
}
