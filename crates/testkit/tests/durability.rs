//! What survives: random kills under load, the order of sync and send, clients that go away at each step, a database
//! that cuts its writer.
//!
//! The number of kills and transfers, and the seed, come from the environment (`AMBIT_TEST_KILLS`,
//! `AMBIT_TEST_TRANSFERS`, `AMBIT_TEST_SECONDS`, `AMBIT_TEST_SEED`); the stage `durability` of the test command sets
//! them to the full measure and uses the release build.

use anyhow::{Context as _, Result, ensure};
use model::record::RecordKind;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use testkit::{
    chance::{SeededEntropy, seed},
    postgres::Server,
    process::{Entry, Home, StandIn, built},
};

const CONFIG: &str = r#"version: 1
humans:
  people:
    dana: { groups: [it] }
agents:
  payer:
    purpose: Pay
    owner: group:it
    boundary: all
    credentials: { proof: none, ttl: 1h }
upstreams:
  bank:
    http: http://ADDRESS
    actions:
      transfer: { route: POST /transfers, effect: transfer, risk: medium }
      slow: { route: "GET /slow?ms", effect: read, risk: low }
      large: { route: "GET /large?bytes", effect: read, risk: low }
boundaries:
  all: { upstreams: [bank] }
"#;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

struct Stage {
    home: Home,
    bank: StandIn,
    _logs: tempfile::TempDir,
}

impl Stage {
    fn set() -> Result<Stage> {
        let logs = tempfile::tempdir()?;
        let bank = StandIn::http(logs.path(), "bank")?;
        let home = Home::new(&CONFIG.replace("ADDRESS", &bank.address))?;
        Ok(Stage { home, bank, _logs: logs })
    }

    fn token(&self) -> Result<String> {
        self.home.token("payer", &self.home.http_door("bank"), &[])
    }
}

/// What a client knows of one transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Done,
    Refused(u16),
    Cut,
}

/// Sends transfers, each with a nonce of its own, until told to stop.
async fn pay(door: String, token: String, nonces: Arc<AtomicU64>, stop: Arc<AtomicBool>, log: Log) {
    let client = reqwest::Client::new();
    while !stop.load(Ordering::Relaxed) {
        let nonce = format!("n{}", nonces.fetch_add(1, Ordering::Relaxed));
        let body = json!({ "to": "ana", "amount": 7, "nonce": nonce }).to_string();
        let request = client.post(format!("{door}/transfers")).bearer_auth(&token);
        let answer = request.header("content-type", "application/json").body(body).send().await;
        let known = match answer {
            Err(_) => Known::Cut,
            Ok(answer) => match (answer.status().as_u16(), answer.bytes().await) {
                (_, Err(_)) => Known::Cut,
                (201, Ok(_)) => Known::Done,
                (status, Ok(_)) => Known::Refused(status),
            },
        };
        log.lock().unwrap_or_else(PoisonError::into_inner).push((nonce, known));
        if known == Known::Cut {
            // The gate is being started again; asking at once would only take the processor from it.
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
}

type Log = Arc<Mutex<Vec<(String, Known)>>>;

/// The ledger, by nonce: the entry that was opened, and how it ended.
#[derive(Default)]
struct Story {
    opened: BTreeMap<String, String>,
    endings: BTreeMap<String, Vec<String>>,
}

fn story(records: &[Entry]) -> Result<Story> {
    let mut story = Story::default();
    for record in records {
        match record.kind {
            RecordKind::Opened => {
                let entry = record.text("entry").to_owned();
                story.endings.entry(entry.clone()).or_default();
                let nonce = record.arguments.pointer("/arguments/nonce").and_then(Value::as_str);
                if let Some(nonce) = nonce {
                    let twice = story.opened.insert(nonce.to_owned(), entry);
                    ensure!(twice.is_none(), "{nonce} was opened twice");
                }
            }
            RecordKind::Outcome => {
                let ending = record.text("ending").to_owned();
                let known = story.endings.get_mut(record.text("entry"));
                known.context("an outcome without an open entry")?.push(ending);
            }
            _ => {}
        }
    }
    Ok(story)
}

fn nonces_at(bank: &StandIn) -> Result<BTreeSet<String>> {
    let mut seen = BTreeSet::new();
    for request in bank.oracle.of("request") {
        let body: Value =
            serde_json::from_str(request.get("body").and_then(Value::as_str).unwrap_or_default())?;
        let nonce =
            body.get("nonce").and_then(Value::as_str).context("a transfer without nonce")?;
        ensure!(seen.insert(nonce.to_owned()), "{nonce} reached the upstream twice");
    }
    Ok(seen)
}

fn agree(story: &Story, reached: &BTreeSet<String>, log: &[(String, Known)]) -> Result<()> {
    for nonce in reached {
        ensure!(
            story.opened.contains_key(nonce),
            "{nonce} reached the upstream without an open entry"
        );
    }
    for (entry, endings) in &story.endings {
        ensure!(endings.len() == 1, "entry {entry} has the outcomes {endings:?}");
    }
    for (nonce, known) in log {
        let ending = story.opened.get(nonce).and_then(|entry| story.endings.get(entry)?.first());
        if *known == Known::Done {
            ensure!(
                reached.contains(nonce),
                "{nonce} was answered as done and did not reach the upstream"
            );
            ensure!(
                ending.is_some_and(|ending| ending == "done"),
                "{nonce} was answered as done: {ending:?}"
            );
        }
    }
    for (nonce, entry) in &story.opened {
        let done =
            story.endings.get(entry).is_some_and(|endings| endings.iter().any(|e| e == "done"));
        ensure!(
            !done || reached.contains(nonce),
            "{nonce} is recorded as done and did not reach the upstream"
        );
    }
    Ok(())
}

#[test]
fn logs_that_do_not_agree_are_seen() {
    // Opened with its endings; what reached the upstream; what the client knows.
    let check = |opened: &[(&str, &[&str])],
                 reached: &[&str],
                 log: &[(&str, Known)],
                 agrees: bool| {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let story = Story {
            opened: opened
                .iter()
                .map(|(nonce, _)| ((*nonce).to_owned(), format!("e-{nonce}")))
                .collect(),
            endings: opened
                .iter()
                .map(|(nonce, endings)| (format!("e-{nonce}"), texts(endings)))
                .collect(),
        };
        let reached = texts(reached).into_iter().collect();
        let log: Vec<_> = log.iter().map(|(nonce, known)| ((*nonce).to_owned(), *known)).collect();
        assert_eq!(agree(&story, &reached, &log).is_ok(), agrees, "{opened:?} {reached:?} {log:?}");
    };
    check(&[("a", &["done"])], &["a"], &[("a", Known::Done)], true);
    check(&[("a", &["unknown"])], &["a"], &[("a", Known::Cut)], true);
    check(&[("a", &["unknown"])], &[], &[("a", Known::Cut)], true);
    check(&[], &[], &[("a", Known::Refused(503))], true);
    check(&[], &["a"], &[("a", Known::Cut)], false);
    check(&[("a", &[])], &["a"], &[("a", Known::Cut)], false);
    check(&[("a", &["unknown", "done"])], &["a"], &[("a", Known::Cut)], false);
    check(&[("a", &["unknown"])], &["a"], &[("a", Known::Done)], false);
    check(&[("a", &["done"])], &[], &[("a", Known::Cut)], false);
    check(&[], &[], &[("a", Known::Done)], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn random_kills_leave_a_ledger_that_agrees_with_all_other_logs() -> Result<()> {
    let seed = seed();
    let chance = SeededEntropy::new(seed);
    let (kills, seconds) = (number("AMBIT_TEST_KILLS", 25), number("AMBIT_TEST_SECONDS", 60));
    let stage = Stage::set()?;
    let mut ambit = stage.home.start()?;
    let (token, door) = (stage.token()?, stage.home.http_door("bank"));
    let (log, stop) = (Log::default(), Arc::new(AtomicBool::new(false)));
    let nonces = Arc::new(AtomicU64::new(0));
    let payers: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn(pay(
                door.clone(),
                token.clone(),
                nonces.clone(),
                stop.clone(),
                log.clone(),
            ))
        })
        .collect();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut killed = 0;
    while killed < kills && Instant::now() < end {
        // One in eight dies while it starts and recovers, all others under load.
        if chance.below(8) > 0 {
            tokio::task::block_in_place(|| stage.home.wait_ready(&mut ambit))?;
        }
        tokio::time::sleep(Duration::from_micros(chance.below(60_000))).await;
        ambit.running.kill().with_context(|| format!("kill {killed} of seed {seed}"))?;
        killed += 1;
        ambit = stage.home.spawn(Command::new(built("ambit")?))?;
    }
    tokio::task::block_in_place(|| stage.home.wait_ready(&mut ambit))
        .with_context(|| format!("seed {seed}"))?;
    stop.store(true, Ordering::Relaxed);
    for payer in payers {
        payer.await?;
    }
    tokio::task::block_in_place(|| ambit.stop())?;
    stage.home.done(&["ledger", "verify"]).with_context(|| format!("seed {seed}"))?;
    let records = stage.home.records()?;
    let story = story(&records).with_context(|| format!("seed {seed}"))?;
    let reached = nonces_at(&stage.bank)?;
    let log = log.lock().unwrap_or_else(PoisonError::into_inner).clone();
    agree(&story, &reached, &log).with_context(|| format!("seed {seed}"))?;
    let done = log.iter().filter(|(_, known)| *known == Known::Done).count();
    let unknown = story.endings.values().flatten().filter(|ending| *ending == "unknown").count();
    println!(
        "seed {seed}: {killed} kills, {} calls, {done} done, {} reached the upstream, {} entries, {unknown} unknown",
        log.len(),
        reached.len(),
        story.opened.len()
    );
    ensure!(killed > 0 && done > 0, "seed {seed}: nothing was tried");
    Ok(())
}

/// Ends the session that holds the writer's lock.
const CUT_WRITER: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'";

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cuts_its_writer_stops_the_gate_and_loses_nothing() -> Result<()> {
    let server = Server::start()?;
    let stage = Stage::set()?;
    let (url, ready) = (server.url(), format!("{}/readyz", stage.home.ops()));
    let start = |more: &[&str]| -> Result<_> {
        tokio::task::block_in_place(|| stage.home.start_more(Command::new(built("ambit")?), more))
    };
    let ambit = start(&["--database-url", &url])?;
    let (token, door) = (stage.token()?, stage.home.http_door("bank"));
    let (log, stop) = (Log::default(), Arc::new(AtomicBool::new(false)));
    let nonces = Arc::new(AtomicU64::new(0));
    let payers: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn(pay(
                door.clone(),
                token.clone(),
                nonces.clone(),
                stop.clone(),
                log.clone(),
            ))
        })
        .collect();
    let known = |wanted: fn(Known) -> bool| {
        let log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().filter(|(_, known)| wanted(*known)).count()
    };
    let end = Instant::now() + Duration::from_secs(60);
    let wait = async |what: &str, holds: &dyn Fn() -> bool| -> Result<()> {
        while !holds() {
            ensure!(Instant::now() < end, "{what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    };
    wait("nothing is done", &|| known(|it| it == Known::Done) > 100).await?;
    tokio::task::block_in_place(|| server.sql(CUT_WRITER))?;
    wait("nothing is refused", &|| known(|it| matches!(it, Known::Refused(503))) > 20).await?;
    let done = known(|it| it == Known::Done);
    wait("nothing more is refused", &|| known(|it| matches!(it, Known::Refused(503))) > 60).await?;
    ensure!(known(|it| it == Known::Done) == done, "a call was done after the writer was gone");
    let answer = reqwest::get(&ready).await?;
    ensure!(answer.status() == 503, "it says that it is ready: {}", answer.text().await?);
    stop.store(true, Ordering::Relaxed);
    for payer in payers {
        payer.await?;
    }
    let shown = ambit.terminal.shown();
    ensure!(shown.contains("terminating connection"), "the operator is not told why: {shown}");
    tokio::task::block_in_place(|| ambit.stop())?;
    tokio::task::block_in_place(|| start(&[])?.stop())?;
    stage.home.done(&["ledger", "verify"])?;
    let story = story(&stage.home.records()?)?;
    let log = log.lock().unwrap_or_else(PoisonError::into_inner).clone();
    agree(&story, &nonces_at(&stage.bank)?, &log)
}

/// One line of a trace that matters here.
#[derive(Debug)]
enum Seen {
    /// Bytes of a request came from a client.
    Asked,
    /// A sync of the ledger began, in this thread.
    SyncBegan(String),
    /// A sync of the ledger ended well, in this thread.
    SyncEnded(String),
    /// Bytes went to the upstream.
    Sent,
}

/// Reads a line of `strace -f -yy`: `PID name(fd<what>, …) = result`, possibly in two halves.
fn seen(line: &str, front: &str, upstream: &str) -> Vec<Seen> {
    let Some((pid, rest)) = line.split_once(' ') else { return Vec::new() };
    let (pid, rest) = (pid.to_owned(), rest.trim_start());
    let positive = rest.rsplit_once("= ").is_some_and(|(_, result)| {
        result
            .split(' ')
            .next()
            .and_then(|number| number.parse::<i64>().ok())
            .is_some_and(|count| count > 0)
    });
    let well = rest.trim_end().ends_with("= 0");
    let is_sync = |name: &str| rest.starts_with(&format!("{name}(")) && rest.contains("/ambit.db");
    if is_sync("fdatasync") || is_sync("fsync") {
        let began = Seen::SyncBegan(pid.clone());
        return if well { vec![began, Seen::SyncEnded(pid)] } else { vec![began] };
    }
    if (rest.starts_with("<... fdatasync resumed>") || rest.starts_with("<... fsync resumed>"))
        && well
    {
        return vec![Seen::SyncEnded(pid)];
    }
    let socket = rest.split_once("<TCP:[").and_then(|(_, after)| after.split_once("]>"));
    let Some((ends, _)) = socket else { return Vec::new() };
    let reads = ["read(", "recvfrom(", "readv("].iter().any(|name| rest.starts_with(name));
    let writes =
        ["write(", "sendto(", "writev(", "sendmsg("].iter().any(|name| rest.starts_with(name));
    if reads && positive && ends.starts_with(front) {
        return vec![Seen::Asked];
    }
    if writes && ends.ends_with(upstream) { vec![Seen::Sent] } else { Vec::new() }
}

/// How many sends to the upstream followed a sync that began after their request came, and how many did not.
fn covered(trace: &str, front: &str, upstream: &str) -> (u64, u64) {
    let (mut good, mut bad, mut synced) = (0, 0, false);
    let mut began = BTreeSet::new();
    for event in trace.lines().flat_map(|line| seen(line, front, upstream)) {
        match event {
            Seen::Asked => {
                synced = false;
                began.clear();
            }
            Seen::SyncBegan(thread) => {
                began.insert(thread);
            }
            Seen::SyncEnded(thread) => synced |= began.remove(&thread),
            Seen::Sent if synced => good += 1,
            Seen::Sent => bad += 1,
        }
    }
    (good, bad)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_write_to_the_upstream_follows_the_sync_of_its_entry() -> Result<()> {
    let transfers = number("AMBIT_TEST_TRANSFERS", 100);
    let stage = Stage::set()?;
    let file = stage.home.path().join("trace");
    // As a grandchild (-D) the tracer leaves the process id to `ambit` itself.
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-yy", "-s", "0", "-o"]).arg(&file);
    command.args(["-e", "trace=read,readv,recvfrom,write,writev,sendto,sendmsg,fsync,fdatasync"]);
    command.arg(built("ambit")?);
    let ambit = tokio::task::block_in_place(|| stage.home.start_with(command))?;
    let (token, door) = (stage.token()?, stage.home.http_door("bank"));
    let client = reqwest::Client::new();
    for index in 0..transfers {
        let body = json!({ "to": "ana", "amount": 7, "nonce": format!("s{index}") }).to_string();
        let request = client.post(format!("{door}/transfers")).bearer_auth(&token);
        let answer = request.header("content-type", "application/json").body(body).send().await?;
        ensure!(answer.status() == 201, "transfer {index}: {}", answer.text().await?);
    }
    tokio::task::block_in_place(|| ambit.stop())?;
    let address = stage.home.front();
    let front = address.strip_prefix("http://").context("the front's address")?;
    let trace = std::fs::read_to_string(&file)?;
    let (good, bad) = covered(&trace, front, &stage.bank.address);
    ensure!(
        bad == 0,
        "{bad} of {} writes to the upstream came before the sync of their entry",
        good + bad
    );
    ensure!(good >= transfers, "{good} writes to the upstream for {transfers} transfers");
    Ok(())
}

#[test]
fn a_write_before_its_sync_is_seen_in_a_trace() {
    let asked =
        r#"7 recvfrom(9<TCP:[127.0.0.1:20000->127.0.0.1:5]>, ""..., 8192, 0, NULL, NULL) = 300"#;
    let sync = r#"8 fdatasync(4</tmp/x/data/ambit.db-wal>) = 0"#;
    let begun = r#"8 fdatasync(4</tmp/x/data/ambit.db-wal> <unfinished ...>"#;
    let resumed = r#"8 <... fdatasync resumed>) = 0"#;
    let failed = r#"8 fdatasync(4</tmp/x/data/ambit.db-wal>) = -1 EIO (Input/output error)"#;
    let sent = r#"7 sendto(11<TCP:[127.0.0.1:40000->127.0.0.1:30000]>, ""..., 512, MSG_NOSIGNAL, NULL, 0) = 512"#;
    let check = |lines: &[&str], expected| {
        assert_eq!(
            covered(&lines.join("\n"), "127.0.0.1:20000", "127.0.0.1:30000"),
            expected,
            "{lines:?}"
        );
    };
    check(&[asked, sync, sent], (1, 0));
    check(&[asked, begun, resumed, sent], (1, 0));
    check(&[asked, sent, sync], (0, 1));
    check(&[sync, asked, sent], (0, 1));
    check(&[begun, asked, resumed, sent], (0, 1));
    check(&[asked, failed, sent], (0, 1));
    check(&[asked, begun, sent, resumed], (0, 1));
}

/// Where the client goes away.
#[derive(Clone, Copy, Debug)]
enum Cut {
    InHead,
    InBody,
    AfterRequest(Duration),
    AfterFirstBytes,
}

fn cut(stage: &Stage, token: &str, cut: Cut, nonce: &str) -> Result<()> {
    let address = stage.home.front();
    let address = address.strip_prefix("http://").context("the front's address")?;
    let body = json!({ "to": "ana", "amount": 7, "nonce": nonce }).to_string();
    let (method, path, body) = match cut {
        Cut::AfterFirstBytes => ("GET", "large?bytes=50000000", String::new()),
        Cut::AfterRequest(_) => ("GET", "slow?ms=150", String::new()),
        Cut::InHead | Cut::InBody => ("POST", "transfers", body),
    };
    let head = format!(
        "{method} /http/bank/{path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let half = |text: &str| text.get(..text.len() / 2).unwrap_or_default().to_owned();
    match cut {
        Cut::InHead => stream.write_all(half(&head).as_bytes())?,
        Cut::InBody => stream.write_all(format!("{head}{}", half(&body)).as_bytes())?,
        Cut::AfterRequest(wait) => {
            stream.write_all(format!("{head}{body}").as_bytes())?;
            std::thread::sleep(wait);
        }
        Cut::AfterFirstBytes => {
            stream.write_all(format!("{head}{body}").as_bytes())?;
            let mut first = [0; 1_024];
            ensure!(stream.read(&mut first)? > 0, "no answer began");
        }
    }
    drop(stream.shutdown(Shutdown::Both));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_leaves_exactly_one_outcome() -> Result<()> {
    let stage = Stage::set()?;
    let ambit = tokio::task::block_in_place(|| stage.home.start())?;
    let token = stage.token()?;
    let mut cuts = vec![Cut::InHead, Cut::InBody, Cut::AfterFirstBytes];
    cuts.extend((0..40).map(|step| Cut::AfterRequest(Duration::from_millis(step * 5))));
    for (index, step) in cuts.iter().enumerate() {
        tokio::task::block_in_place(|| cut(&stage, &token, *step, &format!("c{index}")))
            .with_context(|| format!("{step:?}"))?;
    }
    tokio::task::block_in_place(|| ambit.stop())?;
    let story = story(&stage.home.records()?)?;
    for (entry, endings) in &story.endings {
        ensure!(endings.len() == 1, "entry {entry} has the outcomes {endings:?}");
    }
    ensure!(story.opened.is_empty(), "a request that never came whole was admitted");
    ensure!(!story.endings.is_empty(), "no call was admitted");
    let reached = stage.bank.oracle.of("request").len();
    ensure!(
        reached <= story.endings.len(),
        "{reached} requests for {} entries",
        story.endings.len()
    );
    Ok(())
}
