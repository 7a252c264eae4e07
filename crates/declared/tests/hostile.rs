//! Files that are out to break the reader: a clean refusal, quickly, and never a panic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the functions that tests share are tests too"
)]

use declared::{read, render};
use proptest::prelude::*;
use std::time::{Duration, Instant};

const BASE: &str = include_str!("base.yaml");

/// Refused with exactly this first message, rendered within bounds.
#[track_caller]
fn refused(text: &str, expected: &str) {
    let begin = Instant::now();
    let rejected = read("ambit.yaml", text, Vec::new()).expect_err("the file is refused");
    let first = &rejected.diagnostics[0];
    assert!(first.message.contains(expected), "{}", first.message);
    let rendered = render(&rejected.diagnostics, &rejected.sources, false);
    assert!(begin.elapsed() < Duration::from_secs(20), "took {:?}", begin.elapsed());
    assert!(rendered.len() < 1_000_000, "{} bytes", rendered.len());
    fits(&rendered);
}

#[track_caller]
fn fits(rendered: &str) {
    for line in rendered.lines() {
        assert!(line.chars().count() <= 100, "{} columns: {line}", line.chars().count());
    }
}

#[test]
fn deep_nesting() {
    refused(&"[".repeat(20_000), "nested too deeply");
    refused(&"{a: ".repeat(20_000), "nested too deeply");
    refused(&"- ".repeat(20_000), "nested too deeply");
    let steps: String = (0..2_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    refused(&steps, "nested too deeply");
}

#[test]
fn a_bomb_of_aliases() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = format!("*a{}, ", level - 1).repeat(9);
        text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    refused(&text, "anchors and aliases are not read here");
}

#[test]
fn ten_megabytes() {
    refused(&"# nothing\n".repeat(1_048_576), "the limit is");
    refused(&format!("version: {}", "1".repeat(10_000_000)), "the limit is");
}

#[test]
fn many_nodes() {
    refused(&format!("version: [{}]", "1,".repeat(300_000)), "too large to be read safely");
}

#[test]
fn many_problems_are_cut() {
    let keys: String = (0..5_000).map(|number| format!("zz{number}: 1\n")).collect();
    let text = format!("version: 1\n{keys}");
    let rejected = read("ambit.yaml", &text, Vec::new()).expect_err("the file is refused");
    assert_eq!(rejected.diagnostics.len(), 200);
    assert!(rejected.diagnostics[199].fix.contains("4800 more problems"));
}

#[test]
fn long_lines_and_strange_characters_stay_within_the_width() {
    let long = "x".repeat(5_000);
    for text in [
        format!("version: 1\nagents: {{ a: {{ {long}: 1 }} }}\n"),
        format!("version: 1\n{long}: {long}\n"),
        format!("version: 1\nagents: {{ \"\\e[31m{long}\": {{}} }}\n"),
        "version: 1\nagents: { \"\\u202e\\u0007evil\": {} }\n".to_owned(),
    ] {
        let rejected = read("ambit.yaml", &text, Vec::new()).expect_err("the file is refused");
        let rendered = rejected.to_string();
        fits(&rendered);
        let hidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!rendered.contains(hidden), "{rendered:?}");
    }
}

#[test]
fn odd_documents() {
    for text in
        ["", "\n", "---\n", "null", "[]", "7", "text", "\u{feff}version: 1\n", "? [a]\n: b\n"]
    {
        if let Err(rejected) = read("ambit.yaml", text, Vec::new()) {
            assert!(!rejected.diagnostics.is_empty());
            fits(&rejected.to_string());
        }
    }
    read("ambit.yaml", "version: 1\n", Vec::new()).expect("an empty state is a state");
    let json = r#"{ "version": 1, "agents": {} }"#;
    read("ambit.yaml", json, Vec::new()).expect("JSON is YAML");
}

/// What every answer must hold: a problem's place is in the file, and it can be rendered.
fn sound(text: &str) {
    match read("ambit.yaml", text, Vec::new()) {
        Ok((declared, _)) => drop(declared),
        Err(rejected) => {
            assert!(!rejected.diagnostics.is_empty());
            let lines: Vec<&str> = text.split('\n').collect();
            for problem in &rejected.diagnostics {
                let line = usize::try_from(problem.line).expect("a line is small");
                assert!((1..=lines.len()).contains(&line), "{problem:?}");
                let width = lines[line - 1].chars().count() + 1;
                let column = usize::try_from(problem.column).expect("a column is small");
                assert!((1..=width).contains(&column), "{problem:?}");
                assert!(problem.length >= 1 && !problem.fix.is_empty(), "{problem:?}");
            }
            drop(render(&rejected.diagnostics, &rejected.sources, true));
        }
    }
}

fn pieces() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just(": ".to_owned()),
        Just("\n".to_owned()),
        Just("\n  ".to_owned()),
        Just("- ".to_owned()),
        Just("*".to_owned()),
        Just("&a ".to_owned()),
        Just("!!str ".to_owned()),
        Just("<<: ".to_owned()),
        Just("null".to_owned()),
        Just("\"".to_owned()),
        Just("é漢\u{1f600}".to_owned()),
        Just("|\n".to_owned()),
        Just("? ".to_owned()),
        Just("split: sql\n".to_owned()),
        "\\PC{0,8}",
        any::<char>().prop_map(String::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mutated_files(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..24, pieces()), 1..4)
    ) {
        let mut chars: Vec<char> = BASE.chars().collect();
        for (at, length, piece) in cuts {
            let at = at.index(chars.len() + 1).min(chars.len());
            let end = (at + length).min(chars.len());
            chars.splice(at..end, piece.chars());
        }
        sound(&chars.into_iter().collect::<String>());
    }

    #[test]
    fn swapped_lines(from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let mut lines: Vec<&str> = BASE.lines().collect();
        let line = lines.remove(from.index(lines.len()));
        lines.insert(to.index(lines.len()), line);
        sound(&lines.join("\n"));
    }

    #[test]
    fn anything(text in "\\PC*|[ \\n\\t:{}\\[\\]&*!|>'\"%@`,?#a-z0-9-]{0,300}") {
        sound(&text);
    }

    /// A literal credential, wherever and whatever it is, is in no answer.
    #[test]
    fn a_literal_credential_is_never_shown(secret in "[A-Z][a-z0-9]{11}Q", form in 0_usize..4, broken: bool) {
        let line = match form {
            0 => format!("credential: {secret}"),
            1 => format!("credential: \"{secret}\""),
            2 => format!("credential: {{ as: service, secret: {secret} }}"),
            _ => format!("api_key: {secret}\n    credential: [{secret}, {secret}]"),
        };
        let mut text = BASE.replace("credential: env:AMBIT_SECRET_TICKETS", &line);
        if broken {
            text = text.replace("    actions:\n      read", "   actions: [\n      read");
        }
        let rejected = read("ambit.yaml", &text, Vec::new()).expect_err("it is refused");
        let shown = format!("{rejected}{rejected:?}");
        prop_assert!(!shown.contains(&secret), "{}", shown);
    }
}
