//! Where the CPU of a governed call goes: `perf` samples the gate under load, and the symbols are summed by part.

use super::{
    calls::{self, Bench},
    figures::Figures,
};
use crate::{
    Workspace,
    command::{program, quiet},
    say,
};
use anyhow::{Context as _, Result, ensure};
use std::{collections::BTreeMap, fmt::Write as _, fs, process::Stdio};

const CONNECTIONS: u64 = 32;
const SECONDS: f64 = 6.0;
/// Samples a second on each core; a prime, so that it keeps step with nothing.
const FREQUENCY: &str = "499";

/// A part of a call: which symbols of the runtime's threads it has, and what `performance.md`'s budget gives it.
struct Part {
    name: &'static str,
    budget: &'static str,
    of: fn(&Sample<'_>) -> bool,
}

/// One row of the report: a thread's name, whether it is the kernel's, and the symbol.
struct Sample<'a> {
    thread: &'a str,
    kernel: bool,
    symbol: &'a str,
}

impl Sample<'_> {
    fn has(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.symbol.contains(word))
    }
}

/// The first that takes a sample has it.
const PARTS: &[Part] = &[
    Part {
        name: "commits: the journal's writer (conditions, tree, SQLite, sync)",
        budget: "8–16",
        of: |it| it.thread == "ledger-writer",
    },
    Part {
        name: "the write-ahead log copied, checkpoints signed (keeper)",
        budget: "(commits)",
        of: |it| it.thread == "ledger-keeper",
    },
    Part { name: "the index", budget: "none", of: |it| it.thread == "ledger-index" },
    Part {
        name: "sockets, wakes and switches in the kernel",
        budget: "16–20 with the next",
        of: |it| it.kernel,
    },
    Part {
        name: "HTTP on both sides and its scheduling (hyper, tokio)",
        budget: "+ 3 for task and wakes",
        of: |it| {
            it.has(&[
                "hyper",
                "http::",
                "httparse",
                "http_body",
                "bytes::",
                "tokio",
                "futures",
                "want::",
            ])
        },
    },
    Part {
        name: "facts and Cedar",
        budget: "10–12",
        of: |it| it.has(&["cedar", "policy::", "smol_str", "hashlink", "jsonschema"]),
    },
    Part {
        name: "records sealed: commitments, AEAD, digests",
        budget: "6–8",
        of: |it| it.has(&["aws_lc", "ledger::", "sha256", "hkdf"]),
    },
    Part {
        name: "gate, canonical form, identity, upstream",
        budget: "3 + 1 + 4",
        of: |it| {
            it.has(&[
                "gate::",
                "canonical::",
                "identity::",
                "upstream::",
                "quick_cache",
                "model::",
                "prometheus",
            ])
        },
    },
    Part {
        name: "allocator",
        budget: "in the others",
        of: |it| it.has(&["mi_", "malloc", "mi_free", "alloc::alloc"]),
    },
    Part {
        name: "memory copied and compared",
        budget: "in the others",
        of: |it| it.has(&["memmove", "memcpy", "memset", "memcmp", "bcmp"]),
    },
    Part {
        name: "text formatted",
        budget: "in the others",
        of: |it| it.has(&["core::fmt", "alloc::fmt", "fmt::", "Display", "LowerHex"]),
    },
    Part {
        name: "the rest of the standard library, clocks, locks",
        budget: "in the others",
        of: |it| it.has(&["core::", "alloc::", "std::", "pthread", "clock", "GI_", "syscall"]),
    },
    Part { name: "other", budget: "–", of: |_| true },
];

/// Profiles one target and writes `docs/profile.md`. It needs Debian's `linux-perf`.
pub(super) fn profile(workspace: &Workspace, figures: &mut Figures) -> Result<()> {
    let bench = Bench::start(workspace)?;
    let target = bench.target("http_call")?;
    calls::load(workspace, target, CONNECTIONS, 1.0)?;
    let data = bench.home().join("perf.data");
    let mut perf = program(workspace, "perf");
    perf.args(["record", "-q", "-F", FREQUENCY, "-o"]).arg(&data);
    perf.args(["-p", &bench.gate().id().to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut perf = perf.spawn().context("cannot start `perf`: install Debian's `linux-perf`")?;
    let before = bench.gate().cpu_us()?;
    let outcome = calls::load(workspace, target, CONNECTIONS, SECONDS)?;
    let spent = bench.gate().cpu_us()? - before;
    let mut stop = program(workspace, "kill");
    stop.args(["-INT", &perf.id().to_string()]);
    quiet(stop)?.or_fail("`kill -INT` of perf")?;
    perf.wait()?;
    let calls = outcome.get("calls").and_then(serde_json::Value::as_f64).unwrap_or(0.0);
    ensure!(calls > 0.0, "no call was made");
    let mut report = program(workspace, "perf");
    report.args([
        "report",
        "--stdio",
        "--no-children",
        "-g",
        "none",
        "--sort",
        "comm,dso,symbol",
        "-i",
    ]);
    report.arg(&data);
    let lines = quiet(report)?.or_fail("`perf report`")?.lines;
    let parts = sum(lines.iter().map(String::as_str));
    let per_call = spent / calls;
    figures.set("profiled_call_cpu_us", per_call);
    let text = markdown(&parts, per_call, calls);
    say(&text);
    fs::write(workspace.root.join("docs/profile.md"), text).context("cannot write docs/profile.md")
}

/// The share of each part in per cent, by its place in [`PARTS`].
fn sum<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<usize, f64> {
    let mut parts = BTreeMap::new();
    for (share, sample) in lines.filter_map(read) {
        if let Some(at) = PARTS.iter().position(|part| (part.of)(&sample)) {
            *parts.entry(at).or_insert(0.0) += share;
        }
    }
    parts
}

/// Reads `   1.23%  comm  dso  [k] symbol`.
fn read(line: &str) -> Option<(f64, Sample<'_>)> {
    let (share, rest) = line.trim_start().split_once('%')?;
    let share = share.parse().ok()?;
    let (left, kernel, symbol) = match (rest.split_once("[k] "), rest.split_once("[.] ")) {
        (Some((left, symbol)), _) => (left, true, symbol),
        (None, Some((left, symbol))) => (left, false, symbol),
        (None, None) => return None,
    };
    let thread = left.split_whitespace().next()?;
    Some((share, Sample { thread, kernel, symbol: symbol.trim_end() }))
}

fn markdown(parts: &BTreeMap<usize, f64>, per_call: f64, calls: f64) -> String {
    let mut out = format!(
        "# Where the CPU of a governed call goes\n\nWritten by `cargo xtask bench profile`: `ambit dev` (release), one bearer \
         agent, `http_call` (a read through `/http/{{upstream}}`) at {CONNECTIONS} connections for {SECONDS} s: {calls:.0} calls, \
         {per_call:.1} µs CPU each. `perf record -F {FREQUENCY}` of the process, the symbols summed by thread and origin; \
         shares are of all its samples. The budget is that of a governed HTTP call (61–77 µs).\n\n\
         | part | share | µs | budget |\n|---|---:|---:|---:|\n"
    );
    let mut total = 0.0;
    for (at, part) in PARTS.iter().enumerate() {
        let share = parts.get(&at).copied().unwrap_or(0.0);
        total += share;
        let us = share * per_call / 100.0;
        writeln!(out, "| {} | {share:.1} % | {us:.1} | {} |", part.name, part.budget)
            .unwrap_or_default();
    }
    let us = total * per_call / 100.0;
    writeln!(out, "| **sum** | **{total:.1} %** | **{us:.0}** | **61–77** |").unwrap_or_default();
    out
}

#[cfg(test)]
mod tests {
    use super::{PARTS, sum};

    #[test]
    fn samples_are_summed_by_part() {
        let report = "# comment\n  12.50%  tokio-rt-worker  [kernel]  [k] tcp_sendmsg\n  \
                      2.00%  tokio-rt-worker  ambit  [.] cedar_policy_core::evaluate\n  \
                      1.00%  ledger-writer  [kernel]  [k] ext4_sync_file\n";
        let parts = sum(report.lines());
        let named = |word: &str| PARTS.iter().position(|part| part.name.contains(word));
        let share = |word: &str| named(word).and_then(|at| parts.get(&at)).copied();
        assert_eq!(share("kernel"), Some(12.5));
        assert_eq!(share("Cedar"), Some(2.0));
        assert_eq!(share("writer"), Some(1.0));
    }
}
