//! Requests that the door refuses before anybody is authenticated.

use super::*;
use ::http::HeaderName;

fn head(uri: &str, headers: &[(&'static str, &str)]) -> Parts {
    let mut request = Request::builder().uri(uri);
    for (name, value) in headers {
        request = request.header(HeaderName::from_static(name), *value);
    }
    request.body(()).expect("a request").into_parts().0
}

#[test]
fn a_page_of_another_origin_does_not_reach_the_door() {
    let check = |base: &str, uri: &str, headers: &[(&'static str, &str)], expected: bool| {
        assert_eq!(place::is_ours(base, &head(uri, headers)), expected, "{base} {uri} {headers:?}");
    };
    let local = "http://127.0.0.1:8400";
    check(local, "/mcp/a", &[("host", "127.0.0.1:8400")], true);
    check(local, "/mcp/a", &[("host", "localhost:8400")], true);
    check(local, "/mcp/a", &[("host", "[::1]:8400")], true);
    check(local, "/mcp/a", &[("host", "127.0.0.1:9999")], false);
    check(local, "/mcp/a", &[("host", "rebound.example:8400")], false);
    check(local, "/mcp/a", &[], false);
    check(local, "http://rebound.example:8400/mcp/a", &[("host", "127.0.0.1:8400")], false);
    let host = ("host", "127.0.0.1:8400");
    check(local, "/mcp/a", &[host, ("origin", "http://127.0.0.1:8400")], true);
    check(local, "/mcp/a", &[host, ("origin", "https://127.0.0.1:8400")], false);
    check(local, "/mcp/a", &[host, ("origin", "http://evil.example")], false);
    check(local, "/mcp/a", &[host, ("origin", "null")], false);
    check(
        local,
        "/mcp/a",
        &[host, ("origin", "http://127.0.0.1:8400"), ("origin", "http://evil.example")],
        false,
    );
    let public = "https://gate.example";
    check(public, "/mcp/a", &[("host", "gate.example")], true);
    check(public, "/mcp/a", &[("host", "gate.example:443")], true);
    check(public, "/mcp/a", &[("host", "127.0.0.1")], false);
    check(public, "/mcp/a", &[("host", "gate.example"), ("origin", "https://gate.example")], true);
}

#[test]
fn a_body_is_one_message_or_refused_with_the_reason() {
    let check = |body: &str, expected: Result<&str, (Code, i64)>| {
        let actual = rpc::read(body.as_bytes());
        match (actual, expected) {
            (Ok(message), Ok(method)) => assert_eq!(message.method, method),
            (Err((wrong, code)), Err((expected, rpc))) => {
                assert_eq!(code, expected, "{body}");
                assert!(format!("{wrong:?}").contains(&rpc.to_string()), "{body}: {wrong:?}");
            }
            (actual, expected) => panic!("{body}: {actual:?} instead of {expected:?}"),
        }
    };
    check(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, Ok("ping"));
    check(r#"{"jsonrpc":"2.0","id":"a","method":"ping","params":{}}"#, Ok("ping"));
    check(
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        Ok("notifications/initialized"),
    );
    let body = |rpc| Err((Code::BodyInvalid, rpc));
    check("{", body(rpc::PARSE_ERROR));
    check("", body(rpc::PARSE_ERROR));
    check(r#"{"jsonrpc":"2.0","id":1,"method":"ping"} x"#, body(rpc::PARSE_ERROR));
    check(
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
        body(rpc::INVALID_REQUEST),
    );
    check(
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#,
        body(rpc::INVALID_REQUEST),
    );
    check(
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":9007199254740993}}"#,
        body(rpc::INVALID_REQUEST),
    );
    let protocol = Err((Code::ProtocolInvalid, rpc::INVALID_REQUEST));
    check(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, protocol);
    check("7", protocol);
    check(r#"{"id":1,"method":"ping"}"#, protocol);
    check(r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, protocol);
    check(r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, protocol);
    check(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, protocol);
    check(r#"{"jsonrpc":"2.0","id":"handle","result":{}}"#, Ok(""));
    check(r#"{"jsonrpc":"2.0","id":"handle","error":{"code":1,"message":"no"}}"#, Ok(""));
    check(r#"{"jsonrpc":"2.0","id":"handle","result":{},"error":{}}"#, protocol);
    check(r#"{"jsonrpc":"2.0","id":"handle","result":7}"#, protocol);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#, protocol);
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"a","params":{{"x":{}}}}}"#,
        "[".repeat(5_000)
    );
    check(&deep, Err((Code::BodyTooLarge, rpc::INVALID_REQUEST)));
}

#[test]
fn an_unreadable_task_reference_names_no_task_rather_than_none() {
    let good = TaskId(7).to_string();
    let check = |meta: Option<Value>, header: Option<&str>, expected: Option<TaskId>| {
        let headers = header.map(|value| ("ambit-task", value));
        let head = head("/", headers.as_slice());
        assert_eq!(task(meta.as_ref(), &head.headers), expected, "{meta:?} {header:?}");
    };
    let of_good = || Some(Value::from(good.as_str()));
    check(None, None, None);
    check(of_good(), None, Some(TaskId(7)));
    check(None, Some(&good), Some(TaskId(7)));
    check(of_good(), Some(&good), Some(TaskId(7)));
    check(of_good(), Some(&TaskId(8).to_string()), Some(TaskId(0)));
    check(Some(Value::from("nonsense")), None, Some(TaskId(0)));
    check(Some(Value::Integer(7)), None, Some(TaskId(0)));
    check(None, Some("nonsense"), Some(TaskId(0)));
}

#[test]
fn results_take_the_form_of_the_clients_revision() {
    let id = Value::Integer(1);
    let result = || crate::json::object([("content", Value::Array(Vec::new()))]);
    let modern = rpc::result_message(Era::Modern, &id, result());
    assert_eq!(modern.pointer("/result/resultType").and_then(Value::as_str), Some("complete"));
    let legacy = rpc::result_message(Era::Legacy, &id, result());
    assert_eq!(legacy.pointer("/result/resultType"), None);
    let asked = |version: &str| crate::json::object([("protocolVersion", version.into())]);
    let answered = |version: &str| lists::agreed(&asked(version));
    assert_eq!(answered("2025-06-18"), "2025-06-18");
    assert_eq!(answered("2025-11-25"), "2025-11-25");
    assert_eq!(answered("2026-07-28"), "2025-11-25");
    assert_eq!(answered(""), "2025-11-25");
}
