//! Local MCP servers behind the gate: child processes under its care, one for each agent and human, that get nothing
//! but what is declared. The server's own log is the oracle.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};
use testkit::{
    oracle::Oracle,
    peer::{self, ClientEra, Peer},
    process::{Ambit, Home, built},
};

const SECRET: &str = "local-secret-77e1-not-to-be-seen";
const PATIENCE: Duration = Duration::from_secs(20);

/// A gate with two agents and one local server, with more lines for its declaration.
struct Stage {
    home: Home,
    ambit: Ambit,
    oracle: Oracle,
    _log: tempfile::TempDir,
}

impl Stage {
    fn set(arguments: &str, more: &str) -> Result<Stage> {
        let log = tempfile::tempdir()?;
        let path = log.path().join("server.log");
        let program = built("stdio-upstream")?;
        let agent = |name: &str| {
            format!(
                "  {name}:\n    purpose: Use tools\n    owner: group:it\n    boundary: all\n    \
                 credentials: {{ proof: none }}\n"
            )
        };
        let config = format!(
            "version: 1\nhumans: {{ people: {{ dana: {{ groups: [it] }} }} }}\nagents:\n{}{}upstreams:\n  local:\n    \
             stdio: [\"{}\", --log, \"{}\"{arguments}]\n    \
             credential: {{ secret: env:AMBIT_SECRET_LOCAL, variable: SERVER_KEY }}\n    variables: {{ SERVER_MODE: plain }}\n{more}    \
             actions:\n      echo: {{ effect: write, risk: low }}\n      stray: {{ risk: prohibited }}\n      \
             \"*\": {{ effect: read, risk: low }}\n\
             boundaries:\n  all: {{ upstreams: [local] }}\n",
            agent("ana"),
            agent("bob"),
            program.display(),
            path.display(),
        );
        let home = Home::new(&config)?.with_secret("AMBIT_SECRET_LOCAL", SECRET);
        // The gate itself begins with an open file: what it was given must not go on to its children.
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "exec 9</etc/passwd; exec \"$0\" \"$@\""]).arg(built("ambit")?);
        let ambit = home.start_with(shell)?;
        Ok(Stage { home, ambit, oracle: Oracle::new(path), _log: log })
    }

    async fn peer(&self, agent: &str) -> Result<Peer> {
        let door = self.home.mcp_door("local");
        Peer::connect(&door, ClientEra::Modern, self.home.bearer(agent, &door)?).await
    }

    fn starts(&self) -> usize {
        self.oracle.of("start").len()
    }
}

async fn call(peer: &Peer, tool: &str, text: &str) -> Result<(bool, String)> {
    let result = peer.call(tool, json!({ "text": text })).await?;
    Ok((result.is_error == Some(true), peer::text(&result)))
}

async fn about(peer: &Peer) -> Result<Value> {
    let (_, text) = call(peer, "about", "").await?;
    serde_json::from_str(&text).with_context(|| format!("not what was asked for: {text}"))
}

fn alive(pid: &Value) -> bool {
    PathBuf::from(format!("/proc/{pid}/cmdline"))
        .exists()
        .then(|| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default())
        .is_some_and(|stat| !stat.contains(") Z "))
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        ensure!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_server_gets_what_is_declared_and_nothing_else() -> Result<()> {
    let stage = Stage::set("", "")?;
    let ana = stage.peer("ana").await?;
    assert_eq!(call(&ana, "echo", "hello").await?, (false, "hello".to_owned()));
    let (denied, text) = call(&ana, "stray", "").await?;
    assert!(denied, "{text}");
    assert!(stage.oracle.calls("stray").is_empty());
    assert_eq!(stage.oracle.calls("echo"), [json!({ "text": "hello" })]);

    let about = about(&ana).await?;
    let environment =
        about.get("environment").and_then(Value::as_object).context("no variables")?;
    let backwards = |text: &str| json!(text.chars().rev().collect::<String>());
    assert_eq!(environment.get("SERVER_KEY"), Some(&backwards(SECRET)));
    assert_eq!(environment.get("SERVER_MODE"), Some(&backwards("plain")));
    let given = ["HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "TMPDIR", "TZ"];
    let strange = environment.keys().find(|name| {
        !given.contains(&name.as_str()) && !["SERVER_KEY", "SERVER_MODE"].contains(&name.as_str())
    });
    assert_eq!(strange, None, "the gate's own variables stay with it");
    let arguments = about.get("arguments").map(Value::to_string).unwrap_or_default();
    assert!(!arguments.contains(SECRET), "{arguments}");
    let descriptors = about.get("descriptors").and_then(Value::as_array).context("no list")?;
    // Beyond its three pipes it has its own log, and the directory that it reads to answer.
    let opened = |what: &str| what.ends_with("server.log") || what.starts_with("/proc/");
    let inherited = descriptors.iter().filter_map(|one| one.get(1)?.as_str());
    let inherited: Vec<_> =
        inherited.filter(|what| !what.starts_with("pipe:") && !opened(what)).collect();
    assert!(inherited.is_empty() && descriptors.len() == 5, "{descriptors:?}");
    stage.ambit.stop()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_agent_has_a_child_of_its_own_unless_it_is_shared() -> Result<()> {
    for (more, expected) in [("", false), ("    shared: true\n", true)] {
        let stage = Stage::set("", more)?;
        let (ana, bob) = (stage.peer("ana").await?, stage.peer("bob").await?);
        let of_ana = about(&ana).await?.get("pid").cloned();
        let of_bob = about(&bob).await?.get("pid").cloned();
        assert_eq!(of_ana == of_bob, expected, "{more}");
        assert_eq!(about(&ana).await?.get("pid").cloned(), of_ana, "it stays");
        let greetings =
            stage.oracle.of("message").into_iter().filter(|message| {
                message.get("method").and_then(Value::as_str) == Some("initialize")
            });
        assert_eq!(greetings.count(), stage.starts(), "each child hears `initialize` once");
        let ids: Vec<Value> = stage
            .oracle
            .of("message")
            .into_iter()
            .filter_map(|m| m.get("id").cloned())
            .filter(|id| !id.is_null())
            .collect();
        let distinct: std::collections::BTreeSet<String> =
            ids.iter().map(Value::to_string).collect();
        assert_eq!(distinct.len(), ids.len(), "ids are Ambit's own, each used once");
        // Both at once through whatever child it is: answers find their callers.
        let calls = (0..20).map(|number| {
            let (peer, text) =
                (if number % 2 == 0 { &ana } else { &bob }, format!("call {number}"));
            async move { anyhow::Ok(call(peer, "echo", &text).await? == (false, text)) }
        });
        for matched in futures_util::future::join_all(calls).await {
            assert!(matched?);
        }
        stage.ambit.stop()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_is_started_again_and_its_call_is_told_so() -> Result<()> {
    let stage = Stage::set("", "")?;
    let ana = stage.peer("ana").await?;
    call(&ana, "echo", "before").await?;
    let starts = stage.starts();
    for tool in ["crash", "flood", "babble"] {
        let asked = Instant::now();
        let (failed, text) = call(&ana, tool, "").await?;
        assert!(failed, "{tool}: {text}");
        assert!(asked.elapsed() < Duration::from_secs(15), "{tool} took {:?}", asked.elapsed());
        let (failed, text) = call(&ana, "echo", tool).await?;
        assert!(!failed && text == tool, "after {tool}: {text}");
    }
    assert_eq!(stage.starts(), starts + 2, "a crash and a flood end the child, a babble does not");
    assert_eq!(stage.oracle.calls("crash").len(), 1, "what may have happened is not sent again");

    // One that ends again and again is left alone for longer each time.
    for _ in 0..8 {
        call(&ana, "crash", "").await?;
    }
    stage.ambit.terminal.wait_for("it is started again at the first call in", 0, PATIENCE)?;
    assert!(stage.oracle.calls("crash").len() < 9);
    stage.ambit.stop()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn children_end_with_the_gate_and_take_theirs_along() -> Result<()> {
    let stage = Stage::set("", "")?;
    let ana = stage.peer("ana").await?;
    let server = about(&ana).await?.get("pid").cloned().context("no pid")?;
    let (_, grandchild) = call(&ana, "spawn", "").await?;
    let grandchild: Value = serde_json::from_str(&grandchild)?;
    assert!(alive(&server) && alive(&grandchild));
    stage.ambit.stop()?;
    until("both are gone", || !alive(&server) && !alive(&grandchild)).await?;
    assert!(!stage.oracle.of("end").is_empty(), "it was asked to end before it was made to");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_says_is_logged_without_its_secret_and_what_it_asks_is_refused() -> Result<()> {
    let stage = Stage::set("", "")?;
    let ana = stage.peer("ana").await?;
    call(&ana, "mutter", &format!("the key is {SECRET}, said aloud")).await?;
    stage.ambit.terminal.wait_for("said aloud", 0, PATIENCE)?;
    let shown = stage.ambit.terminal.shown();
    assert!(shown.contains("[secret]") && !shown.contains(SECRET), "{shown}");

    let (failed, text) = call(&ana, "ask", "").await?;
    assert!(!failed && text.contains("-32601"), "the server got a refusal: {text}");
    stage.ambit.stop()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_left_is_cancelled_at_the_server() -> Result<()> {
    let stage = Stage::set("", "")?;
    let ana = stage.peer("ana").await?;
    let hanging = tokio::spawn({
        let peer = stage.peer("ana").await?;
        async move { peer.call("hang", json!({})).await.map(drop) }
    });
    until("the call is at the server", || stage.oracle.calls("hang").len() == 1).await?;
    hanging.abort();
    let cancelled = || {
        let all = stage.oracle.of("message").into_iter();
        all.filter(|m| m.get("method").and_then(Value::as_str) == Some("notifications/cancelled"))
            .count()
    };
    until("the server was told", || cancelled() > 0).await?;
    assert_eq!(call(&ana, "echo", "after").await?, (false, "after".to_owned()));
    assert_eq!(cancelled(), 1, "once");
    stage.ambit.stop()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_or_keeps_silent_when_asked_for_its_revision_is_an_old_one() -> Result<()>
{
    for manner in ["dies", "silent"] {
        let stage = Stage::set(&format!(", --discover, {manner}"), "")?;
        let ana = stage.peer("ana").await?;
        assert_eq!(call(&ana, "echo", manner).await?, (false, manner.to_owned()));
        let pinned = stage.home.done(&["upstream", "pin", "local"])?;
        assert!(!pinned.is_empty());
        stage.ambit.stop()?;
    }
    Ok(())
}
