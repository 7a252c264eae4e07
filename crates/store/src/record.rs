//! Records as they are read back: leaf, and what their keys still open.

use crate::{archive::Archive, error::StoreError, limits::KEYS_CACHED};
use ledger::{DataKey, Kek, KeyId, Leaf, Personal, Row, disclose};
use model::{EntryId, TraceId};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Kind, node, sequence, time, commitments.
    pub leaf: Leaf,
    /// The envelope as canonical JSON; `None` if its key was erased.
    pub envelope: Option<Vec<u8>>,
    /// Subject, arguments and result, each canonical JSON or empty; `None` if their key was erased.
    pub personal: Option<Personal>,
}

impl Record {
    /// Its entry, if the envelope names one.
    #[must_use]
    pub fn entry(&self) -> Option<EntryId> {
        EntryId::parse(Envelope::read(self.envelope.as_deref()?)?.entry?)
    }

    /// Its trace, if the envelope names one.
    #[must_use]
    pub fn trace(&self) -> Option<TraceId> {
        TraceId::parse(Envelope::read(self.envelope.as_deref()?)?.trace?)
    }
}

/// The members of an envelope that can be searched for. None of them is ever escaped, so all can be borrowed.
#[derive(Default, serde::Deserialize)]
pub(crate) struct Envelope<'a> {
    pub(crate) entry: Option<&'a str>,
    pub(crate) trace: Option<&'a str>,
    pub(crate) agent: Option<&'a str>,
    pub(crate) action: Option<&'a str>,
    pub(crate) decision: Option<&'a str>,
    pub(crate) code: Option<&'a str>,
    pub(crate) task: Option<&'a str>,
}

impl<'a> Envelope<'a> {
    pub(crate) fn read(envelope: &'a [u8]) -> Option<Envelope<'a>> {
        serde_json::from_slice(envelope).ok()
    }
}

/// Opens records; keeps the data keys that it unwrapped.
pub(crate) struct Opener {
    archive: Arc<dyn Archive>,
    kek: Kek,
    keys: Mutex<BTreeMap<KeyId, Arc<DataKey>>>,
}

impl Opener {
    pub(crate) fn new(archive: Arc<dyn Archive>, kek: Kek) -> Opener {
        Opener { archive, kek, keys: Mutex::new(BTreeMap::new()) }
    }

    /// The record with this sequence; `None` if there is none (yet).
    pub(crate) fn read(&self, sequence: u64) -> Result<Option<Record>, StoreError> {
        match self.archive.rows(sequence, 1)?.pop() {
            Some(row) => self.pick(&row, sequence),
            None => Ok(None),
        }
    }

    /// The records with these sequences, in the order given.
    pub(crate) fn read_all(&self, sequences: &[u64]) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::with_capacity(sequences.len());
        let mut held: Option<Row> = None;
        for sequence in sequences {
            let at_hand = held.take().filter(|row| (row.first..row.next()).contains(sequence));
            held = match at_hand {
                Some(row) => Some(row),
                None => self.archive.rows(*sequence, 1)?.pop(),
            };
            if let Some(row) = &held {
                records.extend(self.pick(row, *sequence)?);
            }
        }
        Ok(records)
    }

    /// All records of a batch; one that does not open is given as the error's text.
    pub(crate) fn each<'a>(
        &'a self,
        row: &'a Row,
    ) -> impl Iterator<Item = (u64, Result<Record, StoreError>)> + 'a {
        let mut leaves = row.leaves.as_slice();
        (row.first..row.next()).zip(row.boxes()).map_while(move |(sequence, boxes)| {
            let (leaf, length) = match Leaf::decode(leaves) {
                Ok(decoded) => decoded,
                Err(error) => return Some((sequence, Err(damaged(sequence, error.to_string())))),
            };
            leaves = leaves.get(length..)?;
            Some((sequence, self.open(leaf, boxes)))
        })
    }

    fn pick(&self, row: &Row, sequence: u64) -> Result<Option<Record>, StoreError> {
        let Some(place) = sequence.checked_sub(row.first).filter(|_| sequence < row.next()) else {
            return Ok(None);
        };
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let missing = || damaged(sequence, "its batch ends before it".into());
        let leaf = row.leaf(place).ok_or_else(missing)?;
        let boxes = row.boxes().nth(place).ok_or_else(missing)?;
        self.open(leaf, boxes).map(Some)
    }

    fn open(&self, leaf: Leaf, boxes: &[u8]) -> Result<Record, StoreError> {
        let mut failed = None;
        let disclosed = disclose(&leaf, boxes, |id| {
            self.key(id).unwrap_or_else(|error| {
                failed = Some(error);
                None
            })
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let opened = disclosed.map_err(|error| damaged(leaf.sequence, error.to_string()))?;
        Ok(Record { leaf, envelope: opened.envelope, personal: opened.personal })
    }

    fn key(&self, id: &KeyId) -> Result<Option<Arc<DataKey>>, StoreError> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.get(id) {
            return Ok(Some(key.clone()));
        }
        let Some(wrapped) = self.archive.data_key(id)? else { return Ok(None) };
        if keys.len() >= KEYS_CACHED {
            keys.clear();
        }
        let key = Arc::new(self.kek.unwrap_key(&wrapped)?);
        keys.insert(*id, key.clone());
        Ok(Some(key))
    }
}

fn damaged(sequence: u64, found: String) -> StoreError {
    StoreError::Damaged { place: format!("entry {sequence} of the ledger"), found }
}
