//! One HTTP exchange with the gate, and what is known when it fails.

use crate::limits;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use upstream::Https;

/// Why there is no answer of the gate's.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// Nothing reached it.
    Away(String),
    /// It broke off: nobody knows what happened.
    BrokeOff(String),
    /// It gives this agent no token.
    NoToken(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Away(why) | Trouble::BrokeOff(why) | Trouble::NoToken(why) => f.write_str(why),
        }
    }
}

/// Keeps connections to the gate.
#[derive(Clone, Debug)]
pub(super) struct Reach(Client<Https, Full<Bytes>>);

impl Reach {
    /// To a gate whose authority is in `pem`, or one that the platform believes.
    pub(super) fn new(pem: Option<&[u8]>) -> Result<Reach, String> {
        let connector = upstream::https(pem, limits::BRIDGE_CONNECT)?;
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits::BRIDGE_IDLE_CONNECTION)
            .pool_max_idle_per_host(limits::BRIDGE_CALLS)
            // A request into a connection that closes could have been read: it is told, not repeated.
            .retry_canceled_requests(false)
            .build(connector);
        Ok(Reach(client))
    }

    pub(super) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Trouble> {
        match tokio::time::timeout(limits::BRIDGE_ANSWER, self.0.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_connect() => {
                Err(Trouble::Away(format!("no connection: {}", explained(&error))))
            }
            Ok(Err(error)) if never_left(&error) => {
                Err(Trouble::Away(format!("the connection was closed: {}", root(&error))))
            }
            Ok(Err(error)) => Err(Trouble::BrokeOff(format!("it broke off: {}", root(&error)))),
            Err(_) => Err(Trouble::BrokeOff("it did not answer in time".to_owned())),
        }
    }
}

/// Whether a kept connection was closed before any byte of this request was written to it.
fn never_left(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(this) = cause {
        if this.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return true;
        }
        cause = this.source();
    }
    false
}

/// The deepest cause, and what to do where it is the gate's certificate.
fn explained(error: &(dyn std::error::Error + 'static)) -> String {
    let cause = root(error);
    // hyper-rustls gives the TLS error inside of `io::Error`s, by its text alone.
    if cause.contains("UnknownIssuer") {
        return "its certificate is of an authority that is not known here: name that with `--ca FILE`"
            .to_owned();
    }
    cause
}

fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
