//! A plain HTTP client for the scripted agent: it knows nothing of Ambit but what any client would.

use crate::limits;
use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use url::Url;

const REVISION: &str = "2026-07-28";

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

/// Headers that prove who calls.
pub(super) type Shown = Vec<(&'static str, String)>;

/// One request with a JSON body, on a connection of its own.
pub(super) async fn send(
    url: &str,
    shown: &Shown,
    extra: &Shown,
    body: &Value,
) -> anyhow::Result<Answer> {
    timeout(limits::DEMO_ANSWER, exchange(url, shown, extra, body))
        .await
        .with_context(|| format!("`{url}` did not answer in time"))?
}

async fn exchange(url: &str, shown: &Shown, extra: &Shown, body: &Value) -> anyhow::Result<Answer> {
    let url = Url::parse(url)?;
    let authority = url.authority().to_owned();
    let stream = TcpStream::connect(&authority).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::post(url.path())
        .header(header::HOST, &authority)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream");
    for (name, value) in shown.iter().chain(extra) {
        request = request.header(*name, value);
    }
    let request = request.body(Full::new(Bytes::from(body.to_string())))?;
    let answered = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), limits::DEMO_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("the answer cannot be read: {error}"))?;
        anyhow::Ok(Answer { status, body: read(&body.to_bytes()) })
    };
    tokio::pin!(answered);
    tokio::select! {
        answer = &mut answered => answer,
        _ended = connection => answered.await,
    }
}

/// A JSON document, or the last message of an event stream.
fn read(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(bytes);
        let messages = text.lines().filter_map(|line| line.strip_prefix("data:"));
        messages
            .filter_map(|data| serde_json::from_str(data.trim()).ok())
            .next_back()
            .unwrap_or(Value::Null)
    })
}

/// A `tools/call` in revision 2026-07-28.
pub(super) async fn call(
    url: &str,
    shown: &Shown,
    tool: &str,
    arguments: Value,
) -> anyhow::Result<Answer> {
    let body = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": tool,
            "arguments": arguments,
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": REVISION,
                "io.modelcontextprotocol/clientInfo": { "name": "help-desk-copilot", "version": "1" },
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    });
    let headers = vec![
        ("mcp-protocol-version", REVISION.to_owned()),
        ("mcp-method", "tools/call".to_owned()),
        ("mcp-name", tool.to_owned()),
    ];
    send(url, shown, &headers, &body).await
}
