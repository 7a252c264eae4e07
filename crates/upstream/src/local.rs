//! Local MCP servers: child processes, reached as if each spoke streamable HTTP.
//!
//! Whoever speaks MCP to an upstream does not see the difference: a message is posted, its answer
//! comes back as JSON or as a stream of events, a child is a session, and a child that ended is a
//! session that is gone. One child serves one agent and one human, unless it is declared `shared`.

mod child;
mod desk;
mod lines;
mod message;
mod start;

use crate::{Body, Fault, UpstreamCredential, limits, mcp::caller::Caller};
use bytes::Bytes;
use child::{Child, Taken};
pub(crate) use desk::Seat;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use message::Sent;
use model::{AgentName, Code, UpstreamName};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// How a local server is started; made where its upstream is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// Program and arguments.
    pub(crate) command: Vec<String>,
    /// All variables that it gets, but its credential's.
    pub(crate) environment: BTreeMap<String, String>,
    /// Where its credential goes.
    pub(crate) credential_variable: Option<String>,
    /// Whether one process serves everybody.
    pub(crate) shared: bool,
}

/// Whose child it is; `None` if it serves everybody.
type Key = (UpstreamName, String, Option<Caller>);

/// The children of this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Locals(Arc<House>);

#[derive(Debug, Default)]
struct House {
    rooms: Mutex<Rooms>,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Rooms {
    children: BTreeMap<Key, Arc<Child>>,
    troubles: BTreeMap<(UpstreamName, String), Trouble>,
    started: u64,
    closed: bool,
}

/// Children of one upstream that ended by themselves, one after another.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    times: u32,
    not_before: Instant,
}

/// A way to a child, or when there may be one.
enum Found {
    Child(Arc<Child>),
    NotBefore(Instant),
}

impl Locals {
    /// Hands one HTTP exchange to the caller's child, which is started if there is none.
    pub(crate) async fn exchange(
        &self,
        credential: &UpstreamCredential,
        server: &Arc<Server>,
        method: &Method,
        headers: &HeaderMap,
        body: Bytes,
        bounds: (Duration, usize),
    ) -> Result<Response<Body>, Fault> {
        let key = key(credential, server);
        let session = headers.get(SESSION);
        if *method == Method::GET {
            let child = session.and_then(|session| self.in_session(&key, session));
            let stream = child.and_then(|child| child.listen(bounds));
            return Ok(stream.unwrap_or_else(|| bare(StatusCode::METHOD_NOT_ALLOWED)));
        }
        if *method != Method::POST {
            return Ok(bare(StatusCode::METHOD_NOT_ALLOWED));
        }
        let sent = Sent::read(&body)?;
        if let Some(session) = session {
            let Some(child) = self.in_session(&key, session) else {
                return Ok(bare(StatusCode::NOT_FOUND));
            };
            return match child.take(sent, body, bounds).await? {
                Taken::Answered(response) => Ok(response),
                Taken::Gone => Ok(bare(StatusCode::NOT_FOUND)),
            };
        }
        for _ in 0..limits::CHILD_TRIES {
            let child = self.child(&key, credential, server).await?;
            if let Taken::Answered(response) =
                child.take(sent.clone(), body.clone(), bounds).await?
            {
                return Ok(response);
            }
        }
        Err(Fault::upstream(
            Code::UpstreamUnreachable,
            "the local server ends as soon as it starts",
        ))
    }

    /// Ends all children and waits for their ends; none is started afterwards.
    pub(crate) async fn end(&self) {
        let children: Vec<_> = {
            let mut rooms = self.rooms();
            rooms.closed = true;
            std::mem::take(&mut rooms.children).into_values().collect()
        };
        children.iter().for_each(|child| child.end());
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Ends the children that serve this agent alone.
    pub(crate) fn end_of(&self, agent: &AgentName) {
        let mut rooms = self.rooms();
        rooms.children.retain(|(_, _, caller), child| {
            let own = matches!(caller, Some(Caller::Acting(of, ..)) if of == agent);
            if own {
                child.end();
            }
            !own
        });
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.0.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_session(&self, key: &Key, session: &HeaderValue) -> Option<Arc<Child>> {
        self.rooms().children.get(key).filter(|child| child.session() == session).cloned()
    }

    /// The key's child; waits a moment where its upstream's children ended one after another.
    async fn child(
        &self,
        key: &Key,
        credential: &UpstreamCredential,
        server: &Arc<Server>,
    ) -> Result<Arc<Child>, Fault> {
        let not_before = match self.find_or_start(key, credential, server)? {
            Found::Child(child) => return Ok(child),
            Found::NotBefore(instant) => instant,
        };
        let wait = not_before.saturating_duration_since(Instant::now());
        if wait > limits::CHILD_SHORT_WAIT {
            let seconds = wait.as_secs().saturating_add(1);
            let what = format!(
                "the local server ended by itself; it is started again at the first call in {seconds} s"
            );
            return Err(Fault::upstream(Code::UpstreamUnreachable, what));
        }
        tokio::time::sleep(wait).await;
        match self.find_or_start(key, credential, server)? {
            Found::Child(child) => Ok(child),
            Found::NotBefore(_) => {
                let what = "the local server ends as soon as it starts; try again in a few seconds";
                Err(Fault::upstream(Code::UpstreamUnreachable, what))
            }
        }
    }

    fn find_or_start(
        &self,
        key: &Key,
        credential: &UpstreamCredential,
        server: &Arc<Server>,
    ) -> Result<Found, Fault> {
        let mut rooms = self.rooms();
        if rooms.closed {
            let what = "the gateway is stopping, so no local server is started";
            return Err(Fault::ourselves(Code::Stopping, what));
        }
        if let Some(child) = rooms.children.get(key) {
            if child.is_current(credential, server) {
                return Ok(Found::Child(Arc::clone(child)));
            }
            // Its secret or its variables were replaced; what it works on it ends first.
            child.retired.cancel();
            rooms.children.remove(key);
        }
        let trouble = rooms.troubles.get(&(key.0.clone(), key.1.clone()));
        if let Some(trouble) = trouble.filter(|trouble| trouble.not_before > Instant::now()) {
            return Ok(Found::NotBefore(trouble.not_before));
        }
        rooms.make_room(&key.0)?;
        rooms.started = rooms.started.saturating_add(1);
        let child = start::start(self, key, credential, server, rooms.started)?;
        rooms.children.insert(key.clone(), Arc::clone(&child));
        Ok(Found::Child(child))
    }

    /// A child ended, by itself or because it was told to.
    fn ended(&self, key: &Key, child: &Arc<Child>, by_itself: bool, lived: Duration) {
        let mut rooms = self.rooms();
        if rooms.children.get(key).is_some_and(|current| Arc::ptr_eq(current, child)) {
            rooms.children.remove(key);
        }
        if !by_itself {
            return;
        }
        let place = (key.0.clone(), key.1.clone());
        let before = rooms.troubles.get(&place).map_or(0, |trouble| trouble.times);
        let times = if lived >= limits::CHILD_HEALTHY { 1 } else { before.saturating_add(1) };
        let pause = limits::CHILD_BACK_OFF.saturating_mul(1 << times.saturating_sub(1).min(16));
        let not_before = Instant::now() + pause.min(limits::CHILD_BACK_OFF_MAX);
        if rooms.troubles.len() >= limits::CHILDREN && !rooms.troubles.contains_key(&place) {
            rooms.troubles.pop_first();
        }
        rooms.troubles.insert(place, Trouble { times, not_before });
    }
}

impl Rooms {
    /// Ends the child that was idle longest where the limit is reached.
    fn make_room(&mut self, upstream: &UpstreamName) -> Result<(), Fault> {
        let of_upstream = self.children.keys().filter(|key| key.0 == *upstream).count();
        let crowded = of_upstream >= limits::CHILDREN_PER_UPSTREAM;
        if !crowded && self.children.len() < limits::CHILDREN {
            return Ok(());
        }
        let candidates = self.children.iter().filter(|(key, _)| !crowded || key.0 == *upstream);
        let idle = candidates.filter_map(|(key, child)| Some((child.idle_since()?, key.clone())));
        let Some((_, key)) = idle.min_by_key(|(since, _)| *since) else {
            let what = "as many local servers run as may, and all of them are at work";
            return Err(Fault::ourselves(Code::Saturated, what));
        };
        if let Some(child) = self.children.remove(&key) {
            child.end();
        }
        Ok(())
    }
}

fn key(credential: &UpstreamCredential, server: &Server) -> Key {
    let target = credential.target();
    let owner = (!server.shared).then(|| credential.caller().clone());
    (target.name().clone(), target.url().to_string(), owner)
}

/// A response without a body.
fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// One JSON message as a response.
fn json(message: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::whole(message));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests;
