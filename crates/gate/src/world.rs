//! What decisions read: everything published, in one value that is swapped whole.

use identity::VerificationKeys;
use model::{ActionId, Name, UserName};
use policy::Compiled;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Declared state compiled, keys and revocations, as of one control revision.
#[derive(Clone)]
pub struct World {
    /// The control revision that this is made from.
    pub revision: u64,
    /// Catalog, policies, agents.
    pub compiled: Arc<Compiled>,
    /// Keys that tokens are verified with.
    pub keys: Arc<VerificationKeys>,
    /// The people known here, with their groups.
    pub people: BTreeMap<UserName, BTreeSet<Name>>,
    /// Pinned tool definitions, as lists show them.
    pub definitions: BTreeMap<ActionId, canonical::Value>,
    /// What each action with `returns:` lets through, parsed when published.
    pub returns: BTreeMap<ActionId, Vec<canonical::Pointer>>,
    /// Actions whose definition at the upstream differs from the pinned one.
    pub quarantined: BTreeSet<ActionId>,
    /// Who may act at all.
    pub registry: crate::Registry,
}

impl World {
    /// The fields that an action with `returns:` lets through; none if it is not in this world.
    #[must_use]
    pub fn returns_of(&self, entry: &policy::CatalogEntry) -> &[canonical::Pointer] {
        self.returns.get(&entry.id).map_or(&[], Vec::as_slice)
    }
}
