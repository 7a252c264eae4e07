//! The forgetful double: a real medium over a disk in memory that drops what was not synced and fails when told.

use crate::{
    archive::{Archive, Snapshot, Stored},
    error::{During, StoreError},
    medium::Write,
    start::{Found, Options, Store},
};
use ledger::{Batch, Entropy, Kek, KeyId, Row, WrappedKey};
use model::{Digest, Timestamp, record::StateChange};
use rusqlite::Connection;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tlog::leaf_hash;

/// The page that a torn write ends within.
const PAGE: usize = 4_096;

/// What goes wrong with one durable write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and nothing of it is there.
    NotPersisted,
    /// It fails, though all of it is there.
    Persisted,
    /// It fails, and of its last page only a part is there.
    Torn,
}

/// A disk in memory; clones are the same disk.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<Contents>>);

#[derive(Default)]
struct Contents {
    /// What survives a power loss.
    durable: Vec<u8>,
    /// What a reader sees: the durable content and what was written after it.
    cached: Vec<u8>,
    /// Small files beside the log, each replaced and synced as a whole.
    files: BTreeMap<String, Vec<u8>>,
    /// Durable writes of batches so far.
    writes: u64,
    fault: Option<(u64, Fault)>,
    off: bool,
    held: bool,
}

impl Disk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Disk {
        Disk::default()
    }

    /// Opens a store on this disk. The name of the second opener's refusal is `forgetful`.
    pub fn open(&self, options: &Options, entropy: Arc<dyn Entropy>) -> Result<Store, StoreError> {
        let mut contents = self.lock();
        if contents.held {
            return Err(StoreError::Locked(PathBuf::from("forgetful")));
        }
        contents.held = true;
        let hold = Hold(self.clone());
        let mut drawn = |name: &str, length: usize| {
            contents.files.entry(name.to_owned()).or_insert_with(|| {
                let mut random = vec![0; length];
                entropy.fill(&mut random);
                random
            });
            contents.files.get(name).cloned().unwrap_or_default()
        };
        let (secret, node) = (drawn("kek", 32), drawn("node", 8));
        drop(contents);
        let secret: [u8; 32] =
            secret.try_into().map_err(|_| StoreError::Kek(PathBuf::from("forgetful")))?;
        let node = node.try_into().map_or(0, u64::from_be_bytes);
        let kek = Kek::new(&secret)?;
        let found = Found {
            archive: Arc::new(ForgetfulArchive(self.clone())),
            kek,
            node,
            index: Connection::open_in_memory().during("opened (index)")?,
            entropy,
            hold: Box::new(hold),
        };
        Store::start(found, self.clone(), Timestamp(0), options)
    }

    /// Lets one durable write of a batch go wrong, counted from the first ever as 0.
    pub fn fail(&self, write: u64, fault: Fault) {
        self.lock().fault = Some((write, fault));
    }

    /// How many durable writes of batches there were.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.lock().writes
    }

    /// The power fails: nothing can be written any more, and what was not synced is gone.
    pub fn power_off(&self) {
        let mut contents = self.lock();
        contents.off = true;
        contents.cached = contents.durable.clone();
    }

    /// The power is back; a store can be opened once the one before is dropped.
    pub fn power_on(&self) {
        let mut contents = self.lock();
        contents.off = false;
        contents.fault = None;
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn frames(&self) -> Vec<Frame> {
        let contents = self.lock();
        let mut frames = Vec::new();
        let mut rest = contents.cached.as_slice();
        while let Some((frame, after)) = Frame::cut(rest) {
            frames.push(frame);
            rest = after;
        }
        frames
    }

    /// Cuts off what a torn write left behind the last whole frame.
    fn mend(&self) {
        let mut contents = self.lock();
        let mut rest = contents.cached.as_slice();
        while let Some((_, after)) = Frame::cut(rest) {
            rest = after;
        }
        let whole = contents.cached.len() - rest.len();
        contents.cached.truncate(whole);
        contents.durable.truncate(whole);
    }

    fn write_file(&self, name: &str, content: &[u8]) -> Result<(), StoreError> {
        let mut contents = self.lock();
        if contents.off {
            return Err(no_power());
        }
        contents.files.insert(name.to_owned(), content.to_vec());
        Ok(())
    }
}

impl Contents {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if self.off {
            return Err(no_power());
        }
        let start = self.cached.len();
        self.cached.extend_from_slice(bytes);
        let number = self.writes;
        self.writes += 1;
        match self.fault.filter(|(write, _)| *write == number) {
            None => {
                self.sync();
                Ok(())
            }
            Some((_, fault)) => {
                let whole = self.cached.len();
                let page = whole.saturating_sub(1) / PAGE * PAGE;
                let kept = match fault {
                    Fault::NotPersisted => start,
                    Fault::Persisted => whole,
                    Fault::Torn if page > start => page,
                    Fault::Torn => start + (whole - start) / 2,
                };
                self.cached.truncate(kept);
                self.durable = self.cached.clone();
                Err(failed("the sync failed"))
            }
        }
    }

    /// What makes written bytes durable; the mutation leaves it out.
    fn sync(&mut self) {
        if !cfg!(feature = "mutation-no-sync") {
            let new = self.cached.get(self.durable.len()..).unwrap_or_default();
            self.durable.extend_from_slice(new);
        }
    }
}

/// The one store that has the disk.
struct Hold(Disk);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.lock().held = false;
    }
}

/// One durable write: a row with its changes, behind length and checksum.
struct Frame {
    row: Row,
    control: Vec<StateChange>,
    /// The values are sealed.
    live: Vec<StateChange>,
    keys: Vec<WrappedKey>,
}

impl Frame {
    fn encode(batch: &Batch<'_>, live: &[StateChange]) -> Vec<u8> {
        let mut body = Vec::new();
        put(&mut body, &batch.row.to_bytes());
        put_changes(&mut body, batch.control.iter().copied());
        put_changes(&mut body, live.iter());
        body.extend_from_slice(&length(batch.keys.len()));
        for key in batch.keys {
            put(&mut body, &key.id);
            put(&mut body, key.owner.as_bytes());
            put(&mut body, key.month.as_bytes());
            put(&mut body, &key.wrapped);
        }
        let mut out = length(body.len()).to_vec();
        out.extend_from_slice(&leaf_hash(&body));
        out.extend_from_slice(&body);
        out
    }

    /// The frame at the front and what is behind it; `None` at the end or where it is torn.
    fn cut(bytes: &[u8]) -> Option<(Frame, &[u8])> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (checksum, rest) = rest.split_first_chunk::<32>()?;
        let (body, rest) =
            rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let frame = (leaf_hash(body) == *checksum).then(|| Frame::decode(body))??;
        Some((frame, rest))
    }

    fn decode(mut body: &[u8]) -> Option<Frame> {
        let body = &mut body;
        let row = Row::from_bytes(take(body)?)?;
        let (control, live) = (take_changes(body)?, take_changes(body)?);
        let keys: Option<Vec<_>> = (0..take_length(body)?)
            .map(|_| {
                Some(WrappedKey {
                    id: take(body)?.try_into().ok()?,
                    owner: Digest(take(body)?.try_into().ok()?),
                    month: String::from_utf8(take(body)?.to_vec()).ok()?,
                    wrapped: take(body)?.to_vec(),
                })
            })
            .collect();
        Some(Frame { row, control, live, keys: keys? })
    }
}

impl crate::medium::Disk for Disk {
    const NAME: &'static str = "forgetful disk";

    fn prepare(&mut self, _forget_before: Timestamp) -> Result<(), StoreError> {
        self.mend();
        Ok(())
    }

    fn write(&mut self, write: &Write<'_>) -> Result<(), StoreError> {
        self.lock().append(&Frame::encode(write.batch, write.live))
    }

    fn write_snapshot(&mut self, _snapshot: &Snapshot) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Stored for Disk {
    fn last(&self) -> Result<Option<Row>, StoreError> {
        Ok(self.frames().pop().map(|frame| frame.row))
    }

    fn row_before(&self, sequence: u64) -> Result<Option<Row>, StoreError> {
        let mut rows = self.frames().into_iter().map(|frame| frame.row);
        Ok(rows.rfind(|row| row.first < sequence))
    }

    fn rows_from(&self, first: u64, limit: usize) -> Result<Vec<Row>, StoreError> {
        let rows = self.frames().into_iter().map(|frame| frame.row);
        Ok(rows.filter(|row| row.first >= first).take(limit).collect())
    }

    fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        Ok(None)
    }

    fn control(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        Ok(fold(self.frames().into_iter().flat_map(|frame| frame.control)))
    }

    fn live(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        Ok(fold(self.frames().into_iter().flat_map(|frame| frame.live)))
    }
}

struct ForgetfulArchive(Disk);

impl Archive for ForgetfulArchive {
    fn rows(&self, from: u64, limit: usize) -> Result<Vec<Row>, StoreError> {
        let rows = self.0.frames().into_iter().map(|frame| frame.row);
        Ok(rows.filter(|row| row.next() > from).take(limit).collect())
    }

    fn data_key(&self, id: &KeyId) -> Result<Option<WrappedKey>, StoreError> {
        let mut keys = self.0.frames().into_iter().flat_map(|frame| frame.keys);
        Ok(keys.find(|key| key.id == *id))
    }

    fn named(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().files.get(&format!("named/{name}")).cloned())
    }

    fn put_named(&self, name: &str, sealed: &[u8]) -> Result<(), StoreError> {
        self.0.write_file(&format!("named/{name}"), sealed)
    }

    fn kept(&self) -> Result<Option<String>, StoreError> {
        let kept = self.0.lock().files.get("checkpoint").cloned();
        kept.map(String::from_utf8).transpose().map_err(|error| StoreError::Damaged {
            place: "the kept checkpoint".into(),
            found: error.to_string(),
        })
    }

    fn keep(&self, note: &str) -> Result<(), StoreError> {
        self.0.write_file("checkpoint", note.as_bytes())
    }

    fn copy(&self, file: &Path) -> Result<u64, StoreError> {
        let source = std::io::Error::other("the forgetful disk has no file to copy");
        Err(StoreError::File { path: file.to_owned(), what: "written", source })
    }

    fn tidy(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn fold(changes: impl Iterator<Item = StateChange>) -> Vec<(String, Vec<u8>)> {
    let mut rows = BTreeMap::new();
    for change in changes {
        match change.value {
            Some(value) => drop(rows.insert(change.key, value)),
            None => drop(rows.remove(&change.key)),
        }
    }
    rows.into_iter().collect()
}

fn no_power() -> StoreError {
    failed("the power is off")
}

fn failed(why: &'static str) -> StoreError {
    let source = std::io::Error::other(why);
    StoreError::File { path: PathBuf::from("forgetful"), what: "written", source }
}

fn length(count: usize) -> [u8; 4] {
    u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes()
}

fn put(out: &mut Vec<u8>, block: &[u8]) {
    out.extend_from_slice(&length(block.len()));
    out.extend_from_slice(block);
}

fn put_changes<'a>(out: &mut Vec<u8>, changes: impl ExactSizeIterator<Item = &'a StateChange>) {
    out.extend_from_slice(&length(changes.len()));
    for change in changes {
        put(out, change.key.as_bytes());
        match &change.value {
            Some(value) => {
                out.push(1);
                put(out, value);
            }
            None => out.push(0),
        }
    }
}

fn take_length(rest: &mut &[u8]) -> Option<usize> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    usize::try_from(u32::from_be_bytes(*length)).ok()
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_length(rest)?;
    let (block, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(block)
}

fn take_changes(rest: &mut &[u8]) -> Option<Vec<StateChange>> {
    (0..take_length(rest)?)
        .map(|_| {
            let key = String::from_utf8(take(rest)?.to_vec()).ok()?;
            let (present, after) = rest.split_first()?;
            *rest = after;
            let value = if *present == 1 { Some(take(rest)?.to_vec()) } else { None };
            Some(StateChange { key, value })
        })
        .collect()
}
