//! A client of the control API: it buys tokens for it with a key of its own, and proves each request.

use crate::{buyer::Buyer, process::Home, proof::ProofKey};
use anyhow::{Context as _, Result, ensure};
use http::HeaderMap;
use serde_json::Value;
use std::sync::Arc;

/// An answer of the API.
#[derive(Debug)]
pub struct Told {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, null if it is not JSON.
    pub body: Value,
}

impl Told {
    /// The code of a problem.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body.get("code").and_then(Value::as_str).unwrap_or_default()
    }

    /// The task that was opened.
    pub fn task(&self) -> Result<String> {
        let task = self.body.get("task").and_then(Value::as_str);
        task.filter(|_| self.status == 201).map(str::to_owned).with_context(|| format!("{self:?}"))
    }
}

/// An orchestrator.
pub struct Orchestrator {
    buyer: Buyer,
    api: String,
    http: reqwest::Client,
}

impl Orchestrator {
    /// The client with the key that `ambit dev` keeps for it.
    pub fn of(home: &Home, client: &str) -> Result<Orchestrator> {
        let text = home.done(&["client", "key", client, "--export", "jwk"])?;
        let jwk = serde_json::from_str(&text).context("the key is not JSON")?;
        let key = Arc::new(ProofKey::from_jwk(&jwk)?);
        let buyer = Buyer::with_key(home, client, key)?;
        Ok(Orchestrator { buyer, api: home.api(), http: reqwest::Client::new() })
    }

    /// A token for the API.
    pub async fn token(&self) -> Result<String> {
        self.buyer.buy(&self.api, &[]).await
    }

    /// The buyer of its tokens.
    #[must_use]
    pub const fn buyer(&self) -> &Buyer {
        &self.buyer
    }

    /// Sends a request of the API with a token and a proof by this client's key.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Told> {
        let url = format!("{}{path}", self.api);
        let proof = self.buyer.key.prove(method, &url, token)?;
        let request = self.http.request(method.parse()?, &url);
        let mut request =
            request.header("authorization", format!("DPoP {token}")).header("dpop", proof);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
        Ok(Told { status, headers, body })
    }

    /// Asks for a task.
    pub async fn ask(&self, task: &Value) -> Result<Told> {
        self.send("POST", "/tasks", &self.token().await?, Some(task), &[]).await
    }

    /// Opens a task.
    pub async fn open(&self, task: &Value) -> Result<String> {
        self.ask(task).await?.task()
    }

    /// Ends a task.
    pub async fn end(&self, task: &str) -> Result<()> {
        let path = format!("/tasks/{task}");
        let told = self.send("DELETE", &path, &self.token().await?, None, &[]).await?;
        ensure!(told.status == 204, "{told:?}");
        Ok(())
    }
}
