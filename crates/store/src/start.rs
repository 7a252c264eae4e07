//! The store as one thing: opened, running on its threads, closed.

use crate::{
    archive::Archive,
    directory::{Directory, Place},
    error::{During, StoreError},
    export,
    index::Index,
    limits::KEEPER_PACE,
    medium::{Desk, Disk, Setting},
    postgres::{self, Database},
    record::{Opener, Record},
    resume::integrity,
    sqlite::{self, SqliteArchive, SqliteDisk},
    view::{OnChange, State, View},
};
use ledger::{Entropy, Fatal, Journal, Kek, Keyring, Medium, Purpose, Writer};
use model::{EntryId, Timestamp};
use rusqlite::Connection;
use std::{
    any::Any,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};
use tlog::{Checkpoint, NoteSigner, NoteVerifier, note};
use zeroize::Zeroizing;

/// The name under which the key that signs checkpoints is kept.
const LEDGER_KEY: &str = "ledger/checkpoint";

/// What may differ between stores.
#[derive(Clone, Debug)]
pub struct Options {
    /// The first part of the log's name; the node follows.
    pub origin: String,
    /// Where the ledger is, if not where the data directory's last one was: in a file of the data directory at first.
    pub database: Option<Database>,
}

impl Default for Options {
    fn default() -> Options {
        Options { origin: "ambit.local".into(), database: None }
    }
}

/// An open store. Dropping it closes the journal, writes what waits, and joins its threads.
pub struct Store {
    journal: Journal,
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
    /// Keeps others out until the threads have ended.
    _hold: Box<dyn Any + Send + Sync>,
}

/// A disk that was opened.
pub(crate) struct Found {
    pub(crate) archive: Arc<dyn Archive>,
    pub(crate) kek: Kek,
    pub(crate) node: u64,
    pub(crate) index: Connection,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// Keeps others out for as long as it lives.
    pub(crate) hold: Box<dyn Any + Send + Sync>,
}

/// What the threads share.
pub(crate) struct Shared {
    pub(crate) view: Arc<View>,
    pub(crate) archive: Arc<dyn Archive>,
    pub(crate) kek: Kek,
    opener: Arc<Opener>,
    index: Index,
    entropy: Arc<dyn Entropy>,
    signer: NoteSigner,
    /// The last checkpoint that was signed and kept.
    kept: Mutex<Option<(u64, String)>>,
    stopped: Mutex<Option<String>>,
}

impl Store {
    /// Opens or makes the data directory and its ledger, compares all of it with what vouches for it, and starts the
    /// writer.
    pub fn open(
        path: &Path,
        options: Options,
        now: Timestamp,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Store, StoreError> {
        let directory = Directory::take(path)?;
        if let Place::Server(database) = directory.place(options.database.as_ref())? {
            return postgres::open(directory, &database, &options, now, entropy);
        }
        let fresh = !directory.database().exists();
        let kek = directory.kek(fresh, entropy.as_ref())?;
        directory.touch(&directory.database())?;
        let connection = sqlite::open_writer(&directory.database())?;
        let node = sqlite::node(&connection, entropy.as_ref())?;
        let archive: Arc<dyn Archive> = Arc::new(SqliteArchive::open(&directory)?);
        let index = open_index(&directory)?;
        let found = Found { archive, kek, node, index, entropy, hold: Box::new(directory) };
        Store::start(found, SqliteDisk(connection), now, &options)
    }

    /// Starts a store over a disk and its archive.
    pub(crate) fn start<D: Disk + 'static>(
        found: Found,
        disk: D,
        now: Timestamp,
        options: &Options,
    ) -> Result<Store, StoreError> {
        let Found { archive, kek, node, index, entropy, hold } = found;
        let signer = signer(archive.as_ref(), &kek, node, options, entropy.as_ref())?;
        let note = archive.kept()?;
        let kept =
            note.as_deref().map(|note| read_checkpoint(note, signer.verifier())).transpose()?;
        let view = Arc::new(View::default());
        let size = kept.as_ref().map(Checkpoint::size);
        let setting = Setting {
            node,
            kek: kek.clone(),
            entropy: entropy.clone(),
            kept,
            view: view.clone(),
            now,
        };
        let medium = Desk::new(disk, setting);
        let (journal, writer) = Writer::open(medium, Keyring::new(kek.clone(), entropy.clone()))?;
        let opener = Arc::new(Opener::new(archive.clone(), kek.clone()));
        let index = Index::new(index, node, view.now_at().size, archive.clone(), opener.clone())?;
        let shared = Arc::new(Shared {
            view,
            archive,
            kek,
            opener,
            index,
            entropy,
            signer,
            kept: Mutex::new(size.zip(note)),
            stopped: Mutex::new(None),
        });
        let mut store = Store { journal, threads: Vec::new(), shared, _hold: hold };
        store.spawn("ledger-writer", move |shared| shared.write(writer))?;
        let journal = store.journal.clone();
        store.spawn("ledger-keeper", move |shared| shared.watch(&journal))?;
        store.spawn("ledger-index", |shared| shared.index.follow(&shared.view))?;
        Ok(store)
    }

    fn spawn(
        &mut self,
        name: &str,
        work: impl FnOnce(&Shared) + Send + 'static,
    ) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name(name.into()).spawn(move || work(&shared));
        self.threads.push(thread.map_err(StoreError::Thread)?);
        Ok(())
    }

    /// The way to write.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    pub(crate) fn kek(&self) -> &Kek {
        &self.shared.kek
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        self.shared.entropy.as_ref()
    }

    /// All control state. A committer that was woken sees its own change here.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        self.shared.view.state()
    }

    /// Calls the listener after each change of control state, on the writer's thread, before the committer wakes.
    pub fn on_change(&self, listener: OnChange) {
        self.shared.view.listen(listener);
    }

    /// One row of live state (tasks, asks).
    #[must_use]
    pub fn live(&self, key: &str) -> Option<Arc<[u8]>> {
        self.shared.view.live(key)
    }

    /// The rows of live state whose keys begin so, in the order of their keys.
    #[must_use]
    pub fn live_prefix(&self, prefix: &str) -> Vec<(String, Arc<[u8]>)> {
        self.shared.view.live_prefix(prefix)
    }

    /// The entries that the previous run left open; this run may close them.
    #[must_use]
    pub fn recovered(&self) -> Vec<EntryId> {
        self.shared.view.recovered()
    }

    /// So many records are durable.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.shared.view.now_at().size
    }

    /// Everything searchable. It lags; [`Index::caught_up`] waits for a record.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.shared.index
    }

    /// One record, opened as far as its keys are there; `None` if there is none with this sequence.
    pub fn read(&self, sequence: u64) -> Result<Option<Record>, StoreError> {
        self.shared.opener.read(sequence)
    }

    /// Why the writer stopped, if it did.
    #[must_use]
    pub fn stopped(&self) -> Option<String> {
        self.shared.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A checkpoint over all records that are durable, signed and kept outside the database.
    pub fn checkpoint(&self, _now: Timestamp) -> Result<String, StoreError> {
        self.shared.sign()
    }

    /// The key that verifies checkpoints, as a signed note's verifier key.
    #[must_use]
    pub fn vkey(&self) -> String {
        self.shared.signer.verifier().to_string()
    }

    /// Copies the database, without the key-encryption key, into a new file of mode 0600 as of one moment; a file
    /// that is there is refused. Gives how many records it has. [`crate::verify`] takes such a file.
    pub fn export(&self, file: &Path) -> Result<u64, StoreError> {
        self.shared.archive.copy(file)
    }

    /// Writes checkpoint, hash tiles and entry bundles (c2sp.org/tlog-tiles) below a folder; gives the tree's size.
    pub fn export_tiles(&self, folder: &Path) -> Result<u64, StoreError> {
        let note = self.shared.sign()?;
        let size = read_checkpoint(&note, self.shared.signer.verifier())?.size();
        export::tiles(self.shared.archive.as_ref(), size, &note, folder)?;
        Ok(size)
    }

    /// Seals a secret under the key-encryption key and stores it; durable when it returns.
    pub fn put_key(&self, name: &str, secret: &[u8]) -> Result<(), StoreError> {
        let Shared { kek, entropy, archive, .. } = &*self.shared;
        archive.put_named(name, &kek.seal(Purpose::Named, name, secret, entropy.as_ref())?)
    }

    /// A secret of [`Store::put_key`].
    pub fn get_key(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let Shared { kek, archive, .. } = &*self.shared;
        let sealed = archive.named(name)?;
        Ok(sealed.map(|sealed| kek.open(Purpose::Named, name, &sealed)).transpose()?)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.journal.close();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store ended by a panic");
            }
        }
    }
}

impl Shared {
    /// The writer's thread. A panic in it is not survived: what it was about to do is unknown.
    fn write<M: Medium>(&self, writer: Writer<M>) {
        struct Abort;
        impl Drop for Abort {
            fn drop(&mut self) {
                if thread::panicking() {
                    std::process::abort();
                }
            }
        }
        let _abort = Abort;
        if let Err(fatal) = writer.run() {
            self.note_end(&fatal);
        }
        self.view.end();
        self.index.end();
    }

    /// Says why nothing is admitted any more; the first reason stays.
    fn note_end(&self, fatal: &Fatal) {
        let mut text = fatal.to_string();
        let mut source = std::error::Error::source(fatal);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        if stopped.is_none() {
            tracing::error!(reason = text, "the ledger has stopped; nothing is admitted any more");
            *stopped = Some(text);
        }
    }

    /// The keeper's thread: signs at most once per second, bounds the write-ahead log, and ends admission if the
    /// medium is lost while nothing is written.
    fn watch(&self, journal: &Journal) {
        let mut seen = self.view.now_at().size;
        loop {
            if journal.is_open()
                && let Err(error) = self.archive.lost()
            {
                self.note_end(&error.fatal("written", "database"));
                journal.stop();
            }
            let progress = self.view.wait_beyond(seen, KEEPER_PACE);
            if progress.size > seen
                && let Err(error) = self.sign()
            {
                tracing::error!(%error, "a checkpoint could not be kept");
            }
            if let Err(error) = self.archive.tidy() {
                tracing::warn!(%error, "the write-ahead log could not be copied");
            }
            if progress.ended {
                return;
            }
            seen = progress.size;
            // Nothing ends this wait but the end itself: at most one checkpoint per second.
            self.view.wait_beyond(u64::MAX, KEEPER_PACE);
        }
    }

    fn sign(&self) -> Result<String, StoreError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |found: String| StoreError::Checkpoint { place: "to be signed".into(), found };
        let size = self.view.now_at().size;
        if let Some((signed, note)) = &*kept
            && *signed == size
        {
            return Ok(note.clone());
        }
        let row = match size.checked_sub(1) {
            Some(last) => self.archive.rows(last, 1)?.pop(),
            None => None,
        };
        let root = row.map_or(tlog::EMPTY_ROOT, |row| row.root.0);
        let checkpoint = Checkpoint::new(self.signer.verifier().name(), size, root)
            .map_err(|error| failed(error.to_string()))?;
        let note = note::sign(&checkpoint.to_string(), &[&self.signer])
            .map_err(|error| failed(error.to_string()))?;
        self.archive.keep(&note)?;
        *kept = Some((size, note.clone()));
        Ok(note)
    }
}

/// Opens or makes the index beside the ledger.
pub(crate) fn open_index(directory: &Directory) -> Result<Connection, StoreError> {
    directory.touch(&directory.index())?;
    Connection::open(directory.index()).during("opened (index)")
}

/// The key that signs checkpoints and nothing else; drawn at the first start.
fn signer(
    archive: &dyn Archive,
    kek: &Kek,
    node: u64,
    options: &Options,
    entropy: &dyn Entropy,
) -> Result<NoteSigner, StoreError> {
    let seed = match archive.named(LEDGER_KEY)? {
        Some(sealed) => kek.open(Purpose::Named, LEDGER_KEY, &sealed)?,
        None if !archive.rows(0, 1)?.is_empty() => {
            let place = format!("the key `{LEDGER_KEY}` in the table `named`");
            return Err(integrity(&place, "it is missing, though there are entries".into()));
        }
        None => {
            let mut seed = Zeroizing::new(vec![0_u8; 32]);
            entropy.fill(&mut seed);
            archive
                .put_named(LEDGER_KEY, &kek.seal(Purpose::Named, LEDGER_KEY, &seed, entropy)?)?;
            seed
        }
    };
    let unusable =
        |found: &str| StoreError::Checkpoint { place: "key".into(), found: found.into() };
    let seed: &[u8; 32] = seed.as_slice().try_into().map_err(|_| unusable("it is not 32 bytes"))?;
    let name = format!("{}/{node:016x}", options.origin);
    NoteSigner::from_seed(&name, seed).map_err(|error| unusable(&error.to_string()))
}

/// Verifies a signed checkpoint of this log.
pub(crate) fn read_checkpoint(
    note: &str,
    verifier: &NoteVerifier,
) -> Result<Checkpoint, StoreError> {
    let failed = |found: String| StoreError::Checkpoint { place: "kept".into(), found };
    let open = note::open(note.as_bytes(), std::slice::from_ref(verifier))
        .map_err(|error| failed(error.to_string()))?;
    let checkpoint = Checkpoint::parse(open.text()).map_err(|error| failed(error.to_string()))?;
    if checkpoint.origin() == verifier.name() {
        Ok(checkpoint)
    } else {
        Err(failed(format!("it is of the log `{}`", checkpoint.origin())))
    }
}
