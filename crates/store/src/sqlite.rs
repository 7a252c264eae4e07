//! SQLite: one row per batch, written by one connection, read by another.

mod migrations;

use crate::{
    archive::{Archive, Snapshot, Stored},
    directory::{Directory, read_note, write_whole},
    error::{During, StoreError},
    export,
    limits::{BUSY, LIVE_KEPT, SNAPSHOT_EVERY, WAL_HARD, WAL_SOFT},
    resume::{Resumed, Trust, resume, snapshot_mac},
    view::View,
};
use ledger::{
    Batch, Claim, Entropy, Fatal, Kek, KeyId, Medium, Memory, Purpose, Row, Tail, WrappedKey,
};
use model::{Digest, Timestamp, record::Condition};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tlog::Checkpoint;

const ROW_COLUMNS: &str = "first, count, at, leaves, hashes, sealed, effects, frontier, root, \
     control_root, revision, head, mac";

/// Opens the database for writing, makes or migrates it.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path).during("opened")?;
    connection.busy_timeout(BUSY).during("opened")?;
    // A mutation for tests: without the sync a batch is called durable while it is not.
    let synchronous = if cfg!(feature = "mutation-no-sync") { "OFF" } else { "FULL" };
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; \
             PRAGMA wal_autocheckpoint = 0; PRAGMA secure_delete = ON; PRAGMA foreign_keys = ON;"
        ))
        .during("opened")?;
    migrations::migrate(&mut connection)?;
    Ok(connection)
}

/// Opens a database for reading, also a copy in a directory that cannot be written.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let readable = |connection: &Connection| {
        connection.query_row("SELECT count(*) FROM sqlite_schema", (), |_| Ok(())).is_ok()
    };
    let plain = Connection::open_with_flags(path, flags).during("opened")?;
    plain.busy_timeout(BUSY).during("opened")?;
    if readable(&plain) {
        return Ok(plain);
    }
    let text = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Connection::open_with_flags(format!("file:{text}?immutable=1"), flags).during("opened")
}

/// The node's number, drawn at the first start.
pub(crate) fn node(connection: &Connection, entropy: &dyn Entropy) -> Result<u64, StoreError> {
    if let Some(node) = stored_node(connection)? {
        return Ok(node);
    }
    let mut random = [0_u8; 8];
    entropy.fill(&mut random);
    connection
        .execute("INSERT INTO meta (name, value) VALUES ('node', ?1)", [random.as_slice()])
        .during("written")?;
    Ok(u64::from_be_bytes(random))
}

/// The node's number, if the database has one.
pub(crate) fn stored_node(connection: &Connection) -> Result<Option<u64>, StoreError> {
    let found: Option<Vec<u8>> = connection
        .query_row("SELECT value FROM meta WHERE name = 'node'", (), |row| row.get(0))
        .optional()
        .during("read")?;
    found
        .map(|bytes| {
            let bytes = <[u8; 8]>::try_from(bytes.as_slice());
            bytes.map(u64::from_be_bytes).map_err(|_| StoreError::Damaged {
                place: "the node's number".into(),
                found: "it is not eight bytes".into(),
            })
        })
        .transpose()
}

/// Writes batches.
pub(crate) struct SqliteMedium {
    pub(crate) connection: Connection,
    pub(crate) node: u64,
    pub(crate) kek: Kek,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) kept: Option<Checkpoint>,
    pub(crate) view: Arc<View>,
    pub(crate) memory: Memory,
    pub(crate) unsnapped: u32,
    pub(crate) opened: Timestamp,
}

impl SqliteMedium {
    fn take_up(&mut self) -> Result<Tail, StoreError> {
        let end = self.opened.0.saturating_sub(LIVE_KEPT);
        self.connection.execute("DELETE FROM live WHERE changed < ?1", [end]).during("written")?;
        let trust = Trust { node: self.node, kek: &self.kek, kept: self.kept.as_ref() };
        let reader = Reading(&self.connection);
        let Resumed { tail, memory, replayed } = resume(&reader, &trust, &self.view)?;
        self.memory = memory;
        if replayed > 0 {
            self.write_snapshot(tail.frontier.size(), &tail.head)?;
        }
        Ok(tail)
    }

    fn write_snapshot(&self, next: u64, head: &Digest) -> Result<(), StoreError> {
        let bytes = self.memory.to_bytes();
        let mac = snapshot_mac(&self.kek, self.node, next, head, &bytes);
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO memory (id, next, bytes, mac) VALUES (1, ?1, ?2, ?3)",
            )
            .and_then(|mut insert| insert.execute(params![signed(next), bytes, mac.as_bytes()]))
            .map(drop)
            .during("written")
    }

    fn write(&mut self, batch: &Batch<'_>) -> Result<(), StoreError> {
        self.execute("BEGIN IMMEDIATE")?;
        self.write_row(batch.row)?;
        for key in batch.keys {
            self.connection
                .prepare_cached(
                    "INSERT INTO keys (id, owner, month, wrapped) VALUES (?1, ?2, ?3, ?4)",
                )
                .and_then(|mut insert| {
                    insert.execute(params![key.id, key.owner.as_bytes(), key.month, key.wrapped])
                })
                .during("written")?;
        }
        self.write_changes(batch)?;
        self.unsnapped += 1;
        if self.unsnapped >= SNAPSHOT_EVERY {
            self.write_snapshot(batch.row.next(), &batch.row.head)?;
            self.unsnapped = 0;
        }
        self.execute("COMMIT")
    }

    fn write_row(&self, row: &Row) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(&format!(
                "INSERT INTO batches ({ROW_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
            ))
            .and_then(|mut insert| {
                insert.execute(params![
                    signed(row.first),
                    row.count,
                    row.at.0,
                    row.leaves,
                    row.hashes,
                    row.sealed,
                    row.effects,
                    row.frontier,
                    row.root.as_bytes(),
                    row.control_root.as_bytes(),
                    signed(row.revision),
                    row.head.as_bytes(),
                    row.mac.as_bytes(),
                ])
            })
            .map(drop)
            .during("written")
    }

    fn write_changes(&self, batch: &Batch<'_>) -> Result<(), StoreError> {
        for change in batch.control {
            match &change.value {
                Some(value) => self
                    .connection
                    .prepare_cached("INSERT OR REPLACE INTO state (key, value) VALUES (?1, ?2)")
                    .and_then(|mut insert| insert.execute(params![change.key, value])),
                None => self
                    .connection
                    .prepare_cached("DELETE FROM state WHERE key = ?1")
                    .and_then(|mut delete| delete.execute([&change.key])),
            }
            .during("written")?;
        }
        for change in batch.live {
            match &change.value {
                Some(value) => {
                    let entropy = self.entropy.as_ref();
                    let sealed = self.kek.seal(Purpose::Live, &change.key, value, entropy)?;
                    self.connection
                        .prepare_cached(
                            "INSERT OR REPLACE INTO live (key, changed, value) VALUES (?1, ?2, ?3)",
                        )
                        .and_then(|mut insert| {
                            insert.execute(params![change.key, batch.row.at.0, sealed])
                        })
                }
                None => self
                    .connection
                    .prepare_cached("DELETE FROM live WHERE key = ?1")
                    .and_then(|mut delete| delete.execute([&change.key])),
            }
            .during("written")?;
        }
        Ok(())
    }

    fn execute(&self, sql: &str) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(()))
            .map(drop)
            .during("written")
    }
}

impl Medium for SqliteMedium {
    fn resume(&mut self) -> Result<Tail, Fatal> {
        self.take_up().map_err(|error| error.fatal("read", "database"))
    }

    fn check(&mut self, claims: &[Claim<'_>]) -> Result<Vec<Result<(), Condition>>, Fatal> {
        Ok(claims.iter().map(|claim| self.memory.admit(claim)).collect())
    }

    fn persist(&mut self, batch: &Batch<'_>) -> Result<(), Fatal> {
        self.write(batch).map_err(|error| error.fatal("written", "database"))?;
        self.view.publish(batch);
        Ok(())
    }
}

/// Reads batches and names; a third connection keeps the write-ahead log small.
pub(crate) struct SqliteArchive {
    reader: Mutex<Connection>,
    keeper: Mutex<Connection>,
    wal: PathBuf,
    kept: PathBuf,
}

impl SqliteArchive {
    pub(crate) fn open(directory: &Directory) -> Result<SqliteArchive, StoreError> {
        let path = directory.database();
        let mut wal = path.clone().into_os_string();
        wal.push("-wal");
        Ok(SqliteArchive {
            reader: Mutex::new(open_writer(&path)?),
            keeper: Mutex::new(open_writer(&path)?),
            wal: wal.into(),
            kept: directory.checkpoint(),
        })
    }
}

fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Archive for SqliteArchive {
    fn rows(&self, from: u64, limit: usize) -> Result<Vec<Row>, StoreError> {
        let connection = lock(&self.reader);
        let reading = Reading(&connection);
        let holds = reading.row_before(from.saturating_add(1))?.filter(|row| row.next() > from);
        let first = holds.map_or(from, |row| row.first);
        reading.rows_from(first, limit)
    }

    fn data_key(&self, id: &KeyId) -> Result<Option<WrappedKey>, StoreError> {
        lock(&self.reader)
            .prepare_cached("SELECT owner, month, wrapped FROM keys WHERE id = ?1")
            .and_then(|mut select| {
                select
                    .query_row([id.as_slice()], |row| {
                        Ok(WrappedKey {
                            id: *id,
                            owner: Digest(row.get(0)?),
                            month: row.get(1)?,
                            wrapped: row.get(2)?,
                        })
                    })
                    .optional()
            })
            .during("read")
    }

    fn named(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        lock(&self.reader)
            .query_row("SELECT value FROM named WHERE name = ?1", [name], |row| row.get(0))
            .optional()
            .during("read")
    }

    fn put_named(&self, name: &str, sealed: &[u8]) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO named (name, value) VALUES (?1, ?2)";
        lock(&self.reader).execute(sql, params![name, sealed]).map(drop).during("written")
    }

    fn kept(&self) -> Result<Option<String>, StoreError> {
        read_note(&self.kept)
    }

    fn keep(&self, note: &str) -> Result<(), StoreError> {
        write_whole(&self.kept, note.as_bytes())
    }

    fn copy(&self, file: &Path) -> Result<u64, StoreError> {
        export::copy(&lock(&self.keeper), file)
    }

    fn tidy(&self) -> Result<(), StoreError> {
        let size = fs::metadata(&self.wal).map_or(0, |found| found.len());
        let how = match size {
            0..=WAL_SOFT => return Ok(()),
            size if size <= WAL_HARD => "PRAGMA wal_checkpoint(PASSIVE)",
            _ => "PRAGMA wal_checkpoint(TRUNCATE)",
        };
        lock(&self.keeper).query_row(how, (), |_| Ok(())).during("copied from its log")
    }
}

/// Reads everything through one connection.
pub(crate) struct Reading<'a>(pub(crate) &'a Connection);

impl Reading<'_> {
    fn select(&self, tail: &str, from: u64, limit: usize) -> Result<Vec<Row>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = format!("SELECT {ROW_COLUMNS} FROM batches WHERE {tail} LIMIT ?2");
        let mut select = self.0.prepare_cached(&sql).during("read")?;
        let rows = select.query_map(params![signed(from), limit], read_row).during("read")?;
        rows.collect::<Result<_, _>>().during("read")
    }

    fn pairs(&self, sql: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let mut select = self.0.prepare(sql).during("read")?;
        let rows = select.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).during("read")?;
        rows.collect::<Result<_, _>>().during("read")
    }
}

impl Stored for Reading<'_> {
    fn last(&self) -> Result<Option<Row>, StoreError> {
        Ok(self.select("first <= ?1 ORDER BY first DESC", u64::MAX >> 1, 1)?.pop())
    }

    fn row_before(&self, sequence: u64) -> Result<Option<Row>, StoreError> {
        Ok(self.select("first < ?1 ORDER BY first DESC", sequence, 1)?.pop())
    }

    fn rows_from(&self, first: u64, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.select("first >= ?1 ORDER BY first", first, limit)
    }

    fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        self.0
            .query_row("SELECT next, bytes, mac FROM memory WHERE id = 1", (), |row| {
                let next = unsigned(row.get(0)?);
                Ok(Snapshot { next, bytes: row.get(1)?, mac: row.get(2)? })
            })
            .optional()
            .during("read")
    }

    fn control(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.pairs("SELECT key, value FROM state")
    }

    fn live(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.pairs("SELECT key, value FROM live")
    }
}

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        first: unsigned(row.get(0)?),
        count: row.get(1)?,
        at: Timestamp(row.get(2)?),
        leaves: row.get(3)?,
        hashes: row.get(4)?,
        sealed: row.get(5)?,
        effects: row.get(6)?,
        frontier: row.get(7)?,
        root: Digest(row.get(8)?),
        control_root: Digest(row.get(9)?),
        revision: unsigned(row.get(10)?),
        head: Digest(row.get(11)?),
        mac: Digest(row.get(12)?),
    })
}

/// Sequences stay far below 2^63; what is beyond it compares as the largest.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A negative number was not written by this program; it reads as the largest, which fits no chain.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
