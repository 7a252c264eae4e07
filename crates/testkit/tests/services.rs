//! Services of the usual making serve two humans at once through one sidecar, with tokens of seconds: at most fifteen
//! changed lines each, and every entry names the right human, task and trigger.

#![cfg(test)]

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};
use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
};
use testkit::{
    orchestrator::Orchestrator,
    process::{Home, StandIn, built, installed},
    provider::Provider,
    upstream::mcp::Era,
};

/// How often each run calls its tool, and how long it thinks before: longer than several tokens live.
const ROUNDS: usize = 24;
const PAUSE: &str = "0.4";
/// Life of a token, in seconds.
const LIFE: u64 = 4;
/// The most that a service may have to change.
const CHANGED: usize = 15;

const CONFIG: &str = r#"version: 1
humans: { issuers: { customers: { url: "PROVIDER" } } }
clients: { portal: { agent: clerk, may_open: [answer] } }
agents:
  clerk: { purpose: Answer tickets, owner: "group:it", boundary: all, users: "issuer:customers", credentials: { ttl: LIFEs } }
intents: { answer: { params: { ticket: string }, allow: { desk.read_ticket: { id: $ticket } } } }
upstreams:
  desk:
    mcp: http://DESK/mcp
    actions: { read_ticket: { effect: read, risk: low }, "*": { risk: prohibited } }
boundaries: { all: { upstreams: [desk] } }
"#;

fn script(name: &str) -> PathBuf {
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests-peers/py/services");
    PathBuf::from(place).join(format!("{name}.py"))
}

/// A child that ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The sidecar; gives its local address.
fn sidecar(home: &Home) -> Result<(Running, String)> {
    let mut command = Command::new(built("ambit")?);
    command.args(["bridge", "--agent", "clerk", "--listen", "127.0.0.1:0"]);
    command.env("AMBIT_DATA", home.data()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
    let base = line.trim().strip_prefix("ready ").context("the sidecar is not ready")?.to_owned();
    Ok((Running(child), base))
}

/// Starts a service, asks it everything at once and gives its answers by their ids.
fn served(name: &str, tools: &str, questions: &[Value]) -> Result<BTreeMap<String, Value>> {
    let python = installed("peers/py/modern/bin/python")?;
    let mut command = Command::new(python);
    command.arg(script(name)).env("TOOLS_URL", tools).env("PYTHONUNBUFFERED", "1");
    command.env("ROUNDS", ROUNDS.to_string()).env("PAUSE", PAUSE);
    command.env("LANGSMITH_TRACING", "false").env("OPENAI_AGENTS_DISABLE_TRACING", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut service = Running(command.spawn().context("cannot run Python")?);
    let mut input = service.0.stdin.take().context("no input")?;
    for question in questions {
        writeln!(input, "{question}")?;
    }
    drop(input);
    let lines = BufReader::new(service.0.stdout.take().context("no output")?).lines();
    // A line that is no JSON is a framework's banner.
    let answers = lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok());
    let by_id = |answer: Value| Some((answer.get("id")?.as_str()?.to_owned(), answer));
    Ok(answers.filter_map(by_id).collect())
}

#[test]
fn a_service_changes_at_most_fifteen_lines() -> Result<()> {
    for name in ["langgraph", "openai"] {
        let before = std::fs::read_to_string(script(&format!("{name}_before")))?;
        let after = std::fs::read_to_string(script(&format!("{name}_after")))?;
        let diff = TextDiff::from_lines(&before, &after);
        let changed = diff.iter_all_changes().filter(|one| one.tag() != ChangeTag::Equal).count();
        ensure!((1..=CHANGED).contains(&changed), "{name}: {changed} lines are added or removed");
    }
    Ok(())
}

#[test]
fn two_humans_at_once_through_one_sidecar() -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let logs = tempfile::tempdir()?;
    let desk = StandIn::mcp(logs.path(), "desk", Era::Modern)?;
    let provider = runtime.block_on(Provider::open())?;
    let config = CONFIG.replace("PROVIDER", provider.url()).replace("DESK", &desk.address);
    let home = Home::new(&config.replace("LIFE", &LIFE.to_string()))?;
    let gate = home.start()?;
    let portal = Orchestrator::of(&home, "portal")?;
    let (_sidecar, base) = sidecar(&home)?;
    let tools = format!("{base}/mcp/desk");

    // Two humans and their tickets, at both services: four tasks.
    let mut tasks = BTreeMap::new();
    let mut questions: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for service in ["langgraph_after", "openai_after"] {
        for (subject, ticket) in [("ana-7", "4711"), ("omar-3", "4712")] {
            let trigger = format!("ticket {ticket} at {service}");
            let asked = json!({
                "intent": "answer", "params": { "ticket": ticket },
                "subject_token": provider.id_token(subject, "portal")?,
                "trigger": { "kind": "ticket", "ref": trigger },
            });
            let task = runtime.block_on(portal.open(&asked))?;
            let id = format!("{service} {subject}");
            let text = format!("What is wrong in ticket {ticket}?");
            questions
                .entry(service)
                .or_default()
                .push(json!({ "id": id, "text": text, "task": task }));
            tasks.insert(task, (format!("customers:{subject}"), trigger, id, ticket));
        }
    }
    let answers = std::thread::scope(|scope| {
        let runs: Vec<_> = questions
            .iter()
            .map(|(service, asked)| scope.spawn(|| served(service, &tools, asked)))
            .collect();
        let mut all = BTreeMap::new();
        for run in runs {
            let ended = run.join().map_err(|_| anyhow::anyhow!("a service broke"))?;
            all.extend(ended?);
        }
        anyhow::Ok(all)
    })?;
    for (task, (human, trigger, id, ticket)) in &tasks {
        let done = &answers.get(id).with_context(|| format!("{id}: no answer in {answers:?}"))?;
        let expected = format!("ticket {ticket}: read {ROUNDS} of {ROUNDS}");
        ensure!(done["done"] == expected.as_str(), "{id}: {done}");
        let rows = home.json(&["trace", "list", "--task", task, "--limit", "100"])?;
        let rows = rows.as_array().context("rows")?;
        ensure!(rows.len() == ROUNDS, "{id}: {} entries", rows.len());
        for row in rows {
            let right = row["on_behalf_of"] == human.as_str()
                && row["trigger"] == trigger.as_str()
                && row["decision"] == "allow"
                && row["arguments"]["id"] == *ticket
                && row["agent"] == "clerk"
                && row["client"] == "portal";
            ensure!(right, "{id}: {row}");
        }
    }
    ensure!(desk.oracle.calls("read_ticket").len() == 4 * ROUNDS, "the desk saw each call once");
    gate.stop()?;
    renewed(&home)
}

/// One token at a time, renewed and renewed again while the runs went on, and none for a task.
fn renewed(home: &Home) -> Result<()> {
    let door = home.mcp_door("desk");
    let tokens = home.records()?.into_iter().filter(|entry| {
        entry.kind == model::record::RecordKind::Token && entry.text("audience") == door
    });
    let (with_task, without): (Vec<_>, Vec<_>) =
        tokens.partition(|entry| entry.envelope.get("task").is_some());
    ensure!(with_task.is_empty(), "a token for each task: {}", with_task.len());
    ensure!((4..=20).contains(&without.len()), "{} tokens", without.len());
    Ok(())
}
