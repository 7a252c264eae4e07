//! The agent's side of the gate: `ambit bridge` on standard streams and as a local door, and `ambit run`. Tokens end,
//! the gate is restarted, calls are refused, and each message of a client still gets an answer.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    time::{Duration, Instant},
};
use testkit::{
    oracle::Oracle,
    peer::{self, ClientEra, Credential, Peer},
    process::{Ambit, Home, StandIn, built, text_of},
};

const PATIENCE: Duration = Duration::from_secs(30);
/// What a client is promised while the gate is away, and what a busy machine adds.
const AWAY: Duration = Duration::from_millis(2_500);

/// A gate with a local MCP server and an HTTP API behind it.
struct Stage {
    home: Home,
    ambit: Option<Ambit>,
    server: Oracle,
    api: StandIn,
    logs: tempfile::TempDir,
}

impl Stage {
    fn set(ttl: &str) -> Result<Stage> {
        let logs = tempfile::tempdir()?;
        let api = StandIn::http(logs.path(), "api")?;
        let path = logs.path().join("server.log");
        let config = format!(
            "version: 1\nhumans: {{ people: {{ dana: {{ groups: [it] }} }} }}\nagents:\n  clerk:\n    purpose: Use tools\n    \
             owner: group:it\n    boundary: all\n    credentials: {{ ttl: {ttl} }}\n\
             intents:\n  quote:\n    params: {{ text: string }}\n    allow: {{ local.echo: {{ text: $text }}, api.look: {{}} }}\n\
             upstreams:\n  local:\n    stdio: [\"{}\", --log, \"{}\"]\n    actions:\n      \
             echo: {{ effect: write, risk: low }}\n      hang: {{ effect: read, risk: low }}\n      \
             \"*\": {{ risk: prohibited }}\n  \
             api:\n    http: http://{}\n    actions:\n      look: {{ route: GET /fast, effect: read, risk: low }}\n      \
             pay: {{ route: POST /transfers, effect: transfer, risk: prohibited }}\n\
             boundaries:\n  all: {{ upstreams: [local, api] }}\n",
            built("stdio-upstream")?.display(),
            path.display(),
            api.address,
        );
        let home = Home::new(&config)?;
        let ambit = Some(home.start()?);
        Ok(Stage { home, ambit, server: Oracle::new(path), api, logs })
    }

    /// Ends the gate as a power cut would.
    fn cut(&mut self) -> Result<()> {
        self.ambit.take().context("no gate runs")?.running.kill()
    }

    fn start(&mut self) -> Result<()> {
        self.ambit = Some(self.home.start()?);
        Ok(())
    }

    fn ambit(&self, what: &[&str]) -> Result<Command> {
        let mut command = Command::new(built("ambit")?);
        command.args(what).current_dir(self.home.path()).env("AMBIT_DATA", self.home.data());
        Ok(command)
    }

    /// How many tokens were issued; read from the stopped gate's ledger.
    fn tokens(&self) -> Result<usize> {
        let records = self.home.records()?;
        Ok(records.iter().filter(|entry| entry.text("audience").contains("/mcp/local")).count())
    }
}

/// A client that started the bridge as its MCP server.
struct Client {
    child: Child,
    input: ChildStdin,
    lines: Receiver<Value>,
    aside: VecDeque<Value>,
    said: PathBuf,
    last: u64,
}

impl Client {
    fn start(stage: &Stage, more: &[&str]) -> Result<Client> {
        let said = stage.logs.path().join("bridge.err");
        let mut command = stage.ambit(&["bridge", "--agent", "clerk", "--upstream", "local"])?;
        command.args(more).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(std::fs::File::create(&said)?);
        let mut child = command.spawn()?;
        let input = child.stdin.take().context("no input")?;
        let output = child.stdout.take().context("no output")?;
        let (sender, lines) = sync_channel(64);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let message = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Ok(Client { child, input, lines, aside: VecDeque::new(), said, last: 0 })
    }

    fn greet(&mut self) -> Result<Value> {
        let client = json!({ "name": "client", "version": "1" });
        let answer = self.ask(
            "initialize",
            json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client }),
        )?;
        self.tell("notifications/initialized", json!({}))?;
        Ok(answer)
    }

    fn tell(&mut self, method: &str, params: Value) -> Result<()> {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        Ok(writeln!(self.input, "{message}")?)
    }

    fn send(&mut self, method: &str, params: Value) -> Result<u64> {
        self.last += 1;
        let message =
            json!({ "jsonrpc": "2.0", "id": self.last, "method": method, "params": params });
        writeln!(self.input, "{message}")?;
        Ok(self.last)
    }

    fn ask(&mut self, method: &str, params: Value) -> Result<Value> {
        let id = self.send(method, params)?;
        loop {
            let message = self.lines.recv_timeout(PATIENCE).context("no answer")?;
            if message.get("id") == Some(&json!(id)) {
                return Ok(message);
            }
            self.aside.push_back(message);
        }
    }

    /// The result of a tool call: whether it is an error, and its text.
    fn call(&mut self, tool: &str, text: &str) -> Result<(bool, String)> {
        let answer =
            self.ask("tools/call", json!({ "name": tool, "arguments": { "text": text } }))?;
        let result = answer.get("result").with_context(|| format!("no result: {answer}"))?;
        let text = result.pointer("/content/0/text").and_then(Value::as_str).unwrap_or_default();
        let is_error = result.get("isError").and_then(Value::as_bool).unwrap_or(false);
        Ok((is_error, text.to_owned()))
    }

    fn waits_for(&mut self, method: &str) -> Result<()> {
        let is = |message: &Value| message.get("method").and_then(Value::as_str) == Some(method);
        while !self.aside.iter().any(is) {
            self.aside.push_back(self.lines.recv_timeout(PATIENCE).context("nothing was said")?);
        }
        Ok(())
    }

    /// Ends as clients do; gives what it said on stderr.
    fn end(mut self) -> Result<String> {
        drop(self.input);
        let end = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < end, "the bridge does not end with its input");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(text_of(&self.said))
    }
}

#[test]
fn a_client_on_standard_streams_is_told_in_results_whatever_happens() -> Result<()> {
    let mut stage = Stage::set("15m")?;
    let key = stage.home.done(&["agent", "key", "clerk", "--export", "jwk"])?;
    let key: Value = serde_json::from_str(&key)?;
    let private = key.get("d").and_then(Value::as_str).context("no key")?.to_owned();

    let mut client = Client::start(&stage, &[])?;
    let greeted = client.greet()?;
    assert_eq!(greeted.pointer("/result/protocolVersion"), Some(&json!("2025-11-25")));
    assert_eq!(client.call("echo", "one")?, (false, "one".into()));
    let (denied, text) = client.call("crash", "")?;
    assert!(denied, "{text}");
    assert_eq!(stage.server.calls("echo"), [json!({ "text": "one" })]);
    assert!(stage.server.calls("crash").is_empty(), "what is denied does not arrive");

    stage.cut()?;
    for _ in 0..2 {
        let asked = Instant::now();
        let (failed, text) = client.call("echo", "lost")?;
        assert!(failed && text.contains("Nothing was executed; try again in"), "{text}");
        assert!(asked.elapsed() < AWAY, "answered after {:?}", asked.elapsed());
    }
    assert!(client.ask("ping", json!({}))?.get("result").is_some());
    assert!(client.ask("tools/list", json!({}))?.get("result").is_some());
    stage.start()?;
    client.waits_for("notifications/tools/list_changed")?;
    assert_eq!(
        client.call("echo", "two")?,
        (false, "two".into()),
        "in the same session of the client"
    );
    let echoed = stage.server.calls("echo");
    assert_eq!(echoed, [json!({ "text": "one" }), json!({ "text": "two" })], "nothing was queued");

    let said = client.end()?;
    assert!(said.contains("deny crash: ") && said.contains("ambit why"), "{said}");
    assert!(said.contains("not executed echo: ") && said.contains("the gateway is back"), "{said}");
    assert!(said.lines().count() <= 6, "one line for each refusal: {said}");
    assert!(!said.contains(&private), "{said}");
    Ok(())
}

#[test]
fn a_client_may_begin_before_the_gate_and_its_tokens_are_renewed() -> Result<()> {
    let mut stage = Stage::set("4s")?;
    stage.cut()?;
    let mut client = Client::start(&stage, &[])?;
    assert!(client.greet()?.get("result").is_some(), "greeted without a gate");
    assert!(client.call("echo", "early")?.0);
    stage.start()?;
    client.waits_for("notifications/tools/list_changed")?;
    let before = Instant::now();
    let mut calls = 0;
    while before.elapsed() < Duration::from_secs(10) {
        assert_eq!(client.call("echo", "on")?, (false, "on".into()));
        calls += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(stage.server.calls("echo").len(), calls, "each once, and none of before");
    client.end()?;
    stage.ambit.take().context("no gate")?.stop()?;
    let tokens = stage.tokens()?;
    assert!((3..=8).contains(&tokens), "{tokens} tokens of four seconds in ten");
    Ok(())
}

#[test]
fn a_call_that_its_client_cancels_is_cancelled_at_the_server() -> Result<()> {
    let stage = Stage::set("15m")?;
    let mut client = Client::start(&stage, &[])?;
    client.greet()?;
    let id = client.send("tools/call", json!({ "name": "hang", "arguments": {} }))?;
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        let end = Instant::now() + PATIENCE;
        while !holds() {
            ensure!(Instant::now() < end, "never: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    };
    until("the call arrives", &|| stage.server.calls("hang").len() == 1)?;
    client.tell("notifications/cancelled", json!({ "requestId": id }))?;
    until("its cancellation arrives", &|| stage.server.text().contains("notifications/cancelled"))?;
    assert_eq!(client.call("echo", "after")?, (false, "after".into()));
    Ok(())
}

/// A bridge with a local door.
struct Door {
    child: Child,
    base: String,
}

impl Door {
    fn open(stage: &Stage) -> Result<Door> {
        let mut command =
            stage.ambit(&["bridge", "--agent", "clerk", "--listen", "127.0.0.1:0"])?;
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let base = line.trim().strip_prefix("ready ").context("it is not ready")?.to_owned();
        Ok(Door { child, base })
    }

    fn origin(&self) -> &str {
        self.base.rsplit_once('/').map_or("", |(origin, _)| origin)
    }

    fn secret(&self) -> &str {
        self.base.rsplit_once('/').map_or("", |(_, secret)| secret)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn status(request: reqwest::RequestBuilder) -> Result<u16> {
    Ok(request.send().await?.status().as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_door_opens_for_its_secret_alone() -> Result<()> {
    let stage = Stage::set("15m")?;
    let door = Door::open(&stage)?;
    let http = reqwest::Client::new();
    let fast = format!("{}/http/api/fast", door.base);
    assert_eq!(status(http.get(&fast)).await?, 200);
    let pay = http.post(format!("{}/http/api/transfers", door.base)).body("{}");
    assert_ne!(status(pay.header("content-type", "application/json")).await?, 201);
    let plain = format!("{}/http/api/fast", door.origin());
    assert_eq!(status(http.get(&plain).header("ambit-door", door.secret())).await?, 200);
    assert_eq!(door.secret().len(), 32, "128 bits");

    let reached = stage.api.oracle.of("request").len();
    let other = "0".repeat(32);
    assert_eq!(status(http.get(&plain)).await?, 404);
    assert_eq!(status(http.get(&plain).header("ambit-door", &other)).await?, 404);
    assert_eq!(status(http.get(format!("{}/{other}/http/api/fast", door.origin()))).await?, 404);
    assert_eq!(status(http.get(&fast).header("origin", "http://evil.example")).await?, 403);
    assert_eq!(status(http.get(&fast).header("host", "evil.example")).await?, 403);
    assert_eq!(status(http.get(format!("{}/oauth/jwks", door.base))).await?, 404, "doors only");
    assert_eq!(stage.api.oracle.of("request").len(), reached, "none of these arrived");
    let seen = stage.api.oracle.text();
    assert!(!seen.contains(door.secret()) && !seen.to_lowercase().contains("dpop"), "{seen}");
    assert!(!stage.api.oracle.calls("pay").iter().any(|_| true));
    assert!(!seen.contains("/transfers"), "what is prohibited does not arrive");

    let mut public = stage.ambit(&["bridge", "--agent", "clerk", "--listen", "0.0.0.0:0"])?;
    assert!(!public.output()?.status.success(), "loopback only");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_clients_at_a_local_door_outlive_a_restart_of_the_gate() -> Result<()> {
    let mut stage = Stage::set("15m")?;
    let door = Door::open(&stage)?;
    let url = format!("{}/mcp/local", door.base);
    let legacy = Peer::connect(&url, ClientEra::Legacy, Credential::None).await?;
    let modern = Peer::connect(&url, ClientEra::Modern, Credential::None).await?;
    let call = async |peer: &Peer, text: &str| -> Result<(bool, String)> {
        let result = peer.call("echo", json!({ "text": text })).await?;
        Ok((result.is_error == Some(true), peer::text(&result)))
    };
    assert_eq!(call(&legacy, "a").await?, (false, "a".into()));
    assert_eq!(call(&modern, "b").await?, (false, "b".into()));
    stage.cut()?;
    for peer in [&legacy, &modern] {
        let asked = Instant::now();
        let (failed, text) = call(peer, "lost").await?;
        assert!(failed && text.contains("Nothing was executed"), "{text}");
        assert!(asked.elapsed() < AWAY, "answered after {:?}", asked.elapsed());
    }
    let away = reqwest::get(format!("{}/http/api/fast", door.base)).await?;
    assert_eq!(away.status().as_u16(), 503);
    assert!(away.headers().contains_key("retry-after"));
    stage.start()?;
    assert_eq!(call(&legacy, "c").await?, (false, "c".into()));
    assert_eq!(call(&modern, "d").await?, (false, "d".into()));
    assert_eq!(stage.server.calls("echo").len(), 4);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_named_by_a_call_narrows_it() -> Result<()> {
    let stage = Stage::set("15m")?;
    let door = Door::open(&stage)?;
    let open = |text: &str| -> Result<String> {
        let task = stage.home.json(&[
            "task",
            "open",
            "--agent",
            "clerk",
            "--intent",
            "quote",
            "--trigger",
            "t",
            &format!("text={text}"),
        ])?;
        let id = task.get("task").or_else(|| task.get("id")).and_then(Value::as_str);
        id.map(str::to_owned).with_context(|| format!("no task: {task}"))
    };
    let (first, second) = (open("first")?, open("second")?);
    let http = reqwest::Client::new();
    let call =
        async |text: &str, header: Option<&str>, meta: Option<&str>| -> Result<(bool, String)> {
            let mut members = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            });
            if let (Some(task), Some(members)) = (meta, members.as_object_mut()) {
                members.insert("dev.ambit/task".into(), task.into());
            }
            let params = json!({ "name": "echo", "arguments": { "text": text }, "_meta": members });
            let body =
                json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
            let mut request = http.post(format!("{}/mcp/local", door.base));
            if let Some(task) = header {
                request = request.header("ambit-task", task);
            }
            let answer: Value = request.json(&body).send().await?.json().await?;
            let result = answer.get("result").with_context(|| format!("{answer}"))?;
            let done = !result.get("isError").and_then(Value::as_bool).unwrap_or(false);
            Ok((done, result.to_string()))
        };
    for (text, header, meta, expected) in [
        ("first", Some(first.as_str()), None, true),
        // Two tasks at once through one door.
        ("second", None, Some(second.as_str()), true),
        // A task binds its arguments.
        ("second", Some(first.as_str()), None, false),
        ("first", None, Some(second.as_str()), false),
        // No task is not any task.
        ("first", Some("tsk_nonsense"), None, false),
    ] {
        let (done, told) = call(text, header, meta).await?;
        assert_eq!(done, expected, "{text} {header:?} {meta:?}: {told}");
    }
    let reached = stage.server.calls("echo");
    assert_eq!(reached, [json!({ "text": "first" }), json!({ "text": "second" })]);
    Ok(())
}

#[test]
fn a_program_runs_with_a_door_of_its_own() -> Result<()> {
    let stage = Stage::set("15m")?;
    let script = "import os, sys, urllib.request\n\
                  print(urllib.request.urlopen(os.environ['AMBIT_HTTP_URL'] + '/api/fast').read().decode())\n\
                  print(os.environ['AMBIT_MCP_URL'], os.environ['AMBIT_AGENT'], os.environ.get('AMBIT_SECRET_X'))\n\
                  sys.exit(7)";
    let mut command = stage.ambit(&["run", "--agent", "clerk", "--", "python3", "-c", script])?;
    let output = command.env("AMBIT_SECRET_X", "not-for-programs").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(7), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("{\"ok\":true}"));
    let line = lines.next().context("one line more")?;
    assert!(line.contains("/mcp clerk None"), "{line}");
    let url = line.split(' ').next().unwrap_or_default();
    let rest = url.strip_prefix("http://127.0.0.1:").context("loopback")?;
    let port = rest.split('/').next().unwrap_or_default();
    let closed = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_err();
    assert!(closed, "the door closes with the program");
    assert_eq!(stage.api.oracle.of("request").len(), 1);
    let gone = stage.ambit(&["run", "--agent", "clerk", "--", "/no/such/program"])?.output()?;
    assert!(!gone.status.success());
    Ok(())
}
