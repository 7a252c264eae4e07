//! Names that look alike, methods that nobody governs, and identities that somebody states for himself.

use crate::{raw, stage::Stage};
use anyhow::{Result, ensure};
use serde_json::{Value, json};

/// One MCP request of the modern revision, as bytes.
pub(crate) fn modern(
    stage: &Stage,
    bearer: &str,
    method: &str,
    name: &str,
    params: &Value,
) -> Vec<u8> {
    let mut params = params.clone();
    if let Some(members) = params.as_object_mut() {
        members.insert(
            "_meta".into(),
            json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            }),
        );
    }
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    bytes(stage, bearer, method, name, &message.to_string())
}

/// The same around a message that is given as text.
pub(crate) fn bytes(
    stage: &Stage,
    bearer: &str,
    method: &str,
    name: &str,
    message: &str,
) -> Vec<u8> {
    let (method, name) = (format!("mcp-method: {method}"), format!("mcp-name: {name}"));
    let (host, length) = (stage.host(), format!("content-length: {}", message.len()));
    let mut headers = vec![
        host.as_str(),
        bearer,
        "content-type: application/json",
        "accept: application/json, text/event-stream",
        "mcp-protocol-version: 2026-07-28",
        &method,
        &length,
    ];
    if name.len() > "mcp-name: ".len() {
        headers.push(&name);
    }
    raw::request("POST /mcp/tools HTTP/1.1", &headers, message)
}

fn is_done(back: &raw::Back) -> bool {
    back.status == 200
        && back.text.contains("\"result\"")
        && !back.text.contains("\"isError\":true")
}

#[test]
fn a_name_is_that_name_or_nothing() -> Result<()> {
    let stage = Stage::set()?;
    let bearer = stage.mcp_bearer("reader")?;
    let call = |name: &str| {
        let params = json!({ "name": name, "arguments": { "text": "hello" } });
        // A header carries ASCII only; what cannot stand in it is left to the body.
        let header = if name.is_ascii() { name } else { "echo" };
        modern(&stage, &bearer, "tools/call", header, &params)
    };
    let names = [
        "Echo",
        "ECHO",
        "echo ",
        " echo",
        "echo\t",
        "e\u{441}ho",
        "\u{435}cho",
        "ec\u{200b}ho",
        "\u{ff45}cho",
        "echo\u{0}",
        "echo.",
        "tools.echo",
        "tools/echo",
        "../echo",
        "ech\u{f6}",
        "*",
        "",
        "slow",
        "Slow",
        "transfer\u{a0}",
        "__proto__",
        "constructor",
    ];
    for name in names {
        let before = stage.tools.oracle.of("call").len();
        let back = stage.send(&call(name))?;
        ensure!(!is_done(&back) && back.status < 500, "{name:?}: {back:?}");
        ensure!(stage.tools.oracle.of("call").len() == before, "{name:?} was forwarded");
        ensure!(is_done(&stage.send(&call("echo"))?), "twin of {name:?}");
        ensure!(stage.tools.oracle.of("call").len() == before + 1, "twin of {name:?}");
    }
    Ok(())
}

#[test]
fn a_method_that_is_not_governed_does_not_exist() -> Result<()> {
    let stage = Stage::set()?;
    let bearer = stage.mcp_bearer("reader")?;
    let good = json!({ "name": "echo", "arguments": { "text": "x" } });
    let twin = modern(&stage, &bearer, "tools/call", "echo", &good);
    let methods = [
        "tools/call ",
        "Tools/Call",
        "tools//call",
        "tools/call/",
        "tools\\call",
        "tools/callx",
        "sampling/createMessage",
        "elicitation/create",
        "roots/list",
        "logging/setLevel",
        "rpc.discover",
    ];
    for method in methods {
        let before = stage.tools.oracle.of("call").len();
        let back = stage.send(&modern(&stage, &bearer, method.trim(), "echo", &good))?;
        let spaced = stage.send(&bytes(
            &stage,
            &bearer,
            "tools/call",
            "echo",
            &json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": good }).to_string(),
        ))?;
        for back in [back, spaced] {
            ensure!(method.trim() == "tools/call" || !is_done(&back), "{method:?}: {back:?}");
        }
        let forwarded = stage.tools.oracle.of("call").len() - before;
        // `tools/call ` without its space is the method itself.
        ensure!(forwarded == usize::from(method.trim() == "tools/call"), "{method:?}: {forwarded}");
        ensure!(is_done(&stage.send(&twin)?), "twin of {method:?}");
    }
    Ok(())
}

#[test]
fn a_message_is_one_message_and_its_headers_say_what_it_says() -> Result<()> {
    let stage = Stage::set()?;
    let bearer = stage.mcp_bearer("reader")?;
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let call = |name: &str, arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}","arguments":{arguments},{meta}}}}}"#
        )
    };
    let good = call("echo", r#"{"text":"x"}"#);
    let hidden = call("slow", r#"{"ms":1}"#);
    let rows: Vec<(&str, &str, &str, String)> = vec![
        ("a batch", "tools/call", "echo", format!("[{good},{hidden}]")),
        ("a batch of one", "tools/call", "echo", format!("[{good}]")),
        ("two messages", "tools/call", "echo", format!("{good}{hidden}")),
        ("two lines", "tools/call", "echo", format!("{good}\n{hidden}")),
        ("a byte order mark", "tools/call", "echo", format!("\u{feff}{good}")),
        (
            "the method twice",
            "tools/call",
            "echo",
            good.replacen(r#""id":1"#, r#""method":"ping","id":1"#, 1),
        ),
        (
            "the method in another case",
            "tools/call",
            "echo",
            good.replacen(r#""id":1"#, r#""Method":"ping","id":1"#, 1),
        ),
        (
            "the name twice",
            "tools/call",
            "echo",
            good.replacen(r#""arguments""#, r#""name":"slow","arguments""#, 1),
        ),
        ("no version", "tools/call", "echo", good.replacen(r#""jsonrpc":"2.0","#, "", 1)),
        ("another version", "tools/call", "echo", good.replacen("2.0", "1.0", 1)),
        (
            "an id that is an object",
            "tools/call",
            "echo",
            good.replacen(r#""id":1"#, r#""id":{}"#, 1),
        ),
        (
            "params that are a list",
            "tools/call",
            "echo",
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["echo"]}"#.into(),
        ),
        ("a header that names another tool", "tools/call", "slow", good.clone()),
        ("a header that names another method", "tools/list", "echo", good.clone()),
        ("arguments null", "tools/call", "echo", call("echo", "null")),
        ("arguments as text", "tools/call", "echo", call("echo", r#""{\"text\":\"x\"}""#)),
    ];
    let twin = bytes(&stage, &bearer, "tools/call", "echo", &good);
    for (what, method, name, message) in rows {
        let before = stage.tools.oracle.of("call").len();
        let back = stage.send(&bytes(&stage, &bearer, method, name, &message))?;
        ensure!(!is_done(&back) && back.status != 0 && back.status < 500, "{what}: {back:?}");
        ensure!(stage.tools.oracle.of("call").len() == before, "{what} was forwarded");
        ensure!(is_done(&stage.send(&twin)?), "twin of {what}");
        ensure!(stage.tools.oracle.of("call").len() == before + 1, "twin of {what}");
    }
    Ok(())
}

#[test]
fn nobody_is_somebody_else_by_saying_so() -> Result<()> {
    let stage = Stage::set()?;
    let host = stage.host();
    let bearer = stage.bearer("reader", "api")?;
    let line = "GET /http/api/fast HTTP/1.1";
    let token = bearer.trim_start_matches("authorization: Bearer ").to_owned();
    let basic = format!("authorization: Basic {token}");
    let in_query = format!("GET /http/api/fast?access_token={token} HTTP/1.1");
    let rows: Vec<(&str, Vec<u8>)> = vec![
        (
            "a header of another product",
            raw::request(line, &[&host, "x-agent-id: reader", "x-agent-capabilities: admin:*"], ""),
        ),
        (
            "a certificate in a header",
            raw::request(line, &[&host, "x-forwarded-client-cert: By=spiffe://x/agent/reader"], ""),
        ),
        (
            "a user in a header",
            raw::request(
                line,
                &[&host, "x-forwarded-user: dana", "x-authenticated-user: dana"],
                "",
            ),
        ),
        ("a token in the query", raw::request(&in_query, &[&host], "")),
        (
            "a token in a cookie",
            raw::request(line, &[&host, &format!("cookie: access_token={token}")], ""),
        ),
        ("another scheme", raw::request(line, &[&host, &basic], "")),
        ("two credentials", raw::request(line, &[&host, &bearer, "authorization: Bearer x"], "")),
        (
            "two credentials in one line",
            raw::request(line, &[&host, &format!("{bearer}, Bearer x")], ""),
        ),
        ("a token of another door", raw::request(line, &[&host, &stage.mcp_bearer("reader")?], "")),
    ];
    let twin = raw::request(line, &[&host, &bearer], "");
    for (what, attack) in rows {
        let before = stage.reached().len();
        let back = stage.send(&attack)?;
        ensure!(back.status == 401 && back.closed, "{what}: {back:?}");
        ensure!(stage.reached().len() == before, "{what} was forwarded");
        ensure!(stage.send(&twin)?.status == 200, "twin of {what}");
    }
    // A believed agent is the agent of its token, whatever else it says.
    let claims = [
        "x-agent-id: other",
        "x-forwarded-user: dana",
        "ambit-action: ent_forged",
        "ambit-agent: other",
    ];
    let mut headers = vec![host.as_str(), bearer.as_str()];
    headers.extend(claims);
    ensure!(stage.send(&raw::request(line, &headers, ""))?.status == 200);
    let rows = stage.home.json(&["trace", "list", "--limit", "1000"])?;
    let agents: Vec<_> = rows
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|row| row.get("agent")?.as_str())
        .collect();
    ensure!(!agents.is_empty() && agents.iter().all(|agent| *agent == "reader"), "{agents:?}");
    let log = stage.api.oracle.text();
    ensure!(
        !log.contains("ent_forged") && !log.contains("ambit-agent") && !log.contains(&token),
        "{log}"
    );
    Ok(())
}

#[test]
fn a_handle_opens_only_for_the_agent_that_it_was_given_to() -> Result<()> {
    let stage = Stage::set()?;
    let (reader, other) = (stage.mcp_bearer("reader")?, stage.mcp_bearer("other")?);
    let legacy = |bearer: &str, session: Option<&str>, message: Value| {
        let (message, host) = (message.to_string(), stage.host());
        let length = format!("content-length: {}", message.len());
        let session = session.map(|session| format!("mcp-session-id: {session}"));
        let mut headers = vec![
            host.as_str(),
            bearer,
            "content-type: application/json",
            "accept: application/json, text/event-stream",
            &length,
        ];
        headers.extend(session.as_deref());
        stage.send(&raw::request("POST /mcp/tools HTTP/1.1", &headers, &message))
    };
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "x", "version": "1" } } });
    let call = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": { "name": "echo", "arguments": { "text": "x" } } });
    let back = legacy(&reader, None, hello)?;
    let line =
        back.text.lines().find(|line| line.to_ascii_lowercase().starts_with("mcp-session-id:"));
    let session = line.and_then(|line| line.split_once(": ")).map(|(_, id)| id.trim().to_owned());
    let session = session.ok_or_else(|| anyhow::anyhow!("no session: {back:?}"))?;
    let mut flipped = session.clone().into_bytes();
    if let Some(byte) = flipped.get_mut(20) {
        *byte = if *byte == b'A' { b'B' } else { b'A' };
    }
    let flipped = String::from_utf8(flipped)?;
    let cut = session.get(..session.len() - 4).unwrap_or_default().to_owned();
    let rows = [
        ("another agent's session", &other, Some(session.as_str())),
        ("a session with one letter changed", &reader, Some(flipped.as_str())),
        ("a session cut short", &reader, Some(cut.as_str())),
        ("a made-up session", &reader, Some("8b9d0c6e-2f1a-4b0e-9a51-0d7f3c1e2a44")),
        ("no session", &reader, None),
    ];
    for (what, bearer, given) in rows {
        let before = stage.tools.oracle.of("call").len();
        let back = legacy(bearer, given, call.clone())?;
        ensure!([400, 404].contains(&back.status), "{what}: {back:?}");
        ensure!(stage.tools.oracle.of("call").len() == before, "{what} was forwarded");
        let back = legacy(&reader, Some(&session), call.clone())?;
        ensure!(is_done(&back), "twin of {what}: {back:?}");
        ensure!(stage.tools.oracle.of("call").len() == before + 1, "twin of {what}");
    }
    Ok(())
}
