//! An HTTP API for tests: `http-upstream --listen ADDR [--log FILE]`.

use anyhow::{Context as _, Result, bail};
use std::{path::PathBuf, sync::Arc};
use testkit::{oracle::AccessLog, serve, upstream::http};

#[tokio::main]
async fn main() -> Result<()> {
    let (mut listen, mut log) = ("127.0.0.1:0".into(), None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{name} needs a value"));
        match name.as_str() {
            "--listen" => listen = value()?,
            "--log" => log = Some(PathBuf::from(value()?)),
            _ => bail!("unknown argument {name}"),
        }
    }
    let log = Arc::new(AccessLog::open(log.as_deref())?);
    http::run(serve::bind(&listen).await?, log).await
}
