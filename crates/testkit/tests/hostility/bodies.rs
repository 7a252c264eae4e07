//! JSON that two readers read differently, and bodies that are only large.

use crate::{
    names::bytes,
    raw,
    stage::{Row, Stage, check},
};
use anyhow::{Result, ensure};
use std::time::Duration;

#[test]
fn a_number_or_name_that_two_readers_read_differently_is_refused() -> Result<()> {
    let stage = Stage::set()?;
    let (host, bearer) = (stage.host(), stage.bearer("reader", "api")?);
    let post = |body: &str| {
        let length = format!("content-length: {}", body.len());
        let headers = [host.as_str(), &bearer, "content-type: application/json", &length];
        raw::request("POST /http/api/fast HTTP/1.1", &headers, body)
    };
    let rows: [(&str, &str, &str); 27] = [
        (
            "an integer beyond 2^53",
            r#"{"amount":9007199254740993}"#,
            r#"{"amount":9007199254740991}"#,
        ),
        ("a negative one", r#"{"amount":-9007199254740993}"#, r#"{"amount":-9007199254740991}"#),
        ("an integer of twenty digits", r#"{"amount":10000000000000000001}"#, r#"{"amount":1}"#),
        (
            "a fraction that a double loses",
            r#"{"amount":0.10000000000000000001}"#,
            r#"{"amount":0.1}"#,
        ),
        ("a number too large for a double", r#"{"amount":1e400}"#, r#"{"amount":1e30}"#),
        ("a number too small for a double", r#"{"amount":1e-400}"#, r#"{"amount":1e-30}"#),
        ("NaN", r#"{"amount":NaN}"#, r#"{"amount":0}"#),
        ("Infinity", r#"{"amount":Infinity}"#, r#"{"amount":0}"#),
        ("a leading zero", r#"{"amount":01}"#, r#"{"amount":1}"#),
        ("a leading plus", r#"{"amount":+1}"#, r#"{"amount":1}"#),
        ("a hexadecimal number", r#"{"amount":0x10}"#, r#"{"amount":16}"#),
        ("a bare fraction", r#"{"amount":.5}"#, r#"{"amount":0.5}"#),
        ("a name twice", r#"{"to":"a","to":"b"}"#, r#"{"to":"a"}"#),
        ("a name twice, once escaped", r#"{"to":"a","\u0074o":"b"}"#, r#"{"to":"a"}"#),
        ("a name in two cases", r#"{"to":"a","TO":"b"}"#, r#"{"to":"a"}"#),
        ("a name twice below", r#"{"a":{"to":"a","to":"b"}}"#, r#"{"a":{"to":"a"}}"#),
        ("names that fold", r#"{"k":"a","\u212a":"b"}"#, r#"{"k":"a"}"#),
        ("a lone surrogate", r#"{"to":"\udc00"}"#, r#"{"to":"\ud83d\ude00"}"#),
        ("a comment", r#"{"to":"a"/*,"to":"b"*/}"#, r#"{"to":"a"}"#),
        ("a trailing comma", r#"{"to":"a",}"#, r#"{"to":"a"}"#),
        ("single quotes", r#"{'to':'a'}"#, r#"{"to":"a"}"#),
        ("something after the end", r#"{"to":"a"} x"#, r#"{"to":"a"} "#),
        ("a control character", "{\"to\":\"a\u{1}\"}", r#"{"to":"a\u0001"}"#),
        ("a cut body", r#"{"to":"a""#, r#"{"to":"a"}"#),
        ("a byte order mark", "\u{feff}{\"to\":\"a\"}", r#"{"to":"a"}"#),
        ("a name that names a place", r#"{"@query":["admin"]}"#, r#"{"query":["admin"]}"#),
        ("nothing but a space", " ", r#"{}"#),
    ];
    let rows: Vec<Row<'_>> = rows
        .iter()
        .map(|(what, attack, twin)| Row {
            what,
            attack: post(attack),
            twin: post(twin),
            arrives: "POST /fast",
        })
        .collect();
    check(&stage, &rows)?;
    // What arrives is the canonical form of what was decided on, whatever the spelling was.
    let before = stage.api.oracle.of("request").len();
    ensure!(stage.send(&post("{ \"b\" : 1.0e0 , \"a\":\"\\u0041\" }"))?.status == 200);
    let seen = stage.api.oracle.of("request");
    let body = seen.get(before).and_then(|event| event.get("body")).and_then(|body| body.as_str());
    ensure!(body == Some(r#"{"a":"A","b":1}"#), "{body:?}");
    Ok(())
}

#[test]
fn a_body_that_is_only_large_or_deep_costs_little() -> Result<()> {
    let stage = Stage::set()?;
    let bearer = stage.mcp_bearer("reader")?;
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let call = |text: &str| {
        let message = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{text},{meta}}}}}"#
        );
        bytes(&stage, &bearer, "tools/call", "echo", &message)
    };
    let many = |count: usize| {
        format!("{{{}}}", (0..count).map(|n| format!("\"k{n}\":1")).collect::<Vec<_>>().join(","))
    };
    let deep = |depth: usize| format!("{{\"text\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
    let rows = [
        ("50 MB of text", format!("{{\"text\":\"{}\"}}", "x".repeat(50 << 20))),
        ("5 MB of text", format!("{{\"text\":\"{}\"}}", "x".repeat(5 << 20))),
        ("5,000 deep", deep(5_000)),
        ("a million deep", deep(1_000_000)),
        ("100,000 names", many(100_000)),
        ("500 deep", deep(500)),
    ];
    let twin = call(r#"{"text":"x"}"#);
    ensure!(stage.send(&twin)?.status == 200);
    let before = stage.resident()?;
    for (what, arguments) in rows {
        let calls = stage.tools.oracle.of("call").len();
        let back = raw::send(&stage.address(), &call(&arguments), Duration::from_secs(3))?;
        ensure!(
            !back.text.contains("\"isError\":false") && back.status < 500,
            "{what}: {} {}",
            back.status,
            back.closed
        );
        ensure!(stage.tools.oracle.of("call").len() == calls, "{what} was forwarded");
        ensure!(stage.send(&twin)?.status == 200, "twin of {what}");
        ensure!(stage.tools.oracle.of("call").len() == calls + 1, "twin of {what}");
    }
    let grown = stage.resident()?.saturating_sub(before);
    ensure!(grown < 64, "the gate grew by {grown} MiB");
    stage.is_well()
}
