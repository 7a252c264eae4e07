//! Connections of Ambit's own programs to a gate, which are no connections to an upstream.

use super::connect::{platform, tls};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use std::time::Duration;

/// Connects by `http` or `https`, HTTP/1.1.
pub type Https = HttpsConnector<HttpConnector>;

/// A connector that gives up after `connect`. It believes the authorities in `pem` and no others; without it, the
/// platform's. An error says what is wrong with the authorities.
pub fn https(pem: Option<&[u8]>, connect: Duration) -> Result<Https, String> {
    let roots = match pem {
        None => platform(),
        Some(pem) => authorities(pem)?,
    };
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(connect));
    connector.set_nodelay(true);
    connector.enforce_http(false);
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls(roots)?);
    Ok(builder.https_or_http().enable_http1().wrap_connector(connector))
}

fn authorities(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for found in CertificateDer::pem_slice_iter(pem) {
        let found = found.map_err(|error| format!("it is not PEM: {error}"))?;
        roots.add(found).map_err(|error| format!("a certificate cannot be used: {error}"))?;
    }
    if roots.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_authority_is_said() {
        let told = |pem: &[u8]| authorities(pem).err().unwrap_or_default();
        assert_eq!(told(b""), "there is no certificate in it");
        assert_eq!(told(b"gate.crt"), "there is no certificate in it");
        let cut = b"-----BEGIN CERTIFICATE-----\nAAAA\n";
        assert!(told(cut).starts_with("it is not PEM"), "{}", told(cut));
        let empty = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(told(empty).starts_with("a certificate cannot be used"), "{}", told(empty));
    }
}
