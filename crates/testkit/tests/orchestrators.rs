//! Who may open a task: an orchestrator with a key of its own for a proven human, an agent below its own task, nobody
//! else. Each refusal has its twin.

#![cfg(test)]

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{
    buyer::Buyer,
    orchestrator::Orchestrator,
    process::{Ambit, Home, StandIn},
    proof::{ProofKey, unix_now},
    provider::Provider,
};

const CONFIG: &str = r#"version: 1
humans:
  people:
    ana: { groups: [staff] }
    eve: { groups: [others] }
  issuers: { customers: { url: "PROVIDER" } }
clients:
  portal: { agent: clerk, may_open: [answer] }
  office: { agent: helper, may_open: [answer, look], humans: stated }
agents:
  clerk: { purpose: Answer customers, owner: "group:it", boundary: all, users: "issuer:customers" }
  helper: { purpose: Answer staff, owner: "group:it", boundary: all, users: "group:staff" }
intents:
  answer:
    params: { ticket: string }
    allow: { desk.read: { id: $ticket } }
  look: { allow: { desk.read: {} } }
upstreams:
  desk:
    http: http://DESK
    credential: { as: service, secret: "file:desk" }
    actions:
      read: { route: "GET /tickets/{id}", effect: read, risk: low }
boundaries: { all: { upstreams: [desk] } }
"#;

struct Scene {
    home: Home,
    desk: StandIn,
    provider: Provider,
    portal: Orchestrator,
    office: Orchestrator,
    gate: Ambit,
    http: reqwest::Client,
    _logs: tempfile::TempDir,
}

fn task(ticket: &str) -> Value {
    json!({ "intent": "answer", "params": { "ticket": ticket },
        "trigger": { "kind": "ticket", "ref": format!("ticket {ticket}"), "body": "please help" } })
}

fn with(mut task: Value, name: &str, value: impl Into<Value>) -> Value {
    task[name] = value.into();
    task
}

impl Scene {
    async fn open() -> Result<Scene> {
        let logs = tempfile::tempdir()?;
        let desk = StandIn::http(logs.path(), "desk")?;
        let provider = Provider::open().await?;
        let config = CONFIG.replace("DESK", &desk.address).replace("PROVIDER", provider.url());
        let home = Home::new(&config)?;
        let secrets = home.path().join("secrets");
        std::fs::create_dir_all(&secrets)?;
        std::fs::write(secrets.join("desk"), "desk-key")?;
        let home = home.with_options(&["--secrets-dir", &secrets.to_string_lossy()]);
        let gate = home.start()?;
        let portal = Orchestrator::of(&home, "portal")?;
        let office = Orchestrator::of(&home, "office")?;
        let http = reqwest::Client::new();
        Ok(Scene { home, desk, provider, portal, office, gate, http, _logs: logs })
    }

    fn id_token(&self, subject: &str) -> Result<String> {
        self.provider.id_token(subject, "portal")
    }

    /// Reads a ticket as an agent under a task; gives the status.
    async fn read(&self, agent: &Buyer, ticket: &str, task: &str) -> Result<u16> {
        let door = self.home.http_door("desk");
        let token = agent.buy(&door, &[]).await?;
        self.read_with(agent, ticket, task, &token).await
    }

    async fn read_with(&self, agent: &Buyer, ticket: &str, task: &str, token: &str) -> Result<u16> {
        let url = format!("{}/tickets/{ticket}", self.home.http_door("desk"));
        let request = self.http.get(&url).header("authorization", format!("DPoP {token}"));
        let request = request.header("dpop", agent.key.prove("GET", &url, token)?);
        Ok(request.header("Ambit-Task", task).send().await?.status().as_u16())
    }

    /// Asks for a task at the agents' listener, as an agent.
    async fn below(&self, agent: &Buyer, body: &Value) -> Result<(u16, Value)> {
        let url = format!("{}/tasks", self.home.front());
        let token = agent.buy(&url, &[]).await?;
        let request = self.http.post(&url).header("authorization", format!("DPoP {token}"));
        let request = request.header("dpop", agent.key.prove("POST", &url, &token)?);
        let request = request.header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.json().await.unwrap_or_default()))
    }

    fn reads(&self) -> usize {
        self.desk.oracle.of("request").len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_human_is_proven_by_a_token_of_her_own() -> Result<()> {
    let scene = Scene::open().await?;
    let (claims, clerk) =
        (scene.provider.claims("ana-7", "portal"), Buyer::of(&scene.home, "clerk")?);
    let right = with(task("4711"), "subject_token", scene.provider.sign(&claims)?);
    let opened = scene.portal.open(&right).await?;
    ensure!(scene.read(&clerk, "4711", &opened).await? == 200, "the twin");
    let row = &scene.home.json(&["trace", "list", "--task", &opened])?[0];
    ensure!(row["on_behalf_of"] == "customers:ana-7", "{row}");
    ensure!(row["opened_by"] == "orchestrator" && row["client"] == "portal", "{row}");
    ensure!(row["trigger"] == "ticket 4711" && row["input_trust"] == "untrusted", "{row}");

    let change = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        scene.provider.sign(&claims)
    };
    let stranger = ProofKey::p256()?;
    let wrong = [
        ("another audience", change("aud", json!("shop"))?),
        ("two audiences", change("aud", json!(["portal", "shop"]))?),
        ("given to another party", change("azp", json!("shop"))?),
        ("expired", change("exp", json!(unix_now() - 120))?),
        ("too old", change("iat", json!(unix_now() - 9 * 3_600))?),
        ("an issuer that is not declared", change("iss", json!("https://id.example"))?),
        (
            "another issuer's name in part",
            change("iss", json!(format!("{}/", scene.provider.url())))?,
        ),
        ("no subject", change("sub", json!(""))?),
        ("another key", scene.provider.sign_with(&stranger, &claims)?),
    ];
    for (what, token) in wrong {
        let told = scene.portal.ask(&with(task("4711"), "subject_token", token)).await?;
        ensure!(told.status == 403, "{what}: {told:?}");
    }
    // An e-mail matches nothing (S20): who it names stays whom the subject names.
    let mailed = change("email", json!("eve@bank.example"))?;
    let told = scene.portal.ask(&with(task("4711"), "subject_token", mailed)).await?;
    ensure!(told.status == 201 && told.body["for"] == "customers:ana-7", "{told:?}");
    let other = with(right.clone(), "for", "customers:eve-1");
    ensure!(
        scene.portal.ask(&other).await?.code() == "user_not_served",
        "`for` is not the token's"
    );
    let told = scene.portal.ask(&with(task("4711"), "for", "customers:ana-7")).await?;
    ensure!(told.code() == "user_not_served", "a word is no proof: {told:?}");
    let refused = scene.home.json(&["ledger", "checkpoint"]).is_ok();
    ensure!(refused, "the ledger stands");
    scene.gate.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orchestrator_opens_what_its_block_says_and_ends_its_own() -> Result<()> {
    let scene = Scene::open().await?;
    let (clerk, helper) = (Buyer::of(&scene.home, "clerk")?, Buyer::of(&scene.home, "helper")?);
    let stated = with(task("4711"), "for", "ana");
    let opened = scene.office.open(&stated).await?;
    ensure!(scene.read(&helper, "4711", &opened).await? == 200, "the twin: stated for a person");
    ensure!(scene.read(&clerk, "4711", &opened).await? == 403, "another agent's");
    for (what, body, code) in [
        ("not of this machine", with(task("1"), "for", "nobody"), "user_not_served"),
        ("not served by the agent", with(task("1"), "for", "eve"), "user_not_served"),
        ("a customer by a mere word", with(task("1"), "for", "customers:x"), "user_not_served"),
        ("for nobody", task("1"), "user_not_served"),
        ("an intent that is unknown", with(stated.clone(), "intent", "pay"), "not_granted"),
        (
            "a parameter too many",
            with(stated.clone(), "params", json!({ "ticket": "1", "to": "x" })),
            "arguments_invalid",
        ),
        (
            "a parameter of another type",
            with(stated.clone(), "params", json!({ "ticket": 1 })),
            "arguments_invalid",
        ),
        ("without trigger", with(stated.clone(), "trigger", Value::Null), "arguments_invalid"),
        ("a member too many", with(stated.clone(), "agent", "clerk"), "arguments_invalid"),
    ] {
        let told = scene.office.ask(&body).await?;
        ensure!(told.code() == code, "{what}: {told:?}");
    }
    let look = with(stated.clone(), "intent", "look");
    let look = with(look, "params", json!({}));
    ensure!(scene.office.ask(&look).await?.status == 201, "the twin: an intent of its block");
    let look = with(look, "subject_token", scene.id_token("ana-7")?);
    let told = scene.portal.ask(&with(look, "for", Value::Null)).await?;
    ensure!(told.code() == "not_granted", "an intent of another's block: {told:?}");

    // The same key and request give the same task; another request under the key is refused.
    let key = [("idempotency-key", "retry-1")];
    let ask = async |body: &Value| {
        scene.office.send("POST", "/tasks", &scene.office.token().await?, Some(body), &key).await
    };
    let (once, again) = (ask(&stated).await?.task()?, ask(&stated).await?.task()?);
    ensure!(once == again, "{once} {again}");
    ensure!(ask(&with(task("4712"), "for", "ana")).await?.status == 409);

    let token = scene.portal.token().await?;
    let foreign = scene.portal.send("DELETE", &format!("/tasks/{once}"), &token, None, &[]).await?;
    ensure!(foreign.status == 404, "another client's: {foreign:?}");
    ensure!(scene.read(&helper, "4711", &once).await? == 200, "the twin: it is open");
    scene.office.end(&once).await?;
    let before = scene.reads();
    ensure!(scene.read(&helper, "4711", &once).await? == 403, "it has ended");
    ensure!(scene.reads() == before);
    scene.gate.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_api_only_a_clients_bound_token_counts() -> Result<()> {
    let scene = Scene::open().await?;
    let helper = Buyer::of(&scene.home, "helper")?;
    let body = with(task("4711"), "for", "ana");
    let token = scene.office.token().await?;
    ensure!(scene.office.send("POST", "/tasks", &token, Some(&body), &[]).await?.status == 201);

    // The client's token is no agent's: no door takes it, and it buys none.
    ensure!(
        scene
            .read_with(scene.office.buyer(), "4711", "tsk_06b7zk8d1v7m3x2q9n4t5r6s7w", &token)
            .await?
            == 401
    );
    let door = scene.home.http_door("desk");
    ensure!(scene.office.buyer().buy(&door, &[]).await.is_err(), "no token for a door");
    ensure!(helper.buy(&scene.home.api(), &[]).await.is_err(), "no agent's token for the API");

    let url = format!("{}/tasks", scene.home.api());
    let agents = helper.buy(&door, &[]).await?;
    let (proof, stolen) = (helper.key.prove("POST", &url, &agents)?, ProofKey::ed25519()?);
    let key = &scene.office.buyer().key;
    let replayed = key.prove("POST", &url, &token)?;
    let cases = [
        ("an agent's token", format!("DPoP {agents}"), Some(proof)),
        ("as a bearer", format!("Bearer {token}"), None),
        ("without proof", format!("DPoP {token}"), None),
        (
            "a proof by another key",
            format!("DPoP {token}"),
            Some(stolen.prove("POST", &url, &token)?),
        ),
        (
            "a proof for another method",
            format!("DPoP {token}"),
            Some(key.prove("GET", &url, &token)?),
        ),
        (
            "a proof for another URL",
            format!("DPoP {token}"),
            Some(key.prove("POST", &door, &token)?),
        ),
    ];
    let post = async |authorization: &str, proof: Option<&str>| -> Result<u16> {
        let request = scene.http.post(&url).header("authorization", authorization);
        let request = match proof {
            Some(proof) => request.header("dpop", proof),
            None => request,
        };
        Ok(request.body(body.to_string()).send().await?.status().as_u16())
    };
    for (what, authorization, proof) in &cases {
        ensure!(post(authorization, proof.as_deref()).await? == 401, "{what}");
    }
    let authorization = format!("DPoP {token}");
    ensure!(post(&authorization, Some(&replayed)).await? == 201, "the twin: a fresh proof");
    ensure!(post(&authorization, Some(&replayed)).await? == 401, "a proof counts once");
    let page = scene.http.post(&url).header("origin", "https://evil.example");
    ensure!(page.body(body.to_string()).send().await?.status() == 403, "a page in a browser");
    let other =
        scene.http.get(format!("{}/openapi.json", scene.home.api().trim_end_matches("/api/v1")));
    let document: Value = other.send().await?.json().await?;
    ensure!(document["openapi"] == "3.1.0", "{document}");
    scene.gate.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_opens_sub_tasks_alone_and_they_reach_no_further() -> Result<()> {
    let scene = Scene::open().await?;
    let (clerk, helper) = (Buyer::of(&scene.home, "clerk")?, Buyer::of(&scene.home, "helper")?);
    let parent = scene.office.open(&with(task("4711"), "for", "ana")).await?;

    // With the agent's own token: no task that names what the attacker wants, whatever it says of itself.
    let attack = with(task("4712"), "for", "ana");
    let (status, told) = scene.below(&helper, &attack).await?;
    ensure!(status == 403 && told["code"] == "not_granted", "{told}");
    let sub = |params: Value| json!({ "parent": parent, "params": params });
    let (status, told) = scene.below(&helper, &sub(json!({ "ticket": "4712" }))).await?;
    ensure!(status == 403 && told["code"] == "outside_intent", "nor by sub-task: {told}");
    let (status, told) = scene.below(&helper, &sub(json!({ "ticket": "4711" }))).await?;
    ensure!(
        status == 201 && told["opened_by"] == "agent" && told["for"] == "ana",
        "the twin: {told}"
    );
    let below = told["task"].as_str().context("no task")?.to_owned();
    ensure!(scene.read(&helper, "4711", &below).await? == 200, "the twin reaches its ticket");
    let reads = scene.reads();
    ensure!(scene.read(&helper, "4712", &below).await? == 403);

    // A wider intent below is still bound by the task around it.
    let wide = json!({ "parent": parent, "intent": "look", "params": {}, "expires_in": 60 });
    let (status, told) = scene.below(&helper, &wide).await?;
    ensure!(status == 201, "{told}");
    let wide = told["task"].as_str().context("no task")?.to_owned();
    ensure!(scene.read(&helper, "4712", &wide).await? == 403, "the parent's ticket binds");
    ensure!(scene.reads() == reads, "nothing left");
    ensure!(scene.read(&helper, "4711", &wide).await? == 200, "the twin");
    let row = &scene.home.json(&["trace", "list", "--task", &wide])?[0];
    ensure!(row["opened_by"] == "agent" && row["trigger"] == "ticket 4711", "{row}");

    for (what, agent, body) in [
        ("another agent's task", &clerk, json!({ "parent": parent })),
        ("no such task", &helper, json!({ "parent": "tsk_06b7zk8d1v7m3x2q9n4t5r6s7w" })),
    ] {
        let (status, told) = scene.below(agent, &body).await?;
        ensure!(status == 403 && told["code"] == "not_granted", "{what}: {told}");
    }
    let mut deepest = wide.clone();
    for depth in 3..=5 {
        let (status, told) = scene.below(&helper, &json!({ "parent": deepest })).await?;
        ensure!((status == 201) == (depth <= 4), "depth {depth}: {told}");
        deepest = told["task"].as_str().unwrap_or_default().to_owned();
    }
    // It ends with its parent.
    scene.office.end(&parent).await?;
    for task in [&below, &wide] {
        ensure!(scene.read(&helper, "4711", task).await? == 403, "it ends with its parent");
    }
    let (status, _) = scene.below(&helper, &json!({ "parent": parent })).await?;
    ensure!(status == 403, "and has no more below it");
    scene.gate.stop()
}
