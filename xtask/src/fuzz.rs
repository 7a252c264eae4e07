//! Runs the targets of `fuzz/` under libFuzzer, on the stable toolchain: what `cargo fuzz` would do, less what needs a
//! nightly one.

use crate::{
    Workspace,
    command::{cargo, shown},
};
use anyhow::Result;

/// Instruments every branch and comparison; the counters are what libFuzzer looks at.
const INSTRUMENTED: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Runs one target for so many seconds, over what earlier runs found.
pub(crate) fn run(workspace: &Workspace, target: &str, seconds: u64) -> Result<bool> {
    let corpus = workspace.root.join("fuzz/corpus").join(target);
    std::fs::create_dir_all(&corpus)?;
    let manifest = workspace.root.join("fuzz/Cargo.toml");
    let mut command = cargo(workspace, &["run", "--quiet", "--release", "--manifest-path"]);
    command.arg(manifest).env("RUSTFLAGS", INSTRUMENTED);
    // Another target directory than the build's own: with other flags everything is built anew. A named target keeps
    // the flags away from build scripts.
    command.env("CARGO_TARGET_DIR", workspace.target.join("fuzz"));
    command.args(["--target", "x86_64-unknown-linux-gnu", "--bin", target, "--"]);
    command
        .arg(format!("-max_total_time={seconds}"))
        .args(["-max_len=8192", "-print_final_stats=1"]);
    command.arg(corpus);
    Ok(shown(command)?.success)
}
