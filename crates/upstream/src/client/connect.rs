//! Connections to upstreams: plain or TLS, with one time limit over both handshakes.

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use std::{
    error::Error,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tower::Service;

/// The connector that the client is built on.
pub(crate) type Connector = Timed<HttpsConnector<HttpConnector>>;

type BoxError = Box<dyn Error + Send + Sync>;

/// A connector whose connections stand within a time limit, or fail before anything is sent.
#[derive(Clone, Debug)]
pub(crate) struct Timed<C> {
    inner: C,
    limit: Duration,
}

impl Timed<HttpsConnector<HttpConnector>> {
    pub(crate) fn new(limit: Duration) -> Result<Connector, String> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(limit));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let inner = HttpsConnectorBuilder::new()
            .with_tls_config(tls(provider)?)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(http);
        Ok(Timed { inner, limit })
    }
}

/// TLS with the platform's authorities. A platform without any is no error: https upstreams are
/// then unreachable, plain ones are not.
fn tls(provider: Arc<rustls::crypto::CryptoProvider>) -> Result<rustls::ClientConfig, String> {
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!(ignored, "no certificate authorities found: https upstreams are refused");
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

impl<C> Service<Uri> for Timed<C>
where
    C: Service<Uri>,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
    C::Response: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let limit = self.limit;
        let connecting = tokio::time::timeout(limit, self.inner.call(uri));
        Box::pin(async move {
            match connecting.await {
                Ok(connected) => connected.map_err(Into::into),
                Err(_) => {
                    let what = format!("no connection within {limit:?}");
                    Err(io::Error::new(io::ErrorKind::TimedOut, what).into())
                }
            }
        })
    }
}
