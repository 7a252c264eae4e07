//! `/api/v1`: which client reads the registry, which one stops what it names, and that no agent's token opens any of it.
#![cfg(test)]

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use testkit::{
    buyer::claims,
    orchestrator::{Orchestrator, Told},
    process::{Ambit, Home, StandIn},
};

const CONFIG: &str = r#"version: 1
clients:
  iam: { may: [read] }
  soc: { may: [read, stop] }
  portal: { agent: payer, may_open: [look] }
agents:
  payer: { purpose: Pay, owner: "group:it", boundary: all, credentials: { proof: none } }
  reader: { purpose: Read, owner: "group:it", boundary: all, credentials: { proof: none } }
intents: { look: { allow: { bank.look: {} } } }
upstreams:
  bank: { http: "http://BANK", actions: { look: { route: GET /fast, effect: read, risk: low } } }
boundaries: { all: { upstreams: [bank] } }
"#;

struct Scene {
    home: Home,
    bank: StandIn,
    gate: Ambit,
    iam: Orchestrator,
    soc: Orchestrator,
    _logs: tempfile::TempDir,
}

impl Scene {
    fn open() -> Result<Scene> {
        let logs = tempfile::tempdir()?;
        let bank = StandIn::http(logs.path(), "bank")?;
        let home = Home::new(&CONFIG.replace("BANK", &bank.address))?;
        let gate = home.start()?;
        let (iam, soc) = (Orchestrator::of(&home, "iam")?, Orchestrator::of(&home, "soc")?);
        Ok(Scene { home, bank, gate, iam, soc, _logs: logs })
    }

    /// Whether a token reads the bank, as the bank's own log says.
    async fn reads(&self, token: &str) -> Result<bool> {
        let before = self.bank.oracle.of("request").len();
        let url = format!("{}/fast", self.home.http_door("bank"));
        let status = Client::new().get(url).bearer_auth(token).send().await?.status();
        let reached = self.bank.oracle.of("request").len() > before;
        ensure!(reached == status.is_success(), "{status}, and the bank says {reached}");
        Ok(reached)
    }
}

async fn get(client: &Orchestrator, path: &str, headers: &[(&str, &str)]) -> Result<Told> {
    client.send("GET", path, &client.token().await?, None, headers).await
}

async fn put(client: &Orchestrator, path: &str, headers: &[(&str, &str)]) -> Result<Told> {
    let reason = json!({ "reason": "odd transfers" });
    client.send("PUT", path, &client.token().await?, Some(&reason), headers).await
}

fn tag(told: &Told) -> Result<String> {
    Ok(told.headers.get("etag").context("no tag")?.to_str()?.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_reads_what_the_command_line_is_told() -> Result<()> {
    let scene = Scene::open()?;
    let told = get(&scene.iam, "/agents", &[]).await?;
    ensure!(told.status == 200, "{told:?}");
    ensure!(told.body == scene.home.json(&["agent", "list"])?, "{told:?}");
    let known = tag(&told)?;
    let again = get(&scene.iam, "/agents", &[("if-none-match", &known)]).await?;
    ensure!(again.status == 304 && again.body.is_null() && tag(&again)? == known, "{again:?}");
    scene.home.done(&["agent", "suspend", "reader"])?;
    let again = get(&scene.iam, "/agents", &[("if-none-match", &known)]).await?;
    ensure!(again.status == 200 && tag(&again)? != known, "a change has the same tag: {again:?}");
    for (path, command) in [
        ("/agents/payer", vec!["agent", "show", "payer"]),
        ("/agents/payer/residual", vec!["agent", "residual", "payer"]),
        ("/owners", vec!["owner", "list"]),
    ] {
        let told = get(&scene.iam, path, &[]).await?;
        ensure!(told.status == 200 && told.body == scene.home.json(&command)?, "{told:?}");
    }
    let nobody = get(&scene.iam, "/agents/nobody", &[]).await?;
    let kind = nobody.headers.get("content-type").context("no type")?;
    ensure!(nobody.status == 404 && kind == "application/problem+json", "{nobody:?}");
    let portal = Orchestrator::of(&scene.home, "portal")?;
    let told = get(&portal, "/agents", &[]).await?;
    ensure!((told.status, told.code()) == (403, "not_granted"), "{told:?}");
    let task = json!({ "intent": "look", "trigger": { "kind": "ticket", "ref": "1" } });
    let told = scene.iam.ask(&task).await?;
    ensure!((told.status, told.code()) == (403, "not_granted"), "{told:?}");
    scene.gate.stop()?;
    let records = scene.home.records()?;
    let of_api = |client: &str| {
        let by = |entry: &&_| {
            let entry: &testkit::process::Entry = entry;
            entry.text("what") == "api" && entry.text("client") == client
        };
        let decision = |entry: &testkit::process::Entry| entry.text("decision").to_owned();
        records.iter().filter(by).map(decision).collect::<Vec<_>>()
    };
    ensure!(of_api("portal") == ["deny"], "{:?}", of_api("portal"));
    ensure!(of_api("iam").iter().filter(|it| *it == "allow").count() == 7, "{:?}", of_api("iam"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_stops_what_it_names_and_nobody_else_does() -> Result<()> {
    let scene = Scene::open()?;
    let door = scene.home.http_door("bank");
    let (payers, readers) =
        (scene.home.token("payer", &door, &[])?, scene.home.token("reader", &door, &[])?);
    let path = "/agents/payer/suspension";
    let told = put(&scene.iam, path, &[]).await?;
    ensure!((told.status, told.code()) == (403, "not_granted"), "{told:?}");
    let told = put(&scene.soc, path, &[("if-match", "\"as it was\"")]).await?;
    ensure!(told.status == 412, "{told:?}");
    ensure!(scene.reads(&payers).await?, "neither stopped it");
    let known = tag(&get(&scene.soc, "/agents/payer", &[]).await?)?;
    let told = put(&scene.soc, path, &[("if-match", &known)]).await?;
    ensure!(told.status == 200 && told.body["calls_ended"] == true, "{told:?}");
    ensure!(!scene.reads(&payers).await? && scene.reads(&readers).await?, "it alone is stopped");
    let again = put(&scene.soc, path, &[]).await?;
    ensure!(again.status == 200 && again.body["state"] == "suspended", "{again:?}");
    let stale = put(&scene.soc, path, &[("if-match", &known)]).await?;
    ensure!(stale.status == 412, "{stale:?}");
    let shown = scene.home.json(&["agent", "show", "payer"])?;
    ensure!(shown.to_string().contains("odd transfers (client `soc`)"), "{shown}");

    let said = claims(&readers)?;
    let jti = said["jti"].as_str().context("no jti")?;
    let told = put(&scene.iam, &format!("/revocations/token/{jti}"), &[]).await?;
    ensure!(told.status == 403 && scene.reads(&readers).await?, "{told:?}");
    let told = put(&scene.soc, &format!("/revocations/token/{jti}"), &[]).await?;
    ensure!(told.status == 200 && !scene.reads(&readers).await?, "{told:?}");
    let other = scene.home.token("reader", &door, &[])?;
    ensure!(scene.reads(&other).await?, "the token alone is revoked");
    for wrong in ["/revocations/nothing/x", "/revocations/token/x", "/revocations/agent/nobody"] {
        let told = put(&scene.soc, wrong, &[]).await?;
        ensure!(told.status == 404, "{wrong}: {told:?}");
    }
    let body = json!({ "reason": "x", "force": true });
    let token = scene.soc.token().await?;
    let told = scene.soc.send("PUT", path, &token, Some(&body), &[]).await?;
    ensure!(told.status == 422 && told.body["detail"].to_string().contains("force"), "{told:?}");
    scene.gate.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_agents_token_opens_any_of_it() -> Result<()> {
    let scene = Scene::open()?;
    let base = scene.home.api().trim_end_matches("/api/v1").to_owned();
    let described: Value = reqwest::get(format!("{base}/openapi.json")).await?.json().await?;
    ensure!(described["openapi"] == "3.1.0", "{described}");
    let agents = scene.home.bearer_token("payer", "bank")?;
    let paths = described["paths"].as_object().context("no paths")?;
    ensure!(paths.len() == 8, "{paths:?}");
    for (path, methods) in paths {
        for method in methods.as_object().context("no methods")?.keys() {
            let path = path.replace("{name}", "payer").replace("{kind}", "agent");
            let url = format!("{base}{path}");
            let method: reqwest::Method = method.to_uppercase().parse()?;
            for shown in [None, Some(format!("Bearer {agents}")), Some(format!("DPoP {agents}"))] {
                let request = Client::new().request(method.clone(), &url).body("{}");
                let request = match &shown {
                    Some(shown) => request.header("authorization", shown),
                    None => request,
                };
                let status = request.send().await?.status();
                ensure!(status == StatusCode::UNAUTHORIZED, "{method} {path}: {status} {shown:?}");
            }
        }
    }
    // A proof counts once.
    let (url, token) = (format!("{}/agents", scene.home.api()), scene.iam.token().await?);
    let proof = scene.iam.buyer().key.prove("GET", &url, &token)?;
    for expected in [200, 401] {
        let request = Client::new().get(&url).header("authorization", format!("DPoP {token}"));
        let status = request.header("dpop", &proof).send().await?.status();
        ensure!(status == expected, "{status}");
    }
    // Nor is it where operators look.
    let status = reqwest::get(format!("{}/api/v1/agents", scene.home.ops())).await?.status();
    ensure!(status == StatusCode::NOT_FOUND, "{status}");
    ensure!(scene.reads(&agents).await?, "nothing was stopped");
    scene.gate.stop()
}
