//! Serves HTTP for the stand-ins: one listener, one task per connection.

use anyhow::{Context as _, Result};
use http::{Request, Response};
use http_body_util::{Full, combinators::BoxBody};
use hyper::body::{Body, Bytes, Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use std::{convert::Infallible, future::Future, io::Write as _};
use tokio::net::TcpListener;

/// The body of all answers.
pub type Answer = Response<BoxBody<Bytes, Infallible>>;

/// A body of known bytes.
pub fn full(bytes: impl Into<Bytes>) -> BoxBody<Bytes, Infallible> {
    BoxBody::new(Full::new(bytes.into()))
}

/// Binds and prints `listening ADDR` on standard output: how a parent learns the port.
pub async fn bind(address: &str) -> Result<TcpListener> {
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening {}", listener.local_addr()?)?;
    out.flush()?;
    Ok(listener)
}

/// Serves until the process ends.
pub async fn serve<F, Fut, B, E>(listener: TcpListener, handle: F) -> Result<()>
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let handle = handle.clone();
        tokio::spawn(async move {
            let service = hyper::service::service_fn(handle);
            // A client that goes away ends its connection with an error that is nobody's concern here.
            drop(
                Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        });
    }
}
