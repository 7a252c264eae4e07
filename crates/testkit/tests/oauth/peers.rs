//! Clients by other authors do all that an agent does: discovery, authentication, proofs with nonces, exchange with actor,
//! key set, a call, introspection, revocation.

use crate::stage::Stage;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::process::Command;
use testkit::process::installed;

/// Runs a client and gives what it did.
fn run(stage: &Stage, mut command: Command, more: &[(&str, &str)]) -> Result<Vec<String>> {
    let key = |agent: &str| -> Result<Value> {
        let text = stage.home.done(&["agent", "key", agent, "--export", "jwk"])?;
        Ok(serde_json::from_str(&text)?)
    };
    let door = stage.home.http_door("api");
    let mut settings = json!({ "issuer": stage.home.front(), "url": format!("{door}/fast"),
        "door": door, "lead": key("lead")?, "helper": key("helper")? });
    for (name, value) in more {
        settings.as_object_mut().context("an object")?.insert((*name).into(), json!(value));
    }
    let output = command.arg(settings.to_string()).output().context("the client did not run")?;
    let (said, wrong) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_str(said.lines().last().unwrap_or_default())
        .with_context(|| format!("{said}{wrong}"))?;
    let done = told.get("done").and_then(Value::as_array).filter(|_| told.get("error").is_none());
    let done = done.with_context(|| format!("{told}\n{wrong}"))?;
    Ok(done.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_other_authors_do_all_of_it() -> Result<()> {
    let stage = Stage::set_for_strangers(&[])?;
    let scripts = installed("peers/ts")?;
    for client in ["oauth4webapi", "openid-client"] {
        let mut command = Command::new("node");
        command.arg("--no-warnings").arg(scripts.join("oauth.mjs"));
        let done = run(&stage, command, &[("client", client)])?;
        ensure!(done.len() >= 7, "{client}: {done:?}");
    }
    let made = ["key", "create", "--agent", "lead", "--action", "api.fast"];
    let key = stage.home.json(&made)?["key"].as_str().context("a key")?.to_owned();
    let mut command = Command::new("node");
    command.arg("--no-warnings").arg(scripts.join("oauth.mjs"));
    let done = run(&stage, command, &[("client", "scoped-key"), ("secret", &key)])?;
    ensure!(done.len() == 7, "with a scoped key: {done:?}");
    let python = installed("peers/py/oauth")?;
    let mut command = Command::new(python.join("bin/python"));
    command.arg(installed("peers/py/oauth.py")?);
    let done = run(&stage, command, &[])?;
    ensure!(done.len() >= 7, "authlib: {done:?}");
    ensure!(
        stage.api.oracle.of("request").len() == 5,
        "each made one call that was let through, and with a key two"
    );
    Ok(())
}
