//! `ambit run`: a program with a local door of its own.

use super::{door::Door, hold, mcp_path, told};
use crate::{cli, exit::Exit, output::Output};
use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::ExitStatusExt as _,
    sync::Arc,
};
use tokio::{process::Command, signal::unix::SignalKind};

/// Runs the program and ends with its exit code.
pub(crate) async fn run(options: cli::Run, output: &Output) -> anyhow::Result<Exit> {
    let holder = Arc::new(hold(&options.who)?);
    let told = told::Told::new(*output, &options.who.agent);
    let path = mcp_path(options.who.upstream.as_deref())?;
    let door = Door::open(holder, told, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let base = door.base();
    let serving = tokio::spawn(door.serve(std::future::pending()));
    let (program, arguments) = options.command.split_first().context("no command was given")?;
    let mut command = Command::new(program);
    command.args(arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AMBIT_SECRET_") {
            command.env_remove(name);
        }
    }
    command.env("AMBIT_AGENT", &options.who.agent);
    command.env("AMBIT_URL", &base);
    command.env("AMBIT_MCP_URL", format!("{base}{path}"));
    command.env("AMBIT_HTTP_URL", format!("{base}/http"));
    let child = command.kill_on_drop(true).spawn();
    let mut child = child.with_context(|| format!("`{program}` cannot be started"))?;
    let id = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    let mut interrupt = tokio::signal::unix::signal(SignalKind::interrupt())?;
    let status = loop {
        let signal = tokio::select! {
            status = child.wait() => break status?,
            _ = terminate.recv() => Signal::TERM,
            _ = interrupt.recv() => Signal::INT,
        };
        // At a terminal the program got the interrupt itself; a second one is harmless.
        let _gone = id.is_none_or(|id| kill_process(id, signal).is_err());
    };
    serving.abort();
    let code = status.code().or_else(|| Some(128_i32.saturating_add(status.signal()?)));
    std::process::exit(code.unwrap_or(1))
}
