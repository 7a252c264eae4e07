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
    check(
        GOOD,
        &["validate"],
        0,
        &expect![[r#"
        ✓ ambit.yaml: 1 agent, 1 upstream, 2 actions, 1 policy file, 1 test
        --- stderr
        note: without `ambit.lock` the arguments of tickets.close, tickets.read are not type-checked
    "#]],
    );
    check(
        GOOD,
        &["validate", "-q", "-o", "json"],
        0,
        &expect![[r#"
        {
          "valid": true,
          "path": "ambit.yaml",
          "agents": 1,
          "upstreams": 1,
          "actions": 2,
          "policies": 1,
          "tests": 1,
          "unpinned": [
            "tickets.close",
            "tickets.read"
          ],
          "in_vault": []
        }
        --- stderr
    "#]],
    );
}

#[test]
fn mistakes_are_shown_with_their_place() {
    check(
        &GOOD.replace("boundary: it", "boundary: its"),
        &["validate"],
        2,
        &expect![[r#"
        --- stderr
          × there is no `its` under `boundaries`
            ╭─[ambit.yaml:11:15]
         10 │     users: group:employees
         11 │     boundary: its
            ·               ───
            ╰────
          help: did you mean `it`?

        1 problem
    "#]],
    );
    check(
        &GOOD.replace("purpose:", "purpse:"),
        &["validate"],
        2,
        &expect![[r#"
        --- stderr
          × `purpse` is not a key of an agent
           ╭─[ambit.yaml:8:5]
         7 │   helpdesk:
         8 │     purpse: Resolve tickets
           ·     ──────
           ╰────
          help: did you mean `purpose`?

        1 problem
    "#]],
    );
    check(
        &GOOD.replace("user:dana", "user:dana\n    mode: observe"),
        &["validate"],
        2,
        &expect![[r#"
            --- stderr
              × `mode: observe` needs an end
                ╭─[ambit.yaml:10:5]
              9 │     owner: user:dana
             10 │     mode: observe
                ·     ────
                ╰────
              help: add `observe_until: YYYY-MM-DD`, at most 30 days ahead

            1 problem
        "#]],
    );
    check(
        &GOOD.replace("version: 1", "version: 1\nversion: 1"),
        &["validate", "-o", "json"],
        2,
        &expect![[r#"
            [
              {
                "file": "ambit.yaml",
                "line": 2,
                "column": 1,
                "length": 7,
                "message": "`version` is here twice",
                "fix": "keep one of the two"
              }
            ]
            --- stderr
        "#]],
    );
}

#[test]
fn a_missing_secret_is_an_error_unless_it_is_not_looked_for() {
    let main = GOOD.replace("/mcp\n", "/mcp\n    credential: env:AMBIT_SECRET_NOT_THERE\n");
    check(
        &main,
        &["validate"],
        2,
        &expect![[r#"
        --- stderr
          × the credential of `tickets` is not available: the environment variable
          │ `AMBIT_SECRET_NOT_THERE` is missing
            ╭─[ambit.yaml:19:17]
         18 │     mcp: http://127.0.0.1:1/mcp
         19 │     credential: env:AMBIT_SECRET_NOT_THERE
            ·                 ──────────────────────────
            ╰────
          help: set `AMBIT_SECRET_NOT_THERE` in the environment of the gateway

        1 problem
    "#]],
    );
    check(
        &main,
        &["validate", "-q", "--without-secrets"],
        0,
        &expect![[r#"
        ✓ ambit.yaml: 1 agent, 1 upstream, 2 actions, 1 policy file, 1 test
        --- stderr
    "#]],
    );
}

#[test]
fn tests_pass_and_fail() {
    check(
        GOOD,
        &["test"],
        0,
        &expect![[r#"
        ✓ helpdesk for ana: tickets.read {"id":"1"} → allow
        --- stderr
        1 passed, 0 failed
    "#]],
    );
    check(
        &GOOD.replace("expect: allow", "expect: deny"),
        &["test"],
        7,
        &expect![[r#"
        ✕ ambit.yaml:27: helpdesk for ana: tickets.read {"id":"1"} → expected deny, got allow: the action is granted, and nothing forbids it
        --- stderr
        0 passed, 1 failed
    "#]],
    );
}

#[test]
fn check_says_what_would_be_and_why() {
    check(
        GOOD,
        &["check", "helpdesk", "tickets.read", "id=1", "--for", "ana"],
        0,
        &expect![[r#"
        ✓ allow: the action is granted, and nothing forbids it
        --- stderr
    "#]],
    );
    check(
        GOOD,
        &["check", "helpdesk", "tickets.read", "id=9", "--for", "ana"],
        5,
        &expect![[r#"
        ✕ deny forbidden: Ticket 9 is a trap
          policy no-ticket-9  policies/traps.cedar:1
            when context.args has id  is true
            when context.args.id == "9"  is true
              context.args.id = "9"
        --- stderr
    "#]],
    );
    check(
        GOOD,
        &["check", "helpdesk", "tickets.read", "id=1", "--for", "bob"],
        5,
        &expect![[r#"
        ✕ deny user_not_served: the agent does not serve this user
          policy guard.users  (generated)
            when principal has serves_group  is true
            unless context.user.groups.contains(principal.serves_group)  is false
              context.user.groups = []
              principal.serves_group = "employees"
        --- stderr
    "#]],
    );
    check(
        GOOD,
        &["check", "helpdesk", "mail.send", "--for", "ana"],
        5,
        &expect![[r#"
        ✕ deny not_in_catalog: `mail.send` is not in the catalog
        --- stderr
    "#]],
    );
    check(
        GOOD,
        &["check", "nobody", "tickets.read", "id=1"],
        2,
        &expect![[r#"
        --- stderr
        error: no agent `nobody`; known: helpdesk
    "#]],
    );
}

#[test]
fn check_keeps_to_the_intent() {
    let within = [
        "check",
        "helpdesk",
        "tickets.read",
        "id=2",
        "--for",
        "ana",
        "--intent",
        "resolve",
        "--param",
        "ticket=1",
    ];
    check(
        GOOD,
        &within,
        5,
        &expect![[r#"
        ✕ deny outside_intent: intent `resolve` wants argument `id` to be "1", and it is "2"
          policy guard.intent  (generated)
            unless context.intent_ok  is false
              context.intent_ok = false
        --- stderr
    "#]],
    );
}

#[test]
fn check_says_who_would_be_asked() {
    let named = GOOD
        .replace("boundary: it\n", "boundary: it\n    only: [tickets.close]\n")
        .replace("do: tickets.read", "do: tickets.close")
        .replace("expect: allow", "expect: ask");
    check(
        &named,
        &["check", "helpdesk", "tickets.close", "--for", "ana", "-o", "json"],
        6,
        &expect![[r#"
            {
              "decision": "ask",
              "code": "asked",
              "rules": [
                "leads"
              ],
              "sentence": "a high action needs a human's approval",
              "policies": [
                {
                  "id": "guard.high",
                  "path": "(generated)",
                  "line": 0,
                  "sentence": "a high action needs a human's approval",
                  "text": "forbid (principal, action in Action::\"risk:high\", resource)\nunless { context.approved };",
                  "conditions": [
                    {
                      "clause": "unless",
                      "condition": "context.approved",
                      "outcome": "false",
                      "values": {
                        "context.approved": "false"
                      }
                    }
                  ]
                }
              ]
            }
            --- stderr
        "#]],
    );
}

#[test]
fn wrong_command_lines_end_with_2() {
    for arguments in
        [&["frobnicate"][..], &["why"], &["token"], &["-o", "xml", "status"], &["freeze", "a"]]
    {
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
