//! What a copied bearer token is worth: minutes, one audience, listed networks, nothing `high` (S19).

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    net::{IpAddr, Ipv4Addr},
    process::Command,
    time::Duration,
};
use testkit::{
    buyer::{Buyer, claims},
    process::{Ambit, Home, StandIn, built},
};

/// The listed network's only address, and one of this machine that is outside.
const LISTED: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
/// No limit of what is tested: a wait for the gate that a loaded machine may need.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(api: &str, credentials: &str) -> String {
    let agent = |name: &str, credentials: &str| {
        format!(
            "  {name}:\n    purpose: Read, write and pay\n    owner: group:it\n    boundary: all\n    \
             only: [\"api.*\", \"other.*\", api.pay]\n    may_act: [bound]\n    credentials: {{ {credentials} }}\n"
        )
    };
    format!(
        "version: 1\nhumans: {{ people: {{ dana: {{ groups: [it] }} }} }}\nagents:\n{}{}{}{}{}upstreams:\n  api:\n    \
         http: http://{api}\n    actions:\n      fast: {{ route: GET /fast, effect: read, risk: low }}\n      \
         mail: {{ route: POST /mail, effect: send, risk: medium }}\n      \
         pay: {{ route: POST /transfers, effect: transfer, risk: high }}\n  other:\n    http: http://{api}\n    \
         actions:\n      fast: {{ route: GET /fast, effect: read, risk: low }}\nboundaries:\n  \
         all: {{ upstreams: [api, other] }}\napprovals:\n  default: {{ approvers: group:it }}\n",
        agent("hosted", credentials),
        agent("brief", "proof: none, ttl: 4s"),
        agent("anywhere", "proof: none"),
        agent("keyed", "proof: dpop"),
        agent("bound", "networks: [127.0.0.1/32]"),
    )
}

const BEARER: &str = "proof: none, ttl: 1h, networks: [203.0.113.0/24, 127.0.0.1/32]";

struct Stage {
    home: Home,
    api: StandIn,
    _logs: tempfile::TempDir,
}

/// What a door answered.
#[derive(Debug)]
struct Told {
    status: u16,
    body: Value,
}

impl Told {
    fn code(&self) -> &str {
        self.body.get("code").and_then(Value::as_str).unwrap_or_default()
    }
}

impl Stage {
    fn set() -> Result<Stage> {
        let logs = tempfile::tempdir()?;
        let api = StandIn::http(logs.path(), "api")?;
        let home = Home::new(&config(&api.address, BEARER))?;
        Ok(Stage { home, api, _logs: logs })
    }

    /// One request with headers, from an address.
    async fn send(
        &self,
        from: IpAddr,
        (method, path): (&str, &str),
        headers: &[(&str, String)],
    ) -> Result<Told> {
        let client = reqwest::Client::builder().local_address(from).build()?;
        let url = format!("{}{path}", self.home.front());
        let mut request = client.request(method.parse()?, url);
        if method == "POST" {
            request = request.json(&json!({}));
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let body = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
        Ok(Told { status, body })
    }

    async fn bearer(&self, from: IpAddr, asked: (&str, &str), token: &str) -> Result<Told> {
        self.send(from, asked, &[("authorization", format!("Bearer {token}"))]).await
    }

    fn reached(&self, path: &str) -> usize {
        self.api.oracle.of("request").iter().filter(|request| request["path"] == path).count()
    }

    fn refusals(&self, code: &str) -> Result<usize> {
        let rows = self.home.json(&["trace", "list", "--decision", "deny", "--code", code])?;
        Ok(rows.as_array().map_or(0, Vec::len))
    }
}

const LOOK: (&str, &str) = ("GET", "/http/api/fast");
const MAIL: (&str, &str) = ("POST", "/http/api/mail");
const PAY: (&str, &str) = ("POST", "/http/api/transfers");

#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_copied_from_a_transcript_works_for_minutes_at_one_audience_from_listed_networks_never_for_high()
-> Result<()> {
    let stage = Stage::set()?;
    let gate = stage.home.start()?;
    let door = stage.home.http_door("api");
    let transcript = format!("> Authorization: Bearer {}", stage.home.token("hosted", &door, &[])?);
    let token = transcript.split(' ').next_back().context("a token")?;

    // For minutes: `ttl: 1h` is cut, and what is over is over.
    let said = claims(token)?;
    let life = said["exp"].as_i64().context("exp")? - said["iat"].as_i64().context("iat")?;
    println!("a copied bearer token works for at most {} minutes", life / 60);
    ensure!(life == 5 * 60 && said.get("cnf").is_none(), "{said}");
    ensure!(stage.bearer(LISTED, LOOK, token).await?.status == 200);
    let mail = stage.bearer(LISTED, MAIL, token).await?;
    ensure!(stage.reached("/mail") == 1, "medium is the most: {mail:?}");
    let brief = stage.home.token("brief", &door, &[])?;
    tokio::time::timeout(PATIENCE, async {
        while stage.bearer(LISTED, LOOK, &brief).await?.status == 200 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        anyhow::Ok(())
    })
    .await??;
    let over = stage.bearer(LISTED, LOOK, &brief).await?;
    ensure!(over.status == 401 && over.code() == "credential_expired", "{over:?}");

    // At one audience.
    let before = stage.reached("/fast");
    let other = stage.bearer(LISTED, ("GET", "/http/other/fast"), token).await?;
    ensure!(other.status == 401 && stage.reached("/fast") == before, "{other:?}");

    // From listed networks: the socket's address decides, whatever a header says.
    let outside = stage.bearer(OUTSIDE, LOOK, token).await?;
    ensure!(outside.status == 403 && outside.code() == "network_unlisted", "{outside:?}");
    let forwarded = [
        ("authorization", format!("Bearer {token}")),
        ("x-forwarded-for", "127.0.0.1".to_owned()),
        ("forwarded", "for=127.0.0.1".to_owned()),
        ("x-real-ip", "127.0.0.1".to_owned()),
    ];
    let outside = stage.send(OUTSIDE, LOOK, &forwarded).await?;
    ensure!(outside.code() == "network_unlisted", "{outside:?}");
    ensure!(stage.reached("/fast") == before && stage.refusals("network_unlisted")? == 2);
    let twin = stage.home.token("anywhere", &door, &[])?;
    ensure!(stage.bearer(OUTSIDE, LOOK, &twin).await?.status == 200, "the twin lists none");

    // Never for high: refused, not asked, and durable.
    let high = stage.bearer(LISTED, PAY, token).await?;
    ensure!(high.status == 403 && high.code() == "bearer_capped", "{high:?}");
    ensure!(high.body.to_string().contains("`ambit bridge`"), "{high:?}");
    ensure!(stage.refusals("bearer_capped")? == 1 && stage.reached("/transfers") == 0);
    let row = stage.home.json(&["trace", "list", "--code", "bearer_capped"])?;
    let why = stage.home.done(&["why", row[0]["trace"].as_str().context("a trace")?])?;
    ensure!(why.contains("guard.bearer"), "{why}");
    let mut check = Command::new(built("ambit")?);
    check.args(["check", "hosted", "api.pay", "--config"]);
    let check = check.arg(stage.home.path().join("ambit.yaml")).output()?;
    let check = format!("{check:?}");
    ensure!(check.contains("bearer_capped") || check.contains("guard.bearer"), "{check}");

    // Its twin with a key is asked.
    let door_of_pay = format!("{}{}", stage.home.front(), PAY.1);
    let buyer = Buyer::of(&stage.home, "bound")?;
    let bound = buyer.buy(&door, &[]).await?;
    let asked = stage.send(LISTED, PAY, &buyer.shown("POST", &door_of_pay, &bound)?).await?;
    ensure!(asked.status == 202, "{asked:?}");

    counted(&stage).await?;
    gate.stop()
}

/// `status`, `doctor` and `/metrics` say how many there are.
async fn counted(stage: &Stage) -> Result<()> {
    let status = stage.home.json(&["status"])?;
    let bearer = &status["bearer"];
    ensure!(bearer["agents"] == json!(["anywhere", "brief", "hosted"]), "{status}");
    // Of the three that a door has seen, one has ended.
    ensure!(bearer["tokens"] == 2 && bearer["calls"].as_u64() >= Some(4), "{status}");
    let doctor = stage.home.command(&["doctor"])?;
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    ensure!(doctor.contains("3 agents, 2 live tokens"), "{doctor}");
    let metrics = reqwest::get(format!("{}/metrics", stage.home.ops())).await?.text().await?;
    for line in ["ambit_bearer_agents 3", "ambit_bearer_tokens 2", "ambit_bearer_calls_total "] {
        ensure!(metrics.contains(line), "{line}: {metrics}");
    }
    Ok(())
}

/// Says yes at the terminal of `ambit dev`.
fn say_yes(gate: &mut Ambit) -> Result<()> {
    let at = gate.terminal.wait_for("[y/n]", 0, PATIENCE)?;
    gate.terminal.enter("y")?;
    gate.terminal.wait_for("approved once", at, PATIENCE).map(drop)
}

/// An approval of exactly this call, given while the guard was off, and then the call.
async fn pays_with_an_earlier_approval(more: &[&str]) -> Result<(Told, Stage)> {
    let stage = Stage::set()?;
    let gate = |more: &[&str]| stage.home.start_more(Command::new(built("ambit")?), more);
    let mut first = gate(&["--guard-off", "bearer"])?;
    let door = stage.home.http_door("api");
    let token = stage.home.token("anywhere", &door, &[])?;
    let asked = stage.bearer(LISTED, PAY, &token).await?;
    ensure!(asked.status == 202 && stage.reached("/transfers") == 0, "{asked:?}");
    say_yes(&mut first)?;
    first.stop()?;

    let second = gate(more)?;
    let told = stage.bearer(LISTED, PAY, &token).await?;
    second.stop()?;
    Ok((told, stage))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_was_given_earlier_lifts_no_bearer_to_high() -> Result<()> {
    let (told, stage) = pays_with_an_earlier_approval(&[]).await?;
    ensure!(told.status == 403 && told.code() == "bearer_capped", "{told:?}");
    ensure!(stage.reached("/transfers") == 0);

    let (twin, stage) = pays_with_an_earlier_approval(&["--guard-off", "bearer"]).await?;
    ensure!(twin.status == 201 && stage.reached("/transfers") == 1, "{twin:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_are_asked_at_the_issue_of_a_token_and_of_bound_tokens_too() -> Result<()> {
    let stage = Stage::set()?;
    let gate = stage.home.start()?;
    let door = stage.home.http_door("api");
    for agent in ["hosted", "bound"] {
        let form = [("grant_type", "client_credentials"), ("resource", door.as_str())];
        let outside = Buyer::of(&stage.home, agent)?.coming_from(OUTSIDE)?.ask(&form).await?;
        ensure!(outside.status == 400, "{agent}: {outside:?}");
        ensure!(outside.text("error") == "unauthorized_client", "{agent}: {outside:?}");
        ensure!(outside.text("error_description").contains("network_unlisted"), "{outside:?}");
        let twin = Buyer::of(&stage.home, agent)?.coming_from(LISTED)?.ask(&form).await?;
        ensure!(twin.status == 200, "{agent}: {twin:?}");
    }
    let anywhere = Buyer::of(&stage.home, "anywhere")?.coming_from(OUTSIDE)?;
    drop(anywhere.buy(&door, &[]).await?);
    gate.stop()?;
    let refused = stage.home.records()?.into_iter().filter(|entry| {
        entry.text("code") == "network_unlisted" && entry.text("operation") == "issue"
    });
    ensure!(refused.count() == 2, "each refusal is recorded");
    Ok(())
}

/// A helper with a key and a bearer reach together no more than the bearer does.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_of_a_bearer_by_exchange_reaches_nothing_high() -> Result<()> {
    let stage = Stage::set()?;
    let gate = stage.home.start()?;
    let door = stage.home.http_door("api");
    let helper = Buyer::of(&stage.home, "bound")?;
    let pay = json!([{ "type": "ambit_action", "actions": ["api.pay"] }]).to_string();
    let url = format!("{}{}", stage.home.front(), PAY.1);
    for (agent, reaches) in [("anywhere", false), ("keyed", true)] {
        let subject = stage.home.token(agent, &door, &[])?;
        let all = helper.act_for(&subject, &door, &[]).await?;
        let told = stage.send(LISTED, PAY, &helper.shown("POST", &url, &all)?).await?;
        ensure!(told.status == if reaches { 202 } else { 404 }, "{agent}: {told:?}");
        let asked = [("authorization_details", pay.as_str())];
        let narrowed = helper.exchange(&subject, &door, &asked).await?;
        ensure!((narrowed.status == 200) == reaches, "{agent}: {narrowed:?}");
        let error = if reaches { "" } else { "invalid_authorization_details" };
        ensure!(narrowed.text("error") == error, "{agent}: {narrowed:?}");
    }
    ensure!(stage.reached("/transfers") == 0);
    gate.stop()
}
