//! One gate with agents that hold their keys, and two upstreams whose logs say what was done.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::process::Command;
use testkit::{
    buyer::Buyer,
    process::{Ambit, Home, StandIn, built},
    upstream::mcp::Era,
};

/// Who there is: `lead` hands on to `helper`, that to `third`, and so on until one too many; `robot` has no human.
const AGENTS: &str = r#"agents:
  lead:
    purpose: Lead
    owner: group:it
    users: user:ana
    boundary: all
    may_act: [helper, clerk]
    credentials: { ttl: 2m }
  helper:
    purpose: Help
    owner: group:desk
    users: user:ana
    boundary: all
    only: ["tools.*", api.fast, api.said]
    may_act: [third]
  third:
    purpose: Help the helper
    owner: group:it
    users: user:ana
    boundary: all
    may_act: [fourth]
  fourth:
    purpose: Help the third
    owner: group:it
    users: user:ana
    boundary: all
    may_act: [fifth]
  fifth:
    purpose: One too many
    owner: group:it
    users: user:ana
    boundary: all
  clerk:
    purpose: Work for itself only
    owner: group:it
    boundary: all
    may_act: [clerk]
  outsider:
    purpose: Be listed nowhere
    owner: group:it
    users: user:ana
    boundary: all
  robot:
    purpose: Act for itself and hand on
    owner: group:it
    boundary: all
    may_act: [clerk]
"#;

fn config(agents: &str, tools: &str, api: &str) -> String {
    format!(
        r#"version: 1
humans:
  people:
    dana: {{ groups: [it, desk] }}
    ana: {{ groups: [it] }}
{agents}upstreams:
  tools:
    mcp: http://{tools}/mcp
    actions:
      echo: {{ effect: read, risk: low }}
      transfer: {{ effect: transfer, risk: medium }}
      "*": {{ risk: prohibited }}
  api:
    http: http://{api}
    actions:
      fast: {{ route: GET /fast, effect: read, risk: low }}
      ticket: {{ route: "GET /tickets/{{id}}", effect: read, risk: low }}
      said: {{ route: POST /fast, effect: write, risk: medium }}
intents:
  look:
    params: {{ id: string }}
    allow: {{ "tools.*": {{}}, api.fast: {{}}, api.ticket: {{ id: $id }}, api.said: {{}} }}
boundaries:
  all: {{ upstreams: [tools, api] }}
"#
    )
}

/// The gate, its upstreams and their logs.
pub(crate) struct Stage {
    pub(crate) home: Home,
    pub(crate) ambit: Ambit,
    pub(crate) tools: StandIn,
    pub(crate) api: StandIn,
    client: reqwest::Client,
    _logs: tempfile::TempDir,
}

/// What a door answered.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

impl Stage {
    pub(crate) fn set() -> Result<Stage> {
        Stage::set_with(&[])
    }

    /// With more arguments for `ambit dev`.
    pub(crate) fn set_with(more: &[&str]) -> Result<Stage> {
        Stage::set_as(AGENTS, more)
    }

    /// With `lead` and `helper` for themselves, so that no task is needed.
    pub(crate) fn set_for_strangers(more: &[&str]) -> Result<Stage> {
        Stage::set_as(&AGENTS.replace("    users: user:ana\n", ""), more)
    }

    fn set_as(agents: &str, more: &[&str]) -> Result<Stage> {
        let logs = tempfile::tempdir()?;
        let tools = StandIn::mcp(logs.path(), "tools", Era::Both)?;
        let api = StandIn::http(logs.path(), "api")?;
        let home = Home::new(&config(agents, &tools.address, &api.address))?;
        let ambit = home.start_more(Command::new(built("ambit")?), more)?;
        let client = reqwest::Client::new();
        Ok(Stage { home, ambit, tools, api, client, _logs: logs })
    }

    /// A task of an agent for ana.
    pub(crate) fn task(&self, agent: &str) -> Result<String> {
        let opened = self.home.json(&[
            "task",
            "open",
            "--agent",
            agent,
            "--intent",
            "look",
            "--for",
            "ana",
            "--trigger",
            "she asked",
            "id=7",
        ])?;
        let id = opened.get("task").or_else(|| opened.get("id")).and_then(Value::as_str);
        id.map(str::to_owned).with_context(|| format!("no task: {opened}"))
    }

    /// Edits the declared state and applies it.
    pub(crate) fn change(&self, from: &str, to: &str) -> Result<()> {
        let path = self.home.path().join("ambit.yaml");
        let text = std::fs::read_to_string(&path)?;
        ensure!(text.contains(from), "`{from}` is not in the file");
        std::fs::write(&path, text.replacen(from, to, 1))?;
        self.home.done(&["apply", "ambit.yaml"]).map(drop)
    }

    pub(crate) fn buyer(&self, agent: &str) -> Result<Buyer> {
        Buyer::of(&self.home, agent)
    }

    /// How many requests reached the upstreams.
    pub(crate) fn reached(&self) -> usize {
        self.tools.oracle.of("call").len() + self.api.oracle.of("request").len()
    }

    /// `GET` at the API's door.
    pub(crate) async fn get(&self, path: &str, headers: &[(&str, String)]) -> Result<Told> {
        let mut request = self.client.get(format!("{}{path}", self.home.http_door("api")));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        told(request).await
    }

    /// `tools/call` at the MCP door.
    pub(crate) async fn call(&self, tool: &str, headers: &[(&str, String)]) -> Result<Told> {
        self.send("tools/call", Some(tool), headers).await
    }

    /// A request without parameters at the MCP door.
    pub(crate) async fn ask(&self, method: &str, headers: &[(&str, String)]) -> Result<Told> {
        self.send(method, None, headers).await
    }

    async fn send(
        &self,
        method: &str,
        tool: Option<&str>,
        headers: &[(&str, String)],
    ) -> Result<Told> {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "agent", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let params = match tool {
            Some("transfer") => json!({ "name": "transfer", "_meta": meta,
                "arguments": { "from": "a", "to": "b", "amount": 1 } }),
            Some(tool) => json!({ "name": tool, "arguments": { "text": "said" }, "_meta": meta }),
            None => json!({ "_meta": meta }),
        };
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut request = self.client.post(self.home.mcp_door("tools")).body(body.to_string());
        for (name, value) in [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", method),
        ] {
            request = request.header(name, value);
        }
        if let Some(tool) = tool {
            request = request.header("mcp-name", tool);
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        told(request).await
    }
}

async fn told(request: reqwest::RequestBuilder) -> Result<Told> {
    let answer = request.send().await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let bytes = answer.bytes().await?;
    Ok(Told { status, headers, body: serde_json::from_slice(&bytes).unwrap_or_default() })
}

impl Told {
    /// Whether the call was done: neither refused by a status nor in a tool result.
    pub(crate) fn is_done(&self) -> bool {
        let failed = self.body.pointer("/result/isError").and_then(Value::as_bool);
        self.status == 200 && self.body.get("error").is_none() && failed != Some(true)
    }

    pub(crate) fn challenges(&self) -> String {
        let all = self.headers.get_all("www-authenticate").iter();
        all.filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join("; ")
    }

    pub(crate) fn nonce(&self) -> Option<&str> {
        self.headers.get("dpop-nonce").and_then(|nonce| nonce.to_str().ok())
    }

    pub(crate) fn done(&self) -> Result<()> {
        ensure!(self.is_done(), "not done: {self:?}");
        Ok(())
    }
}
