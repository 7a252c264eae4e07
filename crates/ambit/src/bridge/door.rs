//! The local door: loopback HTTP for one agent's programs, which know its address and nothing else (S19).

use super::{
    conversation::{Conversation, Event, Events, Reply},
    holder::{Holder, Use, jittered, random_hex},
    message::{Message, SESSION},
    reach::Trouble,
    told::Told,
};
use crate::limits;
use anyhow::Context as _;
use bytes::Bytes;
use futures_util::stream;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use http_body_util::{BodyExt as _, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{net::TcpListener, sync::Semaphore, time::Instant};

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// The door's secret, for clients that cannot have it in their URL.
const KNOCK: HeaderName = HeaderName::from_static("ambit-door");

/// What is between two neighbours only, and what a program may not say for itself.
static DROPPED: [HeaderName; 15] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::AUTHORIZATION,
    header::COOKIE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("dpop"),
    HeaderName::from_static("dpop-nonce"),
    KNOCK,
];

/// A listening door.
pub(super) struct Door {
    listener: TcpListener,
    address: SocketAddr,
    inside: Arc<Inside>,
}

struct Inside {
    holder: Arc<Holder>,
    told: Told,
    secret: String,
    port: u16,
    /// Sessions by the id that their clients were given.
    sessions: Mutex<BTreeMap<String, Arc<Conversation>>>,
    /// Conversations without a session, by path.
    plain: Mutex<BTreeMap<String, Arc<Conversation>>>,
}

impl Door {
    /// Opens a door with a secret of its own; loopback only.
    pub(super) async fn open(
        holder: Arc<Holder>,
        told: Told,
        address: SocketAddr,
    ) -> anyhow::Result<Door> {
        anyhow::ensure!(
            address.ip().is_loopback(),
            "`{address}` is not a loopback address: a local door is for programs on this machine"
        );
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on `{address}`: choose another `--listen`"))?;
        let address = listener.local_addr()?;
        let inside = Inside {
            holder,
            told,
            secret: random_hex(),
            port: address.port(),
            sessions: Mutex::default(),
            plain: Mutex::default(),
        };
        Ok(Door { listener, address, inside: Arc::new(inside) })
    }

    /// Its address with its secret, without a slash at its end.
    pub(super) fn base(&self) -> String {
        format!("http://{}/{}", self.address, self.inside.secret)
    }

    /// Serves until told to stop.
    pub(super) async fn serve(self, stop: impl Future<Output = ()>) {
        let room = Arc::new(Semaphore::new(limits::BRIDGE_CONNECTIONS));
        tokio::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut stop => return,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(limits::BRIDGE_FIRST_PAUSE).await;
                continue;
            };
            let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
            let inside = Arc::clone(&self.inside);
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request| {
                    let inside = Arc::clone(&inside);
                    async move { Ok::<_, Infallible>(inside.answer(request).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(limits::BRIDGE_HEAD)
                    .serve_connection(TokioIo::new(stream), service);
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection of the local door ended badly");
                }
                drop(permit);
            });
        }
    }
}

impl Inside {
    async fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        if !self.is_local(&head.headers) {
            return empty(StatusCode::FORBIDDEN);
        }
        let Some(path) = self.admitted(&head.uri, &head.headers) else {
            return empty(StatusCode::NOT_FOUND);
        };
        let body = match Limited::new(body, limits::BRIDGE_MESSAGE_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return empty(StatusCode::PAYLOAD_TOO_LARGE),
        };
        let mut headers = head.headers;
        for name in &DROPPED {
            headers.remove(name);
        }
        let mcp = path == "/mcp" || path.starts_with("/mcp/");
        if mcp
            && head.method == Method::POST
            && let Some(message) = Message::read(body.clone())
        {
            return self.converse(&path, message, headers).await;
        }
        let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let asked = Asked { method: head.method, path, query, headers, body };
        if mcp || asked.path.starts_with("/http/") {
            return self.pass(asked).await;
        }
        empty(StatusCode::NOT_FOUND)
    }

    /// A page in a browser says where it is from, or asks under another name.
    fn is_local(&self, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok()).unwrap_or_default();
        let names = ["127.0.0.1", "localhost", "[::1]"];
        let ours = names.iter().any(|name| host == format!("{name}:{}", self.port));
        ours && hosts.next().is_none() && !headers.contains_key(header::ORIGIN)
    }

    /// The path behind the secret, for whoever knows it.
    fn admitted(&self, uri: &Uri, headers: &HeaderMap) -> Option<String> {
        let path = uri.path();
        if let Some(knock) = headers.get(KNOCK) {
            return self.knows(knock.as_bytes()).then(|| path.to_owned());
        }
        let (secret, rest) = path.strip_prefix('/')?.split_once('/')?;
        self.knows(secret.as_bytes()).then(|| format!("/{rest}"))
    }

    fn knows(&self, shown: &[u8]) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(shown, self.secret.as_bytes()).is_ok()
    }

    async fn converse(
        self: &Arc<Self>,
        path: &str,
        message: Message,
        headers: HeaderMap,
    ) -> Response<Body> {
        let greets = message.method() == Some("initialize");
        let named = headers.get(SESSION).and_then(|id| id.to_str().ok()).map(str::to_owned);
        let conversation = match &named {
            _ if greets => Some(self.begin(path)),
            Some(id) => self.in_session(id),
            None => Some(self.without_session(path)),
        };
        // A session of an earlier door: the client is told to begin again.
        let Some(conversation) = conversation else { return empty(StatusCode::NOT_FOUND) };
        match conversation.send(message, &headers).await {
            Reply::Events(events) => streamed(events),
            Reply::Whole(whole) => {
                let mut response = json(whole.status, whole.body);
                if greets && whole.status.is_success() {
                    let id = whole.session.and_then(|id| Some(id.to_str().ok()?.to_owned()));
                    let id = id.unwrap_or_else(random_hex);
                    if let Ok(value) = HeaderValue::from_str(&id) {
                        response.headers_mut().insert(SESSION, value);
                    }
                    self.keep(id, conversation);
                }
                response
            }
        }
    }

    fn begin(&self, path: &str) -> Arc<Conversation> {
        let (holder, told) = (Arc::clone(&self.holder), self.told.clone());
        Arc::new(Conversation::new(holder, told, path.to_owned()))
    }

    fn in_session(&self, id: &str) -> Option<Arc<Conversation>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn keep(&self, id: String, conversation: Arc<Conversation>) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= limits::BRIDGE_SESSIONS {
            // A client whose session is forgotten is told so and begins another.
            sessions.pop_first();
        }
        sessions.insert(id, conversation);
    }

    fn without_session(&self, path: &str) -> Arc<Conversation> {
        let mut plain = self.plain.lock().unwrap_or_else(PoisonError::into_inner);
        if plain.len() >= limits::BRIDGE_DOORS && !plain.contains_key(path) {
            plain.pop_first();
        }
        Arc::clone(plain.entry(path.to_owned()).or_insert_with(|| self.begin(path)))
    }

    /// Hands on a request as it is, with the agent's credential.
    async fn pass(&self, mut asked: Asked) -> Response<Body> {
        let session = asked.headers.remove(SESSION);
        if let Some(id) = session.as_ref().and_then(|id| id.to_str().ok()) {
            let Some(conversation) = self.in_session(id) else {
                return empty(StatusCode::NOT_FOUND);
            };
            asked.headers.extend(conversation.session_headers().await);
        }
        let end = Instant::now() + limits::BRIDGE_PATIENCE;
        let mut pause = limits::BRIDGE_FIRST_PAUSE;
        let mut renewed = false;
        loop {
            match self.pass_once(&asked).await {
                Ok(response) if response.status() == StatusCode::UNAUTHORIZED && !renewed => {
                    renewed = true;
                    if let Ok(base) = self.holder.base().await {
                        let purpose = asked.purpose(&self.holder, &base);
                        self.holder.disbelieved(&response, &purpose).await;
                    }
                }
                Ok(response) => {
                    self.told.back();
                    return passed(response);
                }
                Err(Trouble::Away(_)) if Instant::now() + pause < end => {
                    self.holder.lost().await;
                    tokio::time::sleep(jittered(pause)).await;
                    pause = pause.saturating_mul(2);
                }
                Err(trouble) => {
                    self.holder.lost().await;
                    if let Trouble::Away(why) = &trouble {
                        self.told.away(why);
                    }
                    self.told.not_executed(&asked.path, &trouble.to_string());
                    return excuse(&trouble);
                }
            }
        }
    }

    async fn pass_once(&self, asked: &Asked) -> Result<Response<Incoming>, Trouble> {
        let base = self.holder.base().await?;
        let url = format!("{base}{}{}", asked.path, asked.query);
        let purpose = asked.purpose(&self.holder, &base);
        let mut headers = asked.headers.clone();
        headers.extend(self.holder.prove(&asked.method, &url, &purpose).await?);
        let request = Request::builder().method(&asked.method).uri(&url);
        let request = request.body(Full::new(asked.body.clone()));
        let mut request = request.map_err(|error| Trouble::NoToken(error.to_string()))?;
        *request.headers_mut() = headers;
        self.holder.exchange(request).await
    }
}

/// A request to be handed on.
struct Asked {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Asked {
    /// What its token must be good for: the door that it is for.
    fn purpose(&self, holder: &Holder, base: &str) -> Use {
        let door: Vec<&str> = self.path.split('/').take(3).collect();
        holder.purpose(format!("{base}{}", door.join("/")))
    }
}

fn passed(response: Response<Incoming>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    for name in &DROPPED {
        head.headers.remove(name);
    }
    // A body that breaks off ends the connection, so that it does not look whole.
    let frames = stream::unfold(Some(body), |body| async move {
        let mut body = body?;
        match body.frame().await? {
            Ok(frame) => Some((Ok(frame), Some(body))),
            Err(error) => Some((Err(std::io::Error::other(error.to_string())), None)),
        }
    });
    Response::from_parts(head, StreamBody::new(frames).boxed_unsync())
}

fn streamed(events: Box<Events>) -> Response<Body> {
    let frames = stream::unfold(events, |mut events| async move {
        let event = events.next().await?;
        Some((Ok(Frame::data(written(&event))), events))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn written(event: &Event) -> Bytes {
    let mut out = Vec::with_capacity(event.data.len().saturating_add(32));
    if let Some(id) = &event.id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    out.extend_from_slice(b"event: message\n");
    for line in event.data.split(|byte| *byte == b'\n') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
    out.into()
}

/// What an HTTP client is told: a status that says whether it may try again.
fn excuse(trouble: &Trouble) -> Response<Body> {
    let (status, title, detail) = match trouble {
        Trouble::Away(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "gateway away",
            "nothing was executed; try again in 2 s",
        ),
        Trouble::BrokeOff(_) => (
            StatusCode::BAD_GATEWAY,
            "gateway broke off",
            "it may or may not have happened; check that before you call again",
        ),
        Trouble::NoToken(_) => (
            StatusCode::FORBIDDEN,
            "no access",
            "nothing was executed; do not retry, ask the operator",
        ),
    };
    let problem =
        serde_json::json!({ "title": title, "status": status.as_u16(), "detail": detail });
    let mut response = json(status, problem.to_string().into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    }
    response
}

fn json(status: StatusCode, body: Bytes) -> Response<Body> {
    let has_body = !body.is_empty();
    let body = Full::new(body).map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if has_body {
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    json(status, Bytes::new())
}
