//! The demo's upstreams: own processes with own access logs, which share no code with the gate's wire modules.

pub(crate) mod http;
pub(crate) mod mcp;

use crate::{cli::StandIn, limits::STANDIN_BODY_BYTES, output::Output};
use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{convert::Infallible, fs::File, io::Write as _, path::Path, sync::Arc, sync::Mutex};
use tokio::net::TcpListener;

/// One request as an upstream saw it.
pub(crate) struct Seen {
    method: String,
    path: String,
    headers: hyper::HeaderMap,
    body: Vec<u8>,
    credential: &'static str,
}

/// An upstream's answer, and what its access log says about it.
pub(crate) struct Told {
    status: StatusCode,
    body: Option<Value>,
    log: Value,
}

impl Told {
    fn new(status: StatusCode, body: Value, log: Value) -> Told {
        Told { status, body: Some(body), log }
    }
}

/// What an upstream does with a request.
pub(crate) type Handler = fn(&Seen, crate::cli::Kind) -> Told;

/// The access log and the credential that callers must show.
struct Door {
    log: Mutex<File>,
    credential: Option<String>,
    kind: crate::cli::Kind,
    handler: Handler,
}

/// Serves until stdin closes (if asked) or the process is ended.
pub(crate) async fn serve(
    options: StandIn,
    handler: Handler,
    output: &Output,
) -> anyhow::Result<()> {
    anyhow::ensure!(options.listen.ip().is_loopback(), "a demo upstream listens on loopback only");
    let credential = options.credential_file.as_deref().map(secret).transpose()?;
    let log = File::options().create(true).append(true).open(&options.log);
    let log = Mutex::new(log.with_context(|| format!("cannot write {}", options.log.display()))?);
    let door = Arc::new(Door { log, credential, kind: options.kind, handler });
    let listener = TcpListener::bind(options.listen).await?;
    output.line(&json!({ "listen": listener.local_addr()?.to_string() }).to_string())?;
    tokio::select! {
        ended = accept(listener, door) => ended,
        () = stdin_closes(), if options.until_stdin_closes => Ok(()),
    }
}

fn secret(path: &Path) -> anyhow::Result<String> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.trim_end().to_owned())
}

/// Waits until stdin closes; what comes on it is not read. The thread is one that no end of the process waits for.
pub(crate) async fn stdin_closes() {
    let (closed, wait) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        // A stdin that cannot be read is as good as closed.
        let _unreadable =
            std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()).is_err();
        drop(closed);
    });
    let _closed = wait.await.is_err();
}

async fn accept(listener: TcpListener, door: Arc<Door>) -> anyhow::Result<()> {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let door = Arc::clone(&door);
                connections.spawn(async move {
                    let service = service_fn(move |request| respond(Arc::clone(&door), request));
                    // A client that breaks off is its own business; what it asked for is in the log.
                    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn respond(
    door: Arc<Door>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let told = match Limited::new(body, STANDIN_BODY_BYTES).collect().await {
        Err(_) => Told::new(StatusCode::PAYLOAD_TOO_LARGE, json!({"error": "body"}), json!({})),
        Ok(body) => {
            let seen = Seen {
                method: parts.method.to_string(),
                path: parts.uri.path().to_owned(),
                credential: credential(door.credential.as_deref(), &parts.headers),
                headers: parts.headers,
                body: body.to_bytes().to_vec(),
            };
            let told = answer(&door, &seen);
            if door.write(&seen, &told) {
                told
            } else {
                Told::new(StatusCode::INTERNAL_SERVER_ERROR, json!({"error": "log"}), json!({}))
            }
        }
    };
    let bytes = told.body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let mut response = Response::new(Full::new(bytes));
    *response.status_mut() = told.status;
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
    Ok(response)
}

fn answer(door: &Door, seen: &Seen) -> Told {
    match seen.credential {
        "accepted" | "none" => (door.handler)(seen, door.kind),
        _ => Told::new(StatusCode::UNAUTHORIZED, json!({"error": "credential"}), json!({})),
    }
}

/// `none` if this upstream asks for no credential.
fn credential(expected: Option<&str>, headers: &hyper::HeaderMap) -> &'static str {
    let Some(expected) = expected else { return "none" };
    match headers.get(hyper::header::AUTHORIZATION).map(|value| value.as_bytes()) {
        None => "missing",
        Some(shown) if shown == format!("Bearer {expected}").as_bytes() => "accepted",
        Some(_) => "wrong",
    }
}

impl Door {
    /// One line per request, on disk before the answer leaves; `false` if it could not be written.
    fn write(&self, seen: &Seen, told: &Told) -> bool {
        let line = json!({
            "at": jiff::Timestamp::now().as_microsecond(),
            "method": seen.method,
            "path": seen.path,
            "credential": seen.credential,
            "status": told.status.as_u16(),
            "act": told.log,
        });
        let Ok(mut log) = self.log.lock() else { return false };
        log.write_all(format!("{line}\n").as_bytes()).and_then(|()| log.flush()).is_ok()
    }
}
