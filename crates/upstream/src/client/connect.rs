//! Connections to upstreams: plain or TLS, with one time limit over both handshakes.

use super::destination;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use std::{
    error::Error,
    fmt,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::net::TcpStream;
use tower::Service;

/// The connector that the client is built on.
pub(crate) type Connector = Timed<HttpsConnector<Checked>>;

type BoxError = Box<dyn Error + Send + Sync>;
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// Gives the addresses of a host's name.
type Resolve = Arc<dyn Fn(String, u16) -> Boxed<io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// A connector whose connections stand within a time limit, or fail before anything is sent.
#[derive(Clone, Debug)]
pub(crate) struct Timed<C> {
    inner: C,
    limit: Duration,
}

impl Timed<HttpsConnector<Checked>> {
    /// Connects to no address of `own`.
    pub(crate) fn new(limit: Duration, own: &[SocketAddr]) -> Result<Connector, String> {
        Timed::with(limit, own, Arc::new(|host, port| Box::pin(look_up(host, port))))
    }

    fn with(limit: Duration, own: &[SocketAddr], resolve: Resolve) -> Result<Connector, String> {
        let roots = platform();
        if roots.is_empty() {
            // No error: https upstreams are then unreachable, plain ones are not.
            tracing::warn!("no certificate authorities found: https upstreams are refused");
        }
        let inner = HttpsConnectorBuilder::new()
            .with_tls_config(tls(roots)?)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(Checked { own: own.into(), resolve, limit });
        Ok(Timed { inner, limit })
    }
}

/// Connects to a host's addresses, each looked at first. What is looked at is what is connected
/// to: the name is resolved once.
#[derive(Clone)]
pub(crate) struct Checked {
    own: Arc<[SocketAddr]>,
    resolve: Resolve,
    limit: Duration,
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Service<Uri> for Checked {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Boxed<io::Result<TokioIo<TcpStream>>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let checked = self.clone();
        Box::pin(async move { checked.connect(&uri).await })
    }
}

impl Checked {
    async fn connect(&self, uri: &Uri) -> io::Result<TokioIo<TcpStream>> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default);
        let stated: Option<IpAddr> = host.parse().ok();
        let addresses = match stated {
            Some(ip) => vec![SocketAddr::new(ip, port)],
            None => (self.resolve)(host.to_owned(), port).await?,
        };
        for address in &addresses {
            if let Some(why) = destination::refused(*address, stated.is_some(), &self.own) {
                let what = format!("`{host}` is at `{address}`, {why}");
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
            }
        }
        let share = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match tokio::time::timeout(self.limit / share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(TokioIo::new(stream));
                }
                Ok(Err(error)) => failed = error,
                Err(_) => {
                    let what = format!("no answer from `{address}`");
                    failed = io::Error::new(io::ErrorKind::TimedOut, what);
                }
            }
        }
        Err(failed)
    }
}

async fn look_up(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

/// The authorities that the platform believes.
pub(super) fn platform() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let _counts = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// TLS that believes these authorities.
pub(super) fn tls(roots: RootCertStore) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn what_was_looked_at_is_what_is_connected_to() {
        let (own, fine) = (listener().await, listener().await);
        let count = Arc::new(AtomicUsize::new(0));
        let own_address = own.local_addr().unwrap();
        // A name that changes its mind: harmless at the first look, Ambit itself at the second.
        let answers = [fine.local_addr().unwrap(), own_address];
        let counted = Arc::clone(&count);
        let resolve: Resolve = Arc::new(move |_, _| {
            let look = counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move { Ok(vec![answers[look % 2]]) })
        });
        let limit = Duration::from_secs(5);
        let mut checked = Checked { own: [own_address].into(), resolve, limit };
        let uri = || Uri::from_static("http://rebinding.example:1/");
        let stream = checked.call(uri()).await.unwrap();
        assert_eq!(stream.inner().peer_addr().unwrap(), answers[0]);
        assert_eq!(count.load(Ordering::SeqCst), 1, "the name was resolved once");
        let refused = checked.call(uri()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        assert!(refused.to_string().contains("Ambit's own address"), "{refused}");
    }

    #[tokio::test]
    async fn one_refused_address_of_a_name_refuses_the_name() {
        let fine = listener().await;
        let good = fine.local_addr().unwrap();
        let bad: SocketAddr = "169.254.169.254:80".parse().unwrap();
        for answer in [vec![good, bad], vec![bad, good]] {
            let resolve: Resolve = Arc::new(move |_, _| {
                let answer = answer.clone();
                Box::pin(async move { Ok(answer) })
            });
            let limit = Duration::from_secs(5);
            let mut checked = Checked { own: [].into(), resolve, limit };
            let uri = Uri::from_static("http://mixed.example:1/");
            let refused = checked.call(uri).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        }
    }

    async fn listener() -> tokio::net::TcpListener {
        tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap()
    }
}
