//! Developer commands: `cargo xtask test`, `tidy` and `bench`.

mod bench;
mod command;
mod fuzz;
mod mutation;
mod stage;
mod tidy;
mod tools;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer commands of Ambit")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Installs what the tests need, formats, lints, builds and tests; what CI runs.
    Test {
        /// Only the stages that answer within about three minutes when warm.
        #[arg(long)]
        quick: bool,
        /// Only these stages (and none of what they usually come after).
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
    },
    /// The structural rules alone.
    Tidy,
    /// Runs a target of `fuzz/` under libFuzzer.
    Fuzz {
        /// token, mcp_frame, http_edge, canonical, batch, ambit_yaml or tlog_note.
        target: String,
        /// How long.
        #[arg(long, default_value_t = 600)]
        seconds: u64,
    },
    /// Measures; without a part, all of them, and rewrites docs/bench.md.
    Bench {
        /// decide, commit, calls or memory.
        part: Option<String>,
        /// Where the figures go, as JSON under stable names.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
}

/// The workspace's root and target directory.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
}

impl Workspace {
    fn find() -> Workspace {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.parent().unwrap_or(here).to_path_buf();
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |dir| root.join(PathBuf::from(dir)));
        Workspace { root, target }
    }
}

/// Prints one line; a closed pipe is no failure of a check.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).unwrap_or_default();
}

fn run(arguments: Arguments) -> Result<bool> {
    let workspace = Workspace::find();
    match arguments.task {
        Task::Test { quick, only } => stage::run_all(&workspace, quick, &only),
        Task::Bench { part, json } => bench::run(&workspace, part.as_deref(), json.as_deref()),
        Task::Fuzz { target, seconds } => fuzz::run(&workspace, &target, seconds),
        Task::Tidy => {
            let counts = tidy::check(&workspace)?;
            say(&counts.to_string());
            Ok(counts.failed == 0)
        }
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
