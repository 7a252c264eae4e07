//! The embedded vault with the real binary: what reaches the upstream, what is refused, what is never shown.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};
use testkit::process::{Home, StandIn, built};

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
    credential: secret:bank
    actions:
      transfer: { route: POST /transfers, effect: transfer, risk: medium }
boundaries:
  all: { upstreams: [bank] }
"#;

const FIRST: &str = "first-and-foremost";
const SECOND: &str = "second-to-none";

struct Stage {
    home: Home,
    bank: StandIn,
    _logs: tempfile::TempDir,
}

impl Stage {
    fn set() -> Result<Stage> {
        let logs = tempfile::tempdir()?;
        let bank = StandIn::http(logs.path(), "bank")?;
        let home = Home::new(&CONFIG.replace("ADDRESS", &bank.address))?;
        Ok(Stage { home, bank, _logs: logs })
    }

    fn secret(&self, value: &str) -> Result<()> {
        let output = self.home.command_with(&["secret", "set", "bank"], value)?;
        ensure!(output.status.success(), "{}", said(&output));
        ensure!(!said(&output).contains(value.trim()), "{}", said(&output));
        Ok(())
    }

    async fn call(&self, token: &str) -> Result<u16> {
        let url = format!("{}/transfers", self.home.http_door("bank"));
        let request = reqwest::Client::new().post(url).bearer_auth(token);
        let request = request.header("content-type", "application/json");
        Ok(request.body("{\"to\":\"ana\"}").send().await?.status().as_u16())
    }

    /// The credentials that reached the bank, in order.
    fn shown(&self) -> Vec<String> {
        let of = |request: &Value| {
            let header = request.pointer("/headers/authorization").and_then(Value::as_str);
            header.unwrap_or("none").to_owned()
        };
        self.bank.oracle.of("request").iter().map(of).collect()
    }

    /// Starts a gate that should not; gives what it showed.
    fn refused(&self) -> Result<String> {
        let mut ambit = self.home.spawn(Command::new(built("ambit")?))?;
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = ambit.running.ended()? {
                ensure!(!status.success(), "it ended well");
                // The reader of the terminal may be a moment behind.
                std::thread::sleep(Duration::from_millis(200));
                return Ok(ambit.terminal.shown().to_string());
            }
            ensure!(Instant::now() < end, "it runs without its secret");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn said(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// The files below a directory that hold this text.
fn holding(directory: &Path, text: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(holding(&path, text)?);
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes.windows(text.len()).any(|window| window == text.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_from_its_first_use_to_its_last() -> Result<()> {
    let stage = Stage::set()?;
    let home = &stage.home;
    // Without it nothing starts, and the refusal names the way.
    let shown = tokio::task::block_in_place(|| stage.refused())?;
    ensure!(shown.contains("ambit secret set bank"), "{shown}");
    for (arguments, input, says) in [
        (&["secret", "set", "bank"][..], "", "empty"),
        (&["secret", "set", "bank"], " \n\t", "empty"),
        (&["secret", "set", "Bank"], FIRST, "lower-case"),
        (&["secret", "set", "bank"], "two\nlines", "header cannot hold"),
        (&["secret", "set", "bank", FIRST], FIRST, "unexpected argument"),
    ] {
        let output = home.command_with(arguments, input)?;
        ensure!(output.status.code() == Some(2), "{arguments:?}: {}", said(&output));
        ensure!(said(&output).contains(says), "{arguments:?}: {}", said(&output));
    }
    stage.secret(&format!("{FIRST}\n"))?;

    let ambit = tokio::task::block_in_place(|| home.start())?;
    let token = home.bearer_token("payer", "bank")?;
    ensure!(stage.call(&token).await? == 201);
    // At the next call, without a restart.
    stage.secret(SECOND)?;
    ensure!(stage.call(&token).await? == 201);
    let expected = [format!("Bearer {FIRST}"), format!("Bearer {SECOND}")];
    ensure!(stage.shown() == expected, "{:?}", stage.shown());

    let listed = home.json(&["secret", "list"])?;
    ensure!(listed.pointer("/0/name") == Some(&"bank".into()), "{listed}");
    ensure!(listed.pointer("/0/used_by") == Some(&"bank".into()), "{listed}");
    ensure!(
        listed
            .pointer("/0/age")
            .is_some_and(|age| age.as_str().is_some_and(|age| age.ends_with('s')))
    );
    let kept = home.command(&["secret", "rm", "bank"])?;
    ensure!(kept.status.code() == Some(2) && said(&kept).contains("--force"), "{}", said(&kept));
    ensure!(stage.call(&token).await? == 201);
    home.done(&["secret", "rm", "bank", "--force"])?;
    let status = stage.call(&token).await?;
    ensure!(status >= 500, "a call without its secret was answered with {status}");
    ensure!(stage.shown().len() == 3, "a call without its secret reached the bank");
    stage.secret(FIRST)?;
    ensure!(stage.call(&token).await? == 201);
    home.done(&["secret", "rm", "bank", "--force"])?;
    tokio::task::block_in_place(|| ambit.stop())?;
    let shown = tokio::task::block_in_place(|| stage.refused())?;
    ensure!(shown.contains("ambit secret set bank"), "{shown}");

    home.done(&["ledger", "verify"])?;
    let changes: Vec<String> = home
        .records()?
        .iter()
        .filter(|record| record.text("what") == "secret")
        .map(|record| record.envelope.get("changes").map(Value::to_string).unwrap_or_default())
        .collect();
    let set = "[\"secret/bank\",\"credential/secret:bank\"]";
    let removed = "[\"secret/bank\"]";
    ensure!(changes == [set, set, removed, set, removed], "{changes:?}");
    for value in [FIRST, SECOND] {
        let found = holding(&home.data(), value)?;
        ensure!(found.is_empty(), "the secret is readable in {found:?}");
    }
    Ok(())
}

/// Whoever writes the file sends the secret to a place of his own: it stays here until whoever has it gives it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_address_gets_no_secret_until_it_is_given_again() -> Result<()> {
    let stage = Stage::set()?;
    let home = &stage.home;
    let thief = StandIn::http(home.path(), "thief")?;
    stage.secret(FIRST)?;
    let ambit = tokio::task::block_in_place(|| home.start())?;
    let token = home.bearer_token("payer", "bank")?;
    ensure!(stage.call(&token).await? == 201);
    let file = home.path().join("ambit.yaml");
    let ours = std::fs::read_to_string(&file)?;
    let moved = ours.replace(&stage.bank.address, &thief.address);
    // The same upstream at another port; then another name for it, beside the right one.
    let renamed = ours.replace("upstreams:\n  bank:", "upstreams:\n  till:");
    let beside = format!(
        "{}\n  bank:\n    http: http://{}\n    credential: secret:bank\n    actions:\n      transfer: {{ route: POST /transfers, effect: transfer, risk: medium }}\nboundaries:",
        renamed.split("\nboundaries:").next().unwrap_or_default(),
        thief.address
    ) + "\n  all: { upstreams: [bank, till] }\n";
    for theirs in [moved.clone(), beside] {
        std::fs::write(&file, theirs)?;
        let applied = home.command(&["apply", home.path().to_str().context("a path")?])?;
        ensure!(applied.status.success(), "{}", said(&applied));
        ensure!(said(&applied).contains("is withheld"), "{}", said(&applied));
        let token = home.bearer_token("payer", "bank")?;
        let status = stage.call(&token).await?;
        ensure!(status >= 500, "the call was answered with {status}");
        ensure!(thief.oracle.of("request").is_empty(), "{:?}", thief.oracle.of("request"));
    }
    tokio::task::block_in_place(|| ambit.stop())?;
    std::fs::write(&file, moved)?;
    // Neither does a start with the changed file lend it.
    let ambit = tokio::task::block_in_place(|| home.start())?;
    let token = home.bearer_token("payer", "bank")?;
    ensure!(stage.call(&token).await? >= 500 && thief.oracle.of("request").is_empty());
    // Given again by who has it, the very same call arrives with it: the address was right after all.
    stage.secret(SECOND)?;
    ensure!(stage.call(&token).await? == 201);
    let shown = thief.oracle.of("request");
    let shown: Vec<_> =
        shown.iter().filter_map(|it| it.pointer("/headers/authorization")).collect();
    ensure!(shown == [&Value::from(format!("Bearer {SECOND}"))], "{shown:?}");
    tokio::task::block_in_place(|| ambit.stop())
}

/// Whoever may write the database and has no key puts an old secret back: the next start stops.
#[test]
fn an_older_secret_cannot_be_put_back() -> Result<()> {
    let stage = Stage::set()?;
    stage.secret(FIRST)?;
    let database = rusqlite::Connection::open(stage.home.data().join("ambit.db"))?;
    let sql = "SELECT value FROM state WHERE key = 'secret/bank'";
    let older: Vec<u8> = database.query_row(sql, (), |row| row.get(0))?;
    stage.secret(SECOND)?;
    let changed =
        database.execute("UPDATE state SET value = ?1 WHERE key = 'secret/bank'", [older])?;
    ensure!(changed == 1, "no row was changed");
    drop(database);
    let shown = stage.refused()?;
    ensure!(shown.contains("control state"), "{shown}");
    Ok(())
}

#[test]
fn a_file_alone_says_that_it_cannot_know() -> Result<()> {
    let stage = Stage::set()?;
    let path = stage.home.path().join("ambit.yaml").display().to_string();
    let mut command = Command::new(built("ambit")?);
    let output = command.args(["validate", &path]).output().context("cannot run `ambit`")?;
    ensure!(output.status.success(), "{}", said(&output));
    ensure!(said(&output).contains("whether the vault has `bank`"), "{}", said(&output));
    Ok(())
}
