//! Local MCP servers in the file: what is read, and what is refused with its place.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the functions that tests share are tests too"
)]

use declared::read;
use expect_test::expect;
use model::declared::{LocalServer, UpstreamKind};

const BASE: &str = include_str!("base.yaml");
const PLACE: &str =
    "    mcp: https://tickets.example/mcp\n    credential: env:AMBIT_SECRET_TICKETS\n";

fn with(lines: &[&str]) -> String {
    assert_eq!(BASE.matches(PLACE).count(), 1);
    let lines: String = lines.iter().map(|line| format!("    {line}\n")).collect();
    BASE.replace(PLACE, &lines)
}

#[test]
fn a_command_with_what_belongs_to_it() {
    let text = with(&[
        "stdio: [files-server, --root, \"/srv/a b\"]",
        "shared: true",
        "variables: { FILES_MODE: read-only }",
        "credential: { secret: env:AMBIT_SECRET_TICKETS, variable: FILES_KEY }",
    ]);
    let (declared, _) = read("ambit.yaml", &text, Vec::new()).unwrap();
    let upstream = declared.upstreams.values().find(|one| one.local.is_some()).unwrap();
    assert_eq!(upstream.kind, UpstreamKind::Mcp);
    assert_eq!(upstream.url, "stdio:/files-server/--root/%2Fsrv%2Fa%20b");
    let local = LocalServer {
        command: ["files-server", "--root", "/srv/a b"].map(str::to_owned).to_vec(),
        variables: [("FILES_MODE".to_owned(), "read-only".to_owned())].into(),
        credential_variable: Some("FILES_KEY".to_owned()),
        shared: true,
    };
    assert_eq!(upstream.local.as_ref(), Some(&local));
}

#[test]
fn what_is_refused() {
    let secret = "credential: { secret: env:AMBIT_SECRET_TICKETS, variable: KEY }";
    let cases: &[&[&str]] = &[
        &["stdio: []"],
        &["stdio: files-server"],
        &["stdio: [files-server]", "credential: env:AMBIT_SECRET_TICKETS"],
        &[
            "stdio: [files-server]",
            "credential: { secret: env:AMBIT_SECRET_TICKETS, variable: LD_PRELOAD }",
        ],
        &["stdio: [files-server]", "variables: { AMBIT_DATA: /srv }"],
        &["stdio: [files-server]", "variables: { FILES-MODE: x }"],
        &["stdio: [files-server]", "variables: { KEY: ghp_0123456789abcdef }"],
        &["stdio: [files-server]", "variables: { KEY: x }", secret],
        &["stdio: [files-server]", "shared: 1"],
        &["stdio: [files-server]", "mcp: https://tickets.example/mcp"],
        &["mcp: https://tickets.example/mcp", "shared: true"],
        &["mcp: https://tickets.example/mcp", secret],
    ];
    let mut told = String::new();
    for lines in cases {
        let rejected = read("ambit.yaml", &with(lines), Vec::new()).expect_err("it is refused");
        assert!(!rejected.to_string().contains("ghp_"), "{rejected}");
        for one in &rejected.diagnostics {
            told.push_str(&format!("{}:{} {} | {}\n", one.line, one.column, one.message, one.fix));
        }
    }
    expect![[r#"
        19:5 `stdio` is empty: it is a program and its arguments | write `stdio: [program, argument]`
        19:12 `stdio` is a list, and this is text | write it as `[a, b]`
        20:5 a local server gets its credential in a variable, and none is named | write `credential: { secret: env:AMBIT_SECRET_NAME, variable: API_KEY }`
        20:63 `LD_PRELOAD` is not a variable that a server may be given | name it with letters, digits and `_`; not `AMBIT_…`, `LD_…` or `DYLD_…`
        20:18 `AMBIT_DATA` is not a variable that a server may be given | name it with letters, digits and `_`; not `AMBIT_…`, `LD_…` or `DYLD_…`
        20:18 `FILES-MODE` is not a variable that a server may be given | name it with letters, digits and `_`; not `AMBIT_…`, `LD_…` or `DYLD_…`
        20:18 the value of `KEY` looks like a secret | give it by `credential: { secret: env:AMBIT_SECRET_NAME, variable: NAME }`
        19:5 `KEY` is given by `variables` and by `credential` | keep one of the two
        20:13 `shared` is `true` or `false` | write `true` or `false`
        19:5 an upstream is spoken to by `mcp` or by `stdio`, not both | keep one, or declare two upstreams
        20:5 `shared` belongs to a local server, and this upstream has a URL | remove it
        20:53 `variable` belongs to a local server, and this upstream has a URL | remove it: the credential goes into a header
    "#]].assert_eq(&told);
}
