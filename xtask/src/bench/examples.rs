//! Parts that a crate's own example measures.

use super::figures::Figures;
use crate::{
    Workspace,
    command::{cargo, program, shown},
};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Decisions with 10 to 10,000 policies, and the naive scan beside them.
pub(super) fn decide(workspace: &Workspace, figures: &mut Figures) -> Result<()> {
    let sizes = ["--json", "10", "100", "1000", "10000"];
    let lines = example(workspace, "decide", &sizes)?;
    let object = lines.iter().find(|line| line.starts_with('{')).context("no figures")?;
    match serde_json::from_str(object)? {
        Value::Object(object) => figures.take(&object),
        _ => anyhow::bail!("the figures of `decide` are no object"),
    }
    Ok(())
}

/// The ledger's commits and the bare group commit beside them, from the rows
/// `callers what records/s p50-ms p99-ms us-per-record`.
pub(super) fn commit(workspace: &Workspace, figures: &mut Figures) -> Result<()> {
    let lines = example(workspace, "commit", &[])?;
    let mut rows = 0;
    for line in &lines {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let [callers, what, numbers @ ..] = cells.as_slice() else { continue };
        let Some(prefix) = [("ledger", "commit"), ("bare", "bare_commit")]
            .iter()
            .find_map(|(word, prefix)| (word == what).then_some(prefix))
        else {
            continue;
        };
        let numbers: Vec<f64> = numbers.iter().map_while(|cell| cell.parse().ok()).collect();
        let [per_second, p50, p99, cpu, ..] = numbers.as_slice() else { continue };
        figures.set(format!("{prefix}_per_s_at_{callers}"), *per_second);
        figures.set(format!("{prefix}_p50_us_at_{callers}"), p50 * 1e3);
        figures.set(format!("{prefix}_p99_us_at_{callers}"), p99 * 1e3);
        figures.set(format!("{prefix}_cpu_us_at_{callers}"), *cpu);
        if *callers == "32" {
            figures.set(format!("{prefix}_us"), *cpu);
        }
        rows += 1;
    }
    ensure!(rows > 0, "example `commit` of `store` printed no row");
    Ok(())
}

/// Built with the whole workspace's features, as everything else is: a build of its own would compile Cedar once more.
fn example(workspace: &Workspace, name: &str, arguments: &[&str]) -> Result<Vec<String>> {
    let build = ["build", "--quiet", "--locked", "--release", "--workspace", "--example", name];
    shown(cargo(workspace, &build))?.or_fail("the release build")?;
    let mut command = program(workspace, workspace.target.join("release/examples").join(name));
    command.args(arguments);
    Ok(shown(command)?.or_fail(&format!("example `{name}`"))?.lines)
}
