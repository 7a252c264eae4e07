//! The writer: one thread that drains the queue, drops losers, sequences, chains, persists, then wakes.

use crate::{
    batch::{Batch, Row},
    bytes::put_block,
    control::ControlMap,
    journal::{AppendError, Job, Journal, Place, Queue},
    keyring::{Keyring, WrappedKey},
    leaf::Leaf,
    medium::{Fatal, Medium},
    memory::Memory,
};
use model::{
    Digest,
    record::{Condition, RecordKind, StateChange},
};
use std::{collections::BTreeSet, sync::Arc};
use tlog::{Frontier, leaf_hash};

/// The one that writes. `run` belongs on an OS thread of its own.
#[must_use]
pub struct Writer<M> {
    medium: M,
    queue: Arc<Queue>,
    keyring: Keyring,
    node: u64,
    frontier: Frontier,
    head: Digest,
    mac: Digest,
    control: ControlMap,
    revision: u64,
}

impl<M: Medium> Writer<M> {
    /// Resumes the medium and gives the way in.
    pub fn open(mut medium: M, keyring: Keyring) -> Result<(Journal, Writer<M>), Fatal> {
        let tail = medium.resume()?;
        let queue = Arc::new(Queue::new());
        let journal = Journal::new(queue.clone(), keyring.clone(), tail.node);
        let writer = Writer {
            medium,
            queue,
            keyring,
            node: tail.node,
            frontier: tail.frontier,
            head: tail.head,
            mac: tail.mac,
            control: tail.control,
            revision: tail.revision,
        };
        Ok((journal, writer))
    }

    /// Writes until the journal is closed and drained, or until the medium fails; then nothing more is admitted, and
    /// everyone who waits hears that the journal stopped.
    pub fn run(mut self) -> Result<(), Fatal> {
        let mut last = 0;
        loop {
            let jobs = self.queue.take(last);
            if jobs.is_empty() {
                return Ok(());
            }
            last = self.commit(jobs)?;
        }
    }

    fn commit(&mut self, jobs: Vec<Job>) -> Result<usize, Fatal> {
        let count = jobs.len();
        let claims: Vec<_> = jobs.iter().map(Job::claim).collect();
        let verdicts = self.medium.check(&claims)?;
        if verdicts.len() != count {
            return Err(Fatal::Answers { got: verdicts.len(), asked: count });
        }
        let mut admitted = Vec::with_capacity(count);
        for (job, verdict) in jobs.into_iter().zip(verdicts) {
            match verdict {
                Ok(()) => admitted.push(job),
                Err(condition) => job.ticket.answer(Err(refusal(condition))),
            }
        }
        if !admitted.is_empty() {
            self.write(admitted)?;
        }
        Ok(count)
    }

    fn write(&mut self, jobs: Vec<Job>) -> Result<(), Fatal> {
        let row = self.assemble(&jobs)?;
        let (control, live) = changes(&jobs);
        let keys = first_uses(&jobs);
        self.medium.persist(&Batch { row: &row, control: &control, live: &live, keys: &keys })?;
        let node = self.node;
        for (sequence, job) in (row.first..).zip(jobs) {
            for key in &job.sealed.keys {
                key.mark_persisted();
            }
            job.ticket.answer(Ok(Place { node, sequence, at: job.sealed.at }));
        }
        Ok(())
    }

    /// Sequences, hashes and chains. What it changes here is never taken back: if persisting fails, this writer ends.
    fn assemble(&mut self, jobs: &[Job]) -> Result<Row, Fatal> {
        let first = self.frontier.size();
        let count = u32::try_from(jobs.len()).map_err(|_| Fatal::Batch(jobs.len()))?;
        let mut row = Row { first, count, ..Row::default() };
        for (sequence, job) in (first..).zip(jobs) {
            let sealed = &job.sealed;
            let control_root = (sealed.kind == RecordKind::Control).then(|| {
                job.changes.iter().for_each(|change| self.control.apply(change));
                self.revision += u64::from(!job.changes.is_empty());
                self.control.root()
            });
            let leaf = Leaf {
                kind: sealed.kind,
                node: self.node,
                sequence,
                at: sealed.at,
                commitments: sealed.commitments,
                sealed: sealed.digest,
                control_root,
            };
            let start = row.leaves.len();
            leaf.encode(&mut row.leaves);
            let hash = leaf_hash(row.leaves.get(start..).unwrap_or_default());
            row.hashes.extend_from_slice(&hash);
            self.frontier.append(hash);
            put_block(&mut row.sealed, &sealed.boxes);
            Memory::encode_effects(&job.conditions, &mut row.effects);
            row.at = row.at.max(sealed.at);
        }
        row.frontier = self.frontier.to_bytes();
        row.root = Digest(self.frontier.root());
        row.control_root = self.control.root();
        row.revision = self.revision;
        row.head = row.chained(&self.head, &self.mac);
        row.mac = row.vouched(self.keyring.kek(), self.node);
        (self.head, self.mac) = (row.head, row.mac);
        Ok(row)
    }
}

impl<M> Drop for Writer<M> {
    /// However the writer ends, nobody waits for it in vain.
    fn drop(&mut self) {
        self.queue.stop();
    }
}

fn refusal(condition: Condition) -> AppendError {
    match condition {
        Condition::NotRevokedSince { .. } => AppendError::Moved,
        Condition::Unused { .. }
        | Condition::Pinned { .. }
        | Condition::Approval { .. }
        | Condition::Within { .. }
        | Condition::Opens(_)
        | Condition::Closes(_)
        | Condition::Answers { .. }
        | Condition::Asks { .. } => AppendError::Failed(condition),
    }
}

/// The changes of control state and of live state, in order.
fn changes(jobs: &[Job]) -> (Vec<&StateChange>, Vec<&StateChange>) {
    let of = |control: bool| {
        jobs.iter()
            .filter(move |job| (job.sealed.kind == RecordKind::Control) == control)
            .flat_map(|job| &job.changes)
            .collect()
    };
    (of(true), of(false))
}

/// Data keys that no batch has persisted, each once.
fn first_uses(jobs: &[Job]) -> Vec<&WrappedKey> {
    let mut seen = BTreeSet::new();
    jobs.iter()
        .flat_map(|job| &job.sealed.keys)
        .filter_map(|key| key.unpersisted())
        .filter(|key| seen.insert(key.id))
        .collect()
}
