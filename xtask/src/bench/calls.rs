//! Governed calls through the release `ambit dev`, beside a minimal hyper proxy to the same upstreams.

use super::{
    figures::Figures,
    processes::{Running, free_port, release},
};
use crate::{
    Workspace,
    command::{cargo, program, quiet, shown},
    say,
};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Rounds are interleaved: each takes all targets in turn, so that a noisy neighbour disturbs all alike.
const ROUNDS: usize = 3;
const SECONDS: f64 = 3.0;
const WARM_UP_SECONDS: f64 = 1.0;
const CONNECTIONS: &[u64] = &[1, 32, 128];

/// Memory is watched over this many calls; the slope is taken over the second half.
const MEMORY_CALLS: u64 = 1_000_000;
/// How it stands after the first of them.
const FIRST_CALLS: u64 = 100_000;

/// All that runs on loopback for the measurement. Fields end in the order written.
pub(super) struct Bench {
    ambit: Running,
    http_proxy: Running,
    mcp_proxy: Running,
    _upstreams: [Running; 2],
    home: PathBuf,
    front: String,
    targets: Vec<Target>,
}

/// One thing to load: the request, and whose CPU counts.
pub(super) struct Target {
    name: &'static str,
    process: Process,
    plan: Value,
}

#[derive(Clone, Copy)]
enum Process {
    Ambit,
    HttpProxy,
    McpProxy,
}

impl Drop for Bench {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.home));
    }
}

impl Bench {
    pub(super) fn start(workspace: &Workspace) -> Result<Bench> {
        // The product comes last and for itself: it is built with its own features only, as users build it.
        for arguments in [
            ["build", "--quiet", "--locked", "--release", "--workspace", "--bins"].as_slice(),
            ["build", "--quiet", "--locked", "--release", "-p", "ambit"].as_slice(),
        ] {
            shown(cargo(workspace, arguments))?.or_fail("the release build")?;
        }
        let home = std::env::temp_dir().join(format!("ambit-bench-{}", std::process::id()));
        fs::create_dir_all(&home)?;
        let (http, http_at) = Running::stand_in(workspace, "http-upstream", &[])?;
        let (mcp, mcp_at) =
            Running::stand_in(workspace, "rmcp-upstream", &["--era", "modern", "--json"])?;
        let proxy = |to: &str| Running::stand_in(workspace, "plain-proxy", &["127.0.0.1:0", to]);
        let (http_proxy, http_proxy_at) = proxy(&http_at)?;
        let (mcp_proxy, mcp_proxy_at) = proxy(&mcp_at)?;
        fs::write(home.join("ambit.yaml"), config(&http_at, &mcp_at))?;
        let port = free_port(20_000)?;
        let ambit = Running::ambit(workspace, &home, port, free_port(port.saturating_add(1))?)?;
        let mut bench = Bench {
            ambit,
            http_proxy,
            mcp_proxy,
            _upstreams: [http, mcp],
            home,
            front: format!("http://127.0.0.1:{port}"),
            targets: Vec::new(),
        };
        let front = bench.front.clone();
        let http_token = bench.token(workspace, &format!("{front}/http/api"))?;
        let mcp_token = bench.token(workspace, &format!("{front}/mcp/tools"))?;
        let row = |name, process, plan| Target { name, process, plan };
        bench.targets = vec![
            row("proxy", Process::HttpProxy, read(&format!("http://{http_proxy_at}"), "none")),
            row("http_call", Process::Ambit, read(&format!("{front}/http/api"), &http_token)),
            row("http_write", Process::Ambit, write(&format!("{front}/http/api"), &http_token)),
            row(
                "mcp_proxy",
                Process::McpProxy,
                mcp_call(&format!("http://{mcp_proxy_at}/mcp"), "none"),
            ),
            row("mcp_call", Process::Ambit, mcp_call(&format!("{front}/mcp/tools"), &mcp_token)),
        ];
        Ok(bench)
    }

    fn token(&self, workspace: &Workspace, audience: &str) -> Result<String> {
        let mut command = program(workspace, release(workspace, "ambit"));
        command.args(["token", "--agent", "bench", "--audience", audience, "--format", "json"]);
        command.arg("--data").arg(self.home.join("data"));
        let ended = quiet(command)?.or_fail("`ambit token`")?;
        let value: Value = serde_json::from_str(&ended.lines.join("\n"))?;
        let token = value.get("token").and_then(Value::as_str).context("no token")?;
        Ok(format!("Bearer {token}"))
    }

    /// What is loaded under this name.
    pub(super) fn target(&self, name: &str) -> Result<&Target> {
        self.targets.iter().find(|target| target.name == name).context("no such target")
    }

    /// The base of the doors.
    pub(super) fn front(&self) -> &str {
        &self.front
    }

    /// The private key that the gate keeps for an agent.
    pub(super) fn key(&self, workspace: &Workspace, agent: &str) -> Result<Value> {
        let mut command = program(workspace, release(workspace, "ambit"));
        command.args(["agent", "key", agent, "--export", "jwk", "--data"]);
        command.arg(self.home.join("data"));
        let ended = quiet(command)?.or_fail("`ambit agent key`")?;
        serde_json::from_str(&ended.lines.join("\n")).context("the key is not JSON")
    }

    /// The gate's process.
    pub(super) const fn gate(&self) -> &Running {
        &self.ambit
    }

    /// Where this run keeps its files; gone with it.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    const fn process(&self, process: Process) -> &Running {
        match process {
            Process::Ambit => &self.ambit,
            Process::HttpProxy => &self.http_proxy,
            Process::McpProxy => &self.mcp_proxy,
        }
    }
}

/// Latency, rate and CPU of each target at each number of connections.
pub(super) fn measure(workspace: &Workspace, figures: &mut Figures) -> Result<()> {
    let bench = Bench::start(workspace)?;
    figures.set("rss_idle_mib", bench.ambit.rss_mib()?);
    for target in &bench.targets {
        load(workspace, target, 32, WARM_UP_SECONDS)?;
    }
    let mut taken: Vec<(String, Vec<f64>)> = Vec::new();
    for round in 1..=ROUNDS {
        for connections in CONNECTIONS {
            for target in &bench.targets {
                let process = bench.process(target.process);
                let before = process.cpu_us()?;
                let outcome = load(workspace, target, *connections, SECONDS)?;
                let number = |name: &str| outcome.get(name).and_then(Value::as_f64).unwrap_or(0.0);
                let cpu = (process.cpu_us()? - before) / number("calls").max(1.0);
                let name = target.name;
                say(&format!(
                    "round {round} {name:<10} {connections:>3} connections: {cpu:>7.1} us cpu, {:>7.0} per s, p50 {:>7.0} us, p99 {:>7.0} us",
                    number("per_second"),
                    number("p50_us"),
                    number("p99_us"),
                ));
                for (suffix, value) in [
                    ("cpu_us", cpu),
                    ("p50_us", number("p50_us")),
                    ("p99_us", number("p99_us")),
                    ("per_s", number("per_second")),
                ] {
                    note(&mut taken, format!("{name}_{suffix}_at_{connections}"), value);
                }
            }
        }
    }
    for (name, mut values) in taken {
        values.sort_by(f64::total_cmp);
        let median = values.get(values.len() / 2).copied().unwrap_or_default();
        // CPU per call is quoted at 32 connections, where commits are shared as under ordinary load.
        if let Some(short) = name.strip_suffix("_at_32").filter(|short| short.ends_with("_cpu_us"))
        {
            figures.set(short, median);
        }
        figures.set(name, median);
    }
    figures.set("rss_mib", bench.ambit.rss_mib()?);
    Ok(())
}

pub(super) fn note(taken: &mut Vec<(String, Vec<f64>)>, name: String, value: f64) {
    match taken.iter_mut().find(|(known, _)| *known == name) {
        Some((_, values)) => values.push(value),
        None => taken.push((name, vec![value])),
    }
}

/// Resident memory over a million calls.
pub(super) fn memory(workspace: &Workspace, figures: &mut Figures) -> Result<()> {
    let bench = Bench::start(workspace)?;
    let target = bench.target("http_call")?;
    let (mut calls, mut first, mut half) = (0, None, None);
    while calls < MEMORY_CALLS {
        let outcome = load(workspace, target, 32, SECONDS)?;
        calls += outcome.get("calls").and_then(Value::as_u64).unwrap_or(0);
        let now = bench.ambit.rss_mib()?;
        say(&format!("{calls:>8} calls: {now:.1} MiB"));
        if calls >= FIRST_CALLS {
            first.get_or_insert(now);
        }
        if calls >= MEMORY_CALLS / 2 {
            half.get_or_insert(now);
        }
    }
    let end = bench.ambit.rss_mib()?;
    figures.set("rss_100k_mib", first.unwrap_or(end));
    figures.set("rss_1m_mib", end);
    figures.set("rss_second_half_mib", end - half.unwrap_or(end));
    Ok(())
}

pub(super) fn load(
    workspace: &Workspace,
    target: &Target,
    connections: u64,
    seconds: f64,
) -> Result<Value> {
    let mut plan = target.plan.clone();
    if let Some(plan) = plan.as_object_mut() {
        plan.insert("connections".into(), json!(connections));
        plan.insert("seconds".into(), json!(seconds));
    }
    let mut command = program(workspace, release(workspace, "load"));
    command.arg(plan.to_string());
    let ended = quiet(command)?.or_fail("the load generator")?;
    let outcome: Value = serde_json::from_str(ended.lines.last().context("no outcome")?)?;
    let unexpected = outcome.get("unexpected").and_then(Value::as_u64).unwrap_or(1);
    ensure!(unexpected == 0, "`{}` was not answered as expected: {outcome}", target.name);
    Ok(outcome)
}

fn read(base: &str, authorization: &str) -> Value {
    json!({
        "url": format!("{base}/fast"),
        "method": "GET",
        "headers": { "authorization": authorization },
        "expect": "\"ok\"",
    })
}

fn write(base: &str, authorization: &str) -> Value {
    json!({
        "url": format!("{base}/transfers"),
        "method": "POST",
        "headers": { "authorization": authorization, "content-type": "application/json" },
        "body": json!({ "to": "ana", "amount": 7 }).to_string(),
        "expect": "transferred",
    })
}

/// `tools/call` of revision 2026-07-28 with an argument of 1 KiB.
fn mcp_call(url: &str, authorization: &str) -> Value {
    let body = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": "echo",
            "arguments": { "text": "x".repeat(1_024) },
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": { "name": "load", "version": "1.0.0" },
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    });
    json!({
        "url": url,
        "method": "POST",
        "headers": {
            "authorization": authorization,
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": "echo",
        },
        "body": body.to_string(),
        "expect": "xxxxxxxx",
    })
}

fn config(http: &str, mcp: &str) -> String {
    format!(
        r#"version: 1
humans:
  people:
    dana: {{ groups: [platform] }}
agents:
  bench:
    purpose: Measure
    owner: group:platform
    boundary: all
    credentials: {{ proof: none, ttl: 1h }}
  bound:
    purpose: Measure with proofs
    owner: group:platform
    boundary: all
upstreams:
  api:
    http: http://{http}
    credential: env:AMBIT_SECRET_BENCH
    actions:
      fast: {{ route: GET /fast, effect: read, risk: low }}
      transfer: {{ route: POST /transfers, effect: transfer, risk: medium }}
  tools:
    mcp: http://{mcp}/mcp
    credential: env:AMBIT_SECRET_BENCH
    actions:
      echo: {{ effect: read, risk: low }}
boundaries:
  all: {{ upstreams: [api, tools] }}
"#
    )
}
