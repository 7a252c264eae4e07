//! Whether another user of this machine could read or change what the gate rests on.

use anyhow::{Context as _, Result, ensure};
use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Read, write or search by group and others.
const OTHERS: u32 = 0o077;
/// Write by group and others.
const OTHERS_WRITE: u32 = 0o022;
/// In such a directory nobody renames or removes what is another's.
const STICKY: u32 = 0o1000;
const ROOT: u32 = 0;

/// Checks each of these places, with all that is in it and all that is above it. What does not exist yet is checked
/// from its parent upwards: whoever makes it makes it private.
pub(crate) fn check(places: &[&Path], own: u32) -> Result<()> {
    for place in places {
        let Ok(place) = place.canonicalize() else {
            let parent = place.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = parent.unwrap_or(Path::new(".")).canonicalize();
            let parent = parent.with_context(|| format!("`{}`", place.display()))?;
            above(&parent, own)?;
            continue;
        };
        let shielded = place.ancestors().skip(1).any(|directory| is_private(directory, own));
        inside(&place, own, shielded)?;
        if let Some(parent) = place.parent() {
            above(parent, own)?;
        }
    }
    Ok(())
}

/// A place and all below it: ours, and closed to everybody else unless a directory above it is.
fn inside(place: &Path, own: u32, shielded: bool) -> Result<()> {
    let found = look(place)?;
    if found.is_symlink() {
        // What it points to is checked where it lies.
        let target = place.canonicalize().with_context(|| format!("`{}`", place.display()))?;
        let shielded = target.ancestors().skip(1).any(|directory| is_private(directory, own));
        inside(&target, own, shielded)?;
        return target.parent().map_or(Ok(()), |parent| above(parent, own));
    }
    is_ours(place, &found, own)?;
    let mode = found.mode() & 0o7777;
    let closed = found.mode() & OTHERS == 0;
    let wanted = if found.is_dir() { "0700" } else { "0600" };
    ensure!(
        closed || (shielded && mode & OTHERS_WRITE == 0),
        "`{}` has mode {mode:04o}: other users of this machine could read or change what the gate rests on; `chmod {wanted} {}`",
        place.display(),
        place.display()
    );
    if !found.is_dir() {
        return Ok(());
    }
    let entries = std::fs::read_dir(place).with_context(|| format!("`{}`", place.display()))?;
    for entry in entries {
        inside(&entry?.path(), own, shielded || closed)?;
    }
    Ok(())
}

/// A directory and all above it: nobody else can put another thing in the place of what is checked.
fn above(directory: &Path, own: u32) -> Result<()> {
    for directory in directory.ancestors() {
        let found = look(directory)?;
        is_ours(directory, &found, own)?;
        let mode = found.mode() & 0o7777;
        ensure!(
            mode & OTHERS_WRITE == 0 || mode & STICKY != 0,
            "`{}` has mode {mode:04o}: other users of this machine could replace what lies in it; `chmod go-w {}`",
            directory.display(),
            directory.display()
        );
    }
    Ok(())
}

fn is_ours(place: &Path, found: &Metadata, own: u32) -> Result<()> {
    ensure!(
        found.uid() == own || found.uid() == ROOT,
        "`{}` belongs to uid {}, who could change it: `chown {own} {}`",
        place.display(),
        found.uid(),
        place.display()
    );
    Ok(())
}

fn is_private(directory: &Path, own: u32) -> bool {
    let found = look(directory).ok();
    found.is_some_and(|found| found.mode() & OTHERS == 0 && found.uid() == own)
}

fn look(place: &Path) -> Result<Metadata> {
    std::fs::symlink_metadata(place).with_context(|| format!("`{}`", place.display()))
}

/// What the declared state is read from: the file or directory that is named, and the policies beside a file.
pub(crate) fn of_config(config: &Path) -> Vec<PathBuf> {
    let mut all = vec![config.to_owned()];
    if !config.is_dir() {
        let beside = config.parent().unwrap_or(Path::new("")).join("policies");
        if beside.exists() {
            all.push(beside);
        }
    }
    all
}

#[cfg(test)]
mod tests;
