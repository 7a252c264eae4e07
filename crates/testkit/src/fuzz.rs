//! Throws changed bytes at a reader until a judge objects or time is up, with nothing but a seed.
//!
//! It needs no instrumentation: a target tells what kind of outcome an input had, and inputs of a new kind are changed
//! further. `fuzz/` runs the same targets under libFuzzer, which sees every branch.

pub mod targets;

use crate::chance::SeededEntropy;
use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

/// One reader with its judge.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Reads the bytes, panics if what came of it is wrong, and tells what kind of outcome it was.
    pub judge: fn(&[u8]) -> u64,
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Pieces that mean something to the reader.
    pub words: &'static [&'static str],
}

/// What a run came to.
#[derive(Debug)]
pub struct Run {
    /// How many inputs were judged.
    pub executions: u64,
    /// How many kinds of outcome there were.
    pub kinds: usize,
    /// The input that a judge objected to.
    pub found: Option<Vec<u8>>,
}

/// Inputs kept to be changed further: kinds beyond it are seen and not kept.
const CORPUS: usize = 4_096;
/// Bytes of an input: readers have their own limits, and long inputs only slow the search.
const INPUT: usize = 8 * 1024;

/// Runs a target for so long, or until its judge objects.
#[must_use]
pub fn run(target: &Target, time: Duration, seed: u64) -> Run {
    let chance = SeededEntropy::new(seed);
    let mut corpus = (target.seeds)();
    let seeds = corpus.len();
    let (mut kinds, mut executions) = (HashSet::new(), 0);
    let end = Instant::now() + time;
    let judge = |input: &[u8]| catch_unwind(AssertUnwindSafe(|| (target.judge)(input)));
    for input in &corpus {
        executions += 1;
        match judge(input) {
            Ok(kind) => drop(kinds.insert(kind)),
            Err(_) => return Run { executions, kinds: kinds.len(), found: Some(input.clone()) },
        }
    }
    while Instant::now() < end {
        for _ in 0..64 {
            let input = changed((&corpus, seeds), target.words, &chance);
            executions += 1;
            match judge(&input) {
                Ok(kind) if kinds.insert(kind) && corpus.len() < CORPUS => corpus.push(input),
                Ok(_) => {}
                Err(_) => return Run { executions, kinds: kinds.len(), found: Some(input) },
            }
        }
    }
    Run { executions, kinds: kinds.len(), found: None }
}

/// A place below a length; zero for none.
fn below(chance: &SeededEntropy, length: usize) -> usize {
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    usize::try_from(chance.below(length)).unwrap_or(0)
}

fn one<'a, T>(chance: &SeededEntropy, from: &'a [T]) -> Option<&'a T> {
    from.get(below(chance, from.len()))
}

/// An input of the corpus after one to five changes. Every other time it is one of the seeds: those are sound, and
/// most of what was kept since is not.
fn changed(
    (corpus, seeds): (&[Vec<u8>], usize),
    words: &[&str],
    chance: &SeededEntropy,
) -> Vec<u8> {
    let sound = corpus.get(..seeds).filter(|_| chance.below(2) == 0).unwrap_or(corpus);
    let mut input = one(chance, sound).cloned().unwrap_or_default();
    for _ in 0..=below(chance, 5) {
        let at = below(chance, input.len() + 1);
        let length = below(chance, 1 + input.len().saturating_sub(at).min(64));
        let random = u8::try_from(chance.below(256)).unwrap_or(0);
        match chance.below(11) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << (random & 7);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = random;
                }
            }
            2 => drop(input.splice(at..at + length, [])),
            3 => input.truncate(at),
            4 => {
                let piece = input.get(at..at + length).unwrap_or_default().to_vec();
                drop(input.splice(at..at, piece));
            }
            5 => {
                let word = one(chance, words).copied().unwrap_or_default();
                drop(input.splice(at..at, word.bytes()));
            }
            6 => {
                let word = one(chance, words).copied().unwrap_or_default();
                drop(input.splice(at..at + length, word.bytes()));
            }
            7 => {
                let other = one(chance, corpus).map(Vec::as_slice).unwrap_or_default();
                let from = below(chance, other.len() + 1);
                let piece = other.get(from..).unwrap_or_default().to_vec();
                drop(input.splice(at.., piece));
            }
            8 => drop(input.splice(at..at, [random])),
            9 => {
                let printable = 0x20 + random % 0x5f;
                if let Some(byte) = input.get_mut(at) {
                    *byte = printable;
                }
            }
            _ => {
                let to = below(chance, input.len());
                if at < input.len() {
                    input.swap(at, to);
                }
            }
        }
        input.truncate(INPUT);
    }
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_fault_is_found_and_the_same_seed_finds_the_same() {
        let target = Target {
            name: "planted",
            judge: |input| {
                assert!(!input.windows(3).any(|window| window == b"{}}"), "found");
                u64::try_from(input.len()).unwrap_or(0) % 8
            },
            seeds: || vec![b"{\"a\":1}".to_vec()],
            words: &["{}"],
        };
        let found = |seed| run(&target, Duration::from_secs(20), seed).found.expect("found");
        assert_eq!(found(7), found(7));
    }
}
