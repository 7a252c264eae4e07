//! Answers of legacy sessions that stream: they can be left and taken up again after any of their events, and cancelled
//! by the id of their request.

use crate::{Gate, json::object, limits, seal::Purpose};
use bytes::Bytes;
use canonical::Value;
use futures_util::Stream;
use hyper::body::Frame;
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// The streams and calls of legacy sessions on this node.
pub(crate) struct Streams {
    kept: Mutex<BTreeMap<u128, Arc<Kept>>>,
    calls: Mutex<BTreeMap<(u128, String), CancellationToken>>,
    /// Sessions that their clients ended on this node, the latest ones.
    ended: Mutex<VecDeque<u128>>,
    /// Seats for standing streams.
    pub(super) standing: Arc<Semaphore>,
}

impl Default for Streams {
    fn default() -> Streams {
        Streams {
            kept: Mutex::default(),
            calls: Mutex::default(),
            ended: Mutex::default(),
            standing: Arc::new(Semaphore::new(limits::MCP_STANDING)),
        }
    }
}

impl Streams {
    /// Remembers that a session is over. Handles do not: one that leaked opens nothing here any more.
    pub(super) fn end_session(&self, session: u128) {
        let mut ended = lock(&self.ended);
        if ended.len() >= limits::MCP_ENDED {
            ended.pop_front();
        }
        ended.push_back(session);
    }

    pub(super) fn has_ended(&self, session: u128) -> bool {
        lock(&self.ended).contains(&session)
    }
}

/// One stream and its latest events.
pub(super) struct Kept {
    number: u128,
    session: u128,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    events: VecDeque<Bytes>,
    /// The place of the first event that is kept; the place before the first event of all is 0.
    first: u64,
    bytes: usize,
    /// The place up to which somebody has read.
    read: u64,
    ended: bool,
    /// Only the latest reader reads on.
    reader: u64,
}

/// Nobody reads a stream any more.
pub(super) struct Unread;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a call cancellable while it lives.
pub(super) struct Cancellable {
    gate: Arc<Gate>,
    key: (u128, String),
    pub(super) token: CancellationToken,
}

impl Drop for Cancellable {
    fn drop(&mut self) {
        lock(&self.gate.streams.calls).remove(&self.key);
    }
}

/// The call of a request's id in a session.
pub(super) fn cancellable(gate: &Arc<Gate>, session: u128, id: &Value) -> Cancellable {
    let key = (session, text(id));
    let token = CancellationToken::new();
    let mut calls = lock(&gate.streams.calls);
    if calls.len() < limits::MCP_CANCELLABLE {
        calls.insert(key.clone(), token.clone());
    }
    Cancellable { gate: Arc::clone(gate), key, token }
}

/// Cancels a call of a session; false if there is none of this id here.
pub(super) fn cancel(gate: &Gate, session: u128, id: &Value) -> bool {
    let token = lock(&gate.streams.calls).get(&(session, text(id))).cloned();
    token.inspect(CancellationToken::cancel).is_some()
}

fn text(id: &Value) -> String {
    String::from_utf8_lossy(&id.to_bytes()).into_owned()
}

/// Opens a stream of a session.
pub(super) fn open(gate: &Gate, session: u128) -> Arc<Kept> {
    let number = gate.new_trace().0;
    let changed = watch::Sender::new(0);
    let kept = Arc::new(Kept { number, session, state: Mutex::default(), changed });
    let mut all = lock(&gate.streams.kept);
    let bytes: usize = all.values().map(|kept| lock(&kept.state).bytes).sum();
    if bytes < limits::REPLAY_TOTAL {
        all.insert(number, Arc::clone(&kept));
    }
    kept
}

/// The stream of an event's handle and the place after the event; `None` if it is none of this session or not kept here.
pub(super) fn find(gate: &Gate, session: u128, handle: &str) -> Option<(Arc<Kept>, u64)> {
    let held = gate.unseal(Purpose::Event, handle)?;
    let text = |name: &str| held.get(name).and_then(Value::as_str);
    let number = u128::from_str_radix(text("stream")?, 16).ok()?;
    let place = held.get("place").and_then(Value::as_u64)?;
    let kept = lock(&gate.streams.kept).get(&number).cloned()?;
    let known = lock(&kept.state).first <= place;
    (kept.session == session && known).then_some((kept, place))
}

impl Kept {
    /// The handle of the event that ends at a place.
    fn handle(&self, gate: &Gate, place: u64) -> String {
        let held = object([
            ("place", crate::json::number(place)),
            ("stream", format!("{:032x}", self.number).into()),
        ]);
        gate.seal(Purpose::Event, &held, limits::MCP_ROUND).unwrap_or_default()
    }

    /// The event that begins a stream: it can be taken up from here on.
    pub(super) fn beginning(&self, gate: &Gate) -> Bytes {
        let (id, retry) = (self.handle(gate, 0), limits::REPLAY_RETRY_MILLIS);
        format!("id: {id}\nretry: {retry}\ndata: \n\n").into()
    }

    /// Adds a message. Waits while too much of the stream is unread, and gives up when nobody reads for long.
    pub(super) async fn send(&self, gate: &Gate, message: &Value) -> Result<(), Unread> {
        let mut reads = self.changed.subscribe();
        loop {
            if self.push(gate, message) {
                return Ok(());
            }
            match tokio::time::timeout(limits::REPLAY_KEPT, reads.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(Unread),
            }
        }
    }

    /// False if there is no room.
    fn push(&self, gate: &Gate, message: &Value) -> bool {
        let mut state = lock(&self.state);
        while state.is_full() && state.first < state.read {
            if let Some(old) = state.events.pop_front() {
                state.bytes = state.bytes.saturating_sub(old.len());
                state.first += 1;
            }
        }
        if state.is_full() {
            return false;
        }
        let place = state.first.saturating_add(u64::try_from(state.events.len()).unwrap_or(0)) + 1;
        let mut event =
            format!("id: {}\nevent: message\ndata: ", self.handle(gate, place)).into_bytes();
        // Canonical JSON escapes line breaks, so that one message is one `data` line.
        message.write(&mut event);
        event.extend_from_slice(b"\n\n");
        state.bytes += event.len();
        state.events.push_back(event.into());
        drop(state);
        self.changed.send_modify(|version| *version = version.wrapping_add(1));
        true
    }

    /// Says that no more comes; what is kept can be read for a while.
    pub(super) fn end(self: &Arc<Self>, gate: &Arc<Gate>) {
        lock(&self.state).ended = true;
        self.changed.send_modify(|version| *version = version.wrapping_add(1));
        let (gate, number) = (Arc::clone(gate), self.number);
        tokio::spawn(async move {
            tokio::time::sleep(limits::REPLAY_KEPT).await;
            lock(&gate.streams.kept).remove(&number);
        });
    }

    /// Reads from a place on; a later reader ends an earlier one.
    pub(super) fn read(
        self: &Arc<Self>,
        beginning: Option<Bytes>,
        from: u64,
    ) -> impl Stream<Item = Result<Frame<Bytes>, io::Error>> + use<> {
        let reader = {
            let mut state = lock(&self.state);
            state.reader += 1;
            state.reader
        };
        self.changed.send_modify(|version| *version = version.wrapping_add(1));
        let reading = Reading { kept: Arc::clone(self), place: from, reader, beginning };
        futures_util::stream::unfold(Some(reading), |reading| async move {
            let mut reading = reading?;
            let bytes = reading.next().await?;
            Some((Ok(Frame::data(bytes)), Some(reading)))
        })
    }
}

impl State {
    fn is_full(&self) -> bool {
        !self.events.is_empty()
            && (self.events.len() >= limits::REPLAY_EVENTS || self.bytes >= limits::REPLAY_BYTES)
    }

    /// The event after a place.
    fn after(&self, place: u64) -> Option<Bytes> {
        let at = place.checked_sub(self.first)?;
        self.events.get(usize::try_from(at).ok()?).cloned()
    }
}

struct Reading {
    kept: Arc<Kept>,
    place: u64,
    reader: u64,
    beginning: Option<Bytes>,
}

impl Reading {
    /// The next bytes; `None` at the end, or if somebody else reads on.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(beginning) = self.beginning.take() {
            return Some(beginning);
        }
        let mut changes = self.kept.changed.subscribe();
        loop {
            let found = {
                let mut state = lock(&self.kept.state);
                if state.reader != self.reader {
                    return None;
                }
                let found = state.after(self.place);
                if found.is_none() && state.ended {
                    return None;
                }
                if found.is_some() {
                    self.place += 1;
                    state.read = state.read.max(self.place);
                }
                found
            };
            if found.is_some() {
                self.kept.changed.send_modify(|version| *version = version.wrapping_add(1));
                return found;
            }
            match tokio::time::timeout(limits::MCP_KEEP_ALIVE, changes.changed()).await {
                Err(_) => return Some(Bytes::from_static(b":\n\n")),
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
            }
        }
    }
}
