//! An HTTP API that notes what reached it, headers and body included.

use super::{mcp::header_map, tickets::ticket};
use crate::{
    oracle::AccessLog,
    serve::{self, Answer, full},
};
use anyhow::Result;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody, combinators::BoxBody};
use hyper::body::{Bytes, Incoming};
use serde_json::json;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::net::TcpListener;

/// Serves until the process ends.
pub async fn run(listener: TcpListener, log: Arc<AccessLog>) -> Result<()> {
    serve::serve(listener, move |request| {
        let log = Arc::clone(&log);
        async move { Ok::<_, Infallible>(answer(request, &log).await) }
    })
    .await
}

async fn answer(request: Request<Incoming>, log: &AccessLog) -> Answer {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = head.uri.path().to_owned();
    let query = head.uri.query().unwrap_or_default().to_owned();
    log.note(
        "request",
        json!({
            "method": head.method.as_str(),
            "path": path,
            "query": query,
            "headers": header_map(&head.headers),
            "body": String::from_utf8_lossy(&body),
        }),
    );
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let echoed =
        head.headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let answer = match parts.as_slice() {
        ["events"] => endless(|| Bytes::from_static(b"data: tick\n\n")),
        ["clock"] => endless(|| Bytes::from(format!("data: {}\n\n", micros()))),
        ["own", ticket] => own(echoed, ticket),
        ["echo"] => reply(StatusCode::OK, json!({ "you sent": echoed }).to_string()),
        _ => route(&head.method, &parts, &query, body).await,
    };
    log.note("answer", json!({ "path": path, "status": answer.status().as_u16() }));
    answer
}

/// What each human may see with a key of her own: Ana her ticket, Omar his.
fn own(authorization: Option<&str>, ticket: &str) -> Answer {
    match (authorization, ticket) {
        (Some("Bearer key-of-ana"), "4711") | (Some("Bearer key-of-omar"), "4712") => {
            reply(StatusCode::OK, json!({ "ticket": ticket }).to_string())
        }
        (Some("Bearer key-of-ana" | "Bearer key-of-omar"), _) => {
            reply(StatusCode::FORBIDDEN, "{\"error\":\"not yours\"}")
        }
        _ => reply(StatusCode::UNAUTHORIZED, "{\"error\":\"who are you\"}"),
    }
}

async fn route(method: &Method, parts: &[&str], query: &str, body: Bytes) -> Answer {
    let number = |name: &str| -> u64 {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse().ok()).unwrap_or(0)
    };
    match (method.as_str(), parts) {
        ("GET", ["fast"]) => reply(StatusCode::OK, "{\"ok\":true}"),
        ("POST", ["fast"]) => reply(StatusCode::OK, body),
        ("GET", ["tickets", id]) => match ticket(id) {
            Some(found) => reply(StatusCode::OK, found.to_string()),
            None => reply(StatusCode::NOT_FOUND, "{\"error\":\"no such ticket\"}"),
        },
        ("POST", ["users", user, "password-reset"]) => {
            reply(StatusCode::OK, json!({ "reset": user }).to_string())
        }
        ("POST", ["mail"]) => reply(StatusCode::ACCEPTED, "{\"sent\":true}"),
        ("POST", ["transfers"]) => reply(StatusCode::CREATED, "{\"transferred\":true}"),
        ("GET", ["slow"]) => {
            tokio::time::sleep(Duration::from_millis(number("ms"))).await;
            reply(StatusCode::OK, format!("{{\"slow\":true,\"at\":{}}}", micros()))
        }
        ("GET", ["large"]) => {
            reply(StatusCode::OK, "x".repeat(usize::try_from(number("bytes")).unwrap_or(0)))
        }
        ("GET", ["redirect"]) => {
            let mut answer = reply(StatusCode::FOUND, "");
            answer
                .headers_mut()
                .insert(http::header::LOCATION, http::HeaderValue::from_static("/tickets/4711"));
            answer
        }
        ("GET", ["error"]) => reply(StatusCode::INTERNAL_SERVER_ERROR, "{\"error\":\"as asked\"}"),
        _ => reply(StatusCode::NOT_FOUND, "{\"error\":\"no such route\"}"),
    }
}

/// Microseconds since 1970, as the log has them.
fn micros() -> u128 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |span| span.as_micros())
}

/// An event every 50 ms, without end.
fn endless(event: fn() -> Bytes) -> Answer {
    let events = futures_util::stream::unfold((), move |()| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Some((Ok::<_, Infallible>(hyper::body::Frame::data(event())), ()))
    });
    let mut answer = Response::new(BoxBody::new(StreamBody::new(Box::pin(events))));
    let kind = http::HeaderValue::from_static("text/event-stream");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    answer
}

fn reply(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(full(body));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    answer
}
