//! A person stops things on a running gate: what the upstream's own log shows after the stop has returned.

#![cfg(test)]

use anyhow::{Context as _, Result, ensure};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use testkit::process::{Ambit, Home, StandIn};

const WRITERS: usize = 8;

fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(future)
}

/// A gate with a bank behind it that one agent reads and writes.
struct Scene {
    home: Home,
    bank: StandIn,
    gate: Ambit,
}

impl Scene {
    fn open(guard_off: bool) -> Result<Scene> {
        let logs = tempfile::tempdir()?.keep();
        let bank = StandIn::http(&logs, "bank")?;
        let home = Home::new(&format!(
            "version: 1\nagents:\n  payer:\n    purpose: Pay\n    owner: group:it\n    boundary: all\n    \
             credentials: {{ proof: none }}\nupstreams:\n  bank:\n    http: http://{}\n    actions:\n      \
             transfer: {{ route: POST /transfers, effect: write, risk: medium }}\n      \
             look: {{ route: GET /fast, effect: read, risk: low }}\n      \
             stream: {{ route: GET /events, effect: read, risk: low }}\nboundaries:\n  \
             all: {{ upstreams: [bank] }}\n",
            bank.address
        ))?;
        let home = if guard_off { home.with_options(&["--guard-off", "revocation"]) } else { home };
        let gate = home.start()?;
        Ok(Scene { home, bank, gate })
    }

    fn token(&self) -> Result<String> {
        self.home.token("payer", &self.home.http_door("bank"), &[])
    }

    /// The times at which requests of a method reached the bank.
    fn reached(&self, method: &str) -> Vec<u64> {
        let all = self.bank.oracle.of("request").into_iter();
        let mine = all.filter(|event| event.get("method").is_some_and(|m| m == method));
        mine.filter_map(|event| event.get("at").and_then(serde_json::Value::as_u64)).collect()
    }
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// Calls one door again and again until told to stop; counts the answers by success.
async fn hammer(
    address: String,
    token: String,
    (method, path): (Method, &'static str),
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
) -> Result<()> {
    let client = reqwest::Client::new();
    let url = format!("{address}/http/bank{path}");
    while !stop.load(Ordering::Relaxed) {
        let request = client.request(method.clone(), &url).bearer_auth(&token);
        let answer = request.send().await?;
        if answer.status().is_success() {
            answered.fetch_add(1, Ordering::Relaxed);
        }
        drop(answer.bytes().await?);
    }
    Ok(())
}

/// Runs eight writers and two readers, freezes writes, lets them run on; gives how many writes and reads reached the
/// bank after `freeze` had returned, and how many writes before.
fn frozen_while_writing(guard_off: bool) -> Result<(usize, usize, usize)> {
    let scene = Scene::open(guard_off)?;
    let token = scene.token()?;
    let front = scene.home.front();
    let stop = Arc::new(AtomicBool::new(false));
    let (written, read) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let returned = block_on(async {
        let mut calls = Vec::new();
        for at in 0..WRITERS + 2 {
            let (what, answered) = if at < WRITERS {
                ((Method::POST, "/transfers"), Arc::clone(&written))
            } else {
                ((Method::GET, "/fast"), Arc::clone(&read))
            };
            calls.push(tokio::spawn(hammer(
                front.clone(),
                token.clone(),
                what,
                Arc::clone(&stop),
                answered,
            )));
        }
        let begun = Instant::now();
        while written.load(Ordering::Relaxed) < 200 || read.load(Ordering::Relaxed) < 20 {
            ensure!(begun.elapsed() < Duration::from_secs(60), "the writers do not get going");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let frozen =
            scene.home.json(&["freeze", "all", "--effect", "write", "--reason", "drill"])?;
        let returned = now();
        ensure!(frozen["calls_ended"] == true, "{frozen}");
        let after = read.load(Ordering::Relaxed) + 50;
        while read.load(Ordering::Relaxed) < after {
            ensure!(begun.elapsed() < Duration::from_secs(90), "reads do not go on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.store(true, Ordering::Relaxed);
        for call in calls {
            call.await.context("a caller ended")??;
        }
        Ok(returned)
    })?;
    let count = |method: &str, late: bool| {
        scene.reached(method).into_iter().filter(|at| (*at > returned) == late).count()
    };
    let counted = (count("POST", true), count("GET", true), count("POST", false));
    if !guard_off {
        let why = scene.home.done(&["why", "--last"])?;
        ensure!(why.contains("effect `write` is frozen since") && why.contains("drill"), "{why}");
        let list = scene.home.json(&["freeze", "list"])?;
        ensure!(list[0]["selector"] == "effect:write" && list[0]["reason"] == "drill", "{list}");
        scene.home.done(&["unfreeze", "all", "--effect", "write"])?;
        let before = scene.reached("POST").len();
        let (flag, one) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        block_on(async {
            let what = (Method::POST, "/transfers");
            let call = hammer(front, token, what, Arc::clone(&flag), Arc::clone(&one));
            let call = tokio::spawn(call);
            while one.load(Ordering::Relaxed) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            flag.store(true, Ordering::Relaxed);
            call.await?
        })?;
        ensure!(scene.reached("POST").len() > before, "a person let writes go again");
    }
    scene.gate.stop()?;
    Ok(counted)
}

#[test]
fn after_a_freeze_of_writes_none_reaches_the_upstream_and_reads_go_on() -> Result<()> {
    let (late_writes, late_reads, earlier) = frozen_while_writing(false)?;
    ensure!(earlier >= 200, "only {earlier} writes came before");
    ensure!(late_writes == 0, "{late_writes} writes reached the bank after `freeze` had returned");
    ensure!(late_reads >= 20, "reads stopped: {late_reads}");
    Ok(())
}

#[test]
fn without_the_guard_writes_go_on_after_a_freeze() -> Result<()> {
    let (late_writes, ..) = frozen_while_writing(true)?;
    ensure!(late_writes > 20, "the twin shows no harm: {late_writes}");
    Ok(())
}

#[test]
fn an_open_stream_ends_within_a_second_of_a_freeze() -> Result<()> {
    let scene = Scene::open(false)?;
    let token = scene.token()?;
    let url = format!("{}/http/bank/events", scene.home.front());
    for selector in
        ["payer", "owner:group:it", "upstream:bank", "action:bank.stream", "effect:read", "all"]
    {
        block_on(async {
            let mut headers = HeaderMap::new();
            let bearer = HeaderValue::try_from(format!("Bearer {token}"))?;
            headers.insert(HeaderName::from_static("authorization"), bearer);
            let mut answer = reqwest::Client::new().get(&url).headers(headers).send().await?;
            ensure!(answer.status().is_success(), "{selector}: {}", answer.status());
            ensure!(answer.chunk().await?.is_some(), "the stream has begun");
            let begun = Instant::now();
            let frozen = scene.home.json(&["freeze", selector, "--reason", "drill"])?;
            ensure!(frozen["calls_ended"] == true, "{frozen}");
            let ended = async { while let Ok(Some(_)) = answer.chunk().await {} };
            tokio::time::timeout(Duration::from_secs(5), ended).await.context(selector)?;
            ensure!(begun.elapsed() < Duration::from_secs(2), "{selector}: {:?}", begun.elapsed());
            let again = reqwest::Client::new().get(&url).bearer_auth(&token).send().await?;
            ensure!(again.status() == 403, "{selector}: {}", again.status());
            scene.home.done(&["unfreeze", selector])?;
            Ok(())
        })?;
    }
    scene.gate.stop()
}
