//! What every medium must do, run on SQLite, on PostgreSQL and on the forgetful double.
#![cfg(test)]

mod support;

use ledger::AppendError;
use model::{
    AskId, Digest, Duration, EntryId, Timestamp, TraceId,
    record::{Condition, RecordKind},
};
use std::sync::{Arc, Mutex};
use store::{Filter, StoreError};
use support::{
    NOW, Note, OnForgetful, OnPostgres, OnSqlite, Subject, closes, note, opens, sets, write,
};

macro_rules! conformance {
    ($($name:ident;)*) => {
        mod on_sqlite { $(#[test] fn $name() { super::$name(&super::OnSqlite::new()); })* }
        mod on_postgres { $(#[test] fn $name() { super::$name(&super::OnPostgres::new()); })* }
        mod on_forgetful { $(#[test] fn $name() { super::$name(&super::OnForgetful::default()); })* }
    };
}

conformance! {
    what_was_acknowledged_is_there_after_a_crash;
    one_opener_at_a_time;
    conditions_hold_across_a_crash;
    a_committer_sees_its_own_change;
    named_secrets_come_back;
    records_are_read_back_opened;
    the_index_answers_and_can_be_rebuilt;
    checkpoints_are_signed_over_what_is_durable;
    published_tiles_prove_every_entry;
    approvals_are_used_once;
    sixty_four_callers_are_all_answered;
}

fn with(condition: Condition) -> Note {
    Note { conditions: vec![condition], ..note(RecordKind::Opened) }
}

fn what_was_acknowledged_is_there_after_a_crash(disk: &impl Subject) {
    let store = disk.open().unwrap();
    let places: Vec<u64> =
        (0..50).map(|number| write(&store, opens(number)).unwrap().sequence).collect();
    assert_eq!(places, (0..50).collect::<Vec<_>>());
    write(&store, closes(7)).unwrap();
    write(&store, sets(RecordKind::Control, "frozen/agent/a", Some("1"))).unwrap();
    write(&store, sets(RecordKind::Control, "pin/x", Some("2"))).unwrap();
    write(&store, sets(RecordKind::Control, "pin/x", None)).unwrap();
    write(&store, sets(RecordKind::Task, "task/1", Some("{}"))).unwrap();
    let (vkey, root) = (store.vkey(), store.checkpoint(NOW).unwrap());
    disk.crash(store);

    let store = disk.open().unwrap();
    assert_eq!(store.size(), 55);
    assert_eq!(store.vkey(), vkey);
    assert_eq!(store.checkpoint(NOW).unwrap(), root);
    let state = store.state();
    assert_eq!(state.revision, 3);
    assert_eq!(state.rows.keys().collect::<Vec<_>>(), ["frozen/agent/a"]);
    assert_eq!(store.live("task/1").as_deref(), Some(b"{}".as_slice()));
    let open: Vec<_> = (0..50).filter(|number| *number != 7).map(EntryId).collect();
    assert_eq!(store.recovered(), open);
    assert_eq!(write(&store, closes(8)).unwrap().sequence, 55);
}

fn one_opener_at_a_time(disk: &impl Subject) {
    let store = disk.open().unwrap();
    assert!(matches!(disk.open(), Err(StoreError::Locked(_))));
    drop(store);
    assert!(disk.open().is_ok());
}

fn conditions_hold_across_a_crash(disk: &impl Subject) {
    let proof = || {
        let until = NOW.after(Duration::seconds(120));
        with(Condition::Unused { what: Digest([5; 32]), until })
    };
    let limited = || {
        let window = Duration::seconds(3_600);
        with(Condition::Within { what: Digest([6; 32]), max: 2, window, now: NOW })
    };
    let store = disk.open().unwrap();
    write(&store, proof()).unwrap();
    write(&store, limited()).unwrap();
    disk.crash(store);
    let store = disk.open().unwrap();
    assert!(matches!(write(&store, proof()), Err(AppendError::Failed(Condition::Unused { .. }))));
    write(&store, limited()).unwrap();
    disk.crash(store);
    let store = disk.open().unwrap();
    assert!(matches!(write(&store, limited()), Err(AppendError::Failed(Condition::Within { .. }))));
    let subjects = vec![ledger::subject_digest("user", "ana")];
    let decided =
        |decided_at| with(Condition::NotRevokedSince { subjects: subjects.clone(), decided_at });
    write(&store, decided(0)).unwrap();
    write(&store, sets(RecordKind::Control, "frozen/user/ana", Some("1"))).unwrap();
    assert_eq!(write(&store, decided(0)).unwrap_err(), AppendError::Moved);
    write(&store, decided(1)).unwrap();
    disk.crash(store);
    let store = disk.open().unwrap();
    assert_eq!(write(&store, decided(0)).unwrap_err(), AppendError::Moved);
}

fn a_committer_sees_its_own_change(disk: &impl Subject) {
    let store = disk.open().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let listener = seen.clone();
    store.on_change(Box::new(move |state| listener.lock().unwrap().push(state.revision)));
    for number in 1..=20 {
        let key = format!("pin/{number}");
        write(&store, sets(RecordKind::Control, &key, Some("x"))).unwrap();
        assert!(store.state().rows.contains_key(&key));
        assert_eq!(store.state().revision, number);
        assert_eq!(seen.lock().unwrap().len() as u64, number);
        let task = format!("task/{number}");
        write(&store, sets(RecordKind::Task, &task, Some("y"))).unwrap();
        assert!(store.live(&task).is_some());
    }
    assert_eq!(store.live_prefix("task/").len(), 20);
    write(&store, sets(RecordKind::Answered, "task/3", None)).unwrap();
    assert_eq!(store.live_prefix("task/").len(), 19);
    let held = store.state();
    write(&store, sets(RecordKind::Control, "pin/1", None)).unwrap();
    assert!(held.rows.contains_key("pin/1"), "a state that is held does not change");
}

fn named_secrets_come_back(disk: &impl Subject) {
    let store = disk.open().unwrap();
    store.put_key("token/a", b"one").unwrap();
    store.put_key("token/a", b"two").unwrap();
    assert_eq!(store.get_key("token/b").unwrap(), None);
    disk.crash(store);
    let store = disk.open().unwrap();
    assert_eq!(store.get_key("token/a").unwrap().unwrap().as_slice(), b"two");
}

fn records_are_read_back_opened(disk: &impl Subject) {
    let store = disk.open().unwrap();
    let place = write(&store, opens(77)).unwrap();
    write(&store, Note { human: "ben", ..closes(77) }).unwrap();
    for _ in 0..2 {
        let record = store.read(place.sequence).unwrap().unwrap();
        assert_eq!(record.entry(), Some(EntryId(77)));
        assert_eq!(record.trace(), Some(TraceId(77)));
        assert_eq!((record.leaf.at, record.leaf.kind), (NOW, RecordKind::Opened));
        let personal = record.personal.unwrap();
        assert_eq!(personal.subject, b"{\"user\":\"ana\"}");
        assert_eq!(personal.arguments, b"{\"amount\":12}");
        assert_eq!(personal.result, b"");
    }
    assert_eq!(store.read(2).unwrap(), None);
}

fn the_index_answers_and_can_be_rebuilt(disk: &impl Subject) {
    let store = disk.open().unwrap();
    for number in 1..=30 {
        write(&store, opens(number)).unwrap();
    }
    for number in 1..=29 {
        write(&store, closes(number)).unwrap();
    }
    let refused = "{\"agent\":\"helpdesk\",\"code\":\"forbidden\",\"decision\":\"deny\",\"v\":1}";
    let last = write(&store, Note { envelope: refused.into(), ..note(RecordKind::Refused) });
    let last = last.unwrap().sequence;
    for round in 0..2 {
        if round == 1 {
            store.index().rebuild().unwrap();
        }
        assert!(store.index().caught_up(last, std::time::Duration::from_secs(20)));
        assert_eq!(store.index().position(), last + 1);
        let of_trace = Filter { trace: Some(TraceId(9)), ..Filter::default() };
        let kinds: Vec<_> = store.index().records(&of_trace).unwrap();
        let kinds: Vec<_> = kinds.iter().map(|record| record.leaf.kind).collect();
        assert_eq!(kinds, [RecordKind::Opened, RecordKind::Outcome]);
        let agent = Filter { agent: Some("helpdesk".into()), limit: 5, ..Filter::default() };
        let newest = Filter { newest_first: true, ..agent.clone() };
        assert_eq!(store.index().sequences(&agent).unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(store.index().sequences(&newest).unwrap(), [last, 29, 28, 27, 26]);
        let rest = Filter { after: Some(26), limit: 0, ..agent.clone() };
        assert_eq!(store.index().sequences(&rest).unwrap(), [27, 28, 29, last]);
        let kept = store.index().kept_of("helpdesk").unwrap();
        let kept: Vec<_> = kept.iter().map(|kept| (kept.kind, kept.count, kept.last)).collect();
        let (opened, refused) = (RecordKind::Opened.number(), RecordKind::Refused.number());
        assert_eq!(kept, [(opened, 30, 29), (refused, 1, last)]);
        assert!(store.index().kept_of("nobody").unwrap().is_empty());
        let traces = store.index().traces(&newest).unwrap();
        let told: Vec<_> = traces.iter().map(|it| (it.trace.0, it.opened, it.closed)).collect();
        assert_eq!(told, [(30, 1, 0), (29, 1, 1), (28, 1, 1), (27, 1, 1), (26, 1, 1)]);
        let refusal = store.index().last_refusal(Some("helpdesk")).unwrap().unwrap();
        assert_eq!(refusal.leaf.sequence, last);
        assert_eq!(store.index().last_refusal(Some("nobody")).unwrap(), None);
        assert!(store.index().last_refusal(None).unwrap().is_some());
        let later = Filter { since: Some(Timestamp(NOW.0 + 1)), ..Filter::default() };
        assert!(store.index().sequences(&later).unwrap().is_empty());
    }
}

fn checkpoints_are_signed_over_what_is_durable(disk: &impl Subject) {
    let store = disk.open().unwrap();
    let verifier = tlog::NoteVerifier::parse(&store.vkey()).unwrap();
    for number in 0..5_u64 {
        let note = store.checkpoint(NOW).unwrap();
        let open = tlog::note::open(note.as_bytes(), std::slice::from_ref(&verifier)).unwrap();
        let checkpoint = tlog::Checkpoint::parse(open.text()).unwrap();
        assert_eq!(checkpoint.size(), number);
        assert!(checkpoint.origin().starts_with("ambit.local/"));
        write(&store, opens(u128::from(number))).unwrap();
    }
}

fn published_tiles_prove_every_entry(disk: &impl Subject) {
    let store = disk.open().unwrap();
    let pending: Vec<_> = (0..300)
        .map(|number| store.journal().append(opens(number), support::stamp()).unwrap())
        .collect();
    assert!(pending.into_iter().all(|one| one.wait_blocking().is_ok()));
    let folder = tempfile::tempdir().unwrap();
    let size = store.export_tiles(folder.path()).unwrap();
    assert_eq!(size, 300);
    let note = std::fs::read(folder.path().join("checkpoint")).unwrap();
    let verifier = tlog::NoteVerifier::parse(&store.vkey()).unwrap();
    let open = tlog::note::open(&note, &[verifier]).unwrap();
    let checkpoint = tlog::Checkpoint::parse(open.text()).unwrap();
    let tiles = tlog::TileReader::new(size, |tile: &tlog::Tile| {
        std::fs::read(folder.path().join(tile.path()))
    });
    assert_eq!(&tlog::root(&tiles, size).unwrap(), checkpoint.root());
    for bundle in tlog::Bundle::growth(0, size) {
        let bytes = std::fs::read(folder.path().join(bundle.path())).unwrap();
        for (index, entry) in (bundle.index() * 256..).zip(bundle.decode(&bytes).unwrap()) {
            assert_eq!(ledger::Leaf::decode(entry).unwrap().0.sequence, index);
            let proof = tlog::inclusion(&tiles, index, size).unwrap();
            let leaf = tlog::leaf_hash(entry);
            tlog::verify_inclusion(&leaf, index, size, &proof, checkpoint.root()).unwrap();
        }
    }
}

fn approvals_are_used_once(disk: &impl Subject) {
    let ask = AskId(3);
    let until = NOW.after(Duration::seconds(60));
    let kind = |kind, condition| Note { conditions: vec![condition], ..note(kind) };
    let asks = || kind(RecordKind::Asked, Condition::Asks { ask, until });
    let answers = |approved| {
        kind(RecordKind::Answered, Condition::Answers { ask, approved, use_until: until })
    };
    let uses = || kind(RecordKind::Opened, Condition::Approval { ask, now: NOW });
    let store = disk.open().unwrap();
    assert!(write(&store, uses()).is_err());
    assert!(write(&store, answers(true)).is_err());
    write(&store, asks()).unwrap();
    assert!(write(&store, asks()).is_err());
    assert!(write(&store, uses()).is_err());
    disk.crash(store);
    let store = disk.open().unwrap();
    write(&store, answers(true)).unwrap();
    assert!(write(&store, answers(false)).is_err());
    disk.crash(store);
    let store = disk.open().unwrap();
    write(&store, uses()).unwrap();
    assert!(write(&store, uses()).is_err());
    disk.crash(store);
    let store = disk.open().unwrap();
    assert!(write(&store, uses()).is_err());
}

fn sixty_four_callers_are_all_answered(disk: &impl Subject) {
    let store = disk.open().unwrap();
    let limit = Digest([8; 32]);
    let taken: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..64_u128)
            .map(|caller| {
                let store = &store;
                scope.spawn(move || {
                    let mut taken = 0;
                    for call in 0..10 {
                        let window = Duration::seconds(60);
                        let within = Condition::Within { what: limit, max: 5, window, now: NOW };
                        let mut record = opens(caller * 100 + call);
                        record.conditions.push(within);
                        taken += usize::from(write(store, record).is_ok());
                        write(store, note(RecordKind::Refused)).unwrap();
                    }
                    taken
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(taken, 5, "64 callers, limit 5: exactly 5");
    assert_eq!(store.size(), 645);
}
