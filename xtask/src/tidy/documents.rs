//! Rules about documents: they exist, name what is there, and lead where they point.

use super::files::listed;
use crate::Workspace;
use anyhow::{Context as _, Result};
use std::{fs, path::Path};

/// Documents that must exist, and the most lines each may have.
const DOCUMENTS: &[(&str, usize)] = &[
    ("README.md", 400),
    ("ARCHITECTURE.md", 400),
    ("CONTRIBUTING.md", 60),
    ("SECURITY.md", 100),
    ("CHANGELOG.md", usize::MAX),
    ("LICENSE", usize::MAX),
    ("docs/reference/codes.md", usize::MAX),
    ("docs/reference/ambit.schema.json", usize::MAX),
];

pub(super) fn present(workspace: &Workspace) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for (name, limit) in DOCUMENTS {
        match fs::read_to_string(workspace.root.join(name)) {
            Err(error) => broken.push(format!("{name}: {error}")),
            Ok(text) if text.lines().count() > *limit => {
                broken.push(format!("{name}: more than {limit} lines"));
            }
            Ok(_) => {}
        }
    }
    Ok(broken)
}

pub(super) fn architecture(workspace: &Workspace) -> Result<Vec<String>> {
    let text = fs::read_to_string(workspace.root.join("ARCHITECTURE.md")).unwrap_or_default();
    let crates = fs::read_dir(workspace.root.join("crates")).context("no crates/")?;
    let names = crates.filter_map(Result::ok).map(|entry| entry.file_name());
    let named = names.map(|name| name.to_string_lossy().into_owned());
    let missing = named.filter(|name| !text.contains(&format!("`{name}`")));
    Ok(missing.map(|name| format!("`{name}` is not named")).collect())
}

/// Relative links of Markdown, without anchors.
pub(super) fn links(workspace: &Workspace) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for file in listed(workspace, "*.md")? {
        let text = fs::read_to_string(workspace.root.join(&file))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            let relative = !path.is_empty() && !path.contains(':') && !path.contains(' ');
            if relative && !workspace.root.join(folder).join(path).exists() {
                broken.push(format!("{}: leads to {target}, which is not there", file.display()));
            }
        }
    }
    Ok(broken)
}
