//! The binary from outside: golden output, exit codes, the control socket, the demo.
#![cfg(test)]

mod control;
mod demo;
mod files;

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

/// The binary under test, without anything of the environment that it would read.
fn ambit(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ambit"));
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    for name in
        ["AMBIT_CONFIG", "AMBIT_DATA", "AMBIT_LISTEN", "AMBIT_OPS_LISTEN", "AMBIT_SECRETS_DIR"]
    {
        command.env_remove(name);
    }
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    ambit(directory, arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}
