//! The `ambit` binary: parse, run, end with a code of the frozen table.

mod api;
mod app;
mod bridge;
mod cli;
mod commands;
mod config;
mod control;
mod database;
mod demo;
mod dev;
mod exit;
mod follow;
mod limits;
mod logs;
mod ops;
mod output;
mod server;
mod settings;
mod standin;
mod tasks;
mod views;

use clap::Parser as _;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let output = output::Output::new(cli.global.format(), cli.global.quiet, cli.global.color);
    let ended = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(commands::run(cli, &output)));
    match ended {
        Ok(exit) => exit.into(),
        Err(error) => commands::failed(&error, &output).into(),
    }
}

/// The ledger's writer is a thread of its own, busy whenever calls are: it gets a core, the calls have the others. With one
/// worker for each core they wake and displace one another, which costs a tenth of a call.
fn workers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.saturating_sub(1).max(1)
}
