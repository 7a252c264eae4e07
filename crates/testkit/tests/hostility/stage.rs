//! One gate with every kind of upstream that the table needs, friendly and hostile.

use crate::{peers::Hostile, raw};
use anyhow::{Context as _, Result, ensure};
use std::time::Duration;
use testkit::{
    process::{Ambit, Home, StandIn, get},
    upstream::mcp::Era,
};

/// The secret that every upstream is called with.
pub(crate) const SECRET: &str = "upstream-secret-5d1e7";
/// How long a connection that is kept is listened to for more.
pub(crate) const QUIET: Duration = Duration::from_millis(400);

fn config(tools: &str, api: &str, hostile: &str) -> String {
    let credential = "credential: env:AMBIT_SECRET_UPSTREAM";
    format!(
        r#"version: 1
humans:
  people:
    dana: {{ groups: [it] }}
agents:
  reader:
    purpose: Read
    owner: group:it
    boundary: all
    credentials: {{ proof: none }}
  other:
    purpose: Read something else
    owner: group:it
    boundary: all
    credentials: {{ proof: none }}
upstreams:
  tools:
    mcp: http://{tools}/mcp
    {credential}
    actions:
      echo: {{ effect: read, risk: low }}
      transfer: {{ effect: transfer, risk: medium }}
      slow: {{ effect: read, risk: prohibited }}
      ghost: {{ effect: read, risk: low }}
      "*": {{ risk: prohibited }}
  api:
    http: http://{api}
    {credential}
    actions:
      ticket: {{ route: "GET /tickets/{{id}}", effect: read, risk: low }}
      fast: {{ route: GET /fast, effect: read, risk: low }}
      slow: {{ route: "GET /slow?ms", effect: read, risk: low }}
      said: {{ route: POST /fast, effect: write, risk: medium }}
      user: {{ route: "GET /users/{{id}}", effect: read, risk: low }}
      admin: {{ route: GET /users/admin, effect: read, risk: prohibited }}
  hostile:
    http: http://{hostile}
    {credential}
    actions:
      act: {{ route: "GET /{{how}}", effect: read, risk: low }}
      kept: {{ route: "GET /kept/{{how}}", effect: read, risk: low, returns: [/id] }}
boundaries:
  all: {{ upstreams: [tools, api, hostile] }}
"#
    )
}

/// The gate, its upstreams and their logs.
pub(crate) struct Stage {
    pub(crate) home: Home,
    pub(crate) ambit: Ambit,
    pub(crate) tools: StandIn,
    pub(crate) api: StandIn,
    pub(crate) hostile: Hostile,
    _logs: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn set() -> Result<Stage> {
        let logs = tempfile::tempdir()?;
        let tools = StandIn::mcp(logs.path(), "tools", Era::Both)?;
        let api = StandIn::http(logs.path(), "api")?;
        let hostile = Hostile::open(SECRET)?;
        let home = Home::new(&config(&tools.address, &api.address, &hostile.address))?
            .with_secret("AMBIT_SECRET_UPSTREAM", SECRET);
        let ambit = home.start()?;
        Ok(Stage { home, ambit, tools, api, hostile, _logs: logs })
    }

    /// `127.0.0.1:port` of the doors.
    pub(crate) fn address(&self) -> String {
        self.home.front().replace("http://", "")
    }

    /// `host: …` of the doors.
    pub(crate) fn host(&self) -> String {
        format!("host: {}", self.address())
    }

    /// `authorization: Bearer …` of an agent for an HTTP door.
    pub(crate) fn bearer(&self, agent: &str, upstream: &str) -> Result<String> {
        let token = self.home.token(agent, &self.home.http_door(upstream), &[])?;
        Ok(format!("authorization: Bearer {token}"))
    }

    /// `authorization: Bearer …` of an agent for an MCP door.
    pub(crate) fn mcp_bearer(&self, agent: &str) -> Result<String> {
        let token = self.home.token(agent, &self.home.mcp_door("tools"), &[])?;
        Ok(format!("authorization: Bearer {token}"))
    }

    /// Requests that reached the HTTP API, as `METHOD path?query`.
    pub(crate) fn reached(&self) -> Vec<String> {
        let text = |event: &serde_json::Value, member: &str| {
            event.get(member).and_then(|text| text.as_str()).unwrap_or_default().to_owned()
        };
        let line = |event: &serde_json::Value| {
            let query = text(event, "query");
            let query = if query.is_empty() { query } else { format!("?{query}") };
            format!("{} {}{query}", text(event, "method"), text(event, "path"))
        };
        self.api.oracle.of("request").iter().map(line).collect()
    }

    /// Sends bytes to the doors.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<raw::Back> {
        raw::send(&self.address(), bytes, QUIET)
    }

    /// A GET at the HTTP door of an upstream, on a connection of its own.
    pub(crate) fn get(&self, bearer: &str, path: &str) -> Result<raw::Back> {
        let line = format!("GET {path} HTTP/1.1");
        let request = raw::request(&line, &[&self.host(), bearer, "connection: close"], "");
        raw::send(&self.address(), &request, raw::PATIENCE)
    }

    /// Resident memory of the gate, in MiB.
    pub(crate) fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.ambit.running.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
        Ok(kib / 1024)
    }

    /// It still answers, and admits.
    pub(crate) fn is_well(&self) -> Result<()> {
        let port = self.home.ops().rsplit(':').next().and_then(|port| port.parse().ok());
        let answer = get(port.context("no port")?, "/readyz")?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        Ok(())
    }
}

/// One attack and its twin, both at the HTTP API's door.
pub(crate) struct Row<'a> {
    pub(crate) what: &'a str,
    pub(crate) attack: Vec<u8>,
    pub(crate) twin: Vec<u8>,
    /// What the twin is at the upstream.
    pub(crate) arrives: &'a str,
}

/// Each attack is refused with nothing forwarded; each twin is answered and arrives, once, as it should.
pub(crate) fn check(stage: &Stage, rows: &[Row<'_>]) -> Result<()> {
    for Row { what, attack, twin, arrives } in rows {
        let before = stage.reached();
        let back = stage.send(attack)?;
        ensure!((400..500).contains(&back.status) || back.status == 0, "{what}: {back:?}");
        ensure!(back.status != 0 || back.closed, "{what}: neither answered nor closed: {back:?}");
        ensure!(
            stage.reached() == before,
            "{what}: something was forwarded: {:?}",
            stage.reached()
        );
        let back = stage.send(twin)?;
        ensure!(back.status == 200, "twin of {what}: {back:?}");
        let reached = stage.reached();
        let new = reached.get(before.len()..).unwrap_or_default();
        ensure!(new == [*arrives], "twin of {what} arrived as {new:?}");
    }
    stage.is_well()
}
