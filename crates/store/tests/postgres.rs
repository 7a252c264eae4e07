//! PostgreSQL alone: servers that are refused, a session that is cut, rows that are edited, copies, passwords.
#![cfg(test)]

mod support;

use ledger::{AppendError, Finding};
use model::{EntryId, record::RecordKind};
use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use store::{Database, Options, Store, StoreError};
use support::{
    Chance, NOW, OnPostgres, OnSqlite, Subject, closes, note, opens, sets, stamp, write,
};
use testkit::postgres::Server;

/// Ends the session that holds the writer's lock.
const CUT_WRITER: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'";
/// Ends all other sessions of a store.
const CUT_READERS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
    WHERE application_name = 'ambit' AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')";

fn on(server: Server) -> OnPostgres {
    OnPostgres { server: Mutex::new(server), folder: tempfile::tempdir().unwrap() }
}

fn refused(disk: &impl Subject) -> StoreError {
    match disk.open() {
        Ok(_) => panic!("it was opened"),
        Err(refused) => refused,
    }
}

/// An error with its causes.
fn told(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_second_writer_is_refused() {
    let disk = OnPostgres::new();
    let store = disk.open().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let other = || {
        let options = Options { database: Some(disk.database()), ..Options::default() };
        Store::open(&folder.path().join("data"), options, NOW, Arc::new(Chance))
    };
    let found = other().err().map(|refused| refused.to_string()).unwrap_or_default();
    assert!(found.contains("has a writer already"), "{found}");
    write(&store, opens(1)).unwrap();
    drop(store);
    // The lock is free; the ledger is another key's.
    assert!(!matches!(other(), Ok(_) | Err(StoreError::Taken(_))));
}

#[test]
fn two_writers_that_continue_one_ledger_meet_at_its_end() {
    let disk = OnPostgres::new();
    let store = disk.open().unwrap();
    write(&store, opens(1)).unwrap();
    // What a writer behind a pooler would do, whose lock is another session's.
    disk.sql("INSERT INTO batches SELECT 1, count, at, leaves, hashes, sealed, effects, frontier, root, control_root, revision, head, mac FROM batches WHERE first = 0");
    assert_eq!(write(&store, opens(2)).unwrap_err(), AppendError::Stopped);
    until("the reason is told", || store.stopped().is_some());
    assert!(store.stopped().unwrap().contains("duplicate key"), "{:?}", store.stopped());
}

#[test]
fn a_server_that_may_lose_what_it_acknowledged_is_refused() {
    for setting in
        ["fsync=off", "full_page_writes=off", "synchronous_commit=off", "synchronous_commit=local"]
    {
        let disk = on(Server::with_settings(&[setting]).unwrap());
        let text = refused(&disk).to_string();
        let (name, value) = setting.split_once('=').unwrap();
        assert!(text.contains(&format!("`{name}` is `{value}`")), "{setting}: {text}");
    }
    let disk = OnPostgres::new();
    disk.sql("ALTER ROLE ambit SET synchronous_commit = off");
    assert!(refused(&disk).to_string().contains("`synchronous_commit` is `off`"));
}

#[test]
fn a_setting_that_changes_later_does_not_reach_an_open_store() {
    let disk = OnPostgres::new();
    let store = disk.open().unwrap();
    disk.sql("ALTER SYSTEM SET synchronous_commit = off");
    disk.sql("SELECT pg_reload_conf()");
    for number in 0..20 {
        write(&store, opens(number)).unwrap();
    }
    disk.crash(store);
    disk.sql("ALTER SYSTEM RESET synchronous_commit");
    disk.sql("SELECT pg_reload_conf()");
    assert_eq!(disk.open().unwrap().recovered().len(), 20);
}

#[test]
fn a_writer_that_is_cut_under_load_loses_nothing_acknowledged() {
    let disk = OnPostgres::new();
    let store = disk.open().unwrap();
    let (numbers, cut) = (AtomicU64::new(0), AtomicBool::new(false));
    let acknowledged = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                loop {
                    let number = u128::from(numbers.fetch_add(1, Ordering::Relaxed));
                    match write(&store, opens(number)) {
                        Ok(_) => drop(acknowledged.lock().unwrap().insert(number)),
                        Err(error) => {
                            assert_eq!(error, AppendError::Stopped);
                            assert!(cut.load(Ordering::SeqCst), "it stopped by itself");
                            return;
                        }
                    }
                }
            });
        }
        until("some are acknowledged", || acknowledged.lock().unwrap().len() > 200);
        cut.store(true, Ordering::SeqCst);
        disk.sql(CUT_WRITER);
    });
    // The writer answers those who wait before it shuts the way in.
    until("nothing more is admitted", || !store.journal().is_open());
    until("the reason is told", || store.stopped().is_some());
    let why = store.stopped().unwrap();
    assert!(why.contains("terminating connection due to administrator command"), "{why}");
    drop(store);
    let store = disk.open().unwrap();
    let there: BTreeSet<u128> = store.recovered().iter().map(|entry| entry.0).collect();
    let acknowledged = acknowledged.into_inner().unwrap();
    let lost: Vec<_> = acknowledged.difference(&there).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert_eq!(store.size(), there.len() as u64);
    assert_eq!(write(&store, closes(0)).unwrap().sequence, there.len() as u64);
}

#[test]
fn a_writer_that_is_cut_while_it_rests_is_noticed() {
    let disk = OnPostgres::new();
    let store = disk.open().unwrap();
    write(&store, opens(1)).unwrap();
    disk.sql(CUT_WRITER);
    until("admission ends", || !store.journal().is_open() && store.stopped().is_some());
    assert_eq!(write(&store, opens(2)).unwrap_err(), AppendError::Stopped);
    let why = store.stopped().unwrap();
    assert!(why.contains("terminating connection"), "{why}");
    drop(store);
    assert_eq!(disk.open().unwrap().recovered(), [EntryId(1)]);
}

#[test]
fn readers_that_are_cut_come_back() {
    let disk = OnPostgres::new();
    let store = disk.open().unwrap();
    let place = write(&store, opens(1)).unwrap();
    assert!(store.index().caught_up(place.sequence, Duration::from_secs(20)));
    disk.sql(CUT_READERS);
    assert_eq!(store.read(place.sequence).unwrap().unwrap().entry(), Some(EntryId(1)));
    store.put_key("a", b"b").unwrap();
    write(&store, opens(2)).unwrap();
    assert!(store.journal().is_open());
}

#[test]
fn it_is_opened_read_and_dropped_inside_a_runtime() {
    let disk = OnPostgres::new();
    for threads in [1, 2] {
        let mut builder = if threads == 1 {
            tokio::runtime::Builder::new_current_thread()
        } else {
            tokio::runtime::Builder::new_multi_thread()
        };
        builder.enable_all().build().unwrap().block_on(async {
            let store = disk.open().unwrap();
            store.put_key("a", b"b").unwrap();
            assert_eq!(store.get_key("a").unwrap().unwrap().as_slice(), b"b");
            let pending = store.journal().append(note(RecordKind::Refused), stamp()).unwrap();
            assert!(pending.await.is_ok());
            drop(store);
            disk.sql("UPDATE schema SET version = 99");
            assert!(matches!(disk.open(), Err(StoreError::Newer { found: 99, .. })));
            disk.sql("UPDATE schema SET version = 1");
        });
    }
}

struct Ledger {
    disk: OnPostgres,
    vkey: String,
    kept: String,
}

/// Entries in batches of one, a batch of several, some control state.
fn ledger() -> Ledger {
    let disk = OnPostgres::new();
    let store = disk.open().unwrap();
    for number in 0..8 {
        write(&store, opens(number)).unwrap();
    }
    write(&store, sets(RecordKind::Control, "frozen/agent/a", Some("1"))).unwrap();
    write(&store, closes(3)).unwrap();
    let pending: Vec<_> =
        (100..160).map(|number| store.journal().append(opens(number), stamp()).unwrap()).collect();
    assert!(pending.into_iter().all(|one| one.wait_blocking().is_ok()));
    write(&store, sets(RecordKind::Task, "task/1", Some("{}"))).unwrap();
    let kept = store.checkpoint(NOW).unwrap();
    assert!(store.index().caught_up(store.size() - 1, Duration::from_secs(20)));
    Ledger { vkey: store.vkey(), kept, disk }
}

impl Ledger {
    fn verify(&self, kept: &[String]) -> ledger::Report {
        let database = self.disk.database();
        store::verify(&self.disk.path(), Some(&database), &self.vkey, kept).unwrap()
    }

    /// The batch with the most records.
    fn widest(&self) -> (u64, u64) {
        let sql = "SELECT first, count FROM batches ORDER BY count DESC, first LIMIT 1";
        let found = self.disk.sql(sql);
        let (first, count) = found.split_once('|').unwrap();
        let found = (first.parse().unwrap(), count.parse().unwrap());
        assert!(found.1 > 3, "no batch of several records was made");
        found
    }
}

#[test]
fn one_row_edited_by_sql_is_named() {
    let ledger = ledger();
    let report = ledger.verify(std::slice::from_ref(&ledger.kept));
    assert_eq!((report.problems.as_slice(), report.entries), ([].as_slice(), 71));
    let (first, count) = ledger.widest();
    // Second record of the batch: its leaf, its hash, its ciphertext.
    for (column, at, found) in
        [("leaves", 186 + 40, Finding::LeafAltered), ("hashes", 32 + 5, Finding::HashAltered)]
    {
        let edit = format!(
            "UPDATE batches SET {column} = set_byte({column}, {at}, get_byte({column}, {at}) # 16) WHERE first = {first}"
        );
        ledger.disk.sql(&edit);
        let report = ledger.verify(&[]);
        assert_eq!(report.problems.len(), 1, "{column}: {:?}", report.problems);
        let problem = &report.problems[0];
        assert_eq!((problem.first, &problem.found), (first + 1, &found), "{column}");
        assert!(problem.to_string().contains("ent_"), "the entry is named: {problem}");
        ledger.disk.sql(&edit);
    }
    for column in ["sealed", "effects", "frontier", "root", "control_root", "head", "mac"] {
        let edit = format!(
            "UPDATE batches SET {column} = set_byte({column}, 9, get_byte({column}, 9) # 16) WHERE first = {first}"
        );
        ledger.disk.sql(&edit);
        let report = ledger.verify(&[]);
        assert!(!report.is_sound(), "{column}");
        let near = report.problems[0].first;
        assert!((first..=first + count).contains(&near), "{column}: {:?}", report.problems);
        ledger.disk.sql(&edit);
    }
    assert!(ledger.verify(&[]).is_sound());
    ledger.disk.sql("CREATE TABLE kept AS TABLE batches; DELETE FROM batches WHERE first = 4");
    let report = ledger.verify(&[]);
    let gone: Vec<_> = report.problems.iter().map(|it| (it.first, it.last, &it.found)).collect();
    assert_eq!(gone, [(4, 4, &Finding::Missing)]);
    ledger.disk.sql("DELETE FROM batches WHERE first > 5 OR first < 0; INSERT INTO batches SELECT * FROM kept WHERE first = 4");
    let own = ledger.verify(&[]);
    let found: Vec<_> = own.problems.iter().map(|it| (it.first, it.last, &it.found)).collect();
    assert_eq!(
        found,
        [(6, 70, &Finding::Truncated { signed: 71 })],
        "the kept checkpoint is in the directory"
    );
    ledger.disk.sql("UPDATE batches SET root = '\\x00' WHERE first = 2");
    let unread = store::verify(&ledger.disk.path(), None, &ledger.vkey, &[]).unwrap_err();
    assert!(unread.to_string().contains("it is not 32 bytes"), "{unread}");
}

#[test]
fn a_start_believes_nothing_that_the_ledger_does_not_vouch_for() {
    let cases = [
        ("UPDATE state SET value = '\\x00' WHERE key = 'frozen/agent/a'", "control state"),
        ("DELETE FROM state WHERE key = 'frozen/agent/a'", "control state"),
        ("INSERT INTO state (key, value) VALUES ('pin/y', '\\x00')", "control state"),
        (
            "UPDATE batches SET mac = sha256('x') WHERE first = (SELECT max(first) FROM batches)",
            "last batch",
        ),
        (
            "UPDATE batches SET effects = '\\x0000' WHERE first = (SELECT max(first) FROM batches)",
            "batch",
        ),
        ("DELETE FROM batches WHERE first = (SELECT max(first) FROM batches)", "missing"),
        ("UPDATE memory SET bytes = '\\x01'", "condition memory"),
        ("DELETE FROM named", "ledger/checkpoint"),
        ("UPDATE live SET value = set_byte(value, 3, 1 # get_byte(value, 3))", "table `live`"),
    ];
    let ledger = ledger();
    // A second start writes a snapshot.
    let store = ledger.disk.open().unwrap();
    write(&store, sets(RecordKind::Task, "task/2", Some("{}"))).unwrap();
    store.checkpoint(NOW).unwrap();
    drop(store);
    let tables = ["batches", "state", "live", "memory", "named"];
    for table in tables {
        ledger.disk.sql(&format!("CREATE TABLE kept_{table} AS TABLE {table}"));
    }
    for (sql, named) in cases {
        ledger.disk.sql(sql);
        let text = refused(&ledger.disk).to_string();
        assert!(text.contains(named), "{sql}: {text}");
        for table in tables {
            let back = format!("TRUNCATE {table}; INSERT INTO {table} SELECT * FROM kept_{table}");
            ledger.disk.sql(&back);
        }
    }
    assert!(ledger.disk.open().is_ok());
}

#[test]
fn a_copy_is_a_file_that_verifies_by_itself() {
    let ledger = ledger();
    let store = ledger.disk.open().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("copy.db");
    assert_eq!(store.export(&file).unwrap(), store.size());
    assert!(matches!(store.export(&file), Err(StoreError::File { .. })), "a file is kept");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = std::slice::from_ref(&ledger.kept);
    let report = store::verify(&file, None, &ledger.vkey, kept).unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.entries, report.vouched), (71, 71));
    assert_eq!(report.root, ledger.verify(kept).root);
    // With its key it is a ledger that goes on.
    let moved = OnSqlite::new();
    drop(moved.open().unwrap());
    std::fs::copy(&file, moved.path().join("ambit.db")).unwrap();
    for beside in ["ambit.db-wal", "ambit.db-shm", "checkpoint"] {
        drop(std::fs::remove_file(moved.path().join(beside)));
    }
    std::fs::copy(ledger.disk.path().join("keys/kek"), moved.path().join("keys/kek")).unwrap();
    let moved = moved.open().unwrap();
    assert_eq!((moved.size(), moved.state()), (store.size(), store.state()));
    assert_eq!(
        (moved.live("task/1"), moved.recovered()),
        (store.live("task/1"), store.recovered())
    );
    assert_eq!(moved.read(20).unwrap(), store.read(20).unwrap());
    write(&moved, closes(5)).unwrap();
}

#[test]
fn a_directory_remembers_its_database_and_is_never_moved() {
    let disk = OnPostgres::new();
    drop(disk.open().unwrap());
    let again = Store::open(&disk.path(), Options::default(), NOW, Arc::new(Chance)).unwrap();
    assert!(!disk.path().join("ambit.db").exists());
    assert_eq!(store::last_database(&disk.path()).unwrap(), Some(disk.database().to_string()));
    drop(again);
    let sqlite = OnSqlite::new();
    drop(sqlite.open().unwrap());
    let options = Options { database: Some(disk.database()), ..Options::default() };
    let moved = Store::open(&sqlite.path(), options, NOW, Arc::new(Chance));
    assert!(matches!(moved, Err(StoreError::Within(_))));
    std::fs::remove_file(disk.path().join("keys/kek")).unwrap();
    assert!(matches!(disk.open(), Err(StoreError::File { .. })));
    assert!(!disk.path().join("keys/kek").exists(), "a lost key is not drawn anew over a ledger");
}

#[test]
fn the_password_comes_from_a_file_and_goes_nowhere() {
    let secret = "correct-horse";
    let disk = on(Server::with_password(secret).unwrap());
    let text = told(&refused(&disk));
    assert!(text.contains("cannot be reached") && text.contains("password"), "{text}");
    let passfile = disk.folder.path().join("pgpass");
    std::fs::write(&passfile, format!("*:*:postgres:ambit:{secret}\n")).unwrap();
    let url = disk.server.lock().unwrap().url();
    let open = |database: Database| {
        let options = Options { database: Some(database), ..Options::default() };
        Store::open(&disk.path(), options, NOW, Arc::new(Chance))
    };
    let named =
        || Database::parse(&format!("{url}?passfile={}", passfile.display()), None).unwrap();
    let chmod = |mode| {
        std::fs::set_permissions(&passfile, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    chmod(0o644);
    assert!(matches!(open(named()), Err(StoreError::PassFile { .. })));
    chmod(0o600);
    drop(open(named()).unwrap());
    drop(open(Database::parse(&url, Some(passfile.clone())).unwrap()).unwrap());
    let within = url.replace("ambit@", &format!("ambit:{secret}@"));
    drop(open(Database::parse(&within, None).unwrap()).unwrap());
    let wrong = Database::parse(&url.replace("ambit@", "ambit:wrong-pony@"), None).unwrap();
    let text = told(&open(wrong).err().unwrap());
    assert!(text.contains("authentication failed") && !text.contains("wrong-pony"), "{text}");
    for entry in std::fs::read_dir(disk.path()).unwrap() {
        let file = entry.unwrap().path();
        let bytes = std::fs::read(&file).unwrap_or_default();
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "the password is in {}", file.display());
    }
}
