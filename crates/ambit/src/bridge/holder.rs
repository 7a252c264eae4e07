//! Holds the agent's key: buys tokens with it, signs a proof for each request, and lets neither out.

use super::reach::{Reach, Trouble};
use crate::{
    app::{SystemClock, SystemEntropy},
    control::{self, Failed, Request as Ask},
    limits,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use gate::Clock as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use identity::{AgentKey, Algorithm, AssertionClaims, ProofClaims, limits::NONCE_BUCKET};
use ledger::Entropy as _;
use model::{AgentName, Duration, TaskId, Timestamp};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::Read as _,
    path::PathBuf,
    sync::{Arc, Mutex as Lock, PoisonError},
};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

pub(super) const DPOP: HeaderName = HeaderName::from_static("dpop");
const NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// An agent's key and its tokens.
pub(super) struct Holder {
    agent: AgentName,
    data: PathBuf,
    task: Option<TaskId>,
    /// Where the gate is, whatever the data directory says.
    fixed: Option<String>,
    /// Where the platform keeps its token for this workload, if it vouches for it.
    assertion: Option<PathBuf>,
    reach: Reach,
    /// The gate's last nonce, and until when it is sure to be taken.
    nonce: Lock<Option<(String, Timestamp)>>,
    key: Mutex<Option<Arc<AgentKey>>>,
    base: Mutex<Option<String>>,
    tokens: Mutex<BTreeMap<Use, Held>>,
    /// The version that this process is: of its first token. A later one is not what runs here.
    version: Mutex<Option<String>>,
}

/// A key of the instance's own, and where the gate is, if that was said.
pub(super) struct Own {
    pub(super) key: AgentKey,
    pub(super) base: Option<String>,
    /// The file with the token by which the platform names this workload; the key then proves possession alone.
    pub(super) assertion: Option<PathBuf>,
}

/// What a token is good for: one door, and one task or none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Use {
    pub(super) audience: String,
    pub(super) task: Option<String>,
}

struct Held {
    token: Zeroizing<String>,
    scheme: &'static str,
    renew: Timestamp,
}

impl Holder {
    pub(super) fn new(
        agent: AgentName,
        data: PathBuf,
        task: Option<TaskId>,
        own: Option<Own>,
        reach: Reach,
    ) -> Holder {
        let (key, fixed, assertion) = match own {
            None => (None, None, None),
            Some(own) => (Some(Arc::new(own.key)), own.base, own.assertion),
        };
        Holder {
            agent,
            data,
            task,
            assertion,
            reach,
            nonce: Lock::default(),
            key: Mutex::new(key),
            base: Mutex::new(None),
            fixed,
            tokens: Mutex::new(BTreeMap::new()),
            version: Mutex::new(None),
        }
    }

    /// Where the gate is.
    pub(super) async fn base(&self) -> Result<String, Trouble> {
        if let Some(base) = &self.fixed {
            return Ok(base.clone());
        }
        let mut known = self.base.lock().await;
        if let Some(base) = known.as_ref() {
            return Ok(base.clone());
        }
        let status = self.ask(Ask::Status).await?;
        let base = status.get("base_url").and_then(Value::as_str);
        let base = base.ok_or_else(|| Trouble::Away("it does not say where it is".to_owned()))?;
        *known = Some(base.to_owned());
        Ok(base.to_owned())
    }

    /// The gate was not where it was: it is looked for again.
    pub(super) async fn lost(&self) {
        *self.base.lock().await = None;
    }

    /// What a token must be good for: a door, and the bridge's own task. A request that names a task refers to it, and
    /// needs no token of its own.
    pub(super) fn purpose(&self, audience: String) -> Use {
        Use { audience, task: self.task.map(|task| task.to_string()) }
    }

    /// The token for a use is not taken any more.
    pub(super) async fn spent(&self, purpose: &Use) {
        self.tokens.lock().await.remove(purpose);
    }

    /// The gate did not believe a request: if it was for want of a nonce, the token is still good.
    pub(super) async fn disbelieved(&self, response: &Response<Incoming>, purpose: &Use) {
        if !wants_nonce(response.headers()) {
            self.spent(purpose).await;
        }
    }

    /// One exchange with the gate; its nonce is kept for the next proof.
    pub(super) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Trouble> {
        let response = self.reach.exchange(request).await?;
        if let Some(nonce) = response.headers().get(NONCE).and_then(|nonce| nonce.to_str().ok()) {
            let until = SystemClock.now().after(NONCE_BUCKET);
            let kept = Some((nonce.to_owned(), until));
            *self.nonce.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        }
        Ok(response)
    }

    /// A nonce that is sure to be taken. An older one is not shown: where none is demanded the time decides.
    fn nonce(&self, now: Timestamp) -> Option<String> {
        let kept = self.nonce.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|(_, until)| now < *until).map(|(nonce, _)| nonce.clone())
    }

    /// The headers that make a request the agent's own.
    pub(super) async fn prove(
        &self,
        method: &Method,
        url: &str,
        purpose: &Use,
    ) -> Result<HeaderMap, Trouble> {
        let mut headers = HeaderMap::new();
        let key = self.key().await?;
        let mut tokens = self.tokens.lock().await;
        let now = SystemClock.now();
        if tokens.get(purpose).is_none_or(|held| held.renew <= now) {
            let held = self.renewed(&key, purpose).await?;
            tokens.retain(|_, held| held.renew > now);
            if tokens.len() >= limits::BRIDGE_TOKENS {
                tokens.pop_first();
            }
            tokens.insert(purpose.clone(), held);
        }
        let Some(held) = tokens.get(purpose) else {
            return Err(Trouble::NoToken("no token is held".to_owned()));
        };
        let authorization = Zeroizing::new(format!("{} {}", held.scheme, held.token.as_str()));
        headers.insert(header::AUTHORIZATION, secret(&authorization)?);
        if held.scheme == "DPoP" {
            headers.insert(DPOP, secret(&self.proof(&key, method, url, Some(&held.token))?)?);
        }
        Ok(headers)
    }

    /// A token of the version that runs here; where that one may not go on, of the newest.
    async fn renewed(&self, key: &AgentKey, purpose: &Use) -> Result<Held, Trouble> {
        let mut version = self.version.lock().await;
        let bought = match self.buy(key, purpose, version.as_deref()).await {
            Err(Trouble::NoToken(why))
                if version.is_some() && why.starts_with("version_changed") =>
            {
                self.buy(key, purpose, None).await
            }
            bought => bought,
        }?;
        *version = version_of(&bought.token);
        Ok(bought)
    }

    /// A token for a door, bound to the key. The first time the gate asks for a nonce, which its answer brings.
    async fn buy(
        &self,
        key: &AgentKey,
        purpose: &Use,
        version: Option<&str>,
    ) -> Result<Held, Trouble> {
        match self.buy_once(key, purpose, version).await? {
            Some(held) => Ok(held),
            None => self.buy_once(key, purpose, version).await?.ok_or_else(|| {
                Trouble::NoToken("it takes no nonce that it gives: compare the clocks".to_owned())
            }),
        }
    }

    /// None if a nonce is asked for.
    async fn buy_once(
        &self,
        key: &AgentKey,
        purpose: &Use,
        version: Option<&str>,
    ) -> Result<Option<Held>, Trouble> {
        let base = self.base().await?;
        let endpoint = format!("{base}/oauth/token");
        let now = SystemClock.now();
        let form = self.form(&self.assertion(key, &endpoint, now)?, purpose, version);
        let request = Request::post(&endpoint)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(DPOP, secret(&self.proof(key, &Method::POST, &endpoint, None)?)?)
            .body(Full::new(Bytes::from(form)))
            .map_err(|error| Trouble::NoToken(error.to_string()))?;
        let exchanged = tokio::time::timeout(limits::BRIDGE_TOKEN, self.exchange(request));
        let response = match exchanged.await {
            // Buying a token does nothing at any upstream.
            Ok(Err(Trouble::BrokeOff(why))) => return Err(Trouble::Away(why)),
            Ok(response) => response?,
            Err(_) => return Err(Trouble::Away("it issues no token in time".to_owned())),
        };
        let status = response.status();
        let body = Limited::new(response.into_body(), limits::BRIDGE_TOKEN_BYTES).collect().await;
        let body = body.map_err(|error| Trouble::Away(error.to_string()))?.to_bytes();
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
        if status.is_server_error() {
            return Err(Trouble::Away(text("error_description").to_owned()));
        }
        if status == StatusCode::BAD_REQUEST && text("error") == "use_dpop_nonce" {
            return Ok(None);
        }
        if !status.is_success() {
            return Err(Trouble::NoToken(text("error_description").to_owned()));
        }
        let life = answer.get("expires_in").and_then(Value::as_i64).unwrap_or_default();
        // Renewed while a quarter of its life is left.
        let renew = now.after(Duration::seconds(life.saturating_mul(3) / 4));
        let scheme = if text("token_type") == "DPoP" { "DPoP" } else { "Bearer" };
        let token = Zeroizing::new(text("access_token").to_owned());
        Ok(Some(Held { token, scheme, renew }))
    }

    /// What names this workload: the platform's token as it is by now, or an assertion of the key's own.
    fn assertion(
        &self,
        key: &AgentKey,
        endpoint: &str,
        now: Timestamp,
    ) -> Result<Zeroizing<String>, Trouble> {
        let refused = |why: String| Trouble::NoToken(why);
        let Some(file) = &self.assertion else {
            let claims = AssertionClaims {
                agent: &self.agent,
                audience: endpoint,
                jti: &random_hex(),
                issued: now,
                expires: now.after(Duration::seconds(60)),
            };
            let signed = key.assertion(&claims).map_err(|error| refused(error.to_string()))?;
            return Ok(Zeroizing::new(signed));
        };
        let place = file.display();
        let read = |error| refused(format!("`{place}` cannot be read: {error}"));
        let opened = std::fs::File::open(file).map_err(read)?;
        let mut text = Zeroizing::new(String::new());
        opened.take(limits::BRIDGE_ASSERTION_BYTES).read_to_string(&mut text).map_err(read)?;
        if text.trim().is_empty() {
            return Err(refused(format!(
                "`{place}` is empty: the platform has put no token there"
            )));
        }
        Ok(Zeroizing::new(text.trim().to_owned()))
    }

    /// RFC 6749 §4.4 with RFC 7523 §2.2, RFC 8707, and the task.
    fn form(&self, assertion: &str, purpose: &Use, version: Option<&str>) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials")
            .append_pair(
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            )
            .append_pair("client_assertion", assertion)
            .append_pair("client_id", self.agent.as_str())
            .append_pair("resource", &purpose.audience);
        if let Some(task) = &purpose.task {
            form.append_pair("task", task);
        }
        if let Some(version) = version {
            form.append_pair("agent_version", version);
        }
        form.finish()
    }

    pub(super) fn proof(
        &self,
        key: &AgentKey,
        method: &Method,
        url: &str,
        token: Option<&str>,
    ) -> Result<String, Trouble> {
        let url = url.split(['?', '#']).next().unwrap_or(url);
        let now = SystemClock.now();
        let nonce = self.nonce(now);
        let claims = ProofClaims {
            method: method.as_str(),
            url,
            token,
            jti: &random_hex(),
            issued: now,
            nonce: nonce.as_deref(),
        };
        key.proof(&claims).map_err(|error| Trouble::NoToken(error.to_string()))
    }

    /// The key that the running gate keeps for the agent.
    pub(super) async fn key(&self) -> Result<Arc<AgentKey>, Trouble> {
        let mut known = self.key.lock().await;
        if let Some(key) = known.as_ref() {
            return Ok(Arc::clone(key));
        }
        let agent = self.agent.to_string();
        let jwk = self.ask(Ask::AgentKey { agent }).await?;
        let key = Arc::new(read_key(&jwk).ok_or_else(|| {
            Trouble::NoToken(format!("the key of agent `{}` cannot be read", self.agent))
        })?);
        *known = Some(Arc::clone(&key));
        Ok(key)
    }

    /// Asks the gate that runs on the data directory.
    async fn ask(&self, what: Ask) -> Result<Value, Trouble> {
        let asked = control::ask_running(&self.data, &what);
        match tokio::time::timeout(limits::BRIDGE_CONTROL, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.downcast_ref::<Failed>().is_some() => {
                Err(Trouble::NoToken(error.to_string()))
            }
            Ok(Err(error)) => {
                let place = self.data.display();
                Err(Trouble::Away(format!("no gate runs on `{place}`: {}", error.root_cause())))
            }
            Err(_) => Err(Trouble::Away("its control socket does not answer".to_owned())),
        }
    }
}

/// Whether a refusal asks for a nonce (RFC 9449 §9).
pub(super) fn wants_nonce(headers: &HeaderMap) -> bool {
    let challenges = headers.get_all(header::WWW_AUTHENTICATE);
    let wants = |value: &HeaderValue| {
        memchr::memmem::find(value.as_bytes(), b"error=\"use_dpop_nonce\"").is_some()
    };
    challenges.iter().any(wants)
}

/// What a token says of the agent's version; the gate believes nothing of it.
fn version_of(token: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims.get("agent_version").and_then(Value::as_str).map(str::to_owned)
}

pub(crate) fn read_key(jwk: &Value) -> Option<AgentKey> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let algorithm = match text("alg")? {
        "EdDSA" => Algorithm::EdDsa,
        "ES256" => Algorithm::Es256,
        _ => return None,
    };
    let private = Zeroizing::new(URL_SAFE_NO_PAD.decode(text("d")?).ok()?);
    let private = Zeroizing::new(<[u8; 32]>::try_from(private.as_slice()).ok()?);
    AgentKey::from_random(algorithm, &private).ok()
}

pub(super) fn secret(text: &str) -> Result<HeaderValue, Trouble> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Trouble::NoToken("the token cannot stand in a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// 128 random bits.
pub(super) fn random_hex() -> String {
    let mut bytes = [0_u8; 16];
    SystemEntropy.fill(&mut bytes);
    hex::encode(bytes)
}

/// A wait between half of a length and the whole of it.
pub(super) fn jittered(length: std::time::Duration) -> std::time::Duration {
    let mut byte = [0_u8; 1];
    SystemEntropy.fill(&mut byte);
    let [byte] = byte;
    length / 2 + length.mul_f64(f64::from(byte) / 512.0)
}
