//! Records as they are read back: leaf, and what their keys still open.

use crate::{archive::Archive, error::StoreError, limits::KEYS_CACHED};
use ledger::{DataKey, Kek, KeyId, Leaf, OpenError, Personal, Row, disclose, disclose_envelope};
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

    /// The leaves of a batch with their envelopes (`None`: its key was erased); an error for what does not open.
    pub(crate) fn envelopes<'a>(
        &'a self,
        row: &'a Row,
    ) -> impl Iterator<Item = Result<(Leaf, Option<Vec<u8>>), StoreError>> + 'a {
        let mut leaves = row.leaves.as_slice();
        (row.first..row.next()).zip(row.boxes()).map_while(move |(sequence, boxes)| {
            let (leaf, length) = match Leaf::decode(leaves) {
                Ok(decoded) => decoded,
                Err(error) => return Some(Err(damaged(sequence, error.to_string()))),
            };
            leaves = leaves.get(length..)?;
            Some(self.envelope(&leaf, boxes).map(|envelope| (leaf, envelope)))
        })
    }

    fn envelope(&self, leaf: &Leaf, boxes: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.finding(leaf.sequence, |find| disclose_envelope(leaf, boxes, find))
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
        let opened = self.finding(leaf.sequence, |find| disclose(&leaf, boxes, find))?;
        Ok(Record { leaf, envelope: opened.envelope, personal: opened.personal })
    }

    /// Opens with the data keys at hand; a key that cannot be read is an error of its own, not an erased one.
    fn finding<T>(
        &self,
        sequence: u64,
        open: impl FnOnce(&mut dyn FnMut(&KeyId) -> Option<Arc<DataKey>>) -> Result<T, OpenError>,
    ) -> Result<T, StoreError> {
        let mut failed = None;
        let opened = open(&mut |id| {
            self.key(id).unwrap_or_else(|error| {
                failed = Some(error);
                None
            })
        });
        match failed {
            Some(error) => Err(error),
            None => opened.map_err(|error| damaged(sequence, error.to_string())),
        }
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
