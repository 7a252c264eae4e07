//! The journal over a medium in memory: order, evidence, losers, saturation, stop.
#![cfg(test)]

use ledger::{
    AppendError, Entropy, Fatal, Journal, Kek, Keyring, Medium, Row, Stamp, Tail, Writer,
    volatile::{Contents, Volatile},
};
use model::{
    Digest, Duration, EntryId, Timestamp,
    record::{Condition, KeyScope, Parts, RecordKind, Recordable, StateChange},
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let number = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&number.to_le_bytes()[..chunk.len()]);
        }
    }
}

fn keyring() -> Keyring {
    Keyring::new(Kek::new(&[7; 32]).unwrap(), Arc::new(Counting(AtomicU64::new(1))))
}

#[derive(Clone, Debug)]
struct Note {
    kind: RecordKind,
    text: String,
    conditions: Vec<Condition>,
    changes: Vec<StateChange>,
}

fn note(text: &str, conditions: Vec<Condition>) -> Note {
    Note { kind: RecordKind::Opened, text: text.into(), conditions, changes: Vec::new() }
}

impl Recordable for Note {
    fn kind(&self) -> RecordKind {
        self.kind
    }
    fn scope(&self) -> KeyScope {
        KeyScope { tenant: String::new(), human: "ana".into() }
    }
    fn parts(&self) -> Parts {
        Parts {
            envelope: format!("{{\"note\":\"{}\"}}", self.text).into_bytes(),
            subject: b"{\"user\":\"ana\"}".to_vec(),
            ..Parts::default()
        }
    }
    fn conditions(&self) -> Vec<Condition> {
        self.conditions.clone()
    }
    fn changes(&self) -> Vec<StateChange> {
        self.changes.clone()
    }
}

fn stamp(number: u64) -> Stamp {
    let mut seed = [3; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    Stamp { now: Timestamp::from_seconds(1_790_000_000), seed }
}

fn start(contents: &Contents) -> (Journal, JoinHandle<Result<(), Fatal>>) {
    let (journal, writer) = Writer::open(Volatile::new(9, contents.clone()), keyring()).unwrap();
    (journal, thread::spawn(move || writer.run()))
}

#[test]
fn records_come_back_as_evidence_in_order_and_chained() {
    let contents = Contents::default();
    let (journal, writer) = start(&contents);
    let pending: Vec<_> =
        (0..200).map(|n| journal.append(note(&n.to_string(), vec![]), stamp(n)).unwrap()).collect();
    for (sequence, pending) in (0..).zip(pending) {
        let durable = pending.wait_blocking().unwrap();
        assert_eq!(durable.place().sequence, sequence);
        assert_eq!(durable.into_inner().text, sequence.to_string());
    }
    journal.close();
    writer.join().unwrap().unwrap();
    let rows = contents.held().rows;
    let (mut head, mut mac) = (Digest::default(), Digest::default());
    for row in &rows {
        assert_eq!(row.chained(&head, &mac), row.head);
        assert_eq!(Row::from_bytes(&row.to_bytes()).as_ref(), Some(row));
        (head, mac) = (row.head, row.mac);
    }
    assert_eq!(contents.held().keys.len(), 2, "one key with, one without human");
}

#[test]
fn a_loser_is_refused_alone() {
    let contents = Contents::default();
    let (journal, _writer) = start(&contents);
    let proof = Condition::Unused { what: Digest([1; 32]), until: Timestamp(i64::MAX) };
    let first = journal.append(note("first", vec![proof.clone()]), stamp(1)).unwrap();
    let second = journal.append(note("second", vec![proof.clone()]), stamp(2)).unwrap();
    let third = journal.append(note("third", vec![]), stamp(3)).unwrap();
    assert_eq!(first.wait_blocking().unwrap().place().sequence, 0);
    let refused = second.wait_blocking().unwrap_err();
    assert_eq!(refused.error, AppendError::Failed(proof));
    assert_eq!(refused.value.text, "second");
    assert_eq!(third.wait_blocking().unwrap().place().sequence, 1);
    journal.close();
}

#[test]
fn a_revocation_moves_what_was_decided_before_it() {
    let (journal, _writer) = start(&Contents::default());
    let subjects = vec![ledger::subject_digest("agent", "helpdesk")];
    let decided = Condition::NotRevokedSince { subjects, decided_at: 0 };
    let freeze = Note {
        kind: RecordKind::Control,
        changes: vec![StateChange { key: "frozen/agent/helpdesk".into(), value: Some(vec![1]) }],
        ..note("freeze", vec![])
    };
    let before = journal.append(note("before", vec![decided.clone()]), stamp(1)).unwrap();
    let freeze = journal.append(freeze, stamp(2)).unwrap();
    let after = journal.append(note("after", vec![decided]), stamp(3)).unwrap();
    assert!(before.wait_blocking().is_ok());
    assert!(freeze.wait_blocking().is_ok());
    assert_eq!(after.wait_blocking().unwrap_err().error, AppendError::Moved);
    journal.close();
}

#[test]
fn conditions_survive_a_restart() {
    let contents = Contents::default();
    let window = |now| Condition::Within {
        what: Digest([2; 32]),
        max: 1,
        window: Duration::seconds(60),
        now: Timestamp::from_seconds(now),
    };
    let entry = EntryId(42);
    let (journal, writer) = start(&contents);
    let taken = vec![window(1_790_000_000), Condition::Opens(entry)];
    assert!(journal.append(note("a", taken), stamp(1)).unwrap().wait_blocking().is_ok());
    journal.close();
    writer.join().unwrap().unwrap();

    let (journal, _writer) = start(&contents);
    let try_one = |condition| {
        let pending = journal.append(note("b", vec![condition]), stamp(2)).unwrap();
        pending.wait_blocking().is_ok()
    };
    assert!(!try_one(window(1_790_000_059)));
    assert!(try_one(window(1_790_000_060)));
    assert!(!try_one(Condition::Opens(entry)));
    assert!(try_one(Condition::Closes(entry)));
    assert!(!try_one(Condition::Closes(entry)));
    journal.close();
}

/// A medium that waits at its gate in `persist`, then fails or goes on.
struct Gated {
    inner: Volatile,
    gate: Arc<Mutex<()>>,
    fails: bool,
}

impl Medium for Gated {
    fn resume(&mut self) -> Result<Tail, Fatal> {
        self.inner.resume()
    }
    fn check(&mut self, claims: &[ledger::Claim<'_>]) -> Result<Vec<Result<(), Condition>>, Fatal> {
        self.inner.check(claims)
    }
    fn persist(&mut self, batch: &ledger::Batch<'_>) -> Result<(), Fatal> {
        drop(self.gate.lock().unwrap());
        if self.fails { Err(Fatal::Batch(0)) } else { self.inner.persist(batch) }
    }
}

#[test]
fn a_full_journal_refuses_and_never_waits() {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let inner = Volatile::new(9, Contents::default());
    let medium = Gated { inner, gate: gate.clone(), fails: false };
    let (journal, writer) = Writer::open(medium, keyring()).unwrap();
    let mut pending = Vec::new();
    let refused = loop {
        match journal.append(note("x", vec![]), stamp(pending.len() as u64)) {
            Ok(one) => pending.push(one),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.error, AppendError::Saturated);
    assert_eq!(pending.len(), ledger::limits::QUEUE_RECORDS);
    let writer = thread::spawn(move || writer.run());
    drop(closed);
    assert!(pending.into_iter().all(|one| one.wait_blocking().is_ok()));
    journal.close();
    writer.join().unwrap().unwrap();
}

#[test]
fn a_failed_write_stops_everything_and_is_not_retried() {
    let contents = Contents::default();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let inner = Volatile::new(9, contents.clone());
    let medium = Gated { inner, gate: gate.clone(), fails: true };
    let (journal, writer) = Writer::open(medium, keyring()).unwrap();
    let pending: Vec<_> =
        (0..100).map(|n| journal.append(note("x", vec![]), stamp(n)).unwrap()).collect();
    let writer = thread::spawn(move || writer.run());
    drop(closed);
    for one in pending {
        assert_eq!(one.wait_blocking().unwrap_err().error, AppendError::Stopped);
    }
    assert!(writer.join().unwrap().is_err());
    let late = journal.append(note("late", vec![]), stamp(1000)).unwrap_err();
    assert_eq!(late.error, AppendError::Stopped);
    assert!(contents.held().rows.is_empty());
}

#[test]
fn what_may_not_change_state_is_refused() {
    let (journal, _writer) = start(&Contents::default());
    let changes = vec![StateChange { key: "declared/ambit.yaml".into(), value: None }];
    let refused = journal.append(Note { changes, ..note("x", vec![]) }, stamp(1)).unwrap_err();
    assert!(matches!(refused.error, AppendError::Unfit(_)));
    journal.close();
}
