//! Agents made with LangGraph and the OpenAI Agents SDK, default settings and a scripted model: whatever becomes of
//! their calls, no run ends by an exception. First at the gate itself, then through a local door.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use testkit::{
    driven::{Framework, LANGCHAIN_MCP, LANGCHAIN_MCP_ADAPTERS, OPENAI_AGENTS, Run, Turn, Way},
    process::{Ambit, Home, StandIn, built},
    upstream::mcp::Era,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Life of a token at the local door, in seconds.
const LIFE: u64 = 4;

const NO_MAIL_OUTSIDE: &str = r#"
@id("no-mail-outside")
@reason("mail stays inside the company")
forbid (principal, action == Action::"desk.send_mail", resource)
when { context.args has to && context.args.to like "*@evil.example" };
"#;

fn config(desk: &str, mail: &str) -> String {
    let agent = |name: &str, credentials: &str| {
        format!(
            "  {name}:\n    purpose: Pay and write to customers\n    owner: group:it\n    boundary: all\n    \
             only: [\"desk.*\", desk.transfer]\n    credentials: {{ {credentials} }}\n"
        )
    };
    format!(
        "version: 1\nhumans: {{ people: {{ dana: {{ groups: [it, leads] }} }} }}\nagents:\n{}{}upstreams:\n  desk:\n    \
         mcp: http://{desk}/mcp\n    actions:\n      echo: {{ effect: read, risk: low }}\n      \
         send_mail: {{ effect: send, risk: {mail} }}\n      \
         transfer: {{ effect: transfer, risk: high, approval: leads, show: [to, amount] }}\n      \
         \"*\": {{ risk: prohibited }}\nboundaries:\n  all: {{ upstreams: [desk] }}\n\
         approvals:\n  leads: {{ approvers: group:leads }}\n",
        agent("bearer", "proof: none"),
        agent("bound", &format!("ttl: {LIFE}s")),
    )
}

/// A gate, an upstream with its log, and a local door for the agent `bound`.
struct Stage {
    home: Home,
    ambit: Option<Ambit>,
    desk: StandIn,
    door: Door,
    _logs: tempfile::TempDir,
}

struct Door {
    child: Child,
    base: String,
}

impl Door {
    fn open(home: &Home) -> Result<Door> {
        let mut command = Command::new(built("ambit")?);
        command.args(["bridge", "--agent", "bound", "--listen", "127.0.0.1:0"]);
        command.env("AMBIT_DATA", home.data()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let base = line.trim().strip_prefix("ready ").context("the door is not ready")?.to_owned();
        Ok(Door { child, base })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Stage {
    fn set() -> Result<Stage> {
        let logs = tempfile::tempdir()?;
        let desk = StandIn::mcp(logs.path(), "desk", Era::Modern)?;
        let home =
            Home::new(&config(&desk.address, "medium"))?.with_policy("mail", NO_MAIL_OUTSIDE)?;
        let ambit = Some(home.start()?);
        let door = Door::open(&home)?;
        Ok(Stage { home, ambit, desk, door, _logs: logs })
    }

    /// Makes mail a tool that exists, or one that does not.
    fn show_mail(&self, risk: &str) -> Result<()> {
        // Not in the file that `dev` watches: what is applied here is applied once.
        let place = self.home.path().join("applied");
        std::fs::create_dir_all(place.join("policies"))?;
        std::fs::write(place.join("policies/mail.cedar"), NO_MAIL_OUTSIDE)?;
        let file = place.join("ambit.yaml");
        std::fs::write(&file, config(&self.desk.address, risk))?;
        self.home.done(&["apply", &file.to_string_lossy()]).map(drop)
    }

    fn transfers(&self, nonce: &str) -> usize {
        let all = self.desk.oracle.calls("transfer").into_iter();
        all.filter(|arguments| arguments.get("nonce").and_then(Value::as_str) == Some(nonce))
            .count()
    }

    fn say_yes(&mut self, nonce: &str) -> Result<()> {
        let terminal = &mut self.ambit.as_mut().context("no gate")?.terminal;
        let at = terminal.wait_for(nonce, 0, PATIENCE)?;
        let at = terminal.wait_for("[y/n]", at, PATIENCE)?;
        terminal.enter("y")?;
        terminal.wait_for("approved once", at, PATIENCE).map(drop)
    }

    /// A `high` tool for who holds a key: asked, answered and done once.
    fn pays(&mut self, run: &mut Run, name: &str) -> Result<()> {
        let transfer = json!({ "to": "ana", "amount": 7, "nonce": name });
        let told = run.call("transfer", transfer.clone())?;
        ensure!(told.contains("ask_"), "{name}: {told}");
        ensure!(self.transfers(name) == 0, "{name}: nothing before the answer");
        self.say_yes(name)?;
        let told = run.call("transfer", transfer)?;
        ensure!(told.contains("transferred 7 to ana"), "{name}: {told}");
        ensure!(self.transfers(name) == 1, "{name}: once");
        Ok(())
    }

    /// The same for who shows a token that is bound to nothing: nobody is asked, and the way out is named.
    fn pays_never(&mut self, run: &mut Run, name: &str) -> Result<()> {
        let transfer = json!({ "to": "ana", "amount": 7, "nonce": name });
        let told = run.call("transfer", transfer)?;
        ensure!(
            told.contains("bearer_capped") && told.contains("`ambit bridge`"),
            "{name}: {told}"
        );
        ensure!(!told.contains("ask_") && self.transfers(name) == 0, "{name}: {told}");
        Ok(())
    }

    /// What happens to every run: allowed, denied, and a tool hidden in its midst. The agent is another version
    /// then: a client with a token of its own is told that, a bridge renews and is told that there is no such tool.
    fn common(&mut self, run: &mut Run, name: &str, hidden: &str) -> Result<()> {
        let told = run.call("echo", json!({ "text": name }))?;
        ensure!(told.contains(name), "{name}: {told}");

        let outside = json!({ "to": format!("{name}@evil.example"), "subject": "s", "body": "b" });
        let told = run.call("send_mail", outside.clone())?;
        ensure!(told.contains("forbidden") && told.contains("Trace"), "{name}: {told}");
        let told = run.call("send_mail", outside)?;
        ensure!(told.contains("same call"), "{name}: a loop is told that it is one: {told}");

        self.show_mail("prohibited")?;
        let inside = json!({ "to": "ana@example", "subject": "s", "body": "b" });
        let told = run.call("send_mail", inside)?;
        ensure!(told.contains(hidden), "{name}: {told}");
        self.show_mail("medium")?;
        Ok(())
    }

    fn direct(&mut self, framework: Framework, name: &str) -> Result<()> {
        let url = self.home.mcp_door("desk");
        let token = self.home.token("bearer", &url, &[])?;
        let headers = vec![("Authorization".to_owned(), format!("Bearer {token}"))];
        let mut run = Run::begin(framework, &Way::Url(url, headers))?;
        ensure!(run.turn()? == Turn::Model(None), "{name} begins");
        self.pays_never(&mut run, name)?;
        self.common(&mut run, name, "earlier version")?;
        self.finished(&mut run, name)
    }

    fn through_the_door(&mut self, framework: Framework, name: &str) -> Result<()> {
        let url = format!("{}/mcp/desk", self.door.base);
        let mut run = Run::begin(framework, &Way::Url(url, Vec::new()))?;
        ensure!(run.turn()? == Turn::Model(None), "{name} begins");
        self.pays(&mut run, name)?;
        self.common(&mut run, name, "Unknown tool: send_mail")?;

        let began = Instant::now();
        let mut calls = 0;
        while began.elapsed() < Duration::from_secs(LIFE + 1) {
            let told = run.call("echo", json!({ "text": format!("{name} {calls}") }))?;
            ensure!(
                told.contains(&format!("{name} {calls}")),
                "{name}: past a token's end: {told}"
            );
            calls += 1;
            std::thread::sleep(Duration::from_millis(400));
        }

        self.ambit.take().context("no gate")?.running.kill()?;
        let told = run.call("echo", json!({ "text": format!("{name} lost") }))?;
        ensure!(told.contains("Nothing was executed; try again in"), "{name}: {told}");
        self.ambit = Some(self.home.start()?);
        let told = run.call("echo", json!({ "text": format!("{name} again") }))?;
        ensure!(told.contains(&format!("{name} again")), "{name}: {told}");
        ensure!(!self.desk.oracle.text().contains(&format!("{name} lost")), "nothing was queued");
        self.finished(&mut run, name)
    }

    fn finished(&self, run: &mut Run, name: &str) -> Result<()> {
        let ended = run.finish(name)?;
        ensure!(ended == Turn::Done(name.to_owned()), "{name} ended otherwise: {ended:?}");
        Ok(())
    }
}

/// Both ways in, of one framework; each of the tests below is one, so that they run side by side.
fn no_run_ends_by_an_exception(framework: Framework) -> Result<()> {
    let mut stage = Stage::set()?;
    let name = format!("{}-{}", framework.name, framework.mode);
    stage.direct(framework, &format!("{name}-direct"))?;
    stage.through_the_door(framework, &format!("{name}-door"))?;
    ensure!(!stage.desk.oracle.text().contains("evil.example"), "what is denied does not arrive");
    Ok(())
}

#[test]
fn langchain_mcp() -> Result<()> {
    no_run_ends_by_an_exception(LANGCHAIN_MCP)
}

#[test]
fn langchain_mcp_in_the_older_era() -> Result<()> {
    no_run_ends_by_an_exception(Framework { mode: "legacy", ..LANGCHAIN_MCP })
}

#[test]
fn langchain_mcp_adapters() -> Result<()> {
    no_run_ends_by_an_exception(LANGCHAIN_MCP_ADAPTERS)
}

#[test]
fn openai_agents() -> Result<()> {
    no_run_ends_by_an_exception(OPENAI_AGENTS)
}

#[test]
fn openai_agents_over_the_older_sdk() -> Result<()> {
    no_run_ends_by_an_exception(Framework { place: "legacy", mode: "legacy", ..OPENAI_AGENTS })
}

#[test]
fn a_framework_starts_the_bridge_as_its_server() -> Result<()> {
    let stage = Stage::set()?;
    let program = built("ambit")?.to_string_lossy().into_owned();
    let data = stage.home.data().to_string_lossy().into_owned();
    let command: Vec<String> =
        ["bridge", "--agent", "bound", "--upstream", "desk", "--data", &data]
            .into_iter()
            .map(str::to_owned)
            .collect();
    for framework in [LANGCHAIN_MCP, LANGCHAIN_MCP_ADAPTERS, OPENAI_AGENTS] {
        let name = format!("{}-{}-{}", framework.name, framework.place, framework.mode);
        let command = std::iter::once(program.clone()).chain(command.clone()).collect();
        let mut run = Run::begin(framework, &Way::Command(command))?;
        ensure!(run.turn()? == Turn::Model(None), "{name} begins");
        let told = run.call("echo", json!({ "text": name }))?;
        ensure!(told.contains(&name), "{name}: {told}");
        let outside = json!({ "to": "x@evil.example", "subject": "s", "body": "b" });
        let told = run.call("send_mail", outside)?;
        ensure!(told.contains("forbidden"), "{name}: {told}");
        stage.finished(&mut run, &name)?;
    }
    Ok(())
}
