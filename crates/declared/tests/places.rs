//! Problems as they are drawn, and places found again after reading.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the functions that tests share are tests too"
)]

use declared::{Rejected, SecretSource, SecretState, check_secrets, read, render};
use expect_test::{Expect, expect};
use model::{
    Effect,
    declared::{CredentialSource, PolicyFile},
};
use std::collections::BTreeMap;

const BASE: &str = include_str!("base.yaml");

fn rejected(from: &str, to: &str) -> Rejected {
    assert_eq!(BASE.matches(from).count(), 1, "`{from}` is in the base once");
    read("ambit.yaml", &BASE.replace(from, to), Vec::new()).expect_err("the file is refused")
}

/// `expect!` takes away what all lines are indented by; a first line at the margin keeps it.
fn flush(rendered: &str) -> String {
    format!("drawn:\n{rendered}")
}

#[track_caller]
fn drawn(from: &str, to: &str, expected: &Expect) {
    expected.assert_eq(&flush(&rejected(from, to).to_string()));
}

#[test]
fn a_misspelt_key() {
    drawn(
        "    purpose: Resolve",
        "    purpsoe: Resolve",
        &expect![[r#"
        drawn:
          × `purpsoe` is not a key of an agent
           ╭─[ambit.yaml:7:5]
         6 │   helpdesk:
         7 │     purpsoe: Resolve tickets
           ·     ───────
           ╰────
          help: did you mean `purpose`?

    "#]],
    );
}

#[test]
fn a_place_far_to_the_right() {
    drawn(
        "urgent: false }, expect: allow",
        "urgent: false }, expect: alow",
        &expect![[r#"
        drawn:
          × `alow` is not an expectation
            ╭─[ambit.yaml:42:135]
         41 │ 
         42 │ ", urgent: false }, expect: alow }
            ·                             ────
            ╰────
          help: did you mean `allow`? there are `allow`, `deny`, `ask`

    "#]],
    );
}

#[test]
fn a_secret_is_blotted_out() {
    drawn(
        "env:AMBIT_SECRET_TICKETS",
        "hunter2-hunter2",
        &expect![[r#"
            drawn:
              × a credential is a reference, never the secret itself
                ╭─[ambit.yaml:20:17]
             19 │     mcp: https://tickets.example/mcp
             20 │     credential: ***************
                ·                 ───────────────
                ╰────
              help: put the secret into the vault with `ambit secret set NAME` and write `secret:NAME`, into a
                    file below the secrets directory and write `file:NAME`, or into a variable and write
                    `env:AMBIT_SECRET_NAME`

        "#]],
    );
}

#[test]
fn wide_characters_before_the_caret() {
    drawn(
        "    ana: { groups: [employees] }",
        "    ana: { \"größe漢\": 1, groups: [Employees] }",
        &expect![[r#"
            drawn:
              × `größe漢` is not a key of a person
               ╭─[ambit.yaml:4:12]
             3 │   people:
             4 │     ana: { "größe漢": 1, groups: [Employees] }
               ·            ─────────
               ╰────
              help: remove it; a person has `groups`

              × `Employees` contains `E`
               ╭─[ambit.yaml:4:34]
             3 │   people:
             4 │     ana: { "größe漢": 1, groups: [Employees] }
               ·                                   ─────────
               ╰────
              help: use lower-case letters, digits, `-` and `_`, beginning with a letter or digit

        "#]],
    );
}

#[test]
fn several_problems_in_the_order_of_lines() {
    let text = BASE.replace("risk: low", "risk: lo").replace("owner: group:", "owner: grp:");
    let rejected = read("ambit.yaml", &text, Vec::new()).expect_err("the file is refused");
    let lines: Vec<_> = rejected.diagnostics.iter().map(|d| (d.line, d.column)).collect();
    assert_eq!(lines, [(8, 12), (22, 35), (36, 61)]);
}

#[test]
fn colour_only_if_asked_for() {
    let rejected = rejected("version: 1", "version: 2");
    let draw = |colour| render(&rejected.diagnostics, &rejected.sources, colour);
    assert!(!draw(false).contains('\u{1b}'));
    assert!(draw(true).contains('\u{1b}'));
}

#[test]
fn places_of_later_checks() {
    let policy = PolicyFile {
        path: "policies/a.cedar".into(),
        text: "permit (principal,\n  action == Action::\"x.y\", resource);\n".into(),
    };
    let (declared, sources) = read("ambit.yaml", BASE, vec![policy]).expect("accepted");
    let line = declared.upstreams.values().next().expect("an upstream").actions["look"].line;
    let problems = [
        sources.in_declared(line, "no such operation at the upstream".into(), "remove it".into()),
        sources.in_policy(
            "policies/a.cedar",
            (2, 13, 13),
            "no such action".into(),
            "name one of the catalog".into(),
        ),
    ];
    expect![[r#"
        drawn:
          × no such operation at the upstream
            ╭─[ambit.yaml:36:7]
         35 │         show: [user]
         36 │       look: { route: "GET /users/{id}", effect: read, risk: low }
            ·       ────
            ╰────
          help: remove it

          × no such action
           ╭─[policies/a.cedar:2:13]
         1 │ permit (principal,
         2 │   action == Action::"x.y", resource);
           ·             ─────────────
           ╰────
          help: name one of the catalog

    "#]]
    .assert_eq(&flush(&render(&problems, &sources, false)));
}

struct Secrets(BTreeMap<&'static str, SecretState>);

impl SecretSource for Secrets {
    fn state(&self, source: &CredentialSource) -> SecretState {
        let name = match source {
            CredentialSource::Env(name) | CredentialSource::File(name) => name.as_str(),
            CredentialSource::Secret(name) | CredentialSource::SecretOfUser(name) => name.as_str(),
        };
        self.0.get(name).cloned().unwrap_or(SecretState::Missing)
    }
}

#[test]
fn missing_and_empty_secrets() {
    let (declared, sources) = read("ambit.yaml", BASE, Vec::new()).expect("accepted");
    let check = |tickets: SecretState, directory: SecretState| {
        let secrets =
            BTreeMap::from([("AMBIT_SECRET_TICKETS", tickets), ("directory/token", directory)]);
        check_secrets(&declared, &sources, &Secrets(secrets))
    };
    assert_eq!(check(SecretState::Present, SecretState::Present), []);
    let problems = check(SecretState::Empty, SecretState::Missing);
    expect![[r#"
        drawn:
          × the credential of `directory` is not available: the file `directory/token` is missing
            ╭─[ambit.yaml:27:40]
         26 │     http: https://directory.example/api
         27 │     credential: { as: service, secret: file:directory/token }
            ·                                        ────────────────────
            ╰────
          help: put the secret into `directory/token` below the secrets directory

          × the credential of `tickets` is not available: the environment variable `AMBIT_SECRET_TICKETS`
          │ is empty
            ╭─[ambit.yaml:20:17]
         19 │     mcp: https://tickets.example/mcp
         20 │     credential: env:AMBIT_SECRET_TICKETS
            ·                 ────────────────────────
            ╰────
          help: set `AMBIT_SECRET_TICKETS` in the environment of the gateway

    "#]].assert_eq(&flush(&render(&problems, &sources, false)));
    let unreadable = SecretState::Unreadable("it is a symbolic link out of the directory".into());
    assert_eq!(check(SecretState::Present, unreadable).len(), 1);
}

#[test]
fn a_secret_of_the_vault() {
    let base = BASE.replace("env:AMBIT_SECRET_TICKETS", "secret:tickets");
    let (declared, sources) = read("ambit.yaml", &base, Vec::new()).expect("accepted");
    let check = |tickets: SecretState| {
        let secrets =
            BTreeMap::from([("tickets", tickets), ("directory/token", SecretState::Present)]);
        check_secrets(&declared, &sources, &Secrets(secrets))
    };
    assert_eq!(check(SecretState::Present), []);
    assert_eq!(check(SecretState::Unknown), [], "who cannot look does not say that it is missing");
    let problems = check(SecretState::Missing);
    expect![[r#"
        drawn:
          × the credential of `tickets` is not available: the secret `tickets` of the vault is missing
            ╭─[ambit.yaml:20:17]
         19 │     mcp: https://tickets.example/mcp
         20 │     credential: secret:tickets
            ·                 ──────────────
            ╰────
          help: run `ambit secret set tickets` with the secret on standard input

    "#]]
    .assert_eq(&flush(&render(&problems, &sources, false)));
}

#[test]
fn what_the_base_says() {
    let (declared, _) = read("ambit.yaml", BASE, Vec::new()).expect("accepted");
    let (tickets, directory) = {
        let mut upstreams = declared.upstreams.values();
        let directory = upstreams.next().expect("directory");
        (upstreams.next().expect("tickets"), directory)
    };
    assert!(tickets.actions["read"].complete);
    assert_eq!(tickets.actions["update"].effect, Effect::Write);
    assert!(!tickets.actions["update"].complete, "an effect that was not stated");
    assert_eq!(directory.credential, Some(CredentialSource::File("directory/token".into())));
    assert_eq!(declared.tests[0].args, br#"{"id":"1"}"#);
    let intent = declared.tests[0].intent.as_ref().expect("an intent");
    assert_eq!(intent.1, br#"{"ticket":"1","urgent":false}"#);
}

#[test]
fn what_the_base_says_of_who_may_act() {
    let (declared, _) = read("ambit.yaml", BASE, Vec::new()).expect("accepted");
    expect![[r#"
        {
            `helpdesk`: Agent {
                purpose: "Resolve tickets",
                owner: Group(
                    `it-support`,
                ),
                boundary: `it`,
                only: Some(
                    [
                        Exact(
                            `tickets.read`,
                        ),
                        Exact(
                            `directory.reset`,
                        ),
                    ],
                ),
                users: Some(
                    Group(
                        `employees`,
                    ),
                ),
                may_act: [],
                credentials: Credentials {
                    proof: Dpop,
                    keys: Some(
                        "keys/helpdesk.jwks",
                    ),
                    ttl: Duration(
                        900000000,
                    ),
                    max_age: None,
                    spiffe_id: None,
                    federated: [],
                    networks: [],
                },
                observe_until: None,
                governance: Governance {
                    sponsor: None,
                    environment: None,
                    manifest: None,
                    parts: None,
                    review: None,
                },
                line: 6,
            },
        }
    "#]]
    .assert_debug_eq(&declared.agents);
}

#[test]
fn what_the_base_says_of_bounds() {
    let (declared, _) = read("ambit.yaml", BASE, Vec::new()).expect("accepted");
    expect![[r#"
        (
            {
                `it`: Boundary {
                    upstreams: {
                        `directory`,
                        `tickets`,
                    },
                    deny_data: {
                        "hr.pay",
                    },
                    calls: Some(
                        CallLimit {
                            max: 300,
                            window: Duration(
                                3600000000,
                            ),
                        },
                    ),
                    line: 38,
                },
            },
            {
                `leads`: ApprovalRule {
                    approvers: Party(
                        Group(
                            `leads`,
                        ),
                    ),
                    required: 2,
                    exclude: {
                        Requester,
                    },
                    proof: Passkey,
                    answer_within: Duration(
                        300000000,
                    ),
                    use_within: Duration(
                        120000000,
                    ),
                },
            },
        )
    "#]]
    .assert_debug_eq(&(declared.boundaries, declared.approvals));
}

#[test]
#[expect(clippy::too_many_lines, reason = "one value, printed whole")]
fn defaults() {
    let text = "version: 1\n\
        agents: { a: { purpose: p, owner: 'user:ana', boundary: b } }\n\
        upstreams: { u: { mcp: 'http://127.0.0.1:9/mcp', actions: { '*': { risk: low } } } }\n\
        boundaries: { b: { upstreams: [u] } }\n\
        approvals: { r: { approvers: requester } }\n";
    let (declared, _) = read("ambit.yaml", text, Vec::new()).unwrap_or_else(|r| panic!("{r}"));
    expect![[r#"
        (
            {
                `a`: Agent {
                    purpose: "p",
                    owner: User(
                        `ana`,
                    ),
                    boundary: `b`,
                    only: None,
                    users: None,
                    may_act: [],
                    credentials: Credentials {
                        proof: Dpop,
                        keys: None,
                        ttl: Duration(
                            900000000,
                        ),
                        max_age: None,
                        spiffe_id: None,
                        federated: [],
                        networks: [],
                    },
                    observe_until: None,
                    governance: Governance {
                        sponsor: None,
                        environment: None,
                        manifest: None,
                        parts: None,
                        review: None,
                    },
                    line: 2,
                },
            },
            {
                `u`: Upstream {
                    kind: Mcp,
                    url: "http://127.0.0.1:9/mcp",
                    local: None,
                    credential: None,
                    environment: None,
                    actions: {},
                    default_action: Some(
                        Action {
                            effect: Write,
                            sink: None,
                            risk: Low,
                            data: {},
                            resource: None,
                            route: None,
                            returns: [],
                            approval: None,
                            show: [],
                            before: [],
                            after: [],
                            complete: false,
                            line: 3,
                        },
                    ),
                    line: 3,
                },
            },
            {
                `r`: ApprovalRule {
                    approvers: Requester,
                    required: 1,
                    exclude: {},
                    proof: Passkey,
                    answer_within: Duration(
                        600000000,
                    ),
                    use_within: Duration(
                        600000000,
                    ),
                },
            },
        )
    "#]]
    .assert_debug_eq(&(declared.agents, declared.upstreams, declared.approvals));
}
