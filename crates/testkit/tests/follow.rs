//! Following a gate: traces as OTLP to a collector that dies again and again, `trace list` and `tail`, `doctor`.
#![cfg(test)]

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use testkit::{
    process::{Home, StandIn, built},
    receiver::{Receiver, Told},
};

fn declared(address: &str) -> String {
    format!(
        "version: 1\nhumans: {{ people: {{ ana: {{ groups: [it] }} }} }}\n\
         agents:\n  copilot:\n    purpose: Answer\n    owner: group:it\n    boundary: all\n    credentials: {{ proof: none }}\n  \
         other:\n    purpose: Answer too\n    owner: group:it\n    boundary: all\n    only: [crm.look]\n    credentials: {{ proof: none }}\n  \
         payer:\n    purpose: Pay\n    owner: group:it\n    boundary: all\n\
         upstreams:\n  crm:\n    http: http://{address}\n    credential: env:AMBIT_SECRET_CRM\n    actions:\n      \
         look: {{ route: GET /fast, effect: read, risk: low }}\n      \
         mail: {{ route: POST /mail, effect: send, risk: medium }}\n      \
         lost: {{ route: GET /error, effect: read, risk: low }}\n      \
         pay: {{ route: POST /transfers, effect: transfer, risk: high }}\n\
         boundaries:\n  all: {{ upstreams: [crm] }}\n\
         approvals:\n  default: {{ approvers: group:it }}\n\
         intents:\n  pay: {{ allow: {{ crm.pay: {{}} }} }}\n"
    )
}

fn home(address: &str) -> Result<Home> {
    Ok(Home::new(&declared(address))?.with_secret("AMBIT_SECRET_CRM", "crm-secret-0123456789"))
}

fn call(home: &Home, agent: &str, token: &str, method: &str, path: &str) -> Result<(u16, String)> {
    let method: reqwest::Method = method.parse()?;
    let url = format!("{}{path}", home.http_door("crm"));
    answered(agent, |client| client.request(method, url).bearer_auth(token))
}

fn answered(
    agent: &str,
    request: impl FnOnce(&reqwest::Client) -> reqwest::RequestBuilder,
) -> Result<(u16, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let request = request(&reqwest::Client::new());
        let answer = request.send().await.with_context(|| format!("a call of {agent}"))?;
        Ok((answer.status().as_u16(), answer.text().await?))
    })
}

fn spans(receiver: &Receiver) -> Vec<Value> {
    let all = receiver.came().into_iter().filter(|came| came.path == "/v1/traces");
    let spans = all.flat_map(|came| {
        let scopes = came.body["resourceSpans"][0]["scopeSpans"][0]["spans"].clone();
        scopes.as_array().cloned().unwrap_or_default()
    });
    spans.collect()
}

fn attribute<'a>(span: &'a Value, key: &str) -> &'a str {
    let attributes = span["attributes"].as_array().into_iter().flatten();
    let found = attributes.filter(|attribute| attribute["key"] == key);
    found.filter_map(|attribute| attribute["value"]["stringValue"].as_str()).next().unwrap_or("")
}

#[test]
fn a_collector_that_dies_again_and_again_gets_every_entry() -> Result<()> {
    let logs = tempfile::tempdir()?;
    let crm = StandIn::http(logs.path(), "crm")?;
    let mut collector = Receiver::open(Told::now(200, "{}"))?;
    let home = home(&crm.address)?.with_options(&["--otlp-endpoint", &collector.url()]);
    let mut gate = home.start()?;
    let door = home.http_door("crm");
    for round in 0..8 {
        let token = home.token("copilot", &door, &[])?;
        for _ in 0..12 {
            ensure!(call(&home, "copilot", &token, "GET", "/fast")?.0 == 200);
        }
        ensure!(call(&home, "copilot", &token, "GET", "/error")?.0 == 500);
        match round % 4 {
            0 => collector.kill(),
            1 => collector.come_back()?,
            2 => collector.tell(Told::now(503, "")),
            _ => collector.tell(Told::now(200, "{}")),
        }
        if round == 4 {
            // The gate dies as well: what it had not delivered is delivered by the next run.
            gate.running.kill()?;
            gate = home.start()?;
        }
    }
    collector.kill();
    collector.come_back()?;
    collector.tell(Told::now(200, "{}"));
    let rows = home.json(&["trace", "list", "--action", "crm.look"])?;
    let lost = home.json(&["trace", "list", "--action", "crm.lost"])?;
    let all = rows.as_array().into_iter().flatten().chain(lost.as_array().into_iter().flatten());
    let sent: BTreeSet<String> =
        all.filter_map(|row| row["entry"].as_str()).map(str::to_owned).collect();
    ensure!(sent.len() == 8 * 13, "{}", sent.len());
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let came = spans(&collector);
        let received: BTreeSet<String> =
            came.iter().map(|span| attribute(span, "ambit.entry").to_owned()).collect();
        if received.is_superset(&sent) {
            let span = came.iter().find(|span| span["name"] == "crm.lost").context("a span")?;
            ensure!(span["traceId"].as_str().is_some_and(|id| id.len() == 32), "{span}");
            ensure!(span["spanId"].as_str().is_some_and(|id| id.len() == 16), "{span}");
            ensure!(attribute(span, "gen_ai.agent.name") == "copilot", "{span}");
            ensure!(
                attribute(span, "ambit.ending") == "failed" && span["status"]["code"] == 2,
                "{span}"
            );
            break;
        }
        let missing = sent.difference(&received).count();
        ensure!(Instant::now() < end, "{missing} entries are missing");
        std::thread::sleep(Duration::from_millis(50));
    }
    gate.stop()
}

#[test]
fn traces_are_filtered_and_followed_and_a_handle_is_explained() -> Result<()> {
    let logs = tempfile::tempdir()?;
    let crm = StandIn::http(logs.path(), "crm")?;
    let home = home(&crm.address)?;
    let gate = home.start()?;
    let door = home.http_door("crm");
    let (mine, other) = (home.token("copilot", &door, &[])?, home.token("other", &door, &[])?);
    let mut follower = Command::new(built("ambit")?)
        .args(["trace", "tail", "-n", "0", "--agent", "copilot", "-o", "jsonl", "--data"])
        .arg(home.data())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut followed = BufReader::new(follower.stdout.take().context("an output")?).lines();
    // Until the follower has its place, what happens is not its.
    let end = Instant::now() + Duration::from_secs(30);
    let (send, first) = std::sync::mpsc::sync_channel(64);
    let reader = std::thread::spawn(move || {
        while let Some(Ok(line)) = followed.next() {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    let first = loop {
        ensure!(call(&home, "copilot", &mine, "GET", "/fast")?.0 == 200);
        match first.recv_timeout(Duration::from_millis(300)) {
            Ok(line) => break (line, first),
            Err(_) => ensure!(Instant::now() < end, "nothing is followed"),
        }
    };
    let row: Value = serde_json::from_str(&first.0)?;
    ensure!(row["action"] == "crm.look" && row["outcome"] == "done", "{row}");
    ensure!(call(&home, "other", &other, "POST", "/mail")?.0 == 403);
    ensure!(call(&home, "copilot", &mine, "GET", "/error")?.0 == 500);
    let row = loop {
        let row: Value = serde_json::from_str(&first.1.recv_timeout(Duration::from_secs(10))?)?;
        ensure!(row["agent"] == "copilot", "only what was asked for: {row}");
        if row["action"] == "crm.lost" {
            break row;
        }
    };
    ensure!(row["status"] == 500, "{row}");
    follower.kill()?;
    follower.wait()?;
    drop(reader.join());

    let count = |more: &[&str]| -> Result<usize> {
        let rows = home.json(&[&["trace", "list"], more].concat())?;
        Ok(rows.as_array().map_or(0, Vec::len))
    };
    ensure!(count(&["--agent", "other"])? == 1);
    ensure!(count(&["--decision", "deny", "--code", "not_granted"])? == 1);
    ensure!(count(&["--action", "crm.lost", "--since", "1h"])? == 1);
    ensure!(count(&["--until", "1h"])? == 0 && count(&["--since", "2020-01-01"])? >= 3);
    ensure!(count(&["--user", "ana"])? == 0 && count(&["--code", "upstream_timeout"])? == 0);
    let wrong = home.command(&["trace", "list", "--since", "yesterday"])?;
    ensure!(wrong.status.code() == Some(2), "{}", String::from_utf8_lossy(&wrong.stderr));

    let task = home.json(&["task", "open", "--agent", "payer", "--intent", "pay"])?;
    let task = task["task"].as_str().context("a task")?.to_owned();
    let token = home.token("payer", &door, &["--task", &task])?;
    let proof = home.key("payer")?.prove("POST", &format!("{door}/transfers"), &token)?;
    let (status, body) = answered("payer", |client| {
        let request = client.post(format!("{door}/transfers")).json(&serde_json::json!({}));
        request.header("authorization", format!("DPoP {token}")).header("dpop", proof)
    })?;
    ensure!(status == 202, "{status} {body}");
    let asked: Value = serde_json::from_str(&body)?;
    let why = home.done(&["why", "--handle", asked["handle"].as_str().context("a handle")?])?;
    ensure!(why.contains("crm.pay") && why.contains("guard.high"), "{why}");
    ensure!(count(&["--task", &task])? >= 1);
    gate.stop()
}

#[test]
fn doctor_finds_what_is_wrong_and_completion_completes() -> Result<()> {
    let logs = tempfile::tempdir()?;
    let crm = StandIn::http(logs.path(), "crm")?;
    let home = home(&crm.address)?;
    let gate = home.start()?;
    let probe = |probes: &Value, name: &str| -> String {
        let all = probes.as_array().into_iter().flatten();
        let found = all.filter(|probe| probe["probe"] == name);
        found.filter_map(|probe| probe["state"].as_str()).collect::<Vec<_>>().join(" ")
    };
    let probes = home.json(&["doctor"])?;
    for sound in ["data directory", "disk", "clock", "secrets", "upstream crm", "pins", "ledger"] {
        ensure!(probe(&probes, sound) == "ok", "{sound}: {probes}");
    }
    ensure!(probe(&probes, "shared accounts") == "warn", "two agents, one account: {probes}");
    ensure!(probe(&probes, "bearer tokens") == "warn warn", "{probes}");
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(home.data(), std::fs::Permissions::from_mode(0o755))?;
    drop(crm);
    let output = home.command(&["doctor", "-o", "json"])?;
    ensure!(output.status.code() == Some(1));
    let probes: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(probe(&probes, "data directory") == "fail", "{probes}");
    ensure!(probe(&probes, "upstream crm") == "fail", "{probes}");
    std::fs::set_permissions(home.data(), std::fs::Permissions::from_mode(0o700))?;
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(built("ambit")?).args(["completion", shell]).output()?;
        let script = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success() && script.contains("rollback"), "{shell}: {script}");
    }
    gate.stop()
}
