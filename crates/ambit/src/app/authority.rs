//! Ambit's own certificate authority: its key is kept wrapped in the store, its certificates are control state.

use super::{App, Control, Old, world};
use crate::limits;
use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use canonical::Value;
use identity::{Authority, SigningRequest, Trust, limits::CERTIFICATE_LIFE};
use issuer::{Certified, IssueError};
use model::{AgentName, Timestamp, record::StateChange};
use std::sync::Arc;
use store::State;

/// The name under which its key is kept.
const KEY: &str = "certificate-authority";
/// The prefix of the rows of its certificates: `authority/SHA-256`.
const AUTHORITIES: &str = "authority/";

impl App {
    /// Makes the authority at first need, and another one before it ends. The old one is believed while anything that it
    /// signed lives.
    pub(crate) async fn ensure_authority(&self) -> anyhow::Result<()> {
        let now = self.clock.now();
        let lasts =
            |authority: &Authority| authority.not_after() > now.after(limits::AUTHORITY_LEFT);
        if self.authority.load().as_deref().is_some_and(lasts) {
            return Ok(());
        }
        let _one_at_a_time = self.certifying.lock().await;
        if let Some(kept) = self.kept_authority()?.filter(lasts) {
            self.authority.store(Some(Arc::new(kept)));
            return Ok(());
        }
        self.make_authority(Old::Overlap).await
    }

    /// Signs with another authority from now on.
    pub(crate) async fn rotate_authority(&self, old: Old) -> anyhow::Result<()> {
        let _one_at_a_time = self.certifying.lock().await;
        self.make_authority(old).await
    }

    /// The caller holds the lock of certifying.
    async fn make_authority(&self, old: Old) -> anyhow::Result<()> {
        let now = self.clock.now();
        let (mut random, mut serial) = ([0_u8; 32], [0_u8; 16]);
        self.entropy.fill(&mut random);
        self.entropy.fill(&mut serial);
        let made = Authority::make(&self.settings.trust_domain, &random, serial, now)?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, made.certificate());
        let mut changes = self.older_authorities(old, now)?;
        let key = format!("{AUTHORITIES}{}", hex::encode(digest.as_ref()));
        changes.push(written(key, made.certificate(), made.not_after()));
        let reason = "a certificate authority for agents".to_owned();
        // Published first: a key whose certificate nobody knows would sign for nobody.
        self.control(Control { what: "authority", reason, changes }).await?;
        self.store.put_key(KEY, made.pkcs8())?;
        // Believed before it signs, so that nobody comes with a certificate too early.
        if let Some(tls) = self.tls.get() {
            tls.trust(self.trust()?);
        }
        self.authority.store(Some(Arc::new(made)));
        Ok(())
    }

    /// The authority whose key is kept, if its certificate is known.
    fn kept_authority(&self) -> anyhow::Result<Option<Authority>> {
        let Some(key) = self.store.get_key(KEY)? else { return Ok(None) };
        let known = certificates(&self.store.state())?;
        Ok(known.iter().find_map(|(_, certificate, _)| Authority::open(&key, certificate).ok()))
    }

    /// What becomes of those that signed before: nothing that one signed lives longer than a certificate does.
    fn older_authorities(&self, old: Old, now: Timestamp) -> anyhow::Result<Vec<StateChange>> {
        let last = now.after(CERTIFICATE_LIFE);
        let known = certificates(&self.store.state())?.into_iter();
        let change = |(key, certificate, not_after): (String, Vec<u8>, Timestamp)| {
            if old == Old::Withdraw || not_after <= now {
                return StateChange { key, value: None };
            }
            written(key, &certificate, not_after.min(last))
        };
        Ok(known.map(change).collect())
    }

    /// The authorities of its own that are believed at this time, by the names of their rows.
    pub(crate) fn authorities(&self) -> Vec<String> {
        let now = self.clock.now();
        let known = certificates(&self.store.state()).unwrap_or_default().into_iter();
        known.filter(|(.., not_after)| *not_after > now).map(|(key, ..)| key).collect()
    }

    /// Who is believed about agents' certificates: Ambit's own authorities for its own trust domain, and of others
    /// what `--trust-bundle` names.
    pub(crate) fn trust(&self) -> anyhow::Result<Trust> {
        let (mut trust, now) = (Trust::default(), self.clock.now());
        let known = certificates(&self.store.state())?.into_iter();
        for (key, certificate, _) in known.filter(|(.., not_after)| *not_after > now) {
            let added = trust.add(&self.settings.trust_domain, &certificate);
            added.with_context(|| format!("`{key}` cannot be believed"))?;
        }
        for (domain, path) in &self.settings.trust_bundles {
            let place = || format!("the trust bundle `{}` of `{domain}`", path.display());
            let pem = std::fs::read(path).with_context(place)?;
            let _count = trust.add_bundle(domain, &pem).with_context(place)?;
        }
        Ok(trust)
    }

    /// Signs that a key is an agent's.
    pub(super) fn certify_now(
        &self,
        agent: &AgentName,
        request: &SigningRequest,
    ) -> Result<Certified, IssueError> {
        let authority = self.authority.load_full().ok_or(IssueError::NoAuthority)?;
        let spiffe_id = self.settings.trust_domain.agent(agent);
        let mut serial = [0_u8; 16];
        self.entropy.fill(&mut serial);
        let life = (self.clock.now(), CERTIFICATE_LIFE);
        let signed = authority.sign(request, &spiffe_id, serial, life);
        let signed = signed.map_err(IssueError::Request)?;
        Ok(Certified {
            certificate: signed.pem,
            authority: authority.pem(),
            spiffe_id,
            key: request.key_thumbprint().to_owned(),
            expires: signed.not_after,
        })
    }
}

/// The row of a certificate.
fn written(key: String, certificate: &[u8], not_after: Timestamp) -> StateChange {
    let row = gate::json::object([
        ("certificate", Value::from(STANDARD.encode(certificate).as_str())),
        ("not_after", Value::Integer(not_after.seconds())),
        ("v", Value::Integer(1)),
    ]);
    StateChange { key, value: Some(row.to_bytes()) }
}

/// The rows of the authority's certificates: key, DER and until when each is believed.
fn certificates(state: &State) -> anyhow::Result<Vec<(String, Vec<u8>, Timestamp)>> {
    let read = |(name, row): (&str, &[u8])| {
        let broken = || format!("the row `{AUTHORITIES}{name}` cannot be read");
        let row = canonical::parse(row, &canonical::Limits::ARGUMENTS).with_context(broken)?;
        let certificate = row.get("certificate").and_then(Value::as_str).with_context(broken)?;
        let not_after = row.get("not_after").and_then(Value::as_i64).with_context(broken)?;
        let certificate = STANDARD.decode(certificate).with_context(broken)?;
        let key = format!("{AUTHORITIES}{name}");
        Ok((key, certificate, Timestamp::from_seconds(not_after)))
    };
    world::rows(state, AUTHORITIES).map(read).collect()
}
