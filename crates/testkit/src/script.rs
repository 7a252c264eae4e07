//! An agent's MCP client made with the official TypeScript SDKs, run by Node.js, one step at a time.

use crate::{peer::ClientEra, process::built};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// A connected TypeScript client. It ends when it is dropped.
pub struct Script {
    child: Child,
    steps: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    /// The protocol version that was agreed.
    pub version: String,
}

/// Where `cargo xtask test` installs the TypeScript peers.
fn place() -> Result<PathBuf> {
    let any = built("rmcp-upstream")?;
    let found = any
        .ancestors()
        .map(|dir| dir.join("peers/ts"))
        .find(|dir| dir.join("node_modules").is_dir());
    found.context("the TypeScript peers are not installed: `cargo xtask test --only tools` does it")
}

impl Script {
    /// Connects with a token, and with the agent's private JWK if the token is bound.
    pub fn connect(url: &str, era: ClientEra, token: &str, jwk: Option<&Value>) -> Result<Script> {
        let settings = json!({ "era": era.as_str(), "url": url, "token": token, "jwk": jwk });
        let mut child = Command::new("node")
            .arg(place()?.join("agent.mjs"))
            .arg(settings.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run node")?;
        let steps = child.stdin.take();
        let output = child.stdout.take().context("no output")?;
        let answers = BufReader::new(output).lines();
        let mut script = Script { child, steps, answers, version: String::new() };
        let first = script.answer()?;
        match first.get("connected").and_then(Value::as_str) {
            Some(version) => script.version = version.to_owned(),
            None => bail!("the client did not connect: {first}"),
        }
        Ok(script)
    }

    /// The names of the tools shown.
    pub fn tools(&mut self) -> Result<Vec<String>> {
        let answer = self.step(&json!({ "list": true }))?;
        let names =
            answer.get("tools").and_then(Value::as_array).with_context(|| answer.to_string())?;
        Ok(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Calls a tool; the result as the SDK gave it.
    pub fn call(&mut self, tool: &str, arguments: &Value) -> Result<Value> {
        let answer = self.step(&json!({ "call": tool, "arguments": arguments }))?;
        answer
            .get("result")
            .cloned()
            .with_context(|| format!("the call of `{tool}` failed: {answer}"))
    }

    /// One step and its answer.
    pub fn step(&mut self, step: &Value) -> Result<Value> {
        let steps = self.steps.as_mut().context("the client has ended")?;
        writeln!(steps, "{step}")?;
        steps.flush()?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Value> {
        let line = self.answers.next().context("the client ended")??;
        serde_json::from_str(&line).with_context(|| format!("not JSON: {line}"))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.steps.take());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The text parts of a result, joined.
#[must_use]
pub fn text(result: &Value) -> String {
    let parts = result.get("content").and_then(Value::as_array);
    let texts = parts.into_iter().flatten().filter_map(|part| part.get("text")?.as_str());
    texts.collect::<Vec<_>>().join("\n")
}
