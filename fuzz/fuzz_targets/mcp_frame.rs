//! Any bytes as a message at the MCP door, under libFuzzer: the judge is `testkit`'s.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _kind = (testkit::fuzz::targets::MCP_FRAME.judge)(input);
});
