//! Signing keys that change while everybody works, and tokens of a key that was given up.

use crate::stage::Stage;
use anyhow::{Context as _, Result, ensure};
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Requests that the load makes at least, and over how many connections.
const REQUESTS: usize = 5_000;
const CONNECTIONS: usize = 32;
const ROTATIONS: usize = 5;

/// The `kid` of a token's header.
fn kid(token: &str) -> Result<String> {
    let (header, _) = testkit::proof::open(token)?;
    header.get("kid").and_then(|kid| kid.as_str()).map(str::to_owned).context("no kid")
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_under_load_and_a_withdrawn_one_is_refused() -> Result<()> {
    let stage = Stage::set()?;
    let door = stage.home.http_door("api");
    let first = stage.home.token("reader", &door, &[])?;
    let (ended, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    // Every connection works with tokens of every key so far, old and new.
    let tokens = std::sync::RwLock::new(vec![first.clone()]);
    let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
    let url = format!("{door}/fast");
    let runtime = tokio::runtime::Handle::current();
    thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = (0..CONNECTIONS)
            .map(|worker| {
                let (ended, done, tokens, client, url) =
                    (&ended, &done, &tokens, client.clone(), url.clone());
                let runtime = runtime.clone();
                scope.spawn(move || -> Result<()> {
                    let mut turn = worker;
                    while !ended.load(Ordering::Relaxed) || done.load(Ordering::Relaxed) < REQUESTS
                    {
                        let token = {
                            let tokens = tokens.read().map_err(|_| anyhow::anyhow!("poisoned"))?;
                            tokens.get(turn % tokens.len()).cloned().context("no token")?
                        };
                        turn = turn.wrapping_add(1);
                        let answer = runtime
                            .block_on(async { client.get(&url).bearer_auth(token).send().await })?;
                        ensure!(answer.status() == 200, "{} under load", answer.status());
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        let rotated = (|| -> Result<()> {
            for rotation in 1..=ROTATIONS {
                let wanted = rotation * REQUESTS / (ROTATIONS + 1);
                let end = Instant::now() + Duration::from_secs(120);
                while done.load(Ordering::Relaxed) < wanted {
                    ensure!(Instant::now() < end, "the load stands still");
                    ensure!(
                        workers.iter().all(|worker| !worker.is_finished()),
                        "a worker ended early"
                    );
                    thread::sleep(Duration::from_millis(5));
                }
                stage.home.done(&["key", "rotate"])?;
                let token = stage.home.token("reader", &door, &[])?;
                let mut tokens = tokens.write().map_err(|_| anyhow::anyhow!("poisoned"))?;
                let known: Result<Vec<_>> = tokens.iter().map(|token| kid(token)).collect();
                ensure!(!known?.contains(&kid(&token)?), "the new token is of an old key");
                tokens.push(token);
            }
            Ok(())
        })();
        ended.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??;
        }
        rotated
    })?;
    ensure!(done.load(Ordering::Relaxed) >= REQUESTS);
    let get = async |token: &str| -> Result<u16> {
        Ok(client.get(&url).bearer_auth(token).send().await?.status().as_u16())
    };
    // The overlap: tokens of the first key still count, until its keys are withdrawn.
    ensure!(get(&first).await? == 200);
    stage.home.done(&["key", "rotate", "--withdraw"])?;
    let olds = tokens.into_inner().map_err(|_| anyhow::anyhow!("poisoned"))?;
    let before = stage.reached().len();
    for turn in 0..100 {
        let token = olds.get(turn % olds.len()).context("no token")?;
        ensure!(get(token).await? == 401, "a token of a withdrawn key was believed");
    }
    ensure!(stage.reached().len() == before, "a token of a withdrawn key reached the upstream");
    ensure!(get(&stage.home.token("reader", &door, &[])?).await? == 200, "the twin of the new key");
    let jwks: serde_json::Value =
        client.get(format!("{}/oauth/jwks", stage.home.front())).send().await?.json().await?;
    let keys = jwks.get("keys").and_then(|keys| keys.as_array()).map_or(0, Vec::len);
    ensure!(keys == 1, "{jwks}");
    Ok(())
}
