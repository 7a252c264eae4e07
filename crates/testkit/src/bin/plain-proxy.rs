//! The minimal hyper proxy of the benchmarks: `plain-proxy LISTEN UPSTREAM`, both `host:port`.

use anyhow::{Context as _, Result};
use testkit::{proxy, serve};

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().context("usage: plain-proxy LISTEN UPSTREAM")?;
    let upstream = arguments.next().context("usage: plain-proxy LISTEN UPSTREAM")?;
    proxy::run(serve::bind(&listen).await?, upstream).await
}
