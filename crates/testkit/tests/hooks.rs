//! Hooks of actions on real traffic: each is asked or told on loopback, and the upstream's own log shows what came of it.
#![cfg(test)]

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{
    process::{Ambit, Home, StandIn},
    receiver::{Receiver, Told},
};

const YES: &str = "{\"decision\":true}";
const NO: &str = "{\"decision\":false,\"context\":{\"reason\":\"not on Fridays\"}}";

struct Scene {
    home: Home,
    crm: StandIn,
    gate: Ambit,
    token: String,
}

impl Scene {
    /// One agent, one upstream whose actions are given, hooks that are given.
    fn open(actions: &str, hooks: &str) -> Result<Scene> {
        let logs = tempfile::tempdir()?.keep();
        let crm = StandIn::http(&logs, "crm")?;
        let home = Home::new(&format!(
            "version: 1\nagents:\n  copilot:\n    purpose: Answer\n    owner: group:it\n    boundary: all\n    \
             credentials: {{ proof: none }}\nupstreams:\n  crm:\n    http: http://{}\n    credential: env:AMBIT_SECRET_CRM\n    \
             actions:\n{actions}\nboundaries:\n  all: {{ upstreams: [crm] }}\n{hooks}",
            crm.address
        ))?
        .with_secret("AMBIT_SECRET_CRM", "crm-secret-0123456789")
        .with_secret("AMBIT_SECRET_HOOK", "hook-secret-0123456789");
        let gate = home.start()?;
        let token = home.token("copilot", &home.http_door("crm"), &[])?;
        Ok(Scene { home, crm, gate, token })
    }

    fn call(&self, method: &str, path: &str, body: Option<Value>) -> Result<(u16, String)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let url = format!("{}{path}", self.home.http_door("crm"));
            let request = reqwest::Client::new().request(method.parse()?, url);
            let request = request.bearer_auth(&self.token);
            let request = match body {
                Some(body) => request.json(&body),
                None => request,
            };
            let answer = request.send().await?;
            Ok((answer.status().as_u16(), answer.text().await?))
        })
    }

    fn reached(&self) -> Vec<Value> {
        self.crm.oracle.of("request")
    }
}

#[test]
fn a_decision_point_can_only_narrow_and_its_silence_is_a_refusal() -> Result<()> {
    let pdp = Receiver::open(Told::now(200, YES))?;
    let hooks = format!(
        "hooks:\n  corp: {{ url: '{}/access/v1/evaluation', within: 1s, secret: env:AMBIT_SECRET_HOOK }}\n",
        pdp.url()
    );
    let scene = Scene::open(
        "      mail: { route: POST /mail, effect: send, risk: medium, before: ['pdp:corp'] }\n      \
               look: { route: GET /fast, effect: read, risk: low, before: ['pdp:corp'] }\n      \
               move: { route: POST /transfers, effect: transfer, risk: medium }\n      \
               wipe: { route: POST /fast, effect: delete, risk: prohibited, before: ['pdp:corp'] }",
        &hooks,
    )?;
    ensure!(scene.call("POST", "/mail", Some(json!({"to": "bob"})))?.0 == 202);
    ensure!(scene.call("GET", "/fast", None)?.0 == 200, "a read is asked as well");
    let asked = pdp.came();
    ensure!(asked.len() == 2 && asked[0].path == "/access/v1/evaluation", "{asked:?}");
    ensure!(asked[0].authorization.as_deref() == Some("Bearer hook-secret-0123456789"));
    let question = &asked[0].body;
    ensure!(
        question["subject"]["id"] == "copilot" && question["action"]["name"] == "crm.mail",
        "{question}"
    );
    ensure!(question["context"]["arguments"]["to"] == "bob", "{question}");
    ensure!(question["action"]["properties"]["effect"] == "send", "{question}");
    ensure!(scene.call("POST", "/fast", None)?.0 == 404, "yes grants nothing");
    ensure!(pdp.came().len() == 2, "what is refused is not asked");

    let before = scene.reached().len();
    for (told, status, code) in [
        (Told::now(200, NO), 403, "hook_refused"),
        (Told::now(200, "not json"), 503, "hook_unavailable"),
        (Told::now(200, "{}"), 503, "hook_unavailable"),
        (Told::now(200, "{\"decision\":\"true\"}"), 503, "hook_unavailable"),
        (Told::now(500, YES), 503, "hook_unavailable"),
        (Told::now(403, YES), 403, "hook_refused"),
        (Told::now(302, YES), 403, "hook_refused"),
        (Told { delay: Duration::from_secs(4), ..Told::now(200, YES) }, 503, "hook_unavailable"),
    ] {
        pdp.tell(told.clone());
        let (got, body) = scene.call("POST", "/mail", Some(json!({"to": "bob"})))?;
        ensure!(got == status && body.contains(code), "{told:?}: {got} {body}");
    }
    ensure!(scene.reached().len() == before, "a refused call reached the upstream");
    ensure!(
        scene.call("POST", "/transfers", Some(json!({})))?.0 == 201,
        "its twin without the hook passes"
    );
    let why = scene.home.done(&["why", "--last"])?;
    ensure!(why.contains("hook_unavailable"), "{why}");
    let listed =
        scene.home.json(&["trace", "list", "--action", "crm.mail", "--decision", "allow"])?;
    ensure!(listed[0]["consulted"] == json!(["pdp:corp"]), "{listed}");
    scene.gate.stop()
}

#[test]
fn a_webhook_agrees_by_success_and_a_dead_one_refuses() -> Result<()> {
    let mut hook = Receiver::open(Told::now(204, ""))?;
    let hooks = format!("hooks:\n  itsm: {{ url: '{}/ask', within: 1s }}\n", hook.url());
    let actions =
        "      mail: { route: POST /mail, effect: send, risk: medium, before: ['webhook:itsm'] }";
    let scene = Scene::open(actions, &hooks)?;
    ensure!(scene.call("POST", "/mail", Some(json!({})))?.0 == 202);
    hook.tell(Told::now(409, ""));
    ensure!(scene.call("POST", "/mail", Some(json!({})))?.0 == 403);
    hook.kill();
    ensure!(scene.call("POST", "/mail", Some(json!({})))?.0 == 503);
    ensure!(scene.reached().len() == 1);
    hook.tell(Told::now(200, ""));
    hook.come_back()?;
    ensure!(scene.call("POST", "/mail", Some(json!({})))?.0 == 202);
    scene.gate.stop()
}

#[test]
fn what_is_required_must_be_there() -> Result<()> {
    let scene = Scene::open(
        "      mail: { route: POST /mail, effect: send, risk: medium, before: ['require:change_ticket'] }",
        "tests:\n  - { agent: copilot, do: crm.mail, args: { change_ticket: CHG-1 }, expect: allow }\n  \
           - { agent: copilot, do: crm.mail, args: { }, expect: deny, reason: 'require:change_ticket' }\n",
    )?;
    for body in [json!({}), json!({"change_ticket": ""}), json!({"change_ticket": null})] {
        let (status, text) = scene.call("POST", "/mail", Some(body.clone()))?;
        ensure!(status == 422 && text.contains("needs `change_ticket`"), "{body}: {status} {text}");
    }
    ensure!(scene.reached().is_empty());
    ensure!(scene.call("POST", "/mail", Some(json!({"change_ticket": "CHG-1"})))?.0 == 202);
    scene.gate.stop()
}

#[test]
fn a_dry_run_comes_first_and_its_failure_stops_the_act() -> Result<()> {
    let scene = Scene::open(
        "      move: { route: POST /transfers, effect: transfer, risk: medium, before: [dry_run] }\n      \
               nowhere: { route: POST /nowhere, effect: transfer, risk: medium, before: ['dry_run:probe'] }",
        "",
    )?;
    ensure!(scene.call("POST", "/transfers", Some(json!({"amount": 5})))?.0 == 201);
    let reached = scene.reached();
    let queries: Vec<&str> =
        reached.iter().filter_map(|request| request["query"].as_str()).collect();
    ensure!(queries == ["dry_run=true", ""], "{queries:?}");
    ensure!(reached[0]["body"] == reached[1]["body"], "the same call twice");
    let (status, text) = scene.call("POST", "/nowhere", Some(json!({})))?;
    ensure!(status == 403 && text.contains("dry_run_failed"), "{status} {text}");
    let reached = scene.reached();
    ensure!(
        reached.len() == 3 && reached[2]["query"] == "probe=true",
        "the act itself was never sent: {reached:?}"
    );
    let listed = scene.home.json(&["trace", "list", "--code", "dry_run_failed"])?;
    ensure!(listed[0]["outcome"] == "failed", "{listed}");
    scene.gate.stop()
}

#[test]
fn masks_hide_what_they_name_and_the_upstreams_secret() -> Result<()> {
    let scene = Scene::open(
        "      open: { route: 'GET /tickets/{id}', effect: read, risk: low }\n      \
               echo: { route: GET /echo, effect: read, risk: low, after: [mask] }",
        "",
    )?;
    let (status, open) = scene.call("GET", "/tickets/4711", None)?;
    let open: Value = serde_json::from_str(&open)?;
    let title = open["title"].as_str().context("a title")?.to_owned();
    ensure!(status == 200, "the twin shows the title");
    let (status, echoed) = scene.call("GET", "/echo", None)?;
    ensure!(
        status == 200 && echoed.contains("***") && !echoed.contains("crm-secret"),
        "{status} {echoed}"
    );
    scene.gate.stop()?;
    let masked = Scene::open(
        "      open: { route: 'GET /tickets/{id}', effect: read, risk: low, after: ['mask:/title'] }",
        "",
    )?;
    let (status, text) = masked.call("GET", "/tickets/4711", None)?;
    let ticket: Value = serde_json::from_str(&text)?;
    ensure!(status == 200 && ticket["title"] == "***" && !text.contains(&title), "{text}");
    ensure!(ticket["id"] == open["id"]);
    let listed = masked.home.json(&["trace", "list"])?;
    ensure!(listed[0]["masked"] == 1, "{listed}");
    masked.gate.stop()
}

#[test]
fn a_hook_is_told_at_least_once_and_acts_are_sampled() -> Result<()> {
    let mut told = Receiver::open(Told::now(200, ""))?;
    let hooks = format!("hooks:\n  default: {{ url: '{}/told' }}\n", told.url());
    let actions = "      mail: { route: POST /mail, effect: send, risk: medium, after: [notify, 'sample:100%'] }\n      \
               look: { route: GET /fast, effect: read, risk: low, after: ['sample:1%'] }";
    let scene = Scene::open(actions, &hooks)?;
    // The follower begins where the ledger is when it first sees the hook.
    std::thread::sleep(Duration::from_millis(600));
    ensure!(scene.call("POST", "/mail", Some(json!({"to": "bob"})))?.0 == 202);
    let came = told.wait_for("a notice", |came| came.body["action"] == "crm.mail")?;
    ensure!(came.body["ending"] == "done" && came.body["agent"] == "copilot", "{came:?}");
    ensure!(!came.body.to_string().contains("bob"), "nothing personal leaves");
    told.kill();
    ensure!(scene.call("POST", "/mail", Some(json!({})))?.0 == 202, "a dead hook holds nothing up");
    let listed = scene.home.json(&["trace", "list", "--sampled"])?;
    ensure!(listed.as_array().map(Vec::len) == Some(2), "{listed}");
    let entry = listed[1]["entry"].clone();
    std::thread::sleep(Duration::from_millis(600));
    told.come_back()?;
    told.wait_for("the notice that was missed", |came| came.body["entry"] == entry)?;
    scene.gate.stop()
}

#[test]
fn hooks_that_are_not_there_are_mistakes() -> Result<()> {
    let home = Home::new(
        "version: 1\nupstreams:\n  crm:\n    http: http://127.0.0.1:1\n    actions:\n      \
         a: { route: GET /a, effect: read, risk: low, before: ['pdp:corp', 'ask:x'], after: [notify, 'sample:0%'] }\n",
    )?;
    let output = std::process::Command::new(testkit::process::built("ambit")?)
        .arg("validate")
        .current_dir(home.path())
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(2), "{text}");
    for says in [
        "`ask:x` is nothing that `before` knows",
        "`sample:0%` is nothing that `after` knows",
        "`corp`",
        "`default`",
    ] {
        ensure!(text.contains(says), "{says}: {text}");
    }
    Ok(())
}
