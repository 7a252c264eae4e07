//! Commands on files alone: what is said, where, and with which code.

use crate::{code, run, stderr, stdout};
use expect_test::{Expect, expect};
use std::fs;

const GOOD: &str = "\
version: 1
humans:
  people:
    ana: { groups: [employees] }
    bob: { groups: [] }
agents:
  helpdesk:
    purpose: Resolve tickets
    owner: user:dana
    users: group:employees
    boundary: it
intents:
  resolve:
    params: { ticket: string }
    allow: { tickets.read: { id: $ticket } }
upstreams:
  tickets:
    mcp: http://127.0.0.1:1/mcp
    actions:
      read: { effect: read, risk: low }
      close: { effect: write, risk: high, approval: leads }
boundaries:
  it: { upstreams: [tickets] }
approvals:
  leads: { approvers: group:leads, required: 1, proof: passkey, answer_within: 10m }
tests:
  - { agent: helpdesk, for: ana, do: tickets.read, args: { id: \"1\" }, expect: allow }
";

const POLICY: &str = "\
@id(\"no-ticket-9\")
@reason(\"Ticket 9 is a trap\")
forbid (principal, action == Action::\"tickets.read\", resource)
when { context.args has id && context.args.id == \"9\" };
";

/// Runs the binary beside `ambit.yaml` and a policy, and compares code, stdout and stderr.
fn check(main: &str, arguments: &[&str], expected_code: i32, expected: &Expect) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("ambit.yaml"), main).unwrap();
    fs::create_dir(directory.path().join("policies")).unwrap();
    fs::write(directory.path().join("policies/traps.cedar"), POLICY).unwrap();
    let output = run(directory.path(), arguments);
    let seen = format!("{}--- stderr\n{}", stdout(&output), stderr(&output));
    expected.assert_eq(&seen);
    assert_eq!(code(&output), expected_code, "{arguments:?}");
}

#[test]
fn a_valid_file_is_counted() {
    check(GOOD, &["validate"], 0, &expect![[""]]);
    check(GOOD, &["validate", "-q", "-o", "json"], 0, &expect![[""]]);
}

#[test]
fn mistakes_are_shown_with_their_place() {
    check(&GOOD.replace("boundary: it", "boundary: its"), &["validate"], 2, &expect![[""]]);
    check(&GOOD.replace("purpose:", "purpse:"), &["validate"], 2, &expect![[""]]);
    check(&GOOD.replace("user:dana", "user:dana\n    mode: observe"), &["validate"], 2, &expect![[""]]);
    check(&GOOD.replace("version: 1", "version: 1\nversion: 1"), &["validate", "-o", "json"], 2, &expect![[""]]);
}

#[test]
fn a_missing_secret_is_an_error_unless_it_is_not_looked_for() {
    let main = GOOD.replace("/mcp\n", "/mcp\n    credential: env:AMBIT_SECRET_NOT_THERE\n");
    check(&main, &["validate"], 2, &expect![[""]]);
    check(&main, &["validate", "-q", "--without-secrets"], 0, &expect![[""]]);
}

#[test]
fn tests_pass_and_fail() {
    check(GOOD, &["test"], 0, &expect![[""]]);
    check(&GOOD.replace("expect: allow", "expect: deny"), &["test"], 7, &expect![[""]]);
}

#[test]
fn check_says_what_would_be_and_why() {
    check(GOOD, &["check", "helpdesk", "tickets.read", "id=1", "--for", "ana"], 0, &expect![[""]]);
    check(GOOD, &["check", "helpdesk", "tickets.read", "id=9", "--for", "ana"], 5, &expect![[""]]);
    check(GOOD, &["check", "helpdesk", "tickets.read", "id=1", "--for", "bob"], 5, &expect![[""]]);
    check(GOOD, &["check", "helpdesk", "mail.send", "--for", "ana"], 5, &expect![[""]]);
    let within = ["check", "helpdesk", "tickets.read", "id=2", "--for", "ana", "--intent", "resolve", "--param", "ticket=1"];
    check(GOOD, &within, 5, &expect![[""]]);
    let named = GOOD.replace("boundary: it\n", "boundary: it\n    only: [tickets.close]\n").replace("do: tickets.read", "do: tickets.close").replace("expect: allow", "expect: ask");
    check(&named, &["check", "helpdesk", "tickets.close", "--for", "ana", "-o", "json"], 6, &expect![[""]]);
}

#[test]
fn wrong_command_lines_end_with_2() {
    for arguments in [&["frobnicate"][..], &["why"], &["token"], &["-o", "xml", "status"], &["freeze", "a"]] {
        let output = run(std::env::temp_dir().as_path(), arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}

#[test]
fn no_colour_reaches_a_pipe() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("ambit.yaml"), "version: 2\n").unwrap();
    let output = run(directory.path(), &["validate"]);
    assert!(!stderr(&output).contains('\u{1b}'));
    assert_eq!(code(&output), 2);
}
