//! The store's vault, as the broker reads it.

use std::sync::Arc;
use store::Store;
use zeroize::Zeroizing;

/// Reads the secrets that the store keeps sealed.
pub(crate) struct Vault(Arc<Store>);

impl Vault {
    /// The vault of a store.
    pub(crate) fn of(store: &Arc<Store>) -> Vault {
        Vault(Arc::clone(store))
    }
}

impl upstream::Vault for Vault {
    fn stamp(&self, name: &str) -> Option<u64> {
        self.0.secret_stamp(name)
    }

    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        self.0.secret(name).map_err(|error| error.to_string())
    }
}
