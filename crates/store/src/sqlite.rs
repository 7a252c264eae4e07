//! SQLite: one row per batch, written by one connection, read by another.

mod migrations;

use crate::{
    archive::{Archive, Snapshot, Stored, read_node, rows_holding, signed, unsigned},
    directory::{Directory, read_note, write_whole},
    error::{During, StoreError},
    export,
    limits::{BUSY, WAL_HARD, WAL_SOFT},
    medium::{Disk, Write},
};
use ledger::{Entropy, KeyId, Row, WrappedKey};
use model::{Digest, Timestamp};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, ToSql, params};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

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

/// Opens an empty file to copy a ledger into: nobody reads it before it is whole.
#[cfg(feature = "postgres")]
pub(crate) fn open_copy(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path).during("copied")?;
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
    let node = u64::from_be_bytes(random);
    set_node(connection, node)?;
    Ok(node)
}

/// The node's number, if the database has one.
pub(crate) fn stored_node(connection: &Connection) -> Result<Option<u64>, StoreError> {
    let found: Option<Vec<u8>> = connection
        .query_row("SELECT value FROM meta WHERE name = 'node'", (), |row| row.get(0))
        .optional()
        .during("read")?;
    found.as_deref().map(read_node).transpose()
}

/// Writes batches.
pub(crate) struct SqliteDisk(pub(crate) Connection);

impl Disk for SqliteDisk {
    const NAME: &'static str = "database";

    fn prepare(&mut self, forget_before: Timestamp) -> Result<(), StoreError> {
        let sql = "DELETE FROM live WHERE changed < ?1";
        self.0.execute(sql, [forget_before.0]).map(drop).during("written")
    }

    fn write(&mut self, write: &Write<'_>) -> Result<(), StoreError> {
        let connection = &self.0;
        execute(connection, "BEGIN IMMEDIATE")?;
        insert_row(connection, write.batch.row)?;
        write.batch.keys.iter().try_for_each(|key| insert_key(connection, key))?;
        for change in write.batch.control {
            set_state(connection, &change.key, change.value.as_deref())?;
        }
        for change in write.live {
            set_live(connection, &change.key, write.batch.row.at, change.value.as_deref())?;
        }
        if let Some(snapshot) = write.snapshot {
            set_snapshot(connection, snapshot)?;
        }
        execute(connection, "COMMIT")
    }

    fn write_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), StoreError> {
        set_snapshot(&self.0, snapshot)
    }
}

impl Stored for SqliteDisk {
    fn last(&self) -> Result<Option<Row>, StoreError> {
        Reading(&self.0).last()
    }

    fn row_before(&self, sequence: u64) -> Result<Option<Row>, StoreError> {
        Reading(&self.0).row_before(sequence)
    }

    fn rows_from(&self, first: u64, limit: usize) -> Result<Vec<Row>, StoreError> {
        Reading(&self.0).rows_from(first, limit)
    }

    fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        Reading(&self.0).snapshot()
    }

    fn control(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        Reading(&self.0).control()
    }

    fn live(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        Reading(&self.0).live()
    }
}

fn run(connection: &Connection, sql: &str, values: &[&dyn ToSql]) -> Result<(), StoreError> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(values))
        .map(drop)
        .during("written")
}

fn execute(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    run(connection, sql, &[])
}

pub(crate) fn insert_row(connection: &Connection, row: &Row) -> Result<(), StoreError> {
    let sql = format!("INSERT INTO batches ({ROW_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)");
    let values: [&dyn ToSql; 13] = [
        &signed(row.first),
        &row.count,
        &row.at.0,
        &row.leaves,
        &row.hashes,
        &row.sealed,
        &row.effects,
        &row.frontier,
        row.root.as_bytes(),
        row.control_root.as_bytes(),
        &signed(row.revision),
        row.head.as_bytes(),
        row.mac.as_bytes(),
    ];
    run(connection, &sql, &values)
}

pub(crate) fn insert_key(connection: &Connection, key: &WrappedKey) -> Result<(), StoreError> {
    let sql = "INSERT INTO keys (id, owner, month, wrapped) VALUES (?1, ?2, ?3, ?4)";
    run(connection, sql, &[&key.id, key.owner.as_bytes(), &key.month, &key.wrapped])
}

pub(crate) fn set_state(
    connection: &Connection,
    key: &str,
    value: Option<&[u8]>,
) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO state (key, value) VALUES (?1, ?2)";
    match value {
        Some(value) => run(connection, sql, &[&key, &value]),
        None => run(connection, "DELETE FROM state WHERE key = ?1", &[&key]),
    }
}

pub(crate) fn set_live(
    connection: &Connection,
    key: &str,
    at: Timestamp,
    value: Option<&[u8]>,
) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO live (key, changed, value) VALUES (?1, ?2, ?3)";
    match value {
        Some(value) => run(connection, sql, &[&key, &at.0, &value]),
        None => run(connection, "DELETE FROM live WHERE key = ?1", &[&key]),
    }
}

pub(crate) fn set_snapshot(connection: &Connection, snapshot: &Snapshot) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO memory (id, next, bytes, mac) VALUES (1, ?1, ?2, ?3)";
    run(connection, sql, &[&signed(snapshot.next), &snapshot.bytes, &snapshot.mac])
}

pub(crate) fn set_named(
    connection: &Connection,
    name: &str,
    sealed: &[u8],
) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO named (name, value) VALUES (?1, ?2)";
    run(connection, sql, &[&name, &sealed])
}

pub(crate) fn set_node(connection: &Connection, node: u64) -> Result<(), StoreError> {
    let sql = "INSERT INTO meta (name, value) VALUES ('node', ?1)";
    run(connection, sql, &[&node.to_be_bytes()])
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
        rows_holding(&Reading(&lock(&self.reader)), from, limit)
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
        set_named(&lock(&self.reader), name, sealed)
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
