//! The demo tells the truth: it ends with 0 as told, and with 1 when any one guard is off.

use crate::{code, run, stderr, stdout};

/// The acts that did not come out as told, from the demo's last lines.
fn differing(output: &std::process::Output) -> Vec<String> {
    let text = stdout(output);
    let line = text.lines().find_map(|line| line.strip_prefix("Not as told: act "));
    line.map(|line| line.trim_end_matches('.').split(", ").map(str::to_owned).collect())
        .unwrap_or_default()
}

fn check(guard_off: Option<&str>, expected: i32, act: Option<&str>) {
    let directory = tempfile::tempdir().unwrap();
    let mut arguments = vec!["demo", "--exit"];
    arguments.extend(guard_off.iter().flat_map(|guard| ["--guard-off", guard]));
    let output = run(directory.path(), &arguments);
    let told = format!("{}\n{}", stdout(&output), stderr(&output));
    assert_eq!(code(&output), expected, "{told}");
    if let Some(act) = act {
        assert!(differing(&output).iter().any(|differs| differs == act), "{told}");
    }
}

#[test]
fn the_story_comes_out_as_told() {
    check(None, 0, None);
}

#[test]
fn without_the_intent_the_mail_leaves() {
    check(Some("intent"), 1, Some("3"));
}

#[test]
fn without_the_boundary_the_paste_leaves() {
    check(Some("boundary"), 1, Some("3"));
}

#[test]
fn without_the_proof_the_replay_succeeds() {
    check(Some("proof"), 1, Some("5"));
}

#[test]
fn without_the_freeze_the_next_call_is_served() {
    check(Some("freeze"), 1, Some("6"));
}

#[test]
fn without_verification_the_edit_is_not_found() {
    check(Some("ledger"), 1, Some("8"));
}
