//! Who is told what about a token, and when it is in force no more; keys that are too old.

use crate::stage::Stage;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::{
    buyer::{Answered, Buyer, claims},
    process::get,
};

async fn asked(client: &Buyer, token: &str) -> Result<Answered> {
    let answer = client.post("/oauth/introspect", &[("token", token)], None).await?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(answer)
}

fn is_inactive(answer: &Answered) -> Result<()> {
    ensure!(answer.body == json!({ "active": false }), "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn those_are_told_who_may_hold_the_token() -> Result<()> {
    let stage = Stage::set()?;
    let (lead, helper, outsider) =
        (stage.buyer("lead")?, stage.buyer("helper")?, stage.buyer("outsider")?);
    let (door, task) = (stage.home.http_door("api"), stage.task("lead")?);
    let first = lead.buy(&door, &[("task", &task)]).await?;
    let token = helper.act_for(&first, &door, &[]).await?;
    let says = claims(&token)?;
    let told = asked(&helper, &token).await?;
    ensure!(told.body.get("active") == Some(&json!(true)), "{told:?}");
    for claim in [
        "act",
        "agent_version",
        "aud",
        "authorization_details",
        "chain",
        "client_id",
        "cnf",
        "exp",
        "iat",
        "iss",
        "jti",
        "may_act",
        "sub",
        "task",
    ] {
        ensure!(told.body.get(claim).is_some(), "`{claim}` is missing: {told:?}");
        ensure!(told.body.get(claim) == says.get(claim), "`{claim}` differs: {told:?}");
    }
    ensure!(told.text("token_type") == "DPoP");
    // The one who may exchange it is told, too; anybody else hears what is said of nonsense.
    ensure!(asked(&stage.buyer("third")?, &token).await?.body.get("active") == Some(&json!(true)));
    is_inactive(&asked(&outsider, &token).await?)?;
    is_inactive(&asked(&lead, &token).await?)?;
    is_inactive(&asked(&helper, "nonsense").await?)?;
    is_inactive(&asked(&helper, &format!("{token}x")).await?)?;
    // Without a client there is no answer at all.
    let url = format!("{}/oauth/introspect", stage.home.front());
    let stranger = reqwest::Client::new()
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("token={token}"))
        .send()
        .await?;
    ensure!(stranger.status() == 401, "{stranger:?}");
    // Its ancestor's end is its own.
    stage.home.done(&["freeze", "agent:lead", "--reason", "test"])?;
    is_inactive(&asked(&helper, &token).await?)?;
    stage.home.done(&["unfreeze", "agent:lead", "--reason", "test"])?;
    ensure!(asked(&helper, &token).await?.body.get("active") == Some(&json!(true)));
    let revoked = helper.post("/oauth/revoke", &[("token", &token)], None).await?;
    ensure!(revoked.status == 200, "{revoked:?}");
    is_inactive(&asked(&helper, &token).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_past_its_age_is_announced_and_then_refused() -> Result<()> {
    let stage = Stage::set()?;
    let robot = stage.buyer("robot")?;
    let door = stage.home.http_door("api");
    let ask = async || -> Result<Answered> {
        robot.ask(&[("grant_type", "client_credentials"), ("resource", &door)]).await
    };
    ensure!(ask().await?.status == 200);
    let known = Instant::now();
    let doctor = || -> Result<String> {
        let output = stage.home.command(&["doctor", "-o", "json"])?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let aging = || -> Result<String> {
        let port = stage.home.ops().rsplit(':').next().and_then(|port| port.parse().ok());
        get(port.context("no port")?, "/metrics")
    };
    ensure!(!doctor()?.contains("max_age") && aging()?.contains("ambit_aging_keys 0"));
    // The age counts from when the key was first seen, at the start of the gate.
    let change = |from: &str, to: &str| {
        let purpose = "purpose: Act for itself and hand on";
        stage.change(&format!("{purpose}{from}"), &format!("{purpose}{to}"))
    };
    let of = |seconds: u64| format!("\n    credentials: {{ max_age: {seconds}s }}");
    let span = known.elapsed().as_secs() + 15;
    change("", &of(span))?;
    let end = Instant::now() + Duration::from_secs(60);
    while !aging()?.contains("ambit_aging_keys 1") {
        ensure!(Instant::now() < end, "never announced");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let told = doctor()?;
    ensure!(told.contains("reaches its `max_age`"), "{told}");
    ensure!(ask().await?.status == 200, "it was announced and is not refused yet");
    while ask().await?.status == 200 {
        ensure!(Instant::now() < end, "never refused");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let refused = ask().await?;
    ensure!(refused.status == 401 && refused.text("error") == "invalid_client", "{refused:?}");
    let why = refused.text("error_description");
    ensure!(why.contains("credential_expired") && why.contains("max_age"), "{why}");
    ensure!(doctor()?.contains("is past its `max_age`"));
    // The twin: the same key under a longer age.
    change(&of(span), &of(86_400))?;
    ensure!(ask().await?.status == 200);
    let rows: Value = stage.home.json(&["trace", "list", "--decision", "deny"])?;
    ensure!(rows.to_string().contains("credential_expired"), "{rows}");
    Ok(())
}
