//! The conversation of a client that started the bridge as its MCP server: one message a line.

use super::{
    conversation::{Conversation, Reply},
    holder::jittered,
    message::Message,
};
use crate::limits;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    sync::{Semaphore, mpsc},
    task::{AbortHandle, JoinSet},
};

/// The calls that are under way, by the JSON of their ids.
type Open = Arc<Mutex<BTreeMap<String, AbortHandle>>>;

/// Until the client closes the bridge's input.
pub(super) async fn converse(conversation: Arc<Conversation>) -> anyhow::Result<()> {
    let (out, lines) = mpsc::channel::<Bytes>(limits::BRIDGE_LINES);
    let writer = tokio::spawn(write(lines));
    let changed = tokio::spawn(tell_changes(Arc::clone(&conversation), out.clone()));
    let room = Arc::new(Semaphore::new(limits::BRIDGE_CALLS));
    let open: Open = Arc::default();
    let mut tasks = JoinSet::new();
    let mut input = BufReader::new(tokio::io::stdin());
    while let Some(line) = next_line(&mut input).await? {
        while tasks.try_join_next().is_some() {}
        let Some(message) = Message::read(line) else {
            let error = json!({ "code": -32700, "message": "send one JSON-RPC message a line" });
            say(&out, &json!({ "jsonrpc": "2.0", "id": null, "error": error })).await;
            continue;
        };
        if let Some(cancelled) = message.cancels() {
            let handle =
                open.lock().unwrap_or_else(PoisonError::into_inner).remove(&cancelled.to_string());
            if let Some(handle) = handle {
                // Dropping the exchange cancels it at the gate and at the upstream.
                handle.abort();
            }
        }
        let id = message.request().map(Value::to_string);
        let greets = message.method() == Some("initialize");
        let (Some(id), false) = (id, greets) else {
            // In order: a session opens before anything is said in it.
            relay(&conversation, message, &out).await;
            if greets {
                tasks.spawn(listen(Arc::clone(&conversation), out.clone()));
            }
            continue;
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            let error = json!({ "code": -32603, "message": "too many calls at once; nothing was executed" });
            say(&out, &json!({ "jsonrpc": "2.0", "id": message.request(), "error": error })).await;
            continue;
        };
        let (conversation, out, over) = (Arc::clone(&conversation), out.clone(), Arc::clone(&open));
        let key = id.clone();
        let handle = tasks.spawn(async move {
            relay(&conversation, message, &out).await;
            over.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            drop(permit);
        });
        open.lock().unwrap_or_else(PoisonError::into_inner).insert(id, handle);
    }
    tasks.abort_all();
    changed.abort();
    drop(out);
    let _late = tokio::time::timeout(limits::STOP, writer).await.is_err();
    Ok(())
}

/// Takes a message to the gate and writes what comes back.
async fn relay(conversation: &Arc<Conversation>, message: Message, out: &mpsc::Sender<Bytes>) {
    let id = message.request().cloned();
    match conversation.send(message, &HeaderMap::new()).await {
        Reply::Whole(whole) if whole.body.is_empty() => {
            if let (Some(id), false) = (id, whole.status.is_success()) {
                let message = format!("the gateway answered with status {}", whole.status);
                let error = json!({ "code": -32603, "message": message });
                say(out, &json!({ "jsonrpc": "2.0", "id": id, "error": error })).await;
            }
        }
        Reply::Whole(whole) => put(out, whole.body).await,
        Reply::Events(mut events) => {
            while let Some(event) = events.next().await {
                put(out, event.data).await;
            }
        }
    }
}

/// What the gate says of its own accord, as long as it has a stream for that.
async fn listen(conversation: Arc<Conversation>, out: mpsc::Sender<Bytes>) {
    while let Some(mut events) = conversation.listen().await {
        while let Some(event) = events.next().await {
            put(&out, event.data).await;
        }
        tokio::time::sleep(jittered(limits::BRIDGE_LOOK_MAX)).await;
    }
}

/// After the gate was away, what is listed may be another.
async fn tell_changes(conversation: Arc<Conversation>, out: mpsc::Sender<Bytes>) {
    loop {
        conversation.back().await;
        if conversation.has_session().await {
            let method = "notifications/tools/list_changed";
            say(&out, &json!({ "jsonrpc": "2.0", "method": method })).await;
        }
    }
}

async fn say(out: &mpsc::Sender<Bytes>, message: &Value) {
    put(out, message.to_string().into()).await;
}

async fn put(out: &mpsc::Sender<Bytes>, line: Bytes) {
    // The writer ends only when the client reads no more.
    let _gone = out.send(line).await.is_err();
}

async fn write(mut lines: mpsc::Receiver<Bytes>) {
    let mut stdout = tokio::io::stdout();
    while let Some(line) = lines.recv().await {
        // Line breaks between tokens would end the message early; within text JSON escapes them.
        let mut bytes: Vec<u8> = line
            .iter()
            .map(|byte| if *byte == b'\n' || *byte == b'\r' { b' ' } else { *byte })
            .collect();
        bytes.push(b'\n');
        if stdout.write_all(&bytes).await.is_err() || stdout.flush().await.is_err() {
            return;
        }
    }
}

async fn next_line(input: &mut BufReader<tokio::io::Stdin>) -> anyhow::Result<Option<Bytes>> {
    let limit = u64::try_from(limits::BRIDGE_MESSAGE_BYTES).unwrap_or(u64::MAX);
    loop {
        let mut line = Vec::new();
        let read = input.take(limit).read_until(b'\n', &mut line).await?;
        if read == 0 {
            return Ok(None);
        }
        anyhow::ensure!(
            line.ends_with(b"\n") || read < limits::BRIDGE_MESSAGE_BYTES,
            "a message is longer than {limit} bytes"
        );
        if !line.trim_ascii().is_empty() {
            return Ok(Some(Bytes::from(line)));
        }
    }
}
