//! TLS at the agents' listener: a certificate that can be changed while connections stand, and clients' certificates,
//! which are asked for and not demanded (RFC 8705).

use crate::Clock;
use arc_swap::ArcSwap;
use identity::{Certificate, CertificateError, PeerCertificate, Trust};
use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
    server::{
        ClientHello, NoServerSessionStorage, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use std::{fmt, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Why a certificate and its key are not taken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate's file holds none, or one that cannot be read.
    #[error("there is no certificate in PEM form in it")]
    Certificate,
    /// The key's file holds none.
    #[error("there is no private key in PEM form in it")]
    Key,
    /// They do not fit.
    #[error("certificate and key cannot be used together: {0}")]
    Pair(rustls::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// The listener's side of TLS.
pub struct Tls {
    acceptor: TlsAcceptor,
    own: Arc<Own>,
    trust: ArcSwap<Trust>,
    clock: Arc<dyn Clock>,
}

impl Tls {
    /// Serves with this certificate (a chain in PEM, the listener's own first) and key.
    pub fn new(
        certificate: &[u8],
        key: &[u8],
        trust: Trust,
        clock: Arc<dyn Clock>,
    ) -> Result<Tls, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let pair = Arc::new(pair(certificate, key, &provider)?);
        let own = Arc::new(Own(ArcSwap::from(pair)));
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Own>::clone(&own);
        let mut config = builder
            .with_client_cert_verifier(Arc::new(Asked(provider)))
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed session would bring a certificate that nobody showed again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Tls { acceptor, own, trust: ArcSwap::from_pointee(trust), clock })
    }

    /// Takes another certificate for the connections to come; one that cannot be used changes nothing.
    pub fn renew(&self, certificate: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        self.own.0.store(Arc::new(pair(certificate, key, &provider)?));
        Ok(())
    }

    /// Takes other authorities, also for the connections that stand.
    pub fn trust(&self, trust: Trust) {
        self.trust.store(Arc::new(trust));
    }

    /// The handshake, and the certificate that the peer proved to hold.
    pub(super) async fn accept(
        self: &Arc<Tls>,
        stream: TcpStream,
    ) -> std::io::Result<(TlsStream<TcpStream>, Option<PeerCertificate>)> {
        let stream = self.acceptor.accept(stream).await?;
        let (_, session) = stream.get_ref();
        let chain = session.peer_certificates().filter(|chain| !chain.is_empty());
        let shown = chain.map(|chain| Shown::new(Arc::clone(self), chain)).transpose();
        let shown = shown.map_err(std::io::Error::other)?;
        Ok((stream, shown.map(|shown| PeerCertificate::new(move || shown.certificate()))))
    }
}

/// The certificate of the peer of one connection, judged anew when other authorities are believed.
struct Shown {
    tls: Arc<Tls>,
    chain: Vec<CertificateDer<'static>>,
    judged: ArcSwap<(Arc<Trust>, Arc<Certificate>)>,
}

impl Shown {
    fn new(tls: Arc<Tls>, chain: &[CertificateDer<'_>]) -> Result<Shown, CertificateError> {
        let trust = tls.trust.load_full();
        let certificate = Arc::new(Certificate::read(chain, &trust, tls.clock.now())?);
        let chain = chain.iter().map(|one| one.clone().into_owned()).collect();
        Ok(Shown { tls, chain, judged: ArcSwap::from_pointee((trust, certificate)) })
    }

    /// What it is worth now; nothing if it cannot be read any more.
    fn certificate(&self) -> Option<Arc<Certificate>> {
        let judged = self.judged.load();
        let (by, certificate) = judged.as_ref();
        let trust = self.tls.trust.load();
        if Arc::ptr_eq(by, &trust) {
            return Some(Arc::clone(certificate));
        }
        let now = self.tls.clock.now();
        let certificate = Arc::new(Certificate::read(&self.chain, &trust, now).ok()?);
        self.judged.store(Arc::new((Arc::clone(&trust), Arc::clone(&certificate))));
        Some(certificate)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

fn pair(
    certificate: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(TlsError::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
    CertifiedKey::from_der(chain, key, provider).map_err(TlsError::Pair)
}

/// The certificate in use.
struct Own(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Own {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Own")
    }
}

/// Asks for a certificate and takes any whose key the peer holds. Whose it is, and whether anybody vouches for it, is
/// for the token service to say: a self-signed one is as good as the key that is registered for it.
#[derive(Debug)]
struct Asked(Arc<CryptoProvider>);

impl ClientCertVerifier for Asked {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
