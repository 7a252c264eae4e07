//! Instances of an agent: each enrols a key of its own with a one-time code, and ends alone.
#![cfg(test)]

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Output, Stdio},
};
use testkit::process::{Ambit, Home, StandIn, built};

struct Scene {
    home: Home,
    bank: StandIn,
    gate: Ambit,
    _logs: tempfile::TempDir,
}

fn open() -> Result<Scene> {
    let logs = tempfile::tempdir()?;
    let bank = StandIn::http(logs.path(), "bank")?;
    let home = Home::new(&format!(
        "version: 1\nagents:\n  payer:\n    purpose: Pay\n    owner: group:it\n    boundary: all\n  \
         other:\n    purpose: Pay\n    owner: group:it\n    boundary: all\nupstreams:\n  bank:\n    \
         http: http://{}\n    actions:\n      look: {{ route: GET /fast, effect: read, risk: low }}\n\
         boundaries:\n  all: {{ upstreams: [bank] }}\n",
        bank.address
    ))?;
    let gate = home.start()?;
    Ok(Scene { home, bank, gate, _logs: logs })
}

impl Scene {
    fn code(&self) -> Result<String> {
        let code = self.home.json(&["agent", "enrol", "payer"])?["code"].clone();
        code.as_str().map(str::to_owned).context("no code")
    }

    /// Enrols as a machine of its own would: it knows the gate's address, and not its data directory.
    fn enrol(&self, code: &str, key: &str) -> Result<Output> {
        let elsewhere = self.home.path().join("elsewhere");
        std::fs::create_dir_all(&elsewhere)?;
        let front = self.home.front();
        let mut command = Command::new(built("ambit")?);
        command.args(["bridge", "--agent", "payer", "--enrol", code, "--key", key]);
        command.args(["--gate", &front, "--data", "nowhere", "-o", "json"]);
        Ok(command.current_dir(elsewhere).output()?)
    }

    fn enrolled(&self, key: &str) -> Result<String> {
        let output = self.enrol(&self.code()?, key)?;
        ensure!(output.status.success(), "{output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout)?;
        answer["instance"].as_str().map(str::to_owned).context("no instance")
    }

    /// Whether a local door with this instance's key reads the bank.
    fn reads(&self, key: &str) -> Result<bool> {
        let before = self.bank.oracle.of("request").len();
        let front = self.home.front();
        let mut command = Command::new(built("ambit")?);
        command.args(["bridge", "--agent", "payer", "--key", key, "--gate", &front]);
        command.args(["--data", "nowhere", "--listen", "127.0.0.1:0"]);
        command.current_dir(self.home.path().join("elsewhere")).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let base = line.trim().strip_prefix("ready ").context(line.clone())?.to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let status = runtime.block_on(async {
            let answer = reqwest::get(format!("{base}/http/bank/fast")).await?;
            anyhow::Ok(answer.status())
        });
        child.kill()?;
        child.wait()?;
        let (status, reached) = (status?, self.bank.oracle.of("request").len() > before);
        ensure!(reached == status.is_success(), "{status}, and the bank says {reached}");
        Ok(reached)
    }
}

#[test]
fn each_instance_has_its_own_key_and_ends_alone() -> Result<()> {
    let scene = open()?;
    let (one, two) = (scene.enrolled("one.jwk")?, scene.enrolled("two.jwk")?);
    ensure!(one != two);
    let listed = scene.home.json(&["agent", "instances", "payer"])?;
    ensure!(listed.as_array().map(Vec::len) == Some(2), "{listed}");
    ensure!(scene.reads("one.jwk")? && scene.reads("two.jwk")?);
    scene.home.done(&["revoke", "instance", &one, "--reason", "its machine is gone"])?;
    ensure!(!scene.reads("one.jwk")?, "a revoked instance reads on");
    ensure!(scene.reads("two.jwk")?, "the other one ended with it");
    let listed = scene.home.json(&["agent", "instances", "payer"])?;
    let state = |name: &str| {
        let rows = listed.as_array().into_iter().flatten();
        rows.filter(|row| row["name"] == name)
            .map(|row| row["state"].to_string())
            .collect::<String>()
    };
    ensure!(state(&one).contains("revoked") && state(&two).contains("enrolled"), "{listed}");
    scene.gate.stop()?;
    let records = scene.home.records()?;
    let enrolled = records.iter().filter(|record| record.text("what") == "enrol").count();
    ensure!(enrolled == 2, "{enrolled} enrolments are recorded");
    Ok(())
}

#[test]
fn a_code_is_used_once_tried_five_times_and_kept_hashed() -> Result<()> {
    let scene = open()?;
    let code = scene.code()?;
    ensure!(scene.enrol(&code, "first.jwk")?.status.success());
    let again = scene.enrol(&code, "second.jwk")?;
    ensure!(!again.status.success(), "a code was used twice");
    ensure!(!scene.home.path().join("elsewhere/second.jwk").exists(), "a key of no use is kept");
    // Four wrong tries leave the fifth to the right one.
    let code = scene.code()?;
    let wrong = format!("{code}x");
    for at in 0..4 {
        ensure!(!scene.enrol(&wrong, &format!("wrong{at}.jwk"))?.status.success());
    }
    ensure!(scene.enrol(&code, "fifth.jwk")?.status.success(), "the fifth try is the right one");
    let code = scene.code()?;
    let wrong = format!("{code}x");
    for at in 0..5 {
        ensure!(!scene.enrol(&wrong, &format!("late{at}.jwk"))?.status.success());
    }
    ensure!(!scene.enrol(&code, "sixth.jwk")?.status.success(), "a sixth try was judged");
    // Another agent's code is none of this one's.
    let foreign = scene.code()?.replacen("payer.", "other.", 1);
    ensure!(!scene.enrol(&foreign, "foreign.jwk")?.status.success());
    let open = scene.code()?;
    let secret = open.rsplit('.').next().context("a secret")?.to_owned();
    scene.gate.stop()?;
    let data = std::fs::read_dir(scene.home.data())?;
    for file in data.filter_map(Result::ok).filter(|file| file.path().is_file()) {
        let bytes = std::fs::read(file.path())?;
        let found = String::from_utf8_lossy(&bytes).contains(&secret);
        ensure!(!found, "the secret of a code is in {:?}", file.path());
    }
    Ok(())
}
