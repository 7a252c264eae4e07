//! Each reader of strangers' bytes under changed bytes for a few seconds (`AMBIT_FUZZ_SECONDS` for longer). The
//! mutation stage plants a fault in each reader and expects these to find it.
#![cfg(test)]

use std::time::Duration;
use testkit::{
    chance,
    fuzz::{self, Target, targets},
};

/// Long enough to find what the mutation stage plants, on a busy machine too.
const SECONDS: u64 = 5;
const SEED: u64 = 20_261_126;

fn check(target: &Target) {
    let seconds = std::env::var("AMBIT_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(SECONDS));
    // The short run repeats itself, so that it says the same of the same bytes; a long one looks for what is new.
    let seed = if seconds.is_some() { chance::seed() } else { SEED };
    let run = fuzz::run(target, time, seed);
    println!("{}: {} executions, {} kinds, seed {seed}", target.name, run.executions, run.kinds);
    assert!(
        run.found.is_none(),
        "{} objects after {} executions (AMBIT_TEST_SEED={seed}):\n{}",
        target.name,
        run.executions,
        String::from_utf8_lossy(&run.found.unwrap_or_default()).escape_debug()
    );
    assert!(run.kinds > 1, "{}: nothing was read", target.name);
}

#[test]
fn token() {
    check(&targets::TOKEN);
}

#[test]
fn mcp_frame() {
    check(&targets::MCP_FRAME);
}

#[test]
fn http_edge() {
    check(&targets::HTTP_EDGE);
}

#[test]
fn canonical() {
    check(&targets::CANONICAL);
}

#[test]
fn batch() {
    check(&targets::BATCH);
}

#[test]
fn ambit_yaml() {
    check(&targets::AMBIT_YAML);
}
