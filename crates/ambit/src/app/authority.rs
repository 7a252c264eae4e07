//! Ambit's own certificate authority: its key is kept wrapped in the store, its certificates are control state.

use super::{App, Control, world};
use crate::limits;
use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use canonical::Value;
use identity::{Authority, SigningRequest, Trust};
use issuer::{Certified, IssueError};
use model::{AgentName, Timestamp, record::StateChange};
use std::sync::Arc;
use store::State;

/// The name under which its key is kept.
const KEY: &str = "certificate-authority";
/// The prefix of the rows of its certificates: `authority/SHA-256`.
const AUTHORITIES: &str = "authority/";

impl App {
    /// Makes the authority at first need, and another one before it ends. The old one's certificate stays known until
    /// its end, so that what it signed stays good.
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
        let (mut random, mut serial) = ([0_u8; 32], [0_u8; 16]);
        self.entropy.fill(&mut random);
        self.entropy.fill(&mut serial);
        let made = Authority::make(&self.settings.trust_domain, &random, serial, now)?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, made.certificate());
        let row = gate::json::object([
            ("certificate", Value::from(STANDARD.encode(made.certificate()).as_str())),
            ("not_after", Value::Integer(made.not_after().seconds())),
            ("v", Value::Integer(1)),
        ]);
        let mut changes = self.ended_authorities(now)?;
        let key = format!("{AUTHORITIES}{}", hex::encode(digest.as_ref()));
        changes.push(StateChange { key, value: Some(row.to_bytes()) });
        let reason = "a certificate authority for agents".to_owned();
        // Published first: a key whose certificate nobody knows would sign for nobody.
        self.control(Control { what: "authority", reason, changes }).await?;
        self.store.put_key(KEY, made.pkcs8())?;
        self.authority.store(Some(Arc::new(made)));
        Ok(())
    }

    /// The authority whose key is kept, if its certificate is known.
    fn kept_authority(&self) -> anyhow::Result<Option<Authority>> {
        let Some(key) = self.store.get_key(KEY)? else { return Ok(None) };
        let known = certificates(&self.store.state())?;
        Ok(known.iter().find_map(|(_, certificate, _)| Authority::open(&key, certificate).ok()))
    }

    fn ended_authorities(&self, now: Timestamp) -> anyhow::Result<Vec<StateChange>> {
        let known = certificates(&self.store.state())?;
        let ended = known.into_iter().filter(|(.., not_after)| *not_after <= now);
        Ok(ended.map(|(key, ..)| StateChange { key, value: None }).collect())
    }

    /// Who is believed about agents' certificates: Ambit's own authorities for its own trust domain, and of others
    /// what `--trust-bundle` names.
    pub(crate) fn trust(&self) -> anyhow::Result<Trust> {
        let mut trust = Trust::default();
        for (key, certificate, _) in certificates(&self.store.state())? {
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
        let life = (self.clock.now(), identity::limits::CERTIFICATE_LIFE);
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

/// The rows of the authority's certificates: key, DER and end.
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
