//! `revoke` and `decommission` while 32 connections call, on the real binary: the bank's own log shows that nothing came
//! after either had returned, and the residual report is held against what is really left.
#![cfg(test)]

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use testkit::process::{Ambit, Home, StandIn};

/// Connections that call while an agent is ended.
const CALLERS: usize = 32;
/// Calls that have been answered before it is.
const BEFORE: u64 = 300;

fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(future)
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

struct Scene {
    home: Home,
    bank: StandIn,
    gate: Ambit,
    _logs: tempfile::TempDir,
}

/// Two agents at one bank, which share its credential; `payer` alone has the mail server's.
fn open(options: &[&str]) -> Result<Scene> {
    let logs = tempfile::tempdir()?;
    let bank = StandIn::http(logs.path(), "bank")?;
    let mail = StandIn::http(logs.path(), "mail")?;
    let home = Home::new(&format!(
        "version: 1\nagents:\n  payer:\n    purpose: Pay\n    owner: group:it\n    boundary: all\n    \
         credentials: {{ proof: none }}\n  reader:\n    purpose: Read\n    owner: group:it\n    \
         boundary: bank\n    credentials: {{ proof: none }}\nupstreams:\n  bank:\n    http: http://{}\n    \
         credential: env:AMBIT_SECRET_BANK\n    actions:\n      \
         transfer: {{ route: POST /transfers, effect: transfer, sink: external, risk: medium }}\n      \
         look: {{ route: GET /fast, effect: read, risk: low }}\n      \
         stream: {{ route: GET /events, effect: read, risk: low }}\n  mail:\n    http: http://{}\n    \
         credential: env:AMBIT_SECRET_MAIL\n    actions:\n      \
         look: {{ route: GET /fast, effect: read, risk: low }}\nboundaries:\n  \
         all: {{ upstreams: [bank, mail] }}\n  bank: {{ upstreams: [bank] }}\n",
        bank.address, mail.address
    ))?;
    let home = home
        .with_secret("AMBIT_SECRET_BANK", "bank-secret-0815")
        .with_secret("AMBIT_SECRET_MAIL", "mail-secret-0815")
        .with_options(options);
    let gate = home.start()?;
    Ok(Scene { home, bank, gate, _logs: logs })
}

impl Scene {
    fn token(&self, agent: &str) -> Result<String> {
        self.home.token(agent, &self.home.http_door("bank"), &[])
    }

    /// Requests that reached the bank later than this.
    fn after(&self, moment: u64) -> usize {
        let all = self.bank.oracle.of("request");
        let at = |event: &Value| event.get("at").and_then(Value::as_u64).unwrap_or_default();
        all.iter().filter(|event| at(event) > moment).count()
    }

    /// Runs the callers and an open stream, ends the agent by `command`, and lets them run on; gives how many calls came
    /// to the bank after the command had returned, and how many were answered with success after it.
    fn end_under_load(&self, command: &[&str]) -> Result<(usize, u64)> {
        let token = self.token("payer")?;
        let door = self.home.http_door("bank");
        let (stop, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (answered, late) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let returned = block_on(async {
            let client = Client::new();
            let stream = client.get(format!("{door}/events")).bearer_auth(&token);
            let mut stream = stream.send().await?;
            ensure!(stream.chunk().await?.is_some(), "the stream has begun");
            let mut callers = Vec::new();
            for at in 0..CALLERS {
                let (stop, ended) = (Arc::clone(&stop), Arc::clone(&ended));
                let (answered, late) = (Arc::clone(&answered), Arc::clone(&late));
                let (door, token) = (door.clone(), token.clone());
                callers.push(tokio::spawn(async move {
                    let client = Client::new();
                    while !stop.load(Ordering::Relaxed) {
                        let request = if at % 4 == 0 {
                            client.get(format!("{door}/fast"))
                        } else {
                            client.post(format!("{door}/transfers"))
                        };
                        // Begun after the end had returned: no answer of success may come.
                        let after = ended.load(Ordering::SeqCst);
                        let answer = request.bearer_auth(&token).send().await?;
                        if answer.status().is_success() {
                            let counter = if after { &late } else { &answered };
                            counter.fetch_add(1, Ordering::Relaxed);
                        }
                        drop(answer.bytes().await?);
                    }
                    anyhow::Ok(())
                }));
            }
            let begun = Instant::now();
            while answered.load(Ordering::Relaxed) < BEFORE {
                ensure!(begun.elapsed() < Duration::from_secs(60), "the callers do not get going");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let done = self.home.json(command)?;
            let returned = now();
            ended.store(true, Ordering::SeqCst);
            ensure!(done["calls_ended"] == true, "{done}");
            let rest = async { while let Ok(Some(_)) = stream.chunk().await {} };
            tokio::time::timeout(Duration::from_secs(1), rest)
                .await
                .context("the stream goes on")?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            stop.store(true, Ordering::Relaxed);
            for caller in callers {
                caller.await.context("a caller ended")??;
            }
            Ok(returned)
        })?;
        Ok((self.after(returned), late.load(Ordering::Relaxed)))
    }

    /// The status and code with which a captured token is answered.
    fn captured(&self, token: &str) -> Result<(StatusCode, Value)> {
        let url = format!("{}/fast", self.home.http_door("bank"));
        block_on(async {
            let answer = Client::new().get(url).bearer_auth(token).send().await?;
            Ok((answer.status(), serde_json::from_slice(&answer.bytes().await?)?))
        })
    }
}

#[test]
fn after_a_revocation_nothing_reaches_the_upstream() -> Result<()> {
    let scene = open(&[])?;
    let (captured, other) = (scene.token("payer")?, scene.token("reader")?);
    let (reached, accepted) =
        scene.end_under_load(&["revoke", "agent", "payer", "--reason", "drill"])?;
    ensure!(reached == 0 && accepted == 0, "{reached} calls reached the bank, {accepted} accepted");
    let (status, answer) = scene.captured(&captured)?;
    ensure!(status == StatusCode::FORBIDDEN && answer["code"] == "revoked", "{status} {answer}");
    // Its twin goes on.
    ensure!(scene.captured(&other).is_ok_and(|(status, _)| status.is_success()));
    scene.gate.stop()
}

#[test]
fn without_the_guard_calls_go_on_after_a_revocation() -> Result<()> {
    let scene = open(&["--guard-off", "revocation"])?;
    let token = scene.token("payer")?;
    scene.home.done(&["revoke", "agent", "payer"])?;
    let moment = now();
    ensure!(scene.captured(&token).is_ok_and(|(status, _)| status.is_success()));
    ensure!(scene.after(moment) == 1, "the twin shows no harm");
    scene.gate.stop()
}

#[test]
fn a_decommissioned_agent_is_gone_and_what_is_left_is_said() -> Result<()> {
    let scene = open(&[])?;
    let captured = scene.token("payer")?;
    let unconfirmed = scene.home.json(&["agent", "decommission", "payer"])?;
    ensure!(unconfirmed["done"] == false, "{unconfirmed}");
    ensure!(scene.captured(&captured)?.0.is_success(), "a plan ends nothing");
    let command = ["agent", "decommission", "payer", "--yes", "--reason", "its work is done"];
    let (reached, accepted) = scene.end_under_load(&command)?;
    ensure!(reached == 0 && accepted == 0, "{reached} calls reached the bank, {accepted} accepted");
    let (status, answer) = scene.captured(&captured)?;
    ensure!(status == StatusCode::FORBIDDEN, "{status} {answer}");
    ensure!(answer["code"] == "agent_decommissioned", "{answer}");
    let token = scene.home.command(&[
        "token",
        "--agent",
        "payer",
        "--audience",
        &scene.home.http_door("bank"),
    ])?;
    ensure!(token.status.code() == Some(5), "{token:?}");
    residual_is_true(&scene)?;
    // No way back, not by any of these nor by declaring it anew.
    for command in [
        vec!["agent", "resume", "payer"],
        vec!["agent", "review", "payer", "--approve"],
        vec!["agent", "enrol", "payer"],
        vec!["agent", "decommission", "payer", "--yes"],
    ] {
        let tried = scene.home.command(&command)?;
        ensure!(tried.status.code() == Some(1), "{command:?} {tried:?}");
    }
    scene.home.done(&["unfreeze", "payer"])?;
    let file = scene.home.path().join("ambit.yaml");
    let declared = std::fs::read_to_string(&file)?;
    let without = declared.replace("  payer:\n    purpose: Pay\n    owner: group:it\n    boundary: all\n    credentials: { proof: none }\n", "");
    ensure!(without != declared, "the block was not found");
    std::fs::write(&file, without)?;
    scene.home.done(&["apply", "ambit.yaml"])?;
    std::fs::write(&file, declared)?;
    scene.home.done(&["apply", "ambit.yaml"])?;
    let (status, answer) = scene.captured(&captured)?;
    ensure!(!status.is_success(), "{status} {answer}");
    let shown = scene.home.json(&["agent", "show", "payer"])?;
    ensure!(shown["state"] == "decommissioned", "{shown}");
    scene.gate.stop()?;
    let verified = scene.home.done(&["ledger", "verify"])?;
    ensure!(verified.contains('✓') || verified.contains("holds"), "{verified}");
    Ok(())
}

/// Each line of the report against what is really there.
fn residual_is_true(scene: &Scene) -> Result<()> {
    let again =
        scene.home.json(&["trace", "list", "--agent", "payer", "--action", "bank.transfer"])?;
    let transfers = again.as_array().map_or(0, Vec::len);
    ensure!(transfers > 0, "nothing was transferred");
    let list = scene.home.json(&["agent", "list"])?;
    let is_ended = |row: &Value| row["name"] == "payer" && row["state"] == "decommissioned";
    ensure!(list.as_array().is_some_and(|rows| rows.iter().any(is_ended)), "{list}");
    let report = scene.home.json(&["agent", "residual", "payer"])?;
    let row = |what: &str| -> Result<&Value> {
        let rows = report.as_array().context("a list")?;
        let found = rows.iter().find(|row| row["what"] == what);
        found.with_context(|| format!("no `{what}` in {report}"))
    };
    // The bank's credential is lent to the other agent as well, which goes on with it; the mail server's is not.
    let shared = row("shared upstream credential")?;
    ensure!(shared["which"] == "bank: env:AMBIT_SECRET_BANK", "{shared}");
    ensure!(shared["why"].as_str().is_some_and(|why| why.contains("reader")), "{shared}");
    let other = scene.token("reader")?;
    ensure!(scene.captured(&other)?.0.is_success(), "the other agent goes on");
    let sent = scene.bank.oracle.of("request");
    let header = |event: &Value| event["headers"]["authorization"].clone();
    let credentials: std::collections::BTreeSet<String> =
        sent.iter().map(|event| header(event).to_string()).collect();
    ensure!(credentials.len() == 1, "one credential for both: {credentials:?}");
    ensure!(row("upstream credential")?["which"] == "mail: env:AMBIT_SECRET_MAIL");
    // What left is as many calls as the bank saw.
    let out = row("data sent out")?;
    let posts = sent.iter().filter(|event| event["method"] == "POST").count();
    let told = out["which"].as_str().unwrap_or_default().to_owned();
    let told: Option<usize> = told.split(['(', ' ']).find_map(|word| word.parse().ok());
    let told = told.context("no number")?;
    ensure!(told >= posts && posts > 0, "{out} against {posts}");
    let tokens = row("tokens")?;
    ensure!(tokens["why"].as_str().is_some_and(|why| why.contains("remaining life is zero")));
    row("declaration")?;
    Ok(())
}
