//! Any bytes as `ambit.yaml`, under libFuzzer: the judge is `testkit`'s.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _kind = (testkit::fuzz::targets::AMBIT_YAML.judge)(input);
});
