//! `cargo xtask bench [PART]`: measures, prints a table with ratios, and writes figures under stable names.

mod calls;
mod examples;
mod figures;
mod processes;
mod profile;
mod tokens;

use crate::{Workspace, command::program, command::quiet, say};
use anyhow::{Context as _, Result, bail};
use figures::Figures;
use std::{fs, path::Path};

/// One part of the run: a name for the command line and what it measures.
struct Part {
    name: &'static str,
    /// Not of a run of all: it needs a program that is not everywhere.
    apart: bool,
    run: fn(&Workspace, &mut Figures) -> Result<()>,
}

const PARTS: &[Part] = &[
    Part { name: "decide", apart: false, run: examples::decide },
    Part { name: "commit", apart: false, run: examples::commit },
    Part { name: "calls", apart: false, run: calls::measure },
    Part { name: "tokens", apart: false, run: tokens::measure },
    Part { name: "memory", apart: false, run: calls::memory },
    Part { name: "profile", apart: true, run: profile::profile },
];

/// Runs one part or all; only a run of all rewrites `docs/bench.md`.
pub(crate) fn run(workspace: &Workspace, part: Option<&str>, json: Option<&Path>) -> Result<bool> {
    if let Some(unknown) = part.filter(|name| PARTS.iter().all(|part| part.name != *name)) {
        let names: Vec<_> = PARTS.iter().map(|part| part.name).collect();
        bail!("no part `{unknown}`: the parts are {}", names.join(", "));
    }
    let mut figures = Figures::default();
    for chosen in PARTS.iter().filter(|it| part.map_or(!it.apart, |name| name == it.name)) {
        say(&format!("=== {}", chosen.name));
        (chosen.run)(workspace, &mut figures).with_context(|| format!("part `{}`", chosen.name))?;
    }
    figures.derive();
    let machine = machine(workspace);
    say(&figures.table());
    if let Some(path) = json {
        fs::write(path, figures.to_json(&machine)?).context("cannot write the figures")?;
    }
    if part.is_none() {
        let path = workspace.root.join("docs/bench.md");
        fs::write(path, figures.to_markdown(&machine)).context("cannot write docs/bench.md")?;
    }
    Ok(true)
}

/// What the figures were taken on, one line each.
fn machine(workspace: &Workspace) -> Vec<(String, String)> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().next().and_then(|line| line.split_whitespace().nth(1));
    let gib = memory.and_then(|kib| kib.parse::<u64>().ok()).map(|kib| kib >> 20);
    let said = |name: &str, arguments: &[&str]| {
        let mut command = program(workspace, name);
        command.args(arguments);
        let ended = quiet(command).ok();
        ended.and_then(|ended| ended.lines.into_iter().next()).unwrap_or_default()
    };
    let cpu = format!("{} × {}", cores, model.map_or("unknown", |(_, name)| name));
    vec![
        ("processor".into(), cpu),
        ("memory".into(), format!("{} GiB", gib.unwrap_or(0))),
        ("kernel".into(), said("uname", &["-sr"])),
        ("compiler".into(), said("rustc", &["--version"])),
        ("commit".into(), said("git", &["rev-parse", "--short", "HEAD"])),
        ("profile".into(), "release (lto off, overflow checks on)".into()),
        ("command".into(), "cargo xtask bench".into()),
    ]
}
