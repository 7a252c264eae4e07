//! An MCP server for tests: `rmcp-upstream --era modern|legacy|both --listen ADDR [--log FILE] [--json]`.

use anyhow::{Context as _, Result, bail};
use std::{path::PathBuf, sync::Arc};
use testkit::{
    oracle::AccessLog,
    serve,
    upstream::mcp::{self, Era},
};

#[tokio::main]
async fn main() -> Result<()> {
    let (mut era, mut listen, mut log, mut json) = (Era::Both, "127.0.0.1:0".into(), None, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{name} needs a value"));
        match name.as_str() {
            "--era" => era = Era::parse(&value()?).context("modern, legacy or both")?,
            "--listen" => listen = value()?,
            "--log" => log = Some(PathBuf::from(value()?)),
            "--json" => json = true,
            _ => bail!("unknown argument {name}"),
        }
    }
    let log = Arc::new(AccessLog::open(log.as_deref())?);
    mcp::run(serve::bind(&listen).await?, era, json, log).await
}
