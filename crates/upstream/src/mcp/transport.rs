//! One request over streamable HTTP, in either revision.

use super::{
    Conversation, MODERN,
    caller::Caller,
    events::{Events, Place},
    message::{self, Incoming, Reply, Request},
    mirror,
};
use crate::{Body, Client, Fault, UpstreamCredential, client, limits};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use model::Code;

pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// How one message must look for an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// 2026-07-28.
    Modern,
    /// Before a legacy session is opened.
    Opening,
    /// In a legacy session; some servers hand out no id.
    Session { version: &'static str, id: Option<HeaderValue> },
}

/// A way to one upstream for one caller, with what every message on it carries.
pub(super) struct Line {
    pub(super) client: Client,
    pub(super) credential: UpstreamCredential,
    pub(super) caller: Caller,
    pub(super) conversation: Conversation,
    pub(super) trace: HeaderMap,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Line").field(&self.credential).field(&self.caller).finish()
    }
}

/// The beginning of an answer.
pub(super) enum Opened {
    /// The whole answer.
    Answer(Reply),
    /// A stream of events that holds it.
    Events(Events),
    /// A status that is no success, with the JSON-RPC error that came with it.
    Refused(StatusCode, Option<canonical::Value>),
    /// The upstream does not know the session.
    SessionGone,
}

impl Line {
    /// A second handle, for messages that outlive the call.
    pub(super) fn again(&self) -> Line {
        Line {
            client: self.client.clone(),
            credential: self.credential.again(),
            caller: self.caller.clone(),
            conversation: self.conversation,
            trace: self.trace.clone(),
        }
    }

    /// Posts a request and reads the beginning of its answer.
    pub(super) async fn request(
        &self,
        dialect: &Dialect,
        request: &Request<'_>,
        mirrored: &HeaderMap,
    ) -> Result<Opened, Fault> {
        let response = self.exchange(dialect, request, mirrored).await?;
        let in_session = matches!(dialect, Dialect::Session { id: Some(_), .. });
        open(response, request.id, in_session, limits::RESPONSE_BYTES).await
    }

    /// Posts a request of a handshake and reads its whole answer, with the answer's headers.
    pub(super) async fn handshake(
        &self,
        dialect: &Dialect,
        request: &Request<'_>,
    ) -> Result<(HeaderMap, Opened), Fault> {
        let response = self.exchange(dialect, request, &HeaderMap::new()).await?;
        let headers = response.headers().clone();
        let opened = open(response, request.id, false, limits::HANDSHAKE_BYTES).await?;
        let Opened::Events(mut events) = opened else { return Ok((headers, opened)) };
        for _ in 0..limits::STREAM_MESSAGES {
            let Some(incoming) = events.next().await? else { break };
            if let Incoming::Response(id, reply) = incoming
                && answers(id, request.id, &reply)
            {
                return Ok((headers, Opened::Answer(reply)));
            }
        }
        Err(Fault::unknown(Code::UpstreamInvalid, "the stream ended without an answer"))
    }

    /// Posts a notification or a response; nothing is expected back.
    pub(super) async fn tell(&self, dialect: &Dialect, body: Vec<u8>) -> Result<(), Fault> {
        let headers = self.headers(dialect)?;
        let response = self.post(headers, body).await?;
        if response.status().is_success() { Ok(()) } else { Err(refusal(response.status())) }
    }

    /// Asks a legacy upstream for a stream: the standing one, or the rest of one that was read up to a place. `None` if
    /// it has none.
    pub(super) async fn stream(
        &self,
        dialect: &Dialect,
        place: Place,
    ) -> Result<Option<Events>, Fault> {
        let mut headers = self.headers(dialect)?;
        headers.remove(header::CONTENT_TYPE);
        headers.insert(header::ACCEPT, EVENTS);
        if let Some(last) = &place.last {
            headers.insert(LAST_EVENT, client::text(last)?);
        }
        let url = self.credential.target().url();
        let body = bytes::Bytes::new();
        let sent = self.client.exchange(&self.credential, Method::GET, url, headers, body);
        let response = sent.await?;
        let is_stream = media_type(response.headers()) == "text/event-stream";
        if response.status().is_success() && is_stream {
            return Ok(Some(Events::after(response.into_body(), place)));
        }
        Ok(None)
    }

    /// Tells a legacy upstream that a session is over.
    pub(super) async fn end(&self, dialect: &Dialect) -> Result<(), Fault> {
        let mut headers = self.headers(dialect)?;
        headers.remove(header::CONTENT_TYPE);
        let url = self.credential.target().url();
        let body = bytes::Bytes::new();
        let sent = self.client.exchange(&self.credential, Method::DELETE, url, headers, body);
        sent.await.map(drop)
    }

    async fn exchange(
        &self,
        dialect: &Dialect,
        request: &Request<'_>,
        mirrored: &HeaderMap,
    ) -> Result<Response<Body>, Fault> {
        let mut headers = self.headers(dialect)?;
        if *dialect == Dialect::Modern {
            headers.insert(METHOD, HeaderValue::from_static(request.method));
            if let Some(name) = request.name {
                headers.insert(NAME, mirror::encode(name)?);
            }
            headers.extend(mirrored.clone());
        }
        self.post(headers, request.bytes()?).await
    }

    async fn post(&self, headers: HeaderMap, body: Vec<u8>) -> Result<Response<Body>, Fault> {
        let url = self.credential.target().url();
        self.client.exchange(&self.credential, Method::POST, url, headers, body.into()).await
    }

    fn headers(&self, dialect: &Dialect) -> Result<HeaderMap, Fault> {
        let mut headers = self.trace.clone();
        headers.insert(header::CONTENT_TYPE, JSON);
        headers.insert(header::ACCEPT, BOTH);
        match dialect {
            Dialect::Modern => drop(headers.insert(VERSION, client::text(MODERN)?)),
            Dialect::Opening => {}
            Dialect::Session { version, id } => {
                headers.insert(VERSION, client::text(version)?);
                if let Some(id) = id {
                    headers.insert(SESSION, id.clone());
                }
            }
        }
        Ok(headers)
    }
}

/// Reads the beginning of an answer to the request of this id.
async fn open(
    response: Response<Body>,
    id: i64,
    in_session: bool,
    limit: usize,
) -> Result<Opened, Fault> {
    let status = response.status();
    if in_session && status == StatusCode::NOT_FOUND {
        return Ok(Opened::SessionGone);
    }
    let kind = media_type(response.headers());
    if status.is_success() && kind == "text/event-stream" {
        return Ok(Opened::Events(Events::new(response.into_body())));
    }
    if kind != "application/json" {
        if status.is_success() {
            let what = format!("status {status} came with neither JSON nor a stream");
            return Err(Fault::unknown(Code::UpstreamInvalid, what));
        }
        return Ok(Opened::Refused(status, None));
    }
    let body = response.into_body().collect_up_to(limit).await;
    let read = body.and_then(|body| message::read(&body));
    match read {
        Ok(Incoming::Response(of, reply)) if answers(of, id, &reply) => match reply {
            Err(error) if !status.is_success() => Ok(Opened::Refused(status, Some(error))),
            reply if status.is_success() => Ok(Opened::Answer(reply)),
            _ => Ok(Opened::Refused(status, None)),
        },
        _ if !status.is_success() => Ok(Opened::Refused(status, None)),
        Ok(_) => Err(Fault::unknown(Code::UpstreamInvalid, "the answer is to another request")),
        Err(fault) => Err(fault),
    }
}

/// The session and the id that an answer to an upstream's request goes to.
pub(super) fn of_reply_to(
    reply_to: &canonical::Value,
) -> Result<(Dialect, canonical::Value), Fault> {
    let invalid = || Fault::caller(Code::ProtocolInvalid, "nothing can be answered there");
    let text = |name: &str| reply_to.get(name).and_then(canonical::Value::as_str);
    let version = super::LEGACY.into_iter().find(|version| Some(*version) == text("version"));
    let session = match text("session") {
        Some(session) => {
            let mut session = client::text(session)?;
            session.set_sensitive(true);
            Some(session)
        }
        None => None,
    };
    let dialect = Dialect::Session { version: version.ok_or_else(invalid)?, id: session };
    Ok((dialect, reply_to.get("id").ok_or_else(invalid)?.clone()))
}

/// Whether a response is the one to this request. An error may lack an id.
pub(super) fn answers(of: Option<i64>, id: i64, reply: &Reply) -> bool {
    of == Some(id) || (of.is_none() && reply.is_err())
}

/// What a status without a JSON-RPC answer means.
pub(super) fn refusal(status: StatusCode) -> Fault {
    let what = format!("the upstream answered with status {status}");
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Fault::upstream(Code::UpstreamCredential, what)
        }
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => {
            Fault::unknown(Code::UpstreamUnreachable, what)
        }
        StatusCode::GATEWAY_TIMEOUT => Fault::unknown(Code::UpstreamTimeout, what),
        status if status.is_server_error() => Fault::unknown(Code::UpstreamInvalid, what),
        _ => Fault::upstream(Code::UpstreamInvalid, what),
    }
}

fn media_type(headers: &HeaderMap) -> String {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = text.and_then(|text| text.split(';').next()).unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}
