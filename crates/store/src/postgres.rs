//! PostgreSQL: one row per batch, written by one session that keeps every other writer out, read by another.

mod address;
mod copy;
mod line;
mod migrations;

pub use address::Database;

use crate::{
    archive::{Archive, Snapshot, Stored, read_node, rows_holding, signed, unsigned},
    directory::{Directory, read_note, write_whole},
    error::StoreError,
    medium::{Disk, Write},
    start::{Found, Options, Store, open_index},
};
use ledger::{Entropy, KeyId, Row, WrappedKey};
use line::{Access, Line};
use model::{Digest, Timestamp, record::StateChange};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

const ROW_COLUMNS: &str = "first, count, at, leaves, hashes, sealed, effects, frontier, root, \
     control_root, revision, head, mac";

/// One batch with all that it changes. One statement is one transaction and one round trip; every part is run, whether
/// something refers to it or not. Two writers that continue the same ledger meet at the primary key of `batches`.
const WRITE: &str = "
    WITH new_keys AS (
        INSERT INTO keys (id, owner, month, wrapped)
        SELECT * FROM unnest($14::bytea[], $15::bytea[], $16::text[], $17::bytea[])),
    gone_state AS (DELETE FROM state WHERE key = ANY ($18::text[])),
    new_state AS (
        INSERT INTO state (key, value) SELECT * FROM unnest($19::text[], $20::bytea[])
        ON CONFLICT (key) DO UPDATE SET value = excluded.value),
    gone_live AS (DELETE FROM live WHERE key = ANY ($21::text[])),
    new_live AS (
        INSERT INTO live (key, changed, value)
        SELECT it.key, $3::bigint, it.value FROM unnest($22::text[], $23::bytea[]) AS it (key, value)
        ON CONFLICT (key) DO UPDATE SET changed = excluded.changed, value = excluded.value),
    new_memory AS (
        INSERT INTO memory (id, next, bytes, mac)
        SELECT 1, $24::bigint, $25::bytea, $26::bytea WHERE $25 IS NOT NULL
        ON CONFLICT (id) DO UPDATE
        SET next = excluded.next, bytes = excluded.bytes, mac = excluded.mac)
    INSERT INTO batches (first, count, at, leaves, hashes, sealed, effects, frontier, root,
        control_root, revision, head, mac)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

const SNAPSHOT: &str = "
    INSERT INTO memory (id, next, bytes, mac) VALUES (1, $1, $2, $3)
    ON CONFLICT (id) DO UPDATE SET next = excluded.next, bytes = excluded.bytes, mac = excluded.mac";

/// Opens the ledger of a data directory whose database is on a server.
pub(crate) fn open(
    directory: Directory,
    database: &Database,
    options: &Options,
    now: Timestamp,
    entropy: Arc<dyn Entropy>,
) -> Result<Store, StoreError> {
    let writer = Arc::new(Line::open(database, Access::OnlyWriter)?);
    let known = stored_node(&writer)?;
    let kek = directory.kek(known.is_none(), entropy.as_ref())?;
    let node = match known {
        Some(node) => node,
        None => draw_node(&writer, entropy.as_ref())?,
    };
    let archive = PostgresArchive {
        reader: Mutex::new(Line::open(database, Access::Write)?),
        writer: Arc::clone(&writer),
        kept: directory.checkpoint(),
    };
    let index = open_index(&directory)?;
    directory.note_database(&database.to_string())?;
    let hold = Box::new(directory);
    let found = Found { archive: Arc::new(archive), kek, node, index, entropy, hold };
    Store::start(found, PostgresDisk(writer), now, options)
}

fn draw_node(line: &Line, entropy: &dyn Entropy) -> Result<u64, StoreError> {
    let mut random = [0_u8; 8];
    entropy.fill(&mut random);
    let sql = "INSERT INTO meta (name, value) VALUES ('node', $1)";
    line.execute(sql, &[&random.as_slice()])?;
    Ok(u64::from_be_bytes(random))
}

fn stored_node(line: &Line) -> Result<Option<u64>, StoreError> {
    let found = line.query("SELECT value FROM meta WHERE name = 'node'", &[])?;
    found.first().map(|row| read_node(bytes(row, 0)?)).transpose()
}

/// Writes batches.
struct PostgresDisk(Arc<Line>);

impl Disk for PostgresDisk {
    const NAME: &'static str = "database";

    fn prepare(&mut self, forget_before: Timestamp) -> Result<(), StoreError> {
        self.0.execute("DELETE FROM live WHERE changed < $1", &[&forget_before.0])
    }

    fn write(&mut self, write: &Write<'_>) -> Result<(), StoreError> {
        // A session that was ended while it rested has said why; whoever writes first never hears it.
        if self.0.is_closed() {
            return Err(self.0.broken("written"));
        }
        let row = write.batch.row;
        let state = Folded::of(write.batch.control.iter().copied());
        let live = Folded::of(write.live.iter());
        let keys = write.batch.keys;
        let ids: Vec<&[u8]> = keys.iter().map(|key| key.id.as_slice()).collect();
        let owners: Vec<&[u8]> = keys.iter().map(|key| key.owner.as_bytes().as_slice()).collect();
        let months: Vec<&str> = keys.iter().map(|key| key.month.as_str()).collect();
        let wrapped: Vec<&[u8]> = keys.iter().map(|key| key.wrapped.as_slice()).collect();
        let next = write.snapshot.map(|snapshot| signed(snapshot.next));
        let memory = write.snapshot.map(|snapshot| snapshot.bytes.as_slice());
        let mac = write.snapshot.map(|snapshot| snapshot.mac.as_slice());
        self.0.execute(
            WRITE,
            &[
                &signed(row.first),
                &i64::from(row.count),
                &row.at.0,
                &row.leaves,
                &row.hashes,
                &row.sealed,
                &row.effects,
                &row.frontier,
                &row.root.as_bytes().as_slice(),
                &row.control_root.as_bytes().as_slice(),
                &signed(row.revision),
                &row.head.as_bytes().as_slice(),
                &row.mac.as_bytes().as_slice(),
                &ids,
                &owners,
                &months,
                &wrapped,
                &state.gone,
                &state.keys,
                &state.values,
                &live.gone,
                &live.keys,
                &live.values,
                &next,
                &memory,
                &mac,
            ],
        )
    }

    fn write_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), StoreError> {
        self.0.execute(SNAPSHOT, &[&signed(snapshot.next), &snapshot.bytes, &snapshot.mac])
    }
}

/// What is left of changes in order: each key once, with its last value or as gone.
#[derive(Default)]
struct Folded<'a> {
    gone: Vec<&'a str>,
    keys: Vec<&'a str>,
    values: Vec<&'a [u8]>,
}

impl<'a> Folded<'a> {
    fn of(changes: impl Iterator<Item = &'a StateChange>) -> Folded<'a> {
        let last: BTreeMap<&str, Option<&[u8]>> =
            changes.map(|change| (change.key.as_str(), change.value.as_deref())).collect();
        let mut folded = Folded::default();
        for (key, value) in last {
            match value {
                Some(value) => {
                    folded.keys.push(key);
                    folded.values.push(value);
                }
                None => folded.gone.push(key),
            }
        }
        folded
    }
}

/// Reads batches and names, on a session of its own that comes back when it was cut. What it does can be done twice.
struct PostgresArchive {
    reader: Mutex<Line>,
    writer: Arc<Line>,
    kept: PathBuf,
}

impl PostgresArchive {
    fn with<T>(&self, act: impl Fn(&Line) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let done = act(&reader);
        if done.is_ok() || !reader.is_closed() {
            return done;
        }
        *reader = Line::open(self.writer.database(), Access::Write)?;
        act(&reader)
    }
}

impl Archive for PostgresArchive {
    fn rows(&self, from: u64, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.with(|line| rows_holding(line, from, limit))
    }

    fn data_key(&self, id: &KeyId) -> Result<Option<WrappedKey>, StoreError> {
        let sql = "SELECT id, owner, month, wrapped FROM keys WHERE id = $1";
        self.with(|line| line.query(sql, &[&id.as_slice()])?.first().map(read_key).transpose())
    }

    fn named(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT value FROM named WHERE name = $1";
        self.with(|line| {
            line.query(sql, &[&name])?
                .first()
                .map(|row| bytes(row, 0).map(<[u8]>::to_vec))
                .transpose()
        })
    }

    fn put_named(&self, name: &str, sealed: &[u8]) -> Result<(), StoreError> {
        let sql = "INSERT INTO named (name, value) VALUES ($1, $2) \
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.with(|line| line.execute(sql, &[&name, &sealed]))
    }

    fn kept(&self) -> Result<Option<String>, StoreError> {
        read_note(&self.kept)
    }

    fn keep(&self, note: &str) -> Result<(), StoreError> {
        write_whole(&self.kept, note.as_bytes())
    }

    fn copy(&self, file: &Path) -> Result<u64, StoreError> {
        copy::copy(self.writer.database(), file)
    }

    fn tidy(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn lost(&self) -> Result<(), StoreError> {
        if self.writer.is_closed() { Err(self.writer.broken("written")) } else { Ok(()) }
    }
}

/// What a verification reads: a session that cannot write, and the node whose ledger it is.
pub(crate) fn open_reader(
    database: &Database,
) -> Result<(Option<u64>, Box<dyn Stored>), StoreError> {
    let line = Line::open(database, Access::Read)?;
    Ok((stored_node(&line)?, Box::new(line)))
}

impl Stored for PostgresDisk {
    fn last(&self) -> Result<Option<Row>, StoreError> {
        self.0.last()
    }

    fn row_before(&self, sequence: u64) -> Result<Option<Row>, StoreError> {
        self.0.row_before(sequence)
    }

    fn rows_from(&self, first: u64, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.0.rows_from(first, limit)
    }

    fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        self.0.snapshot()
    }

    fn control(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.0.control()
    }

    fn live(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.0.live()
    }
}

impl Stored for Line {
    fn last(&self) -> Result<Option<Row>, StoreError> {
        let sql = format!("SELECT {ROW_COLUMNS} FROM batches ORDER BY first DESC LIMIT 1");
        self.query(&sql, &[])?.first().map(read_row).transpose()
    }

    fn row_before(&self, sequence: u64) -> Result<Option<Row>, StoreError> {
        let sql = format!(
            "SELECT {ROW_COLUMNS} FROM batches WHERE first < $1 ORDER BY first DESC LIMIT 1"
        );
        self.query(&sql, &[&signed(sequence)])?.first().map(read_row).transpose()
    }

    fn rows_from(&self, first: u64, limit: usize) -> Result<Vec<Row>, StoreError> {
        let sql =
            format!("SELECT {ROW_COLUMNS} FROM batches WHERE first >= $1 ORDER BY first LIMIT $2");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.query(&sql, &[&signed(first), &limit])?.iter().map(read_row).collect()
    }

    fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        let found = self.query("SELECT next, bytes, mac FROM memory WHERE id = 1", &[])?;
        let read = |row: &tokio_postgres::Row| {
            let (memory, mac) = (bytes(row, 1)?.to_vec(), bytes(row, 2)?.to_vec());
            Ok(Snapshot { next: unsigned(number(row, 0)?), bytes: memory, mac })
        };
        found.first().map(read).transpose()
    }

    fn control(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.query("SELECT key, value FROM state", &[])?.iter().map(read_pair).collect()
    }

    fn live(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.query("SELECT key, value FROM live", &[])?.iter().map(read_pair).collect()
    }
}

fn read_row(row: &tokio_postgres::Row) -> Result<Row, StoreError> {
    Ok(Row {
        first: unsigned(number(row, 0)?),
        // More records than a batch can have were not written by this program; the largest count fits no chain.
        count: u32::try_from(number(row, 1)?).unwrap_or(u32::MAX),
        at: Timestamp(number(row, 2)?),
        leaves: bytes(row, 3)?.to_vec(),
        hashes: bytes(row, 4)?.to_vec(),
        sealed: bytes(row, 5)?.to_vec(),
        effects: bytes(row, 6)?.to_vec(),
        frontier: bytes(row, 7)?.to_vec(),
        root: digest(row, 8)?,
        control_root: digest(row, 9)?,
        revision: unsigned(number(row, 10)?),
        head: digest(row, 11)?,
        mac: digest(row, 12)?,
    })
}

fn read_key(row: &tokio_postgres::Row) -> Result<WrappedKey, StoreError> {
    let id = bytes(row, 0)?.try_into().map_err(|_| damaged(row, 0, "it is not 16 bytes"))?;
    let (month, wrapped) = (text(row, 2)?.to_owned(), bytes(row, 3)?.to_vec());
    Ok(WrappedKey { id, owner: digest(row, 1)?, month, wrapped })
}

fn read_pair(row: &tokio_postgres::Row) -> Result<(String, Vec<u8>), StoreError> {
    Ok((text(row, 0)?.to_owned(), bytes(row, 1)?.to_vec()))
}

fn number(row: &tokio_postgres::Row, column: usize) -> Result<i64, StoreError> {
    row.try_get(column).map_err(|error| damaged(row, column, &error.to_string()))
}

fn text(row: &tokio_postgres::Row, column: usize) -> Result<&str, StoreError> {
    row.try_get(column).map_err(|error| damaged(row, column, &error.to_string()))
}

fn bytes(row: &tokio_postgres::Row, column: usize) -> Result<&[u8], StoreError> {
    row.try_get(column).map_err(|error| damaged(row, column, &error.to_string()))
}

fn digest(row: &tokio_postgres::Row, column: usize) -> Result<Digest, StoreError> {
    let found = bytes(row, column)?.try_into();
    found.map(Digest).map_err(|_| damaged(row, column, "it is not 32 bytes"))
}

fn damaged(row: &tokio_postgres::Row, column: usize, found: &str) -> StoreError {
    let name = row.columns().get(column).map_or("", tokio_postgres::Column::name);
    StoreError::Damaged { place: format!("the column `{name}`"), found: found.to_owned() }
}
