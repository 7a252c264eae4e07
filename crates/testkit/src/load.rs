//! Load over kept-alive connections, and what it took: latency, rate, and the CPU of the process under test.

use anyhow::{Context as _, Result, ensure};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// One request, sent again and again.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `127.0.0.1:port`.
    pub address: String,
    /// Method.
    pub method: Method,
    /// Path with query.
    pub path: String,
    /// Headers besides the host.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// Connections; each has one request under way.
    pub connections: usize,
    /// How long.
    pub time: Duration,
    /// Bytes that each answer must contain; empty for any.
    pub expect: Bytes,
}

/// What a run of a plan gave.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Latencies of all answers with the expected status and bytes, sorted.
    pub latencies: Vec<Duration>,
    /// Answers of another kind.
    pub unexpected: u64,
    /// The first such answer.
    pub example: Option<String>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Outcome {
    /// The latency that `percent` of the answers did not exceed.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Duration {
        let index = self.latencies.len().saturating_mul(percent) / 100;
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get(index.min(last)).copied().unwrap_or_default()
    }

    /// As one JSON object; times in microseconds.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let calls = self.latencies.len();
        let seconds = self.elapsed.as_secs_f64();
        let rate = u32::try_from(calls).map_or(0.0, f64::from) / seconds.max(f64::EPSILON);
        json!({
            "calls": calls,
            "unexpected": self.unexpected,
            "example": self.example,
            "seconds": seconds,
            "per_second": rate,
            "p50_us": self.percentile(50).as_secs_f64() * 1e6,
            "p99_us": self.percentile(99).as_secs_f64() * 1e6,
        })
    }
}

/// Runs the plan.
pub async fn run(plan: Plan) -> Result<Outcome> {
    ensure!(plan.connections > 0, "no connection to load");
    let started = Instant::now();
    let end = started + plan.time;
    let tasks: Vec<_> =
        (0..plan.connections).map(|_| tokio::spawn(one(plan.clone(), end))).collect();
    let mut all = Outcome::default();
    for task in tasks {
        let part = task.await.context("a connection's task ended")??;
        all.latencies.extend(part.latencies);
        all.unexpected = all.unexpected.saturating_add(part.unexpected);
        all.example = all.example.or(part.example);
    }
    all.elapsed = started.elapsed();
    all.latencies.sort_unstable();
    Ok(all)
}

async fn one(plan: Plan, end: Instant) -> Result<Outcome> {
    let stream = TcpStream::connect(&plan.address).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let mut outcome = Outcome::default();
    while Instant::now() < end {
        let mut request = Request::new(Full::new(plan.body.clone()));
        *request.method_mut() = plan.method.clone();
        *request.uri_mut() = plan.path.parse().context("the path")?;
        *request.headers_mut() = plan.headers.clone();
        request.headers_mut().insert(http::header::HOST, plan.address.parse()?);
        let sent = Instant::now();
        sender.ready().await.context("the connection was closed")?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        let took = sent.elapsed();
        if status.is_success() && contains(&body, &plan.expect) {
            outcome.latencies.push(took);
        } else {
            outcome.unexpected = outcome.unexpected.saturating_add(1);
            let text = || format!("{status}: {}", String::from_utf8_lossy(&body));
            outcome.example.get_or_insert_with(text);
        }
    }
    drop(sender);
    driver.abort();
    Ok(outcome)
}

fn contains(body: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || body.windows(wanted.len()).any(|window| window == wanted)
}
