//! The one HTTP client: it follows nothing, reaches only catalogued places, and never waits or
//! reads without a limit.

mod body;
mod connect;
mod courier;
mod destination;
mod discovery;
mod headers;
mod https;

pub use body::Body;
pub use courier::{Courier, Message};
pub use https::{Https, https};

use crate::{Departure, Fault, UpstreamCredential, limits, local::Locals};
use bytes::Bytes;
use connect::{Connector, Timed};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper_util::{client::legacy, rt::TokioExecutor, rt::TokioTimer};
use model::{AgentName, Code};
use std::{error::Error, net::SocketAddr, time::Duration};
use url::Url;

/// How long and how much the client waits and reads.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For TCP and TLS together.
    pub connect: Duration,
    /// From the request to the head of its answer.
    pub first_byte: Duration,
    /// Between two parts of an answer.
    pub idle: Duration,
    /// Bytes of one answer.
    pub response_bytes: usize,
    /// Where Ambit itself listens: never an upstream.
    pub own: Vec<SocketAddr>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            connect: limits::CONNECT,
            first_byte: limits::FIRST_BYTE,
            idle: limits::IDLE,
            response_bytes: limits::RESPONSE_BYTES,
            own: Vec::new(),
        }
    }
}

/// Why the client cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("the client for upstreams cannot be set up: {0}")]
pub struct SetupError(String);

/// A request to an upstream, in parts. The URL is built from them, never taken over as text.
#[derive(Clone, Debug, Default)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// Decoded path segments below the upstream's URL; a last empty one is a trailing slash.
    pub segments: Vec<String>,
    /// Decoded names and values of the query.
    pub query: Vec<(String, String)>,
    /// Headers to hand on; credentials, hop-by-hop headers and Ambit's own are taken out.
    pub headers: HeaderMap,
    /// The body, as canonical JSON; sent as `application/json`.
    pub json: Option<Vec<u8>>,
}

/// Sends requests to upstreams over kept connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: legacy::Client<Connector, Full<Bytes>>,
    locals: Locals,
    settings: Settings,
}

impl Client {
    /// A client that trusts the platform's certificate authorities.
    pub fn new(settings: Settings) -> Result<Client, SetupError> {
        let connector = Timed::new(settings.connect, &settings.own).map_err(SetupError)?;
        let http = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits::IDLE_CONNECTION)
            .pool_max_idle_per_host(limits::IDLE_CONNECTIONS)
            .build(connector);
        Ok(Client { http, locals: Locals::default(), settings })
    }

    /// What posts the gate's own messages over the same connections.
    #[must_use]
    pub fn courier(&self) -> Courier {
        Courier::new(self.http.clone())
    }

    /// Sends one request of a departed action. An answer of any status is a response; a redirect
    /// is one too, without its `Location`. Dropping the response cancels the request.
    ///
    /// `traceparent` is handed on as it is; without one the upstream gets the entry as its parent.
    pub async fn send(
        &self,
        departure: &Departure,
        credential: UpstreamCredential,
        request: HttpRequest,
        traceparent: Option<String>,
    ) -> Result<Response<Body>, Fault> {
        if !credential.fits(departure) {
            return Err(foreign(departure));
        }
        let url = address(credential.target().url(), &request)?;
        let mut headers = headers::outgoing(request.headers);
        headers.extend(trace_headers(departure, traceparent.as_deref())?);
        if request.json.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let body = request.json.unwrap_or_default().into();
        self.exchange(&credential, request.method, &url, headers, body).await
    }

    /// Ends all local servers and waits for their ends; none is started afterwards.
    pub async fn end_local_servers(&self) {
        self.locals.end().await;
    }

    /// Ends the local servers that serve this agent alone.
    pub fn end_local_servers_of(&self, agent: &AgentName) {
        self.locals.end_of(agent);
    }

    /// Sends to an address that was built from the credential's own target.
    pub(crate) async fn exchange(
        &self,
        credential: &UpstreamCredential,
        method: Method,
        url: &Url,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Body>, Fault> {
        if let Some(server) = credential.target().local() {
            let bounds = (self.settings.idle, self.settings.response_bytes);
            let locals = &self.locals;
            return locals.exchange(credential, server, &method, &headers, body, bounds).await;
        }
        if let Some((name, value)) = credential.header() {
            headers.insert(name, value);
        }
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut outgoing = Request::new(Full::new(body));
        *outgoing.method_mut() = method;
        *outgoing.uri_mut() = url.as_str().parse().map_err(|_| {
            Fault::caller(Code::ProtocolInvalid, "the request's URL is too long to be sent")
        })?;
        *outgoing.headers_mut() = headers;
        let sent = tokio::time::timeout(self.settings.first_byte, self.http.request(outgoing));
        let response = match sent.await {
            Err(_) => {
                return Err(Fault::unknown(
                    Code::UpstreamTimeout,
                    format!("no answer began within {:?}", self.settings.first_byte),
                ));
            }
            Ok(Err(error)) => return Err(failed(&error)),
            Ok(Ok(response)) => response,
        };
        let (mut head, body) = response.into_parts();
        if head.status.is_informational() {
            let what = "the upstream wants to speak another protocol on this connection";
            return Err(Fault::unknown(Code::UpstreamInvalid, what));
        }
        if !headers::is_plain(&head.headers) {
            // Nothing here unpacks it, so nobody would see what is in it, nor how large it becomes.
            let what = "the answer is encoded, and none but a plain one was asked for";
            return Err(Fault::unknown(Code::UpstreamInvalid, what));
        }
        headers::incoming(&mut head.headers, head.status, credential);
        let limits = (self.settings.idle, self.settings.response_bytes);
        Ok(Response::from_parts(head, Body::new(body, limits.0, limits.1)))
    }
}

/// `traceparent` for the upstream's span and the entry that its own log can name the agent by.
pub(crate) fn trace_headers(
    departure: &Departure,
    traceparent: Option<&str>,
) -> Result<HeaderMap, Fault> {
    let mut map = HeaderMap::new();
    let parent = traceparent.map_or_else(|| own_traceparent(departure), str::to_owned);
    map.insert(headers::TRACEPARENT, text(&parent)?);
    map.insert(headers::ACTION, text(&departure.entry().to_string())?);
    Ok(map)
}

/// The trace context of an action (W3C Trace Context): the span is the entry's random half.
pub(crate) fn own_traceparent(departure: &Departure) -> String {
    // All zeros is no span id; the variant bits of a UUID keep this half from being zero.
    let span = departure.entry().0 & u128::from(u64::MAX);
    format!("00-{}-{span:016x}-01", departure.trace())
}

pub(crate) fn foreign(departure: &Departure) -> Fault {
    Fault::ourselves(
        Code::UpstreamCredential,
        format!("the credential was not lent for entry `{}`", departure.entry()),
    )
}

pub(crate) fn text(value: &str) -> Result<HeaderValue, Fault> {
    HeaderValue::from_str(value).map_err(|_| {
        Fault::caller(Code::ProtocolInvalid, "a value cannot stand in a header: use visible ASCII")
    })
}

/// The upstream's URL with the request's segments and query below it.
fn address(base: &Url, request: &HttpRequest) -> Result<Url, Fault> {
    let refuse = |what: &str| Err(Fault::caller(Code::ProtocolInvalid, what));
    let last = request.segments.len().saturating_sub(1);
    for (index, segment) in request.segments.iter().enumerate() {
        if matches!(segment.as_str(), "." | "..") {
            return refuse("a path segment is `.` or `..`: name the resource itself");
        }
        if segment.contains(['/', '\\']) || segment.chars().any(char::is_control) {
            return refuse("a path segment holds a slash or a control character");
        }
        if segment.is_empty() && index != last {
            return refuse("a path segment is empty: write each slash once");
        }
    }
    let mut url = base.clone();
    if !request.segments.is_empty() {
        match url.path_segments_mut() {
            Ok(mut path) => drop(path.pop_if_empty().extend(&request.segments)),
            Err(()) => return refuse("the upstream's URL cannot have a path"),
        }
    }
    if !request.query.is_empty() {
        url.query_pairs_mut().extend_pairs(&request.query);
    }
    Ok(url)
}

/// What a failed exchange means: before the connection stood, nothing was sent.
fn failed(error: &legacy::Error) -> Fault {
    let cause = root_cause(error);
    if error.is_connect() {
        return Fault::upstream(Code::UpstreamUnreachable, format!("cannot connect: {cause}"));
    }
    Fault::unknown(Code::UpstreamTimeout, format!("the exchange broke off: {cause}"))
}

fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Whether a status says that the answer is elsewhere.
pub(crate) fn is_redirect(status: StatusCode) -> bool {
    status.is_redirection() && status != StatusCode::NOT_MODIFIED
}

#[cfg(test)]
pub(crate) mod tests;
