//! Tasks on a running gate: which calls they bound, whose reference counts, and what the upstream's own log shows.

#![cfg(test)]

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::time::{Duration, Instant};
use testkit::process::{Ambit, Home, StandIn};

const CONFIG: &str = r#"version: 1
humans:
  people:
    ana: { groups: [staff] }
    omar: { groups: [staff] }
agents:
  clerk: { purpose: Answer tickets, owner: "group:it", boundary: all, users: "group:staff", credentials: { proof: none } }
  rival: { purpose: Answer tickets, owner: "group:it", boundary: all, users: "group:staff", credentials: { proof: none } }
intents:
  answer:
    params: { ticket: string }
    allow: { desk.read: { id: $ticket }, desk.watch: {} }
  look: { allow: { desk.read: {} } }
upstreams:
  desk:
    http: http://DESK
    actions:
      read: { route: "GET /tickets/{id}", effect: read, risk: low }
      watch: { route: GET /events, effect: read, risk: low }
boundaries: { all: { upstreams: [desk] } }
"#;

/// A gate with a help desk behind it.
struct Scene {
    home: Home,
    desk: StandIn,
    gate: Ambit,
    client: reqwest::Client,
    _logs: tempfile::TempDir,
}

/// An answer without what differs between any two.
#[derive(Debug, PartialEq)]
struct Told {
    status: u16,
    code: String,
    detail: String,
}

impl Scene {
    fn open() -> Result<Scene> {
        let logs = tempfile::tempdir()?;
        let desk = StandIn::http(logs.path(), "desk")?;
        let home = Home::new(&CONFIG.replace("DESK", &desk.address))?;
        let gate = home.start()?;
        Ok(Scene { home, desk, gate, client: reqwest::Client::new(), _logs: logs })
    }

    fn task(&self, agent: &str, user: &str, ticket: &str) -> Result<String> {
        let (trigger, ticket) = (format!("ticket {ticket}"), format!("ticket={ticket}"));
        let open = ["task", "open", "--agent", agent, "--intent", "answer", "--for", user];
        let opened =
            self.home.json(&[open.as_slice(), &["--trigger", &trigger, &ticket]].concat())?;
        opened["task"].as_str().map(str::to_owned).context("no task")
    }

    fn token(&self, agent: &str, task: Option<&str>) -> Result<String> {
        let more: Vec<&str> = task.map_or(Vec::new(), |task| vec!["--task", task]);
        self.home.token(agent, &self.home.http_door("desk"), &more)
    }

    async fn get(&self, path: &str, token: &str, task: Option<&str>) -> Result<reqwest::Response> {
        let url = format!("{}/{path}", self.home.http_door("desk"));
        let request = self.client.get(url).bearer_auth(token);
        let request = match task {
            Some(task) => request.header("Ambit-Task", task),
            None => request,
        };
        Ok(request.send().await?)
    }

    async fn read(&self, ticket: &str, token: &str, task: Option<&str>) -> Result<Told> {
        let answer = self.get(&format!("tickets/{ticket}"), token, task).await?;
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap_or_default();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        Ok(Told { status, code: text("code"), detail: text("detail") })
    }

    /// How often a ticket was read at the desk.
    fn reads(&self, ticket: &str) -> usize {
        let all = self.desk.oracle.of("request").into_iter();
        all.filter(|request| request["path"] == format!("/tickets/{ticket}")).count()
    }

    /// The rows of a task, each as human, trigger and decision.
    fn rows(&self, task: &str) -> Result<Vec<[String; 3]>> {
        let rows = self.home.json(&["trace", "list", "--task", task])?;
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let row = |row: &Value| ["on_behalf_of", "trigger", "decision"].map(|name| text(row, name));
        Ok(rows.as_array().context("rows")?.iter().map(row).collect())
    }
}

fn allowed(told: &Told) -> bool {
    told.status == 200
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_names_task_and_human_and_reaches_no_further() -> Result<()> {
    let scene = Scene::open()?;
    let (anas, omars) = (scene.task("clerk", "ana", "4711")?, scene.task("clerk", "omar", "4712")?);
    let token = scene.token("clerk", None)?;
    let alone = scene.read("4711", &token, None).await?;
    ensure!(alone.code == "user_not_served", "a token without a task is for nobody: {alone:?}");

    let (one, other) = tokio::join!(
        scene.read("4711", &token, Some(&anas)),
        scene.read("4712", &token, Some(&omars))
    );
    let (one, other) = (one?, other?);
    ensure!(allowed(&one) && allowed(&other), "{one:?} {other:?}");
    let crossed = scene.read("4712", &token, Some(&anas)).await?;
    ensure!(crossed.code == "outside_intent", "{crossed:?}");
    ensure!((scene.reads("4711"), scene.reads("4712")) == (1, 1), "each its own, once");

    let row = |user: &str, ticket: &str, decision: &str| {
        [user.to_owned(), format!("ticket {ticket}"), decision.to_owned()]
    };
    let rows = scene.rows(&anas)?;
    ensure!(rows == [row("ana", "4711", "allow"), row("ana", "4711", "deny")], "{rows:?}");
    let rows = scene.rows(&omars)?;
    ensure!(rows == [row("omar", "4712", "allow")], "{rows:?}");
    scene.gate.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_reference_of_the_caller_is_refused_alike() -> Result<()> {
    let scene = Scene::open()?;
    let (anas, omars) = (scene.task("clerk", "ana", "4711")?, scene.task("clerk", "omar", "4712")?);
    let (foreign, ended) =
        (scene.task("rival", "ana", "4711")?, scene.task("clerk", "ana", "4711")?);
    scene.home.done(&["task", "end", &ended])?;
    let (plain, for_ana) = (scene.token("clerk", None)?, scene.token("clerk", Some(&anas))?);
    let rivals = scene.token("rival", None)?;

    ensure!(allowed(&scene.read("4711", &plain, Some(&anas)).await?), "the twin: its own");
    ensure!(allowed(&scene.read("4711", &rivals, Some(&foreign)).await?), "the twin: the other's");
    ensure!(allowed(&scene.read("4711", &for_ana, Some(&anas)).await?), "the twin: the token's");
    let before = scene.reads("4711") + scene.reads("4712");
    let unknown = scene.read("4711", &plain, Some("tsk_06b7zk8d1v7m3x2q9n4t5r6s7w")).await?;
    ensure!(unknown.status == 403 && unknown.code == "outside_intent", "{unknown:?}");
    let wrong = [
        ("another agent's", "4711", &plain, &foreign),
        ("one's own at another agent", "4711", &rivals, &anas),
        ("another human's, with a token for ana", "4712", &for_ana, &omars),
        ("an ended one", "4711", &plain, &ended),
    ];
    for (what, ticket, token, task) in wrong {
        let told = scene.read(ticket, token, Some(task)).await?;
        ensure!(told == unknown, "{what}: {told:?}");
    }
    ensure!(scene.reads("4711") + scene.reads("4712") == before, "nothing left");
    scene.gate.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_beside_a_token_for_a_task_is_bound_by_both() -> Result<()> {
    let scene = Scene::open()?;
    let (first, second) =
        (scene.task("clerk", "ana", "4711")?, scene.task("clerk", "ana", "4712")?);
    let open = ["task", "open", "--agent", "clerk", "--intent", "look", "--for", "ana"];
    let wide = scene.home.json(&open)?["task"].as_str().context("no task")?.to_owned();
    let token = scene.token("clerk", Some(&first))?;
    // Whatever the reference allows, the token's own task still binds the ticket.
    ensure!(allowed(&scene.read("4711", &token, Some(&wide)).await?), "both allow it");
    let told = scene.read("4712", &token, Some(&wide)).await?;
    ensure!(told.code == "outside_intent", "{told:?}");
    for ticket in ["4711", "4712"] {
        let told = scene.read(ticket, &token, Some(&second)).await?;
        ensure!(told.code == "outside_intent", "the two have no ticket in common: {told:?}");
    }
    ensure!((scene.reads("4711"), scene.reads("4712")) == (1, 0));
    let plain = scene.token("clerk", None)?;
    ensure!(allowed(&scene.read("4712", &plain, Some(&wide)).await?), "the twin without the task");
    scene.gate.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_task_ends_its_reach_and_its_streams() -> Result<()> {
    let scene = Scene::open()?;
    let (ends, stays) = (scene.task("clerk", "ana", "4711")?, scene.task("clerk", "ana", "4711")?);
    let (of_task, plain) = (scene.token("clerk", Some(&ends))?, scene.token("clerk", None)?);
    let mut by_token = scene.get("events", &of_task, None).await?;
    let mut by_reference = scene.get("events", &plain, Some(&ends)).await?;
    let mut other = scene.get("events", &plain, Some(&stays)).await?;
    for stream in [&mut by_token, &mut by_reference, &mut other] {
        ensure!(stream.status() == 200 && stream.chunk().await?.is_some(), "it has begun");
    }
    let begun = Instant::now();
    let ended = scene.home.json(&["task", "end", &ends, "--reason", "done"])?;
    ensure!(ended["calls_ended"] == true, "{ended}");
    for stream in [&mut by_token, &mut by_reference] {
        let end = async { while let Ok(Some(_)) = stream.chunk().await {} };
        tokio::time::timeout(Duration::from_secs(5), end).await.context("a stream goes on")?;
    }
    ensure!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let before = scene.reads("4711");
    let told = scene.read("4711", &of_task, None).await?;
    ensure!(told.code == "revoked", "{told:?}");
    let told = scene.read("4711", &plain, Some(&ends)).await?;
    ensure!(told.code == "outside_intent", "{told:?}");
    ensure!(scene.token("clerk", Some(&ends)).is_err(), "no token for it any more");
    ensure!(scene.reads("4711") == before, "nothing left");

    ensure!(other.chunk().await?.is_some(), "the twin goes on");
    ensure!(allowed(&scene.read("4711", &plain, Some(&stays)).await?), "the twin is open");
    drop(other);
    scene.gate.stop()
}
