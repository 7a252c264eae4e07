//! An agent at the token service: signs assertions and proofs with its own key, keeps the nonce, and buys tokens.

use crate::{
    process::Home,
    proof::{ProofKey, open, unique, unix_now},
};
use anyhow::{Context as _, Result, ensure};
use http::HeaderMap;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The type of access tokens in an exchange (RFC 8693 §3).
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// An answer of the token service.
#[derive(Debug)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, null if it is not JSON.
    pub body: Value,
}

impl Answered {
    /// A text member of the body.
    #[must_use]
    pub fn text(&self, member: &str) -> &str {
        self.body.get(member).and_then(Value::as_str).unwrap_or_default()
    }

    /// The nonce for the next proof.
    pub fn nonce(&self) -> Option<&str> {
        self.headers.get("dpop-nonce").and_then(|nonce| nonce.to_str().ok())
    }
}

/// How a buyer says who it is.
#[derive(Clone, Debug)]
pub enum Shows {
    /// A client assertion, signed with its key (RFC 7523).
    Assertion,
    /// A scoped key in `Authorization: Basic` (RFC 6749 §2.3.1).
    Basic(String),
    /// A scoped key in the form.
    Post(String),
}

/// An agent with its key.
pub struct Buyer {
    /// How it says who it is.
    pub shows: Shows,
    /// Its name.
    pub agent: String,
    /// Its key.
    pub key: Arc<ProofKey>,
    front: String,
    client: reqwest::Client,
    nonce: Mutex<Option<String>>,
}

impl Buyer {
    /// The agent with the key that `ambit dev` keeps for it.
    pub fn of(home: &Home, agent: &str) -> Result<Buyer> {
        Buyer::with_key(home, agent, home.key(agent)?)
    }

    /// The agent with a key of its own.
    pub fn with_key(home: &Home, agent: &str, key: Arc<ProofKey>) -> Result<Buyer> {
        Buyer::at(&home.front(), agent, key)
    }

    /// The agent with a scoped key and a key for proofs that nobody knows.
    pub fn with_scoped_key(home: &Home, agent: &str, shows: Shows) -> Result<Buyer> {
        let buyer = Buyer::with_key(home, agent, Arc::new(ProofKey::ed25519()?))?;
        Ok(Buyer { shows, ..buyer })
    }

    /// The agent at the gate of this address.
    pub fn at(front: &str, agent: &str, key: Arc<ProofKey>) -> Result<Buyer> {
        let client =
            reqwest::Client::builder().timeout(std::time::Duration::from_secs(30)).build()?;
        let (agent, front, nonce) = (agent.to_owned(), front.to_owned(), Mutex::default());
        Ok(Buyer { shows: Shows::Assertion, agent, key, front, client, nonce })
    }

    /// The same agent, whose connections come from this address.
    pub fn coming_from(self, address: std::net::IpAddr) -> Result<Buyer> {
        let client = reqwest::Client::builder().local_address(address);
        let client = client.timeout(std::time::Duration::from_secs(30)).build()?;
        Ok(Buyer { client, ..self })
    }

    /// A client assertion that was never used.
    pub fn assertion(&self) -> Result<String> {
        let header =
            json!({ "typ": "JWT", "alg": self.key.algorithm(), "kid": self.key.thumbprint() });
        let now = unix_now();
        let claims = json!({ "iss": self.agent, "sub": self.agent, "aud": self.front,
            "iat": now, "exp": now + 60, "jti": unique()? });
        self.key.sign(&header, &claims)
    }

    /// A proof for the token endpoint.
    pub fn proof(&self, nonce: Option<&str>) -> Result<String> {
        let url = format!("{}/oauth/token", self.front);
        self.key.prove_with("POST", &url, None, nonce)
    }

    /// Posts a form with a fresh assertion, and with a proof if one is given.
    pub async fn post(
        &self,
        path: &str,
        form: &[(&str, &str)],
        proof: Option<&str>,
    ) -> Result<Answered> {
        let assertion = self.assertion()?;
        let mut all = match &self.shows {
            Shows::Assertion => {
                vec![("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &assertion)]
            }
            Shows::Basic(_) => Vec::new(),
            Shows::Post(key) => {
                vec![("client_id", self.agent.as_str()), ("client_secret", key.as_str())]
            }
        };
        all.extend(form);
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(all).finish();
        let mut request = self.client.post(format!("{}{path}", self.front)).body(body);
        request = request.header("content-type", "application/x-www-form-urlencoded");
        if let Some(proof) = proof {
            request = request.header("dpop", proof);
        }
        if let Shows::Basic(key) = &self.shows {
            request = request.basic_auth(&self.agent, Some(key));
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
        Ok(Answered { status, headers, body })
    }

    /// Asks the token endpoint with a proof; asked for a nonce, it comes again with it.
    pub async fn ask(&self, form: &[(&str, &str)]) -> Result<Answered> {
        let known = self.nonce.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut answer =
            self.post("/oauth/token", form, Some(&self.proof(known.as_deref())?)).await?;
        if answer.text("error") == "use_dpop_nonce" {
            let nonce = answer.nonce().context("no nonce came")?.to_owned();
            answer = self.post("/oauth/token", form, Some(&self.proof(Some(&nonce))?)).await?;
        }
        let next = answer.nonce().map(str::to_owned);
        *self.nonce.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(answer)
    }

    /// Buys a token for a door with more parameters, such as a task.
    pub async fn buy(&self, resource: &str, more: &[(&str, &str)]) -> Result<String> {
        let mut form = vec![("grant_type", "client_credentials"), ("resource", resource)];
        form.extend(more);
        let answer = self.ask(&form).await?;
        ensure!(answer.status == 200, "no token: {answer:?}");
        Ok(answer.text("access_token").to_owned())
    }

    /// Asks to exchange another agent's token for one of its own.
    pub async fn exchange(
        &self,
        subject: &str,
        resource: &str,
        more: &[(&str, &str)],
    ) -> Result<Answered> {
        let mut form = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", subject),
            ("subject_token_type", ACCESS_TOKEN),
            ("resource", resource),
        ];
        form.extend(more);
        self.ask(&form).await
    }

    /// As [`Buyer::exchange`]; a refusal is an error.
    pub async fn act_for(
        &self,
        subject: &str,
        resource: &str,
        more: &[(&str, &str)],
    ) -> Result<String> {
        let answer = self.exchange(subject, resource, more).await?;
        ensure!(answer.status == 200, "no exchange: {answer:?}");
        Ok(answer.text("access_token").to_owned())
    }

    /// The headers that show a token at a door.
    pub fn shown(
        &self,
        method: &str,
        url: &str,
        token: &str,
    ) -> Result<[(&'static str, String); 2]> {
        let proof = self.key.prove(method, url, token)?;
        Ok([("authorization", format!("DPoP {token}")), ("dpop", proof)])
    }
}

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Result<Value> {
    Ok(open(token)?.1)
}
