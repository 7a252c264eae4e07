//! `ambit agent decommission` of an agent that has everything: the plan against what was set up, the residual report
//! against what is really left, and the name against every way back.
#![cfg(test)]

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use testkit::{
    buyer::{ACCESS_TOKEN, Answered, Buyer, claims},
    orchestrator::Orchestrator,
    process::{Ambit, Home, StandIn},
    proof::ProofKey,
};

const CONFIG: &str = r#"version: 1
humans:
  people:
    dana: { groups: [it] }
    ana: { groups: [staff] }
clients:
  portal: { agent: payer, may_open: [serve], humans: stated }
agents:
  payer:
    purpose: Pay
    owner: group:it
    boundary: all
    users: group:staff
    only: ["bank.*", "mail.*"]
    may_act: [helper]
    credentials: { keys: payer.jwks, proof: none }
  lead: { purpose: Lead, owner: "group:it", boundary: bank, users: "group:staff", may_act: [payer], credentials: { proof: none } }
  helper: { purpose: Help, owner: "group:it", boundary: bank, users: "group:staff", credentials: { proof: none } }
intents:
  serve: { allow: { "bank.*": {}, "mail.*": {}, bank.send: {} } }
upstreams:
  bank:
    http: http://BANK
    credential: env:AMBIT_SECRET_BANK
    actions:
      transfer: { route: POST /transfers, effect: transfer, sink: external, risk: medium }
      look: { route: GET /fast, effect: read, risk: low }
      send: { route: POST /mail, effect: send, sink: external, risk: medium, approval: it }
  mail:
    http: http://MAIL
    credential: env:AMBIT_SECRET_MAIL
    actions:
      look: { route: GET /fast, effect: read, risk: low }
approvals:
  it: { approvers: "group:it" }
boundaries:
  all: { upstreams: [bank, mail] }
  bank: { upstreams: [bank] }
"#;

const POLICY: &str = r#"@id("not-at-night")
@reason("payer does not look at night")
forbid (principal in Agent::"payer", action == Action::"bank.look", resource)
when { context.edge == "mcp" };
"#;

const SECRET: &str = "key-of-ana";
const SECRET_OF_MAIL: &str = "key-of-omar";

struct Scene {
    home: Home,
    bank: StandIn,
    mail: StandIn,
    gate: Ambit,
    http: Client,
    payer: Buyer,
    lead: Buyer,
    helper: Buyer,
    portal: Orchestrator,
    _logs: tempfile::TempDir,
}

/// What was set up, and what was captured of it.
struct Setup {
    instances: [ProofKey; 2],
    code: String,
    tasks: BTreeSet<String>,
    ask: String,
    /// Of the payer itself, of the payer on the lead's account, of the helper on the payer's.
    tokens: [String; 3],
}

async fn buy(buyer: &Buyer, door: &str, task: &str, subject: Option<&str>) -> Result<Answered> {
    let mut form = vec![("resource", door)];
    match subject {
        None => form.extend([("grant_type", "client_credentials"), ("task", task)]),
        Some(subject) => form.extend([
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", subject),
            ("subject_token_type", ACCESS_TOKEN),
        ]),
    }
    buyer.post("/oauth/token", &form, None).await
}

fn bought(answer: &Answered) -> Result<String> {
    ensure!(answer.status == 200, "{answer:?}");
    Ok(answer.text("access_token").to_owned())
}

fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build()?.block_on(future)
}

fn texts(rows: &Value, member: &str) -> Vec<String> {
    let rows = rows.as_array().into_iter().flatten();
    rows.filter_map(|row| row[member].as_str().map(str::to_owned)).collect()
}

/// The row of a table about this.
fn row<'a>(rows: &'a Value, what: &str) -> Result<&'a Value> {
    let mut all = rows.as_array().into_iter().flatten();
    all.find(|row| row["what"] == what).with_context(|| format!("no `{what}` in {rows}"))
}

impl Scene {
    fn open() -> Result<Scene> {
        let logs = tempfile::tempdir()?;
        let (bank, mail) =
            (StandIn::http(logs.path(), "bank")?, StandIn::http(logs.path(), "mail")?);
        let config = CONFIG.replace("http://BANK", &format!("http://{}", bank.address));
        let home = Home::new(&config.replace("http://MAIL", &format!("http://{}", mail.address)))?;
        let home = home.with_policy("payer", POLICY)?;
        let home = home
            .with_secret("AMBIT_SECRET_BANK", SECRET)
            .with_secret("AMBIT_SECRET_MAIL", SECRET_OF_MAIL);
        let key = Arc::new(ProofKey::ed25519()?);
        std::fs::write(
            home.path().join("payer.jwks"),
            json!({ "keys": [key.public()] }).to_string(),
        )?;
        let gate = home.start()?;
        let payer = Buyer::with_key(&home, "payer", key)?;
        let (lead, helper) = (Buyer::of(&home, "lead")?, Buyer::of(&home, "helper")?);
        let portal = Orchestrator::of(&home, "portal")?;
        let http = Client::builder().timeout(Duration::from_secs(60)).build()?;
        Ok(Scene { home, bank, mail, gate, http, payer, lead, helper, portal, _logs: logs })
    }

    fn door(&self) -> String {
        self.home.http_door("bank")
    }

    async fn call(&self, token: &str, method: Method, path: &str) -> Result<(u16, Value)> {
        let url = format!("{}{path}", self.door());
        let answer = self.http.request(method, url).bearer_auth(token).send().await?;
        Ok((answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await?)?))
    }

    fn task(&self, agent: &str) -> Result<String> {
        let words = ["task", "open", "--agent", agent, "--intent", "serve", "--for", "ana"];
        let opened = self.home.json(&[words.as_slice(), &["--trigger", "she asked"]].concat())?;
        opened["task"].as_str().map(str::to_owned).context("no task")
    }

    fn code(&self) -> Result<String> {
        let code = self.home.json(&["agent", "enrol", "payer"])?["code"].clone();
        code.as_str().map(str::to_owned).context("no code")
    }

    async fn enrol(&self, code: &str, key: &ProofKey) -> Result<u16> {
        let url = format!("{}/oauth/enrol", self.home.front());
        let post = async |nonce: Option<&str>| -> Result<reqwest::Response> {
            let proof = key.prove_with("POST", &url, None, nonce)?;
            let mut body = url::form_urlencoded::Serializer::new(String::new());
            let form = [("code", code), ("jwk", &key.public().to_string())];
            let request = self.http.post(&url).body(body.extend_pairs(form).finish());
            let kind = ("content-type", "application/x-www-form-urlencoded");
            Ok(request.header("dpop", proof).header(kind.0, kind.1).send().await?)
        };
        let first = post(None).await?;
        let nonce = first.headers().get("dpop-nonce").context("no nonce")?.to_str()?.to_owned();
        Ok(post(Some(&nonce)).await?.status().as_u16())
    }

    /// Gives the payer everything that an agent can have.
    async fn set_up(&self) -> Result<Setup> {
        let instances = [ProofKey::ed25519()?, ProofKey::ed25519()?];
        for key in &instances {
            ensure!(self.enrol(&self.code()?, key).await? == 200);
        }
        let code = self.code()?;
        let wanted = json!({ "intent": "serve", "params": {}, "for": "ana",
            "trigger": { "kind": "ticket", "ref": "ticket 1" } });
        let (own, by_client) = (self.task("payer")?, self.portal.open(&wanted).await?);
        let door = self.door();
        let token = bought(&buy(&self.payer, &door, &own, None).await?)?;
        let leads = bought(&buy(&self.lead, &door, &self.task("lead")?, None).await?)?;
        let for_lead = bought(&buy(&self.payer, &door, "", Some(&leads)).await?)?;
        let came_of_it = bought(&buy(&self.helper, &door, "", Some(&token)).await?)?;
        for token in [&token, &token, &for_lead] {
            let (status, told) = self.call(token, Method::POST, "/transfers").await?;
            ensure!(status == 201, "{told}");
        }
        ensure!(self.call(&came_of_it, Method::GET, "/fast").await?.0 == 200);
        let (status, told) = self.call(&token, Method::POST, "/mail").await?;
        ensure!(told["code"] == "asked", "{status} {told}");
        let ask = told["handle"].as_str().with_context(|| format!("{told}"))?.to_owned();
        let tokens = [token, for_lead, came_of_it];
        Ok(Setup { instances, code, tasks: [own, by_client].into(), ask, tokens })
    }

    fn planned(&self, plan: &Value, setup: &Setup) -> Result<()> {
        let count =
            |what: &str| -> Result<u64> { Ok(row(plan, what)?["count"].as_u64().unwrap_or(0)) };
        let which = |what: &str| -> Result<BTreeSet<String>> {
            let text = row(plan, what)?["which"].as_str().unwrap_or_default();
            Ok(text.split(", ").map(str::to_owned).collect())
        };
        let keys: BTreeSet<_> = setup.instances.iter().map(ProofKey::thumbprint).collect();
        ensure!(which("instances")? == keys && count("instances")? == 2, "{plan}");
        let declared = BTreeSet::from([self.payer.key.thumbprint()]);
        ensure!(which("keys")? == &keys | &declared && count("keys")? == 3, "{plan}");
        ensure!(count("enrolment codes")? == 1, "{plan}");
        ensure!(which("open tasks")? == setup.tasks && count("open tasks")? == 2, "{plan}");
        ensure!(
            which("delegations")?
                == ["helper for payer", "payer for lead"].map(str::to_owned).into()
        );
        ensure!(
            which("upstream grants")? == ["bank (3)", "mail (1)"].map(str::to_owned).into(),
            "{plan}"
        );
        ensure!(which("clients")? == ["portal".to_owned()].into(), "{plan}");
        ensure!(which("open asks")? == [setup.ask.clone()].into(), "{plan} {}", setup.ask);
        let held = row(plan, "data held")?;
        ensure!(held["count"].as_u64() > Some(0), "{held}");
        ensure!(held["which"].as_str().is_some_and(|text| text.contains("since 2")), "{held}");
        Ok(())
    }
}

#[test]
fn the_plan_is_what_was_set_up_and_nothing_is_left_that_is_not_told() -> Result<()> {
    block_on(async {
        let scene = Scene::open()?;
        let setup = scene.set_up().await?;
        let planned = scene.home.json(&["agent", "decommission", "payer"])?;
        ensure!(planned["done"] == false, "{planned}");
        scene.planned(&planned["plan"], &setup)?;
        let (status, _) = scene.call(&setup.tokens[0], Method::GET, "/fast").await?;
        ensure!(status == 200, "a plan ends nothing");
        let done = scene.home.json(&[
            "agent",
            "decommission",
            "payer",
            "--yes",
            "--reason",
            "its work is done",
        ])?;
        ensure!(done["done"] == true && done["calls_ended"] == true, "{done}");
        scene.planned(&done["ended"], &setup)?;
        let again = scene.home.json(&["agent", "residual", "payer"])?;
        ensure!(done["residual"] == again, "{again}");
        left(&scene, &setup, &again).await?;
        let residual = gone_for_good(&scene, &setup).await?;
        verified(scene, &done, &residual)
    })
}

/// Tasks are opened for it until that is refused: those that were opened at the last moment have ended as well.
#[test]
fn what_is_opened_meanwhile_ends_with_it() -> Result<()> {
    block_on(async {
        let scene = Arc::new(Scene::open()?);
        let opened = Arc::new(AtomicUsize::new(0));
        let mut openers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (scene, opened) = (Arc::clone(&scene), Arc::clone(&opened));
            openers.spawn(async move {
                let wanted = json!({ "intent": "serve", "params": {}, "for": "ana",
                    "trigger": { "kind": "ticket", "ref": "ticket 1" } });
                loop {
                    let told = scene.portal.ask(&wanted).await?;
                    if told.status != 201 {
                        ensure!(told.status == 403 && told.code() == "revoked", "{told:?}");
                        return Ok(());
                    }
                    opened.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        while opened.load(Ordering::SeqCst) < 50 {
            ensure!(openers.try_join_next().is_none(), "an opener ended early");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        scene.home.done(&["agent", "decommission", "payer", "--yes", "--reason", "drill"])?;
        while let Some(ended) = openers.join_next().await {
            ended??;
        }
        let scene = Arc::into_inner(scene).context("still in use")?;
        scene.gate.stop()?;
        let left = scene.home.rows()?.into_iter().filter(|(key, _)| key.starts_with("task/"));
        ensure!(left.count() == 0, "a task is open");
        let tasks = scene.home.records()?;
        let task = model::record::RecordKind::Task;
        let tasks = tasks.iter().filter(|one| one.kind == task && one.text("decision") == "allow");
        ensure!(tasks.count() >= opened.load(Ordering::SeqCst));
        Ok(())
    })
}

/// Each line of the report against what is really there.
async fn left(scene: &Scene, setup: &Setup, report: &Value) -> Result<()> {
    let whats: BTreeSet<String> = texts(report, "what").into_iter().collect();
    let told = [
        "data sent out",
        "declaration",
        "key outside",
        "policy",
        "records",
        "shared upstream credential",
        "tokens",
        "upstream credential",
    ];
    ensure!(whats == told.map(str::to_owned).into(), "{report}");
    // Both secrets are good at their upstreams, whoever shows them there; the bank's is lent to others as well.
    ensure!(row(report, "shared upstream credential")?["which"] == "bank: env:AMBIT_SECRET_BANK");
    ensure!(row(report, "upstream credential")?["which"] == "mail: env:AMBIT_SECRET_MAIL");
    let own = [("bank", SECRET, 200), ("bank", "another", 401), ("mail", SECRET_OF_MAIL, 200)];
    for (place, secret, status) in own {
        let (address, ticket) =
            if place == "bank" { (&scene.bank.address, 4711) } else { (&scene.mail.address, 4712) };
        let url = format!("http://{address}/own/{ticket}");
        let answer = scene.http.get(url).bearer_auth(secret).send().await?;
        ensure!(answer.status() == status, "{secret}: {}", answer.status());
    }
    // At Ambit the tokens are dead, and by the published keys alone they look alive.
    let tokens: Vec<_> = report.as_array().into_iter().flatten().collect();
    let tokens = tokens.iter().filter(|row| row["what"] == "tokens");
    let tokens: BTreeSet<_> = tokens.filter_map(|row| row["which"].as_str()).collect();
    ensure!(tokens == ["1 bearer tokens of helper", "2 bearer tokens"].into(), "{report}");
    let keys = scene.http.get(format!("{}/oauth/jwks", scene.home.front())).send().await?;
    let keys: Value = serde_json::from_slice(&keys.bytes().await?)?;
    let codes = ["agent_decommissioned", "agent_decommissioned", "revoked"];
    for (token, code) in setup.tokens.iter().zip(codes) {
        let kid = testkit::proof::open(token)?.0["kid"].clone();
        ensure!(texts(&keys["keys"], "kid").iter().any(|known| kid == known.as_str()), "{keys}");
        ensure!(claims(token)?["exp"].as_i64() > Some(testkit::proof::unix_now()));
        let (status, told) = scene.call(token, Method::GET, "/fast").await?;
        ensure!(status == 403 && told["code"] == code, "{status} {told}");
    }
    let posts = scene.bank.oracle.of("request");
    let posts = posts.iter().filter(|event| event["path"] == "/transfers").count();
    let out = row(report, "data sent out")?;
    ensure!(out["which"] == format!("bank.transfer ({posts} calls)") && posts == 3, "{out}");
    ensure!(row(report, "key outside")?["which"] == "payer.jwks");
    ensure!(row(report, "policy")?["which"] == "policies/payer.cedar");
    Ok(())
}

/// No way back, by whatever would make it act, while its neighbours go on; gives what is left in the end.
async fn gone_for_good(scene: &Scene, setup: &Setup) -> Result<Value> {
    let file = scene.home.path().join("ambit.yaml");
    let declared = std::fs::read_to_string(&file)?;
    std::fs::write(&file, declared.replace("purpose: Pay", "purpose: Pay again"))?;
    scene.home.done(&["apply", "ambit.yaml"])?;
    for command in [
        vec!["agent", "resume", "payer"],
        vec!["agent", "review", "payer", "--approve"],
        vec!["agent", "enrol", "payer"],
        vec!["agent", "decommission", "payer", "--yes"],
        vec!["task", "open", "--agent", "payer", "--intent", "serve", "--for", "ana"],
        vec!["token", "--agent", "payer", "--audience", &scene.door()],
    ] {
        let tried = scene.home.command(&command)?;
        ensure!(!tried.status.success(), "{command:?} {tried:?}");
    }
    scene.home.done(&["unfreeze", "payer"])?;
    let door = scene.door();
    ensure!(scene.enrol(&setup.code, &ProofKey::ed25519()?).await? == 400, "a code is taken");
    let wanted = json!({ "intent": "serve", "params": {}, "for": "ana",
        "trigger": { "kind": "ticket", "ref": "ticket 2" } });
    let told = scene.portal.ask(&wanted).await?;
    ensure!(told.status == 403 && told.code() == "revoked", "{told:?}");
    for task in &setup.tasks {
        let own = buy(&scene.payer, &door, task, None).await?;
        ensure!(own.status == 401 && own.text("error") == "invalid_client", "{own:?}");
    }
    let instance = Buyer::with_key(&scene.home, "payer", Arc::new(ProofKey::ed25519()?))?;
    ensure!(buy(&instance, &door, "", None).await?.status == 401);
    let subject = buy(&scene.helper, &door, "", Some(&setup.tokens[0])).await?;
    ensure!(subject.text("error") == "invalid_request", "{subject:?}");
    // Its neighbours: the lead still works, and gets nobody to act for it.
    let leads = bought(&buy(&scene.lead, &door, &scene.task("lead")?, None).await?)?;
    ensure!(scene.call(&leads, Method::GET, "/fast").await?.0 == 200, "the lead goes on");
    let actor = buy(&scene.payer, &door, "", Some(&leads)).await?;
    ensure!(actor.status == 401, "{actor:?}");
    let (status, told) = scene.call(&setup.tokens[0], Method::GET, "/fast").await?;
    ensure!(status == 403 && told["code"] == "agent_decommissioned", "{status} {told}");
    scene.home.json(&["agent", "residual", "payer"])
}

/// The record says who, when and why, and verifies offline; no row is left that still grants and is not told.
fn verified(scene: Scene, done: &Value, residual: &Value) -> Result<()> {
    let Scene { home, gate, .. } = scene;
    gate.stop()?;
    let note = home.path().join("checkpoint");
    std::fs::write(&note, done["checkpoint"].as_str().context("no checkpoint")?)?;
    let name = note.to_string_lossy().into_owned();
    home.done(&["ledger", "verify", "--checkpoint", &name])?;
    let forged = done["checkpoint"].as_str().unwrap_or_default().replacen('A', "B", 1);
    std::fs::write(&note, forged)?;
    let tried = home.command(&["ledger", "verify", "--checkpoint", &name])?;
    ensure!(!tried.status.success(), "a changed checkpoint verifies");
    let records = home.records()?;
    let ended: Vec<_> = records.iter().filter(|one| one.text("what") == "decommission").collect();
    ensure!(ended.len() == 1, "{ended:?}");
    let why = ended[0].text("reason");
    let by = format!("by uid {}", rustix::process::getuid().as_raw());
    ensure!(
        why.contains("`payer`") && why.contains(&by) && why.contains("its work is done"),
        "{why}"
    );
    // As many records as are told of, but for the outcomes, which belong to what they close.
    let outcome = model::record::RecordKind::Outcome;
    let own = records.iter().filter(|one| one.text("agent") == "payer" && one.kind != outcome);
    let own = format!("{} of its records", own.count());
    let held = row(residual, "records")?["which"].as_str().unwrap_or_default();
    ensure!(held.starts_with(&own), "{held} against {own}");
    let mut told = BTreeSet::new();
    for (key, value) in home.rows()? {
        let names = key.split('/').any(|part| part == "payer")
            || String::from_utf8_lossy(&value).contains("payer");
        if !names {
            continue;
        }
        let what = match key.split('/').next().unwrap_or_default() {
            // That it has ended, and of what.
            "registry" | "stopped" | "history" => continue,
            "declared" if key.ends_with("payer.cedar") => "policy",
            "declared" => "declaration",
            // It was answered: no approval waits for a use.
            "ask" if String::from_utf8_lossy(&value).contains("\"declined\"") => continue,
            other => anyhow::bail!("`{key}` ({other}) still names it and is not told"),
        };
        told.insert(what);
    }
    ensure!(told == ["declaration", "policy"].into(), "{told:?}");
    Ok(())
}
