//! Load on the token service and on a door with proofs: `token-load JSON`, where JSON has front, door, url, agent, jwk, what
//! (`issue` or `call`), bound, connections, seconds; or `{ "what": "crypto" }`, for bare signing and checking.

use anyhow::{Context as _, Result, bail, ensure};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};
use serde_json::{Value, json};
use std::{
    hint::black_box,
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};
use testkit::{buyer::Buyer, proof::ProofKey};

/// Bytes that a token or a proof signs, about.
const SIGNED_BYTES: usize = 600;
const CRYPTO_ROUNDS: u32 = 5_000;

/// What one worker needs.
struct Work {
    buyer: Buyer,
    door: String,
    url: String,
    bound: bool,
    client: reqwest::Client,
}

impl Work {
    async fn issue(&self) -> Result<String> {
        if self.bound {
            return self.buyer.buy(&self.door, &[]).await;
        }
        let form = [("grant_type", "client_credentials"), ("resource", self.door.as_str())];
        let answer = self.buyer.post("/oauth/token", &form, None).await?;
        ensure!(answer.status == 200, "no token: {answer:?}");
        Ok(answer.text("access_token").to_owned())
    }

    async fn call(&self, token: &str) -> Result<()> {
        let mut request = self.client.get(&self.url);
        if self.bound {
            for (name, value) in self.buyer.shown("GET", &self.url, token)? {
                request = request.header(name, value);
            }
        } else {
            request = request.bearer_auth(token);
        }
        let status = request.send().await?.status();
        ensure!(status == 200, "a call was answered with {status}");
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let argument = std::env::args().nth(1).context("usage: token-load JSON")?;
    let given: Value = serde_json::from_str(&argument)?;
    let outcome = match text(&given, "what") {
        "crypto" => crypto()?,
        "issue" => load(&given, true).await?,
        "call" => load(&given, false).await?,
        other => bail!("nothing is called `{other}`"),
    };
    writeln!(std::io::stdout().lock(), "{outcome}")?;
    Ok(())
}

fn text<'a>(given: &'a Value, name: &str) -> &'a str {
    given.get(name).and_then(Value::as_str).unwrap_or_default()
}

async fn load(given: &Value, issues: bool) -> Result<Value> {
    let number = |name: &str| given.get(name).and_then(Value::as_f64).unwrap_or(1.0);
    let bound = given.get("bound").and_then(Value::as_bool).unwrap_or(true);
    let jwk = given.get("jwk").context("no jwk")?;
    let key = Arc::new(ProofKey::from_jwk(jwk)?);
    let connections = given.get("connections").and_then(Value::as_u64).unwrap_or(1);
    let started = Instant::now();
    let end = started + Duration::from_secs_f64(number("seconds"));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let work = Work {
            buyer: Buyer::at(text(given, "front"), text(given, "agent"), Arc::clone(&key))?,
            door: text(given, "door").to_owned(),
            url: text(given, "url").to_owned(),
            bound,
            client: reqwest::Client::new(),
        };
        workers.spawn(async move {
            let token = work.issue().await?;
            let mut done = 0_u64;
            while Instant::now() < end {
                if issues {
                    work.issue().await?;
                } else {
                    work.call(&token).await?;
                }
                done += 1;
            }
            Ok::<u64, anyhow::Error>(done)
        });
    }
    let mut calls = 0;
    while let Some(done) = workers.join_next().await {
        calls += done??;
    }
    let rate = f64::from(u32::try_from(calls)?) / started.elapsed().as_secs_f64();
    Ok(json!({ "calls": calls, "per_second": rate }))
}

/// One signature and one check on one core, with nothing around them.
fn crypto() -> Result<Value> {
    let pair = Ed25519KeyPair::generate().context("no randomness")?;
    let message = [7_u8; SIGNED_BYTES];
    let each = |what: &dyn Fn() -> bool| -> Result<f64> {
        let started = Instant::now();
        for _ in 0..CRYPTO_ROUNDS {
            ensure!(black_box(what()), "a signature does not fit");
        }
        Ok(started.elapsed().as_secs_f64() * 1e6 / f64::from(CRYPTO_ROUNDS))
    };
    let sign_us = each(&|| !pair.sign(black_box(&message)).as_ref().is_empty())?;
    let signature = pair.sign(&message);
    let key = ParsedPublicKey::new(&ED25519, pair.public_key().as_ref())?;
    let verify_us = each(&|| key.verify_sig(black_box(&message), signature.as_ref()).is_ok())?;
    Ok(json!({ "sign_us": sign_us, "verify_us": verify_us }))
}
