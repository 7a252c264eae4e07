//! Ambit's own certificate authority: it signs who an agent is (X.509-SVID), and takes of a request only its key.

use crate::{
    certificate::{CertificateError, public_key},
    key::{Algorithm, KeyError, PublicKey},
    limits::{AUTHORITY_LIFE, CSR_BYTES, LEEWAY},
    secret::Secret,
};
use model::{Duration, SpiffeId, Timestamp, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::fmt;
use time::OffsetDateTime;

/// Why no certificate was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// It is no request.
    #[error(
        "this is no certificate signing request in PEM (`-----BEGIN CERTIFICATE REQUEST-----`): {0}"
    )]
    Form(&'static str),
    /// Its key is not taken.
    #[error("{0}")]
    Key(#[from] CertificateError),
    /// The authority's own key or certificate cannot be used.
    #[error("the authority's own {0} cannot be used")]
    Own(&'static str),
    /// The authority ends before the certificate would.
    #[error("the authority ends too soon: renew it")]
    Ends,
}

/// A request for a certificate. What it asks for beside a certificate for its key is not read.
pub struct SigningRequest {
    key: PublicKey,
    read: CertificateSigningRequestParams,
}

impl SigningRequest {
    /// Reads PEM; the request must be signed by the key that it is for.
    pub fn read(pem: &str) -> Result<SigningRequest, AuthorityError> {
        if pem.len() > CSR_BYTES {
            return Err(AuthorityError::Form("it is longer than 8 KiB"));
        }
        let read = CertificateSigningRequestParams::from_pem(pem).map_err(|error| {
            let unsigned = error == rcgen::Error::InvalidCertificationRequestSignature;
            let unknown = error == rcgen::Error::UnsupportedExtension;
            AuthorityError::Form(match (unsigned, unknown) {
                (true, _) => "it is not signed by its own key",
                (_, true) => "it asks for an extension that is not known",
                (false, false) => "it cannot be read",
            })
        })?;
        let spki = rcgen::PublicKeyData::subject_public_key_info(&read.public_key);
        let key = crate::certificate::public_key_of_der(&spki)?;
        Ok(SigningRequest { key, read })
    }

    /// The RFC 7638 thumbprint of its key: the instance.
    #[must_use]
    pub fn key_thumbprint(&self) -> &str {
        self.key.thumbprint()
    }
}

impl fmt::Debug for SigningRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningRequest({})", self.key.thumbprint())
    }
}

/// A certificate that was signed.
#[derive(Clone, Debug)]
pub struct Signed {
    /// In PEM.
    pub pem: String,
    /// Its end.
    pub not_after: Timestamp,
}

/// The authority of one trust domain: a P-256 key for signing certificates and nothing else, and its own certificate.
pub struct Authority {
    secret: Secret,
    issuer: rcgen::Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    not_after: Timestamp,
}

impl Authority {
    /// Makes a key, of 32 random bytes, and its certificate.
    pub fn make(
        domain: &TrustDomain,
        random: &[u8; 32],
        serial: [u8; 16],
        now: Timestamp,
    ) -> Result<Authority, AuthorityError> {
        let own = |_: KeyError| AuthorityError::Own("key");
        let secret = Secret::from_random(Algorithm::Es256, random).map_err(own)?;
        let mut params = params(serial, now, AUTHORITY_LIFE)?;
        params.distinguished_name.push(DnType::CommonName, "Ambit CA");
        params.distinguished_name.push(DnType::OrganizationName, domain.as_str());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.subject_alt_names = vec![uri(&format!("spiffe://{domain}"))?];
        let pair = key_pair(&secret)?;
        let certificate =
            params.self_signed(&pair).map_err(|_| AuthorityError::Own("certificate"))?;
        let certificate = certificate.der().to_vec();
        Authority::open(secret.pkcs8(), &certificate)
    }

    /// Takes a kept key and its certificate.
    pub fn open(pkcs8: &[u8], certificate: &[u8]) -> Result<Authority, AuthorityError> {
        let own = |_: KeyError| AuthorityError::Own("key");
        let secret = Secret::from_pkcs8(Algorithm::Es256, pkcs8).map_err(own)?;
        let certificate = CertificateDer::from(certificate.to_vec());
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate)
            .map_err(|_| AuthorityError::Own("certificate"))?;
        let key =
            public_key(parsed.public_key()).map_err(|_| AuthorityError::Own("certificate"))?;
        if key.thumbprint() != secret.public().thumbprint() {
            return Err(AuthorityError::Own("certificate, which is of another key,"));
        }
        let not_after = Timestamp::from_seconds(parsed.validity().not_after.timestamp());
        let issuer = rcgen::Issuer::from_ca_cert_der(&certificate, key_pair(&secret)?)
            .map_err(|_| AuthorityError::Own("certificate"))?;
        Ok(Authority { secret, issuer, certificate, not_after })
    }

    /// The PKCS#8 document, to be stored wrapped.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        self.secret.pkcs8()
    }

    /// Its certificate in DER, by which others know it.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The same in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        let certificate = pem::Pem::new("CERTIFICATE", self.certificate.to_vec());
        pem::encode_config(
            &certificate,
            pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
        )
    }

    /// Its end.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Signs that the request's key is this workload's: no subject, one URI, no right to sign others, for clients only.
    pub fn sign(
        &self,
        request: &SigningRequest,
        id: &SpiffeId,
        serial: [u8; 16],
        (now, life): (Timestamp, Duration),
    ) -> Result<Signed, AuthorityError> {
        let mut params = params(serial, now, life)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![uri(id.as_str())?];
        params.use_authority_key_identifier_extension = true;
        let not_after = Timestamp::from_seconds(params.not_after.unix_timestamp());
        if not_after > self.not_after {
            return Err(AuthorityError::Ends);
        }
        let signed = params.signed_by(&request.read.public_key, &self.issuer);
        let signed = signed.map_err(|_| AuthorityError::Own("key"))?;
        Ok(Signed { pem: signed.pem(), not_after })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.secret.public().thumbprint())
    }
}

fn key_pair(secret: &Secret) -> Result<KeyPair, AuthorityError> {
    let document = PrivatePkcs8KeyDer::from(secret.pkcs8());
    KeyPair::from_pkcs8_der_and_sign_algo(&document, &rcgen::PKCS_ECDSA_P256_SHA256)
        .map_err(|_| AuthorityError::Own("key"))
}

/// Nothing but times and a number.
fn params(
    serial: [u8; 16],
    now: Timestamp,
    life: Duration,
) -> Result<CertificateParams, AuthorityError> {
    let time = |at: Timestamp| {
        let time = OffsetDateTime::from_unix_timestamp(at.seconds());
        time.map_err(|_| AuthorityError::Own("clock"))
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = time(Timestamp(now.0.saturating_sub(LEEWAY.0)))?;
    params.not_after = time(now.after(life))?;
    // RFC 5280 §4.1.2.2: positive, and at most 20 bytes.
    let mut number = serial;
    if let Some(first) = number.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    params.serial_number = Some(SerialNumber::from_slice(&number));
    Ok(params)
}

fn uri(text: &str) -> Result<SanType, AuthorityError> {
    let text = text.try_into().map_err(|_| AuthorityError::Own("name"))?;
    Ok(SanType::URI(text))
}
