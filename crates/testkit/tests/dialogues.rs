//! Strangers' clients hold the same dialogue with a server directly and through the gate: what they hear differs only
//! where the committed list says so, and the list says nothing that is not so.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Mutex, PoisonError},
};
use testkit::{
    dialogue::{self, Difference, Door, Fixture, SPEAKERS, Speaker, Step},
    process::{Ambit, Home},
};

/// Dialogues held at once: each is mostly waiting.
const AT_ONCE: usize = 4;
/// Steps that a dialogue has at least, by the names of the list of what must be spoken.
const STEPS: [(&str, &[&str]); 14] = [
    ("initialize / discover", &["connect"]),
    ("lists", &["lists"]),
    ("text", &["text"]),
    ("structured", &["structured"]),
    ("isError", &["isError"]),
    ("progress", &["progress"]),
    ("cancel", &["cancel"]),
    ("elicit", &["elicit"]),
    ("resource", &["resource"]),
    ("prompt", &["prompt"]),
    ("large", &["large"]),
    ("slow", &["slow"]),
    ("cut and resume", &["cut-and-resume", "cut-and-again"]),
    ("unknown tool", &["unknown-tool"]),
];

/// One line of the committed list.
struct Listed {
    /// `*` or the speakers for whom it is so.
    speakers: Vec<String>,
    difference: Difference,
    why: String,
}

impl Listed {
    fn is_for(&self, speaker: Speaker) -> bool {
        self.speakers.iter().any(|name| *name == "*" || *name == speaker.name())
    }
}

fn list() -> Result<Vec<Listed>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues.json");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let listed: Vec<Value> = serde_json::from_str(&text)?;
    let read = |one: &Value| {
        let text = |name: &str| one.get(name).and_then(Value::as_str).map(str::to_owned);
        let speakers = one.get("speakers").and_then(Value::as_array).context("no speakers")?;
        let why = text("why").filter(|why| !why.is_empty()).context("a difference without why")?;
        Ok(Listed {
            speakers: speakers.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            difference: Difference {
                step: text("step").context("no step")?,
                path: text("path").context("no path")?,
                direct: one.get("direct").cloned().unwrap_or_default(),
                gate: one.get("gate").cloned().unwrap_or_default(),
            },
            why,
        })
    };
    listed.iter().map(read).collect()
}

fn config(address: &str) -> String {
    let read = "{ effect: read, risk: low }";
    let send = "{ effect: send, risk: low }";
    let mut actions = format!("      \"*\": {read}\n");
    for (operations, what) in [
        (["resources/read", "resources/list", "resources/subscribe"], read),
        (["prompts/get", "completion/complete", "notifications/message"], read),
        (["tasks/get", "tasks/update", "tasks/cancel"], read),
        (["elicitation/create", "sampling/createMessage", "roots/list"], send),
        (["elicitation/create/accounts.example", "test_simple_text", "slow"], send),
    ] {
        for operation in operations {
            actions.push_str(&format!("      {operation}: {what}\n"));
        }
    }
    format!(
        "version: 1\nhumans:\n  people:\n    dana: {{ groups: [it] }}\nagents:\n  tester:\n    purpose: Speak every word \
         of the protocol\n    owner: group:it\n    boundary: all\n    credentials: {{ proof: none, ttl: 15m }}\nupstreams:\n  \
         fx:\n    mcp: http://{address}/mcp\n    actions:\n{actions}boundaries:\n  all: {{ upstreams: [fx] }}\n"
    )
}

/// The fixture server, and a gate before it.
struct Stage {
    fixture: Fixture,
    _home: Home,
    _ambit: Ambit,
    direct: Door,
    gate: Door,
    _logs: tempfile::TempDir,
}

impl Stage {
    fn set() -> Result<Stage> {
        let logs = tempfile::tempdir()?;
        let fixture = Fixture::start(logs.path())?;
        let home = Home::new(&config(&fixture.address))?;
        let ambit = home.start()?;
        let audience = home.mcp_door("fx");
        let token = home.token("tester", &audience, &[])?;
        let direct = Door::open(&fixture.url(), None)?;
        let gate = Door::open(&audience, Some(&token))?;
        Ok(Stage { fixture, _home: home, _ambit: ambit, direct, gate, _logs: logs })
    }

    /// The two dialogues of one client, each with what the server heard of its cancellation.
    fn hold(&self, speaker: Speaker) -> Result<[Vec<Step>; 2]> {
        let held = [("direct", &self.direct), ("gate", &self.gate)].map(|(way, door)| {
            let nonce = format!("{}-{way}", speaker.name());
            let mut steps = speaker.speak(&door.url, &nonce).with_context(|| nonce.clone())?;
            let heard = self.fixture.cancelled(&nonce);
            steps.push(Step { name: "cancel-heard".into(), said: Value::Bool(heard) });
            Ok::<_, anyhow::Error>(steps)
        });
        let [direct, gate] = held;
        Ok([direct?, gate?])
    }
}

#[test]
fn a_dialogue_through_the_gate_is_the_dialogue_with_the_server() -> Result<()> {
    let stage = Stage::set()?;
    let listed = list()?;
    let (waiting, held) = (Mutex::new(SPEAKERS.to_vec()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some(speaker) = next else { return };
                    let both = stage.hold(speaker);
                    held.lock().unwrap_or_else(PoisonError::into_inner).push((speaker, both));
                }
            });
        }
    });
    let held = held.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(held.len(), SPEAKERS.len());
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for (speaker, both) in held {
        let [direct, gate] = both?;
        complete(speaker, &direct)?;
        let found = dialogue::differences(&direct, &gate);
        for (index, one) in listed.iter().enumerate().filter(|(_, one)| one.is_for(speaker)) {
            let has_step = direct.iter().any(|step| step.name == one.difference.step);
            if found.contains(&one.difference) {
                seen.insert(index);
            } else if has_step {
                wrong.push(format!("{}: no longer so: {}", speaker.name(), shown(&one.difference)));
            }
        }
        let own = |difference: &&Difference| {
            !listed.iter().any(|one| one.is_for(speaker) && one.difference == **difference)
        };
        for difference in found.iter().filter(own) {
            wrong.push(format!("{}: not in the list: {}", speaker.name(), shown(difference)));
        }
    }
    for (index, one) in listed.iter().enumerate().filter(|(index, _)| !seen.contains(index)) {
        wrong.push(format!("line {index} of the list never occurs ({})", one.why));
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// A dialogue that broke off, or in which a step failed that should not, would compare well with another such.
fn complete(speaker: Speaker, direct: &[Step]) -> Result<()> {
    for (what, names) in STEPS {
        let step = direct.iter().find(|step| names.contains(&step.name.as_str()));
        let step = step.with_context(|| format!("{}: no step `{what}`", speaker.name()))?;
        let may_fail = ["unknown-tool"].contains(&step.name.as_str());
        let failed = step.said.get("failed").is_some();
        ensure!(failed == may_fail, "{}: `{what}`: {}", speaker.name(), step.said);
    }
    Ok(())
}

fn shown(difference: &Difference) -> String {
    let Difference { step, path, direct, gate } = difference;
    format!(
        "{{\"step\": \"{step}\", \"path\": \"{path}\", \"direct\": {direct}, \"gate\": {gate}}}"
    )
}
