//! What a client is told while the gate is away. A tool call gets a result, because errors end the runs of agents (F3).

use super::{message::Message, reach::Trouble};
use serde_json::{Value, json};

const MODERN: &str = "2026-07-28";
const LEGACY: [&str; 2] = ["2025-11-25", "2025-06-18"];

/// The answer to a request that the gate did not answer; `None` where none is due. `listed` is the last list of tools: a
/// list decides nothing, and each call is decided when the gate is back.
pub(super) fn without_gate(
    message: &Message,
    trouble: &Trouble,
    seconds: u64,
    listed: Option<&Value>,
) -> Option<Value> {
    let id = message.request()?.clone();
    let method = message.method().unwrap_or_default();
    let modern = !message.is_legacy();
    let mut result = match method {
        "tools/call" => not_executed(trouble, seconds),
        "ping" => json!({}),
        "initialize" => greeting(&message.value),
        "server/discover" => discovered(),
        "tools/list" => listed.cloned().unwrap_or_else(|| json!({ "tools": [] })),
        "resources/list" => json!({ "resources": [] }),
        "resources/templates/list" => json!({ "resourceTemplates": [] }),
        "prompts/list" => json!({ "prompts": [] }),
        _ => {
            let error = json!({ "code": -32603, "message": told(trouble, seconds) });
            return Some(json!({ "jsonrpc": "2.0", "id": id, "error": error }));
        }
    };
    if modern && let Some(members) = result.as_object_mut() {
        members.insert("resultType".into(), "complete".into());
        if method.ends_with("/list") {
            members.insert("ttlMs".into(), 0.into());
            members.insert("cacheScope".into(), "private".into());
        }
    }
    Some(json!({ "jsonrpc": "2.0", "id": id, "result": result }))
}

/// One sentence for a model: what became of it, and what to do.
fn told(trouble: &Trouble, seconds: u64) -> String {
    match trouble {
        Trouble::Away(_) => {
            format!(
                "Not executed: the gateway is away. Nothing was executed; try again in {seconds} s."
            )
        }
        Trouble::BrokeOff(_) => {
            "Outcome unknown: the gateway broke off while it worked on this call. It may or may \
                                 not have happened; check that before you call again."
                .to_owned()
        }
        Trouble::NoToken(why) => format!(
            "Not executed: the gateway gives this agent no access. Nothing was executed; do not retry, ask the \
             operator. ({why})"
        ),
    }
}

fn not_executed(trouble: &Trouble, seconds: u64) -> Value {
    let text = told(trouble, seconds);
    let (code, retry) = match trouble {
        Trouble::Away(_) => ("gateway_away", true),
        Trouble::BrokeOff(_) => ("outcome_unknown", false),
        Trouble::NoToken(_) => ("no_access", false),
    };
    json!({
        "content": [{ "type": "text", "text": text }],
        "isError": true,
        "structuredContent": { "code": code, "message": text, "retry": retry, "retry_after": seconds },
    })
}

/// The client may begin before the gate is there.
fn greeting(message: &Value) -> Value {
    let asked = message.pointer("/params/protocolVersion").and_then(Value::as_str);
    let [newest, ..] = LEGACY;
    let version = asked.filter(|asked| LEGACY.contains(asked)).unwrap_or(newest);
    json!({
        "protocolVersion": version,
        "capabilities": { "tools": { "listChanged": true } },
        "serverInfo": { "name": "ambit", "version": env!("CARGO_PKG_VERSION") },
    })
}

fn discovered() -> Value {
    json!({
        "supportedVersions": [MODERN, LEGACY[0], LEGACY[1]],
        "capabilities": { "tools": { "listChanged": true } },
        "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "ambit", "version": env!("CARGO_PKG_VERSION") } },
        "ttlMs": 0,
        "cacheScope": "private",
    })
}
