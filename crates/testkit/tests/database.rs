//! The real binary with its ledger in PostgreSQL: a call, a refusal, a restart, verification, a row that was edited.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::process::Command;
use testkit::{
    postgres::Server,
    process::{Home, StandIn, built},
};

const CONFIG: &str = r#"version: 1
humans:
  people:
    dana: { groups: [it] }
agents:
  payer:
    purpose: Pay
    owner: group:it
    boundary: all
    credentials: { proof: none, ttl: 1h }
upstreams:
  bank:
    http: http://ADDRESS
    actions:
      transfer: { route: POST /transfers, effect: transfer, risk: medium }
      reset: { route: 'POST /users/{user}/password-reset', effect: auth-change, risk: prohibited }
boundaries:
  all: { upstreams: [bank] }
"#;

async fn post(home: &Home, token: &str, path: &str) -> Result<u16> {
    let request = reqwest::Client::new().post(format!("{}/{path}", home.http_door("bank")));
    let request = request.bearer_auth(token).header("content-type", "application/json");
    Ok(request.body("{\"to\":\"ana\",\"amount\":7}").send().await?.status().as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_in_postgresql_from_the_first_call_to_an_edited_row() -> Result<()> {
    let server = Server::with_password("correct-horse")?;
    let logs = tempfile::tempdir()?;
    let bank = StandIn::http(logs.path(), "bank")?;
    let home = Home::new(&CONFIG.replace("ADDRESS", &bank.address))?;
    let passfile = home.path().join("pgpass");
    std::fs::write(&passfile, "*:*:*:ambit:correct-horse\n")?;
    std::fs::set_permissions(&passfile, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let home = home.with_variable("PGPASSFILE", &passfile.display().to_string());
    let start = |flag: bool| -> Result<testkit::process::Ambit> {
        let more: &[&str] = if flag { &["--database-url", &server.url()] } else { &[] };
        tokio::task::block_in_place(|| home.start_more(Command::new(built("ambit")?), more))
    };

    let ambit = start(true)?;
    let token = home.bearer_token("payer", "bank")?;
    ensure!(post(&home, &token, "transfers").await? == 201);
    ensure!(post(&home, &token, "users/bob/password-reset").await? == 404);
    let traces = home.json(&["trace", "list"])?;
    ensure!(traces.as_array().is_some_and(|traces| traces.len() == 2), "{traces}");
    let why = home.done(&["why", "--last"])?;
    ensure!(why.contains("deny"), "{why}");
    let status = home.json(&["status"])?;
    let place = status.pointer("/database").and_then(Value::as_str).context("no database")?;
    ensure!(place.starts_with("postgres://ambit@") && !place.contains("correct-horse"), "{place}");
    ensure!(!ambit.terminal.shown().contains("correct-horse"));
    // While it runs, and by another session: nothing is in its way.
    home.done(&["ledger", "verify"])?;
    tokio::task::block_in_place(|| ambit.stop())?;
    ensure!(bank.oracle.of("request").len() == 1, "only the transfer reached the bank");

    // The directory knows where its ledger is.
    let ambit = start(false)?;
    let token = home.bearer_token("payer", "bank")?;
    ensure!(post(&home, &token, "transfers").await? == 201);
    let file = home.path().join("copy.db").display().to_string();
    home.done(&["ledger", "export", &file])?;
    tokio::task::block_in_place(|| ambit.stop())?;
    ensure!(!home.data().join("ambit.db").exists());
    let traces = home.json(&["trace", "list"])?;
    ensure!(traces.as_array().is_some_and(|traces| traces.len() == 3), "{traces}");
    home.done(&["ledger", "verify"])?;
    let mut copied = Command::new(built("ambit")?);
    copied.args(["ledger", "verify", "--data", &file, "--key", &home.done(&["ledger", "key"])?]);
    let copied = copied.output().context("cannot run `ambit`")?;
    ensure!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));

    let edited = "UPDATE batches SET leaves = set_byte(leaves, 50, get_byte(leaves, 50) # 1) \
        WHERE first = (SELECT max(first) FROM batches)";
    server.sql(edited)?;
    let verified = home.command(&["ledger", "verify"])?;
    ensure!(verified.status.code() == Some(7), "{verified:?}");
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    let last = server.sql("SELECT max(first) FROM batches")?;
    ensure!(said.contains(&format!("entry {last}")), "{said}");
    Ok(())
}

#[test]
fn a_password_on_the_command_line_and_another_machine_are_refused() -> Result<()> {
    let home = Home::new(&CONFIG.replace("ADDRESS", "127.0.0.1:1"))?;
    for (url, says) in [
        ("postgres://ambit:hunter2@127.0.0.1/ambit", "read by every user"),
        ("postgres://ambit:hunter2@db.example/ambit", "another machine"),
        ("postgres://ambit:hunter2@127.0.0.1:port/ambit", "cannot be used"),
    ] {
        let refused = home.command(&["dev", "--database-url", url])?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(!refused.status.success() && said.contains(says), "{url}: {said}");
        ensure!(!said.contains("hunter2"), "{said}");
    }
    Ok(())
}
