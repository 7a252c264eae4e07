//! The condition memory: what must be remembered so that the conditions of entries can be checked at commit.

mod snapshot;
#[cfg(test)]
mod tests;
mod window;

use crate::{
    bytes::{Reader, Short},
    hash::revoked_subject,
    limits::{ASKS_HELD, LATE, OPEN_HELD, PINS_HELD, REVOCATIONS_HELD, USES_HELD, WINDOWS_HELD},
};
use model::{
    AskId, Digest, EntryId, Timestamp,
    record::{Condition, RecordKind, StateChange},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use window::Window;

/// What one record claims of the world at its commit.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The record's time, which is the store's clock for expiry.
    pub at: Timestamp,
    /// Its kind.
    pub kind: RecordKind,
    /// What must hold.
    pub conditions: &'a [Condition],
    /// What it changes; revocations among the changes bind every later claim.
    pub changes: &'a [StateChange],
}

/// Remembers uses, pins, asks, windows of limits, open entries and revocations. Pure and bounded: where a bound is
/// reached, what would need more is refused.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    uses: BTreeMap<Digest, Timestamp>,
    pins: BTreeMap<Digest, Pin>,
    asks: BTreeMap<AskId, Ask>,
    windows: BTreeMap<Digest, Window>,
    open: BTreeSet<EntryId>,
    revoked: BTreeMap<Digest, u64>,
    revocations: VecDeque<(u64, Digest)>,
    /// Decisions before this revision are made again: what was revoked before it is not remembered.
    floor: u64,
    revision: u64,
    latest: Timestamp,
    /// What to look at when a minute has passed: a thing whose end moved is put back then.
    due: BTreeMap<i64, Vec<Due>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pin {
    to: Digest,
    until: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ask {
    stage: Stage,
    until: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    Approved,
    Declined,
    Spent,
}

#[derive(Clone, Copy, Debug)]
enum Due {
    Use(Digest),
    Pin(Digest),
    Ask(AskId),
    Window(Digest),
}

/// Effect bytes that were not written by this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the effects of a batch, or a snapshot of the condition memory, cannot be read; they are damaged"
)]
pub struct EffectError;

impl From<Short> for EffectError {
    fn from(_: Short) -> EffectError {
        EffectError
    }
}

impl Memory {
    /// A memory that continues at this control revision; decisions made before it are made again.
    #[must_use]
    pub fn at_revision(revision: u64) -> Memory {
        Memory { revision, floor: revision, ..Memory::default() }
    }

    /// The control revision: one more per control record that changed anything.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// The entries that are open.
    pub fn open_entries(&self) -> impl Iterator<Item = EntryId> {
        self.open.iter().copied()
    }

    /// Takes a claim whole or not at all; gives the first condition that does not hold.
    pub fn admit(&mut self, claim: &Claim<'_>) -> Result<(), Condition> {
        self.pass(claim.at);
        for (place, condition) in claim.conditions.iter().enumerate() {
            let earlier = claim.conditions.get(..place).unwrap_or_default();
            if !self.holds(condition, claim.at, earlier) {
                return Err(condition.clone());
            }
        }
        for condition in claim.conditions {
            self.apply(condition);
        }
        if claim.kind == RecordKind::Control && !claim.changes.is_empty() {
            self.change(claim.changes);
        }
        Ok(())
    }

    /// Writes what one admitted claim did: a count (1), then each effect behind its tag.
    pub fn encode_effects(conditions: &[Condition], out: &mut Vec<u8>) {
        let start = out.len();
        out.push(0);
        let mut count = 0_u8;
        for condition in conditions {
            count = count.saturating_add(u8::from(encode_effect(condition, out)));
        }
        if let Some(slot) = out.get_mut(start) {
            *slot = count;
        }
    }

    /// Repeats the effects of a batch of `count` records.
    pub fn replay(&mut self, effects: &[u8], count: u32, at: Timestamp) -> Result<(), EffectError> {
        self.pass(at);
        for record in read_effects(effects, count)? {
            for condition in &record {
                self.apply(condition);
            }
        }
        Ok(())
    }

    fn holds(&self, condition: &Condition, at: Timestamp, earlier: &[Condition]) -> bool {
        // A claim that names one thing twice would be counted once: it does not hold.
        let twice = earlier.iter().any(|other| same_thing(condition, other));
        match condition {
            Condition::Unused { what, .. } => {
                let free = self.uses.get(what).is_none_or(|until| *until <= at);
                free && !twice && self.uses.len() < USES_HELD
            }
            Condition::Pinned { what, to, .. } => {
                let fits = match self.pins.get(what) {
                    Some(pin) => pin.to == *to || pin.until <= at,
                    None => self.pins.len() < PINS_HELD,
                };
                fits && !twice
            }
            Condition::Approval { ask, now } => self.asks.get(ask).is_some_and(|found| {
                found.stage == Stage::Approved && *now < found.until && !twice
            }),
            Condition::Within { what, max, window, now } => {
                let taken = earlier.iter().filter(|other| same_thing(condition, other)).count();
                let taken = u32::try_from(taken).unwrap_or(u32::MAX);
                match self.windows.get(what) {
                    Some(found) => found.count(*now, *window).saturating_add(taken) < *max,
                    None => taken < *max && self.windows.len() < WINDOWS_HELD,
                }
            }
            Condition::NotRevokedSince { subjects, decided_at } => {
                self.not_revoked(subjects, *decided_at)
            }
            Condition::Opens(entry) => {
                !self.open.contains(entry) && !twice && self.open.len() < OPEN_HELD
            }
            Condition::Closes(entry) => self.open.contains(entry) && !twice,
            Condition::Answers { ask, .. } => self
                .asks
                .get(ask)
                .is_some_and(|found| found.stage == Stage::Open && at < found.until && !twice),
            Condition::Asks { ask, .. } => {
                !self.asks.contains_key(ask) && !twice && self.asks.len() < ASKS_HELD
            }
        }
    }

    fn not_revoked(&self, subjects: &[Digest], decided_at: u64) -> bool {
        if decided_at >= self.revision {
            return true;
        }
        decided_at >= self.floor
            && !subjects
                .iter()
                .any(|subject| self.revoked.get(subject).is_some_and(|at| *at > decided_at))
    }

    fn apply(&mut self, condition: &Condition) {
        match condition {
            Condition::Unused { what, until } => {
                self.uses.insert(*what, *until);
                self.remind(*until, Due::Use(*what));
            }
            Condition::Pinned { what, to, until } => {
                self.pin(*what, Pin { to: *to, until: *until })
            }
            Condition::Approval { ask, .. } => self.stage(*ask, Stage::Spent, None),
            Condition::Within { what, window, now, .. } => {
                let found = self.windows.entry(*what).or_default();
                let fresh = found.is_empty();
                found.take(*now, *window);
                let until = found.until();
                if fresh {
                    self.remind(until, Due::Window(*what));
                }
            }
            Condition::NotRevokedSince { .. } => {}
            Condition::Opens(entry) => {
                self.open.insert(*entry);
            }
            Condition::Closes(entry) => {
                self.open.remove(entry);
            }
            Condition::Answers { ask, approved, use_until } => {
                let stage = if *approved { Stage::Approved } else { Stage::Declined };
                self.stage(*ask, stage, Some(*use_until));
            }
            Condition::Asks { ask, until } => {
                self.asks.insert(*ask, Ask { stage: Stage::Open, until: *until });
                self.remind(*until, Due::Ask(*ask));
            }
        }
    }

    /// A use with an earlier end takes nothing from a later one.
    fn pin(&mut self, what: Digest, pin: Pin) {
        let earlier = self.pins.insert(what, pin);
        match earlier {
            None => self.remind(pin.until, Due::Pin(what)),
            Some(earlier) if earlier.to == pin.to && earlier.until > pin.until => {
                self.pins.insert(what, earlier);
            }
            Some(_) => {}
        }
    }

    fn stage(&mut self, ask: AskId, stage: Stage, until: Option<Timestamp>) {
        if let Some(found) = self.asks.get_mut(&ask) {
            found.stage = stage;
            found.until = until.unwrap_or(found.until);
        }
    }

    fn change(&mut self, changes: &[StateChange]) {
        self.revision += 1;
        let set = changes.iter().filter(|change| change.value.is_some());
        for subject in set.filter_map(|change| revoked_subject(&change.key)) {
            self.revoked.insert(subject, self.revision);
            self.revocations.push_back((self.revision, subject));
        }
        while self.revocations.len() > REVOCATIONS_HELD {
            if let Some((revision, subject)) = self.revocations.pop_front() {
                self.floor = revision;
                if self.revoked.get(&subject) == Some(&revision) {
                    self.revoked.remove(&subject);
                }
            }
        }
    }

    /// Forgets what ended long enough before the latest time seen.
    fn pass(&mut self, at: Timestamp) {
        self.latest = self.latest.max(at);
        let end = Timestamp(self.latest.0.saturating_sub(LATE));
        while let Some(entry) = self.due.first_entry() {
            if *entry.key() >= minute(end) {
                break;
            }
            for due in entry.remove() {
                self.forget(due, end);
            }
        }
    }

    fn forget(&mut self, due: Due, end: Timestamp) {
        let until = match due {
            Due::Use(what) => self.uses.get(&what).copied(),
            Due::Pin(what) => self.pins.get(&what).map(|found| found.until),
            Due::Ask(ask) => self.asks.get(&ask).map(|found| found.until),
            Due::Window(what) => self.windows.get(&what).map(Window::until),
        };
        match until {
            None => {}
            Some(until) if until > end => self.remind(until, due),
            Some(_) => match due {
                Due::Use(what) => drop(self.uses.remove(&what)),
                Due::Pin(what) => drop(self.pins.remove(&what)),
                Due::Ask(ask) => drop(self.asks.remove(&ask)),
                Due::Window(what) => drop(self.windows.remove(&what)),
            },
        }
    }

    fn remind(&mut self, until: Timestamp, due: Due) {
        self.due.entry(minute(until)).or_default().push(due);
    }
}

/// The effects of each record of a batch, as the conditions that they came from; `NotRevokedSince` has none.
pub fn read_effects(effects: &[u8], count: u32) -> Result<Vec<Vec<Condition>>, EffectError> {
    let mut reader = Reader(effects);
    let mut records = Vec::new();
    for _ in 0..count {
        let effects = reader.u8()?;
        let record: Result<Vec<_>, _> = (0..effects).map(|_| read_effect(&mut reader)).collect();
        records.push(record?);
    }
    if reader.is_empty() { Ok(records) } else { Err(EffectError) }
}

const fn minute(at: Timestamp) -> i64 {
    at.0.div_euclid(60_000_000)
}

/// Whether two conditions of one claim speak of one thing.
fn same_thing(one: &Condition, other: &Condition) -> bool {
    match (one, other) {
        (Condition::Unused { what: a, .. }, Condition::Unused { what: b, .. })
        | (Condition::Pinned { what: a, .. }, Condition::Pinned { what: b, .. })
        | (Condition::Within { what: a, .. }, Condition::Within { what: b, .. }) => a == b,
        (
            Condition::Approval { ask: a, .. }
            | Condition::Answers { ask: a, .. }
            | Condition::Asks { ask: a, .. },
            Condition::Approval { ask: b, .. }
            | Condition::Answers { ask: b, .. }
            | Condition::Asks { ask: b, .. },
        ) => a == b,
        (
            Condition::Opens(a) | Condition::Closes(a),
            Condition::Opens(b) | Condition::Closes(b),
        ) => a == b,
        _ => false,
    }
}

/// Appends tag and content; false if the condition leaves no effect.
fn encode_effect(condition: &Condition, out: &mut Vec<u8>) -> bool {
    match condition {
        Condition::Unused { what, until } => {
            out.push(1);
            out.extend_from_slice(what.as_bytes());
            out.extend_from_slice(&until.0.to_be_bytes());
        }
        Condition::Approval { ask, now } => {
            out.push(2);
            out.extend_from_slice(&ask.to_bytes());
            out.extend_from_slice(&now.0.to_be_bytes());
        }
        Condition::Within { what, max, window, now } => {
            out.push(3);
            out.extend_from_slice(what.as_bytes());
            out.extend_from_slice(&max.to_be_bytes());
            out.extend_from_slice(&window.0.to_be_bytes());
            out.extend_from_slice(&now.0.to_be_bytes());
        }
        Condition::NotRevokedSince { .. } => return false,
        Condition::Opens(entry) => {
            out.push(4);
            out.extend_from_slice(&entry.to_bytes());
        }
        Condition::Closes(entry) => {
            out.push(5);
            out.extend_from_slice(&entry.to_bytes());
        }
        Condition::Answers { ask, approved, use_until } => {
            out.push(if *approved { 6 } else { 7 });
            out.extend_from_slice(&ask.to_bytes());
            out.extend_from_slice(&use_until.0.to_be_bytes());
        }
        Condition::Asks { ask, until } => {
            out.push(8);
            out.extend_from_slice(&ask.to_bytes());
            out.extend_from_slice(&until.0.to_be_bytes());
        }
        Condition::Pinned { what, to, until } => {
            out.push(9);
            out.extend_from_slice(what.as_bytes());
            out.extend_from_slice(to.as_bytes());
            out.extend_from_slice(&until.0.to_be_bytes());
        }
    }
    true
}

fn read_effect(reader: &mut Reader<'_>) -> Result<Condition, EffectError> {
    use model::Duration;
    let tag = reader.u8()?;
    Ok(match tag {
        1 => Condition::Unused { what: reader.digest()?, until: Timestamp(reader.i64()?) },
        2 => Condition::Approval { ask: AskId(reader.u128()?), now: Timestamp(reader.i64()?) },
        3 => Condition::Within {
            what: reader.digest()?,
            max: reader.u32()?,
            window: Duration(reader.i64()?),
            now: Timestamp(reader.i64()?),
        },
        4 => Condition::Opens(EntryId(reader.u128()?)),
        5 => Condition::Closes(EntryId(reader.u128()?)),
        6 | 7 => Condition::Answers {
            ask: AskId(reader.u128()?),
            approved: tag == 6,
            use_until: Timestamp(reader.i64()?),
        },
        8 => Condition::Asks { ask: AskId(reader.u128()?), until: Timestamp(reader.i64()?) },
        9 => Condition::Pinned {
            what: reader.digest()?,
            to: reader.digest()?,
            until: Timestamp(reader.i64()?),
        },
        _ => return Err(EffectError),
    })
}
