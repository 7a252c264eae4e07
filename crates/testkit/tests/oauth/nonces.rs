//! Nonces at the token endpoint and at the doors, demanded and offered, for programs and for the bridge.

use crate::stage::Stage;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};
use testkit::process::built;

#[tokio::test(flavor = "multi_thread")]
async fn the_token_endpoint_asks_for_a_nonce_and_every_answer_brings_one() -> Result<()> {
    let stage = Stage::set()?;
    let robot = stage.buyer("robot")?;
    let door = stage.home.http_door("api");
    let form = [("grant_type", "client_credentials"), ("resource", door.as_str())];
    let bare = robot.post("/oauth/token", &form, Some(&robot.proof(None)?)).await?;
    ensure!(bare.status == 400 && bare.text("error") == "use_dpop_nonce", "{bare:?}");
    ensure!(bare.text("error_description").contains("DPoP-Nonce"), "{bare:?}");
    let nonce = bare.nonce().context("no nonce came")?.to_owned();
    let proof = robot.proof(Some(&nonce))?;
    let granted = robot.post("/oauth/token", &form, Some(&proof)).await?;
    ensure!(granted.status == 200 && granted.nonce().is_some(), "the twin: {granted:?}");
    let replayed = robot.post("/oauth/token", &form, Some(&proof)).await?;
    ensure!(replayed.text("error") == "invalid_dpop_proof", "{replayed:?}");
    let denied = robot.post("/oauth/token", &[("grant_type", "password")], None).await?;
    ensure!(denied.status == 400 && denied.nonce().is_some(), "{denied:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_offers_nonces_and_takes_none_but_its_own() -> Result<()> {
    let mut stage = Stage::set()?;
    let robot = stage.buyer("robot")?;
    let url = format!("{}/fast", stage.home.http_door("api"));
    let token = robot.buy(&stage.home.http_door("api"), &[]).await?;
    let shown = |nonce: Option<&str>| -> Result<[(&'static str, String); 2]> {
        let proof = robot.key.prove_with("GET", &url, Some(&token), nonce)?;
        Ok([("authorization", format!("DPoP {token}")), ("dpop", proof)])
    };
    let first = stage.get("/fast", &shown(None)?).await?;
    ensure!(first.status == 200, "a client that knows no nonces: {first:?}");
    let nonce = first.nonce().context("no nonce came")?.to_owned();
    let before = stage.reached();
    let refused = stage.get("/fast", &shown(Some("AAAA"))?).await?;
    ensure!(refused.status == 401 && refused.nonce().is_some(), "{refused:?}");
    ensure!(refused.challenges().contains("error=\"use_dpop_nonce\""), "{refused:?}");
    ensure!(stage.reached() == before, "a proof with a foreign nonce reached the upstream");
    let used = shown(Some(&nonce))?;
    ensure!(stage.get("/fast", &used).await?.status == 200, "the twin");
    // The nonce outlives the process that gave it, and so does the memory of its proof.
    stage.ambit.stop()?;
    stage.ambit = stage.home.start()?;
    let again = stage.get("/fast", &used).await?;
    ensure!(again.status == 401, "a used proof after a restart: {again:?}");
    ensure!(stage.get("/fast", &shown(Some(&nonce))?).await?.status == 200, "its twin");
    // MCP says it as its own challenge, beside where tokens come from.
    let door = stage.home.mcp_door("tools");
    let token = robot.buy(&door, &[]).await?;
    let proof = robot.key.prove_with("POST", &door, Some(&token), Some("AAAA"))?;
    let headers = [("authorization", format!("DPoP {token}")), ("dpop", proof)];
    let refused = stage.call("echo", &headers).await?;
    ensure!(refused.challenges().contains("error=\"use_dpop_nonce\""), "{refused:?}");
    stage.call("echo", &robot.shown("POST", &door, &token)?).await?.done()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_may_demand_nonces_and_the_bridge_follows() -> Result<()> {
    let stage = Stage::set_with(&["--demand-nonces"])?;
    let robot = stage.buyer("robot")?;
    let door = stage.home.mcp_door("tools");
    let token = robot.buy(&door, &[]).await?;
    let refused = stage.call("echo", &robot.shown("POST", &door, &token)?).await?;
    ensure!(refused.status == 401 && stage.reached() == 0, "{refused:?}");
    let proof = robot.key.prove_with("POST", &door, Some(&token), refused.nonce())?;
    let headers = [("authorization", format!("DPoP {token}")), ("dpop", proof)];
    stage.call("echo", &headers).await?.done()?;

    let mut bridge = Command::new(built("ambit")?);
    bridge.args(["bridge", "--agent", "robot", "--upstream", "tools"]);
    bridge.current_dir(stage.home.path()).env("AMBIT_DATA", stage.home.data());
    let mut bridge = bridge.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut input = bridge.stdin.take().context("no input")?;
    let mut lines = BufReader::new(bridge.stdout.take().context("no output")?).lines();
    let mut ask = |message: Value| -> Result<Value> {
        writeln!(input, "{message}")?;
        Ok(serde_json::from_str(&lines.next().context("the bridge ended")??)?)
    };
    let client = json!({ "name": "client", "version": "1" });
    let greeting =
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
    ask(json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": greeting }))?;
    let params = json!({ "name": "echo", "arguments": { "text": "through the bridge" } });
    let told = ask(json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params }))?;
    let failed = told.pointer("/result/isError").and_then(Value::as_bool).unwrap_or(false);
    ensure!(told.get("result").is_some() && !failed, "{told}");
    ensure!(stage.reached() == 2, "the bridge's call did not arrive");
    drop(input);
    bridge.wait()?;
    // `ambit token` prints a proof that is taken, too.
    let text =
        stage.home.done(&["token", "--agent", "robot", "--audience", &door, "--format", "json"])?;
    let issued: Value = serde_json::from_str(&text)?;
    let text = |member: &str| issued.get(member).and_then(Value::as_str).unwrap_or_default();
    let headers =
        [("authorization", format!("DPoP {}", text("token"))), ("dpop", text("proof").to_owned())];
    stage.call("echo", &headers).await?.done()
}
