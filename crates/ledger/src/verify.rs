//! Verification without keys: every row against its neighbours, its leaves, its tree, and kept checkpoints.

mod split;

use crate::{batch::Row, control::ControlMap, hash::sha256, leaf::Leaf, memory::read_effects};
use model::{
    Digest, EntryId,
    record::{Condition, RecordKind},
};
use split::split;
use std::{collections::BTreeSet, fmt};
use tlog::{Checkpoint, Frontier, Hash};

/// What is wrong with a range of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The first record that it concerns, by its sequence in the node's journal.
    pub first: u64,
    /// The last record that it concerns.
    pub last: u64,
    /// The entry, if it concerns one record and that names one in the clear.
    pub entry: Option<EntryId>,
    /// What was found.
    pub found: Finding,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The leaf's bytes are not those that the tree has.
    LeafAltered,
    /// The sealed parts are not those that the leaf names.
    PartsAltered,
    /// The stored hash of the leaf is not the leaf's.
    HashAltered,
    /// Leaf and stored hash agree, the tree has another one.
    Replaced,
    /// The records are not there.
    Missing,
    /// The record stands where another one belongs.
    Moved {
        /// The place it stands at.
        at: u64,
    },
    /// The batch's packing does not fit its count.
    Packing(&'static str),
    /// The batch's own fields, or those of the batch before, were altered.
    Chain,
    /// The stored root or right edge of the tree is not that of the leaves.
    Tree,
    /// The control root does not follow from the control records.
    ControlRoot,
    /// A kept checkpoint signs more entries than there are.
    Truncated {
        /// How many it signs.
        signed: u64,
    },
    /// A kept checkpoint signs other entries in this range.
    Rewritten {
        /// How many it signs.
        signed: u64,
    },
}

/// The result of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many records were found.
    pub entries: u64,
    /// The root over all leaves, as recomputed.
    pub root: Digest,
    /// The most entries that a kept checkpoint vouches for.
    pub vouched: u64,
    /// What is wrong, in the order of the sequence.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Takes rows in the order of their first sequence.
#[derive(Debug)]
pub struct Verifier {
    node: Option<u64>,
    next: u64,
    head: Digest,
    mac: Digest,
    control_root: Digest,
    frontier: Frontier,
    kept: Vec<Checkpoint>,
    compared: usize,
    vouched: u64,
    problems: Vec<Problem>,
}

impl Verifier {
    /// Begins; the checkpoints' signatures were verified by whoever reads them.
    #[must_use]
    pub fn new(mut kept: Vec<Checkpoint>) -> Verifier {
        kept.sort_by_key(Checkpoint::size);
        let mut verifier = Verifier {
            node: None,
            next: 0,
            head: Digest::default(),
            mac: Digest::default(),
            control_root: ControlMap::new().root(),
            frontier: Frontier::new(),
            kept,
            compared: 0,
            vouched: 0,
            problems: Vec::new(),
        };
        verifier.compare();
        verifier
    }

    /// Checks one row.
    pub fn take(&mut self, row: &Row) {
        let before = self.problems.len();
        let follows = row.first == self.next;
        if row.first > self.next {
            self.problem(self.next, row.first - 1, None, Finding::Missing);
        } else if !follows {
            let at = self.next;
            self.problem(row.first, row.next().saturating_sub(1), None, Finding::Moved { at });
        }
        let entries = entries_of(row);
        let leaves = split(row);
        self.packing(row, leaves.len(), entries.is_some());
        self.sequences(row, &leaves, entries.as_deref().unwrap_or_default());
        self.parts(row, &leaves, entries.as_deref().unwrap_or_default());
        self.tree(row, &leaves, entries.as_deref().unwrap_or_default(), follows);
        self.control(row, &leaves);
        let clean = self.problems.len() == before;
        if clean && row.chained(&self.head, &self.mac) != row.head {
            self.problem(row.first, row.next().saturating_sub(1), None, Finding::Chain);
        }
        (self.head, self.mac) = (row.head, row.mac);
        self.next = self.next.max(row.next());
    }

    /// Ends: what kept checkpoints sign beyond the last row is missing.
    #[must_use]
    pub fn finish(mut self) -> Report {
        if let Some(beyond) = self.kept.last().filter(|kept| kept.size() > self.next) {
            let signed = beyond.size();
            self.problem(self.next, signed - 1, None, Finding::Truncated { signed });
        }
        self.problems.sort_by_key(|problem| (problem.first, problem.last));
        Report {
            entries: self.next,
            root: Digest(self.frontier.root()),
            vouched: self.vouched,
            problems: self.problems,
        }
    }

    fn packing(&mut self, row: &Row, leaves: usize, effects: bool) {
        let count = usize::try_from(row.count).unwrap_or(usize::MAX);
        let boxes: usize = row.boxes().map(|one| one.len() + 4).sum();
        let wrong = [
            (row.count == 0, "the batch is empty"),
            (leaves != count, "the leaves are not as many as the batch says"),
            (
                row.hashes.len() != count.saturating_mul(32),
                "the hashes are not as many as the batch says",
            ),
            (
                row.boxes().count() != count || boxes != row.sealed.len(),
                "the sealed parts are not as many as the batch says",
            ),
            (!effects, "the effects cannot be read"),
        ];
        for (wrong, what) in wrong {
            if wrong {
                self.problem(row.first, last_of(row), None, Finding::Packing(what));
            }
        }
    }

    /// Each leaf must carry node and sequence of its place.
    fn sequences(&mut self, row: &Row, leaves: &[&[u8]], entries: &[Option<EntryId>]) {
        let decoded: Vec<_> = leaves.iter().map(|leaf| Leaf::decode(leaf).ok()).collect();
        let found: BTreeSet<u64> =
            decoded.iter().flatten().map(|(leaf, _)| leaf.sequence).collect();
        let unread = decoded.iter().any(Option::is_none);
        for (place, expected) in (row.first..row.next()).enumerate() {
            let entry = entries.get(place).copied().flatten();
            let leaf = decoded.get(place).and_then(Option::as_ref).map(|(leaf, _)| *leaf);
            if !found.contains(&expected) && !unread && !self.is_altered(row, leaves, place) {
                self.problem(expected, expected, None, Finding::Missing);
            }
            let Some(leaf) = leaf else { continue };
            let node = *self.node.get_or_insert(leaf.node);
            let elsewhere = leaf.sequence != expected || leaf.node != node;
            if elsewhere && !self.is_altered(row, leaves, place) {
                let found = Finding::Moved { at: expected };
                self.problem(leaf.sequence, leaf.sequence, entry, found);
            }
        }
    }

    /// The sealed parts must be those that their leaf names.
    fn parts(&mut self, row: &Row, leaves: &[&[u8]], entries: &[Option<EntryId>]) {
        for (place, (leaf, boxes)) in leaves.iter().zip(row.boxes()).enumerate() {
            let Ok((decoded, _)) = Leaf::decode(leaf) else { continue };
            if sha256(&[boxes]) != decoded.sealed && !self.is_altered(row, leaves, place) {
                let sequence = at(row, place);
                let entry = entries.get(place).copied().flatten();
                self.problem(sequence, sequence, entry, Finding::PartsAltered);
            }
        }
    }

    /// The stored hashes must lead to the stored root, and the leaves to the hashes.
    fn tree(&mut self, row: &Row, leaves: &[&[u8]], entries: &[Option<EntryId>], follows: bool) {
        let stored: Vec<Hash> = row.leaf_hashes().collect();
        let made: Vec<Hash> = leaves.iter().map(|leaf| tlog::leaf_hash(leaf)).collect();
        let by_stored = self.grown(&stored);
        let by_made = self.grown(&made);
        let root = row.root.as_bytes();
        let vouched_stored = !follows || by_stored.root() == *root;
        let vouched_made = follows && by_made.root() == *root;
        for (place, (stored, made)) in stored.iter().zip(&made).enumerate() {
            if stored == made {
                continue;
            }
            let found = match (vouched_stored, vouched_made) {
                (_, true) => Finding::HashAltered,
                (true, false) | (false, false) => Finding::LeafAltered,
            };
            let (sequence, entry) = (at(row, place), entries.get(place).copied().flatten());
            self.problem(sequence, sequence, entry, found);
        }
        let edge = Frontier::from_bytes(&row.frontier)
            .ok()
            .filter(|edge| edge.size() == row.next() && edge.root() == *root);
        let whole = stored == made && stored.len() == leaves.len();
        if whole && follows && !vouched_stored {
            // All agree but the tree: either the root was altered or a record was replaced with its hash.
            let found = if edge.is_some() { Finding::Replaced } else { Finding::Tree };
            self.problem(row.first, last_of(row), None, found);
        } else if edge.is_none() {
            self.problem(row.first, last_of(row), None, Finding::Tree);
        }
        if follows && (vouched_stored || vouched_made) {
            let hashes = if vouched_made { made } else { stored };
            for hash in hashes {
                self.frontier.append(hash);
                self.compare();
            }
        } else {
            // What follows is judged by the tree that this row claims.
            self.frontier = edge.unwrap_or(by_stored);
            self.compare();
        }
    }

    fn control(&mut self, row: &Row, leaves: &[&[u8]]) {
        let last = leaves
            .iter()
            .rev()
            .filter_map(|leaf| Leaf::decode(leaf).ok())
            .find(|(leaf, _)| leaf.kind == RecordKind::Control)
            .and_then(|(leaf, _)| leaf.control_root);
        let follows = last.unwrap_or(self.control_root) == row.control_root;
        let explained = self.problems.iter().any(|problem| problem.last >= row.first);
        if !follows && !explained {
            self.problem(row.first, last_of(row), None, Finding::ControlRoot);
        }
        self.control_root = row.control_root;
    }

    fn grown(&self, hashes: &[Hash]) -> Frontier {
        let mut frontier = self.frontier.clone();
        for hash in hashes {
            frontier.append(*hash);
        }
        frontier
    }

    /// Compares with the kept checkpoints that sign as much as has been read, or that were passed.
    fn compare(&mut self) {
        while let Some(kept) = self.kept.get(self.compared) {
            if kept.size() > self.frontier.size() {
                return;
            }
            let signed = kept.size();
            let same = signed == self.frontier.size() && *kept.root() == self.frontier.root();
            self.compared += 1;
            if same {
                self.vouched = signed;
            } else {
                let first = self.vouched.min(signed.saturating_sub(1));
                let last = signed.saturating_sub(1);
                self.problem(first, last, None, Finding::Rewritten { signed });
            }
        }
    }

    fn is_altered(&self, row: &Row, leaves: &[&[u8]], place: usize) -> bool {
        let stored = row.leaf_hashes().nth(place);
        let leaf = leaves.get(place).map(|leaf| tlog::leaf_hash(leaf));
        stored.is_some() && leaf.is_some() && stored != leaf
    }

    fn problem(&mut self, first: u64, last: u64, entry: Option<EntryId>, found: Finding) {
        self.problems.push(Problem { first, last, entry, found });
    }
}

/// The entry that each record of a row opens or closes, which its effects tell in the clear.
#[must_use]
pub fn entries_of(row: &Row) -> Option<Vec<Option<EntryId>>> {
    let records = read_effects(&row.effects, row.count).ok()?;
    let entry = |conditions: &Vec<Condition>| {
        conditions.iter().find_map(|condition| match condition {
            Condition::Opens(entry) | Condition::Closes(entry) => Some(*entry),
            Condition::Unused { .. }
            | Condition::Pinned { .. }
            | Condition::Approval { .. }
            | Condition::Within { .. }
            | Condition::NotRevokedSince { .. }
            | Condition::Answers { .. }
            | Condition::Asks { .. } => None,
        })
    };
    Some(records.iter().map(entry).collect())
}

fn at(row: &Row, place: usize) -> u64 {
    row.first.saturating_add(u64::try_from(place).unwrap_or(u64::MAX))
}

fn last_of(row: &Row) -> u64 {
    row.next().saturating_sub(1).max(row.first)
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entry {
            Some(entry) => write!(f, "entry {} ({entry}): ", self.first)?,
            None if self.first == self.last => write!(f, "entry {}: ", self.first)?,
            None => write!(f, "entries {} to {}: ", self.first, self.last)?,
        }
        match &self.found {
            Finding::LeafAltered => f.write_str("its leaf was altered"),
            Finding::PartsAltered => f.write_str("its sealed parts were altered"),
            Finding::HashAltered => f.write_str("its stored hash was altered"),
            Finding::Replaced => {
                f.write_str("one or more were replaced: the tree has other leaves")
            }
            Finding::Missing => f.write_str("missing"),
            Finding::Moved { at } => write!(f, "found in the place of entry {at}"),
            Finding::Packing(what) => f.write_str(what),
            Finding::Chain => {
                f.write_str("the batch's fields, or those of the batch before it, were altered")
            }
            Finding::Tree => f.write_str("the stored root or right edge of the tree was altered"),
            Finding::ControlRoot => f.write_str("the root over control state was altered"),
            Finding::Truncated { signed } => {
                write!(f, "missing at the end: a kept checkpoint signs {signed} entries")
            }
            Finding::Rewritten { signed } => {
                write!(f, "not those that the kept checkpoint over {signed} entries signs")
            }
        }
    }
}
