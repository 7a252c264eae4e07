//! Time and randomness that a test owns: both repeat exactly from one seed.

use model::{Duration, Timestamp};
use std::sync::{
    Mutex,
    atomic::{AtomicI64, Ordering},
};

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct VirtualClock(AtomicI64);

impl VirtualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> VirtualClock {
        VirtualClock(AtomicI64::new(now.0))
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Acquire))
    }

    /// Moves it by a span; a negative span moves it back, as a machine's clock may be.
    pub fn advance(&self, span: Duration) {
        self.0.fetch_add(span.0, Ordering::AcqRel);
    }
}

/// Random bytes that follow from a seed: SplitMix64 (Steele, Lea, Flood 2014). Not for secrets.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<u64>);

impl SeededEntropy {
    /// The same seed gives the same bytes.
    #[must_use]
    pub fn new(seed: u64) -> SeededEntropy {
        SeededEntropy(Mutex::new(seed))
    }

    /// The next 64 bits.
    pub fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; zero for a limit of zero.
    pub fn below(&self, limit: u64) -> u64 {
        self.next().checked_rem(limit).unwrap_or(0)
    }

    /// Fills `bytes`.
    pub fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.iter_mut().zip(word).for_each(|(byte, random)| *byte = random);
        }
    }
}

/// A seed that a failing run prints and a repeated run is given in `AMBIT_TEST_SEED`.
#[must_use]
pub fn seed() -> u64 {
    let given = std::env::var("AMBIT_TEST_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |span| {
            u64::from(span.subsec_nanos()).wrapping_mul(0x9e37_79b9) ^ span.as_secs()
        })
    })
}

impl ledger::Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) {
        SeededEntropy::fill(self, out);
    }
}

#[cfg(test)]
mod tests {
    use super::{SeededEntropy, VirtualClock};
    use model::{Duration, Timestamp};

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let draw = |seed| {
            let mut bytes = [0; 20];
            SeededEntropy::new(seed).fill(&mut bytes);
            bytes
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn the_clock_moves_only_when_told() {
        let clock = VirtualClock::new(Timestamp::from_seconds(10));
        assert_eq!(clock.now(), clock.now());
        clock.advance(Duration::seconds(-3));
        assert_eq!(clock.now(), Timestamp::from_seconds(7));
    }
}
