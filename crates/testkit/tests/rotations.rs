//! Keys that change while everybody works: five rotations of each kind under load fail no request, and the old key is
//! refused afterwards.
//!
//! `AMBIT_TEST_REQUESTS` says how many requests each kind's load makes at least; the stage `durability` asks for 20,000.
#![cfg(test)]

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use testkit::{
    buyer::Buyer,
    process::{Ambit, Home, StandIn},
    proof::{ProofKey, open},
};
use tokio::task::JoinSet;

const CONNECTIONS: usize = 32;
const ROTATIONS: usize = 5;
/// Requests that one token is used for before its worker buys the next.
const PER_TOKEN: usize = 10;
/// How long the load may take for its next step on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

const CONFIG: &str = r#"version: 1
humans:
  people:
    dana: { groups: [it] }
agents:
  worker:
    purpose: Work
    owner: group:it
    boundary: all
    credentials: { keys: worker.jwks }
upstreams:
  bank:
    http: http://ADDRESS
    credential: secret:bank
    actions:
      fast: { route: GET /fast, effect: read, risk: low }
boundaries:
  all: { upstreams: [bank] }
"#;

/// The gate, the bank and its log, and how the worker acts now.
struct Stage {
    home: Home,
    _ambit: Ambit,
    bank: StandIn,
    worker: RwLock<Arc<Buyer>>,
    client: reqwest::Client,
    _logs: tempfile::TempDir,
}

/// How many requests each kind makes at least.
fn requests() -> Result<usize> {
    match std::env::var("AMBIT_TEST_REQUESTS") {
        Ok(text) => text.parse().context("AMBIT_TEST_REQUESTS"),
        Err(_) => Ok(1_000),
    }
}

fn jwks(keys: &[&ProofKey]) -> String {
    let keys: Vec<&Value> = keys.iter().map(|key| key.public()).collect();
    json!({ "keys": keys }).to_string()
}

fn give(home: &Home, secret: &str) -> Result<()> {
    let output = home.command_with(&["secret", "set", "bank"], secret)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

impl Stage {
    fn set() -> Result<Arc<Stage>> {
        let logs = tempfile::tempdir()?;
        let bank = StandIn::http(logs.path(), "bank")?;
        let home = Home::new(&CONFIG.replace("ADDRESS", &bank.address))?;
        let key = Arc::new(ProofKey::ed25519()?);
        std::fs::write(home.path().join("worker.jwks"), jwks(&[&key]))?;
        give(&home, "the-first-secret")?;
        let ambit = home.start()?;
        let worker = RwLock::new(Arc::new(Buyer::with_key(&home, "worker", key)?));
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
        let stage = Stage { home, _ambit: ambit, bank, worker, client, _logs: logs };
        Ok(Arc::new(stage))
    }

    fn door(&self) -> String {
        self.home.http_door("bank")
    }

    fn worker(&self) -> Arc<Buyer> {
        Arc::clone(&self.worker.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn get(&self, worker: &Buyer, token: &str) -> Result<u16> {
        let url = format!("{}/fast", self.door());
        let mut request = self.client.get(&url);
        for (name, value) in worker.shown("GET", &url, token)? {
            request = request.header(name, value);
        }
        Ok(request.send().await?.status().as_u16())
    }

    /// The secrets of the last requests that reached the bank.
    fn secrets(&self, last: usize) -> Vec<String> {
        let all = self.bank.oracle.of("request");
        let of = |request: &Value| {
            let header = request.pointer("/headers/authorization").and_then(Value::as_str);
            header.unwrap_or("none").to_owned()
        };
        all.iter().rev().take(last).map(of).collect()
    }
}

/// Workers that buy tokens and use them until they are told to end, and have done enough.
struct Load {
    done: Arc<AtomicUsize>,
    /// How many tokens each worker has bought.
    bought: Arc<[AtomicUsize; CONNECTIONS]>,
    ending: Arc<AtomicBool>,
    workers: JoinSet<Result<()>>,
    wanted: usize,
}

impl Load {
    fn begin(stage: &Arc<Stage>) -> Result<Load> {
        let bought = Arc::new(std::array::from_fn(|_| AtomicUsize::new(0)));
        let (done, ending) = (Arc::default(), Arc::default());
        let mut load = Load { done, bought, ending, workers: JoinSet::new(), wanted: requests()? };
        for own in 0..CONNECTIONS {
            let stage = Arc::clone(stage);
            let (done, bought, ending, wanted) = (
                Arc::clone(&load.done),
                Arc::clone(&load.bought),
                Arc::clone(&load.ending),
                load.wanted,
            );
            load.workers.spawn(async move {
                while !ending.load(Ordering::Relaxed) || done.load(Ordering::Relaxed) < wanted {
                    let worker = stage.worker();
                    let token = worker.buy(&stage.door(), &[]).await?;
                    bought[own].fetch_add(1, Ordering::Relaxed);
                    for _ in 0..PER_TOKEN {
                        let status = stage.get(&worker, &token).await?;
                        ensure!(status == 200, "{status} under load");
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Ok(())
            });
        }
        Ok(load)
    }

    /// Waits until this much of the load is done, or an error of a worker.
    async fn reach(&mut self, requests: usize) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while self.done.load(Ordering::Relaxed) < requests {
            ensure!(Instant::now() < end, "the load stands still");
            self.still_works()?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    fn still_works(&mut self) -> Result<()> {
        match self.workers.try_join_next() {
            None => Ok(()),
            Some(ended) => ended?.and_then(|()| anyhow::bail!("a worker ended early")),
        }
    }

    /// Waits until every worker has bought a token since now.
    async fn turn_over(&mut self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        let counts = |load: &Load| -> Vec<usize> {
            load.bought.iter().map(|bought| bought.load(Ordering::Relaxed)).collect()
        };
        let from = counts(self);
        // The first may have been under way; the second began with what is in force now.
        while counts(self).iter().zip(&from).any(|(now, from)| *now < from + 2) {
            ensure!(Instant::now() < end, "the load stands still");
            self.still_works()?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// The share of the load after which a rotation is due.
    fn share(&self, rotation: usize) -> usize {
        rotation * self.wanted / (ROTATIONS + 1)
    }

    async fn end(mut self) -> Result<()> {
        self.ending.store(true, Ordering::Relaxed);
        while let Some(ended) = self.workers.join_next().await {
            ended??;
        }
        ensure!(self.done.load(Ordering::Relaxed) >= self.wanted, "too few requests");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn token_signing_keys() -> Result<()> {
    let stage = Stage::set()?;
    let worker = stage.worker();
    let mut tokens = vec![worker.buy(&stage.door(), &[]).await?];
    let mut load = Load::begin(&stage)?;
    for rotation in 1..=ROTATIONS {
        load.reach(load.share(rotation)).await?;
        stage.home.done(&["key", "rotate"])?;
        tokens.push(worker.buy(&stage.door(), &[]).await?);
    }
    load.end().await?;
    let mut kids: Vec<_> =
        tokens.iter().map(|token| Ok(open(token)?.0["kid"].clone())).collect::<Result<_>>()?;
    kids.dedup();
    ensure!(kids.len() == ROTATIONS + 1, "each rotation brought another key: {kids:?}");
    ensure!(stage.get(&worker, &tokens[0]).await? == 200, "old tokens count in the overlap");
    stage.home.done(&["key", "rotate", "--withdraw"])?;
    let before = stage.bank.oracle.of("request").len();
    for turn in 0..100 {
        let told = stage.get(&worker, &tokens[turn % tokens.len()]).await?;
        ensure!(told == 401, "a token of a withdrawn key: {told}");
    }
    ensure!(stage.bank.oracle.of("request").len() == before, "one of them reached the bank");
    let fresh = worker.buy(&stage.door(), &[]).await?;
    ensure!(stage.get(&worker, &fresh).await? == 200, "the twin of the new key");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_an_agent() -> Result<()> {
    let stage = Stage::set()?;
    let file = stage.home.path().join("worker.jwks");
    let mut olds = Vec::new();
    let mut load = Load::begin(&stage)?;
    for rotation in 1..=ROTATIONS {
        load.reach(load.share(rotation)).await?;
        let (old, key) = (stage.worker(), Arc::new(ProofKey::ed25519()?));
        // The new key beside the old one, then everybody moves, then the old one goes.
        std::fs::write(&file, jwks(&[&old.key, &key]))?;
        stage.home.done(&["apply"])?;
        let new = Arc::new(Buyer::with_key(&stage.home, "worker", Arc::clone(&key))?);
        *stage.worker.write().unwrap_or_else(PoisonError::into_inner) = new;
        load.turn_over().await?;
        std::fs::write(&file, jwks(&[&key]))?;
        stage.home.done(&["apply"])?;
        olds.push(old);
    }
    load.end().await?;
    let door = stage.door();
    let form = [("grant_type", "client_credentials"), ("resource", door.as_str())];
    for turn in 0..100 {
        let told = olds[turn % olds.len()].ask(&form).await?;
        ensure!(told.status == 401 && told.text("error") == "invalid_client", "{told:?}");
    }
    ensure!(stage.worker().ask(&form).await?.status == 200, "the twin of the new key");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_an_upstream() -> Result<()> {
    let stage = Stage::set()?;
    let mut load = Load::begin(&stage)?;
    for rotation in 1..=ROTATIONS {
        load.reach(load.share(rotation)).await?;
        give(&stage.home, &format!("secret-number-{rotation}"))?;
    }
    load.end().await?;
    let worker = stage.worker();
    let token = worker.buy(&stage.door(), &[]).await?;
    for _ in 0..100 {
        ensure!(stage.get(&worker, &token).await? == 200);
    }
    let newest = format!("secret-number-{ROTATIONS}");
    let last = stage.secrets(100);
    ensure!(last.len() == 100 && last.iter().all(|shown| shown.ends_with(&newest)), "{last:?}");
    let all = stage.secrets(usize::MAX);
    for rotation in 1..ROTATIONS {
        let old = format!("secret-number-{rotation}");
        ensure!(all.iter().any(|shown| shown.ends_with(&old)), "{old} was never in use");
    }
    Ok(())
}
