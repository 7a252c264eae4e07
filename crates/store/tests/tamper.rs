//! Whoever may write the database but has no key: each change is found, and the entry is named.
#![cfg(test)]

mod support;

use ledger::Finding;
use model::record::RecordKind;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use store::{Store, StoreError};
use support::{NOW, OnSqlite, Subject, closes, opens, sets, stamp, write};

fn verify(path: &Path, vkey: &str, kept: &[String]) -> Result<ledger::Report, StoreError> {
    store::verify(path, None, vkey, kept)
}

struct Ledger {
    disk: OnSqlite,
    vkey: String,
    /// A checkpoint that someone kept, over all entries.
    kept: String,
}

/// Twelve entries in batches of one, then a batch of several, then two more.
fn ledger() -> Ledger {
    let disk = OnSqlite::new();
    let store = disk.open().unwrap();
    for number in 0..10 {
        write(&store, opens(number)).unwrap();
    }
    write(&store, sets(RecordKind::Control, "frozen/agent/a", Some("1"))).unwrap();
    write(&store, closes(3)).unwrap();
    batch_of_several(&store);
    write(&store, sets(RecordKind::Control, "pin/x", Some("2"))).unwrap();
    write(&store, opens(101)).unwrap();
    let kept = store.checkpoint(NOW).unwrap();
    Ledger { disk, vkey: store.vkey(), kept }
}

fn batch_of_several(store: &Store) {
    for round in 0..6 {
        let first = store.size();
        let pending: Vec<_> = (0..40_u128)
            .map(|place| {
                store.journal().append(opens(1_000 + round * 100 + place), stamp()).unwrap()
            })
            .collect();
        let last =
            pending.into_iter().map(|one| one.wait_blocking().unwrap().place().sequence).max();
        assert_eq!(last, Some(first + 39));
    }
}

fn copy(ledger: &Ledger) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.db");
    let store = ledger.disk.open().unwrap();
    assert_eq!(store.export(&path).unwrap(), store.size());
    assert!(
        matches!(store.export(&path), Err(StoreError::File { .. })),
        "a file that is there is kept"
    );
    (folder, path)
}

/// The batch with the most records: its first sequence and its count.
fn widest(path: &Path) -> (u32, u32) {
    let connection = Connection::open(path).unwrap();
    let sql = "SELECT first, count FROM batches ORDER BY count DESC, first LIMIT 1";
    let found: (u32, u32) =
        connection.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert!(found.1 > 3, "no batch of several records was made");
    found
}

fn blob(path: &Path, column: &str, first: u32) -> Vec<u8> {
    let connection = Connection::open(path).unwrap();
    let sql = format!("SELECT {column} FROM batches WHERE first = ?1");
    connection.query_row(&sql, [first], |row| row.get(0)).unwrap()
}

fn set_blob(path: &Path, column: &str, first: u32, value: &[u8]) {
    let connection = Connection::open(path).unwrap();
    let sql = format!("UPDATE batches SET {column} = ?2 WHERE first = ?1");
    assert_eq!(connection.execute(&sql, rusqlite::params![first, value]).unwrap(), 1);
}

fn execute(path: &Path, sql: &str) {
    assert!(Connection::open(path).unwrap().execute(sql, ()).unwrap() > 0, "{sql}");
}

#[test]
fn an_untouched_ledger_is_sound() {
    let ledger = ledger();
    let (_folder, path) = copy(&ledger);
    let report = verify(&path, &ledger.vkey, std::slice::from_ref(&ledger.kept)).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!((report.entries, report.vouched), (254, 254));
    let whole = verify(&ledger.disk.path(), &ledger.vkey, &[]).unwrap();
    assert!(whole.is_sound());
}

#[test]
fn one_byte_edited_anywhere_in_a_row_is_found_and_named() {
    let ledger = ledger();
    let (_folder, path) = copy(&ledger);
    let (first, count) = widest(&path);
    let leaf = 186;
    let columns = [
        "leaves",
        "hashes",
        "sealed",
        "effects",
        "frontier",
        "root",
        "control_root",
        "head",
        "mac",
    ];
    for column in columns {
        let whole = blob(&path, column, first);
        let step = (whole.len() / 24).max(1);
        for at in (0..whole.len()).step_by(step) {
            let mut edited = whole.clone();
            edited[at] ^= 0x10;
            set_blob(&path, column, first, &edited);
            let report = verify(&path, &ledger.vkey, &[]).unwrap();
            assert!(!report.is_sound(), "{column} at {at}");
            let near = u32::try_from(report.problems[0].first).unwrap();
            assert!(
                (first..=first + count).contains(&near),
                "{column} at {at}: {:?}",
                report.problems
            );
            let place = match column {
                "leaves" => Some((at / leaf, Finding::LeafAltered)),
                "hashes" => Some((at / 32, Finding::HashAltered)),
                _ => None,
            };
            if let Some((place, found)) = place {
                let sequence = u64::from(first) + place as u64;
                assert_eq!(report.problems.len(), 1, "{column} at {at}: {:?}", report.problems);
                assert_eq!(report.problems[0].first, sequence, "{column} at {at}");
                assert_eq!(report.problems[0].found, found);
                assert!(report.problems[0].entry.is_some(), "the entry is named");
            }
        }
        set_blob(&path, column, first, &whole);
    }
    for number in ["count", "at", "revision"] {
        execute(
            &path,
            &format!("UPDATE batches SET {number} = {number} + 1 WHERE first = {first}"),
        );
        assert!(!verify(&path, &ledger.vkey, &[]).unwrap().is_sound(), "{number}");
        execute(
            &path,
            &format!("UPDATE batches SET {number} = {number} - 1 WHERE first = {first}"),
        );
    }
    assert!(verify(&path, &ledger.vkey, &[]).unwrap().is_sound());
}

#[test]
fn an_edited_ciphertext_names_its_entry() {
    let ledger = ledger();
    let (_folder, path) = copy(&ledger);
    let (first, count) = widest(&path);
    let whole = blob(&path, "sealed", first);
    let mut at = 0;
    for place in 0..count {
        let length = u32::from_be_bytes(whole[at..at + 4].try_into().unwrap()) as usize;
        let mut edited = whole.clone();
        edited[at + 4 + length / 2] ^= 1;
        set_blob(&path, "sealed", first, &edited);
        let report = verify(&path, &ledger.vkey, &[]).unwrap();
        assert_eq!(report.problems.len(), 1);
        let problem = &report.problems[0];
        assert_eq!(
            (problem.first, &problem.found),
            (u64::from(first + place), &Finding::PartsAltered)
        );
        assert!(problem.to_string().contains("ent_"), "{problem}");
        at += 4 + length;
    }
}

#[test]
fn deleted_and_reordered_entries_are_named() {
    let ledger = ledger();
    let (_folder, path) = copy(&ledger);
    let (first, count) = widest(&path);

    // A whole batch.
    execute(&path, "DELETE FROM batches WHERE first = 4");
    let report = verify(&path, &ledger.vkey, &[]).unwrap();
    let gone: Vec<_> = report.problems.iter().map(|it| (it.first, it.last, &it.found)).collect();
    assert_eq!(gone, [(4, 4, &Finding::Missing)]);

    // One entry out of a batch, everything packed anew.
    let (_folder, path) = copy(&ledger);
    remove_within(&path, first, 1);
    let report = verify(&path, &ledger.vkey, &[]).unwrap();
    let missing = report.problems.iter().find(|it| it.found == Finding::Missing).unwrap();
    assert_eq!((missing.first, missing.last), (u64::from(first) + 1, u64::from(first) + 1));

    // Two entries of a batch exchanged.
    let (_folder, path) = copy(&ledger);
    let mut leaves = blob(&path, "leaves", first);
    let mut hashes = blob(&path, "hashes", first);
    leaves[..372].rotate_left(186);
    hashes[..64].rotate_left(32);
    set_blob(&path, "leaves", first, &leaves);
    set_blob(&path, "hashes", first, &hashes);
    let report = verify(&path, &ledger.vkey, &[]).unwrap();
    let moved: Vec<_> = report
        .problems
        .iter()
        .filter_map(|it| match it.found {
            Finding::Moved { at } => Some((it.first, at)),
            _ => None,
        })
        .collect();
    let (one, two) = (u64::from(first), u64::from(first) + 1);
    assert_eq!(moved, [(one, two), (two, one)]);
    assert!(count > 2);

    // Two batches exchanged.
    let (_folder, path) = copy(&ledger);
    for (from, to) in [(2, 900_000), (3, 2), (900_000, 3)] {
        execute(&path, &format!("UPDATE batches SET first = {to} WHERE first = {from}"));
    }
    let report = verify(&path, &ledger.vkey, &[]).unwrap();
    let moved: Vec<_> = report
        .problems
        .iter()
        .filter(|it| matches!(it.found, Finding::Moved { .. }))
        .map(|it| it.first)
        .collect();
    assert_eq!(moved, [2, 3]);
}

/// Takes the record at a place out of a batch: leaf, hash, parts, effects, count.
fn remove_within(path: &Path, first: u32, place: usize) {
    let cut = |column: &str, from: usize, length: usize| {
        let mut bytes = blob(path, column, first);
        bytes.drain(from..from + length);
        set_blob(path, column, first, &bytes);
    };
    cut("leaves", place * 186, 186);
    cut("hashes", place * 32, 32);
    let effects = 18;
    cut("effects", place * effects, effects);
    let sealed = blob(path, "sealed", first);
    let mut at = 0;
    for _ in 0..place {
        at += 4 + u32::from_be_bytes(sealed[at..at + 4].try_into().unwrap()) as usize;
    }
    let length = 4 + u32::from_be_bytes(sealed[at..at + 4].try_into().unwrap()) as usize;
    cut("sealed", at, length);
    execute(path, &format!("UPDATE batches SET count = count - 1 WHERE first = {first}"));
}

#[test]
fn a_cut_tail_is_found_by_a_kept_checkpoint() {
    let ledger = ledger();
    let (_folder, path) = copy(&ledger);
    execute(&path, "DELETE FROM batches WHERE first > 100");
    let cut = verify(&path, &ledger.vkey, &[]).unwrap();
    assert!(cut.is_sound(), "without an outside memory a cut tail looks like a shorter ledger");
    let report = verify(&path, &ledger.vkey, std::slice::from_ref(&ledger.kept)).unwrap();
    let found: Vec<_> = report.problems.iter().map(|it| (it.first, it.last, &it.found)).collect();
    assert_eq!(found, [(cut.entries, 253, &Finding::Truncated { signed: 254 })]);
}

#[test]
fn a_history_rewritten_with_the_ledgers_own_keys_is_found_by_a_kept_checkpoint() {
    let disk = OnSqlite::new();
    let store = disk.open().unwrap();
    for number in 0..10 {
        write(&store, opens(number)).unwrap();
    }
    let early = store.checkpoint(NOW).unwrap();
    drop(store);
    // Whoever has all keys writes another history from here on, and signs it.
    let forged = OnSqlite::new();
    copy_folder(&disk.path(), &forged.path());
    let honest = disk.open().unwrap();
    let forger = forged.open().unwrap();
    for number in 10..40 {
        write(&honest, opens(number)).unwrap();
        write(&forger, opens(number + u128::from(number == 20) * 1_000)).unwrap();
    }
    let kept = honest.checkpoint(NOW).unwrap();
    forger.checkpoint(NOW).unwrap();
    let vkey = forger.vkey();
    assert_eq!(vkey, honest.vkey());
    drop(forger);
    assert!(verify(&forged.path(), &vkey, &[]).unwrap().is_sound(), "it is consistent in itself");
    let report = verify(&forged.path(), &vkey, &[early.clone(), kept.clone()]).unwrap();
    let found: Vec<_> = report.problems.iter().map(|it| (it.first, it.last, &it.found)).collect();
    assert_eq!(found, [(10, 39, &Finding::Rewritten { signed: 40 })]);
    // A start is stopped by it as well, where the kept checkpoint is put back.
    std::fs::write(forged.path().join("checkpoint"), kept).unwrap();
    assert!(matches!(forged.open(), Err(StoreError::Fatal(_))));
    drop(honest);
    assert!(verify(&disk.path(), &vkey, &[early]).unwrap().is_sound());
}

fn copy_folder(from: &Path, to: &Path) {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o700).create(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_checkpoint_of_another_key_is_refused() {
    let (one, other) = (ledger(), ledger());
    let (_folder, path) = copy(&one);
    let refused = verify(&path, &one.vkey, std::slice::from_ref(&other.kept));
    assert!(matches!(refused, Err(StoreError::Checkpoint { .. })));
    assert!(matches!(verify(&path, &other.vkey, &[]), Err(StoreError::Checkpoint { .. })));
}

#[test]
fn a_start_believes_nothing_that_the_ledger_does_not_vouch_for() {
    let cases: [(&str, &str, &str); 8] = [
        (
            "UPDATE state SET value = x'00' WHERE key = 'frozen/agent/a'",
            "a changed row",
            "control state",
        ),
        ("DELETE FROM state WHERE key = 'frozen/agent/a'", "a deleted revocation", "control state"),
        ("INSERT INTO state (key, value) VALUES ('pin/y', x'00')", "an added row", "control state"),
        (
            "UPDATE batches SET mac = zeroblob(32) WHERE first = (SELECT max(first) FROM batches)",
            "no MAC",
            "last batch",
        ),
        (
            "UPDATE batches SET effects = x'0000' WHERE first = (SELECT max(first) FROM batches)",
            "effects",
            "batch",
        ),
        (
            "DELETE FROM batches WHERE first = (SELECT max(first) FROM batches)",
            "the tail",
            "missing",
        ),
        ("UPDATE memory SET bytes = x'01'", "the condition memory", "condition memory"),
        ("DELETE FROM named", "the ledger's key", "ledger/checkpoint"),
    ];
    for (sql, what, named) in cases {
        let ledger = ledger();
        // A second start writes a snapshot; then a little more is written.
        let store = ledger.disk.open().unwrap();
        write(&store, sets(RecordKind::Task, "task/1", Some("{}"))).unwrap();
        store.checkpoint(NOW).unwrap();
        drop(store);
        execute(&ledger.disk.path().join("ambit.db"), sql);
        let refused = match ledger.disk.open() {
            Ok(_) => panic!("{what}: {sql} was believed"),
            Err(refused) => refused,
        };
        let text = refused.to_string();
        assert!(text.contains(named), "{what}: {text}");
    }
}

#[test]
fn a_changed_or_missing_kek_opens_nothing() {
    let ledger = ledger();
    let kek = ledger.disk.path().join("keys/kek");
    let right = std::fs::read(&kek).unwrap();
    std::fs::write(&kek, [1; 32]).unwrap();
    assert!(matches!(ledger.disk.open(), Err(StoreError::Seal(_))));
    std::fs::write(&kek, [1; 31]).unwrap();
    assert!(matches!(ledger.disk.open(), Err(StoreError::Kek(_))));
    std::fs::remove_file(&kek).unwrap();
    assert!(ledger.disk.open().is_err());
    assert!(!kek.exists(), "a lost key is not drawn anew over a ledger");
    std::fs::write(&kek, right).unwrap();
    set_mode(&kek, 0o600);
    assert!(ledger.disk.open().is_ok());
}

#[test]
fn others_may_not_write_and_not_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let ledger = ledger();
    let path = ledger.disk.path();
    drop(ledger.disk.open().unwrap());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("keys")), 0o700);
    for file in ["ambit.db", "index.db", "keys/kek", "checkpoint", "lock"] {
        assert_eq!(mode(&path.join(file)), 0o600, "{file}");
    }
    set_mode(&path, 0o770);
    assert!(matches!(ledger.disk.open(), Err(StoreError::Permissions { .. })));
    set_mode(&path, 0o700);
    set_mode(&path.join("keys/kek"), 0o640);
    assert!(matches!(ledger.disk.open(), Err(StoreError::Permissions { .. })));
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
