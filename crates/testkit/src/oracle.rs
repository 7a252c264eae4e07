//! The log that an upstream keeps of what reached it: the truth that Ambit's own records are compared with.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// Appends JSON lines. Each line is one write, so a killed upstream leaves whole lines.
#[derive(Debug)]
pub struct AccessLog(Option<Mutex<File>>);

impl AccessLog {
    /// Opens or makes the file; `None` keeps nothing (for measurements).
    pub fn open(path: Option<&Path>) -> Result<AccessLog> {
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.with_context(|| format!("cannot write {}", path.display())).map(Mutex::new)
        };
        path.map(open).transpose().map(AccessLog)
    }

    /// Notes one event of a `kind`; `fields` is an object.
    pub fn note(&self, kind: &str, fields: Value) {
        let Some(file) = &self.0 else { return };
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |span| span.as_micros());
        let mut line = json!({ "at": u64::try_from(at).unwrap_or(u64::MAX), "kind": kind });
        if let (Some(line), Value::Object(fields)) = (line.as_object_mut(), fields) {
            line.extend(fields);
        }
        let text = format!("{line}\n");
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(text.as_bytes()).unwrap_or_default();
    }
}

/// Reads such a log.
#[derive(Clone, Debug)]
pub struct Oracle(PathBuf);

impl Oracle {
    /// The log at `path`, which may not exist yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Oracle {
        Oracle(path)
    }

    /// All events so far, in the order of arrival.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The events of one kind.
    #[must_use]
    pub fn of(&self, kind: &str) -> Vec<Value> {
        let all = self.events().into_iter();
        all.filter(|event| event.get("kind").and_then(Value::as_str) == Some(kind)).collect()
    }

    /// The arguments of each call of `tool` that reached the upstream.
    #[must_use]
    pub fn calls(&self, tool: &str) -> Vec<Value> {
        let all = self.of("call").into_iter();
        let mine = all.filter(|event| event.get("tool").and_then(Value::as_str) == Some(tool));
        mine.filter_map(|event| event.get("arguments").cloned()).collect()
    }

    /// The whole log as text, to look for something that must not be in it.
    #[must_use]
    pub fn text(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap_or_default()
    }
}
