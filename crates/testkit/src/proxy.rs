//! The least a reverse proxy can do with hyper: what governed calls are measured against.

use crate::serve;
use anyhow::Result;
use http::{Request, Uri};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::net::TcpListener;

/// Forwards each request to `upstream` (`host:port`) unchanged but for the host; serves until the process ends.
pub async fn run(listener: TcpListener, upstream: String) -> Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    serve::serve(listener, move |mut request: Request<Incoming>| {
        let client = client.clone();
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let target = format!("http://{upstream}{path}").parse::<Uri>();
        async move {
            *request.uri_mut() = target?;
            request.headers_mut().remove(http::header::HOST);
            let answer = client.request(request).await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(answer)
        }
    })
    .await
}
