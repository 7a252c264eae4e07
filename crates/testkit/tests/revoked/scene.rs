//! One gate with agents of every make, two APIs and an MCP server behind it, and how a party comes by its tokens.

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use testkit::{
    buyer::{ACCESS_TOKEN, Answered, Buyer},
    process::{Ambit, Home, StandIn},
    proof::ProofKey,
    upstream::mcp::Era,
};

const CONFIG: &str = r#"version: 1
humans:
  people:
    dana: { groups: [it] }
    olga: { groups: [desk] }
    ana: { groups: [staff] }
    omar: { groups: [staff] }
agents:
  lead: { purpose: Lead, owner: "group:it", boundary: all, may_act: [helper], credentials: { proof: none } }
  helper: { purpose: Help, owner: "group:it", boundary: all, may_act: [third], credentials: { proof: none } }
  third: { purpose: Help the helper, owner: "group:it", boundary: all, credentials: { proof: none } }
  clerk:
    purpose: Serve people
    owner: group:it
    boundary: all
    users: group:staff
    may_act: [aide]
    credentials: { proof: none }
  aide: { purpose: Help the clerk, owner: "group:it", boundary: all, users: "group:staff", credentials: { proof: none } }
  worker:
    purpose: Work with declared keys
    owner: group:it
    boundary: all
    may_act: [helper]
    credentials: { keys: worker.jwks, proof: none }
  copilot:
    purpose: Be built anew
    owner: group:it
    boundary: all
    manifest: copilot.lock
    review: { prompt: owner }
    credentials: { proof: none }
  owned: { purpose: Have an owner, owner: "user:olga", sponsor: "user:dana", boundary: all, credentials: { proof: none } }
  orphan: { purpose: Have one owner, owner: "user:olga", boundary: all, credentials: { proof: none } }
intents:
  serve: { allow: { "bank.*": {}, "mail.*": {}, "tools.*": {} } }
upstreams:
  bank:
    http: http://BANK
    actions:
      look: { route: GET /fast, effect: read, risk: low }
      pay: { route: POST /transfers, effect: write, risk: medium }
      ticket: { route: "GET /tickets/{id}", effect: read, risk: low }
      send: { route: POST /mail, effect: write, risk: medium }
      watch: { route: GET /clock, effect: read, risk: low }
      wait: { route: "GET /slow?ms", effect: read, risk: low }
  mail:
    http: http://MAIL
    actions:
      ticket: { route: "GET /tickets/{id}", effect: read, risk: low }
      send: { route: POST /mail, effect: write, risk: medium }
      watch: { route: GET /clock, effect: read, risk: low }
  tools:
    mcp: http://TOOLS/mcp
    actions:
      slow: { effect: read, risk: low }
      echo: { effect: read, risk: low }
      "*": { risk: prohibited }
boundaries:
  all: { upstreams: [bank, mail, tools] }
"#;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// The gate, what lies behind it, and the logs.
pub(crate) struct Scene {
    pub(crate) home: Home,
    pub(crate) bank: StandIn,
    pub(crate) mail: StandIn,
    pub(crate) tools: StandIn,
    pub(crate) http: Client,
    /// The keys of `worker`: both are declared.
    pub(crate) worker: [Arc<Buyer>; 2],
    gate: Ambit,
    _logs: tempfile::TempDir,
}

/// Microseconds since 1970, as the stand-ins note them.
pub(crate) fn now() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed();
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// The manifest of `copilot`.
pub(crate) fn manifest(prompt: &str) -> String {
    format!("version: 1\nmodel: acme/large\nprompts: {{ system: \"sha256:{prompt}\" }}\n")
}

impl Scene {
    pub(crate) async fn open(options: &[&str]) -> Result<Scene> {
        let logs = tempfile::tempdir()?;
        let bank = StandIn::http(logs.path(), "bank")?;
        let mail = StandIn::http(logs.path(), "mail")?;
        let tools = StandIn::mcp(logs.path(), "tools", Era::Both)?;
        let config = CONFIG.replace("BANK", &bank.address);
        let config = config.replace("MAIL", &mail.address).replace("TOOLS", &tools.address);
        let home = Home::new(&config)?.with_options(options);
        let (one, two) = (Arc::new(ProofKey::ed25519()?), Arc::new(ProofKey::ed25519()?));
        let keys = json!({ "keys": [one.public(), two.public()] });
        std::fs::write(home.path().join("worker.jwks"), keys.to_string())?;
        std::fs::write(home.path().join("copilot.lock"), manifest("aa"))?;
        let gate = home.start()?;
        let buyer = |agent, key| Buyer::with_key(&home, agent, key).map(Arc::new);
        let worker = [buyer("worker", one)?, buyer("worker", two)?];
        let http = Client::builder().timeout(std::time::Duration::from_secs(180)).build()?;
        Ok(Scene { home, bank, mail, tools, http, worker, gate, _logs: logs })
    }

    pub(crate) fn stop(self) -> Result<()> {
        self.gate.stop()
    }

    pub(crate) fn buyer(&self, agent: &str) -> Result<Arc<Buyer>> {
        Buyer::of(&self.home, agent).map(Arc::new)
    }

    /// A task of an agent for a human.
    pub(crate) fn task(&self, agent: &str, human: &str) -> Result<String> {
        let opened = self.home.json(&[
            "task",
            "open",
            "--agent",
            agent,
            "--intent",
            "serve",
            "--for",
            human,
            "--trigger",
            "she asked",
        ])?;
        opened["task"].as_str().map(str::to_owned).with_context(|| format!("no task: {opened}"))
    }

    /// A task below one, which the agent opens itself.
    pub(crate) async fn below(&self, agent: &Arc<Buyer>, task: &str) -> Result<String> {
        let url = format!("{}/tasks", self.home.front());
        let source = Source::of(agent).under(task);
        let token = source.buy(&url).await?;
        let request = self.http.post(&url).bearer_auth(token);
        let request = request.header("content-type", "application/json");
        let told = request.body(json!({ "parent": task }).to_string()).send().await?;
        let told: Value = serde_json::from_slice(&told.bytes().await?)?;
        told["task"].as_str().map(str::to_owned).with_context(|| format!("no task: {told}"))
    }

    /// A new instance of an agent, with a key of its own.
    pub(crate) async fn instance(&self, agent: &str) -> Result<Arc<Buyer>> {
        let code = self.home.json(&["agent", "enrol", agent])?["code"].clone();
        let code = code.as_str().context("no code")?.to_owned();
        let key = Arc::new(ProofKey::ed25519()?);
        let answer = self.enrol(&code, &key).await?;
        ensure!(answer.status() == 200, "{}", answer.text().await?);
        Buyer::with_key(&self.home, agent, key).map(Arc::new)
    }

    /// Offers a code of enrolment with a key.
    pub(crate) async fn enrol(&self, code: &str, key: &ProofKey) -> Result<Response> {
        let url = format!("{}/oauth/enrol", self.home.front());
        let form = [("code", code.to_owned()), ("jwk", key.public().to_string())];
        let post = async |nonce: Option<&str>| -> Result<Response> {
            let proof = key.prove_with("POST", &url, None, nonce)?;
            let body =
                url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&form).finish();
            let request = self.http.post(&url).body(body).header("dpop", proof);
            let kind = "application/x-www-form-urlencoded";
            Ok(request.header("content-type", kind).send().await?)
        };
        let first = post(None).await?;
        let nonce = first.headers().get("dpop-nonce").context("no nonce")?.to_str()?.to_owned();
        post(Some(&nonce)).await
    }

    /// A request of the MCP server's door.
    pub(crate) fn ask(&self, token: &str, method: &str, params: &Value) -> RequestBuilder {
        let mut params = params.clone();
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "agent", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let name = params["name"].as_str().map(str::to_owned);
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let request = self.http.post(self.home.mcp_door("tools")).bearer_auth(token);
        let mut request = request.body(body.to_string()).header("mcp-method", method);
        for (header, value) in [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2026-07-28"),
        ] {
            request = request.header(header, value);
        }
        match name {
            Some(name) => request.header("mcp-name", name),
            None => request,
        }
    }

    /// The standing stream of a session (2025-11-25) at the MCP server's door.
    pub(crate) async fn session(&self, token: &str) -> Result<Response> {
        let door = self.home.mcp_door("tools");
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "agent", "version": "1" } } });
        let request = self.http.post(&door).bearer_auth(token).body(body.to_string());
        let request = request.header("content-type", "application/json");
        let begun = request.header("accept", "application/json, text/event-stream").send().await?;
        let session = begun.headers().get("mcp-session-id").context("no session")?.clone();
        drop(begun.bytes().await?);
        let request = self.http.get(&door).bearer_auth(token).header("mcp-session-id", session);
        let request = request.header("accept", "text/event-stream");
        let opened = request.header("mcp-protocol-version", "2025-11-25").send().await?;
        ensure!(opened.status() == 200, "{}", opened.status());
        Ok(opened)
    }
}

/// How somebody comes by tokens, again and again: with a key of its own, or by exchanging what it was handed.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) buyer: Arc<Buyer>,
    more: Vec<(&'static str, String)>,
    handed: BTreeMap<String, String>,
}

impl Source {
    pub(crate) fn of(buyer: &Arc<Buyer>) -> Source {
        Source { buyer: Arc::clone(buyer), more: Vec::new(), handed: BTreeMap::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Source {
        self.more.push((name, value.to_owned()));
        self
    }

    pub(crate) fn under(self, task: &str) -> Source {
        self.with("task", task)
    }

    /// Of these tokens of another's, each for the door that it is for.
    pub(crate) fn exchanging(self, handed: &BTreeMap<String, String>) -> Source {
        Source { handed: handed.clone(), ..self }
    }

    pub(crate) async fn ask(&self, door: &str) -> Result<Answered> {
        let mut form = vec![("resource", door)];
        match self.handed.get(door) {
            None => form.push(("grant_type", "client_credentials")),
            Some(handed) => form.extend([
                ("grant_type", EXCHANGE),
                ("subject_token", handed.as_str()),
                ("subject_token_type", ACCESS_TOKEN),
            ]),
        }
        form.extend(self.more.iter().map(|(name, value)| (*name, value.as_str())));
        self.buyer.post("/oauth/token", &form, None).await
    }

    pub(crate) async fn buy(&self, door: &str) -> Result<String> {
        let answer = self.ask(door).await?;
        ensure!(answer.status == 200, "no token: {answer:?}");
        Ok(answer.text("access_token").to_owned())
    }

    /// Tokens for all of these doors.
    pub(crate) async fn tokens(&self, doors: &[String]) -> Result<BTreeMap<String, String>> {
        let mut all = BTreeMap::new();
        for door in doors {
            all.insert(door.clone(), self.buy(door).await?);
        }
        Ok(all)
    }
}

/// Somebody who calls: the victim or the bystander.
#[derive(Clone)]
pub(crate) struct Party {
    /// How it gets further tokens.
    pub(crate) source: Source,
    /// Its tokens by door.
    pub(crate) tokens: BTreeMap<String, String>,
    /// The door of the API that it calls.
    pub(crate) door: String,
    /// What it reads and what it writes there.
    pub(crate) paths: [&'static str; 2],
    /// The task that each call names beside the token.
    pub(crate) reference: Option<String>,
}

impl Party {
    pub(crate) fn token(&self) -> &str {
        self.tokens.get(&self.door).map_or("", String::as_str)
    }

    pub(crate) fn call(
        &self,
        http: &Client,
        token: &str,
        method: Method,
        path: &str,
    ) -> RequestBuilder {
        let request = http.request(method, format!("{}{path}", self.door)).bearer_auth(token);
        match &self.reference {
            Some(task) => request.header("Ambit-Task", task),
            None => request,
        }
    }
}
