//! What humans may do themselves: an agent that acts for one may do no more.
//!
//! Stated for groups and for the humans of issuers. Where nothing is stated at all, nothing is intersected; once anything
//! is, whatever is not stated is not allowed. An upstream that is called with the human's own credential asks itself.

use crate::CatalogEntry;
use model::declared::{ActionPattern, CredentialSource, Declared};
use model::{Name, UserName};
use std::collections::BTreeSet;

/// Who may do one action.
#[derive(Debug, Default)]
pub(crate) struct Rights {
    groups: BTreeSet<Name>,
    issuers: BTreeSet<Name>,
}

impl Rights {
    /// Of an action; `None` where rights are not intersected here.
    pub(crate) fn of(declared: &Declared, entry: &CatalogEntry) -> Option<Rights> {
        let by_issuer = |name: &Name| declared.issuers.get(name)?.actions.as_ref();
        let stated = !declared.rights.is_empty()
            || declared.issuers.keys().any(|name| by_issuer(name).is_some());
        let upstream = declared.upstreams.get(&entry.id.upstream);
        let credential = upstream.and_then(|upstream| upstream.credential.as_ref());
        if !stated || matches!(credential, Some(CredentialSource::SecretOfUser(_))) {
            return None;
        }
        let covers = |actions: &BTreeSet<ActionPattern>| {
            actions.contains(&ActionPattern::Exact(entry.id.clone()))
                || actions.contains(&ActionPattern::All(entry.id.upstream.clone()))
        };
        let groups = declared.rights.iter().filter(|(_, actions)| covers(actions));
        let issuers = declared.issuers.keys().filter(|name| by_issuer(name).is_some_and(covers));
        Some(Rights {
            groups: groups.map(|(group, _)| group.clone()).collect(),
            issuers: issuers.cloned().collect(),
        })
    }

    /// Whether this human may.
    pub(crate) fn allow(&self, user: &UserName, groups: &BTreeSet<Name>) -> bool {
        match user.issuer() {
            Some(issuer) => self.issuers.iter().any(|one| one.as_str() == issuer),
            None => groups.iter().any(|group| self.groups.contains(group)),
        }
    }
}
