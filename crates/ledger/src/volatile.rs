//! A medium in memory, for tests of what stands above a disk. It is not durable.

use crate::{
    batch::{Batch, Row},
    control::ControlMap,
    keyring::WrappedKey,
    medium::{Fatal, Medium, Tail},
    memory::{Claim, Memory},
};
use model::record::Condition;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tlog::Frontier;

/// What a [`Volatile`] medium holds; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Contents(Arc<Mutex<Held>>);

/// Everything that was persisted.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// The rows, in order.
    pub rows: Vec<Row>,
    /// Control state.
    pub control: BTreeMap<String, Vec<u8>>,
    /// Live state.
    pub live: BTreeMap<String, Vec<u8>>,
    /// Data keys.
    pub keys: Vec<WrappedKey>,
}

impl Contents {
    /// The contents at this moment.
    #[must_use]
    pub fn held(&self) -> Held {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The medium.
#[derive(Debug)]
pub struct Volatile {
    node: u64,
    contents: Contents,
    memory: Memory,
}

impl Volatile {
    /// A medium of this node over these contents.
    #[must_use]
    pub fn new(node: u64, contents: Contents) -> Volatile {
        Volatile { node, contents, memory: Memory::default() }
    }
}

impl Medium for Volatile {
    fn resume(&mut self) -> Result<Tail, Fatal> {
        let held = self.contents.lock();
        let damaged = |found: String| Fatal::Integrity { place: "the memory".into(), found };
        let mut tail = Tail { node: self.node, control: ControlMap::new(), ..Tail::default() };
        self.memory = Memory::default();
        for row in &held.rows {
            let replayed = self.memory.replay(&row.effects, row.count, row.at);
            replayed.map_err(|error| damaged(error.to_string()))?;
        }
        for (key, value) in &held.control {
            tail.control.set(key, Some(value));
        }
        if let Some(last) = held.rows.last() {
            tail.frontier =
                Frontier::from_bytes(&last.frontier).map_err(|error| damaged(error.to_string()))?;
            (tail.head, tail.mac, tail.revision) = (last.head, last.mac, last.revision);
        }
        self.memory.continue_at(tail.revision);
        Ok(tail)
    }

    fn check(&mut self, claims: &[Claim<'_>]) -> Result<Vec<Result<(), Condition>>, Fatal> {
        Ok(claims.iter().map(|claim| self.memory.admit(claim)).collect())
    }

    fn persist(&mut self, batch: &Batch<'_>) -> Result<(), Fatal> {
        let mut held = self.contents.lock();
        let Held { rows, control, live, keys } = &mut *held;
        for (table, changes) in [(control, batch.control), (live, batch.live)] {
            for change in changes {
                match &change.value {
                    Some(value) => drop(table.insert(change.key.clone(), value.clone())),
                    None => drop(table.remove(&change.key)),
                }
            }
        }
        keys.extend(batch.keys.iter().copied().cloned());
        rows.push(batch.row.clone());
        Ok(())
    }
}
