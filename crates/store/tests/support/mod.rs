//! What the store's tests write, and the disks they write to.
#![allow(dead_code, reason = "each test file uses its own part")]

use ledger::{AppendError, Entropy, Place, Stamp};
use model::{
    EntryId, Timestamp,
    record::{Condition, KeyScope, Parts, RecordKind, Recordable, StateChange},
};
use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use store::{Database, Options, Store, StoreError, forgetful::Disk};
use testkit::postgres::Server;

pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

pub(crate) struct Chance;

impl Entropy for Chance {
    fn fill(&self, out: &mut [u8]) {
        aws_lc_rs::rand::fill(out).unwrap();
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) kind: RecordKind,
    pub(crate) envelope: String,
    pub(crate) subject: String,
    pub(crate) human: &'static str,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) changes: Vec<StateChange>,
}

impl Recordable for Note {
    fn kind(&self) -> RecordKind {
        self.kind
    }
    fn scope(&self) -> KeyScope {
        KeyScope { tenant: String::new(), human: self.human.into() }
    }
    fn parts(&self) -> Parts {
        Parts {
            envelope: self.envelope.clone().into_bytes(),
            subject: self.subject.clone().into_bytes(),
            arguments: b"{\"amount\":12}".to_vec(),
            result: Vec::new(),
        }
    }
    fn conditions(&self) -> Vec<Condition> {
        self.conditions.clone()
    }
    fn changes(&self) -> Vec<StateChange> {
        self.changes.clone()
    }
}

pub(crate) fn note(kind: RecordKind) -> Note {
    Note {
        kind,
        envelope: "{\"v\":1}".into(),
        subject: "{\"user\":\"ana\"}".into(),
        human: "ana",
        conditions: Vec::new(),
        changes: Vec::new(),
    }
}

pub(crate) fn opens(number: u128) -> Note {
    let entry = EntryId(number);
    let envelope = format!(
        "{{\"agent\":\"helpdesk\",\"entry\":\"{entry}\",\"trace\":\"{number:032x}\",\"v\":1}}"
    );
    Note { envelope, conditions: vec![Condition::Opens(entry)], ..note(RecordKind::Opened) }
}

pub(crate) fn closes(number: u128) -> Note {
    let entry = EntryId(number);
    let envelope = format!("{{\"entry\":\"{entry}\",\"v\":1}}");
    Note { envelope, conditions: vec![Condition::Closes(entry)], ..note(RecordKind::Outcome) }
}

pub(crate) fn sets(kind: RecordKind, key: &str, value: Option<&str>) -> Note {
    let value = value.map(|value| value.as_bytes().to_vec());
    Note { changes: vec![StateChange { key: key.into(), value }], ..note(kind) }
}

pub(crate) fn stamp() -> Stamp {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut seed = [9; 32];
    Chance.fill(&mut seed);
    seed[..8].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Stamp { now: NOW, seed }
}

/// Waits for the evidence; gives where the record stands.
pub(crate) fn write(store: &Store, note: Note) -> Result<Place, AppendError> {
    let pending = store.journal().append(note, stamp()).map_err(|refused| refused.error)?;
    let durable = pending.wait_blocking().map_err(|refused| refused.error)?;
    Ok(durable.place())
}

/// A disk that stores can be opened on, one after the other.
pub(crate) trait Subject {
    fn open_at(&self, now: Timestamp) -> Result<Store, StoreError>;
    fn open(&self) -> Result<Store, StoreError> {
        self.open_at(NOW)
    }
    /// The process ends at once; whatever the disk may forget is forgotten.
    fn crash(&self, store: Store);
}

pub(crate) struct OnSqlite(pub(crate) tempfile::TempDir);

impl OnSqlite {
    pub(crate) fn new() -> OnSqlite {
        OnSqlite(tempfile::tempdir().unwrap())
    }
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("data")
    }
}

impl Subject for OnSqlite {
    fn open_at(&self, now: Timestamp) -> Result<Store, StoreError> {
        Store::open(&self.path(), Options::default(), now, Arc::new(Chance))
    }
    fn crash(&self, store: Store) {
        drop(store);
    }
}

#[derive(Default)]
pub(crate) struct OnForgetful(pub(crate) Disk);

impl Subject for OnForgetful {
    fn open_at(&self, _now: Timestamp) -> Result<Store, StoreError> {
        self.0.open(&Options::default(), Arc::new(Chance))
    }
    fn crash(&self, store: Store) {
        self.0.power_off();
        drop(store);
        self.0.power_on();
    }
}

/// A server of its own, which dies with each crash: what it has not synced is gone.
pub(crate) struct OnPostgres {
    pub(crate) server: Mutex<Server>,
    pub(crate) folder: tempfile::TempDir,
}

impl OnPostgres {
    pub(crate) fn new() -> OnPostgres {
        let server = Mutex::new(Server::start().unwrap());
        OnPostgres { server, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn database(&self) -> Database {
        Database::parse(&self.server.lock().unwrap().url(), None).unwrap()
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.server.lock().unwrap().sql(sql).unwrap()
    }
}

impl Subject for OnPostgres {
    fn open_at(&self, now: Timestamp) -> Result<Store, StoreError> {
        let options = Options { database: Some(self.database()), ..Options::default() };
        Store::open(&self.path(), options, now, Arc::new(Chance))
    }
    fn crash(&self, store: Store) {
        let mut server = self.server.lock().unwrap();
        server.kill().unwrap();
        drop(store);
        server.restart().unwrap();
    }
}
