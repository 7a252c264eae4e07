//! The upstreams' own access logs: the oracle of the story.

use anyhow::Context as _;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// One upstream's access log.
pub(super) struct Log {
    path: PathBuf,
    read: usize,
}

impl Log {
    pub(super) fn new(path: &Path) -> Log {
        Log { path: path.to_owned(), read: 0 }
    }

    /// The acts that reached the upstream with a good credential since the last look.
    pub(super) fn news(&mut self) -> anyhow::Result<Vec<Value>> {
        let text =
            std::fs::read_to_string(&self.path).context("an upstream's log cannot be read")?;
        let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
        let lines = lines.context("an upstream's log is not JSON lines")?;
        let new = lines.get(self.read..).unwrap_or_default().to_vec();
        self.read = lines.len();
        let acts = new.iter().filter(|line| is_act(line));
        Ok(acts.filter_map(|line| line.get("act").cloned()).collect())
    }
}

/// A tool call or a directory act that was let in; lists, discovery and refusals are none.
fn is_act(line: &Value) -> bool {
    let let_in = line.get("credential").and_then(Value::as_str) == Some("accepted");
    let act = line.get("act").unwrap_or(&Value::Null);
    let_in && (act.get("tool").is_some() || act.get("did").is_some())
}

/// What reached all upstreams since the last look.
#[derive(Debug, Default)]
pub(super) struct Reached {
    pub(super) tickets: Vec<Value>,
    pub(super) directory: Vec<Value>,
    pub(super) mail: Vec<Value>,
    pub(super) paste: Vec<Value>,
}

impl Reached {
    /// How many acts.
    pub(super) fn count(&self) -> usize {
        self.tickets.len() + self.directory.len() + self.mail.len() + self.paste.len()
    }

    /// Whether a ticket was read.
    pub(super) fn read(&self, ticket: &str) -> bool {
        self.tickets
            .iter()
            .any(|act| act.pointer("/arguments/id").and_then(Value::as_str) == Some(ticket))
    }

    /// Whether a password was reset.
    pub(super) fn reset(&self, user: &str) -> bool {
        self.directory.iter().any(|act| act.get("user").and_then(Value::as_str) == Some(user))
    }

    /// Whether a mail went to this address.
    pub(super) fn mailed(&self, to: &str) -> bool {
        self.mail.iter().any(|act| act.pointer("/arguments/to").and_then(Value::as_str) == Some(to))
    }
}

#[cfg(test)]
mod tests {
    use super::is_act;
    use serde_json::json;

    #[test]
    fn only_what_was_let_in_is_an_act() {
        assert!(is_act(&json!({"credential": "accepted", "act": {"tool": "read"}})));
        assert!(!is_act(&json!({"credential": "wrong", "act": {"tool": "read"}})));
        assert!(!is_act(&json!({"credential": "accepted", "act": {"method": "tools/list"}})));
    }
}
