//! The gate's own messages: to decision points, webhooks and collectors that the operator named. No agent chooses where
//! they go, and no upstream's credential goes with them.

use super::Connector;
use crate::{Fault, limits};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy;
use model::Code;
use std::time::Duration;

/// Posts messages over the connections of the one client.
#[derive(Clone, Debug)]
pub struct Courier {
    http: legacy::Client<Connector, Full<Bytes>>,
}

/// One message.
#[derive(Debug)]
pub struct Message<'a> {
    /// Where it goes.
    pub url: &'a str,
    /// What the body is.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
    /// What the gate proves itself with.
    pub secret: Option<(HeaderName, HeaderValue)>,
    /// How long the whole exchange may take.
    pub within: Duration,
}

impl Courier {
    pub(super) fn new(http: legacy::Client<Connector, Full<Bytes>>) -> Courier {
        Courier { http }
    }

    /// Posts, and gives status and body of the answer. A redirect is an answer and is not followed.
    pub async fn post(&self, message: Message<'_>) -> Result<(StatusCode, Bytes), Fault> {
        let Message { url, content_type, body, secret, within } = message;
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url
            .parse()
            .map_err(|_| Fault::ourselves(Code::HookUnavailable, format!("`{url}` is no URL")))?;
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some((name, value)) = secret {
            request.headers_mut().insert(name, value);
        }
        self.exchange(request, limits::HOOK_ANSWER, within).await
    }

    /// Asks for what is public; status and body of the answer, which is at most so long.
    pub(super) async fn get(
        &self,
        url: &str,
        longest: usize,
        within: Duration,
    ) -> Result<(StatusCode, Bytes), Fault> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = url
            .parse()
            .map_err(|_| Fault::ourselves(Code::IssuerUnavailable, format!("`{url}` is no URL")))?;
        self.exchange(request, longest, within).await
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        longest: usize,
        within: Duration,
    ) -> Result<(StatusCode, Bytes), Fault> {
        let broken = |why: String| Fault::unknown(Code::HookUnavailable, why);
        let exchange = async {
            let answer = self.http.request(request).await;
            let answer = answer.map_err(|error| broken(super::root_cause(&error)))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), longest).collect().await;
            let body = body.map_err(|error| broken(error.to_string()))?.to_bytes();
            Ok((status, body))
        };
        let ended = tokio::time::timeout(within, exchange).await;
        ended.map_err(|_| broken(format!("no answer within {within:?}")))?
    }
}
