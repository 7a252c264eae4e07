//! Conversations with upstreams of other authors (`rmcp`), and with scripted ones that misbehave.

use super::*;
use crate::{Settings, client::tests::lend};
use ::http::{Request as HttpRequest, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use serde_json::json;
use std::{convert::Infallible, net::SocketAddr, sync::Arc};
use testkit::{
    oracle::{AccessLog, Oracle},
    upstream::mcp::Era,
};
use tokio::{net::TcpListener, sync::mpsc};

fn line(url: &str) -> Line {
    let agent = model::Name::new("helpdesk").unwrap();
    Line {
        client: Client::new(Settings::default()).unwrap(),
        credential: lend(url),
        caller: Caller::acting(&agent, None, None),
        conversation: Conversation::default(),
        trace: ::http::HeaderMap::new(),
    }
}

fn tool<'a>(name: &'a str, arguments: &'a str) -> Asking<'a> {
    Asking {
        method: Method::CallTool,
        name,
        arguments: arguments.as_bytes(),
        headers: ::http::HeaderMap::new(),
        progress: None,
        inputs: None,
        talks: true,
        traceparent: None,
    }
}

fn shown(answer: Answer) -> String {
    let Answer::Whole(outcome) = answer else { panic!("a stream") };
    String::from_utf8(outcome.value().to_bytes()).unwrap()
}

async fn rmcp(era: Era, json: bool) -> (String, Oracle, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log = Arc::new(AccessLog::open(Some(&path)).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move { testkit::upstream::mcp::run(listener, era, json, log).await });
    (url, Oracle::new(path), directory)
}

#[tokio::test]
async fn tools_of_either_era_are_called_and_listed() {
    for (era, json) in
        [(Era::Modern, false), (Era::Modern, true), (Era::Legacy, false), (Era::Both, false)]
    {
        let (url, oracle, _directory) = rmcp(era, json).await;
        let mcp = Mcp::new();
        let said = mcp.ask(line(&url), tool("echo", r#"{"text":"hé"}"#)).await.unwrap();
        assert_eq!(shown(said), r#"{"content":[{"text":"hé","type":"text"}],"isError":false}"#);
        let failed = mcp.ask(line(&url), tool("error", "{}")).await.unwrap();
        assert!(shown(failed).contains("isError\":true"), "{era:?}");
        let unknown = mcp.ask(line(&url), tool("nothing", "{}")).await.unwrap();
        let Answer::Whole(unknown) = unknown else { panic!("a stream") };
        assert!(unknown.is_protocol_error() && unknown.is_error());

        let client = Client::new(Settings::default()).unwrap();
        let tools = mcp.definitions(&client, lend(&url)).await.unwrap();
        let names: Vec<_> = tools.iter().map(|tool| tool.name.as_str()).collect();
        assert!(names.is_sorted() && names.len() == 8, "{names:?}");
        let read = &tools[names.iter().position(|name| *name == "read_ticket").unwrap()];
        assert_eq!(read.canonical, read.value.to_bytes());
        assert!(read.value.pointer("/inputSchema/properties/id").is_some());
        wire_was(era, &oracle);
    }
}

/// What the upstream saw of the era, in its own log.
fn wire_was(era: Era, oracle: &Oracle) {
    assert_eq!(oracle.calls("echo"), [json!({ "text": "hé" })]);
    let requests = oracle.of("request");
    let header = |request: &serde_json::Value, name: &str| request["headers"][name].clone();
    for request in &requests {
        assert_eq!(header(request, "authorization"), "Bearer sesame-opens");
    }
    let modern = era != Era::Legacy;
    let sessions = requests.iter().filter(|one| !header(one, "mcp-session-id").is_null()).count();
    assert_eq!(sessions == 0, modern, "{requests:?}");
    let last = requests.last().unwrap();
    let version = if modern { MODERN } else { LEGACY[0] };
    assert_eq!(header(last, "mcp-protocol-version"), version);
    assert_eq!(header(last, "mcp-method").is_null(), !modern);
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What a scripted upstream saw.
#[derive(Debug)]
struct Seen {
    message: serde_json::Value,
    session: Option<String>,
}

/// An upstream that answers each message as a function of it says.
async fn scripted<F>(answer: F) -> (String, mpsc::Receiver<Seen>)
where
    F: Fn(&Seen) -> Response<Body> + Clone + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::channel(64);
    let handle = move |request: HttpRequest<Incoming>| {
        let (answer, sender) = (answer.clone(), sender.clone());
        async move {
            let session = request.headers().get("mcp-session-id");
            let session = session.map(|id| id.to_str().unwrap().to_owned());
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let seen = Seen { message: serde_json::from_slice(&body).unwrap(), session };
            let response = answer(&seen);
            // A test that does not look lets the rest go by.
            drop(sender.try_send(seen));
            Ok::<_, Infallible>(response)
        }
    };
    tokio::spawn(async move { testkit::serve::serve(listener, handle).await });
    (format!("http://{address}/mcp"), receiver)
}

fn full(status: u16, body: &serde_json::Value) -> Response<Body> {
    let bytes = if body.is_null() { String::new() } else { body.to_string() };
    Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(bytes)).boxed_unsync())
        .unwrap()
}

fn result(seen: &Seen, result: &serde_json::Value) -> Response<Body> {
    full(200, &json!({ "jsonrpc": "2.0", "id": seen.message["id"], "result": result }))
}

fn error(status: u16, seen: &Seen, error: &serde_json::Value) -> Response<Body> {
    full(status, &json!({ "jsonrpc": "2.0", "id": seen.message["id"], "error": error }))
}

/// Events; a stream that is not ended stays open.
fn events(messages: Vec<serde_json::Value>, ends: bool) -> Response<Body> {
    let frames = messages.into_iter().map(|message| {
        Ok::<_, Infallible>(Frame::data(Bytes::from(format!("id: 1\ndata: {message}\n\n"))))
    });
    let frames = futures_util::stream::iter(frames.collect::<Vec<_>>());
    let body = if ends {
        StreamBody::new(frames).boxed_unsync()
    } else {
        use futures_util::StreamExt as _;
        StreamBody::new(frames.chain(futures_util::stream::pending())).boxed_unsync()
    };
    Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
}

/// The handshake of a legacy server; anything else is answered by the function.
fn legacy(seen: &Seen, otherwise: impl Fn(&Seen) -> Response<Body>) -> Response<Body> {
    match seen.message["method"].as_str() {
        Some("server/discover") => {
            error(400, seen, &json!({ "code": -32600, "message": "no session" }))
        }
        Some("initialize") => {
            let mut response = result(
                seen,
                &json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {} }),
            );
            response.headers_mut().insert("mcp-session-id", "s1".parse().unwrap());
            response
        }
        Some(method) if method.starts_with("notifications/") => full(202, &serde_json::Value::Null),
        None => full(202, &serde_json::Value::Null),
        Some(_) => otherwise(seen),
    }
}

/// The next message that the upstream saw; a message that never comes fails the test.
async fn next(receiver: &mut mpsc::Receiver<Seen>) -> Seen {
    let next = tokio::time::timeout(std::time::Duration::from_secs(20), receiver.recv()).await;
    next.expect("the upstream saw no further message").unwrap()
}

async fn methods(receiver: &mut mpsc::Receiver<Seen>, count: usize) -> Vec<String> {
    let mut methods = Vec::new();
    for _ in 0..count {
        let seen = next(receiver).await;
        methods.push(seen.message["method"].as_str().unwrap_or("response").to_owned());
    }
    methods
}

#[tokio::test]
async fn a_session_is_opened_once_and_again_when_it_is_gone() {
    let (url, mut seen) = scripted({
        let calls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        move |seen| {
            legacy(seen, |seen| match calls.fetch_add(1, Ordering::SeqCst) {
                1 => full(404, &serde_json::Value::Null),
                _ => result(seen, &json!({ "content": [] })),
            })
        }
    })
    .await;
    let mcp = Mcp::new();
    mcp.ask(line(&url), tool("a", "{}")).await.unwrap();
    mcp.ask(line(&url), tool("a", "{}")).await.unwrap();
    let expected = [
        "server/discover",
        "initialize",
        "notifications/initialized",
        "tools/call",
        "tools/call",
        "initialize",
        "notifications/initialized",
        "tools/call",
    ];
    assert_eq!(methods(&mut seen, expected.len()).await, expected);
}

#[tokio::test]
async fn agents_and_humans_do_not_share_a_session() {
    let (url, mut seen) =
        scripted(|seen| legacy(seen, |seen| result(seen, &json!({ "content": [] })))).await;
    let mcp = Mcp::new();
    let (one, two) = (model::Name::new("one").unwrap(), model::Name::new("two").unwrap());
    for caller in [
        Caller::acting(&one, None, None),
        Caller::acting(&one, Some(&two.clone().into()), None),
        Caller::acting(&two, None, None),
    ] {
        let line = Line { caller, ..line(&url) };
        mcp.ask(line, tool("a", "{}")).await.unwrap();
    }
    let initialized = methods(&mut seen, 10).await;
    assert_eq!(initialized.iter().filter(|method| *method == "initialize").count(), 3);
}

#[tokio::test]
async fn what_an_upstream_initiates_waits_for_whoever_decides_it() {
    let (url, mut seen) = scripted(|seen| {
        legacy(seen, |seen| {
            let token = &seen.message["params"]["_meta"]["progressToken"];
            events(
                vec![
                    json!({ "jsonrpc": "2.0", "id": 7, "method": "sampling/createMessage", "params": {} }),
                    json!({ "jsonrpc": "2.0", "id": 8, "method": "ping" }),
                    json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "data": "EVIL" } }),
                    json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": "other", "progress": 1 } }),
                    json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": token, "progress": 1, "message": "half", "x": "EVIL" } }),
                    json!({ "jsonrpc": "2.0", "id": seen.message["id"], "result": { "content": [] } }),
                ],
                true,
            )
        })
    })
    .await;
    let mcp = Mcp::new();
    let wanted = Asking { progress: Some(Value::from("mine")), ..tool("a", "{}") };
    let Answer::Stream(mut messages) = mcp.ask(line(&url), wanted).await.unwrap() else {
        panic!("not a stream")
    };
    let Some(Ok(Message::Question(question))) = messages.next().await else {
        panic!("no question")
    };
    assert_eq!(question.method, "sampling/createMessage");
    messages.refuse(&question).await;
    assert!(
        matches!(messages.next().await, Some(Ok(Message::Log(_)))),
        "words are no notification"
    );
    let Some(Ok(Message::Notification(progress))) = messages.next().await else {
        panic!("no progress")
    };
    assert_eq!(
        String::from_utf8(progress.to_bytes()).unwrap(),
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"message":"half","progress":1,"progressToken":"mine"}}"#
    );
    assert!(matches!(messages.next().await, Some(Ok(Message::Outcome(_)))));
    assert!(messages.next().await.is_none());
    let mut answers = Vec::new();
    for _ in 0..6 {
        let seen = next(&mut seen).await;
        if seen.message["method"].is_null() {
            answers.push(seen.message);
        }
    }
    assert_eq!(answers[0]["error"]["code"], -32601);
    assert_eq!(answers[1]["result"], json!({}));
}

#[tokio::test]
async fn an_upstreams_words_do_not_ride_on_progress_where_fields_are_named() {
    let (url, _seen) = scripted(|seen| match seen.message["method"].as_str() {
        Some("server/discover") => result(seen, &json!({ "supportedVersions": ["2026-07-28"] })),
        _ => {
            let token = &seen.message["params"]["_meta"]["progressToken"];
            let params = json!({ "progressToken": token, "progress": 1, "message": "EVIL" });
            events(vec![json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params })], false)
        }
    })
    .await;
    let mcp = Mcp::new();
    let wanted = Asking { progress: Some(Value::from(1)), talks: false, ..tool("a", "{}") };
    let Answer::Stream(mut messages) = mcp.ask(line(&url), wanted).await.unwrap() else {
        panic!("not a stream")
    };
    let Some(Ok(Message::Notification(progress))) = messages.next().await else {
        panic!("no progress")
    };
    assert!(!String::from_utf8(progress.to_bytes()).unwrap().contains("EVIL"));
}

#[tokio::test]
async fn dropping_a_legacy_call_tells_the_upstream() {
    let (url, mut seen) = scripted(|seen| {
        legacy(seen, |seen| {
            let token = &seen.message["params"]["_meta"]["progressToken"];
            let params = json!({ "progressToken": token, "progress": 1 });
            events(vec![json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params })], false)
        })
    })
    .await;
    let mcp = Mcp::new();
    let wanted = Asking { progress: Some(Value::from(1)), ..tool("a", "{}") };
    let answer = mcp.ask(line(&url), wanted).await.unwrap();
    assert_eq!(methods(&mut seen, 3).await[1], "initialize");
    let call = next(&mut seen).await;
    drop(answer);
    let cancelled = next(&mut seen).await;
    assert_eq!(cancelled.message["method"], "notifications/cancelled");
    assert_eq!(cancelled.message["params"]["requestId"], call.message["id"]);
    assert_eq!(cancelled.session.as_deref(), Some("s1"));
}

#[tokio::test]
async fn a_fault_says_whether_the_action_may_have_happened() {
    let check = async |answer: fn(&Seen) -> Response<Body>, expected: (Code, bool)| {
        let (url, _seen) = scripted(move |seen| match seen.message["method"].as_str() {
            Some("server/discover") => {
                result(seen, &json!({ "supportedVersions": ["2026-07-28"] }))
            }
            _ => answer(seen),
        })
        .await;
        let fault = Mcp::new().ask(line(&url), tool("a", "{}")).await.unwrap_err();
        assert_eq!((fault.code(), fault.after_send()), expected, "{fault}");
    };
    check(|_| events(vec![], true), (Code::UpstreamInvalid, true)).await;
    check(|_| full(500, &serde_json::Value::Null), (Code::UpstreamInvalid, true)).await;
    check(|_| full(503, &serde_json::Value::Null), (Code::UpstreamUnreachable, true)).await;
    check(|_| full(401, &serde_json::Value::Null), (Code::UpstreamCredential, false)).await;
    check(|_| full(302, &serde_json::Value::Null), (Code::UpstreamInvalid, false)).await;
    check(|_| full(200, &json!([1])), (Code::UpstreamInvalid, true)).await;
    check(|_| full(202, &serde_json::Value::Null), (Code::UpstreamInvalid, true)).await;
    check(
        |seen| {
            full(
                200,
                &json!({ "jsonrpc": "2.0", "id": 999, "result": { "content": [seen.session] } }),
            )
        },
        (Code::UpstreamInvalid, true),
    )
    .await;
    check(
        |seen| result(seen, &json!({ "resultType": "input_required" })),
        (Code::UpstreamInvalid, true),
    )
    .await;
}

#[tokio::test]
async fn discovery_finds_the_era_or_says_why_not() {
    let check = async |answer: fn(&Seen) -> Response<Body>, expected: Result<Dialect, Code>| {
        let (url, _seen) = scripted(move |seen| match seen.message["method"].as_str() {
            Some("server/discover") => answer(seen),
            _ => legacy(seen, |seen| error(200, seen, &json!({ "code": 1, "message": "" }))),
        })
        .await;
        let dialect = Mcp::new().dialect(&line(&url)).await.map_err(|fault| fault.code());
        assert_eq!(dialect, expected);
    };
    let session = || Dialect::Session {
        version: "2025-06-18",
        id: Some(::http::HeaderValue::from_static("s1")),
    };
    check(
        |seen| result(seen, &json!({ "supportedVersions": ["2026-07-28", "2025-11-25"] })),
        Ok(Dialect::Modern),
    )
    .await;
    check(|seen| result(seen, &json!({ "supportedVersions": ["2025-11-25"] })), Ok(session()))
        .await;
    check(
        |seen| result(seen, &json!({ "supportedVersions": ["2099-01-01"] })),
        Err(Code::UpstreamInvalid),
    )
    .await;
    check(|seen| error(404, seen, &json!({ "code": -32601, "message": "" })), Ok(session())).await;
    check(|seen| error(200, seen, &json!({ "code": -32601, "message": "" })), Ok(session())).await;
    check(|_| full(404, &serde_json::Value::Null), Ok(session())).await;
    check(|_| full(400, &serde_json::Value::Null), Ok(session())).await;
    check(|_| full(401, &serde_json::Value::Null), Err(Code::UpstreamCredential)).await;
    check(|_| full(307, &serde_json::Value::Null), Err(Code::UpstreamInvalid)).await;
    check(
        |seen| {
            error(
                400,
                seen,
                &json!({ "code": -32022, "message": "", "data": { "supported": ["2025-11-25"] } }),
            )
        },
        Ok(session()),
    )
    .await;
    check(
        |seen| {
            error(
                400,
                seen,
                &json!({ "code": -32022, "message": "", "data": { "supported": ["2099-01-01"] } }),
            )
        },
        Err(Code::UpstreamInvalid),
    )
    .await;
    check(
        |seen| error(400, seen, &json!({ "code": -32020, "message": "" })),
        Err(Code::UpstreamInvalid),
    )
    .await;
}

#[tokio::test]
async fn definitions_are_bounded_sorted_and_unambiguous() {
    let check = async |pages: fn(&Seen) -> serde_json::Value, expected: Result<Vec<&str>, Code>| {
        let (url, _seen) = scripted(move |seen| match seen.message["method"].as_str() {
            Some("server/discover") => {
                result(seen, &json!({ "supportedVersions": ["2026-07-28"] }))
            }
            _ => result(seen, &pages(seen)),
        })
        .await;
        let client = Client::new(Settings::default()).unwrap();
        let tools = Mcp::new().definitions(&client, lend(&url)).await;
        let names = tools.map(|tools| tools.into_iter().map(|tool| tool.name).collect::<Vec<_>>());
        let names = names.map_err(|fault| fault.code());
        let expected =
            expected.map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(names, expected);
    };
    check(
        |seen| match seen.message["params"]["cursor"].as_str() {
            None => json!({ "tools": [{ "name": "b", "inputSchema": {}, "icons": [] }], "nextCursor": "2" }),
            Some(_) => json!({ "tools": [{ "name": "a", "inputSchema": {} }, { "name": "c" }] }),
        },
        Ok(vec!["a", "b"]),
    )
    .await;
    check(|_| json!({ "tools": [], "nextCursor": "again" }), Err(Code::ResultTooLarge)).await;
    check(
        |_| json!({ "tools": [{ "name": "a", "inputSchema": {} }, { "name": "a", "inputSchema": {} }] }),
        Err(Code::UpstreamInvalid),
    )
    .await;
    check(|_| json!({ "tools": [{ "inputSchema": {} }] }), Err(Code::UpstreamInvalid)).await;
    check(|_| json!({}), Err(Code::UpstreamInvalid)).await;
}
