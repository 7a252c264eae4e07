//! An organisation's identity provider: it publishes its keys and signs ID tokens, right and wrong ones.

use crate::{
    proof::{ProofKey, unix_now},
    serve::{self, full},
};
use anyhow::{Context as _, Result};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::{convert::Infallible, sync::Arc};
use tokio::{net::TcpListener, task::JoinHandle};

/// The provider; it ends with its owner.
pub struct Provider {
    key: ProofKey,
    url: String,
    server: JoinHandle<Result<()>>,
}

impl Provider {
    /// Opens on a port of its own.
    pub async fn open() -> Result<Provider> {
        let key = ProofKey::p256()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let mut public = key.public().clone();
        let members = public.as_object_mut().context("a JWK is an object")?;
        members.insert("kid".into(), "provider-1".into());
        members.insert("alg".into(), key.algorithm().into());
        members.insert("use".into(), "sig".into());
        let about = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") }).to_string();
        let keys = json!({ "keys": [public] }).to_string();
        let (about, keys) = (Arc::new(about), Arc::new(keys));
        let server = tokio::spawn(serve::serve(listener, move |request: Request<Incoming>| {
            let (about, keys) = (Arc::clone(&about), Arc::clone(&keys));
            async move {
                let body = match request.uri().path() {
                    "/.well-known/openid-configuration" => Some(about),
                    "/keys" => Some(keys),
                    _ => None,
                };
                let mut answer = Response::new(full(
                    body.as_ref().map(|body| body.to_string()).unwrap_or_default(),
                ));
                if body.is_none() {
                    *answer.status_mut() = StatusCode::NOT_FOUND;
                }
                Ok::<_, Infallible>(answer)
            }
        }));
        Ok(Provider { key, url, server })
    }

    /// Its issuer URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The claims of an ID token that is right.
    #[must_use]
    pub fn claims(&self, subject: &str, audience: &str) -> Value {
        let now = unix_now();
        json!({ "iss": self.url, "sub": subject, "aud": audience, "iat": now, "exp": now + 300 })
    }

    /// Signs claims as an ID token.
    pub fn sign(&self, claims: &Value) -> Result<String> {
        self.sign_with(&self.key, claims)
    }

    /// The same with another key under the name of its own.
    pub fn sign_with(&self, key: &ProofKey, claims: &Value) -> Result<String> {
        let header = json!({ "typ": "JWT", "alg": key.algorithm(), "kid": "provider-1" });
        key.sign(&header, claims)
    }

    /// An ID token of a human.
    pub fn id_token(&self, subject: &str, audience: &str) -> Result<String> {
        self.sign(&self.claims(subject, audience))
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.server.abort();
    }
}
