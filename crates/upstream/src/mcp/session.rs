//! Legacy sessions: one for each upstream, agent and human, opened at first use.

use super::{
    LEGACY, Mcp,
    caller::Caller,
    message::{self, Request},
    transport::{self, Dialect, Line, Opened, SESSION},
};
use crate::{Fault, limits};
use canonical::Value;
use http::{HeaderMap, HeaderValue};
use model::{Code, UpstreamName};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::OnceCell;

type Key = (UpstreamName, String, Caller);
type Place = Arc<OnceCell<Dialect>>;

/// The sessions that are open or being opened.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<BTreeMap<Key, Place>>);

impl Sessions {
    /// The place of a key's session; callers that meet there open it once.
    fn place(&self, key: Key) -> Place {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= limits::SESSIONS && !places.contains_key(&key) {
            // A session that is forgotten here is opened again at its next use.
            places.pop_first();
        }
        Arc::clone(places.entry(key).or_default())
    }

    /// Forgets a session, unless another one took its place.
    fn forget(&self, key: &Key, gone: &Dialect) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.get(key).is_some_and(|place| place.get() == Some(gone)) {
            places.remove(key);
        }
    }
}

impl Mcp {
    /// The line's session, opened if there is none.
    pub(super) async fn session(&self, line: &Line) -> Result<Dialect, Fault> {
        let place = self.sessions.place(key(line));
        if let Some(open) = place.get() {
            return Ok(open.clone());
        }
        Box::pin(place.get_or_try_init(|| self.open_session(line))).await.cloned()
    }

    /// A new session in place of one that the upstream does not know.
    pub(super) async fn reopen(&self, line: &Line, gone: &Dialect) -> Result<Dialect, Fault> {
        self.sessions.forget(&key(line), gone);
        self.session(line).await
    }

    /// Forgets a session that the upstream may not know any more.
    pub(super) fn forget(&self, line: &Line, gone: &Dialect) {
        self.sessions.forget(&key(line), gone);
    }

    /// Forgets the line's session and gives it, so that the upstream can be told.
    pub(super) fn close(&self, line: &Line) -> Option<Dialect> {
        let mut places = self.sessions.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.remove(&key(line)).and_then(|place| place.get().cloned())
    }

    async fn open_session(&self, line: &Line) -> Result<Dialect, Fault> {
        let [preferred, ..] = LEGACY;
        let params = message::initialize_params(preferred, &line.conversation)?;
        let id = self.next_id();
        let request = Request { id, method: "initialize", name: None, params: &params };
        let (headers, opened) = line.handshake(&Dialect::Opening, &request).await?;
        let result = match opened {
            Opened::Answer(Ok(result)) => result,
            Opened::Refused(status, _) => return Err(transport::refusal(status)),
            Opened::Answer(Err(_)) | Opened::SessionGone | Opened::Events(_) => {
                let what = "the upstream refuses to initialize";
                return Err(Fault::upstream(Code::UpstreamInvalid, what));
            }
        };
        let version = agreed(&result)?;
        self.note_about(line.credential.target(), result);
        let dialect = Dialect::Session { version, id: session_id(&headers)? };
        line.tell(&dialect, message::notification("notifications/initialized", None)?).await?;
        Ok(dialect)
    }
}

fn key(line: &Line) -> Key {
    let target = line.credential.target();
    (target.name().clone(), target.url().to_string(), line.caller.clone())
}

fn agreed(result: &Value) -> Result<&'static str, Fault> {
    let offered = result.get("protocolVersion").and_then(Value::as_str).unwrap_or_default();
    LEGACY.into_iter().find(|version| *version == offered).ok_or_else(|| {
        let what = "the upstream speaks no revision of MCP that Ambit speaks";
        Fault::upstream(Code::UpstreamInvalid, what)
    })
}

fn session_id(headers: &HeaderMap) -> Result<Option<HeaderValue>, Fault> {
    let Some(id) = headers.get(SESSION) else { return Ok(None) };
    if id.is_empty() || id.len() > limits::SESSION_ID_BYTES || id.to_str().is_err() {
        let what = "the upstream's session id is empty, too long or not ASCII";
        return Err(Fault::upstream(Code::UpstreamInvalid, what));
    }
    let mut id = id.clone();
    id.set_sensitive(true);
    Ok(Some(id))
}
