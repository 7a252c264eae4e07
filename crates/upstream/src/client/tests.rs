//! Upstreams that redirect, stall, flood and break off.

use super::*;
use crate::{Broker, broker::Environment};
use http_body_util::BodyExt as _;
use model::{
    Name,
    declared::{self, CredentialSource},
};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// A listener that reads one request, answers with these bytes, and then closes or holds the connection.
async fn peer(answer: &'static str, hold: bool) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.windows(4).any(|window| window == b"\r\n\r\n") {
            let mut buffer = [0; 1024];
            let count = stream.read(&mut buffer).await.unwrap();
            if count == 0 {
                break;
            }
            seen.extend_from_slice(&buffer[..count]);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        if hold {
            // Until the client gives up and closes.
            let mut rest = [0; 1024];
            while stream.read(&mut rest).await.is_ok_and(|count| count > 0) {}
        }
        String::from_utf8(seen).unwrap()
    });
    (address, task)
}

fn settings() -> Settings {
    Settings {
        connect: Duration::from_secs(5),
        first_byte: Duration::from_millis(200),
        idle: Duration::from_millis(200),
        response_bytes: 1000,
        own: Vec::new(),
    }
}

pub(crate) fn lend(url: &str) -> UpstreamCredential {
    let environment: Environment = Arc::new(|_| Some("sesame-opens".to_owned()));
    let broker = Broker::new(environment, None);
    let name = Name::new("tickets").unwrap();
    let upstream = declared::Upstream {
        kind: declared::UpstreamKind::Http,
        url: url.to_owned(),
        local: None,
        environment: None,
        credential: Some(CredentialSource::Env("AMBIT_SECRET_TICKETS".to_owned())),
        actions: BTreeMap::new(),
        default_action: None,
        line: 1,
    };
    let upstreams = BTreeMap::from([(name.clone(), upstream)]);
    broker.publish(&upstreams, crate::wanted(&upstreams)).unwrap();
    broker.lend_for_definitions(&name).unwrap()
}

async fn exchange(url: &str) -> Result<Response<Body>, Fault> {
    let client = Client::new(settings()).unwrap();
    let credential = lend(url);
    let url = credential.target().url().clone();
    client.exchange(&credential, Method::GET, &url, HeaderMap::new(), Bytes::new()).await
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_loses_its_location() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, task) = peer(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/?t=1\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n",
        false,
    )
    .await;
    let response = exchange(&format!("http://{address}/a")).await.unwrap();
    assert_eq!(response.status(), StatusCode::FOUND);
    assert!(response.headers().get("location").is_none());
    assert!(response.headers().get("set-cookie").is_none());
    assert!(task.await.unwrap().contains("authorization: Bearer sesame-opens"));
    drop(elsewhere);
}

#[tokio::test]
async fn a_header_that_holds_the_secret_does_not_come_back() {
    let (address, _task) = peer(
        "HTTP/1.1 200 OK\r\nx-echo: got sesame-opens\r\nx-fine: yes\r\nkeep-alive: 5\r\ncontent-length: 0\r\n\r\n",
        false,
    )
    .await;
    let response = exchange(&format!("http://{address}/")).await.unwrap();
    assert!(response.headers().get("x-echo").is_none());
    assert!(response.headers().get("keep-alive").is_none());
    assert_eq!(response.headers()["x-fine"], "yes");
}

#[tokio::test]
async fn a_fault_says_whether_anything_was_sent() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = exchange(&format!("http://{free}/")).await.unwrap_err();
    assert_eq!((refused.code(), refused.after_send()), (Code::UpstreamUnreachable, false));

    let (address, _task) = peer("", false).await;
    let closed = exchange(&format!("http://{address}/")).await.unwrap_err();
    assert_eq!((closed.code(), closed.after_send()), (Code::UpstreamTimeout, true));

    let (address, _task) = peer("", true).await;
    let silent = exchange(&format!("http://{address}/")).await.unwrap_err();
    assert_eq!((silent.code(), silent.after_send()), (Code::UpstreamTimeout, true));
}

#[tokio::test]
async fn a_body_that_stalls_breaks_off_or_grows_is_a_fault() {
    let check = async |answer: &'static str, hold: bool, expected: Code| {
        let (address, _task) = peer(answer, hold).await;
        let response = exchange(&format!("http://{address}/")).await.unwrap();
        let fault = response.into_body().collect().await.err().unwrap();
        assert_eq!((fault.code(), fault.after_send()), (expected, true), "{answer}");
    };
    check("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", true, Code::UpstreamTimeout).await;
    check("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", false, Code::UpstreamTimeout).await;
    let long: &'static str = Box::leak(
        format!("HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n{}", "x".repeat(2000))
            .into_boxed_str(),
    );
    check(long, false, Code::ResultTooLarge).await;
}

#[test]
fn an_address_is_built_from_parts_below_the_upstreams_url() {
    let base = Url::parse("http://127.0.0.1:9000/api/").unwrap();
    let check = |segments: &[&str], query: &[(&str, &str)], expected: Option<&str>| {
        let request = HttpRequest {
            segments: segments.iter().map(|text| (*text).to_owned()).collect(),
            query: query.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            ..HttpRequest::default()
        };
        let url = address(&base, &request).ok().map(|url| url.to_string());
        assert_eq!(url.as_deref(), expected);
    };
    check(&["users", "bob"], &[], Some("http://127.0.0.1:9000/api/users/bob"));
    check(&["users", "b b?#%"], &[], Some("http://127.0.0.1:9000/api/users/b%20b%3F%23%25"));
    check(&["users", ""], &[], Some("http://127.0.0.1:9000/api/users/"));
    check(&["users"], &[("q", "a&b=c")], Some("http://127.0.0.1:9000/api/users?q=a%26b%3Dc"));
    check(&["users", "..", "admin"], &[], None);
    check(&["users", "a/b"], &[], None);
    check(&["users", "a\\b"], &[], None);
    check(&["users", "a\0"], &[], None);
    check(&["", "admin"], &[], None);
}

#[test]
fn the_agents_credentials_and_hops_do_not_reach_the_upstream() {
    let mut headers = HeaderMap::new();
    let sent = [
        ("authorization", "DPoP stolen"),
        ("cookie", "a=b"),
        ("dpop", "proof"),
        ("connection", "x-hop, close"),
        ("x-hop", "1"),
        ("x-forwarded-for", "10.0.0.1"),
        ("ambit-action", "ent_forged"),
        ("traceparent", "00-forged"),
        ("transfer-encoding", "chunked"),
        ("host", "evil.example"),
        ("accept", "application/json"),
    ];
    for (name, value) in sent {
        headers.insert(name, value.parse().unwrap());
    }
    let headers = headers::outgoing(headers);
    let left: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
    assert_eq!(left, ["accept"]);
}
