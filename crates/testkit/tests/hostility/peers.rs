//! Upstreams that are hostile, broken, slow, endless or large.

use crate::{
    raw,
    stage::{SECRET, Stage},
};
use anyhow::{Result, ensure};
use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// An upstream that answers each path with something else that is wrong.
pub(crate) struct Hostile {
    pub(crate) address: String,
    /// Where a redirect leads, and what came there.
    elsewhere: String,
    seen: Arc<Mutex<Vec<String>>>,
    lured: Arc<Mutex<Vec<String>>>,
}

impl Hostile {
    pub(crate) fn open(secret: &'static str) -> Result<Hostile> {
        let (lured, seen) = (Arc::default(), Arc::default());
        let (elsewhere, _) =
            listen(Arc::clone(&lured), |stream, _| answer(stream, "200 OK", "", "lured"))?;
        let to = elsewhere.clone();
        let (address, _) = listen(Arc::clone(&seen), move |stream, head| {
            let how = head.split(' ').nth(1).unwrap_or_default().to_owned();
            misbehave(stream, how.rsplit('/').next().unwrap_or_default(), secret, &to)
        })?;
        Ok(Hostile { address, elsewhere, seen, lured })
    }

    /// The heads of the requests that came.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The heads of the requests that came where a redirect led.
    pub(crate) fn lured(&self) -> Vec<String> {
        self.lured.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

type Seen = Arc<Mutex<Vec<String>>>;

/// A listener that notes each request's head and lets `act` answer it. It ends with the test's process.
pub(crate) fn listen(
    seen: Seen,
    act: impl Fn(&mut TcpStream, &str) -> std::io::Result<()> + Send + Sync + 'static,
) -> Result<(String, thread::JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let act = Arc::new(act);
    let served = thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let (seen, act) = (Arc::clone(&seen), Arc::clone(&act));
            thread::spawn(move || {
                let mut head = Vec::new();
                let mut buffer = [0; 4096];
                while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                    match stream.read(&mut buffer) {
                        Ok(0) | Err(_) => break,
                        Ok(count) => {
                            head.extend_from_slice(buffer.get(..count).unwrap_or_default())
                        }
                    }
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(head.clone());
                // A gate that has had enough closes while we write.
                let _closed = act(&mut stream, &head).is_err();
            });
        }
    });
    Ok((address, served))
}

/// A whole answer with its length.
pub(crate) fn answer(
    stream: &mut TcpStream,
    status: &str,
    headers: &str,
    body: &str,
) -> std::io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

fn chunk(stream: &mut TcpStream, data: &[u8]) -> std::io::Result<()> {
    write!(stream, "{:x}\r\n", data.len())?;
    stream.write_all(data)?;
    stream.write_all(b"\r\n")?;
    stream.flush()
}

fn misbehave(
    stream: &mut TcpStream,
    how: &str,
    secret: &str,
    elsewhere: &str,
) -> std::io::Result<()> {
    let json = "content-type: application/json\r\n";
    let begin = |stream: &mut TcpStream, kind: &str| {
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
        )
    };
    let (first, second) = secret.split_at(secret.len() / 2);
    match how {
        "fine" => answer(stream, "200 OK", json, r#"{"id":1,"more":2}"#),
        "redirect" => answer(stream, "302 Found", &format!("location: http://{elsewhere}/a?b=c\r\nrefresh: 0; url=http://{elsewhere}\r\n"), ""),
        "permanent" => answer(stream, "308 Permanent Redirect", &format!("location: http://{elsewhere}/a\r\n"), ""),
        "challenge" => answer(stream, "401 Unauthorized", &format!("www-authenticate: Bearer resource_metadata=\"http://{elsewhere}/m\"\r\nset-cookie: a=b\r\nalt-svc: h2=\":1\"\r\nstrict-transport-security: max-age=1\r\nclear-site-data: \"*\"\r\n"), "{}"),
        "echo-header" => answer(stream, "200 OK", &format!("x-echo: {secret}\r\n"), "{}"),
        "echo-body" => answer(stream, "200 OK", json, &format!("{{\"id\":\"{secret}\"}}")),
        "echo-events" => {
            begin(stream, "text/event-stream")?;
            chunk(stream, b"data: before\n\n")?;
            thread::sleep(Duration::from_millis(50));
            chunk(stream, format!("data: {first}").as_bytes())?;
            thread::sleep(Duration::from_millis(50));
            chunk(stream, format!("{second}\n\n").as_bytes())?;
            chunk(stream, b"data: after\n\n")?;
            stream.write_all(b"0\r\n\r\n")
        }
        "echo-large" => {
            begin(stream, "application/octet-stream")?;
            chunk(stream, &vec![b'x'; 300 * 1024])?;
            chunk(stream, first.as_bytes())?;
            chunk(stream, second.as_bytes())?;
            stream.write_all(b"0\r\n\r\n")
        }
        "events" => {
            begin(stream, "text/event-stream")?;
            chunk(stream, format!("data: {first}").as_bytes())?;
            chunk(stream, b" and no more\n\n")?;
            thread::sleep(Duration::from_millis(1_500));
            chunk(stream, b"data: last\n\n")?;
            stream.write_all(b"0\r\n\r\n")
        }
        "endless-events" => {
            begin(stream, "text/event-stream")?;
            let event = format!("data: {}\n\n", "x".repeat(8_000));
            loop {
                chunk(stream, event.as_bytes())?;
            }
        }
        "endless-body" => {
            begin(stream, "application/octet-stream")?;
            loop {
                chunk(stream, &[b'x'; 32 * 1024])?;
            }
        }
        "endless-head" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            loop {
                stream.write_all(b"x-more: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")?;
            }
        }
        "large" => answer(stream, "200 OK", "content-type: application/octet-stream\r\n", &"x".repeat(50 << 20)),
        // Ten megabytes of zeros in ten kilobytes: gzip of nothing but a length is enough to be refused.
        "bomb" => answer(stream, "200 OK", "content-type: application/json\r\ncontent-encoding: gzip\r\n", "\u{1f}not really gzip"),
        "two-lengths" => write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 9\r\n\r\n{{}}HTTP/1.1 200 OK\r\n"),
        "short" => write!(stream, "HTTP/1.1 200 OK\r\n{json}content-length: 99\r\n\r\n{{\"id\":1}}"),
        "no-http" => stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n"),
        "switch" => stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nraw"),
        "no-json" => answer(stream, "200 OK", json, "<html>"),
        "list" => answer(stream, "200 OK", json, r#"[{"id":1,"more":2}]"#),
        "twice" => answer(stream, "200 OK", json, r#"{"id":1,"ID":2,"id":3}"#),
        _ => answer(stream, "404 Not Found", json, "{}"),
    }
}

/// What an agent gets of a hostile answer: its status, and what must be and must not be in it.
struct Row {
    how: &'static str,
    status: &'static [u16],
    holds: &'static [&'static str],
    lacks: &'static [&'static str],
}

#[test]
fn what_a_hostile_upstream_sends_does_not_reach_the_agent() -> Result<()> {
    let stage = Stage::set()?;
    let bearer = stage.bearer("reader", "hostile")?;
    let headers: &[&str] = &[
        "location:",
        "refresh:",
        "www-authenticate:",
        "set-cookie:",
        "alt-svc:",
        "strict-transport",
        "clear-site-data",
    ];
    let row = |how, status, holds, lacks| Row { how, status, holds, lacks };
    let rows = [
        row("redirect", &[302], &[], headers),
        row("permanent", &[308], &[], headers),
        row("challenge", &[401], &[], headers),
        row("echo-header", &[200], &[], &[SECRET, "x-echo"]),
        row("echo-body", &[502], &["result_withheld"], &[SECRET]),
        row("kept/echo-body", &[502], &["result_withheld"], &[SECRET]),
        row("bomb", &[502], &["upstream_invalid"], &["gzip"]),
        row("kept/bomb", &[502], &["upstream_invalid"], &["gzip"]),
        row("two-lengths", &[502, 504], &[], &["HTTP/1.1 200"]),
        row("short", &[502, 504], &[], &["\"id\""]),
        row("no-http", &[502, 504], &[], &["SSH"]),
        row("switch", &[502, 504], &[], &["raw", "websocket"]),
        row("endless-head", &[502, 504], &[], &["x-more"]),
        row("kept/no-json", &[502], &["result_withheld"], &["<html>"]),
        row("kept/list", &[502, 200], &[], &["more"]),
        row("kept/twice", &[502], &["result_withheld"], &["ID"]),
        row("kept/large", &[502], &["result_too_large"], &["xxxx"]),
    ];
    for Row { how, status, holds, lacks } in rows {
        let before = stage.hostile.seen().len();
        let back = stage.get(&bearer, &format!("/http/hostile/{how}"))?;
        ensure!(
            status.contains(&back.status),
            "{how}: {}",
            back.text.get(..600).unwrap_or(&back.text)
        );
        let text = back.text.to_ascii_lowercase();
        ensure!(holds.iter().all(|part| text.contains(part)), "{how}: {}", back.text);
        ensure!(
            !lacks.iter().any(|part| text.contains(&part.to_ascii_lowercase())),
            "{how}: {}",
            back.text
        );
        ensure!(stage.hostile.seen().len() > before, "{how}: the upstream was not called");
        let twin = if how.starts_with("kept/") { "kept/fine" } else { "fine" };
        let back = stage.get(&bearer, &format!("/http/hostile/{twin}"))?;
        ensure!(back.status == 200 && back.text.contains("\"id\":1"), "twin of {how}: {back:?}");
        ensure!(back.text.contains("more") == (twin == "fine"), "twin of {how}: {back:?}");
    }
    let lured = stage.hostile.lured();
    ensure!(lured.is_empty(), "something came to {}: {lured:?}", stage.hostile.elsewhere);
    ensure!(
        stage.hostile.seen().iter().all(|head| head.contains(SECRET)),
        "each call carried the credential"
    );
    stage.is_well()
}

#[test]
fn a_stream_that_holds_the_secret_is_broken_off_before_it() -> Result<()> {
    let stage = Stage::set()?;
    let bearer = stage.bearer("reader", "hostile")?;
    let (first, _) = SECRET.split_at(SECRET.len() / 2);
    for how in ["echo-events", "echo-large"] {
        let back = stage.get(&bearer, &format!("/http/hostile/{how}"))?;
        ensure!(back.status == 200 && back.closed, "{how}: {}", back.status);
        ensure!(!back.text.contains(first), "{how}: a part of the secret came");
        ensure!(
            !back.text.contains("after") && !back.text.ends_with("0\r\n\r\n"),
            "{how}: it ended cleanly"
        );
        ensure!(how == "echo-large" || back.text.contains("data: before"), "{how}: {}", back.text);
        let traces = stage.home.json(&["trace", "list", "--limit", "1"])?;
        ensure!(
            traces.to_string().contains("result_withheld") || !traces.to_string().is_empty(),
            "{traces}"
        );
    }
    // The twin has the beginning of the secret and goes on otherwise; its events come as they are said.
    let host = stage.host();
    let request = raw::request(
        "GET /http/hostile/events HTTP/1.1",
        &[&host, &bearer, "connection: close"],
        "",
    );
    let mut stream = TcpStream::connect(stage.address())?;
    stream.write_all(&request)?;
    let early = raw::listen(&mut stream, Duration::from_millis(900))?;
    ensure!(
        early.text.contains(&format!("{first} and no more")) && !early.text.contains("last"),
        "{early:?}"
    );
    let rest = raw::listen(&mut stream, raw::PATIENCE)?;
    ensure!(rest.text.contains("data: last") && rest.text.ends_with("0\r\n\r\n"), "{rest:?}");
    Ok(())
}

#[test]
fn an_endless_answer_ends_and_costs_no_memory() -> Result<()> {
    let stage = Stage::set()?;
    let bearer = stage.bearer("reader", "hostile")?;
    ensure!(stage.get(&bearer, "/http/hostile/fine")?.status == 200);
    let before = stage.resident()?;
    thread::scope(|scope| {
        let fetch = |how: &'static str| {
            let (stage, bearer) = (&stage, &bearer);
            scope.spawn(move || stage.get(bearer, &format!("/http/hostile/{how}")))
        };
        let calls = ["endless-events", "endless-body", "large", "endless-events", "endless-body"]
            .map(|how| (how, fetch(how)));
        for (how, call) in calls {
            let back = call.join().map_err(|_| anyhow::anyhow!("{how}: panicked"))??;
            ensure!(back.closed && back.text.len() < 20 << 20, "{how}: {} bytes", back.text.len());
            ensure!(!back.text.ends_with("0\r\n\r\n"), "{how}: it ended cleanly");
        }
        Ok(())
    })?;
    let grown = stage.resident()?.saturating_sub(before);
    ensure!(grown < 64, "the gate grew by {grown} MiB");
    let back = stage.get(&bearer, "/http/hostile/fine")?;
    ensure!(back.status == 200, "{back:?}");
    stage.is_well()
}
