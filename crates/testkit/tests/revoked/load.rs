//! The load: callers, buyers, streams and a held call of the victim, and a bystander beside it.

use crate::{
    cases::{Case, Stop},
    scene::{Party, Scene, now},
};
use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::{JoinHandle, JoinSet};

/// Connections of the victim; every eighth buys a token for each call.
const CALLERS: usize = 32;
/// Connections of the bystander.
const OTHERS: usize = 6;
/// Calls of the victim that were answered before it is stopped.
const BEFORE: u64 = 200;
/// How long a step may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build()?.block_on(future)
}

#[derive(Default)]
struct Counts {
    /// The stop has returned.
    ended: AtomicBool,
    /// Everybody may go home.
    over: AtomicBool,
    answered: AtomicU64,
    bought: AtomicU64,
    others: AtomicU64,
    /// Successes, and tokens, of requests that were begun after the stop had returned.
    late: AtomicU64,
    /// When the upstream gave the latest answer that a caller got.
    latest: AtomicU64,
    late_bought: AtomicU64,
    /// What each caller has tried since.
    since: [AtomicU64; CALLERS],
}

impl Counts {
    fn more(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

/// Calls until all is over; `buys` says whether each call has a new token.
async fn caller(party: Party, at: usize, counts: Arc<Counts>) -> Result<()> {
    let client = Client::builder().timeout(PATIENCE).build()?;
    let buys = at % 8 == 7;
    while !counts.over.load(Ordering::SeqCst) {
        let after = counts.ended.load(Ordering::SeqCst);
        let fresh = if buys {
            let answer = party.source.ask(&party.door).await?;
            let token = answer.text("access_token").to_owned();
            ensure!(answer.status == 200 || counts_as_refused(answer.status), "{answer:?}");
            if answer.status == 200 {
                Counts::more(if after { &counts.late_bought } else { &counts.bought });
            }
            Some(token).filter(|token| !token.is_empty())
        } else {
            None
        };
        let token = fresh.as_deref().unwrap_or(party.token());
        let request = if at % 8 == 3 {
            party.call(&client, token, Method::GET, "/slow?ms=60")
        } else if at.is_multiple_of(2) || buys {
            party.call(&client, token, Method::GET, party.paths[0])
        } else {
            party.call(&client, token, Method::POST, party.paths[1])
        };
        let answer = request.send().await?;
        let success = answer.status().is_success();
        let body: Value = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
        if success {
            Counts::more(if after { &counts.late } else { &counts.answered });
            let at = body["at"].as_u64().unwrap_or_default();
            counts.latest.fetch_max(at, Ordering::SeqCst);
        }
        if after {
            Counts::more(&counts.since[at]);
        }
    }
    Ok(())
}

const fn counts_as_refused(status: u16) -> bool {
    matches!(status, 400 | 401 | 403)
}

/// Calls until all is over, and is never refused.
async fn bystander(party: Party, at: usize, counts: Arc<Counts>) -> Result<()> {
    let client = Client::builder().timeout(PATIENCE).build()?;
    while !counts.over.load(Ordering::SeqCst) {
        let request = if at.is_multiple_of(2) {
            party.call(&client, party.token(), Method::GET, party.paths[0])
        } else {
            party.call(&client, party.token(), Method::POST, party.paths[1])
        };
        let answer = request.send().await?;
        let (status, body) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "the bystander was refused: {status} {body}");
        Counts::more(&counts.others);
    }
    Ok(())
}

/// A stream of the upstream's time; the latest that has come.
struct Clock {
    latest: Arc<AtomicU64>,
    ended: JoinHandle<()>,
}

impl Clock {
    async fn open(party: &Party, http: &Client) -> Result<Clock> {
        let request = party.call(http, party.token(), Method::GET, "/clock");
        let mut answer = request.send().await?;
        ensure!(answer.status().is_success(), "{}", answer.status());
        let first = answer.chunk().await?.context("no event")?;
        let latest = Arc::new(AtomicU64::new(latest_of(&first)));
        let told = Arc::clone(&latest);
        let ended = tokio::spawn(async move {
            while let Ok(Some(event)) = answer.chunk().await {
                told.fetch_max(latest_of(&event), Ordering::SeqCst);
            }
        });
        Ok(Clock { latest, ended })
    }
}

fn latest_of(events: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(events);
    let times = text.lines().filter_map(|line| line.strip_prefix("data: ")?.trim().parse().ok());
    times.max().unwrap_or_default()
}

/// Streams of the victim at the MCP door on which nobody asked for anything, and a call that takes long.
struct Held {
    listening: Vec<Response>,
    call: JoinHandle<Result<Value>>,
}

impl Held {
    async fn open(scene: &Scene, token: &str) -> Result<Held> {
        let filter = json!({ "notifications": { "toolsListChanged": true } });
        let mut listening = scene.ask(token, "subscriptions/listen", &filter).send().await?;
        ensure!(listening.status() == 200, "{}", listening.status());
        ensure!(listening.chunk().await?.is_some(), "the subscription has begun");
        let session = scene.session(token).await?;
        let slow = json!({ "name": "slow", "arguments": { "ms": 150_000 } });
        let call = scene.ask(token, "tools/call", &slow);
        let before = scene.tools.oracle.calls("slow").len();
        let call = tokio::spawn(async move { said(call.send().await?).await });
        let begun = Instant::now();
        while scene.tools.oracle.calls("slow").len() == before {
            ensure!(
                begun.elapsed() < PATIENCE && !call.is_finished(),
                "the long call has not begun"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(Held { listening: vec![listening, session], call })
    }

    /// All of it ends, and not with a result.
    async fn ends(self, code: &str) -> Result<()> {
        let told =
            tokio::time::timeout(PATIENCE, self.call).await.context("the call goes on")???;
        ensure!(told.to_string().contains(code), "the long call: {told}");
        for mut stream in self.listening {
            let rest = async { while let Ok(Some(_)) = stream.chunk().await {} };
            tokio::time::timeout(PATIENCE, rest).await.context("a standing stream goes on")?;
        }
        Ok(())
    }
}

/// The message of an MCP answer, which may come as an event.
async fn said(answer: Response) -> Result<Value> {
    let text = answer.text().await?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let last = lines.next_back().unwrap_or(&text);
    serde_json::from_str(last).with_context(|| format!("not JSON: {text}"))
}

async fn stop(scene: &Scene, case: &Case) -> Result<()> {
    match &case.stop {
        Stop::Command(words) => {
            let done = scene.home.json(words)?;
            ensure!(done["calls_ended"] == true, "{done}");
        }
        Stop::Client(owner, token) => {
            let answer = owner.post("/oauth/revoke", &[("token", token)], None).await?;
            ensure!(answer.status == 200, "{answer:?}");
        }
    }
    Ok(())
}

/// The code of what is cut: whoever stops is obeyed before it is known why the agent is stopped.
fn cut(case: &Case) -> &'static str {
    if case.code == "owner_absent" { "revoked" } else { case.code }
}

async fn until(
    what: &str,
    callers: &mut JoinSet<Result<()>>,
    holds: impl Fn() -> bool,
) -> Result<()> {
    let begun = Instant::now();
    while !holds() {
        ensure!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        if let Some(ended) = callers.try_join_next() {
            ended?.and_then(|()| anyhow::bail!("a caller ended early"))?;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// How many requests of these paths reached the upstreams later than this.
fn reached(scene: &Scene, paths: &[&str], moment: u64) -> usize {
    let all = [scene.bank.oracle.of("request"), scene.mail.oracle.of("request")].concat();
    let text = |event: &Value| event["path"].as_str().unwrap_or_default().to_owned();
    let late = all.iter().filter(|event| event["at"].as_u64().unwrap_or_default() > moment);
    late.filter(|event| paths.contains(&text(event).as_str())).count()
}

/// The victim ends with the stop, and nobody else.
pub(crate) async fn ends(scene: &Scene, case: &Case) -> Result<()> {
    let counts = Arc::new(Counts::default());
    let mcp = case.victim.tokens.get(&scene.home.mcp_door("tools")).cloned();
    let (clock, other_clock) = (
        Clock::open(&case.victim, &scene.http).await?,
        Clock::open(&case.bystander, &scene.http).await?,
    );
    let held = match &mcp {
        Some(token) => Some(Held::open(scene, token).await?),
        None => None,
    };
    let mut callers = JoinSet::new();
    for at in 0..CALLERS {
        callers.spawn(caller(case.victim.clone(), at, Arc::clone(&counts)));
    }
    for at in 0..OTHERS {
        callers.spawn(bystander(case.bystander.clone(), at, Arc::clone(&counts)));
    }
    let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
    until("the load gets going", &mut callers, || {
        count(&counts.answered) >= BEFORE
            && count(&counts.bought) >= 8
            && count(&counts.others) >= 20
    })
    .await?;
    stop(scene, case).await?;
    let returned = now();
    counts.ended.store(true, Ordering::SeqCst);
    let others = count(&counts.others);
    until("the callers come again", &mut callers, || {
        counts.since.iter().all(|since| count(since) >= 2) && count(&counts.others) >= others + 20
    })
    .await?;
    let told = tokio::time::timeout(PATIENCE, clock.ended).await;
    told.context("the stream goes on")??;
    until("the bystander's stream goes on", &mut callers, || count(&other_clock.latest) > returned)
        .await?;
    if let Some(held) = held {
        held.ends(cut(case)).await?;
    }
    counts.over.store(true, Ordering::SeqCst);
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    ensure!(!other_clock.ended.is_finished(), "the bystander's stream ended");
    other_clock.ended.abort();
    let reached = reached(scene, &[case.victim.paths.as_slice(), &["/slow"]].concat(), returned);
    let (late, bought) = (count(&counts.late), count(&counts.late_bought));
    ensure!(reached == 0 && late == 0, "{reached} calls reached the bank, {late} were answered");
    ensure!(bought == 0 || case.buying.is_none(), "{bought} tokens were bought");
    let last = count(&counts.latest);
    ensure!(
        last > 0 && last <= returned,
        "an answer was given {} µs after the return",
        last - returned
    );
    let last = count(&clock.latest);
    ensure!(last <= returned, "the stream told of {} µs after the return", last - returned);
    captured(scene, case, mcp.as_deref()).await
}

/// What was captured before is refused with its code, and buys nothing.
async fn captured(scene: &Scene, case: &Case, mcp: Option<&str>) -> Result<()> {
    let victim = &case.victim;
    let answer =
        victim.call(&scene.http, victim.token(), Method::GET, victim.paths[0]).send().await?;
    let (status, body) = (answer.status(), answer.text().await?);
    ensure!(status == 403 && body.contains(case.code), "{status} {body}");
    if let Some(token) = mcp {
        let echo = json!({ "name": "echo", "arguments": { "text": "still here" } });
        let told = said(scene.ask(token, "tools/call", &echo).send().await?).await?;
        ensure!(told.to_string().contains(case.code), "{told}");
        ensure!(scene.tools.oracle.calls("echo").is_empty(), "it reached the tools");
        let listening = scene.ask(token, "subscriptions/listen", &json!({})).send().await?;
        ensure!(said(listening).await?.to_string().contains(case.code), "it may listen");
    }
    if let Some((error, code)) = case.buying {
        for door in victim.tokens.keys() {
            let answer = victim.source.ask(door).await?;
            let told = answer.text("error_description").to_owned();
            ensure!(answer.text("error") == error && told.starts_with(code), "{answer:?}");
        }
    }
    case.bystander.source.buy(&case.bystander.door).await.map(drop)
}

/// With the guard off the victim's calls and streams go on.
pub(crate) async fn goes_on(scene: &Scene, case: &Case) -> Result<()> {
    let clock = Clock::open(&case.victim, &scene.http).await?;
    stop(scene, case).await?;
    // Decisions are made anew only where their revision is older than a stop: that is the other guard.
    scene.home.done(&["owner", "confirm", "group:it"])?;
    let returned = now();
    let victim = &case.victim;
    for (method, path) in [(Method::GET, victim.paths[0]), (Method::POST, victim.paths[1])] {
        let answer = victim.call(&scene.http, victim.token(), method, path).send().await?;
        ensure!(answer.status().is_success(), "{}", answer.text().await?);
    }
    ensure!(reached(scene, &victim.paths, returned) == 2, "the twin shows no harm");
    let mut none = JoinSet::new();
    until("the stream goes on", &mut none, || clock.latest.load(Ordering::SeqCst) > returned)
        .await?;
    clock.ended.abort();
    Ok(())
}
