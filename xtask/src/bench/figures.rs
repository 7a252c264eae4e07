//! Figures under stable names, the ratios derived from them, and their three forms.

use anyhow::Result;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, fmt::Write as _};

/// All figures of a run. Names end in their unit: `_us`, `_ms`, `_per_s`, `_mib`, `_ratio`.
#[derive(Default)]
pub(super) struct Figures(BTreeMap<String, f64>);

/// Ratios: name, numerator, denominator.
const RATIOS: &[(&str, &str, &str)] = &[
    ("decision_scale_ratio", "decision_us_10000", "decision_us_10"),
    ("distinct_scale_ratio", "distinct_us_10000", "distinct_us_10"),
    ("naive_scale_ratio", "naive_us_10000", "naive_us_10"),
    ("http_call_ratio", "http_call_cpu_us", "proxy_cpu_us"),
    ("http_write_ratio", "http_write_cpu_us", "proxy_cpu_us"),
    ("commit_ratio", "commit_per_s_at_32", "bare_commit_per_s_at_32"),
    ("http_call_wait_ratio", "http_call_p50_us_at_32", "bare_commit_p50_us_at_32"),
    ("http_write_wait_ratio", "http_write_p50_us_at_32", "bare_commit_p50_us_at_32"),
    ("mcp_call_ratio", "mcp_call_cpu_us", "mcp_proxy_cpu_us"),
    ("issue_bound_ratio", "issue_bound_cpu_us", "crypto_issue_bound_us"),
    ("issue_bearer_ratio", "issue_bearer_cpu_us", "crypto_issue_bearer_us"),
    ("call_bound_ratio", "call_bound_cpu_us", "call_bearer_cpu_us"),
];

impl Figures {
    /// Sets a figure.
    pub(super) fn set(&mut self, name: impl Into<String>, value: f64) {
        self.0.insert(name.into(), value);
    }

    /// Sets a figure that others add up to.
    pub(super) fn sum(&mut self, name: impl Into<String>, of: &[&str]) {
        let sum = of.iter().filter_map(|name| self.0.get(*name)).sum();
        self.set(name, sum);
    }

    /// Takes all numbers of a flat object.
    pub(super) fn take(&mut self, object: &Map<String, Value>) {
        for (name, value) in object {
            if let Some(value) = value.as_f64() {
                self.set(name, value);
            }
        }
    }

    /// Adds the ratios whose two figures are there.
    pub(super) fn derive(&mut self) {
        for (name, above, below) in RATIOS {
            if let (Some(above), Some(below)) = (self.0.get(*above), self.0.get(*below)) {
                let ratio = above / below;
                self.set(*name, ratio);
            }
        }
    }

    fn rows(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().map(|(name, value)| {
            let digits = if *value >= 1_000.0 {
                0
            } else if *value >= 10.0 {
                1
            } else {
                2
            };
            (name.as_str(), format!("{value:.digits$}"))
        })
    }

    /// For the terminal.
    pub(super) fn table(&self) -> String {
        let mut out = String::new();
        for (name, value) in self.rows() {
            writeln!(out, "{name:<32} {value:>12}").unwrap_or_default();
        }
        out
    }

    /// For scripts.
    pub(super) fn to_json(&self, machine: &[(String, String)]) -> Result<String> {
        let machine: Map<String, Value> =
            machine.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let whole = json!({ "machine": machine, "figures": self.0 });
        Ok(format!("{}\n", serde_json::to_string_pretty(&whole)?))
    }

    /// For `docs/bench.md`.
    pub(super) fn to_markdown(&self, machine: &[(String, String)]) -> String {
        let mut out = String::from(
            "# Measured\n\nWritten by `cargo xtask bench`. Ratios of one run hold; absolute figures are of this shared \
             machine. CPU is user and system time of the process under test divided by calls, median of three \
             interleaved rounds. `…_at_N`: N connections or callers; without it, 32. `http_call`: a read; \
             `http_write`: a consequential call; `mcp_call`: `tools/call` of 2026-07-28 with 1 KiB; `proxy`, \
             `mcp_proxy`: a minimal hyper proxy to the same upstream; `commit_us`: CPU per record of the ledger; \
             `bare_commit`: as many bytes through one file, one fdatasync per group. `decision_us_N`: N policies, ten for each \
             agent, agent and action drawn at random; slice found, arguments checked and digested, context built, Cedar \
             asked; `distinct_us_N`: the same where no two policies have equal conditions; `naive_us_N`: one scan over all \
             policies; `issue_…`, `call_…`: a token bought, a read with it, `bound` with a proof each time or `bearer`; \
             `crypto_…_us`: the bare Ed25519 signatures and checks that one takes at the least, on one core of the same run; \
             `rss_second_half_mib`: growth over the last half of a million calls.\n\n| on | |\n|---|---|\n",
        );
        for (name, value) in machine {
            writeln!(out, "| {name} | {value} |").unwrap_or_default();
        }
        out.push_str("\n| figure | value |\n|---|---:|\n");
        for (name, value) in self.rows() {
            writeln!(out, "| `{name}` | {value} |").unwrap_or_default();
        }
        out
    }
}
