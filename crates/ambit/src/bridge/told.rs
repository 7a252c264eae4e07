//! What the bridge says on stderr, where the logs of clients show it: one line for each refusal, and whether the gate is there.

use crate::output::Output;
use serde_json::Value;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// The one voice of a bridge.
#[derive(Clone, Debug)]
pub(super) struct Told {
    output: Output,
    agent: String,
    away: Arc<AtomicBool>,
}

impl Told {
    pub(super) fn new(output: Output, agent: &str) -> Told {
        Told { output, agent: agent.to_owned(), away: Arc::new(AtomicBool::new(false)) }
    }

    /// A call that did not do what was asked.
    pub(super) fn refusal(&self, tool: &str, result: &Value) {
        if result.get("isError").and_then(Value::as_bool) != Some(true)
            && result.pointer("/structuredContent/decision").and_then(Value::as_str) != Some("ask")
        {
            return;
        }
        let of = |name: &str| {
            result.get("structuredContent").and_then(|told| told.get(name)).and_then(Value::as_str)
        };
        match (of("decision"), of("code"), of("trace")) {
            (Some(decision), Some(code), Some(trace)) => {
                let message = of("message").unwrap_or_default();
                self.line(&format!("{decision} {tool}: {code}: {message} · ambit why {trace}"));
            }
            _ => {
                let text = result.pointer("/content/0/text").and_then(Value::as_str);
                let text = text.unwrap_or_default();
                if text.starts_with("Unknown tool: ") || of("code").is_some() {
                    self.line(&format!(
                        "deny {tool}: {text} · ambit why --last --agent {}",
                        self.agent
                    ));
                }
            }
        }
    }

    /// Nothing came of a call, for a reason on this side of the gate.
    pub(super) fn not_executed(&self, what: &str, why: &str) {
        self.line(&format!("not executed {what}: {why}"));
    }

    /// The gate cannot be reached; said once until it is back.
    pub(super) fn away(&self, why: &str) {
        if !self.away.swap(true, Ordering::Relaxed) {
            self.line(&format!("the gateway is away: {why}"));
        }
    }

    /// The gate answers; true if it was away.
    pub(super) fn back(&self) -> bool {
        let was_away = self.away.swap(false, Ordering::Relaxed);
        if was_away {
            self.line("the gateway is back");
        }
        was_away
    }

    /// Whether the gate was away when last heard of.
    pub(super) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    fn line(&self, text: &str) {
        let text = crate::output::printable(text);
        // Nobody reads stderr any more: the answers still go out.
        let _gone =
            self.output.complain(&format!("ambit bridge ({}): {text}", self.agent)).is_err();
    }
}
