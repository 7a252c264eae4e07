//! Processes under test, and what the kernel says they used.

use crate::{Workspace, command::program};
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

/// How long a start may take.
const START_LIMIT: Duration = Duration::from_secs(30);

/// The kernel's unit of CPU time in `/proc/PID/stat`: `USER_HZ`, 100 on every Linux.
const TICK_US: f64 = 10_000.0;

/// A child that ends with its owner.
pub(super) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A binary of the release profile.
pub(super) fn release(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.target.join("release").join(name)
}

impl Running {
    /// Starts a stand-in that prints `listening ADDR`.
    pub(super) fn stand_in(
        workspace: &Workspace,
        name: &str,
        arguments: &[&str],
    ) -> Result<(Running, String)> {
        let mut command = program(workspace, release(workspace, name));
        command.args(arguments).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let output = child.stdout.take().context("no output")?;
        let running = Running(child);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening ").context("it does not listen")?;
        Ok((running, address.to_owned()))
    }

    /// Starts `ambit dev` and waits until it is ready; its output goes to `log`.
    pub(super) fn ambit(
        workspace: &Workspace,
        home: &std::path::Path,
        port: u16,
        ops_port: u16,
    ) -> Result<Running> {
        let log = fs::File::create(home.join("dev.log"))?;
        let mut command = program(workspace, release(workspace, "ambit"));
        command.arg("dev").arg("--config").arg(home.join("ambit.yaml"));
        command.arg("--data").arg(home.join("data")).env("AMBIT_SECRET_BENCH", "bench-secret");
        command.args(["--listen", &format!("127.0.0.1:{port}")]);
        command.args(["--ops-listen", &format!("127.0.0.1:{ops_port}")]);
        command.args(["--api-listen", "127.0.0.1:0"]);
        let child = command.stdout(log.try_clone()?).stderr(log).spawn();
        let mut running = Running(child.context("cannot start `ambit dev`")?);
        let end = Instant::now() + START_LIMIT;
        while !ready(ops_port) {
            if running.0.try_wait()?.is_some() || Instant::now() > end {
                let said = fs::read_to_string(home.join("dev.log")).unwrap_or_default();
                bail!("`ambit dev` is not ready:\n{said}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(running)
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// CPU time used so far, user and system, in microseconds.
    pub(super) fn cpu_us(&self) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // The second field is the name in parentheses and may hold spaces; utime and stime are 14 and 15.
        let (_, after) = text.rsplit_once(')').context("no name in /proc/PID/stat")?;
        let ticks: Vec<f64> = after
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse().ok())
            .collect();
        ensure!(ticks.len() == 2, "/proc/PID/stat has another form");
        Ok(ticks.iter().sum::<f64>() * TICK_US)
    }

    /// Resident memory now, in MiB.
    pub(super) fn rss_mib(&self) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        Ok(kib.context("no VmRSS in /proc/PID/status")? / 1_024.0)
    }
}

fn ready(port: u16) -> bool {
    let ask = || -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// A port that nothing listens on, below the range of outgoing connections.
pub(super) fn free_port(from: u16) -> Result<u16> {
    let free = (from..32_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.context("no free port")
}
