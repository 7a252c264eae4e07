//! Scripted dialogues of strangers' clients with the fixture server, and what differs between two of them.

mod rmcp;

use crate::{
    oracle::Oracle,
    process::{Running, built, listening},
};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A client of some author in one revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speaker {
    /// `ts`, `py` or `rmcp`.
    pub author: &'static str,
    /// `v1` or `v2` of the author's SDK.
    pub sdk: &'static str,
    /// `modern` or `legacy`.
    pub era: &'static str,
}

/// Each client in each revision that it speaks.
pub const SPEAKERS: [Speaker; 8] = [
    speaker("ts", "v1", "legacy"),
    speaker("ts", "v2", "legacy"),
    speaker("ts", "v2", "modern"),
    speaker("py", "v1", "legacy"),
    speaker("py", "v2", "legacy"),
    speaker("py", "v2", "modern"),
    speaker("rmcp", "v3", "legacy"),
    speaker("rmcp", "v3", "modern"),
];

const fn speaker(author: &'static str, sdk: &'static str, era: &'static str) -> Speaker {
    Speaker { author, sdk, era }
}

impl Speaker {
    /// Its name in lists of differences.
    #[must_use]
    pub fn name(self) -> String {
        format!("{}-{}-{}", self.author, self.sdk, self.era)
    }

    /// Speaks the dialogue and gives what each step brought.
    pub fn speak(self, url: &str, nonce: &str) -> Result<Vec<Step>> {
        let settings = json!({ "sdk": self.sdk, "era": self.era, "url": url, "nonce": nonce });
        match self.author {
            "ts" => {
                let mut command = Command::new("node");
                command.arg(peers("ts")?.join("dialogue.mjs"));
                spoken(command, &settings)
            }
            "py" => {
                let mut command = Command::new("python3");
                let place = peers(&format!("py-{}", self.sdk))?;
                command.env("PYTHONPATH", &place).env("PYTHONDONTWRITEBYTECODE", "1");
                command.arg("-s").arg(place.join("dialogue.py"));
                spoken(command, &settings)
            }
            _ => rmcp::speak(self.era == "modern", url, nonce),
        }
    }
}

/// One step of a dialogue.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// What it brought.
    pub said: Value,
}

fn spoken(mut command: Command, settings: &Value) -> Result<Vec<Step>> {
    command.arg(settings.to_string()).stdin(Stdio::null()).stderr(Stdio::piped());
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let steps = text.lines().map(|line| {
        let step: Value =
            serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        let name = step.get("step").and_then(Value::as_str).context("a step without a name")?;
        Ok(Step { name: name.to_owned(), said: step.get("said").cloned().unwrap_or_default() })
    });
    let steps = steps.collect::<Result<Vec<_>>>()?;
    ensure!(
        steps.last().is_some_and(|last| last.name == "end"),
        "the dialogue broke off: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(steps)
}

/// Where `cargo xtask test` installs peers of one kind.
pub fn peers(kind: &str) -> Result<PathBuf> {
    let any = built("rmcp-upstream")?;
    let found = any.ancestors().map(|dir| dir.join("peers").join(kind)).find(|dir| dir.is_dir());
    found.with_context(|| {
        format!("the peers `{kind}` are not installed: `cargo xtask test --only tools` does it")
    })
}

/// The fixture server as its own process.
pub struct Fixture {
    _running: Running,
    /// Where it listens, `127.0.0.1:port`.
    pub address: String,
    /// What reached it.
    pub oracle: Oracle,
}

impl Fixture {
    /// Starts it; its log is in `dir`.
    pub fn start(dir: &Path) -> Result<Fixture> {
        let log = dir.join("fixture.log");
        let mut command = Command::new("node");
        command.arg(peers("ts")?.join("fixture.mjs")).arg("--log").arg(&log);
        let (running, address) = listening(command)?;
        Ok(Fixture { _running: running, address, oracle: Oracle::new(log) })
    }

    /// Its endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Whether it was told that the call of this nonce is cancelled.
    #[must_use]
    pub fn cancelled(&self, nonce: &str) -> bool {
        let told = self.oracle.of("cancelled");
        told.iter().any(|one| one.get("nonce").and_then(Value::as_str) == Some(nonce))
    }
}

/// A reverse proxy before a server that adds the token and breaks connections as the dialogue wants it.
pub struct Door {
    _running: Running,
    /// The endpoint for clients.
    pub url: String,
}

impl Door {
    /// Opens one before an endpoint.
    pub fn open(target: &str, token: Option<&str>) -> Result<Door> {
        let mut command = Command::new("node");
        command.arg(peers("ts")?.join("door.mjs")).arg(target).args(token);
        let (running, address) = listening(command)?;
        Ok(Door { _running: running, url: format!("http://{address}/mcp") })
    }
}

/// One place where two dialogues differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// In which step.
    pub step: String,
    /// Where in what it brought, as an RFC 6901 pointer.
    pub path: String,
    /// What was said directly; null if nothing was.
    pub direct: Value,
    /// What was said through the gate; null if nothing was.
    pub gate: Value,
}

/// Everything that differs between a dialogue held directly and one held through the gate.
#[must_use]
pub fn differences(direct: &[Step], gate: &[Step]) -> Vec<Difference> {
    let mut found = Vec::new();
    let names = |steps: &[Step]| steps.iter().map(|step| step.name.clone()).collect::<Vec<_>>();
    if names(direct) != names(gate) {
        found.push(Difference {
            step: "(steps)".into(),
            path: String::new(),
            direct: json!(names(direct)),
            gate: json!(names(gate)),
        });
        return found;
    }
    for (one, other) in direct.iter().zip(gate) {
        compare(&one.name, "", &one.said, &steady(&other.said), &mut found);
    }
    found
}

fn compare(step: &str, path: &str, direct: &Value, gate: &Value, found: &mut Vec<Difference>) {
    match (direct, gate) {
        (Value::Object(one), Value::Object(other)) => {
            let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
            for name in names {
                let (one, other) = (one.get(name), other.get(name));
                let path = format!("{path}/{name}");
                let null = Value::Null;
                compare(step, &path, one.unwrap_or(&null), other.unwrap_or(&null), found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                compare(step, &format!("{path}/{index}"), one, other, found);
            }
        }
        (one, other) if one == other => {}
        (one, other) => found.push(Difference {
            step: step.to_owned(),
            path: path.to_owned(),
            direct: one.clone(),
            gate: other.clone(),
        }),
    }
}

/// The same without trace ids, which differ from run to run.
fn steady(said: &Value) -> Value {
    match said {
        Value::String(text) => Value::String(without_traces(text)),
        Value::Array(items) => items.iter().map(steady).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), steady(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => said.clone(),
    }
}

fn without_traces(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let (before, from) = rest.split_at(at);
        let length = from.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(from.len());
        let (word, after) = from.split_at(length);
        let shown = if length == 32 { "(trace)" } else { word };
        let _infallible = write!(out, "{before}{shown}");
        rest = after;
    }
    out + rest
}
