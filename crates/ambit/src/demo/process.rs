//! The demo's processes: this same binary, each with its own pid, ended with the demo whatever becomes of it.

use crate::limits;
use anyhow::Context as _;
use std::{path::Path, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// A process that ends when its stdin closes.
pub(super) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts this binary with other arguments. It does not inherit the viewer's terminal; what it says goes to a file.
    pub(super) fn start(arguments: &[&str], says: &Path) -> anyhow::Result<Process> {
        let binary = std::env::current_exe().context("this binary cannot be found")?;
        let says = std::fs::File::create(says).context("the demo's directory cannot be written")?;
        let mut child = Command::new(binary)
            .args(arguments)
            .arg("--until-stdin-closes")
            .env_remove("AMBIT_CONFIG")
            .env_remove("AMBIT_DATA")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(says)
            .kill_on_drop(true)
            .spawn()
            .context("a process of the demo cannot be started")?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("a process of the demo has no stdout")?;
        Ok(Process { child, stdin, lines: BufReader::new(stdout).lines() })
    }

    /// The next line that it writes.
    pub(super) async fn line(&mut self) -> anyhow::Result<String> {
        let line = timeout(limits::DEMO_START, self.lines.next_line()).await;
        let line = line.context("a process of the demo did not start in time")??;
        line.context("a process of the demo ended before it was ready")
    }

    /// Closes its stdin and waits for its end.
    pub(super) async fn end(mut self) {
        drop(self.stdin.take());
        let ended = timeout(limits::STOP, self.child.wait()).await;
        if ended.is_err() && self.child.start_kill().is_err() {
            // It ended between the two.
        }
    }
}
