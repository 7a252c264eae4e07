//! Parts that a crate's own example measures: it prints JSON objects, one a line, of figures by name.

use super::figures::Figures;
use crate::{
    Workspace,
    command::{cargo, shown},
};
use anyhow::{Result, ensure};
use serde_json::Value;

/// Decisions with 10 to 10,000 policies, and the naive scan beside them.
pub(super) fn decide(workspace: &Workspace, figures: &mut Figures) -> Result<()> {
    example(workspace, figures, "policy", "decide")
}

/// The bare group commit.
pub(super) fn commit(workspace: &Workspace, figures: &mut Figures) -> Result<()> {
    example(workspace, figures, "store", "commit")
}

fn example(workspace: &Workspace, figures: &mut Figures, package: &str, name: &str) -> Result<()> {
    let arguments = ["run", "--quiet", "--locked", "--release", "-p", package, "--example", name];
    let ended = shown(cargo(workspace, &arguments))?.or_fail(&format!("example `{name}`"))?;
    let mut found = false;
    for line in ended.lines.iter().filter(|line| line.starts_with('{')) {
        if let Ok(Value::Object(object)) = serde_json::from_str(line) {
            figures.take(&object);
            found = true;
        }
    }
    ensure!(found, "example `{name}` of `{package}` printed no JSON object");
    Ok(())
}
