//! Against two independent readers: `serde_json`, and one that matches names as Go does.
#![expect(clippy::unwrap_used, reason = "what tests are made of cannot fail")]

use std::collections::BTreeMap;

use canonical::{Limits, Object, Value, collide, parse};
use proptest::prelude::*;
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

const LIMITS: Limits = Limits { bytes: 1 << 20, depth: 100, members: 100_000 };

/// Values of all kinds, with names that often meet.
fn values() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-9_007_199_254_740_991..=9_007_199_254_740_991_i64).prop_map(Value::Integer),
        any::<f64>().prop_filter_map("not in I-JSON", |n| Value::number(n).ok()),
        any::<String>().prop_filter_map("not in I-JSON", |s| text(&s)),
    ];
    scalar.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            prop::collection::vec(("[a-dA-D\u{e9}\u{c9}\u{e000}\u{1f600}]{0,3}", inner), 0..24)
                .prop_map(|members| {
                    let mut object = Object::new();
                    for (name, value) in members {
                        // Names that meet are dropped: the first stays.
                        let _refused = object.insert(name, value);
                    }
                    Value::Object(object)
                }),
        ]
    })
}

fn text(text: &str) -> Option<Value> {
    let reserved =
        |c: char| u32::from(c) & 0xFFFE == 0xFFFE || ('\u{fdd0}'..='\u{fdef}').contains(&c);
    (!text.chars().any(reserved)).then(|| Value::from(text))
}

/// JSON texts, most of them not canonical and many of them wrong.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just(",".to_owned()),
        Just(":".to_owned()),
        Just(" ".to_owned()),
        Just("\n".to_owned()),
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        "-?(0|[1-9][0-9]{0,19})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        "[-+.0-9eE]{1,6}",
        "\"[a-c\\\\\"nu0-9]{0,6}\"",
        "\"\\\\u[dD][89a-fA-F][0-9a-f]{2}(\\\\u[dD][c-f][0-9a-f]{2})?\"",
    ];
    let soup = prop::collection::vec(token, 0..8).prop_map(|parts| parts.concat().into_bytes());
    let damaged = (values(), any::<prop::sample::Index>(), any::<u8>(), 0..3_u8).prop_map(
        |(value, at, byte, how)| {
            let mut bytes = value.to_bytes();
            let at = at.index(bytes.len());
            match how {
                0 => bytes.insert(at, byte),
                1 => drop(bytes.remove(at)),
                _ => bytes.splice(at..=at, [byte]).for_each(drop),
            }
            bytes
        },
    );
    let members = prop::collection::vec("[abAB]{1,2}", 0..5).prop_map(|names| {
        let members: Vec<String> = names.iter().map(|name| format!("\"{name}\":1")).collect();
        format!("{{{}}}", members.join(",")).into_bytes()
    });
    prop_oneof![soup, damaged, members]
}

/// The same value in `serde_json`'s eyes.
fn same(ours: &Value, theirs: &serde_json::Value) -> bool {
    match (ours, theirs) {
        (Value::Null, serde_json::Value::Null) => true,
        (Value::Bool(a), serde_json::Value::Bool(b)) => a == b,
        (Value::Integer(_) | Value::Number(_), serde_json::Value::Number(b)) => {
            ours.as_f64() == b.as_f64()
                && ours.as_i64().is_none_or(|a| b.as_i64().is_none_or(|b| a == b))
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

/// A name as Go's `encoding/json` matches it: each character replaced by the least of those that
/// Unicode simple case folding makes equal to it.
fn go_fold(name: &str) -> String {
    name.chars().map(|c| orbit(c).into_iter().min().unwrap()).collect()
}

fn orbit(character: char) -> Vec<char> {
    let mut class = ClassUnicode::new([ClassUnicodeRange::new(character, character)]);
    class.case_fold_simple();
    class.iter().flat_map(|range| range.start()..=range.end()).collect()
}

/// Whether a reader that matches names as Go does finds one member for each that we find.
fn go_finds_the_same(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(go_finds_the_same),
        Value::Object(object) => {
            let folded: BTreeMap<String, &Value> =
                object.iter().map(|(name, value)| (go_fold(name), value)).collect();
            folded.len() == object.len() && object.iter().all(|(_, value)| go_finds_the_same(value))
        }
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(value in values()) {
        let bytes = value.to_bytes();
        let read = parse(&bytes, &LIMITS).unwrap();
        prop_assert_eq!(&read, &value);
        prop_assert_eq!(read.to_bytes(), bytes.clone());
        prop_assert!(same(&value, &serde_json::from_slice(&bytes).unwrap()));
    }

    /// What `serde_json` writes, in its order and with its spelling of numbers, is the same value.
    #[test]
    fn what_serde_writes_is_read(value in values()) {
        let theirs: serde_json::Value = serde_json::from_slice(&value.to_bytes()).unwrap();
        let pretty = serde_json::to_vec_pretty(&theirs).unwrap();
        prop_assert_eq!(parse(&pretty, &LIMITS).unwrap().to_bytes(), value.to_bytes());
    }

    /// Both refuse the same texts as no JSON. What we refuse beyond that has its own codes.
    #[test]
    fn both_agree_on_what_is_json(text in texts()) {
        let theirs = serde_json::from_slice::<serde_json::Value>(&text);
        match (parse(&text, &LIMITS), theirs) {
            (Ok(ours), Ok(theirs)) => {
                prop_assert!(same(&ours, &theirs));
                prop_assert!(go_finds_the_same(&ours));
                let bytes = ours.to_bytes();
                prop_assert_eq!(parse(&bytes, &LIMITS).unwrap(), ours);
            }
            (Err(error), Ok(_)) => {
                let stricter =
                    ["duplicate_name", "case_folded_name", "number_not_exact", "noncharacter"];
                prop_assert!(stricter.contains(&error.code()), "{}", error);
            }
            // A number out of the range of doubles is an error there.
            (Err(error), Err(_)) => prop_assert!(!error.to_string().is_empty()),
            (Ok(ours), Err(error)) => prop_assert!(false, "{ours:?} is read, but {error}"),
        }
    }

    #[test]
    fn objects_are_refused_just_where_names_meet(names in prop::collection::vec("[abAB\u{212a}kKsS\u{17f}]{1,2}", 0..24)) {
        let members: Vec<String> = names.iter().map(|name| format!("\"{name}\":0")).collect();
        let text = format!("{{{}}}", members.join(","));
        let folded: std::collections::BTreeSet<String> = names.iter().map(|n| go_fold(n)).collect();
        let read = parse(text.as_bytes(), &LIMITS);
        prop_assert_eq!(read.is_ok(), folded.len() == names.len());
        if let Err(error) = read {
            // The name at the offset is one that an earlier one meets.
            let (before, at) = text.split_at(error.offset());
            let named = at.trim_start_matches('"').split('"').next().unwrap();
            let index = before.matches(':').count();
            prop_assert_eq!(&names[index], named);
            prop_assert!(names[..index].iter().any(|earlier| collide(earlier, named)));
        }
    }

    /// A decimal survives just if the shortest form of its double has the same digits.
    #[test]
    fn decimals_survive_or_are_refused(digits in "[1-9][0-9]{0,18}", exponent in -330..330_i32) {
        let text = format!("{digits}e{exponent}");
        let double: f64 = text.parse().unwrap();
        let shortest = format!("{double:e}");
        let normal = |text: &str| {
            let (mantissa, exponent) = text.split_once('e').unwrap();
            let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
            let exponent: i32 = exponent.parse().unwrap();
            let digits = format!("{whole}{fraction}");
            let scale = exponent - i32::try_from(fraction.len()).unwrap();
            let trimmed = digits.trim_end_matches('0');
            let zeros = i32::try_from(digits.len() - trimmed.len()).unwrap();
            (trimmed.to_owned(), scale + zeros)
        };
        let survives = double.is_finite() && double != 0.0 && normal(&shortest) == normal(&text);
        let unsafe_integer = double.fract() == 0.0 && (9_007_199_254_740_992.0..1e21).contains(&double);
        prop_assert_eq!(parse(text.as_bytes(), &LIMITS).is_ok(), survives && !unsafe_integer);
    }
}

/// Every pair that Unicode simple case folding joins; none beyond U+1FFFF is.
#[test]
fn folding_joins_all_that_go_joins() {
    let mut joined = 0;
    for character in '\0'..='\u{1ffff}' {
        for other in orbit(character) {
            assert!(collide(&character.to_string(), &other.to_string()), "{character:?} {other:?}");
            joined += usize::from(other != character);
        }
    }
    assert!(joined > 2_500, "{joined}");
    for (left, right) in [("a", "b"), ("é", "e"), ("ö", "o"), ("", "a"), ("a", "aa"), ("0", "O")]
    {
        assert!(!collide(left, right), "{left} {right}");
    }
}
