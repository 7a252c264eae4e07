//! A start: believes what is stored as far as the ledger vouches for it, and rebuilds the condition memory.

use crate::{
    archive::{Snapshot, Stored},
    error::StoreError,
    limits::WALK_ROWS,
    view::{State, View},
};
use ledger::{ControlMap, Fatal, Kek, MacPurpose, Memory, Purpose, Row, Tail};
use model::Digest;
use std::{collections::BTreeMap, sync::Arc};
use tlog::{Checkpoint, Frontier};

/// What a start needs to know beside what is stored.
pub(crate) struct Trust<'a> {
    pub(crate) node: u64,
    pub(crate) kek: &'a Kek,
    /// The checkpoint kept outside the database, its signature verified.
    pub(crate) kept: Option<&'a Checkpoint>,
}

/// Where the ledger ends, and its condition memory.
pub(crate) struct Resumed {
    pub(crate) tail: Tail,
    pub(crate) memory: Memory,
    /// Batches that were replayed.
    pub(crate) replayed: u64,
}

/// Reads everything once, compares it with what vouches for it, and fills the view.
pub(crate) fn resume(
    stored: &dyn Stored,
    trust: &Trust<'_>,
    view: &View,
) -> Result<Resumed, StoreError> {
    let last = stored.last()?;
    compare_kept(stored, trust.kept, last.as_ref())?;
    let (mut memory, replayed) = replay(stored, trust, last.as_ref())?;

    let mut tail = Tail { node: trust.node, ..Tail::default() };
    if let Some(last) = &last {
        tail.frontier = frontier_of(last)?;
        (tail.head, tail.mac, tail.revision) = (last.head, last.mac, last.revision);
    }
    let mut state = State { revision: tail.revision, rows: BTreeMap::new() };
    for (key, value) in stored.control()? {
        tail.control.set(&key, Some(&value));
        state.rows.insert(key, value.into());
    }
    let vouched = last.as_ref().map_or_else(|| ControlMap::new().root(), |row| row.control_root);
    if tail.control.root() != vouched {
        return Err(integrity(
            "the table `state` (control state)",
            format!(
                "its root is {}, the ledger has {}",
                tail.control.root().short(),
                vouched.short()
            ),
        ));
    }
    let mut live: BTreeMap<String, Arc<[u8]>> = BTreeMap::new();
    for (key, sealed) in stored.live()? {
        let value = trust.kek.open(Purpose::Live, &key, &sealed).map_err(|_| {
            integrity(&format!("row `{key}` of the table `live`"), "it does not open".into())
        })?;
        live.insert(key, value.as_slice().into());
    }
    memory.continue_at(tail.revision);
    view.begin(state, live, memory.open_entries().collect(), tail.frontier.size());
    Ok(Resumed { tail, memory, replayed })
}

/// MAC of a snapshot: it is bound to node, place and the head there.
pub(crate) fn snapshot_mac(kek: &Kek, node: u64, next: u64, head: &Digest, bytes: &[u8]) -> Digest {
    let parts = [&node.to_be_bytes(), &next.to_be_bytes(), head.as_bytes().as_slice(), bytes];
    kek.mac(MacPurpose::Memory, &parts)
}

/// The tree must continue the one that the kept checkpoint signs.
fn compare_kept(
    stored: &dyn Stored,
    kept: Option<&Checkpoint>,
    last: Option<&Row>,
) -> Result<(), StoreError> {
    let Some(kept) = kept.filter(|kept| kept.size() > 0) else { return Ok(()) };
    let size = last.map_or(0, Row::next);
    if kept.size() > size {
        let found = format!(
            "it has {size} entries, the kept checkpoint signs {}: entries from {size} on are missing",
            kept.size()
        );
        return Err(integrity("the end of the ledger", found));
    }
    let row = stored.row_before(kept.size())?.filter(|row| row.next() == kept.size());
    match row {
        Some(row) if row.root.as_bytes() == kept.root() => Ok(()),
        _ => Err(integrity(
            "the ledger",
            format!(
                "its first {} entries are not those that the kept checkpoint signs",
                kept.size()
            ),
        )),
    }
}

/// Replays the batches after the snapshot and checks the chain from there, or from the kept checkpoint, to the end.
fn replay(
    stored: &dyn Stored,
    trust: &Trust<'_>,
    last: Option<&Row>,
) -> Result<(Memory, u64), StoreError> {
    let Some(last) = last else { return Ok((Memory::default(), 0)) };
    if last.vouched(trust.kek, trust.node) != last.mac {
        return Err(integrity(
            &format!(
                "the last batch (entries {} to {})",
                last.first,
                last.next().saturating_sub(1)
            ),
            "its MAC does not fit the key-encryption key".into(),
        ));
    }
    let (mut memory, replay_from) = match stored.snapshot()? {
        Some(snapshot) => (open_snapshot(stored, trust, &snapshot)?, snapshot.next),
        None => (Memory::default(), 0),
    };
    let walk_from = trust.kept.map_or(replay_from, |kept| kept.size().min(replay_from));
    let before = stored.row_before(walk_from)?;
    let (mut head, mut mac) = before.map_or_else(Default::default, |row| (row.head, row.mac));
    let (mut next, mut replayed) = (walk_from, 0);
    loop {
        let rows = stored.rows_from(next, WALK_ROWS)?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let name = || format!("the batch of entries {} to {}", row.first, row.next() - 1);
            if row.first != next || row.count == 0 {
                return Err(integrity(&name(), format!("entry {next} should come next")));
            }
            if row.chained(&head, &mac) != row.head {
                return Err(integrity(&name(), "it is not chained to the batch before".into()));
            }
            if row.first >= replay_from {
                memory
                    .replay(&row.effects, row.count, row.at)
                    .map_err(|error| integrity(&name(), error.to_string()))?;
                replayed += 1;
            }
            (head, mac, next) = (row.head, row.mac, row.next());
        }
    }
    if (head, next) != (last.head, last.next()) {
        return Err(integrity("the end of the ledger", format!("no batch leads to entry {next}")));
    }
    Ok((memory, replayed))
}

fn open_snapshot(
    stored: &dyn Stored,
    trust: &Trust<'_>,
    snapshot: &Snapshot,
) -> Result<Memory, StoreError> {
    let place = "the snapshot of the condition memory";
    let row = stored.row_before(snapshot.next)?.filter(|row| row.next() == snapshot.next);
    let row = row.ok_or_else(|| {
        integrity(
            place,
            format!("no batch ends before entry {}, where it was taken", snapshot.next),
        )
    })?;
    let mac = snapshot_mac(trust.kek, trust.node, snapshot.next, &row.head, &snapshot.bytes);
    if mac.as_bytes().as_slice() != snapshot.mac.as_slice() {
        return Err(integrity(place, "its MAC does not fit".into()));
    }
    Memory::from_bytes(&snapshot.bytes).map_err(|error| integrity(place, error.to_string()))
}

fn frontier_of(last: &Row) -> Result<Frontier, StoreError> {
    let place = "the right edge of the tree";
    let frontier = Frontier::from_bytes(&last.frontier)
        .map_err(|error| integrity(place, error.to_string()))?;
    if frontier.size() == last.next() && frontier.root() == *last.root.as_bytes() {
        Ok(frontier)
    } else {
        Err(integrity(place, "it does not lead to the root of the last batch".into()))
    }
}

pub(crate) fn integrity(place: &str, found: String) -> StoreError {
    StoreError::Fatal(Fatal::Integrity { place: place.to_owned(), found })
}
