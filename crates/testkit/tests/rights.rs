//! Whose identity is whose: the agent's own, the customer's and the backend's account stand side by side in each record and
//! never blend; and what a human may not do, no agent does for her, whoever enforces it.

#![cfg(test)]

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{
    buyer::{Buyer, claims},
    orchestrator::Orchestrator,
    process::{Ambit, Home, StandIn},
    provider::Provider,
};

const BACKEND: &str = "backend-account-0815";

const BANK: &str = r#"version: 1
humans: { issuers: { customers: { url: "PROVIDER", actions: [core.*] } } }
clients: { portal: { agent: teller, may_open: [pay_bill] } }
agents:
  teller: { purpose: Pay bills of customers, owner: "group:payments", boundary: bank, users: "issuer:customers" }
intents:
  pay_bill:
    params: { to: string, cents: integer }
    allow: { core.transfer: { to: $to, cents: $cents } }
upstreams:
  core:
    http: http://CORE
    credential: { as: service, secret: env:AMBIT_SECRET_BACKEND }
    actions:
      transfer:
        route: POST /transfers
        effect: transfer
        sink: external
        risk: medium
        resource: { type: account, id: $to }
boundaries: { bank: { upstreams: [core] } }
"#;

/// A text in JSON at a place.
fn text<'a>(value: &'a Value, place: &str) -> &'a str {
    value.pointer(place).and_then(Value::as_str).unwrap_or_default()
}

/// Sends a request with a token, the proof for it and a task; gives status and body.
async fn send(
    agent: &Buyer,
    (method, url): (&str, &str),
    (token, task): (&str, &str),
    body: Option<&Value>,
) -> Result<(u16, Value)> {
    let request = reqwest::Client::new().request(method.parse()?, url);
    let request = request.header("authorization", format!("DPoP {token}"));
    let mut request = request.header("dpop", agent.key.prove(method, url, token)?);
    if !task.is_empty() {
        request = request.header("Ambit-Task", task);
    }
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    Ok((status, serde_json::from_slice(&answer.bytes().await?).unwrap_or_default()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_names_agent_customer_and_backend_account_field_by_field() -> Result<()> {
    let logs = tempfile::tempdir()?;
    let core = StandIn::http(logs.path(), "core")?;
    let provider = Provider::open().await?;
    let config = BANK.replace("CORE", &core.address).replace("PROVIDER", provider.url());
    let home = Home::new(&config)?.with_secret("AMBIT_SECRET_BACKEND", BACKEND);
    let gate = home.start()?;
    let (portal, teller) = (Orchestrator::of(&home, "portal")?, Buyer::of(&home, "teller")?);
    let bill = "invoice 2026-114";
    let asked = json!({ "intent": "pay_bill", "params": { "to": "DE02-7788", "cents": 4200 },
        "subject_token": provider.id_token("ana-7", "portal")?,
        "trigger": { "kind": "ticket", "ref": bill, "body": "please pay" } });
    let task = portal.open(&asked).await?;
    let door = home.http_door("core");
    let token = teller.buy(&door, &[]).await?;
    let url = format!("{door}/transfers");
    let (to, cents) = ("DE02-7788", 4200);
    let body = json!({ "to": to, "cents": cents });
    let (status, answer) = send(&teller, ("POST", &url), (&token, &task), Some(&body)).await?;
    ensure!(status == 201, "{status} {answer}");
    let elsewhere = json!({ "to": "XX99-0001", "cents": cents });
    let (status, answer) = send(&teller, ("POST", &url), (&token, &task), Some(&elsewhere)).await?;
    ensure!(status == 403 && answer["code"] == "outside_intent", "{status} {answer}");

    // What the backend saw: its own account, no token and no name of anybody, and the entry to ask Ambit for.
    let arrived = core.oracle.of("request");
    let [seen] = arrived.as_slice() else { anyhow::bail!("one call arrives: {arrived:?}") };
    ensure!(text(seen, "/headers/authorization") == format!("Bearer {BACKEND}"), "{seen}");
    ensure!(!seen.to_string().contains("ana-7") && !seen.to_string().contains(&token), "{seen}");

    let rows = home.json(&["trace", "list", "--agent", "teller", "--decision", "allow"])?;
    let shown = home.json(&["trace", "show", text(&rows, "/0/trace")])?;
    let says = claims(&token)?;
    ensure!(says["sub"] == "teller" && says["cnf"]["jkt"] == teller.key.thumbprint(), "{says}");
    let actions = shown["actions"].as_array().context("no actions")?;
    let [row] = actions.as_slice() else { anyhow::bail!("one action: {shown}") };
    let mut row = row.as_object().context("a row")?.clone();
    for (of_this_run, form) in [
        ("at", 27),
        ("catalog", 64),
        ("control_revision", 1),
        ("duration_us", 0),
        ("policies", 64),
        ("sequence", 0),
    ] {
        let value = row.remove(of_this_run).with_context(|| format!("no `{of_this_run}`"))?;
        let length = value.as_str().map_or(0, str::len);
        ensure!(length == form || value.is_number(), "`{of_this_run}` is {value}");
    }
    let told = json!({
        // Who: the agent, which version and instance of it, with which token.
        "agent": "teller", "version": says["agent_version"], "instance": teller.key.thumbprint(),
        "token": says["jti"], "bound": true, "act": ["teller"],
        // For whom, why, and who said so: the customer, her task, the portal that opened it.
        "on_behalf_of": "customers:ana-7", "task": task, "intent": "pay_bill",
        "task_params": { "to": to, "cents": cents }, "opened_by": "orchestrator", "client": "portal",
        "trigger": bill, "trigger_kind": "ticket", "input_trust": "untrusted",
        // With what right: the decision, and what of the customer's it rests on.
        "decision": "allow", "right": "issuer:customers", "reasons": [],
        // With which account of the backend.
        "credential": "env:AMBIT_SECRET_BACKEND", "credential_as": "service",
        // What, and how it ended.
        "kind": "opened", "action": "core.transfer", "upstream": "core", "edge": "http",
        "effect": "transfer", "sink": "external", "risk": "medium", "data": [],
        "consequential": true, "resource": format!("account {to}"), "arguments": body,
        "outcome": "done", "status": 201, "boundary": "development",
        "entry": text(seen, "/headers/ambit-action"), "trace": shown["trace"],
    });
    ensure!(Value::Object(row.clone()) == told, "{:#}\nis not\n{told:#}", Value::Object(row));
    ensure!(text(seen, "/headers/traceparent").contains(text(&shown, "/trace")), "{seen}");
    // The backend's account is named, never shown.
    ensure!(!shown.to_string().contains(BACKEND), "{shown}");
    gate.stop()
}

const DESK: &str = r#"version: 1
humans:
  people:
    ana: { groups: [everyone, staff] }
    omar: { groups: [everyone, guests] }
    zoe: { groups: [everyone, staff] }
  groups: { staff: { actions: [shared.*] }GUESTS }
agents:
  clerk: { purpose: Answer tickets, owner: "group:it", boundary: all, users: "group:everyone" }
intents: { look: { allow: { own.read: {}, shared.read: {} } } }
upstreams:
  own:
    http: http://DESK
    credential: { as: user, secret: "secret:own/{user}" }
    actions: { read: { route: "GET /own/{ticket}", effect: read, risk: low } }
  shared:
    http: http://DESK
    credential: { as: service, secret: env:AMBIT_SECRET_BACKEND }
    actions: { read: { route: "GET /tickets/{id}", effect: read, risk: low } }
boundaries: { all: { upstreams: [own, shared] } }
"#;

struct Desk {
    home: Home,
    desk: StandIn,
    gate: Ambit,
    clerk: Buyer,
    _logs: tempfile::TempDir,
}

impl Desk {
    /// Ana and Omar have each a key of their own at the desk; Zoe has none. `guests` is what the file says of Omar's group.
    fn open(guests: &str) -> Result<Desk> {
        let logs = tempfile::tempdir()?;
        let desk = StandIn::http(logs.path(), "desk")?;
        let config = DESK.replace("DESK", &desk.address).replace("GUESTS", guests);
        let home = Home::new(&config)?.with_secret("AMBIT_SECRET_BACKEND", BACKEND);
        let gate = home.start()?;
        for user in ["ana", "omar"] {
            let set = ["secret", "set", "own", "--for", user];
            let set = home.command_with(&set, &format!("key-of-{user}"))?;
            ensure!(set.status.success(), "{set:?}");
        }
        let clerk = Buyer::of(&home, "clerk")?;
        Ok(Desk { home, desk, gate, clerk, _logs: logs })
    }

    /// The clerk reads ticket 4711 for somebody; gives status, code and the requests that came of it.
    async fn read(&self, upstream: &str, user: &str) -> Result<(u16, String, Vec<Value>)> {
        let before = self.desk.oracle.of("request").len();
        let open = ["task", "open", "--agent", "clerk", "--intent", "look", "--for", user];
        let opened = self.home.json(&[open.as_slice(), &["--trigger", "a call"]].concat())?;
        let door = self.home.http_door(upstream);
        let token = self.clerk.buy(&door, &[]).await?;
        let path = if upstream == "own" { "own/4711" } else { "tickets/4711" };
        let url = format!("{door}/{path}");
        let shown = (token.as_str(), text(&opened, "/task"));
        let (status, body) = send(&self.clerk, ("GET", &url), shown, None).await?;
        let came = self.desk.oracle.of("request").split_off(before);
        Ok((status, text(&body, "/code").to_owned(), came))
    }
}

/// With whose credential each request came.
fn with(came: &[Value]) -> Vec<&str> {
    came.iter().map(|request| text(request, "/headers/authorization")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_read_is_refused_by_the_upstream_or_by_what_is_declared() -> Result<()> {
    let scene = Desk::open("")?;
    // With her own credential: Ambit lets both go, and the desk itself tells them apart.
    let (status, _, came) = scene.read("own", "ana").await?;
    ensure!(status == 200 && with(&came) == ["Bearer key-of-ana"], "{status} {came:?}");
    let (status, code, came) = scene.read("own", "omar").await?;
    ensure!(with(&came) == ["Bearer key-of-omar"], "Omar's call arrives as Omar's: {came:?}");
    ensure!(
        (status, code.as_str()) == (403, ""),
        "the desk's own refusal comes back: {status} {code}"
    );
    let answers = scene.desk.oracle.of("answer");
    ensure!(answers.last().is_some_and(|last| last["status"] == 403), "{answers:?}");
    // Without a credential of her own nothing is lent her, and nothing leaves.
    let (status, code, came) = scene.read("own", "zoe").await?;
    ensure!(code == "upstream_credential" && came.is_empty(), "{status} {code} {came:?}");

    // With Ambit's: the desk cannot tell, so what is declared of their groups does.
    let service = format!("Bearer {BACKEND}");
    let (status, _, came) = scene.read("shared", "ana").await?;
    ensure!(status == 200 && with(&came) == [service.as_str()], "{status} {came:?}");
    let (status, code, came) = scene.read("shared", "omar").await?;
    ensure!((status, code.as_str()) == (403, "forbidden"), "{status} {code}");
    ensure!(came.is_empty(), "{came:?}");

    let rows = scene.home.json(&["trace", "list", "--agent", "clerk"])?;
    let row = |row: &Value| -> [String; 4] {
        ["/on_behalf_of", "/decision", "/credential", "/credential_as"]
            .map(|place| text(row, place).to_owned())
    };
    let rows: Vec<_> = rows.as_array().context("rows")?.iter().map(row).collect();
    let told: Vec<[&str; 4]> = vec![
        ["ana", "allow", "secret:own/ana", "user"],
        ["omar", "allow", "secret:own/omar", "user"],
        ["zoe", "deny", "", ""],
        ["ana", "allow", "env:AMBIT_SECRET_BACKEND", "service"],
        ["omar", "deny", "", ""],
    ];
    ensure!(rows == told, "{rows:?}");
    scene.gate.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_declared_lets_the_same_call_arrive() -> Result<()> {
    let scene = Desk::open(", guests: { actions: [shared.read] }")?;
    let (status, _, came) = scene.read("shared", "omar").await?;
    ensure!(status == 200 && came.len() == 1, "{status} {came:?}");
    scene.gate.stop()
}
