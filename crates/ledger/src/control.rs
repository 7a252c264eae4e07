//! The root over all control state: a sparse Merkle map of the rows' digests.

use crate::hash::sha256;
use model::{Digest, record::StateChange};
use tlog::map::Map;

/// All control state, as the ledger vouches for it.
#[derive(Clone, Debug, Default)]
pub struct ControlMap(Map);

impl ControlMap {
    /// No state.
    #[must_use]
    pub fn new() -> ControlMap {
        ControlMap::default()
    }

    /// Sets or removes one row.
    pub fn set(&mut self, key: &str, value: Option<&[u8]>) {
        let key = sha256(&[b"ambit-control-key-v1\0", key.as_bytes()]).0;
        match value {
            Some(value) => {
                self.0.insert(key, sha256(&[b"ambit-control-value-v1\0", value]).0);
            }
            None => {
                self.0.remove(&key);
            }
        }
    }

    /// Takes a change.
    pub fn apply(&mut self, change: &StateChange) {
        self.set(&change.key, change.value.as_deref());
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Digest {
        Digest(self.0.root())
    }
}
