//! A local MCP server of revision 2025-11-25 for tests: `stdio-upstream --log FILE [--discover silent|dies]`.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{BufRead as _, Write as _},
    path::PathBuf,
    process::Stdio,
};
use testkit::oracle::AccessLog;

/// How it takes a method that it does not know yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Discover {
    Error,
    Silent,
    Dies,
}

fn main() -> Result<()> {
    let (mut log, mut discover) = (None, Discover::Error);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{name} needs a value"))?;
        match (name.as_str(), value.as_str()) {
            ("--log", path) => log = Some(PathBuf::from(path)),
            ("--discover", "silent") => discover = Discover::Silent,
            ("--discover", "dies") => discover = Discover::Dies,
            _ => bail!("unknown argument {name} {value}"),
        }
    }
    let log = AccessLog::open(log.as_deref())?;
    log.note("start", json!({ "pid": std::process::id() }));
    let mut server = Server { log, discover, asked: None };
    for line in std::io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line?)?;
        server.take(&message)?;
    }
    server.log.note("end", json!({ "pid": std::process::id() }));
    Ok(())
}

struct Server {
    log: AccessLog,
    discover: Discover,
    /// The call that waits for an answer of its caller's.
    asked: Option<Value>,
}

impl Server {
    fn take(&mut self, message: &Value) -> Result<()> {
        let id = message.get("id").cloned();
        let method = message.get("method").and_then(Value::as_str);
        self.log.note("message", json!({ "method": method, "id": id, "message": message }));
        match (method, id) {
            (Some("initialize"), Some(id)) => answer(
                &id,
                &json!({
                    "protocolVersion": "2025-11-25",
                    "capabilities": { "tools": {} },
                    "serverInfo": { "name": "stdio-upstream", "version": "1.0.0" },
                }),
            ),
            (Some("server/discover"), _) if self.discover == Discover::Silent => Ok(()),
            (Some("server/discover"), _) if self.discover == Discover::Dies => {
                std::process::exit(7)
            }
            (Some("tools/list"), Some(id)) => answer(&id, &json!({ "tools": tools() })),
            (Some("tools/call"), Some(id)) => {
                let name = message.pointer("/params/name").and_then(Value::as_str);
                let arguments = message.pointer("/params/arguments").cloned().unwrap_or_default();
                self.log.note("call", json!({ "tool": name, "arguments": arguments }));
                self.call(&id, name.unwrap_or_default(), &arguments)
            }
            (Some(_), Some(id)) => write(&json!({
                "jsonrpc": "2.0", "id": id, "error": { "code": -32601, "message": "Method not found" }
            })),
            (None, Some(_)) => match self.asked.take() {
                Some(call) => text(&call, &message.to_string()),
                None => Ok(()),
            },
            (Some(_) | None, None) => Ok(()),
        }
    }

    fn call(&mut self, id: &Value, tool: &str, arguments: &Value) -> Result<()> {
        let told = arguments.get("text").and_then(Value::as_str).unwrap_or_default();
        match tool {
            "echo" => text(id, told),
            "about" => text(id, &about().to_string()),
            "crash" => std::process::exit(3),
            "flood" => write(&json!({ "jsonrpc": "2.0", "id": id, "result": "x".repeat(5 << 20) })),
            "babble" => {
                let mut out = std::io::stdout().lock();
                writeln!(out, "{{ this is no message")?;
                Ok(out.flush()?)
            }
            "mutter" => {
                writeln!(std::io::stderr(), "muttering {told}")?;
                text(id, "muttered")
            }
            "spawn" => {
                let mut child = std::process::Command::new("sleep");
                child.arg("600").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                text(id, &child.spawn()?.id().to_string())
            }
            "ask" => {
                self.asked = Some(id.clone());
                write(&json!({
                    "jsonrpc": "2.0", "id": "question", "method": "sampling/createMessage", "params": {}
                }))
            }
            "hang" => Ok(()),
            _ => text(id, "no such tool"),
        }
    }
}

fn tools() -> Value {
    let names =
        ["about", "ask", "babble", "crash", "echo", "flood", "hang", "mutter", "spawn", "stray"];
    let schema = json!({ "type": "object", "properties": { "text": { "type": "string" } } });
    let tool = |name: &&str| json!({ "name": name, "inputSchema": schema });
    names.iter().map(tool).collect()
}

/// What this process was given. Values of variables are told backwards: a gate withholds an answer that holds a secret.
fn about() -> Value {
    let backwards = |(name, value): (String, String)| (name, value.chars().rev().collect());
    let environment: BTreeMap<String, String> = std::env::vars().map(backwards).collect();
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let descriptors: Vec<Value> = open
        .filter_map(|entry| {
            let number: u32 = entry.file_name().to_str()?.parse().ok()?;
            let what = std::fs::read_link(entry.path()).ok()?;
            Some(json!([number, what.to_string_lossy()]))
        })
        .collect();
    let arguments: Vec<String> = std::env::args().collect();
    json!({
        "pid": std::process::id(),
        "environment": environment,
        "descriptors": descriptors,
        "arguments": arguments,
    })
}

fn text(id: &Value, text: &str) -> Result<()> {
    answer(id, &json!({ "content": [{ "type": "text", "text": text }] }))
}

fn answer(id: &Value, result: &Value) -> Result<()> {
    write(&json!({ "jsonrpc": "2.0", "id": id, "result": result }))
}

fn write(message: &Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{message}")?;
    Ok(out.flush()?)
}
