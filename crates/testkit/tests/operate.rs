//! A pilot in observe mode, and the change of rules: diff, apply, rollback, watched files, on the real binary.
#![cfg(test)]

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{
    process::Output,
    time::{Duration, Instant},
};
use testkit::process::{Home, StandIn};

fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(future)
}

/// What a pilot's agent does, by upstream, method and path.
const NEEDED: [(&str, &str, &str); 6] = [
    ("crm", "GET", "/tickets/4711"),
    ("crm", "POST", "/mail"),
    ("crm", "GET", "/fast"),
    ("bank", "GET", "/fast"),
    ("bank", "POST", "/transfers"),
    ("bank", "POST", "/users/bob/password-reset"),
];

/// The five of them that are not granted.
const MISSING: [&str; 5] = ["bank.look", "bank.reset", "bank.transfer", "crm.fast", "crm.mail"];

fn declared(crm: &str, bank: &str, mode: &str) -> String {
    format!(
        "version: 1\n\
         agents:\n  \
           copilot:\n    \
             purpose: Answer customers   # the pilot\n    \
             owner: group:it\n    \
             boundary: support\n    \
             only: [crm.read]\n    \
             credentials: {{ proof: none }}\n{mode}\
         upstreams:\n  \
           crm:\n    http: http://{crm}\n    actions:\n      \
             read: {{ route: 'GET /tickets/{{id}}', effect: read, risk: low }}\n      \
             mail: {{ route: POST /mail, effect: send, risk: medium }}\n      \
             fast: {{ route: GET /fast, effect: read, risk: low }}\n      \
             wipe: {{ route: POST /fast, effect: delete, risk: prohibited }}\n  \
           bank:\n    http: http://{bank}\n    actions:\n      \
             look: {{ route: GET /fast, effect: read, risk: low }}\n      \
             transfer: {{ route: POST /transfers, effect: transfer, risk: medium }}\n      \
             reset: {{ route: 'POST /users/{{user}}/password-reset', effect: auth-change, risk: medium }}\n      \
             other: {{ route: GET /error, effect: read, risk: low }}\n\
         boundaries:\n  \
           support:\n    upstreams:\n      - crm   # theirs\n"
    )
}

fn in_days(days: i64) -> Result<String> {
    let at = model::Timestamp::from_seconds(testkit::proof::unix_now() + days * 86_400);
    Ok(at.to_string().chars().take(10).collect())
}

async fn call(home: &Home, (upstream, method, path): (&str, &str, &str)) -> Result<u16> {
    let door = home.http_door(upstream);
    let output =
        home.command(&["token", "--agent", "copilot", "--audience", &door, "--format", "json"])?;
    if !output.status.success() {
        // No token for this door: nothing can be sent.
        return Ok(0);
    }
    let token: Value = serde_json::from_slice(&output.stdout)?;
    let token = token["token"].as_str().context("a token")?;
    let request = reqwest::Client::new().request(method.parse()?, format!("{door}{path}"));
    let request = if method == "POST" { request.json(&serde_json::json!({})) } else { request };
    Ok(request.bearer_auth(token).send().await?.status().as_u16())
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn write(home: &Home, text: &str) -> Result<()> {
    Ok(std::fs::write(home.path().join("ambit.yaml"), text)?)
}

fn read(home: &Home) -> Result<String> {
    Ok(std::fs::read_to_string(home.path().join("ambit.yaml"))?)
}

#[test]
fn an_agent_with_five_missing_grants_runs_unharmed_and_the_report_closes_exactly_these()
-> Result<()> {
    let logs = tempfile::tempdir()?;
    let crm = StandIn::http(logs.path(), "crm")?;
    let bank = StandIn::http(logs.path(), "bank")?;
    let mode = format!("    mode: observe\n    observe_until: {}\n", in_days(14)?);
    let observing = declared(&crm.address, &bank.address, &mode);
    let home = Home::new(&observing)?;
    let gate = home.start()?;
    gate.terminal.wait_for("OBSERVE", 0, Duration::from_secs(5))?;
    block_on(async {
        for needed in NEEDED {
            let status = call(&home, needed).await?;
            ensure!((200..300).contains(&status), "{needed:?} was harmed: {status}");
        }
        ensure!(call(&home, ("crm", "POST", "/fast")).await? == 404, "prohibited stays prohibited");
        ensure!(call(&home, ("crm", "GET", "/secret")).await? == 404, "no route is no action");
        home.done(&["freeze", "action:bank.transfer", "--reason", "drill"])?;
        ensure!(call(&home, NEEDED[4]).await? == 403, "a freeze holds an observed agent too");
        home.done(&["unfreeze", "action:bank.transfer"])
    })?;
    ensure!(crm.oracle.of("request").len() == 3 && bank.oracle.of("request").len() == 3);

    let listed = home.json(&["trace", "list", "--decision", "would_deny"])?;
    ensure!(listed.as_array().map(Vec::len) == Some(5), "{listed}");
    let why = home.done(&["why", listed[0]["trace"].as_str().context("a trace")?])?;
    ensure!(why.contains("only:"), "{why}");
    let status = home.json(&["status"])?;
    ensure!(status["observed"][0]["agent"] == "copilot", "{status}");
    let metrics = block_on(async {
        Ok(reqwest::get(format!("{}/metrics", home.ops())).await?.text().await?)
    })?;
    ensure!(metrics.contains("ambit_observed_agents 1"), "{metrics}");
    ensure!(metrics.contains("ambit_would_total{word=\"deny\"} 5"), "{metrics}");

    let report = home.json(&["report", "would", "--agent", "copilot", "--since", "1d"])?;
    let groups = report["groups"].as_array().context("groups")?;
    let named: Vec<&str> = groups.iter().filter_map(|group| group["action"].as_str()).collect();
    ensure!(named == MISSING, "{named:?}");
    ensure!(groups.iter().all(|group| group["then"] == "allow"), "{report}");
    let patch = home.done(&["report", "would", "--agent", "copilot", "--diff"])?;
    ensure!(patch.contains("+      - bank"), "{patch}");
    home.done(&["report", "would", "--agent", "copilot", "--write"])?;
    let written = read(&home)?;
    ensure!(written.contains("# the pilot") && written.contains("- crm   # theirs"), "{written}");

    let applied = home.json(&["apply"])?;
    ensure!(applied["widens"] == true, "{applied}");
    write(&home, &read(&home)?.replace(&mode, ""))?;
    home.done(&["apply"])?;
    ensure!(home.json(&["status"])?["observed"].as_array().is_some_and(Vec::is_empty));
    block_on(async {
        for needed in NEEDED {
            let status = call(&home, needed).await?;
            ensure!((200..300).contains(&status), "enforcing changed {needed:?}: {status}");
        }
        let ungranted = call(&home, ("bank", "GET", "/error")).await?;
        ensure!(ungranted == 403, "only the five were granted: {ungranted}");
        Ok(())
    })?;
    gate.stop()
}

#[test]
fn without_observe_the_same_agent_is_refused_and_an_end_is_needed() -> Result<()> {
    let logs = tempfile::tempdir()?;
    let crm = StandIn::http(logs.path(), "crm")?;
    let bank = StandIn::http(logs.path(), "bank")?;
    let home = Home::new(&declared(&crm.address, &bank.address, ""))?;
    let gate = home.start()?;
    block_on(async {
        for needed in &NEEDED[1..] {
            let status = call(&home, *needed).await?;
            ensure!(!(200..300).contains(&status), "{needed:?} passed: {status}");
        }
        Ok(())
    })?;
    ensure!(bank.oracle.of("request").is_empty() && crm.oracle.of("request").is_empty());
    for (mode, says) in [
        ("    mode: observe\n".to_owned(), "needs an end"),
        (format!("    observe_until: {}\n", in_days(3)?), "which is not stated"),
        (
            format!("    mode: observe\n    observe_until: {}\n", in_days(40)?),
            "more than 30 days ahead",
        ),
        ("    mode: observe\n    observe_until: 2026-02-30\n".to_owned(), "is not a day"),
    ] {
        write(&home, &declared(&crm.address, &bank.address, &mode))?;
        let output = home.command(&["apply"])?;
        ensure!(
            output.status.code() == Some(2) && text(&output).contains(says),
            "{}",
            text(&output)
        );
    }
    // An observation that has ended is no error, and enforces.
    let mode = format!("    mode: observe\n    observe_until: {}\n", in_days(-1)?);
    write(&home, &declared(&crm.address, &bank.address, &mode))?;
    home.done(&["apply"])?;
    block_on(async {
        ensure!(call(&home, NEEDED[1]).await? == 403);
        ensure!(call(&home, NEEDED[3]).await? == 0, "no token for a door outside");
        Ok(())
    })?;
    gate.stop()
}

#[test]
fn a_bad_apply_is_rolled_back_by_one_command_and_stays_so() -> Result<()> {
    let logs = tempfile::tempdir()?;
    let crm = StandIn::http(logs.path(), "crm")?;
    let bank = StandIn::http(logs.path(), "bank")?;
    let good = declared(&crm.address, &bank.address, "");
    let home = Home::new(&good)?;
    let gate = home.start()?;
    let bad = good.replace("only: [crm.read]", "only: [crm.mail]");
    write(&home, &bad)?;
    let diff = home.command(&["diff", "--exit-code"])?;
    ensure!(diff.status.code() == Some(3), "{}", text(&diff));
    for line in [
        "+ widens   access        copilot crm.mail: - → allow",
        "- narrows  access        copilot crm.read: allow → -",
    ] {
        ensure!(text(&diff).contains(line), "{}", text(&diff));
    }
    home.done(&["apply", "--reason", "Friday evening"])?;
    block_on(async {
        ensure!(call(&home, NEEDED[0]).await? == 403);
        Ok(())
    })?;
    let begun = Instant::now();
    let told = home.done(&["rollback", "previous", "--reason", "reads fail"])?;
    ensure!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    ensure!(
        told.contains("+    only: [crm.read]") && told.contains("in force as revision 3"),
        "{told}"
    );
    block_on(async {
        ensure!(call(&home, NEEDED[0]).await? == 200);
        Ok(())
    })?;
    let history = home.json(&["history"])?;
    let what: Vec<&str> =
        history.as_array().context("rows")?.iter().filter_map(|row| row["what"].as_str()).collect();
    ensure!(what == ["apply", "apply", "rollback"], "{history}");
    ensure!(history[1]["reason"] == "Friday evening", "{history}");
    ensure!(history[2]["reason"] == "to revision 1: reads fail", "{history}");
    let output = home.command(&["rollback", "9", "--reason", "x"])?;
    ensure!(
        output.status.code() == Some(2) && text(&output).contains("there are 1, 2, 3"),
        "{}",
        text(&output)
    );

    // The bad file is still on disk: a restart does not bring it back.
    gate.stop()?;
    let gate = home.start()?;
    gate.terminal.wait_for("is what was rolled back from", 0, Duration::from_secs(5))?;
    block_on(async {
        ensure!(call(&home, NEEDED[0]).await? == 200);
        Ok(())
    })?;
    let out = home.path().join("exported");
    home.done(&["export", out.to_str().context("a path")?])?;
    ensure!(std::fs::read_to_string(out.join("ambit.yaml"))? == good);
    let again = home.command(&["export", out.to_str().context("a path")?])?;
    ensure!(again.status.code() == Some(1), "files are not overwritten");
    gate.stop()
}

#[test]
fn tests_hold_an_apply_unless_it_only_narrows() -> Result<()> {
    let logs = tempfile::tempdir()?;
    let crm = StandIn::http(logs.path(), "crm")?;
    let case = "tests:\n  - { agent: copilot, do: crm.read, args: { id: '1' }, expect: allow }\n";
    let good = declared(&crm.address, &crm.address, "") + case;
    let home = Home::new(&good)?;
    let gate = home.start()?;
    let narrow = good.replace("only: [crm.read]", "only: []");
    write(&home, &narrow)?;
    ensure!(home.command(&["apply"])?.status.code() == Some(7));
    let widening = good.replace("only: [crm.read]", "only: [crm.mail]");
    write(&home, &widening)?;
    let output = home.command(&["apply", "--skip-tests"])?;
    ensure!(
        output.status.code() == Some(7) && text(&output).contains("only where nobody gains"),
        "{}",
        text(&output)
    );
    write(&home, &narrow)?;
    let told = home.done(&["apply", "--skip-tests"])?;
    ensure!(told.contains("1 of 1 tests fail and were skipped"), "{told}");
    gate.stop()
}

#[test]
fn a_watched_file_narrows_at_once_and_widens_only_by_a_person() -> Result<()> {
    let logs = tempfile::tempdir()?;
    let crm = StandIn::http(logs.path(), "crm")?;
    let good = declared(&crm.address, &crm.address, "");
    let home = Home::new(&good)?;
    let mut gate = home.start()?;
    let limit = Duration::from_secs(20);
    let revision = || -> Result<Value> { Ok(home.json(&["status"])?["control_revision"].clone()) };

    write(&home, &good.replace("only: [crm.read]", "only: []"))?;
    let at = gate.terminal.wait_for("gives nobody more, and is in force", 0, limit)?;
    ensure!(!home.json(&["agent", "show", "copilot"])?.to_string().contains("crm.read"));

    let before = revision()?;
    write(&home, &good.replace("only: [crm.read]", "only: [crm.read, crm.mail]"))?;
    let at = gate.terminal.wait_for("apply? [y/n]", at, limit)?;
    ensure!(gate.terminal.shown().contains("copilot crm.mail: - → allow"));
    ensure!(revision()? == before, "what widens waits");
    gate.terminal.enter("n")?;
    let at = gate.terminal.wait_for("not applied", at, limit)?;
    ensure!(revision()? == before);

    write(&home, &good)?;
    let at = gate.terminal.wait_for("apply? [y/n]", at, limit)?;
    gate.terminal.enter("y")?;
    let at = gate.terminal.wait_for("applied as revision", at, limit)?;
    ensure!(home.json(&["agent", "show", "copilot"])?.to_string().contains("crm.read"));

    write(&home, "version: 1\nagents: [\n")?;
    gate.terminal.wait_for("in force is what was", at, limit)?;
    gate.stop()
}
