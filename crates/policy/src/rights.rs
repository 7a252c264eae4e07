//! What humans may do themselves: an agent that acts for one may do no more.
//!
//! Stated for groups and for the humans of issuers. Where nothing is stated at all, nothing is intersected; once anything
//! is, whatever is not stated is not allowed. An upstream that is called with the human's own credential asks itself.

use crate::CatalogEntry;
use model::declared::{ActionPattern, CredentialSource, Declared};
use model::{Name, PartyName, UserName};
use std::collections::{BTreeMap, BTreeSet};

/// Who may do one action.
#[derive(Debug, Default)]
pub(crate) struct Rights {
    groups: BTreeMap<Name, PartyName>,
    issuers: BTreeMap<Name, PartyName>,
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
        let with = |name: &Name, party: fn(Name) -> PartyName| (name.clone(), party(name.clone()));
        Some(Rights {
            groups: groups.map(|(group, _)| with(group, PartyName::Group)).collect(),
            issuers: issuers.map(|issuer| with(issuer, PartyName::Issuer)).collect(),
        })
    }

    /// By what this human may, the first of their groups by name.
    pub(crate) fn of_user(&self, user: &UserName, groups: &BTreeSet<Name>) -> Option<&PartyName> {
        match user.issuer() {
            Some(issuer) => {
                self.issuers.iter().find(|(name, _)| name.as_str() == issuer).map(|(_, it)| it)
            }
            None => groups.iter().find_map(|group| self.groups.get(group)),
        }
    }
}
