//! An agent made with a stranger's framework, run by Python, whose model is the test.

use crate::process::installed;
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    time::Duration,
};

/// How long one turn may take on a busy machine; a start imports a whole framework.
const TURN: Duration = Duration::from_secs(90);

/// Which framework, with which version of the MCP SDK below it.
#[derive(Clone, Copy, Debug)]
pub struct Framework {
    /// The folder of its installation: `modern` has mcp 2.3, `legacy` has mcp 1.30.
    pub place: &'static str,
    /// Its name for the script.
    pub name: &'static str,
    /// The era that it is told to speak, where it can be told.
    pub mode: &'static str,
}

/// LangGraph with the MCP client of LangChain 1.4, which speaks the newest revision where it can.
pub const LANGCHAIN_MCP: Framework =
    Framework { place: "modern", name: "langchain.mcp", mode: "auto" };

/// LangGraph with the MCP client before that.
pub const LANGCHAIN_MCP_ADAPTERS: Framework =
    Framework { place: "legacy", name: "langchain-mcp-adapters", mode: "legacy" };

/// The OpenAI Agents SDK over mcp 2.3.
pub const OPENAI_AGENTS: Framework =
    Framework { place: "modern", name: "openai-agents", mode: "auto" };

/// How the agent reaches its tools.
#[derive(Clone, Debug)]
pub enum Way {
    /// A URL, with headers on each request.
    Url(String, Vec<(String, String)>),
    /// A program that speaks MCP on its standard streams.
    Command(Vec<String>),
}

/// A run that has begun.
pub struct Run {
    child: Child,
    model: ChildStdin,
    lines: Receiver<Value>,
}

/// What the run waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The model's next step; with what the last tool said, if one was called.
    Model(Option<String>),
    /// Nothing: it ended with this text.
    Done(String),
    /// Nothing: it ended by an exception.
    Failed(String),
}

impl Run {
    /// Begins a run.
    pub fn begin(framework: Framework, way: &Way) -> Result<Run> {
        let python = installed(&format!("peers/py/{}/bin/python", framework.place))?;
        let script = installed("peers/py/agent.py")?;
        let mut settings = json!({ "framework": framework.name, "mode": framework.mode });
        let members = settings.as_object_mut().context("an object")?;
        match way {
            Way::Url(url, headers) => {
                let headers: serde_json::Map<String, Value> = headers
                    .iter()
                    .map(|(name, value)| (name.clone(), value.as_str().into()))
                    .collect();
                members.insert("url".into(), url.as_str().into());
                members.insert("headers".into(), headers.into());
            }
            Way::Command(command) => drop(members.insert("command".into(), command.clone().into())),
        }
        let mut command = Command::new(python);
        command.arg(script).arg(settings.to_string()).env("PYTHONUNBUFFERED", "1");
        command.env("LANGSMITH_TRACING", "false").env("OPENAI_AGENTS_DISABLE_TRACING", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot run Python")?;
        let model = child.stdin.take().context("no input")?;
        let output = child.stdout.take().context("no output")?;
        let (sender, lines) = sync_channel(64);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // A line that is no JSON is a framework's banner.
                if let Ok(value) = serde_json::from_str(&line)
                    && sender.send(value).is_err()
                {
                    return;
                }
            }
        });
        Ok(Run { child, model, lines })
    }

    /// Waits for the next turn.
    pub fn turn(&mut self) -> Result<Turn> {
        let line = self.lines.recv_timeout(TURN).context("the run says nothing")?;
        let text = |name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
        if let Some(done) = text("done") {
            return Ok(Turn::Done(done));
        }
        if let Some(failed) = text("failed") {
            return Ok(Turn::Failed(failed));
        }
        Ok(Turn::Model(text("last")))
    }

    /// The model calls a tool; gives what it is told.
    pub fn call(&mut self, tool: &str, arguments: Value) -> Result<String> {
        writeln!(self.model, "{}", json!({ "call": tool, "arguments": arguments }))?;
        match self.turn()? {
            Turn::Model(Some(told)) => Ok(told),
            other => bail!("the call of `{tool}` ended the run: {other:?}"),
        }
    }

    /// The model has nothing more to do; gives how the run ended.
    pub fn finish(&mut self, text: &str) -> Result<Turn> {
        writeln!(self.model, "{}", json!({ "finish": text }))?;
        self.turn()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
