//! The keys of foreign issuers: fetched when one of their tokens comes, and kept for a while.

use crate::{Courier, Fault, limits};
use identity::{ForeignKeys, ForeignKeysError};
use model::Timestamp;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Why the keys of an issuer cannot be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IssuerError {
    /// They could not be fetched.
    #[error("the keys of `{0}` cannot be fetched: {1}")]
    Fetch(String, Fault),
    /// They could not be read.
    #[error("the keys of `{0}` cannot be read: {1}")]
    Keys(String, ForeignKeysError),
    /// They could not be had a moment ago, and were not asked for again.
    #[error("the keys of `{0}` could not be had a moment ago")]
    Lately(String),
}

/// How new keys must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Those that are kept will do while they are fresh.
    Fresh,
    /// A token names a key that is not among those that are kept: the issuer may have changed them.
    Newer,
}

/// What is kept of one issuer.
#[derive(Debug, Default)]
struct Kept {
    keys: Option<Arc<ForeignKeys>>,
    fetched: Timestamp,
    tried: Timestamp,
}

/// One issuer: who fetches holds the turn, so that one request is under way at a time.
#[derive(Debug, Default)]
struct Cell {
    turn: tokio::sync::Mutex<()>,
    kept: Mutex<Kept>,
}

/// The foreign issuers that were asked for. Only declared issuers may be asked for: their number bounds this.
#[derive(Debug)]
pub struct Issuers {
    courier: Courier,
    cells: Mutex<BTreeMap<String, Arc<Cell>>>,
}

impl Issuers {
    /// None is known yet.
    #[must_use]
    pub fn new(courier: Courier) -> Issuers {
        Issuers { courier, cells: Mutex::new(BTreeMap::new()) }
    }

    /// The keys of an issuer that is declared. They are fetched again when they are no longer fresh or when newer ones
    /// are needed, but not more often than every ten seconds: strangers cause these requests too. Keys that cannot be
    /// renewed are believed for an hour.
    pub async fn keys(
        &self,
        issuer: &str,
        need: Need,
        now: impl Fn() -> Timestamp,
    ) -> Result<Arc<ForeignKeys>, IssuerError> {
        let cell = self.cell(issuer);
        if let Some(keys) = cell.at_hand(need, now()) {
            return Ok(keys);
        }
        let _turn = cell.turn.lock().await;
        // Whoever had the turn before may have fetched them.
        if let Some(keys) = cell.at_hand(need, now()) {
            return Ok(keys);
        }
        if cell.kept().tried.after(limits::ISSUER_PAUSE) > now() {
            return cell.stale(now()).ok_or_else(|| IssuerError::Lately(issuer.to_owned()));
        }
        cell.kept().tried = now();
        match self.fetch(issuer).await {
            Ok(keys) => {
                let keys = Arc::new(keys);
                let mut kept = cell.kept();
                kept.keys = Some(Arc::clone(&keys));
                kept.fetched = now();
                Ok(keys)
            }
            Err(error) => {
                tracing::warn!(%error, "a foreign issuer's keys were not renewed");
                cell.stale(now()).ok_or(error)
            }
        }
    }

    async fn fetch(&self, issuer: &str) -> Result<ForeignKeys, IssuerError> {
        let fetched = self.courier.key_set(issuer, limits::ISSUER_ANSWER).await;
        let set = fetched.map_err(|fault| IssuerError::Fetch(issuer.to_owned(), fault))?;
        ForeignKeys::parse(&set).map_err(|error| IssuerError::Keys(issuer.to_owned(), error))
    }

    fn cell(&self, issuer: &str) -> Arc<Cell> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(cells.entry(issuer.to_owned()).or_default())
    }
}

impl Cell {
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys that will do without asking.
    fn at_hand(&self, need: Need, now: Timestamp) -> Option<Arc<ForeignKeys>> {
        let kept = self.kept();
        let span = match need {
            Need::Fresh => limits::ISSUER_FRESH,
            Need::Newer => limits::ISSUER_PAUSE,
        };
        kept.keys.clone().filter(|_| kept.fetched.after(span) > now)
    }

    /// The keys that could not be renewed, while they are still believed.
    fn stale(&self, now: Timestamp) -> Option<Arc<ForeignKeys>> {
        let kept = self.kept();
        kept.keys.clone().filter(|_| kept.fetched.after(limits::ISSUER_STALE) > now)
    }
}

#[cfg(test)]
mod tests;
