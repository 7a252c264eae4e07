//! Which revision a request speaks, case by case.

use super::super::rpc;
use super::*;

fn check(headers: &[(&'static str, &str)], body: &str, expected: Result<Era, (StatusCode, i64)>) {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().expect("a header"));
    }
    let message = rpc::read(body.as_bytes()).expect("a message");
    let actual = of(&message, &map).map_err(|wrong| {
        let response = wrong.about(&message).response();
        let body = futures_util::FutureExt::now_or_never(http_body_util::BodyExt::collect(
            response.into_parts().1,
        ));
        let body = body.expect("a whole body").expect("no error").to_bytes();
        let body = canonical::parse(&body, &canonical::Limits::FRAME).expect("JSON");
        let code = body.pointer("/error/code").and_then(Value::as_i64).expect("a code");
        assert_eq!(body.get("id"), Some(&Value::Integer(1)), "{body:?}");
        code
    });
    assert_eq!(
        actual.map_err(|code| (StatusCode::BAD_REQUEST, code)),
        expected,
        "{headers:?} {body}"
    );
}

fn call(meta: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","_meta":{meta}}}}}"#
    )
}

const META: &str = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

#[test]
fn a_modern_request_says_in_its_headers_what_it_says_in_its_body() {
    let version = ("mcp-protocol-version", MODERN);
    let method = ("mcp-method", "tools/call");
    let mismatch = Err((StatusCode::BAD_REQUEST, HEADER_MISMATCH));
    let body = call(META);
    check(&[version, method, ("mcp-name", "echo")], &body, Ok(Era::Modern));
    check(&[version, method, ("mcp-name", "=?base64?ZWNobw==?=")], &body, Ok(Era::Modern));
    check(&[version, method, ("mcp-name", "=?base64?!?=")], &body, mismatch);
    check(&[version, method, ("mcp-name", "other")], &body, mismatch);
    check(&[version, method, ("mcp-name", "Echo")], &body, mismatch);
    check(&[version, method], &body, mismatch);
    check(&[version, ("mcp-name", "echo")], &body, mismatch);
    check(&[version, ("mcp-method", "tools/list"), ("mcp-name", "echo")], &body, mismatch);
    check(&[version, method, method, ("mcp-name", "echo")], &body, mismatch);
    check(&[method, ("mcp-name", "echo")], &body, mismatch);
    check(&[("mcp-protocol-version", "2025-11-25"), method, ("mcp-name", "echo")], &body, mismatch);
}

#[test]
fn a_modern_request_is_complete() {
    let headers =
        [("mcp-protocol-version", MODERN), ("mcp-method", "tools/call"), ("mcp-name", "echo")];
    let params = Err((StatusCode::BAD_REQUEST, INVALID_PARAMS));
    check(&headers, &call("{}"), params);
    check(&headers, &call(r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#), params);
    check(&headers, &call(r#"{"io.modelcontextprotocol/protocolVersion":7}"#), params);
    let future = r#"{"io.modelcontextprotocol/protocolVersion":"2099-01-01","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let headers = [
        ("mcp-protocol-version", "2099-01-01"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "echo"),
    ];
    check(&headers, &call(future), Err((StatusCode::BAD_REQUEST, VERSION_UNSUPPORTED)));
}

#[test]
fn initialize_and_bare_requests_are_legacy() {
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2026-07-28"}}"#;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    check(&[], initialize, Ok(Era::Legacy));
    check(&[("mcp-protocol-version", MODERN)], initialize, Ok(Era::Legacy));
    check(&[], list, Ok(Era::Legacy));
    check(&[("mcp-protocol-version", "2025-11-25")], list, Ok(Era::Legacy));
    check(&[("mcp-protocol-version", "2025-06-18")], list, Ok(Era::Legacy));
    let invalid = Err((StatusCode::BAD_REQUEST, INVALID_REQUEST));
    check(&[("mcp-protocol-version", "2024-11-05")], list, invalid);
    let twice = [("mcp-protocol-version", "2025-11-25"), ("mcp-protocol-version", "2025-11-25")];
    check(&twice, list, invalid);
}
