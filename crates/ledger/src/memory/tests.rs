//! The condition memory against a simple model that forgets nothing, and its bytes.

use super::{Claim, Memory, read_effects};
use model::{
    AskId, Digest, Duration, EntryId, Timestamp,
    record::{Condition, RecordKind, StateChange},
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const START: i64 = 1_790_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(START + seconds)
}

fn claim(now: Timestamp, conditions: &[Condition]) -> Claim<'_> {
    Claim { at: now, kind: RecordKind::Opened, conditions, changes: &[] }
}

fn freeze(agent: u8) -> [StateChange; 1] {
    [StateChange { key: format!("frozen/agent/a{agent}"), value: Some(vec![1]) }]
}

fn subject(agent: u8) -> Digest {
    crate::subject_digest("agent", &format!("a{agent}"))
}

/// What the rules say, in as few lines as possible: histories, nothing swept.
#[derive(Default)]
struct Model {
    uses: Vec<(Digest, Timestamp)>,
    pins: BTreeMap<Digest, (Digest, Timestamp)>,
    taken: Vec<(Digest, Timestamp)>,
    asks: BTreeMap<AskId, (char, Timestamp)>,
    opened: BTreeSet<EntryId>,
    closed: BTreeSet<EntryId>,
    frozen: Vec<(u64, Digest)>,
    revision: u64,
    /// The revision at the last restart.
    floor: u64,
}

impl Model {
    fn holds(&self, now: Timestamp, condition: &Condition) -> bool {
        match condition {
            Condition::Unused { what, .. } => {
                !self.uses.iter().any(|(used, until)| used == what && now < *until)
            }
            Condition::Pinned { what, to, .. } => {
                self.pins.get(what).is_none_or(|(key, until)| key == to || *until <= now)
            }
            Condition::Approval { ask, now } => {
                matches!(self.asks.get(ask), Some(('y', until)) if now < until)
            }
            Condition::Within { what, max, window, now } => {
                let within =
                    |(key, time): &&(Digest, Timestamp)| key == what && now.since(*time) < *window;
                self.taken.iter().filter(within).count() < *max as usize
            }
            Condition::NotRevokedSince { subjects, decided_at } => !self
                .frozen
                .iter()
                .any(|(revision, who)| revision > decided_at && subjects.contains(who)),
            Condition::Opens(entry) => !self.opened.contains(entry) || self.closed.contains(entry),
            Condition::Closes(entry) => self.opened.contains(entry) && !self.closed.contains(entry),
            Condition::Answers { ask, .. } => {
                matches!(self.asks.get(ask), Some(('?', until)) if now < *until)
            }
            Condition::Asks { ask, .. } => !self.asks.contains_key(ask),
        }
    }

    /// What may have been forgotten by now, or was decided in an earlier run, is not asked.
    fn is_certain(&self, now: Timestamp, condition: &Condition) -> bool {
        match condition {
            Condition::NotRevokedSince { decided_at, .. } => *decided_at >= self.floor,
            Condition::Asks { ask, .. } => {
                self.asks.get(ask).is_none_or(|(_, until)| now.0 < until.0 + crate::limits::LATE)
            }
            Condition::Unused { .. }
            | Condition::Pinned { .. }
            | Condition::Approval { .. }
            | Condition::Within { .. }
            | Condition::Opens(_)
            | Condition::Closes(_)
            | Condition::Answers { .. } => true,
        }
    }

    fn apply(&mut self, condition: &Condition) {
        match condition {
            Condition::Unused { what, until } => self.uses.push((*what, *until)),
            Condition::Pinned { what, to, until } => {
                let earlier = self.pins.get(what).filter(|(key, _)| key == to);
                let until = earlier.map_or(*until, |(_, earlier)| *until.max(earlier));
                self.pins.insert(*what, (*to, until));
            }
            Condition::Approval { ask, .. } => {
                self.asks.entry(*ask).and_modify(|found| found.0 = 'x');
            }
            Condition::Within { what, now, .. } => self.taken.push((*what, *now)),
            Condition::NotRevokedSince { .. } => {}
            Condition::Opens(entry) => {
                self.opened.insert(*entry);
                self.closed.remove(entry);
            }
            Condition::Closes(entry) => {
                self.closed.insert(*entry);
            }
            Condition::Answers { ask, approved, use_until } => {
                self.asks.insert(*ask, (if *approved { 'y' } else { 'n' }, *use_until));
            }
            Condition::Asks { ask, until } => {
                self.asks.insert(*ask, ('?', *until));
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Claim(Vec<Draft>),
    Freeze(u8),
    Restart,
}

/// A condition without its time: the time of the step goes in.
#[derive(Clone, Debug)]
enum Draft {
    Unused(u8, i64),
    Pinned(u8, u8, i64),
    Approval(u8),
    Within(u8, u32),
    Revoked(u8, u64),
    Opens(u8),
    Closes(u8),
    Answers(u8, bool, i64),
    Asks(u8, i64),
}

impl Draft {
    fn condition(&self, now: Timestamp, revision: u64) -> Condition {
        let after = |seconds: i64| now.after(Duration::seconds(seconds));
        match *self {
            Draft::Unused(what, span) => {
                Condition::Unused { what: Digest([what; 32]), until: after(span) }
            }
            Draft::Pinned(what, to, span) => Condition::Pinned {
                what: Digest([what; 32]),
                to: Digest([to; 32]),
                until: after(span),
            },
            Draft::Approval(ask) => Condition::Approval { ask: AskId(ask.into()), now },
            Draft::Within(what, max) => {
                // One key has one window, as one limit has.
                let window = Duration::seconds(20 + i64::from(what) * 40);
                Condition::Within { what: Digest([what; 32]), max, window, now }
            }
            Draft::Revoked(who, back) => Condition::NotRevokedSince {
                subjects: vec![subject(who), subject(who + 1)],
                decided_at: revision.saturating_sub(back),
            },
            Draft::Opens(entry) => Condition::Opens(EntryId(entry.into())),
            Draft::Closes(entry) => Condition::Closes(EntryId(entry.into())),
            Draft::Answers(ask, approved, span) => {
                Condition::Answers { ask: AskId(ask.into()), approved, use_until: after(span) }
            }
            Draft::Asks(ask, span) => {
                Condition::Asks { ask: AskId(ask.into()), until: after(span) }
            }
        }
    }
}

fn draft() -> impl Strategy<Value = Draft> {
    let (few, span) = (0_u8..4, 1_i64..90);
    prop_oneof![
        (few.clone(), span.clone()).prop_map(|(what, span)| Draft::Unused(what, span)),
        (few.clone(), 0_u8..3, span.clone())
            .prop_map(|(what, to, span)| Draft::Pinned(what, to, span)),
        (0_u8..40).prop_map(Draft::Approval),
        (few.clone(), 1_u32..4).prop_map(|(what, max)| Draft::Within(what, max)),
        (few.clone(), 0_u64..3).prop_map(|(who, back)| Draft::Revoked(who, back)),
        few.clone().prop_map(Draft::Opens),
        few.prop_map(Draft::Closes),
        (0_u8..40, any::<bool>(), span.clone()).prop_map(|(a, y, s)| Draft::Answers(a, y, s)),
        (0_u8..40, span).prop_map(|(ask, span)| Draft::Asks(ask, span)),
    ]
}

fn step() -> impl Strategy<Value = (i64, Step)> {
    let claim = prop::collection::vec(draft(), 1..4).prop_map(Step::Claim);
    let step = prop_oneof![
        12 => claim,
        1 => (0_u8..5).prop_map(Step::Freeze),
        1 => Just(Step::Restart),
    ];
    (0_i64..15, step)
}

/// A claim that names one thing twice never holds; the model leaves such claims out.
fn repeats(conditions: &[Condition]) -> bool {
    conditions
        .iter()
        .enumerate()
        .any(|(place, one)| conditions[..place].iter().any(|other| super::same_thing(one, other)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn it_agrees_with_the_model(steps in prop::collection::vec(step(), 1..120)) {
        let (mut memory, mut model, mut now) = (Memory::default(), Model::default(), at(0));
        let mut replayed = Memory::default();
        for (pause, step) in steps {
            now = now.after(Duration::seconds(pause));
            match step {
                Step::Freeze(who) => {
                    let changes = freeze(who);
                    let claim = Claim { at: now, kind: RecordKind::Control, conditions: &[], changes: &changes };
                    prop_assert!(memory.admit(&claim).is_ok());
                    model.revision += 1;
                    model.frozen.push((model.revision, subject(who)));
                }
                Step::Restart => {
                    memory = Memory::from_bytes(&memory.to_bytes()).unwrap();
                    prop_assert_eq!(memory.revision(), model.revision);
                    model.floor = model.revision;
                }
                Step::Claim(drafts) => {
                    let conditions: Vec<_> = drafts
                        .iter()
                        .map(|draft| draft.condition(now, model.revision))
                        .filter(|condition| model.is_certain(now, condition))
                        .collect();
                    if repeats(&conditions) {
                        continue;
                    }
                    let failing = conditions.iter().find(|one| !model.holds(now, one)).cloned();
                    let outcome = memory.admit(&claim(now, &conditions));
                    prop_assert_eq!(&outcome, &failing.map_or(Ok(()), Err));
                    if outcome.is_ok() {
                        conditions.iter().for_each(|one| model.apply(one));
                        let mut effects = Vec::new();
                        Memory::encode_effects(&conditions, &mut effects);
                        prop_assert!(replayed.replay(&effects, 1, now).is_ok());
                        prop_assert_eq!(read_effects(&effects, 1).unwrap()[0].len(),
                            conditions.iter().filter(|one| !matches!(one, Condition::NotRevokedSince { .. })).count());
                    }
                }
            }
        }
        replayed.continue_at(memory.revision());
        // Sweeps differ by when they ran; what binds is the same.
        for probe in 0..10_u8 {
            for draft in [Draft::Unused(probe, 9), Draft::Pinned(probe, 1, 9), Draft::Approval(probe), Draft::Within(probe, 1),
                Draft::Opens(probe), Draft::Closes(probe), Draft::Answers(probe, true, 9), Draft::Asks(probe, 9)] {
                let condition = [draft.condition(now, 0)];
                if !model.is_certain(now, &condition[0]) {
                    continue;
                }
                prop_assert_eq!(
                    memory.clone().admit(&claim(now, &condition)),
                    replayed.clone().admit(&claim(now, &condition))
                );
            }
        }
    }
}

#[test]
fn what_has_ended_is_forgotten() {
    let mut memory = Memory::default();
    for number in 0..2_000_u32 {
        let mut what = [0; 32];
        what[..4].copy_from_slice(&number.to_be_bytes());
        let now = at(i64::from(number));
        let conditions = [
            Condition::Unused { what: Digest(what), until: now.after(Duration::seconds(60)) },
            Condition::Pinned {
                what: Digest(what),
                to: Digest([1; 32]),
                until: now.after(Duration::seconds(60)),
            },
            Condition::Within { what: Digest(what), max: 1, window: Duration::seconds(60), now },
            Condition::Asks { ask: AskId(number.into()), until: now.after(Duration::seconds(60)) },
        ];
        assert!(memory.admit(&claim(now, &conditions)).is_ok());
    }
    // A minute of life, five of lateness, one of the reminders' grain.
    for size in [memory.uses.len(), memory.pins.len(), memory.windows.len(), memory.asks.len()] {
        assert!((360..=480).contains(&size), "{size}");
    }
    assert!(memory.due.len() <= 9);
}

#[test]
fn a_pin_that_is_used_again_is_one_pin() {
    let mut memory = Memory::default();
    let pinned = |to: u8, now: i64| {
        let until = at(now + 60);
        [Condition::Pinned { what: Digest([1; 32]), to: Digest([to; 32]), until }]
    };
    for now in 0..2_000 {
        assert!(memory.admit(&claim(at(now), &pinned(1, now))).is_ok());
        let other = pinned(2, now);
        assert_eq!(memory.admit(&claim(at(now), &other)), Err(other[0].clone()));
    }
    assert!(memory.due.values().map(Vec::len).sum::<usize>() == 1 && memory.pins.len() == 1);
    // After a restart as before it; and free for another key when its time is over.
    let mut memory = Memory::from_bytes(&memory.to_bytes()).unwrap();
    assert!(memory.admit(&claim(at(2_058), &pinned(2, 2_058))).is_err());
    assert!(memory.admit(&claim(at(2_059), &pinned(2, 2_059))).is_ok());
    assert!(memory.admit(&claim(at(2_060), &pinned(1, 2_060))).is_err());
}

#[test]
fn the_effect_of_a_pin_is_its_tag_and_its_members() {
    let (what, to, until) = (Digest([2; 32]), Digest([3; 32]), Timestamp(0x0405));
    let mut effects = Vec::new();
    Memory::encode_effects(&[Condition::Pinned { what, to, until }], &mut effects);
    let expected = [&[1, 9][..], &[2; 32], &[3; 32], &[0, 0, 0, 0, 0, 0, 4, 5]].concat();
    assert_eq!(effects, expected);
}

#[test]
fn a_snapshot_from_before_there_were_pins_is_read() {
    let mut memory = Memory::default();
    assert!(memory.admit(&claim(at(0), &[Condition::Opens(EntryId(1))])).is_ok());
    let mut bytes = memory.to_bytes();
    bytes[0] = 1;
    assert!(Memory::from_bytes(&bytes).is_err(), "it has a list too many");
    bytes.truncate(bytes.len() - 4);
    let memory = Memory::from_bytes(&bytes).unwrap();
    assert_eq!(memory.open_entries().collect::<Vec<_>>(), [EntryId(1)]);
}

#[test]
fn a_busy_window_stays_small_and_never_allows_too_much() {
    let (max, window) = (5_000, Duration::seconds(3_600));
    let mut memory = Memory::default();
    let mut taken: Vec<i64> = Vec::new();
    for step in 0..60_000_i64 {
        let now = Timestamp(at(0).0 + step * 250_000);
        let within = [Condition::Within { what: Digest([1; 32]), max, window, now }];
        if memory.admit(&claim(now, &within)).is_ok() {
            taken.push(now.0);
            let from = taken.partition_point(|time| *time <= now.0 - window.0);
            assert!(taken.len() - from <= max as usize);
        }
    }
    assert!(taken.len() > 4 * max as usize - 200, "{} calls in 4.2 windows", taken.len());
    let bytes = memory.to_bytes();
    assert!(bytes.len() < 2 * crate::limits::WINDOW_POINTS * 12 + 200, "{}", bytes.len());
}

#[test]
fn a_claim_that_names_one_thing_twice_does_not_hold() {
    let unused = Condition::Unused { what: Digest([1; 32]), until: at(60) };
    let within = |max| Condition::Within {
        what: Digest([1; 32]),
        max,
        window: Duration::seconds(60),
        now: at(0),
    };
    let check = |conditions: &[Condition], expected: bool| {
        let held = Memory::default().admit(&claim(at(0), conditions)).is_ok();
        assert_eq!(held, expected, "{conditions:?}");
    };
    check(std::slice::from_ref(&unused), true);
    check(&[unused.clone(), unused], false);
    check(&[within(2), within(2)], true);
    check(&[within(1), within(1)], false);
    check(&[Condition::Opens(EntryId(1)), Condition::Opens(EntryId(1))], false);
}

#[test]
fn a_refused_claim_leaves_nothing_behind() {
    let mut memory = Memory::default();
    let refused = [
        Condition::Unused { what: Digest([1; 32]), until: at(60) },
        Condition::Opens(EntryId(1)),
        Condition::Closes(EntryId(2)),
    ];
    assert_eq!(memory.admit(&claim(at(0), &refused)), Err(Condition::Closes(EntryId(2))));
    assert!(memory.admit(&claim(at(0), &refused[..2])).is_ok());
}

#[test]
fn damaged_effects_and_snapshots_are_refused() {
    let conditions =
        [Condition::Opens(EntryId(1)), Condition::Unused { what: Digest([1; 32]), until: at(60) }];
    let mut effects = Vec::new();
    Memory::encode_effects(&conditions, &mut effects);
    let mut memory = Memory::default();
    assert!(memory.admit(&claim(at(0), &conditions)).is_ok());
    let snapshot = memory.to_bytes();
    for cut in 0..effects.len() {
        assert!(read_effects(&effects[..cut], 1).is_err());
    }
    for cut in 0..snapshot.len() {
        assert!(Memory::from_bytes(&snapshot[..cut]).is_err());
    }
    assert!(read_effects(&[1, 99], 1).is_err());
    assert!(read_effects(&[&effects[..], &[0]].concat(), 1).is_err());
}
