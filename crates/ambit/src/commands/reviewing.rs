//! Reviews: the page is shown, and what was shown is signed here, with a key that the gate never sees.

use crate::{
    app::{SystemClock, SystemEntropy, install_crypto},
    bridge, cli,
    control::{self, Request},
    exit::Exit,
    ops::Approval,
    output::Output,
    views,
};
use anyhow::Context as _;
use gate::Clock as _;
use identity::{AgentKey, Algorithm, SignoffClaims};
use ledger::Entropy as _;
use model::{Digest, Name};
use serde_json::Value;
use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};
use zeroize::Zeroizing;

/// Longest key file that is read: a JWK is below 1 KiB.
const KEY_FILE: u64 = 16 * 1024;

/// `ambit agent review`
pub(super) async fn review(options: cli::AgentReview, output: &Output) -> anyhow::Result<Exit> {
    let cli::AgentReview { agent, approve, request, reviewer, key, data } = options;
    if request {
        let handed_in = Request::AgentHandIn { agent };
        let handed_in = control::ask(&data.data, None, handed_in).await?;
        output.answer(&handed_in, views::members)?;
        return Ok(Exit::Ok);
    }
    let ask = |approval| Request::AgentReview { agent: agent.clone(), approval };
    let page = control::ask(&data.data, None, ask(None)).await?;
    if !approve {
        output.answer(&page, views::review)?;
        return Ok(Exit::Ok);
    }
    let text = |name: &str| page.get(name).and_then(Value::as_str).unwrap_or_default();
    let signature = match (&reviewer, &key) {
        (Some(reviewer), Some(key)) => Some(sign(reviewer, key, &page)?),
        _ => None,
    };
    let approval = Approval { reviewer, page: text("page").to_owned(), signature };
    let approved = control::ask(&data.data, None, ask(Some(approval))).await?;
    output.answer(&approved, views::members)?;
    Ok(Exit::Ok)
}

fn sign(reviewer: &str, file: &Path, page: &Value) -> anyhow::Result<String> {
    install_crypto();
    let text = |name: &str| page.get(name).and_then(Value::as_str).unwrap_or_default();
    let digest = |name: &str| Digest::from_hex(text(name)).context("the page has no digest");
    let jwk = Zeroizing::new(read(file)?);
    let jwk: Value =
        serde_json::from_str(&jwk).with_context(|| format!("`{}` is not a JWK", file.display()))?;
    let key = bridge::read_key(&jwk)
        .with_context(|| format!("`{}` is not a private JWK of EdDSA or ES256", file.display()))?;
    let claims = SignoffClaims {
        reviewer: &Name::new(reviewer)?,
        agent: &Name::new(text("agent"))?,
        version: digest("version")?,
        page: digest("page")?,
        issued: SystemClock.now(),
    };
    Ok(key.signoff(&claims)?)
}

fn read(file: &Path) -> anyhow::Result<String> {
    use std::io::Read as _;
    let opened = std::fs::File::open(file);
    let opened = opened.with_context(|| format!("`{}` cannot be read", file.display()))?;
    let mut text = String::new();
    opened.take(KEY_FILE).read_to_string(&mut text)?;
    Ok(text)
}

/// `ambit owner key`
pub(super) async fn key(options: cli::OwnerKey, output: &Output) -> anyhow::Result<Exit> {
    let cli::OwnerKey { name, new, public, data } = options;
    let jwk = match (&new, &public) {
        (Some(file), _) => make(file)?,
        (None, Some(file)) => read(file)?,
        (None, None) => anyhow::bail!("say `--new FILE` or `--public FILE`"),
    };
    let taken = control::ask(&data.data, None, Request::OwnerKey { name, jwk }).await;
    if let (Err(_), Some(file)) = (&taken, &new) {
        // A key that nobody knows is of no use.
        drop(std::fs::remove_file(file));
    }
    output.answer(&taken?, views::members)?;
    Ok(Exit::Ok)
}

/// A new key: its private part in a file that only this user reads; gives the public one.
fn make(file: &Path) -> anyhow::Result<String> {
    install_crypto();
    let mut random = Zeroizing::new([0_u8; 32]);
    SystemEntropy.fill(random.as_mut_slice());
    let key = AgentKey::from_random(Algorithm::EdDsa, &random)?;
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut opened = opened.with_context(|| format!("`{}` cannot be made", file.display()))?;
    opened.write_all(key.private_jwk().as_bytes())?;
    opened.sync_all()?;
    Ok(String::from_utf8(key.public().jwk())?)
}
