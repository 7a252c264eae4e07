//! One client's conversation with one MCP door of the gate: its session outlives restarts of the gate, its tokens their
//! own ends, and each of its requests gets an answer.

use super::{
    answer,
    holder::{Holder, Use, jittered},
    message::{Message, SESSION, VERSION_HEADER},
    reach::Trouble,
    told::Told,
};
use crate::limits;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde_json::Value;
use sse_stream::{Sse, SseStream};
use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Mutex, Notify},
    time::Instant,
};

/// A conversation.
pub(super) struct Conversation {
    holder: Arc<Holder>,
    told: Told,
    path: String,
    session: Mutex<Session>,
    failures: AtomicU32,
    looking: AtomicBool,
    back: Notify,
    /// What was listed last: a client whose tools vanish from its list while the gate is away ends its run.
    listed: std::sync::Mutex<Option<Value>>,
}

/// The gate's session, and what opens another.
#[derive(Clone, Default)]
struct Session {
    greeting: Option<Message>,
    id: Option<HeaderValue>,
    version: Option<HeaderValue>,
}

/// What a client gets.
pub(super) enum Reply {
    /// All at once.
    Whole(Whole),
    /// Event by event; the last answers the request.
    Events(Box<Events>),
}

/// A whole answer.
pub(super) struct Whole {
    pub(super) status: StatusCode,
    pub(super) session: Option<HeaderValue>,
    pub(super) body: Bytes,
}

impl Whole {
    fn own(value: Option<Value>) -> Whole {
        let status = if value.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
        let body = value.map(|value| value.to_string().into()).unwrap_or_default();
        Whole { status, session: None, body }
    }
}

impl Conversation {
    pub(super) fn new(holder: Arc<Holder>, told: Told, path: String) -> Conversation {
        Conversation {
            holder,
            told,
            path,
            session: Mutex::default(),
            failures: AtomicU32::new(0),
            looking: AtomicBool::new(false),
            back: Notify::new(),
            listed: std::sync::Mutex::new(None),
        }
    }

    /// Takes one message to the gate. `extra` are the client's own headers.
    pub(super) async fn send(self: &Arc<Self>, message: Message, extra: &HeaderMap) -> Reply {
        if message.method() == Some("initialize") {
            return Reply::Whole(self.greet(message, extra).await);
        }
        match self.answered(&message, extra).await {
            Ok(reply) => reply,
            Err(trouble) => Reply::Whole(Whole::own(self.excuse(&message, &trouble))),
        }
    }

    async fn answered(
        self: &Arc<Self>,
        message: &Message,
        extra: &HeaderMap,
    ) -> Result<Reply, Trouble> {
        let mut response = self.deliver(message, extra).await?;
        for renewed in [false, true] {
            if is_stream(&response) && message.request().is_some() {
                let events = Events::of(Arc::clone(self), Some(message.clone()), response);
                return Ok(Reply::Events(Box::new(events)));
            }
            let (status, body) = whole(response).await?;
            if renewed || !is_outdated(message, &body) {
                self.heard(message, &body);
                return Ok(Reply::Whole(Whole { status, session: None, body }));
            }
            let base = self.holder.base().await?;
            self.holder.spent(&self.purpose(&base)).await;
            response = self.deliver(message, extra).await?;
        }
        Err(Trouble::NoToken("its tokens are outdated as soon as they are issued".to_owned()))
    }

    /// The stream of what the gate says of its own accord; `None` if there is none, or not now.
    pub(super) async fn listen(self: &Arc<Self>) -> Option<Events> {
        let session = self.session.lock().await.clone();
        session.id.as_ref()?;
        let url = format!("{}{}", self.holder.base().await.ok()?, self.path);
        let purpose = self.holder.purpose(url.clone());
        let mut headers = self.holder.prove(&Method::GET, &url, &purpose).await.ok()?;
        headers.extend(session.headers());
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        let mut request = Request::get(&url).body(Full::default()).ok()?;
        *request.headers_mut() = headers;
        let response = self.holder.exchange(request).await.ok()?;
        is_stream(&response).then(|| Events::of(Arc::clone(self), None, response))
    }

    /// Completes when the gate is back after it was away.
    pub(super) async fn back(&self) {
        self.back.notified().await;
    }

    /// Whether the client speaks in a session.
    pub(super) async fn has_session(&self) -> bool {
        self.session.lock().await.greeting.is_some()
    }

    /// The headers that name the gate's session.
    pub(super) async fn session_headers(&self) -> HeaderMap {
        self.session.lock().await.headers()
    }

    /// Opens the client's session. It may begin before the gate is there.
    async fn greet(self: &Arc<Self>, message: Message, extra: &HeaderMap) -> Whole {
        let mut session = self.session.lock().await;
        *session = Session { greeting: Some(message.clone()), ..Session::default() };
        let greeted = self.open(&mut session, extra).await;
        drop(session);
        match greeted {
            Ok(whole) => whole,
            Err(trouble) => Whole::own(self.excuse(&message, &trouble)),
        }
    }

    /// Sends the kept `initialize` and notes the session that it opens.
    async fn open(&self, session: &mut Session, extra: &HeaderMap) -> Result<Whole, Trouble> {
        let Some(greeting) = session.greeting.clone() else {
            return Err(Trouble::BrokeOff("there is no session to open again".to_owned()));
        };
        let response = self.with_patience(&greeting, extra, &Session::default()).await?;
        let id = response.headers().get(SESSION).cloned();
        let (status, body) = whole(response).await?;
        let version = serde_json::from_slice::<Value>(&body).ok().and_then(|answer| {
            let version = answer.pointer("/result/protocolVersion")?.as_str()?;
            HeaderValue::from_str(version).ok()
        });
        session.id.clone_from(&id);
        session.version = version;
        Ok(Whole { status, session: id, body })
    }

    /// Opens a session in place of one that the gate does not know any more.
    async fn reopen(&self, gone: Option<&HeaderValue>) -> Result<Session, Trouble> {
        let mut session = self.session.lock().await;
        if session.id.as_ref() != gone {
            return Ok(session.clone());
        }
        self.open(&mut session, &HeaderMap::new()).await?;
        let told = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        if let Some(told) = Message::read(told) {
            drop(self.with_patience(&told, &HeaderMap::new(), &session).await?);
        }
        Ok(session.clone())
    }

    async fn deliver(
        &self,
        message: &Message,
        extra: &HeaderMap,
    ) -> Result<Response<Incoming>, Trouble> {
        if !message.is_legacy() {
            return self.with_patience(message, extra, &Session::default()).await;
        }
        let mut session = self.session.lock().await.clone();
        if session.id.is_none() && session.greeting.is_some() {
            session = self.reopen(None).await?;
        }
        let response = self.with_patience(message, extra, &session).await?;
        if response.status() != StatusCode::NOT_FOUND
            || session.id.is_none()
            || session.greeting.is_none()
        {
            return Ok(response);
        }
        // A gate that does not know the session did nothing with the message.
        let session = self.reopen(session.id.as_ref()).await?;
        self.with_patience(message, extra, &session).await
    }

    /// Tries again what never reached the gate, for a moment, and with a new token what it did not believe.
    async fn with_patience(
        &self,
        message: &Message,
        extra: &HeaderMap,
        session: &Session,
    ) -> Result<Response<Incoming>, Trouble> {
        let patience = self.patience(message);
        let end = Instant::now() + patience;
        let mut pause = limits::BRIDGE_FIRST_PAUSE;
        let mut renewed = false;
        loop {
            match self.once(message, extra, session).await {
                Ok(response) if response.status() == StatusCode::UNAUTHORIZED => {
                    if renewed {
                        let what = "it does not believe this agent's credential";
                        return Err(Trouble::NoToken(what.to_owned()));
                    }
                    renewed = true;
                    let base = self.holder.base().await?;
                    let purpose = self.purpose(&base);
                    self.holder.disbelieved(&response, &purpose).await;
                }
                Err(Trouble::Away(_)) if Instant::now() + pause < end => {
                    self.holder.lost().await;
                    tokio::time::sleep(jittered(pause)).await;
                    pause = pause.saturating_mul(2);
                }
                Err(trouble) => {
                    self.holder.lost().await;
                    return Err(trouble);
                }
                Ok(response) => return Ok(response),
            }
        }
    }

    /// How long to try. While the gate is known to be away one attempt is enough: somebody else looks for it. A client
    /// that never saw a list of tools waits longer for it: an empty one is of no use.
    fn patience(&self, message: &Message) -> Duration {
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        match message.method() {
            Some("tools/list") if !listed => limits::BRIDGE_FIRST_LIST,
            _ if self.told.is_away() => Duration::ZERO,
            _ => limits::BRIDGE_PATIENCE,
        }
    }

    async fn once(
        &self,
        message: &Message,
        extra: &HeaderMap,
        session: &Session,
    ) -> Result<Response<Incoming>, Trouble> {
        let base = self.holder.base().await?;
        let url = format!("{base}{}", self.path);
        let mut headers = extra.clone();
        headers.remove(SESSION);
        headers.extend(message.headers());
        headers.extend(session.headers());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let both = HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(header::ACCEPT, both);
        let purpose = self.purpose(&base);
        headers.extend(self.holder.prove(&Method::POST, &url, &purpose).await?);
        let request = Request::post(&url).body(Full::new(message.bytes.clone()));
        let mut request = request.map_err(|error| Trouble::NoToken(error.to_string()))?;
        *request.headers_mut() = headers;
        self.holder.exchange(request).await
    }

    fn purpose(&self, base: &str) -> Use {
        self.holder.purpose(format!("{base}{}", self.path))
    }

    /// The gate answered.
    fn heard(&self, message: &Message, body: &[u8]) {
        self.failures.store(0, Ordering::Relaxed);
        if self.told.back() {
            self.back.notify_one();
        }
        if message.method() == Some("tools/list")
            && message.value.pointer("/params/cursor").is_none()
            && let Ok(mut answer) = serde_json::from_slice::<Value>(body)
            && let Some(result) = answer.get_mut("result")
        {
            *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = Some(result.take());
        }
        if let Some(tool) = message.tool()
            && let Ok(answer) = serde_json::from_slice::<Value>(body)
        {
            self.told.refusal(tool, answer.get("result").unwrap_or(&Value::Null));
        }
    }

    /// The answer where the gate gave none.
    fn excuse(self: &Arc<Self>, message: &Message, trouble: &Trouble) -> Option<Value> {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).min(4);
        let seconds = limits::BRIDGE_AGAIN.as_secs().saturating_mul(1 << failures);
        let seconds = seconds.min(limits::BRIDGE_AGAIN_MAX.as_secs());
        if let Trouble::Away(why) = trouble {
            self.told.away(why);
            self.look();
        }
        if let Some(what) = message.tool() {
            self.told.not_executed(what, &trouble.to_string());
        }
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        answer::without_gate(message, trouble, seconds, listed.as_ref())
    }

    /// Looks for the gate until it is back; one at a time.
    fn look(self: &Arc<Self>) {
        if self.looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let mut pause = limits::BRIDGE_FIRST_PAUSE;
            while this.told.is_away() {
                tokio::time::sleep(jittered(pause)).await;
                pause = pause.saturating_mul(2).min(limits::BRIDGE_LOOK_MAX);
                this.holder.lost().await;
                if this.is_there().await && this.told.back() {
                    this.back.notify_one();
                }
            }
            this.looking.store(false, Ordering::Release);
        });
    }

    async fn is_there(&self) -> bool {
        let Ok(base) = self.holder.base().await else { return false };
        let url = format!("{base}/.well-known/oauth-authorization-server");
        let Ok(request) = Request::get(url).body(Full::default()) else { return false };
        self.holder.exchange(request).await.is_ok_and(|answer| answer.status().is_success())
    }
}

impl Session {
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(id) = &self.id {
            headers.insert(SESSION, id.clone());
        }
        if let Some(version) = &self.version {
            headers.insert(VERSION_HEADER, version.clone());
        }
        headers
    }
}

/// The events of one answer, or of the gate's own accord.
pub(super) struct Events {
    conversation: Arc<Conversation>,
    /// The request that they answer; `None` once it is answered, or if there is none.
    asked: Option<Message>,
    stream: Option<SseStream<Incoming>>,
}

/// One message and the id of its event.
pub(super) struct Event {
    pub(super) id: Option<String>,
    pub(super) data: Bytes,
}

impl Events {
    fn of(
        conversation: Arc<Conversation>,
        asked: Option<Message>,
        response: Response<Incoming>,
    ) -> Events {
        Events { conversation, asked, stream: Some(SseStream::new(response.into_body())) }
    }

    /// The next one. A request is answered whatever becomes of the stream.
    pub(super) async fn next(&mut self) -> Option<Event> {
        while let Some(stream) = self.stream.as_mut() {
            let next = tokio::time::timeout(limits::BRIDGE_SILENCE, stream.next()).await;
            let Ok(Some(Ok(event))) = next else {
                self.stream = None;
                break;
            };
            let Sse { id, data: Some(data), .. } = event else { continue };
            if data.is_empty() {
                continue;
            }
            let data = Bytes::from(data);
            if self.answers(&data) {
                self.stream = None;
            }
            return Some(Event { id, data });
        }
        let asked = self.asked.take()?;
        let trouble = Trouble::BrokeOff("the stream broke off".to_owned());
        let answer = self.conversation.excuse(&asked, &trouble)?;
        Some(Event { id: None, data: answer.to_string().into() })
    }

    fn answers(&mut self, data: &Bytes) -> bool {
        let Some(asked) = &self.asked else { return false };
        let Ok(message) = serde_json::from_slice::<Value>(data) else { return false };
        if message.get("method").is_some() || message.get("id") != asked.request() {
            return false;
        }
        self.conversation.heard(asked, data);
        self.asked = None;
        true
    }
}

/// Whether a call was refused because the agent is another version by now: nothing was executed, and a new token is of
/// that version.
fn is_outdated(message: &Message, body: &[u8]) -> bool {
    message.tool().is_some()
        && memchr::memmem::find(body, b"version_changed").is_some()
        && serde_json::from_slice::<Value>(body).is_ok_and(|answer| {
            let code = answer.pointer("/result/structuredContent/code");
            code.and_then(Value::as_str) == Some("version_changed")
        })
}

fn is_stream(response: &Response<Incoming>) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    response.status().is_success()
        && kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// The whole answer; of a stream its last message.
async fn whole(response: Response<Incoming>) -> Result<(StatusCode, Bytes), Trouble> {
    let status = response.status();
    if is_stream(&response) {
        let mut stream = SseStream::new(response.into_body());
        let mut last = None;
        while let Ok(Some(Ok(event))) =
            tokio::time::timeout(Duration::from_secs(30), stream.next()).await
        {
            last = event.data.filter(|data| !data.is_empty()).or(last);
        }
        let last = last.ok_or_else(|| Trouble::BrokeOff("the stream was empty".to_owned()))?;
        return Ok((status, Bytes::from(last)));
    }
    let body = Limited::new(response.into_body(), limits::BRIDGE_MESSAGE_BYTES).collect().await;
    let body = body.map_err(|error| Trouble::BrokeOff(error.to_string()))?;
    Ok((status, body.to_bytes()))
}
