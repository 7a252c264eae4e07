//! Runs other programs: their output passes through as it comes and is kept for counting.

use crate::Workspace;
use anyhow::{Context as _, Result, bail};
use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read, Write as _},
    process::{Command, Stdio},
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

/// Lines of a child that may wait for the reader: enough not to hold the child up, few enough to bound memory.
const LINES_WAITING: usize = 1_024;

/// How a program ended and what it printed.
pub(crate) struct Ended {
    pub(crate) success: bool,
    pub(crate) lines: Vec<String>,
}

impl Ended {
    /// Turns a failure into an error that names the program.
    pub(crate) fn or_fail(self, what: &str) -> Result<Ended> {
        if self.success {
            return Ok(self);
        }
        bail!("{what} failed: {}", self.lines.last().map_or("it printed nothing", String::as_str))
    }
}

/// A program started in the workspace's root with the target directory that all stages share.
pub(crate) fn program(workspace: &Workspace, name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command
        .current_dir(&workspace.root)
        .env("CARGO_TARGET_DIR", &workspace.target)
        .env("CARGO_TERM_COLOR", "never")
        .stdin(Stdio::null());
    command
}

/// `cargo` as above.
pub(crate) fn cargo(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command =
        program(workspace, std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

/// Runs to the end; each line is printed as it comes and kept.
pub(crate) fn shown(mut command: Command) -> Result<Ended> {
    run(&mut command, true)
}

/// Runs to the end; lines are kept and printed only if it fails.
pub(crate) fn quiet(mut command: Command) -> Result<Ended> {
    let ended = run(&mut command, false)?;
    if !ended.success {
        for line in &ended.lines {
            crate::say(line);
        }
    }
    Ok(ended)
}

fn run(command: &mut Command, show: bool) -> Result<Ended> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{name}`"))?;
    let (sender, receiver) = sync_channel(LINES_WAITING);
    let pipes = [
        child.stdout.take().map(|pipe| follow(pipe, sender.clone())),
        child.stderr.take().map(|pipe| follow(pipe, sender.clone())),
    ];
    drop(sender);
    let mut lines = Vec::new();
    for line in receiver {
        if show {
            crate::say(&line);
        }
        lines.push(line);
    }
    for pipe in pipes.into_iter().flatten() {
        drop(pipe.join());
    }
    let status = child.wait().with_context(|| format!("cannot wait for `{name}`"))?;
    Ok(Ended { success: status.success(), lines })
}

fn follow(pipe: impl Read + Send + 'static, sender: SyncSender<String>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            if sender.send(line).is_err() {
                return;
            }
            bytes.clear();
        }
        std::io::stdout().flush().unwrap_or_default();
    })
}
