//! A store in a directory: written, reopened, and held by one process only.
#![cfg(test)]

use ledger::{Entropy, Stamp};
use model::{
    EntryId, Timestamp,
    record::{Condition, Parts, RecordKind, Recordable, StateChange},
};
use std::sync::Arc;
use store::{Options, Store, StoreError};

struct Chance;

impl Entropy for Chance {
    fn fill(&self, out: &mut [u8]) {
        aws_lc_rs::rand::fill(out).unwrap();
    }
}

struct Note(RecordKind, Vec<Condition>, Vec<StateChange>);

impl Recordable for Note {
    fn kind(&self) -> RecordKind {
        self.0
    }
    fn parts(&self) -> Parts {
        Parts { envelope: b"{}".to_vec(), ..Parts::default() }
    }
    fn conditions(&self) -> Vec<Condition> {
        self.1.clone()
    }
    fn changes(&self) -> Vec<StateChange> {
        self.2.clone()
    }
}

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

fn open(path: &std::path::Path) -> Result<Store, StoreError> {
    Store::open(path, Options::default(), NOW, Arc::new(Chance))
}

fn write(store: &Store, note: Note) -> bool {
    let mut seed = [0; 32];
    Chance.fill(&mut seed);
    store.journal().append(note, Stamp { now: NOW, seed }).unwrap().wait_blocking().is_ok()
}

#[test]
fn what_was_written_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let store = open(&path).unwrap();
    assert!(matches!(open(&path), Err(StoreError::Locked(_))));
    let change = |key: &str| StateChange { key: key.into(), value: Some(b"1".to_vec()) };
    assert!(write(&store, Note(RecordKind::Control, vec![], vec![change("frozen/agent/a")])));
    assert_eq!(store.state().revision, 1);
    assert!(write(&store, Note(RecordKind::Task, vec![], vec![change("task/t")])));
    assert_eq!(store.live_prefix("task/").len(), 1);
    assert!(write(&store, Note(RecordKind::Opened, vec![Condition::Opens(EntryId(5))], vec![])));
    store.put_key("token/1", b"secret").unwrap();
    let vkey = store.vkey();
    drop(store);

    let store = open(&path).unwrap();
    assert_eq!(store.vkey(), vkey);
    assert_eq!(store.size(), 3);
    assert_eq!(store.state().revision, 1);
    assert!(store.state().rows.contains_key("frozen/agent/a"));
    assert_eq!(store.live("task/t").as_deref(), Some(b"1".as_slice()));
    assert_eq!(store.recovered(), vec![EntryId(5)]);
    assert_eq!(store.get_key("token/1").unwrap().unwrap().as_slice(), b"secret");
    assert!(write(&store, Note(RecordKind::Outcome, vec![Condition::Closes(EntryId(5))], vec![])));
    assert!(!write(&store, Note(RecordKind::Outcome, vec![Condition::Closes(EntryId(5))], vec![])));
    assert!(store.checkpoint(NOW).unwrap().contains("\n4\n"));
}
