//! `ambit bridge` and `ambit run`: the agent's side of the gate, for programs that hold no key. It proves who calls,
//! renews tokens, reconnects, and answers in words when the gate is away, so that no run ends by it.

mod answer;
mod conversation;
mod door;
mod enrol;
mod holder;
mod launch;
mod message;
mod reach;
mod stdio;
mod told;

use crate::{app, cli, exit::Exit, limits, output::Output};
use anyhow::Context as _;
use conversation::Conversation;
use holder::{Holder, Own};
use model::{Name, TaskId};
use reach::Reach;
use std::{io::Read as _, net::SocketAddr, sync::Arc};

pub(crate) use holder::read_key;
pub(crate) use launch::run as launch;

/// Speaks for an agent on standard input and output, or at a local door.
pub(crate) async fn run(options: cli::Bridge, output: &Output) -> anyhow::Result<Exit> {
    if let Some(code) = &options.enrol {
        return enrol::enrol(&options.who, code, output).await;
    }
    let holder = Arc::new(hold(&options.who)?);
    let told = told::Told::new(*output, &options.who.agent);
    if let Some(address) = options.listen {
        return listen(holder, told, address, output).await;
    }
    let path = mcp_path(options.who.upstream.as_deref())?;
    let conversation = Conversation::new(holder, told, path);
    stdio::converse(Arc::new(conversation)).await?;
    Ok(Exit::Ok)
}

async fn listen(
    holder: Arc<Holder>,
    told: told::Told,
    address: SocketAddr,
    output: &Output,
) -> anyhow::Result<Exit> {
    let door = door::Door::open(holder, told, address).await?;
    output.talk("a local door for one agent: whoever knows its address acts as that agent")?;
    output.line(&format!("ready {}", door.base()))?;
    door.serve(stopped()).await;
    Ok(Exit::Ok)
}

fn hold(who: &cli::Who) -> anyhow::Result<Holder> {
    app::install_crypto();
    let agent = Name::new(&who.agent).context("`--agent` names an agent of `ambit.yaml`")?;
    let task = who.task.as_deref().map(|text| {
        TaskId::parse(text).with_context(|| format!("`{text}` is not a task: write `tsk_…`"))
    });
    let base = gate_of(who)?;
    let own = match (&who.key, &who.assertion) {
        (None, None) => None,
        (Some(file), None) => Some(Own { key: enrol::read(file)?, base, assertion: None }),
        (file, Some(assertion)) => {
            let key = file.as_deref().map_or_else(enrol::drawn, enrol::kept)?;
            Some(Own { key, base, assertion: Some(assertion.clone()) })
        }
    };
    Ok(Holder::new(agent, who.data.data.clone(), task.transpose()?, own, reach(who)?))
}

/// The way to the gate, which shows a certificate if it speaks TLS.
fn reach(who: &cli::Who) -> anyhow::Result<Reach> {
    let Some(file) = &who.ca else {
        return Reach::new(None).map_err(anyhow::Error::msg);
    };
    let place = file.display();
    let mut pem = Vec::new();
    let opened = std::fs::File::open(file).with_context(|| format!("`{place}` cannot be read"))?;
    opened.take(limits::BRIDGE_AUTHORITIES_BYTES).read_to_end(&mut pem)?;
    Reach::new(Some(&pem)).map_err(|why| anyhow::anyhow!("`{place}` (`--ca`): {why}"))
}

/// Where the gate is, as `--gate` says it.
fn gate_of(who: &cli::Who) -> anyhow::Result<Option<String>> {
    let Some(text) = &who.gate else { return Ok(None) };
    let base = text.trim_end_matches('/');
    let url = url::Url::parse(base).ok().filter(|url| url.origin().ascii_serialization() == base);
    let url = url.with_context(|| {
        format!("`{text}` is no gate: write `https://gate.example:8400` or `http://127.0.0.1:8400`")
    })?;
    let is_loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    // A proof binds method, URL and token, and not the body: that is left to TLS.
    anyhow::ensure!(
        url.scheme() == "https" || is_loopback,
        "`{text}` would carry tokens over the network in the clear: write `https://…`"
    );
    Ok(Some(base.to_owned()))
}

/// The door of one upstream, or of all that the agent may see.
fn mcp_path(upstream: Option<&str>) -> anyhow::Result<String> {
    Ok(match upstream {
        None => "/mcp".to_owned(),
        Some(name) => {
            let name: Name = Name::new(name).context("`--upstream` names an upstream")?;
            format!("/mcp/{name}")
        }
    })
}

async fn stopped() {
    let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    let Ok(mut terminate) = terminate else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
