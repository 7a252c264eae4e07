//! Enrols this instance: makes its key, and gives the public half with a one-time code and a proof of possession.

use super::{
    gate_of,
    holder::{DPOP, Holder, Own, read_key, secret, wants_nonce},
    reach,
    reach::Trouble,
};
use crate::{app, cli, exit::Exit, limits, output::Output, views};
use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use identity::{AgentKey, Algorithm};
use ledger::Entropy as _;
use model::Name;
use serde_json::Value;
use std::{
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};
use zeroize::Zeroizing;

/// Longest key file that is read: a JWK is below 1 KiB.
const KEY_FILE: u64 = 16 * 1024;

/// `ambit bridge --enrol CODE --key FILE`
pub(super) async fn enrol(who: &cli::Who, code: &str, output: &Output) -> anyhow::Result<Exit> {
    app::install_crypto();
    let agent = Name::new(&who.agent).context("`--agent` names an agent of `ambit.yaml`")?;
    let file = who.key.as_deref().context("say with `--key FILE` where the key is to be kept")?;
    let key = make(file)?;
    let public = String::from_utf8(key.public().jwk())?;
    let own = Some(Own { key, base: gate_of(who)?, assertion: None });
    let holder = Holder::new(agent, who.data.data.clone(), None, own, reach(who)?);
    match holder.enrol(code, &public).await {
        Ok(enrolled) => {
            output.answer(&enrolled, views::members)?;
            Ok(Exit::Ok)
        }
        Err(trouble) => {
            // A key that nobody knows is of no use.
            drop(std::fs::remove_file(file));
            Err(anyhow::anyhow!("this instance was not enrolled: {trouble}"))
        }
    }
}

/// A new key in a file that only this user reads.
fn make(file: &Path) -> anyhow::Result<AgentKey> {
    let key = drawn()?;
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut opened = opened.with_context(|| format!("`{}` cannot be made", file.display()))?;
    opened.write_all(key.private_jwk().as_bytes())?;
    opened.sync_all()?;
    Ok(key)
}

/// A new key.
pub(super) fn drawn() -> anyhow::Result<AgentKey> {
    let mut random = Zeroizing::new([0_u8; 32]);
    app::SystemEntropy.fill(random.as_mut_slice());
    Ok(AgentKey::from_random(Algorithm::EdDsa, &random)?)
}

/// The key in a file, made there if there is none.
pub(super) fn kept(file: &Path) -> anyhow::Result<AgentKey> {
    if file.exists() { read(file) } else { make(file) }
}

/// A key that was kept.
pub(super) fn read(file: &Path) -> anyhow::Result<AgentKey> {
    let opened = std::fs::File::open(file);
    let opened = opened.with_context(|| format!("`{}` cannot be read", file.display()))?;
    let mut text = Zeroizing::new(String::new());
    opened.take(KEY_FILE).read_to_string(&mut text)?;
    let jwk: Value = serde_json::from_str(&text).unwrap_or_default();
    read_key(&jwk).with_context(|| format!("`{}` is no private JWK", file.display()))
}

impl Holder {
    /// The first time the gate asks for a nonce, which its answer brings.
    async fn enrol(&self, code: &str, public: &str) -> Result<Value, Trouble> {
        let base = self.base().await?;
        let endpoint = format!("{base}/oauth/enrol");
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("code", code)
            .append_pair("jwk", public)
            .finish();
        for _ in 0..2 {
            let key = self.key().await?;
            let request = Request::post(&endpoint)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header(DPOP, secret(&self.proof(&key, &Method::POST, &endpoint, None)?)?)
                .body(Full::new(Bytes::from(form.clone())))
                .map_err(|error| Trouble::NoToken(error.to_string()))?;
            let response = self.exchange(request).await?;
            let (wanted, status) = (wants_nonce(response.headers()), response.status());
            let body = Limited::new(response.into_body(), limits::BRIDGE_TOKEN_BYTES).collect();
            let body = body.await.map_err(|error| Trouble::Away(error.to_string()))?.to_bytes();
            let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
            let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
            if status.is_success() {
                return Ok(answer);
            }
            if !wanted && text("error") != "use_dpop_nonce" {
                return Err(Trouble::NoToken(text("error_description").to_owned()));
            }
        }
        Err(Trouble::NoToken("it takes no nonce that it gives: compare the clocks".to_owned()))
    }
}
