//! Any bytes as path and query at the HTTP door, under libFuzzer: the judge is `testkit`'s.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _kind = (testkit::fuzz::targets::HTTP_EDGE.judge)(input);
});
