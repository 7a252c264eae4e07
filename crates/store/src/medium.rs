//! The medium over any disk: conditions are checked in memory, live state is sealed, the memory is kept in snapshots.

use crate::{
    archive::{Snapshot, Stored},
    error::StoreError,
    limits::{LIVE_KEPT, SNAPSHOT_EVERY},
    resume::{Resumed, Trust, resume, snapshot_mac},
    view::View,
};
use ledger::{Batch, Claim, Entropy, Fatal, Kek, Medium, Memory, Purpose, Tail};
use model::{
    Digest, Timestamp,
    record::{Condition, StateChange},
};
use std::sync::Arc;
use tlog::Checkpoint;

/// What a kind of disk does in its own way. The one writer calls it.
pub(crate) trait Disk: Stored + Send {
    /// What it is called in the end that it causes.
    const NAME: &'static str;
    /// Makes ready for a start; live state last changed before this moment is forgotten.
    fn prepare(&mut self, forget_before: Timestamp) -> Result<(), StoreError>;
    /// Makes all of it durable at once, or nothing. An error is final: it may be there or not.
    fn write(&mut self, write: &Write<'_>) -> Result<(), StoreError>;
    /// Replaces the snapshot of the condition memory.
    fn write_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), StoreError>;
}

/// One durable write.
pub(crate) struct Write<'a> {
    /// Row, control state and keys; its live state is in the clear, so it is not for disks.
    pub(crate) batch: &'a Batch<'a>,
    /// Changes of live state, in order, their values sealed.
    pub(crate) live: &'a [StateChange],
    /// The condition memory after this batch, when it is time for it.
    pub(crate) snapshot: Option<&'a Snapshot>,
}

/// What a medium is given beside its disk.
pub(crate) struct Setting {
    pub(crate) node: u64,
    pub(crate) kek: Kek,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// The checkpoint kept outside the database, its signature verified.
    pub(crate) kept: Option<Checkpoint>,
    pub(crate) view: Arc<View>,
    /// When it was opened.
    pub(crate) now: Timestamp,
}

/// Writes batches to a disk.
pub(crate) struct Desk<D> {
    disk: D,
    setting: Setting,
    memory: Memory,
    unsnapped: u32,
}

impl<D: Disk> Desk<D> {
    pub(crate) fn new(disk: D, setting: Setting) -> Desk<D> {
        Desk { disk, setting, memory: Memory::default(), unsnapped: 0 }
    }

    fn take_up(&mut self) -> Result<Tail, StoreError> {
        let Setting { node, kek, kept, view, now, .. } = &self.setting;
        self.disk.prepare(Timestamp(now.0.saturating_sub(LIVE_KEPT)))?;
        let trust = Trust { node: *node, kek, kept: kept.as_ref() };
        let Resumed { tail, memory, replayed } = resume(&self.disk, &trust, view)?;
        self.memory = memory;
        if replayed > 0 {
            let snapshot = self.snapshot(tail.frontier.size(), &tail.head);
            self.disk.write_snapshot(&snapshot)?;
        }
        Ok(tail)
    }

    fn snapshot(&self, next: u64, head: &Digest) -> Snapshot {
        let bytes = self.memory.to_bytes();
        let Setting { kek, node, .. } = &self.setting;
        let mac = snapshot_mac(kek, *node, next, head, &bytes).as_bytes().to_vec();
        Snapshot { next, bytes, mac }
    }

    fn write(&mut self, batch: &Batch<'_>) -> Result<(), StoreError> {
        let Setting { kek, entropy, .. } = &self.setting;
        let mut live = Vec::with_capacity(batch.live.len());
        for change in batch.live {
            let seal =
                |value: &Vec<u8>| kek.seal(Purpose::Live, &change.key, value, entropy.as_ref());
            let value = change.value.as_ref().map(seal).transpose()?;
            live.push(StateChange { key: change.key.clone(), value });
        }
        self.unsnapped += 1;
        let due = self.unsnapped >= SNAPSHOT_EVERY;
        let snapshot = due.then(|| self.snapshot(batch.row.next(), &batch.row.head));
        self.disk.write(&Write { batch, live: &live, snapshot: snapshot.as_ref() })?;
        if due {
            self.unsnapped = 0;
        }
        Ok(())
    }
}

impl<D: Disk> Medium for Desk<D> {
    fn resume(&mut self) -> Result<Tail, Fatal> {
        self.take_up().map_err(|error| error.fatal("read", D::NAME))
    }

    fn check(&mut self, claims: &[Claim<'_>]) -> Result<Vec<Result<(), Condition>>, Fatal> {
        Ok(claims.iter().map(|claim| self.memory.admit(claim)).collect())
    }

    fn persist(&mut self, batch: &Batch<'_>) -> Result<(), Fatal> {
        self.write(batch).map_err(|error| error.fatal("written", D::NAME))?;
        self.setting.view.publish(batch);
        Ok(())
    }
}
