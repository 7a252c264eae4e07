//! Copies to carry away: the database as one file, and the tree as tlog-tiles.

use crate::{
    archive::Archive,
    directory::private_file,
    error::{During, StoreError},
    limits::WALK_ROWS,
};
use ledger::Leaf;
use rusqlite::Connection;
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};
use tlog::{Bundle, MemoryTree, Tile};

/// Leaves in a full bundle (c2sp.org/tlog-tiles).
const BUNDLE: usize = 256;

/// Copies the database into a new file of mode 0600 as of one moment; gives how many records it has.
pub(crate) fn copy(connection: &Connection, file: &Path) -> Result<u64, StoreError> {
    new_file(file)?;
    connection.execute("VACUUM INTO ?1", [file.to_string_lossy()]).during("copied")?;
    let copied = Connection::open(file).during("copied")?;
    let sql = "SELECT coalesce(max(first + count), 0) FROM batches";
    let records: i64 = copied.query_row(sql, (), |row| row.get(0)).during("copied")?;
    Ok(u64::try_from(records).unwrap_or(0))
}

/// Makes an empty file of mode 0600; one that is there is refused.
pub(crate) fn new_file(file: &Path) -> Result<(), StoreError> {
    private_file(file, OpenOptions::new().write(true).create_new(true)).map(drop)
}

/// Writes checkpoint, hash tiles and entry bundles below a folder, for the tree that the checkpoint signs.
pub(crate) fn tiles(
    archive: &dyn Archive,
    size: u64,
    checkpoint: &str,
    folder: &Path,
) -> Result<(), StoreError> {
    let mut tree = MemoryTree::new();
    let mut bundles = Bundle::growth(0, size).into_iter();
    let mut entries: Vec<Vec<u8>> = Vec::with_capacity(BUNDLE);
    while tree.size() < size {
        let rows = archive.rows(tree.size(), WALK_ROWS)?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let mut rest = row.leaves.as_slice();
            while tree.size() < size
                && let Ok((_, length)) = Leaf::decode(rest)
                && let Some((leaf, after)) = rest.split_at_checked(length)
            {
                tree.append(tlog::leaf_hash(leaf));
                entries.push(leaf.to_vec());
                rest = after;
                let whole = entries.len() == BUNDLE || tree.size() == size;
                if whole && let Some(bundle) = bundles.next() {
                    let bytes = bundle.encode(&entries).map_err(|error| unusable(&error))?;
                    write(folder, &bundle.path(), &bytes)?;
                    entries.clear();
                }
            }
        }
    }
    for tile in Tile::growth(0, size) {
        let bytes = tile.read(&tree).map_err(|error| unusable(&error))?;
        write(folder, &tile.path(), &bytes)?;
    }
    write(folder, "checkpoint", checkpoint.as_bytes())
}

fn write(folder: &Path, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let path: PathBuf = folder.join(path);
    let failed = |source| StoreError::File { path: path.clone(), what: "written", source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    fs::File::create(&path).and_then(|mut file| file.write_all(bytes)).map_err(failed)
}

fn unusable(error: &dyn std::error::Error) -> StoreError {
    StoreError::Damaged { place: "the ledger's tree".into(), found: error.to_string() }
}
