//! Rules about source files: headers, sizes, names, marks.

use crate::{
    Workspace,
    command::{program, quiet},
};
use anyhow::{Context as _, Result};
use std::{fs, path::PathBuf};

/// Style's limit; a longer file is several rooms. Tests are data and not counted.
const CODE_LINES: usize = 800;

/// Names that say nothing about what is inside.
const BANNED: &[&str] = &[
    "util",
    "utils",
    "common",
    "helper",
    "helpers",
    "misc",
    "core",
    "base",
    "prelude",
    "types",
    "constants",
    "manager",
    "processor",
    "data",
    "info",
    "imp",
    "errors",
    "mod",
];

/// The repository's files below the workspace's root, committed or about to be.
pub(super) fn listed(workspace: &Workspace, pattern: &str) -> Result<Vec<PathBuf>> {
    let mut git = program(workspace, "git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "--", pattern]);
    let ended = quiet(git)?.or_fail("`git ls-files`")?;
    let files = ended.lines.iter().map(PathBuf::from);
    Ok(files.filter(|file| workspace.root.join(file).is_file()).collect())
}

fn sources(workspace: &Workspace) -> Result<Vec<(PathBuf, String)>> {
    let files = listed(workspace, "*.rs")?;
    let read = |file: PathBuf| {
        let text = fs::read_to_string(workspace.root.join(&file))
            .with_context(|| format!("cannot read {}", file.display()))?;
        Ok((file, text))
    };
    files.into_iter().map(read).collect()
}

pub(super) fn headers(workspace: &Workspace) -> Result<Vec<String>> {
    let all = sources(workspace)?;
    let broken = all.iter().filter(|(_, text)| !text.starts_with("//! "));
    Ok(broken.map(|(file, _)| format!("{}: begins without `//! `", file.display())).collect())
}

pub(super) fn sizes(workspace: &Workspace) -> Result<Vec<String>> {
    let code = |text: &str| {
        text.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("//"))
            .count()
    };
    let is_test = |file: &PathBuf| file.iter().any(|part| part == "tests" || part == "tests.rs");
    let all = sources(workspace)?;
    let counted =
        all.iter().filter(|(file, _)| !is_test(file)).map(|(file, text)| (file, code(text)));
    let broken = counted.filter(|(_, lines)| *lines > CODE_LINES);
    Ok(broken.map(|(file, lines)| format!("{}: {lines} lines of code", file.display())).collect())
}

pub(super) fn names(workspace: &Workspace) -> Result<Vec<String>> {
    let banned = |file: &PathBuf| {
        // `tests/x/mod.rs` is how Cargo is told that a file shared by tests is no test itself.
        let shared = file.ends_with("mod.rs") && file.iter().any(|part| part == "tests");
        !shared
            && file.iter().any(|part| {
                let part = part.to_string_lossy();
                BANNED.contains(&part.strip_suffix(".rs").unwrap_or(&part))
            })
    };
    let files = listed(workspace, "*.rs")?.into_iter().filter(banned);
    Ok(files.map(|file| format!("{}: the name says nothing", file.display())).collect())
}

pub(super) fn marks(workspace: &Workspace) -> Result<Vec<String>> {
    // Put together here, so that this file does not name what it looks for.
    let marks = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["XX", "X"].concat(),
        ["#[ign", "ore"].concat(),
        ["should_", "panic"].concat(),
    ];
    let mut broken = Vec::new();
    for (file, text) in sources(workspace)? {
        for (index, line) in text.lines().enumerate() {
            if let Some(mark) = marks.iter().find(|mark| line.contains(mark.as_str())) {
                let number = index.saturating_add(1);
                broken.push(format!("{}:{number}: `{mark}`", file.display()));
            }
        }
    }
    Ok(broken)
}
