//! Any bytes: what is read is read back from its canonical form as the same value, `serde_json`
//! reads the same, and what is refused as no JSON is refused there too.
#![no_main]

use canonical::{Limits, Value, parse};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { bytes: 1 << 16, depth: 100, members: 10_000 };

fuzz_target!(|input: &[u8]| {
    let theirs = serde_json::from_slice::<serde_json::Value>(input);
    match parse(input, &LIMITS) {
        Ok(value) => {
            let bytes = value.to_bytes();
            let again = parse(&bytes, &LIMITS).expect("canonical bytes are read back");
            assert_eq!(again, value);
            assert_eq!(again.to_bytes(), bytes);
            assert!(same(&value, &theirs.expect("both read it")), "{value:?}");
        }
        Err(error) => {
            assert!(error.offset() <= input.len());
            let json = ["syntax", "trailing_data", "not_utf8", "lone_surrogate"];
            assert!(!json.contains(&error.code()) || theirs.is_err(), "only refused here: {error}");
        }
    }
});

fn same(ours: &Value, theirs: &serde_json::Value) -> bool {
    match (ours, theirs) {
        (Value::Null, serde_json::Value::Null) => true,
        (Value::Bool(a), serde_json::Value::Bool(b)) => a == b,
        (Value::Integer(_) | Value::Number(_), serde_json::Value::Number(b)) => {
            ours.as_f64() == b.as_f64()
        }
        (Value::String(a), serde_json::Value::String(b)) => a == b,
        (Value::Array(a), serde_json::Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), serde_json::Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => false,
    }
}
