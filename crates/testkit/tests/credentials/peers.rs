//! Clients by other authors with certificates (RFC 8705): discovery over TLS, tokens bound to a certificate, calls with
//! it, introspection and revocation; with another certificate or without one, a token is worth nothing.

use crate::{
    certificates::{FOREIGN_ID, Stage},
    tls::{Pair, self_signed},
};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::process::Command;
use testkit::process::installed;

/// One client, as one agent, with one certificate.
struct Row<'a> {
    client: &'a str,
    agent: &'a str,
    /// How it authenticates: the name in the metadata.
    way: &'a str,
    own: &'a Pair,
    other: &'a Pair,
    key: Option<Value>,
}

fn run(stage: &Stage, row: &Row<'_>) -> Result<Value> {
    let pair = |pair: &Pair| json!({ "cert": pair.certificate, "key": pair.key });
    let settings = json!({ "client": row.client, "agent": row.agent, "way": row.way,
        "issuer": stage.base, "door": stage.door(), "url": format!("{}/tickets/4711", stage.door()),
        "ca": stage.authority.pem(), "own": pair(row.own), "other": pair(row.other), "jwk": row.key });
    let mut command = Command::new("node");
    command.arg("--no-warnings").arg(installed("peers/ts/mtls.mjs")?).arg(settings.to_string());
    let output = command.output().context("the client did not run")?;
    let (said, wrong) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_str(said.lines().last().unwrap_or_default())
        .with_context(|| format!("{said}{wrong}"))?;
    ensure!(told.get("error").is_none(), "{} as {}: {told}\n{wrong}", row.client, row.agent);
    Ok(told)
}

#[test]
fn clients_of_other_authors_bind_tokens_to_their_certificates() -> Result<()> {
    let stage = Stage::set()?;
    let (ours, other) = (stage.certified("reader")?, stage.certified("other")?);
    let (foreign, nobodys) = (stage.corp.workload(FOREIGN_ID)?, self_signed()?);
    let key = stage.home.done(&["agent", "key", "other", "--export", "jwk"])?;
    let key = Some(serde_json::from_str(&key)?);
    let (signed, own) = ("tls_client_auth", "self_signed_tls_client_auth");
    let row = |client, agent, way, own, other| Row { client, agent, way, own, other, key: None };
    let rows = [
        row("openid-client", "reader", signed, &ours, &other),
        row("oauth4webapi", "reader", signed, &foreign, &ours),
        row("oauth4webapi", "holder", own, &stage.registered, &nobodys),
        row("openid-client", "holder", own, &stage.registered, &ours),
        Row { key, ..row("oauth4webapi", "other", "private_key_jwt", &other, &ours) },
    ];
    for (before, row) in rows.iter().enumerate() {
        let told = run(&stage, row)?;
        // With its certificate it was let through; with another, with none, and revoked, it was not.
        let calls = json!({ "own": 200, "other": 401, "none": 401, "revoked": 403 });
        ensure!(told.get("calls") == Some(&calls), "{} as {}: {told}", row.client, row.agent);
        let reached = stage.reached();
        ensure!(reached == before + 1, "{} as {}: {reached} reached", row.client, row.agent);
    }
    // Nobody else's certificate is the agent's.
    let stolen = run(&stage, &row("openid-client", "reader", signed, &nobodys, &ours));
    let refused = stolen.err().context("it was taken")?.to_string();
    ensure!(refused.contains("\"status\":401") && stage.reached() == rows.len(), "{refused}");
    stage.ambit.stop()
}
