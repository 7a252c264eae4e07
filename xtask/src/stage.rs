//! The stages of `cargo xtask test`: a table, run in order, each with its seconds and counts.

use crate::{
    Workspace,
    command::{cargo, quiet, shown},
    mutation, say, tidy, tools,
};
use anyhow::Result;
use std::{ffi::OsStr, fmt, time::Instant};

/// How many checks of a stage held and how many did not.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Counts {
    /// A stage that is one check.
    pub(crate) fn one(success: bool) -> Counts {
        Counts { passed: u64::from(success), failed: u64::from(!success) }
    }

    pub(crate) fn add(&mut self, other: Counts) {
        self.passed = self.passed.saturating_add(other.passed);
        self.failed = self.failed.saturating_add(other.failed);
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// One stage. It runs only if all stages in `after` passed.
struct Stage {
    name: &'static str,
    /// Part of `--quick`.
    quick: bool,
    after: &'static [&'static str],
    run: fn(&Workspace) -> Result<Counts>,
}

/// A new stage is a row here.
const STAGES: &[Stage] = &[
    Stage { name: "tools", quick: true, after: &[], run: tools::install },
    Stage { name: "fmt", quick: true, after: &[], run: fmt },
    Stage { name: "tidy", quick: true, after: &[], run: tidy::check },
    Stage { name: "deny", quick: true, after: &["tools"], run: deny },
    Stage { name: "clippy", quick: true, after: &[], run: clippy },
    Stage { name: "build", quick: true, after: &[], run: build },
    Stage { name: "test", quick: true, after: &["build", "tools"], run: test },
    Stage { name: "doc", quick: false, after: &["build"], run: doc },
    Stage { name: "release", quick: false, after: &[], run: release },
    Stage { name: "demo", quick: false, after: &["release"], run: demo },
    Stage { name: "durability", quick: false, after: &["release", "test"], run: durability },
    Stage { name: "mutation", quick: false, after: &["test"], run: mutation::run },
];

/// Runs the chosen stages and prints the closing line that counts; true if all passed.
pub(crate) fn run_all(workspace: &Workspace, quick: bool, only: &[String]) -> Result<bool> {
    if let Some(unknown) = only.iter().find(|name| STAGES.iter().all(|stage| stage.name != **name))
    {
        anyhow::bail!("no stage `{unknown}`: the stages are {}", names());
    }
    let mut total = Counts::default();
    let mut rows = Vec::new();
    let mut failed: Vec<&str> = Vec::new();
    for stage in STAGES {
        let chosen = if only.is_empty() { !quick || stage.quick } else { has(only, stage.name) };
        if !chosen {
            continue;
        }
        if let Some(missing) = stage.after.iter().find(|name| failed.contains(name)) {
            rows.push(format!("{:<10} not run: `{missing}` failed", stage.name));
            failed.push(stage.name);
            total.add(Counts::one(false));
            continue;
        }
        say(&format!("=== {}", stage.name));
        let started = Instant::now();
        let counts = (stage.run)(workspace).unwrap_or_else(|error| {
            say(&format!("{}: {error:#}", stage.name));
            Counts::one(false)
        });
        if counts.failed > 0 {
            failed.push(stage.name);
        }
        let seconds = started.elapsed().as_secs_f64();
        rows.push(format!("{:<10} {seconds:>8.1} s  {counts}", stage.name));
        total.add(counts);
    }
    say("=== seconds per stage");
    rows.iter().for_each(|row| say(row));
    say("");
    say(&total.to_string());
    Ok(total.failed == 0 && total.passed > 0)
}

fn has(only: &[String], name: &str) -> bool {
    only.iter().any(|chosen| chosen == name)
}

fn names() -> String {
    STAGES.iter().map(|stage| stage.name).collect::<Vec<_>>().join(", ")
}

fn fmt(workspace: &Workspace) -> Result<Counts> {
    let ended = shown(cargo(workspace, &["fmt", "--all", "--check"]))?;
    Ok(Counts::one(ended.success))
}

/// Licences, bans and sources. Advisories need a download from a host that CI does not reach.
fn deny(workspace: &Workspace) -> Result<Counts> {
    let mut command = cargo(workspace, &["deny"]);
    command.env("PATH", tools::path(workspace)?);
    command.args(["--offline", "--log-level", "error", "check", "--hide-inclusion-graph"]);
    command.args(["licenses", "bans", "sources"]);
    Ok(Counts::one(shown(command)?.success))
}

fn clippy(workspace: &Workspace) -> Result<Counts> {
    let arguments =
        ["clippy", "--quiet", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"];
    Ok(Counts::one(shown(cargo(workspace, &arguments))?.success))
}

/// Everything the tests run, in one invocation, so that all of it is built with the same features.
fn build(workspace: &Workspace) -> Result<Counts> {
    let arguments = ["build", "--quiet", "--locked", "--workspace", "--all-targets"];
    Ok(Counts::one(shown(cargo(workspace, &arguments))?.success))
}

fn test(workspace: &Workspace) -> Result<Counts> {
    nextest(workspace, &[], &[])
}

/// Runs tests of the whole workspace's build, with more arguments and variables.
fn nextest(
    workspace: &Workspace,
    arguments: &[&str],
    variables: &[(&str, &OsStr)],
) -> Result<Counts> {
    let (counts, success) = nextest_summary(workspace, arguments, variables)?;
    Ok(with_exit(counts.unwrap_or_default(), success))
}

/// As above: the counts if tests ran at all, and whether the runner was content.
pub(crate) fn nextest_summary(
    workspace: &Workspace,
    arguments: &[&str],
    variables: &[(&str, &OsStr)],
) -> Result<(Option<Counts>, bool)> {
    let mut command = cargo(workspace, &["nextest", "run", "--locked", "--workspace"]);
    command
        .env("PATH", tools::path(workspace)?)
        .env("RUST_BACKTRACE", "0")
        .envs(variables.iter().copied());
    command.args(["--no-fail-fast", "--status-level", "slow", "--color", "never"]).args(arguments);
    let ended = shown(command)?;
    Ok((ended.lines.iter().rev().find_map(|line| nextest_counts(line)), ended.success))
}

/// The binary as users build it; cold, its seconds are what a first run costs.
fn release(workspace: &Workspace) -> Result<Counts> {
    let arguments = ["build", "--quiet", "--locked", "--release", "-p", "ambit"];
    Ok(Counts::one(shown(cargo(workspace, &arguments))?.success))
}

/// The README's first command, as a script runs it.
fn demo(workspace: &Workspace) -> Result<Counts> {
    let arguments = ["run", "--quiet", "--locked", "--release", "--", "demo", "--exit"];
    Ok(Counts::one(shown(cargo(workspace, &arguments))?.success))
}

/// The full measure: 1,000 kills in at most four minutes, 1,000 transfers under a tracer, the release build.
fn durability(workspace: &Workspace) -> Result<Counts> {
    let binary = workspace.target.join("release/ambit");
    let variables = [
        ("AMBIT_TEST_BIN_AMBIT", binary.as_os_str()),
        ("AMBIT_TEST_KILLS", "1000".as_ref()),
        ("AMBIT_TEST_REQUESTS", "20000".as_ref()),
        ("AMBIT_TEST_SECONDS", "230".as_ref()),
        ("AMBIT_TEST_TRANSFERS", "1000".as_ref()),
    ];
    nextest(
        workspace,
        &[
            "--success-output",
            "final",
            "-E",
            "binary(durability) + binary(rotations) + binary(listener)",
        ],
        &variables,
    )
}

/// The documentation's examples; nearly all show that evidence cannot be forged (`compile_fail`).
fn doc(workspace: &Workspace) -> Result<Counts> {
    let ended = quiet(cargo(workspace, &["test", "--quiet", "--locked", "--workspace", "--doc"]))?;
    let mut counts = Counts::default();
    ended.lines.iter().filter_map(|line| rustdoc_counts(line)).for_each(|found| counts.add(found));
    Ok(with_exit(counts, ended.success))
}

/// A run that failed without a failed test (it did not compile) has failed once.
fn with_exit(counts: Counts, success: bool) -> Counts {
    if success || counts.failed > 0 { counts } else { Counts { failed: 1, ..counts } }
}

/// Reads `Summary [ 1.2s] 12 tests run: 10 passed (1 slow), 2 failed, 3 skipped`; a timeout is a failure.
fn nextest_counts(line: &str) -> Option<Counts> {
    let (head, tail) = line.split_once("tests run:").or_else(|| line.split_once("test run:"))?;
    head.contains("Summary").then_some(())?;
    let word = |what: &str| before(tail, what).unwrap_or(0);
    let failed = word("failed").saturating_add(word("timed out"));
    Some(Counts { passed: word("passed"), failed: failed.saturating_add(word("exec failed")) })
}

/// Reads `test result: ok. 3 passed; 0 failed; …`.
fn rustdoc_counts(line: &str) -> Option<Counts> {
    let tail = line.strip_prefix("test result:")?;
    Some(Counts { passed: before(tail, "passed")?, failed: before(tail, "failed")? })
}

/// The number directly before ` WHAT`, in a list divided by commas, semicolons or sentences.
fn before(text: &str, what: &str) -> Option<u64> {
    text.split([',', ';', '.']).find_map(|part| {
        let (number, word) = part.trim().split_once(' ')?;
        word.starts_with(what).then(|| number.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::{nextest_counts, rustdoc_counts};

    #[test]
    fn closing_lines_are_counted() {
        let line = "     Summary [   1.244s] 15 tests run: 12 passed (1 slow), 2 failed, 1 timed out, 4 skipped";
        let counts = nextest_counts(line).map(|counts| counts.to_string());
        assert_eq!(counts.as_deref(), Some("12 passed, 3 failed"));
        let line = "test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out";
        let counts = rustdoc_counts(line).map(|counts| counts.to_string());
        assert_eq!(counts.as_deref(), Some("3 passed, 1 failed"));
    }
}
