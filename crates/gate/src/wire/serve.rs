//! The agents' listener: one accept loop, the two doors branched off before anything else, the rest to the issuer.

use super::{Body, credential, http as http_door, mcp, metadata, tls::Tls};
use crate::{Gate, limits};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use identity::PeerCertificate;
use model::Peer;
use std::{convert::Infallible, future::Future, net::SocketAddr, pin::Pin, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
};

/// What answers everything that is not a door: token service and metadata.
pub type Others = Arc<
    dyn Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> + Send + Sync,
>;

/// Serves until the gate stops, then lets open connections finish.
pub async fn serve(gate: Arc<Gate>, listener: TcpListener, tls: Option<Arc<Tls>>, others: Others) {
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(limits::CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = gate.stop.cancelled() => break,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of descriptors: a short pause lets some close.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let visit = Visit {
            gate: Arc::clone(&gate),
            others: Arc::clone(&others),
            watcher: graceful.watcher(),
            certificate: None,
            peer: Peer::new(peer.ip()),
            same_user: false,
        };
        let tls = tls.clone();
        tokio::spawn(async move {
            let same_user = is_own_user(&visit.gate, peer).await;
            let visit = Visit { same_user, ..visit };
            match tls {
                None => visit.attend(stream).await,
                Some(tls) => visit.attend_within(&tls, stream).await,
            }
            drop(permit);
        });
    }
    drop(listener);
    let _timed_out = tokio::time::timeout(limits::DRAIN, graceful.shutdown()).await.is_err();
}

/// What one connection needs.
struct Visit {
    gate: Arc<Gate>,
    others: Others,
    watcher: Watcher,
    certificate: Option<PeerCertificate>,
    /// Where it comes from.
    peer: Peer,
    /// Whether it comes from a process of the gate's own user, which is answered one thing only.
    same_user: bool,
}

/// Whether a connection comes from the gate's own user. What the kernel cannot tell any more is of nobody.
async fn is_own_user(gate: &Gate, peer: SocketAddr) -> bool {
    let Some(asks) = gate.settings().own_user else { return false };
    // The kernel's list is read whole: only what comes from this machine is worth that.
    peer.ip().to_canonical().is_loopback()
        && tokio::task::spawn_blocking(move || asks(peer)).await.unwrap_or(true)
}

impl Visit {
    /// Shakes hands first; who does not in time, or not in TLS, is let go without a word.
    async fn attend_within(self, tls: &Arc<Tls>, stream: TcpStream) {
        match tokio::time::timeout(limits::HEADER_TIME, tls.accept(stream)).await {
            Ok(Ok((stream, certificate))) => Visit { certificate, ..self }.attend(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn attend(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Visit { gate, others, watcher, certificate, peer, same_user } = self;
        let began = Arc::new(Notify::new());
        let service = {
            let began = Arc::clone(&began);
            hyper::service::service_fn(move |mut request: Request<Incoming>| {
                began.notify_one();
                request.extensions_mut().insert(peer);
                if let Some(certificate) = &certificate {
                    request.extensions_mut().insert(certificate.clone());
                }
                let (gate, others) = (Arc::clone(&gate), Arc::clone(&others));
                async move {
                    if same_user {
                        return Ok::<_, Infallible>(metadata::same_user());
                    }
                    Ok(route(&gate, &others, request).await)
                }
            })
        };
        let connection = builder().serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            ended = watcher.watch(connection) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended badly");
                }
            }
            () = silence(&began) => tracing::debug!("a connection that asked for nothing was closed"),
        }
    }
}

/// Completes if no request begins in time. The time-out of request heads begins with their first bytes only.
async fn silence(began: &Notify) {
    if tokio::time::timeout(limits::HEADER_TIME, began.notified()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

/// HTTP/1.1 alone: telling HTTP/2 apart without TLS waits for bytes under no time limit, and nothing here speaks it.
fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEADER_TIME)
        .max_buf_size(limits::HEAD_BYTES);
    builder
}

/// Only who is believed keeps a connection: any other answer closes it, so that strangers do not hold the seats.
async fn route(gate: &Arc<Gate>, others: &Others, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    let at_a_door = path.starts_with("/http/") || mcp::of_path(path).is_some();
    let shown = request.headers().get(header::AUTHORIZATION).cloned();
    let proves = request.headers().contains_key(credential::PROOF);
    let mut response = answer(gate, others, request).await;
    if at_a_door && (proves || response.status() == StatusCode::UNAUTHORIZED) {
        credential::give_nonce(gate, response.headers_mut());
    }
    // Whoever got an answer of an upstream was believed; of the others, those whose token is one of ours.
    let status = response.status();
    let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
    let believed = || gate.knows(credential::of_header(shown.as_ref()).as_ref());
    if !at_a_door || refused || (!status.is_success() && !believed()) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn answer(gate: &Arc<Gate>, others: &Others, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    if let Some(way) = mcp::of_path(path) {
        return mcp::handle(gate, way, request).await;
    }
    let (head, body) = request.into_parts();
    // The MCP door looks for itself. No listener trusts loopback: a page in a browser reaches it too.
    if !mcp::place::is_ours(&gate.settings().base_url, &head) {
        return metadata::forbidden();
    }
    let request = Request::from_parts(head, body);
    if request.uri().path().starts_with("/http/") {
        return http_door::handle(gate, request).await;
    }
    match metadata::resource(gate, request.method(), request.uri().path()) {
        Some(response) => response,
        None => match tokio::time::timeout(limits::TOKEN_REQUEST, others(request)).await {
            Ok(response) => response,
            Err(_) => metadata::too_slow(),
        },
    }
}

/// Bodies of other rooms' responses as bodies of this listener.
pub mod axum_body {
    use super::{Body, BodyExt, Bytes, Response};

    /// Wraps any body whose error can be shown.
    pub fn into_gate_body<B>(response: Response<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::fmt::Display,
    {
        response.map(|body| {
            body.map_err(|error| std::io::Error::other(error.to_string())).boxed_unsync()
        })
    }
}
