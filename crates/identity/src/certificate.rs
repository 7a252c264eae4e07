//! Reads a peer's X.509 certificate: what a token is bound to (RFC 8705), and whose it is (X.509-SVID).
//!
//! That the peer holds the certificate's key was shown by the TLS handshake, and is not looked at here.

use crate::{key::PublicKey, limits::CHAIN};
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{SpiffeId, Timestamp, TrustDomain};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime, pem::PemObject as _};
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};
use x509_parser::{
    oid_registry, prelude::FromDer as _, public_key::PublicKey as Spki, x509::SubjectPublicKeyInfo,
};

/// Whose certificate authorities speak for which trust domain. The platform's own are never among them.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    domains: BTreeMap<TrustDomain, Vec<TrustAnchor<'static>>>,
}

/// Why a certificate, or a bundle of authorities, is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It is no certificate.
    #[error("this is no X.509 certificate (version 3)")]
    Form,
    /// A bundle holds none.
    #[error("there is no `-----BEGIN CERTIFICATE-----` in it")]
    Empty,
    /// The key is of a kind that is not taken.
    #[error("the key is not an Ed25519 or P-256 key: make one of these")]
    Key,
}

impl Trust {
    /// Adds an authority of a trust domain.
    pub fn add(&mut self, domain: &TrustDomain, authority: &[u8]) -> Result<(), CertificateError> {
        let authority = CertificateDer::from(authority);
        let anchor = webpki::anchor_from_trusted_cert(&authority);
        let anchor = anchor.map_err(|_| CertificateError::Form)?.to_owned();
        self.domains.entry(domain.clone()).or_default().push(anchor);
        Ok(())
    }

    /// Adds all authorities of a PEM file; gives their number.
    pub fn add_bundle(
        &mut self,
        domain: &TrustDomain,
        pem: &[u8],
    ) -> Result<usize, CertificateError> {
        let mut count = 0_usize;
        for authority in CertificateDer::pem_slice_iter(pem) {
            self.add(domain, &authority.map_err(|_| CertificateError::Form)?)?;
            count = count.saturating_add(1);
        }
        if count == 0 { Err(CertificateError::Empty) } else { Ok(count) }
    }

    /// The workload that a chain names, if an authority of its own trust domain says so.
    fn named(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Option<SpiffeId> {
        let (leaf, rest) = chain.split_first()?;
        let leaf = webpki::EndEntityCert::try_from(leaf).ok()?;
        let mut names = leaf.valid_uri_names();
        let id = SpiffeId::parse(names.next()?).ok()?;
        // X.509-SVID §2: exactly one URI.
        if names.next().is_some() {
            return None;
        }
        let anchors = self.domains.get(id.domain())?;
        let since = Duration::from_secs(u64::try_from(now.seconds()).ok()?);
        let path = leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            anchors,
            rest,
            UnixTime::since_unix_epoch(since),
            webpki::KeyUsage::client_auth(),
            None,
            None,
        );
        path.is_ok().then_some(id)
    }
}

/// The certificate of the peer of one connection.
///
/// ```compile_fail
/// let forged = identity::Certificate { thumbprint: String::new(), key: None }; // its fields are private
/// ```
#[derive(Clone, Debug)]
pub struct Certificate {
    thumbprint: String,
    key: Option<PublicKey>,
    spiffe_id: Option<SpiffeId>,
    not_before: Timestamp,
    not_after: Timestamp,
}

/// The certificate of a connection's peer, whose worth changes with the authorities that are believed: it is asked for
/// where something is decided on it, and not before.
#[derive(Clone)]
pub struct PeerCertificate(Arc<dyn Fn() -> Option<Arc<Certificate>> + Send + Sync>);

impl PeerCertificate {
    /// Of a listener that judges.
    pub fn new(judge: impl Fn() -> Option<Arc<Certificate>> + Send + Sync + 'static) -> Self {
        PeerCertificate(Arc::new(judge))
    }

    /// What it is worth now.
    #[must_use]
    pub fn now(&self) -> Option<Arc<Certificate>> {
        (self.0)()
    }
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerCertificate")
    }
}

impl Certificate {
    /// Reads what the peer of a handshake sent, its own certificate first.
    pub fn read(
        chain: &[CertificateDer<'_>],
        trust: &Trust,
        now: Timestamp,
    ) -> Result<Certificate, CertificateError> {
        let leaf = chain.first().ok_or(CertificateError::Empty)?;
        let (rest, parsed) =
            x509_parser::parse_x509_certificate(leaf).map_err(|_| CertificateError::Form)?;
        if !rest.is_empty() {
            return Err(CertificateError::Form);
        }
        let hash = digest::digest(&digest::SHA256, leaf);
        let validity = parsed.validity();
        let spiffe_id =
            (chain.len() <= CHAIN && !parsed.is_ca()).then(|| trust.named(chain, now)).flatten();
        Ok(Certificate {
            thumbprint: URL_SAFE_NO_PAD.encode(hash.as_ref()),
            key: public_key(parsed.public_key()).ok(),
            spiffe_id,
            not_before: Timestamp::from_seconds(validity.not_before.timestamp()),
            not_after: Timestamp::from_seconds(validity.not_after.timestamp()),
        })
    }

    /// SHA-256 of the certificate in base64url: `x5t#S256`.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The RFC 7638 thumbprint of its key, if that is an Ed25519 or P-256 key.
    #[must_use]
    pub fn key_thumbprint(&self) -> Option<&str> {
        self.key.as_ref().map(PublicKey::thumbprint)
    }

    /// The workload that it names, if an authority of its trust domain signed it.
    #[must_use]
    pub const fn spiffe_id(&self) -> Option<&SpiffeId> {
        self.spiffe_id.as_ref()
    }

    /// Whether it is valid now: a connection may outlive it.
    #[must_use]
    pub fn is_current(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

/// The key of a certificate or request.
pub(crate) fn public_key(spki: &SubjectPublicKeyInfo<'_>) -> Result<PublicKey, CertificateError> {
    let refused = |_| CertificateError::Key;
    if spki.algorithm.algorithm == oid_registry::OID_SIG_ED25519 {
        let x = <[u8; 32]>::try_from(spki.subject_public_key.data.as_ref()).map_err(refused)?;
        return PublicKey::ed25519(&x).map_err(|_| CertificateError::Key);
    }
    let curve = spki.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
    let is_p256 = curve.is_some_and(|curve| curve == oid_registry::OID_EC_P256);
    let point = match spki.parsed() {
        Ok(Spki::EC(point)) if is_p256 => point.data().to_vec(),
        Ok(_) | Err(_) => return Err(CertificateError::Key),
    };
    let coordinates = point.strip_prefix(&[4]).and_then(|point| point.split_at_checked(32));
    let (x, y) = coordinates.ok_or(CertificateError::Key)?;
    let half = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).map_err(|_| CertificateError::Key);
    PublicKey::p256(&half(x)?, &half(y)?).map_err(|_| CertificateError::Key)
}

/// The key of a SubjectPublicKeyInfo in DER.
pub(crate) fn public_key_of_der(spki: &[u8]) -> Result<PublicKey, CertificateError> {
    let (_, spki) = SubjectPublicKeyInfo::from_der(spki).map_err(|_| CertificateError::Key)?;
    public_key(&spki)
}
