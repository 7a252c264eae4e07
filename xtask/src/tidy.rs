//! The structural rules of this repository, each an ordinary check that can fail.

mod documents;
mod files;
mod rooms;

use crate::{Workspace, say, stage::Counts};
use anyhow::Result;

/// One rule: its name and what breaks it.
struct Rule {
    name: &'static str,
    check: fn(&Workspace) -> Result<Vec<String>>,
}

const RULES: &[Rule] = &[
    Rule { name: "each source file says what it is responsible for", check: files::headers },
    Rule { name: "source files stay below 800 lines of code", check: files::sizes },
    Rule { name: "names of files say what is in them", check: files::names },
    Rule { name: "no unfinished work and no switched-off test", check: files::marks },
    Rule { name: "rooms depend on each other in one direction", check: rooms::direction },
    Rule { name: "confined crates stay in their rooms", check: rooms::confined },
    Rule { name: "pure rooms have no IO, clock or randomness", check: rooms::pure },
    Rule { name: "ARCHITECTURE.md names each crate", check: documents::architecture },
    Rule { name: "the documents exist and keep their size", check: documents::present },
    Rule { name: "links between documents lead somewhere", check: documents::links },
];

/// Checks all rules; each counts once.
pub(crate) fn check(workspace: &Workspace) -> Result<Counts> {
    let mut counts = Counts::default();
    for rule in RULES {
        let broken = (rule.check)(workspace)?;
        if broken.is_empty() {
            counts.passed = counts.passed.saturating_add(1);
            continue;
        }
        counts.failed = counts.failed.saturating_add(1);
        say(&format!("tidy: {}:", rule.name));
        broken.iter().for_each(|line| say(&format!("  {line}")));
    }
    Ok(counts)
}
