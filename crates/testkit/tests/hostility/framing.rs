//! Where a request ends: what a front and a back could count differently, and connections that only hold a seat.

use crate::{
    raw,
    stage::{QUIET, Stage},
};
use anyhow::{Context as _, Result, ensure};
use std::{
    io::Write as _,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

/// What is smuggled: it must never be a request of its own.
const SMUGGLED: &str = "GET /http/api/fast HTTP/1.1";

#[test]
fn a_body_has_one_length_or_the_request_is_refused() -> Result<()> {
    let stage = Stage::set()?;
    let (host, bearer) = (stage.host(), stage.bearer("reader", "api")?);
    let inner = format!("{SMUGGLED}\r\n{host}\r\n{bearer}\r\n\r\n");
    let post = |headers: &[&str], body: &str| {
        let mut all = vec![host.as_str(), bearer.as_str(), "content-type: application/json"];
        all.extend(headers);
        raw::request("POST /http/api/fast HTTP/1.1", &all, body)
    };
    let length = |body: &str| format!("content-length: {}", body.len());
    let json = r#"{"a":1}"#;
    let chunked = format!("7\r\n{json}\r\n0\r\n\r\n");
    let smuggling = format!("0\r\n\r\n{inner}");
    let whole = length(&smuggling);
    let twin = post(&[&length(json)], json);
    let twin_chunked = post(&["transfer-encoding: chunked"], &chunked);
    let rows: Vec<(&str, Vec<u8>, &[u8])> = vec![
        (
            "TE.TE, one unknown",
            post(&["transfer-encoding: chunked", "transfer-encoding: x"], &smuggling),
            &twin_chunked,
        ),
        (
            "an unknown coding",
            post(&["transfer-encoding: xchunked", &whole], &smuggling),
            &twin_chunked,
        ),
        (
            "chunked, not last",
            post(&["transfer-encoding: chunked, identity"], &smuggling),
            &twin_chunked,
        ),
        (
            "a tab before the coding",
            post(&["transfer-encoding:\x0bchunked", &whole], &smuggling),
            &twin_chunked,
        ),
        (
            "a space before the colon",
            post(&["transfer-encoding : chunked", &whole], &smuggling),
            &twin_chunked,
        ),
        (
            "a folded line",
            post(&["x: y\r\n transfer-encoding: chunked", &length(json)], json),
            &twin,
        ),
        (
            "two lengths",
            post(&["content-length: 7", "content-length: 0"], &format!("{json}{inner}")),
            &twin,
        ),
        (
            "two lengths in one line",
            post(&["content-length: 7, 0"], &format!("{json}{inner}")),
            &twin,
        ),
        ("a signed length", post(&["content-length: +7"], json), &twin),
        ("a negative length", post(&["content-length: -7"], json), &twin),
        ("a hexadecimal length", post(&["content-length: 0x7"], json), &twin),
        ("a length beyond 64 bits", post(&["content-length: 18446744073709551623"], json), &twin),
        (
            "a chunk beyond 64 bits",
            post(
                &["transfer-encoding: chunked"],
                &format!("10000000000000007\r\n{json}\r\n0\r\n\r\n"),
            ),
            &twin_chunked,
        ),
        (
            "a signed chunk",
            post(&["transfer-encoding: chunked"], &format!("+7\r\n{json}\r\n0\r\n\r\n")),
            &twin_chunked,
        ),
        (
            "a chunk without its end",
            post(&["transfer-encoding: chunked"], &format!("7\r\n{json}XX0\r\n\r\n{inner}")),
            &twin_chunked,
        ),
        ("a null in a header", post(&[&length(json), "x: a\0b"], json), &twin),
        (
            "a bare carriage return",
            post(&[&length(json), "x: a\rtransfer-encoding: chunked"], json),
            &twin,
        ),
        ("a name with a space", post(&[&length(json), "content length: 0"], json), &twin),
        ("no colon", post(&[&length(json), "transfer-encoding"], json), &twin),
        ("a coded body", post(&[&length(json), "content-encoding: gzip"], json), &twin),
        (
            "another kind of body",
            raw::request(
                "POST /http/api/fast HTTP/1.1",
                &[&host, &bearer, "content-type: text/plain", &length(json)],
                json,
            ),
            &twin,
        ),
        ("HTTP/0.9", b"GET /http/api/fast\r\n\r\n".to_vec(), &twin),
        (
            "HTTP/2 named in a line",
            raw::request("GET /http/api/fast HTTP/2.0", &[&host, &bearer], ""),
            &twin,
        ),
        (
            "a version of two digits",
            raw::request("GET /http/api/fast HTTP/1.10", &[&host, &bearer], ""),
            &twin,
        ),
    ];
    for (what, attack, twin) in rows {
        let before = stage.reached().len();
        let back = stage.send(&attack)?;
        let refused = (400..500).contains(&back.status) || (back.status == 0 && back.closed);
        ensure!(refused && back.answers <= 1, "{what}: {back:?}");
        // Where the end of a request is in doubt, the connection ends with it; what the door itself refuses has one.
        let understood = back.text.contains("application/problem+json");
        ensure!(back.closed || understood, "{what}: the connection is kept: {back:?}");
        let new = stage.reached();
        let new = new.get(before..).unwrap_or_default();
        ensure!(new.is_empty(), "{what}: {new:?} was forwarded");
        let back = stage.send(twin)?;
        ensure!(back.status == 200 && back.answers == 1, "twin of {what}: {back:?}");
        ensure!(stage.reached().len() == before + 1, "twin of {what}");
    }
    // With both, the chunks alone count (RFC 9112, 6.3), and the connection ends with that request.
    let both: [(&str, Vec<u8>); 2] = [
        ("CL.TE", post(&[&whole, "transfer-encoding: chunked"], &smuggling)),
        (
            "TE.CL",
            post(
                &["transfer-encoding: chunked", "content-length: 12"],
                &format!("{chunked}{inner}"),
            ),
        ),
    ];
    for (what, attack) in both {
        let before = stage.reached().len();
        let back = stage.send(&attack)?;
        ensure!(back.closed && back.answers == 1, "{what}: {back:?}");
        let new = stage.reached();
        ensure!(new.get(before..).unwrap_or_default() == ["POST /fast"], "{what}: {new:?}");
    }
    // Two requests in one write are two requests, in their order: that is no attack.
    let two = [twin.clone(), twin].concat();
    let (before, back) = (stage.reached().len(), stage.send(&two)?);
    ensure!(back.answers == 2 && stage.reached().len() == before + 2, "{back:?}");
    stage.is_well()
}

#[test]
fn http_2_is_refused_at_once_however_it_begins() -> Result<()> {
    let stage = Stage::set()?;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    // CVE-2023-44487: a stream is opened (HEADERS) and reset, a thousand times.
    let mut rapid = [preface.as_slice(), settings.as_slice()].concat();
    for stream in (1..2_000_u32).step_by(2) {
        rapid.extend([0, 0, 1, 1, 5]);
        rapid.extend(stream.to_be_bytes());
        rapid.push(0x82);
        rapid.extend([0, 0, 4, 3, 0]);
        rapid.extend(stream.to_be_bytes());
        rapid.extend([0, 0, 0, 8]);
    }
    let host = stage.host();
    let upgrade = raw::request(
        "GET /http/api/fast HTTP/1.1",
        &[
            &host,
            "connection: upgrade, http2-settings",
            "upgrade: h2c",
            "http2-settings: AAMAAABkAARAAAAAAAIAAAAA",
        ],
        "",
    );
    for (what, bytes) in
        [("the preface", preface.to_vec()), ("rapid reset", rapid), ("an upgrade", upgrade)]
    {
        let back = stage.send(&bytes)?;
        ensure!(back.closed && back.took < Duration::from_secs(5), "{what}: {back:?}");
        ensure!(back.status == 0 || (400..500).contains(&back.status), "{what}: {back:?}");
    }
    ensure!(stage.reached().is_empty());
    let bearer = stage.bearer("reader", "api")?;
    ensure!(stage.get(&bearer, "/http/api/fast")?.status == 200);
    stage.is_well()
}

/// Opens a connection, does something with it, and says how long it lived.
fn lifetime(address: &str, act: impl FnOnce(&mut TcpStream) -> Result<()>) -> Result<Duration> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    act(&mut stream)?;
    let back = raw::listen(&mut stream, raw::PATIENCE)?;
    ensure!(back.closed, "the connection still stands: {back:?}");
    Ok(began.elapsed())
}

/// One byte every half second until the other side has had enough.
fn drip(stream: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    for byte in bytes {
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

#[test]
fn a_connection_that_only_holds_a_seat_is_closed() -> Result<()> {
    let stage = Stage::set()?;
    let (address, host) = (stage.address(), stage.host());
    let head = format!("GET /http/api/fast HTTP/1.1\r\n{host}\r\n");
    // 10 s is the limit for a head; a busy machine may add some.
    let limit = Duration::from_secs(18);
    thread::scope(|scope| {
        let silent = scope.spawn(|| lifetime(&address, |_| Ok(())));
        let half =
            scope.spawn(|| lifetime(&address, |stream| Ok(stream.write_all(head.as_bytes())?)));
        let slow = scope.spawn(|| {
            let long = format!("{head}{}", "x-a: b\r\n".repeat(20));
            lifetime(&address, |stream| drip(stream, long.as_bytes()))
        });
        for (what, lived) in [("silent", silent), ("half-spoken", half), ("slow", slow)] {
            let lived = lived.join().map_err(|_| anyhow::anyhow!("{what}: panicked"))??;
            ensure!(lived < limit && lived > Duration::from_secs(5), "{what}: lived {lived:?}");
        }
        Ok(())
    })?;
    stage.is_well()
}

#[test]
fn a_strangers_answer_ends_its_connection_and_a_believed_agents_does_not() -> Result<()> {
    let stage = Stage::set()?;
    let (host, bearer) = (stage.host(), stage.bearer("reader", "api")?);
    let forged = format!("{}x", bearer);
    let long = "x".repeat(70 * 1024);
    let length = format!("content-length: {}", long.len());
    let post = ["content-type: application/json", &length];
    let rows: [(&str, &str, &[&str], &str, u16); 6] = [
        ("no credential", "GET /http/api/fast HTTP/1.1", &[], "", 401),
        ("a path that cannot be read", "GET /http/api//fast HTTP/1.1", &[], "", 400),
        ("a door that is not there", "GET /http/none/fast HTTP/1.1", &[], "", 401),
        ("a door without a name", "GET /http/ HTTP/1.1", &[], "", 404),
        ("too long a body", "POST /http/api/fast HTTP/1.1", &post, &long, 413),
        (
            "no message",
            "POST /mcp/tools HTTP/1.1",
            &["content-type: application/json", "content-length: 2"],
            "[]",
            400,
        ),
    ];
    for (what, line, headers, body, status) in rows {
        for (who, credential) in [("nobody", None), ("a forger", Some(forged.as_str()))] {
            let mut all = vec![host.as_str()];
            all.extend(credential);
            all.extend(headers);
            let back = stage.send(&raw::request(line, &all, body))?;
            ensure!(back.closed, "{what} by {who}: the connection is kept: {back:?}");
            ensure!(back.status == status || back.status == 0, "{what} by {who}: {back:?}");
        }
    }
    // The twin: the same wrong path by an agent that is believed keeps its connection, and is answered on it.
    let mut stream = TcpStream::connect(stage.address())?;
    for (line, status) in
        [("GET /http/api//fast HTTP/1.1", 400), ("GET /http/api/fast HTTP/1.1", 200)]
    {
        stream.write_all(&raw::request(line, &[&host, &bearer], ""))?;
        let back = raw::listen(&mut stream, QUIET)?;
        ensure!(!back.closed && back.status == status, "{line}: {back:?}");
    }
    Ok(())
}

#[test]
fn one_agents_open_calls_and_strangers_floods_take_no_room_of_others() -> Result<()> {
    let stage = Stage::set()?;
    let (host, bearer) = (stage.host(), stage.bearer("reader", "api")?);
    let slow = raw::request("GET /http/api/slow?ms=15000 HTTP/1.1", &[&host, &bearer], "");
    let mut open = Vec::new();
    for _ in 0..256 {
        let mut stream = TcpStream::connect(stage.address())?;
        stream.write_all(&slow)?;
        open.push(stream);
    }
    let end = Instant::now() + Duration::from_secs(12);
    while stage.reached().len() < 256 {
        ensure!(Instant::now() < end, "only {} calls are open", stage.reached().len());
        thread::sleep(Duration::from_millis(20));
    }
    let over = stage.get(&bearer, "/http/api/fast")?;
    ensure!(over.status == 429 && over.text.contains("too_many_calls"), "{over:?}");
    ensure!(stage.reached().len() == 256, "the call over the bound was forwarded");
    let mut strangers = Vec::new();
    for _ in 0..100 {
        strangers.push(TcpStream::connect(stage.address())?);
        stage
            .send(&raw::request("GET /http/api/fast HTTP/1.1", &[&host], ""))
            .context("a stranger")?;
    }
    let other = stage.bearer("other", "api")?;
    ensure!(stage.get(&other, "/http/api/fast")?.status == 200, "another agent is served");
    drop(open);
    let end = Instant::now() + Duration::from_secs(10);
    while stage.get(&bearer, "/http/api/fast")?.status != 200 {
        ensure!(Instant::now() < end, "the agent's seats do not come free");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
