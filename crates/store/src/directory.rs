//! The data directory: who may write it, who has it, and the files beside the database.

use crate::{error::StoreError, limits::NOTE_BYTES, postgres::Database};
use ledger::{Entropy, Kek};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Where the ledger of a data directory is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In a SQLite file within it.
    Within,
    /// In a database on a server.
    Server(Database),
}

/// A data directory that this process holds.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Held for the life of the store: the operating system gives it back when the process ends.
    _lock: File,
}

impl Directory {
    /// Makes or takes the directory; refuses one that others can write or that another process has.
    pub(crate) fn take(path: &Path) -> Result<Directory, StoreError> {
        make_private(path)?;
        let lock_path = path.join("lock");
        let lock =
            private_file(&lock_path, OpenOptions::new().read(true).write(true).create(true))?;
        match lock.try_lock() {
            Ok(()) => Ok(Directory { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked(path.to_owned())),
            Err(TryLockError::Error(source)) => {
                Err(StoreError::File { path: lock_path, what: "locked", source })
            }
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        database(&self.path)
    }

    /// Where its ledger is: on the server that is asked for or that was used last, else within it.
    pub(crate) fn place(&self, asked: Option<&Database>) -> Result<Place, StoreError> {
        place(&self.path, asked)
    }

    /// Remembers the server on which its ledger is.
    #[cfg(feature = "postgres")]
    pub(crate) fn note_database(&self, shown: &str) -> Result<(), StoreError> {
        let path = noted(&self.path);
        let line = format!("{shown}\n");
        if read_note(&path)?.as_deref() == Some(line.as_str()) {
            return Ok(());
        }
        write_whole(&path, line.as_bytes())
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.path.join("index.db")
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        checkpoint(&self.path)
    }

    /// Makes an empty file that only its owner can read, unless it is there.
    pub(crate) fn touch(&self, path: &Path) -> Result<(), StoreError> {
        let options = &mut OpenOptions::new();
        private_file(path, options.append(true).create(true)).map(drop)
    }

    /// Reads the key-encryption key, or draws it at the first start.
    pub(crate) fn kek(&self, fresh: bool, entropy: &dyn Entropy) -> Result<Kek, StoreError> {
        let folder = self.path.join("keys");
        make_private(&folder)?;
        let path = folder.join("kek");
        if fresh && !path.exists() {
            let mut secret = Zeroizing::new([0_u8; 32]);
            entropy.fill(secret.as_mut_slice());
            write_whole(&path, secret.as_slice())?;
        }
        let failed = |source| StoreError::File { path: path.clone(), what: "opened", source };
        let mut secret = Zeroizing::new(Vec::with_capacity(64));
        let file = File::open(&path).map_err(failed)?;
        check_mode(&path, 0o077)?;
        file.take(33).read_to_end(&mut secret).map_err(failed)?;
        let secret: &[u8; 32] =
            secret.as_slice().try_into().map_err(|_| StoreError::Kek(path.clone()))?;
        Ok(Kek::new(secret)?)
    }
}

/// The database within a data directory.
pub(crate) fn database(path: &Path) -> PathBuf {
    path.join("ambit.db")
}

/// The file that names the server on which a data directory's ledger is, without its password.
fn noted(path: &Path) -> PathBuf {
    path.join("database")
}

/// Whether a data directory has its ledger within it.
#[must_use]
pub fn holds_ledger(path: &Path) -> bool {
    database(path).exists()
}

/// The server on which a data directory's ledger was last, as a URL without its password; `None` if it is within it.
pub fn last_database(path: &Path) -> Result<Option<String>, StoreError> {
    Ok(read_note(&noted(path))?.map(|line| line.trim().to_owned()))
}

/// Where the ledger of a data directory is: on the server that is asked for or that was used last, else within it.
#[cfg_attr(
    not(feature = "postgres"),
    expect(unreachable_code, reason = "without PostgreSQL there is no database to be asked for")
)]
pub(crate) fn place(path: &Path, asked: Option<&Database>) -> Result<Place, StoreError> {
    let within = holds_ledger(path);
    match asked {
        Some(_) if within => Err(StoreError::Within(path.to_owned())),
        Some(asked) => Ok(Place::Server(asked.clone())),
        None => match last_database(path)? {
            None => Ok(Place::Within),
            Some(_) if within => Err(StoreError::Within(path.to_owned())),
            Some(url) => Database::parse(&url, None).map(Place::Server),
        },
    }
}

/// The kept checkpoint within a data directory.
pub(crate) fn checkpoint(path: &Path) -> PathBuf {
    path.join("checkpoint")
}

/// Reads a small text; `None` if the file is not there.
pub(crate) fn read_note(path: &Path) -> Result<Option<String>, StoreError> {
    let failed = |source| StoreError::File { path: path.to_owned(), what: "read", source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = String::new();
    file.take(NOTE_BYTES).read_to_string(&mut text).map_err(failed)?;
    Ok(Some(text))
}

/// Replaces a file by new content as a whole: after a power loss it has the old content or the new.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { path: path.to_owned(), what: "written", source };
    let beside = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = private_file(&beside, options.write(true).create(true).truncate(true))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn make_private(path: &Path) -> Result<(), StoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| StoreError::File { path: path.to_owned(), what: "made", source })?;
    check_mode(path, 0o022)
}

fn check_mode(path: &Path, forbidden: u32) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { path: path.to_owned(), what: "examined", source };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    if mode & forbidden == 0 {
        Ok(())
    } else {
        Err(StoreError::Permissions { path: path.to_owned(), mode })
    }
}

pub(crate) fn private_file(path: &Path, options: &mut OpenOptions) -> Result<File, StoreError> {
    options.mode(0o600).open(path).map_err(|source| StoreError::File {
        path: path.to_owned(),
        what: "opened",
        source,
    })
}
