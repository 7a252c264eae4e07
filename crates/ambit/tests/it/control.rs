//! A running gate and its control socket: what it answers, to whom, and what it never does.

use crate::{ambit, code, run, stderr, stdout};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream, process::CommandExt as _},
    path::Path,
    process::{Child, Stdio},
};
use tempfile::TempDir;

const DECLARED: &str = "\
version: 1
humans: { people: { ana: { groups: [employees] } } }
agents:
  helpdesk:
    purpose: Resolve tickets
    owner: user:dana
    users: group:employees
    boundary: it
  unbound:
    purpose: Read tickets
    owner: user:dana
    boundary: it
    credentials: { proof: none }
intents:
  resolve: { params: { ticket: string, count: integer }, allow: { directory.reset: { user: $ticket } } }
upstreams:
  directory:
    http: http://127.0.0.1:1
    actions:
      reset: { route: 'POST /users/{user}/reset', effect: auth-change, risk: medium }
boundaries:
  it: { upstreams: [directory] }
";

/// A gate in a directory of its own; it ends with the test.
struct Gate {
    directory: TempDir,
    child: Child,
    base: String,
}

impl Gate {
    fn start(declared: &str) -> Gate {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("ambit.yaml"), declared).unwrap();
        let arguments = [
            "dev",
            "--listen",
            "127.0.0.1:0",
            "--api-listen",
            "127.0.0.1:0",
            "--ops-listen",
            "127.0.0.1:0",
            "--until-stdin-closes",
        ];
        let mut command = ambit(directory.path(), &arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let base = line.trim().strip_prefix("ready ").expect("the gate is ready").to_owned();
        let gate = Gate { directory, child, base };
        // The socket is bound beside the listeners: wait for the answer rather than for a time.
        while code(&gate.run(&["status", "-q"])) != 0 {}
        gate
    }

    fn run(&self, arguments: &[&str]) -> std::process::Output {
        run(self.path(), arguments)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["-o", "json"]].concat());
        assert_eq!(code(&output), 0, "{arguments:?}: {}", stderr(&output));
        serde_json::from_str(&stdout(&output)).unwrap()
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn socket(&self) -> std::path::PathBuf {
        self.path().join(".ambit/control.sock")
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

#[test]
fn agents_tasks_and_tokens() {
    let gate = Gate::start(DECLARED);
    let status = gate.json(&["status"]);
    assert_eq!(status["boundary"], "development");
    assert_eq!(status["base_url"], gate.base.as_str());
    let names: Vec<Value> = gate
        .json(&["agent", "list"])
        .as_array()
        .unwrap()
        .iter()
        .map(|agent| agent["name"].clone())
        .collect();
    assert_eq!(names, ["helpdesk", "unbound"]);
    assert_eq!(gate.json(&["agent", "show", "helpdesk"])["actions"][0]["name"], "directory.reset");

    let open = [
        "task",
        "open",
        "--agent",
        "helpdesk",
        "--intent",
        "resolve",
        "--for",
        "ana",
        "ticket=bob",
        "count=3",
    ];
    let task = gate.json(&open);
    assert_eq!(task["params"], json!({"ticket": "bob", "count": "3"}));
    for (wrong, says) in [
        (&["ticket=bob"][..], "needs `count=…`"),
        (&["ticket=bob", "count=x"], "another type"),
        (&["ticket=bob", "count=3", "more=1"], "no parameter `more`"),
    ] {
        let output = gate.run(&[&open[..8], wrong].concat());
        assert_eq!(
            (code(&output), stderr(&output).contains(says)),
            (2, true),
            "{}",
            stderr(&output)
        );
    }

    let door = format!("{}/http/directory", gate.base);
    let token = [
        "token",
        "--agent",
        "helpdesk",
        "--audience",
        &door,
        "--task",
        task["task"].as_str().unwrap(),
    ];
    let output = gate.run(&token);
    let lines: Vec<String> = stdout(&output).lines().map(str::to_owned).collect();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(
        lines[0].starts_with("Authorization: DPoP ey") && lines[1].starts_with("DPoP: ey"),
        "{lines:?}"
    );
    let output = gate.run(&["token", "--agent", "unbound", "--audience", &door, "--format", "env"]);
    assert!(stdout(&output).contains("AMBIT_TOKEN_TYPE=Bearer"), "{}", stderr(&output));
    let output =
        gate.run(&["token", "--agent", "unbound", "--audience", "http://127.0.0.1:1/mcp/other"]);
    assert_eq!(code(&output), 5, "a token for a door that is not there: {}", stdout(&output));

    let key = gate.json(&["agent", "key", "helpdesk", "--export", "jwk"]);
    assert_eq!((key["kty"].as_str(), key["d"].is_string()), (Some("OKP"), true));
}

#[test]
fn a_frozen_agent_gets_no_token_until_a_person_lets_it() {
    let gate = Gate::start(DECLARED);
    let door = format!("{}/http/directory", gate.base);
    let token = ["token", "--agent", "unbound", "--audience", &door];
    assert_eq!(code(&gate.run(&token)), 0);
    assert_eq!(gate.json(&["freeze", "unbound", "--reason", "looks odd"])["frozen"], true);
    assert_eq!(gate.json(&["agent", "show", "unbound"])["frozen"], true);
    assert_eq!(code(&gate.run(&token)), 5);
    gate.json(&["unfreeze", "unbound"]);
    assert_eq!(code(&gate.run(&token)), 0);
}

#[test]
fn apply_changes_nothing_unless_everything_holds() {
    let gate = Gate::start(DECLARED);
    let revision = |gate: &Gate| gate.json(&["status"])["control_revision"].clone();
    let before = revision(&gate);
    let file = gate.path().join("ambit.yaml");
    let case =
        "tests:\n  - { agent: unbound, do: directory.reset, args: { user: bob }, expect: deny }\n";
    fs::write(&file, format!("{DECLARED}{case}")).unwrap();
    let output = gate.run(&["apply"]);
    assert_eq!(code(&output), 7, "{}", stderr(&output));
    assert!(
        stderr(&output).contains("nothing was applied: 1 of 1 tests fail"),
        "{}",
        stderr(&output)
    );
    fs::write(&file, DECLARED.replace("upstreams: [directory]", "upstreams: [other]")).unwrap();
    assert_eq!(code(&gate.run(&["apply"])), 2);
    assert_eq!(revision(&gate), before);
    fs::write(&file, DECLARED.replace("Read tickets", "Read all tickets")).unwrap();
    assert_eq!(gate.json(&["apply"])["changed"], json!(["declared/ambit.yaml"]));
    assert_eq!(gate.json(&["agent", "show", "unbound"])["purpose"], "Read all tickets");
    assert_eq!(gate.json(&["apply"])["changed"], json!([]));
}

#[test]
fn no_request_approves() {
    let gate = Gate::start(DECLARED);
    for op in ["approve", "answer", "ask-answer"] {
        let mut stream = UnixStream::connect(gate.socket()).unwrap();
        writeln!(
            stream,
            "{}",
            json!({"op": op, "ask": "ask_00000000000000000000000000", "approved": true})
        )
        .unwrap();
        let mut reply = String::new();
        BufReader::new(stream).read_line(&mut reply).unwrap();
        assert!(reply.contains("not understood"), "{reply}");
    }
}

#[test]
fn only_its_own_user_is_answered() {
    let gate = Gate::start(DECLARED);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&gate.socket()), 0o600);
    assert_eq!(mode(&gate.path().join(".ambit")), 0o700);
    // With every mode bit given away, the peer's uid is what is left. Only root can become somebody else to try.
    if rustix::process::geteuid().is_root() {
        for path in [gate.path().to_owned(), gate.path().join(".ambit")] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::set_permissions(gate.socket(), fs::Permissions::from_mode(0o777)).unwrap();
        let output = ambit(gate.path(), &["agent", "key", "helpdesk", "--export", "jwk"])
            .uid(65_534)
            .output()
            .unwrap();
        assert_eq!((code(&output), stdout(&output)), (1, String::new()), "{}", stderr(&output));
        assert!(stderr(&output).contains("of another uid"), "{}", stderr(&output));
    }
    let output = gate.run(&["agent", "key", "helpdesk", "--export", "jwk"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
fn without_a_gate_a_command_takes_the_lock_itself() {
    let gate = Gate::start(DECLARED);
    let (path, open) = (
        gate.path().to_owned(),
        [
            "task",
            "open",
            "--agent",
            "helpdesk",
            "--intent",
            "resolve",
            "--for",
            "ana",
            "ticket=bob",
            "count=3",
        ],
    );
    // A second gate on the same directory does not start.
    let output = gate.run(&[
        "dev",
        "--listen",
        "127.0.0.1:0",
        "--ops-listen",
        "127.0.0.1:0",
        "--api-listen",
        "127.0.0.1:0",
    ]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    // The gate stops by itself when its stdin closes; its directory stays for the commands.
    let kept = keep(gate);
    assert_eq!(code(&run(&path, &["status", "-q"])), 1);
    let output = run(&path, &open);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(code(&run(&path, &["freeze", "helpdesk", "--reason", "x"])), 0);
    assert_eq!(code(&run(&path, &open)), 5, "a frozen agent gets no task");
    assert_eq!(code(&run(&path, &["ledger", "verify"])), 0);
    drop(kept);
}

/// Ends the gate and keeps its directory.
fn keep(mut gate: Gate) -> TempDir {
    drop(gate.child.stdin.take());
    gate.child.wait().unwrap();
    std::mem::replace(&mut gate.directory, tempfile::tempdir().unwrap())
}
