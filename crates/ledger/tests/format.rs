//! The stored bytes, held against committed ones: leaf, boxes, effects, chain, wrapped keys.
#![cfg(test)]

use ledger::{
    Entropy, Kek, Keyring, Leaf, Purpose, Row, Stamp, Writer, box_keys, disclose,
    volatile::{Contents, Held, Volatile},
};
use model::{
    AskId, Digest, Duration, EntryId, Timestamp,
    record::{Condition, KeyScope, Parts, RecordKind, Recordable, StateChange},
};
use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

/// Each fill is one repeated byte, one more each time.
struct Stepping(AtomicU8);

impl Entropy for Stepping {
    fn fill(&self, out: &mut [u8]) {
        out.fill(self.0.fetch_add(1, Ordering::Relaxed));
    }
}

struct Record(RecordKind);

impl Recordable for Record {
    fn kind(&self) -> RecordKind {
        self.0
    }
    fn scope(&self) -> KeyScope {
        KeyScope { tenant: "acme".into(), human: "ana".into() }
    }
    fn parts(&self) -> Parts {
        Parts {
            envelope: br#"{"action":"tickets.read","v":1}"#.to_vec(),
            subject: br#"{"user":"ana"}"#.to_vec(),
            arguments: br#"{"id":4711}"#.to_vec(),
            result: Vec::new(),
        }
    }
    fn conditions(&self) -> Vec<Condition> {
        let (until, now) = (Timestamp(1_790_000_060_000_000), Timestamp(1_790_000_000_000_000));
        vec![
            Condition::Opens(EntryId(1)),
            Condition::Unused { what: Digest([2; 32]), until },
            Condition::Within {
                what: Digest([3; 32]),
                max: 300,
                window: Duration::seconds(3_600),
                now,
            },
            Condition::NotRevokedSince { subjects: vec![Digest([4; 32])], decided_at: 0 },
            Condition::Asks { ask: AskId(5), until },
        ]
    }
    fn changes(&self) -> Vec<StateChange> {
        let change =
            StateChange { key: "frozen/agent/helpdesk".into(), value: Some(b"{}".to_vec()) };
        if self.0 == RecordKind::Control { vec![change] } else { Vec::new() }
    }
}

fn held(kind: RecordKind) -> (Kek, Held) {
    let kek = Kek::new(&[7; 32]).unwrap();
    let contents = Contents::default();
    let keyring = Keyring::new(kek.clone(), Arc::new(Stepping(AtomicU8::new(1))));
    let medium = Volatile::new(0x0102_0304_0506_0708, contents.clone());
    let (journal, writer) = Writer::open(medium, keyring).unwrap();
    let writer = std::thread::spawn(move || writer.run());
    let stamp = Stamp { now: Timestamp(1_790_000_000_123_456), seed: [0xab; 32] };
    let durable = journal.append(Record(kind), stamp).unwrap().wait_blocking().unwrap();
    assert_eq!(durable.place().sequence, 0);
    journal.close();
    writer.join().unwrap().unwrap();
    (kek, contents.held())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn told(held: &Held) -> String {
    let row = &held.rows[0];
    let mut text = String::new();
    let mut tell = |name: &str, bytes: &[u8]| {
        text.push_str(&format!("{name} {}\n", hex(bytes)));
    };
    tell("leaves", &row.leaves);
    tell("hashes", &row.hashes);
    tell("sealed", &row.sealed);
    tell("effects", &row.effects);
    tell("frontier", &row.frontier);
    tell("root", row.root.as_bytes());
    tell("control_root", row.control_root.as_bytes());
    tell("head", row.head.as_bytes());
    tell("mac", row.mac.as_bytes());
    for key in &held.keys {
        tell("key.id", &key.id);
        tell("key.owner", key.owner.as_bytes());
        tell("key.month", key.month.as_bytes());
        tell("key.wrapped", &key.wrapped);
    }
    text
}

#[test]
fn the_bytes_are_the_committed_ones() {
    for (kind, golden) in [
        (RecordKind::Opened, include_str!("golden/opened.txt")),
        (RecordKind::Control, include_str!("golden/control.txt")),
    ] {
        let told = told(&held(kind).1);
        if let Ok(folder) = std::env::var("AMBIT_BLESS") {
            std::fs::write(format!("{folder}/{}.txt", kind.as_str()), &told).unwrap();
        }
        assert_eq!(told, golden, "{kind:?}");
    }
}

#[test]
fn a_row_survives_its_bytes_and_a_record_its_boxes() {
    let (kek, held) = held(RecordKind::Opened);
    let row = &held.rows[0];
    assert_eq!(Row::from_bytes(&row.to_bytes()).as_ref(), Some(row));
    let (leaf, length) = Leaf::decode(&row.leaves).unwrap();
    assert_eq!((length, Leaf::length(leaf.kind)), (186, 186));
    let boxes = row.boxes().next().unwrap();
    let find = |id: &ledger::KeyId| {
        let wrapped = held.keys.iter().find(|key| key.id == *id)?;
        Some(Arc::new(kek.unwrap_key(wrapped).unwrap()))
    };
    let opened = disclose(&leaf, boxes, find).unwrap();
    assert_eq!(
        opened.envelope.as_deref(),
        Some(Record(RecordKind::Opened).parts().envelope.as_slice())
    );
    let personal = opened.personal.unwrap();
    assert_eq!(personal.subject, Record(RecordKind::Opened).parts().subject);
    assert_eq!(personal.arguments, Record(RecordKind::Opened).parts().arguments);

    // The human's key is erased: the envelope still opens, nothing personal does.
    let [shared, _] = box_keys(boxes).unwrap();
    let erased = disclose(&leaf, boxes, |id| if *id == shared { find(id) } else { None }).unwrap();
    assert!(erased.envelope.is_some() && erased.personal.is_none());

    // Another key-encryption key opens nothing, and a box belongs to its leaf's time and kind.
    let other = Kek::new(&[8; 32]).unwrap();
    assert!(other.unwrap_key(&held.keys[0]).is_err());
    let moved = Leaf { at: Timestamp(1), ..leaf };
    assert!(disclose(&moved, boxes, find).is_err());
    let other_kind = Leaf { kind: RecordKind::Refused, ..leaf };
    assert!(disclose(&other_kind, boxes, find).is_err());
}

#[test]
fn nothing_of_the_parts_or_names_is_in_the_clear() {
    let (_, held) = held(RecordKind::Opened);
    let mut all = held.rows[0].to_bytes();
    for key in &held.keys {
        all.extend_from_slice(&key.wrapped);
        all.extend_from_slice(key.owner.as_bytes());
    }
    for word in ["ana", "acme", "4711", "tickets", "user"] {
        assert!(!all.windows(word.len()).any(|window| window == word.as_bytes()), "{word}");
    }
}

#[test]
fn equal_records_have_unequal_leaves() {
    let contents = Contents::default();
    let kek = Kek::new(&[7; 32]).unwrap();
    let keyring = Keyring::new(kek, Arc::new(Stepping(AtomicU8::new(1))));
    let (journal, writer) = Writer::open(Volatile::new(1, contents.clone()), keyring).unwrap();
    let writer = std::thread::spawn(move || writer.run());
    for seed in [1, 2] {
        let stamp = Stamp { now: Timestamp(1_790_000_000_000_000), seed: [seed; 32] };
        assert!(journal.append(Plain, stamp).unwrap().wait_blocking().is_ok());
    }
    journal.close();
    writer.join().unwrap().unwrap();
    let leaves: Vec<Leaf> =
        contents.held().rows.iter().map(|row| Leaf::decode(&row.leaves).unwrap().0).collect();
    let ([one, two], _) = leaves.split_first_chunk::<2>().unwrap();
    assert_ne!(one.commitments.envelope, two.commitments.envelope);
    assert_ne!(one.commitments.arguments, two.commitments.arguments);
    assert_ne!(one.commitments.subject, one.commitments.result, "empty parts look like any other");
}

struct Plain;

impl Recordable for Plain {
    fn kind(&self) -> RecordKind {
        RecordKind::Refused
    }
    fn parts(&self) -> Parts {
        Parts { envelope: b"{}".to_vec(), ..Parts::default() }
    }
}

#[test]
fn a_sealed_value_is_bound_to_its_name_and_purpose() {
    let kek = Kek::new(&[7; 32]).unwrap();
    let sealed =
        kek.seal(Purpose::Named, "token/a", b"secret", &Stepping(AtomicU8::new(1))).unwrap();
    assert_eq!(kek.open(Purpose::Named, "token/a", &sealed).unwrap().as_slice(), b"secret");
    assert!(kek.open(Purpose::Named, "token/b", &sealed).is_err());
    assert!(kek.open(Purpose::Live, "token/a", &sealed).is_err());
}

#[test]
fn a_subject_is_named_by_one_function() {
    let digest = ledger::subject_digest("agent", "helpdesk");
    assert_eq!(ledger::revoked_subject("frozen/agent/helpdesk"), Some(digest));
    assert_eq!(ledger::revoked_subject("revoked/agent/helpdesk"), Some(digest));
    assert_eq!(ledger::revoked_subject("declared/agent/helpdesk"), None);
    assert_eq!(
        ledger::revoked_subject("frozen/action/files.a/b"),
        Some(ledger::subject_digest("action", "files.a/b"))
    );
}
