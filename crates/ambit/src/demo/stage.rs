//! The demo's world: upstreams, gate, agents and their tokens, in a directory that is removed at the end.

use super::{
    agent::{Agent, Door, Pass},
    logs::{Log, Reached},
    process::Process,
};
use crate::{
    cli::Guard,
    control::{self, Request},
    output::Output,
};
use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use identity::{AgentKey, Algorithm};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    fs::DirBuilder,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// The upstreams, as the declared state names them; the directory speaks plain HTTP, the others MCP.
const UPSTREAMS: [&str; 4] = ["tickets", "mail", "paste", "directory"];
/// Those that the agent's work needs.
const WORK: [&str; 3] = ["tickets", "mail", "directory"];

/// How many lines of the gate are shown if the story breaks off: a screen.
const SAID_LINES: usize = 30;

/// Everything that the acts play with.
pub(super) struct Stage {
    /// The guard that is off.
    pub(super) guard_off: Option<Guard>,
    /// The demo's directory.
    pub(super) directory: PathBuf,
    /// Ambit's data directory.
    pub(super) data: PathBuf,
    /// Ambit's base URL.
    pub(super) base: String,
    /// The agent under Ambit, once act 3 has opened its task.
    pub(super) helpdesk: Option<Agent>,
    /// How many acts of that agent the upstreams' own logs show.
    pub(super) served_for_helpdesk: usize,
    urls: BTreeMap<&'static str, String>,
    secrets: BTreeMap<&'static str, String>,
    logs: BTreeMap<&'static str, Log>,
    upstreams: Vec<Process>,
    gate: Process,
}

impl Stage {
    /// Starts everything.
    pub(super) async fn build(guard_off: Option<Guard>) -> anyhow::Result<Stage> {
        let directory = std::env::temp_dir().join(format!("ambit-demo-{}", token(4)?));
        let mut private = DirBuilder::new();
        private.mode(0o700);
        private.create(&directory).context("the demo's directory cannot be made")?;
        private.create(directory.join("secrets"))?;
        let (mut urls, mut secrets, mut logs) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut upstreams = Vec::new();
        for name in UPSTREAMS {
            let secret = token(16)?;
            write(&directory.join("secrets").join(name), &secret)?;
            let log = directory.join(format!("{name}.log"));
            let mut process = upstream(name, &directory, &log)?;
            let ready: Value = serde_json::from_str(&process.line().await?)?;
            let address = ready
                .get("listen")
                .and_then(Value::as_str)
                .context("an upstream does not say where it is")?;
            let path = if name == "directory" { "" } else { "/mcp" };
            urls.insert(name, format!("http://{address}{path}"));
            secrets.insert(name, secret);
            logs.insert(name, Log::new(&log));
            upstreams.push(process);
        }
        write(&directory.join("ambit.yaml"), &declared(&urls, guard_off))?;
        let data = directory.join("data");
        let (gate, base) = gate(&directory, &data, guard_off).await?;
        let helpdesk = None;
        let served_for_helpdesk = 0;
        Ok(Stage {
            guard_off,
            directory,
            data,
            base,
            helpdesk,
            served_for_helpdesk,
            urls,
            secrets,
            logs,
            upstreams,
            gate,
        })
    }

    /// The agent with the upstreams' own credentials, as agents are run without Ambit.
    pub(super) fn unguarded(&self) -> Agent {
        let door = |(name, url): (&&'static str, &String)| {
            let secret = self.secrets.get(name).cloned().unwrap_or_default();
            (*name, Door { url: url.clone(), pass: Pass::Secret(secret) })
        };
        Agent { doors: self.urls.iter().map(door).collect() }
    }

    /// An agent behind Ambit, with a token for each door that its work needs.
    pub(super) async fn guarded(&self, agent: &str, task: Option<&str>) -> anyhow::Result<Agent> {
        let mut doors = BTreeMap::new();
        for name in WORK {
            doors.insert(name, self.guarded_door(agent, name, task).await?);
        }
        Ok(Agent { doors })
    }

    /// One door, with a token for it; an error if Ambit gives none.
    pub(super) async fn guarded_door(
        &self,
        agent: &str,
        upstream: &str,
        task: Option<&str>,
    ) -> anyhow::Result<Door> {
        let url = self.door(upstream);
        let pass = self.pass(agent, &url, task).await?;
        Ok(Door { url, pass })
    }

    /// Ambit's door for an upstream.
    pub(super) fn door(&self, upstream: &str) -> String {
        let edge = if upstream == "directory" { "http" } else { "mcp" };
        format!("{}/{edge}/{upstream}", self.base)
    }

    async fn pass(&self, agent: &str, audience: &str, task: Option<&str>) -> anyhow::Result<Pass> {
        let issued = self
            .ask(Request::Token {
                agent: agent.into(),
                audience: audience.into(),
                task: task.map(str::to_owned),
                url: None,
                method: "POST".into(),
            })
            .await?;
        let token = text(&issued, "token")?;
        if text(&issued, "type")? == "Bearer" {
            return Ok(Pass::Bearer(token));
        }
        let jwk = self.ask(Request::AgentKey { agent: agent.into() }).await?;
        let seed = URL_SAFE_NO_PAD.decode(text(&jwk, "d")?)?;
        let seed: [u8; 32] =
            seed.try_into().ok().context("the agent's key is not an Ed25519 key")?;
        let key = Box::new(AgentKey::from_random(Algorithm::EdDsa, &seed)?);
        Ok(Pass::Bound { token, key })
    }

    /// Opens a task of the declared kind for a ticket of bob's.
    pub(super) async fn open_task(&self, agent: &str, ticket: &str) -> anyhow::Result<String> {
        let params = json!({ "ticket": ticket, "user": "bob", "mail": "bob@corp.example" });
        let params: Map<String, Value> = params.as_object().cloned().unwrap_or_default();
        let opened = self
            .ask(Request::TaskOpen {
                agent: agent.into(),
                intent: "resolve_ticket".into(),
                user: Some("ana".into()),
                trigger: Some(format!("ticket {ticket} was assigned to the help desk")),
                params,
            })
            .await?;
        text(&opened, "task")
    }

    /// Asks the gate over its control socket, as the command line does.
    pub(super) async fn ask(&self, request: Request) -> anyhow::Result<Value> {
        control::ask_running(&self.data, &request).await
    }

    /// What reached the upstreams since the last look, from their own logs.
    pub(super) fn reached(&mut self) -> anyhow::Result<Reached> {
        let mut news = |name| self.logs.get_mut(name).map_or_else(|| Ok(Vec::new()), Log::news);
        Ok(Reached {
            tickets: news("tickets")?,
            directory: news("directory")?,
            mail: news("mail")?,
            paste: news("paste")?,
        })
    }

    /// Stays up until the viewer has seen enough.
    pub(super) async fn stay(&self, output: &Output) -> anyhow::Result<()> {
        let data = self.data.display();
        output.line("")?;
        output.line("The gate stays up. In another terminal:")?;
        for (command, what) in [
            (
                format!("ambit why --last --agent helpdesk --data {data}"),
                "why its last call was refused",
            ),
            (format!("ambit trace list --data {data}"), "what all three agents did"),
            (
                format!("ambit unfreeze helpdesk --reason 'looked at it' --data {data}"),
                "let it act again",
            ),
            (format!("ambit ledger verify --data {data}"), "every entry, offline"),
            (format!("cat {}/ambit.yaml", self.directory.display()), "all that was declared"),
        ] {
            output.line(&format!("  {command}\n      {what}"))?;
        }
        output.line("Ctrl-C ends it and removes its directory. Your own agent: write an ambit.yaml, then `ambit dev`.")?;
        tokio::signal::ctrl_c().await?;
        Ok(())
    }

    /// The last lines of what the gate said on its stderr.
    pub(super) fn gate_said(&self) -> String {
        let said = std::fs::read_to_string(self.directory.join("gate.log")).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        lines
            .iter()
            .skip(lines.len().saturating_sub(SAID_LINES))
            .map(|line| format!("{line}\n"))
            .collect()
    }

    /// Ends all processes and removes the directory.
    pub(super) async fn strike(self) {
        self.gate.end().await;
        for upstream in self.upstreams {
            upstream.end().await;
        }
        if let Err(error) = std::fs::remove_dir_all(&self.directory) {
            tracing::warn!(%error, "the demo's directory could not be removed");
        }
    }
}

fn upstream(name: &str, directory: &Path, log: &Path) -> anyhow::Result<Process> {
    let (log, secret) =
        (log.display().to_string(), directory.join("secrets").join(name).display().to_string());
    let says = directory.join(format!("{name}.out"));
    let mut arguments = vec!["__demo-mcp", "--kind", name];
    if name == "directory" {
        arguments = vec!["__demo-http"];
    }
    arguments.extend(["--log", &log, "--credential-file", &secret]);
    Process::start(&arguments, &says)
}

async fn gate(
    directory: &Path,
    data: &Path,
    guard_off: Option<Guard>,
) -> anyhow::Result<(Process, String)> {
    let path = |name: &str| directory.join(name).display().to_string();
    let (config, secrets, data, says) =
        (path("ambit.yaml"), path("secrets"), data.display().to_string(), path("gate.log"));
    let mut arguments =
        vec!["dev", "--config", &config, "--data", &data, "--secrets-dir", &secrets];
    arguments.extend(["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    arguments.extend(["--api-listen", "127.0.0.1:0"]);
    if guard_off == Some(Guard::Freeze) {
        arguments.extend(["--guard-off", "revocation"]);
    }
    let mut process = Process::start(&arguments, Path::new(&says))?;
    loop {
        match process.line().await {
            Ok(line) => {
                if let Some(base) = line.strip_prefix("ready ") {
                    return Ok((process, base.trim().to_owned()));
                }
            }
            Err(error) => {
                let said = std::fs::read_to_string(&says).unwrap_or_default();
                if let Err(error) = std::fs::remove_dir_all(directory) {
                    tracing::warn!(%error, "the demo's directory could not be removed");
                }
                return Err(
                    error.context(format!("the gate of the demo did not start; it said:\n{said}"))
                );
            }
        }
    }
}

/// The declared state of the story; a guard that is off is a line that is missing or wider.
fn declared(urls: &BTreeMap<&'static str, String>, guard_off: Option<Guard>) -> String {
    let url = |name| urls.get(name).map_or("", String::as_str);
    let off = |guard| guard_off == Some(guard);
    let proof = if off(Guard::Proof) { "none" } else { "dpop" };
    let to = if off(Guard::Intent) { "" } else { " to: $mail " };
    let (boundary, paste) =
        if off(Guard::Boundary) { (", paste", "\n      paste.create: {}") } else { ("", "") };
    format!(
        r#"version: 1
humans:
  people:
    ana: {{ groups: [employees] }}
    bob: {{ groups: [employees] }}
    dana: {{ groups: [it-support] }}
agents:
  helpdesk:
    purpose: Resolve IT support tickets for employees
    owner: user:dana
    users: group:employees # every call is for one of them, within a task
    boundary: it-support
    credentials: {{ proof: {proof}, ttl: 10m }}
  role-only:
    purpose: The same agent with an ordinary role, for comparison
    owner: user:dana
    boundary: it-support
    only: [tickets.read, directory.reset_password, mail.send]
  bearer-twin:
    purpose: The same agent with a token that anyone can use, for comparison
    owner: user:dana
    boundary: it-support
    credentials: {{ proof: none, ttl: 10m }}
intents:
  resolve_ticket:
    params: {{ ticket: string, user: string, mail: string }}
    allow:
      tickets.read: {{ id: $ticket }}
      directory.reset_password: {{ user: $user }}
      mail.send: {{{to}}}{paste}
upstreams:
  tickets:
    mcp: {tickets}
    credential: file:tickets
    actions:
      read: {{ effect: read, risk: low, resource: {{ type: ticket, id: $id }} }}
  mail:
    mcp: {mail}
    credential: file:mail
    actions:
      send: {{ effect: send, sink: external, risk: medium, resource: {{ type: mailbox, id: $to }} }}
  paste:
    mcp: {paste_url}
    credential: file:paste
    actions:
      create: {{ effect: send, sink: external, risk: medium }}
  directory:
    http: {directory}
    credential: file:directory
    actions:
      reset_password:
        route: POST /users/{{user}}/password-reset
        effect: auth-change
        risk: medium
        resource: {{ type: account, id: $user }}
boundaries:
  it-support: {{ upstreams: [tickets, mail, directory{boundary}] }}
"#,
        tickets = url("tickets"),
        mail = url("mail"),
        paste_url = url("paste"),
        directory = url("directory"),
    )
}

/// A file that only this user can read.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.with_context(|| format!("`{}` cannot be written", path.display()))?;
    Ok(file.write_all(text.as_bytes())?)
}

fn token(bytes: usize) -> anyhow::Result<String> {
    let mut random = vec![0_u8; bytes];
    aws_lc_rs::rand::fill(&mut random).ok().context("no randomness")?;
    Ok(hex::encode(random))
}

/// A text member of an answer.
pub(super) fn text(value: &Value, member: &str) -> anyhow::Result<String> {
    let text = value.get(member).and_then(Value::as_str);
    text.map(str::to_owned).with_context(|| format!("the gate's answer has no `{member}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_of_the_declared_state_is_valid() {
        let urls = UPSTREAMS.iter().map(|name| (*name, "http://127.0.0.1:1".to_owned())).collect();
        for guard in [
            None,
            Some(Guard::Intent),
            Some(Guard::Proof),
            Some(Guard::Freeze),
            Some(Guard::Ledger),
            Some(Guard::Boundary),
        ] {
            let text = declared(&urls, guard);
            if let Err(rejected) = ::declared::read("ambit.yaml", &text, Vec::new()) {
                panic!("{guard:?}: {rejected}");
            }
        }
    }
}
