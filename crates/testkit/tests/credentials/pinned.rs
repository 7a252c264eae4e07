//! Assertions that are used again by design: a projected token of Kubernetes, a JWT-SVID. Each is worth something only with
//! the key that its workload came with first, so that one that was stolen buys nothing; with the guard off it does.

use crate::{
    federated::Issuer,
    tls::{self, Authority, Pair, file, self_signed},
};
use anyhow::{Context as _, Result, ensure};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::{process::Command, time::Duration};
use testkit::{
    process::{Ambit, Home, StandIn, built},
    proof::ProofKey,
};

const SUBJECT: &str = "system:serviceaccount:prod:reader";
const SPIFFE_ID: &str = "spiffe://corp.example/ns/prod/sa/reader";

fn config(api: &str, issuer: &str) -> String {
    let agent = |name: &str, proof: &str, subject: &str, more: &str| {
        format!(
            "  {name}:\n    purpose: Read\n    owner: group:it\n    boundary: all\n    credentials:\n      proof: {proof}\n      \
             federated:\n        - {{ issuer: \"{issuer}\", subject: \"{subject}\"{more} }}\n"
        )
    };
    let pod = ", single_use: false, pin: /kubernetes.io/pod/uid";
    format!(
        "version: 1\nhumans: {{ people: {{ dana: {{ groups: [it] }} }} }}\nagents:\n{}{}{}{}upstreams:\n  api:\n    http: \
         http://{api}\n    actions:\n      ticket: {{ route: \"GET /tickets/{{id}}\", effect: read, risk: low, returns: [/id] }}\nboundaries:\n  \
         all: {{ upstreams: [api] }}\n",
        agent("pod", "dpop", SUBJECT, pod),
        agent("successor", "dpop", SUBJECT, pod),
        agent("once", "dpop", SUBJECT, ""),
        agent("svid", "mtls", SPIFFE_ID, ", single_use: false, pin: sub"),
    )
}

struct Stage {
    home: Home,
    ambit: Ambit,
    api: StandIn,
    issuer: Issuer,
    client: reqwest::Client,
    _logs: tempfile::TempDir,
}

/// What a form brought: its status and its body.
type Told = (u16, Value);

fn is_pinned((status, body): &Told) -> bool {
    let text = |name| body.get(name).and_then(Value::as_str).unwrap_or_default();
    *status == 401
        && text("error") == "invalid_client"
        && text("error_description").starts_with("key_pinned (AMB1010)")
        && body.get("access_token").is_none()
}

fn token_of((status, body): &Told) -> Result<String> {
    ensure!(*status == 200, "{body}");
    body.get("access_token").and_then(Value::as_str).map(str::to_owned).context("no token")
}

impl Stage {
    fn set(options: &[&str]) -> Result<Stage> {
        let logs = tempfile::tempdir()?;
        let api = StandIn::http(logs.path(), "api")?;
        let issuer = Issuer::start()?;
        let home = Home::new(&config(&api.address, &issuer.url))?.with_options(options);
        let ambit = home.start()?;
        Ok(Stage { home, ambit, api, issuer, client: reqwest::Client::new(), _logs: logs })
    }

    /// A token as the kubelet projects it into a pod.
    fn projected(&mut self, uid: &str) -> Result<String> {
        let claims = json!({ "sub": SUBJECT, "kubernetes.io": { "namespace": "prod",
            "pod": { "name": "reader-7d4f", "uid": uid }, "serviceaccount": { "name": "reader", "uid": "s-1" } } });
        self.issuer.token(&self.home.front(), "RS256", &claims)
    }

    /// Posts a form with an assertion, and with a proof by a key; asked for a nonce, it comes again with it.
    async fn post(
        &self,
        path: &str,
        form: &[(&str, &str)],
        assertion: &str,
        key: Option<&ProofKey>,
    ) -> Result<Told> {
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .append_pair("client_assertion_type", kind)
            .append_pair("client_assertion", assertion)
            .finish();
        let url = format!("{}{path}", self.home.front());
        let mut nonce: Option<String> = None;
        loop {
            let mut request = self.client.post(&url).body(form.clone());
            request = request.header("content-type", "application/x-www-form-urlencoded");
            if let Some(key) = key {
                request =
                    request.header("dpop", key.prove_with("POST", &url, None, nonce.as_deref())?);
            }
            let answer = request.send().await?;
            let given = answer.headers().get("dpop-nonce").and_then(|nonce| nonce.to_str().ok());
            let (given, status) = (given.map(str::to_owned), answer.status().as_u16());
            let body: Value = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
            if nonce.is_none() && body.get("error") == Some(&json!("use_dpop_nonce")) {
                nonce = given;
                ensure!(nonce.is_some(), "{path} asks for a nonce and gives none");
                continue;
            }
            return Ok((status, body));
        }
    }

    async fn buy(&self, agent: &str, assertion: &str, key: Option<&ProofKey>) -> Result<Told> {
        let door = self.home.http_door("api");
        let form =
            [("grant_type", "client_credentials"), ("client_id", agent), ("resource", &*door)];
        self.post("/oauth/token", &form, assertion, key).await
    }

    async fn read(&self, token: &str, key: &ProofKey) -> Result<u16> {
        let url = format!("{}/tickets/4711", self.home.http_door("api"));
        let request = self.client.get(&url).header("authorization", format!("DPoP {token}"));
        Ok(request.header("dpop", key.prove("GET", &url, token)?).send().await?.status().as_u16())
    }

    fn reached(&self) -> usize {
        self.api.oracle.of("request").len()
    }

    /// Ends the gate by a signal, or without a word, and starts it again.
    fn restart(self, gently: bool) -> Result<Stage> {
        let Stage { home, ambit, api, issuer, client, _logs } = self;
        if gently {
            ambit.stop()?;
        } else {
            drop(ambit);
        }
        let ambit = home.start_with(Command::new(built("ambit")?))?;
        Ok(Stage { home, ambit, api, issuer, client, _logs })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projected_token_is_worth_something_with_its_pods_key_alone() -> Result<()> {
    let mut stage = Stage::set(&[])?;
    let (own, thief) = (ProofKey::ed25519()?, ProofKey::p256()?);
    let assertion = stage.projected("u-1")?;
    // Without a key it is nothing, also before anybody came.
    let (status, bare) = stage.buy("pod", &assertion, None).await?;
    ensure!(status == 400 && bare.get("error") == Some(&json!("invalid_dpop_proof")), "{bare}");
    for _ in 0..2 {
        let token = token_of(&stage.buy("pod", &assertion, Some(&own)).await?)?;
        ensure!(stage.read(&token, &own).await? == 200);
    }
    ensure!(stage.reached() == 2);
    // The thief has the file of the pod, now and after the kubelet has written it anew.
    let next = stage.projected("u-1")?;
    for stolen in [&assertion, &next] {
        let told = stage.buy("pod", stolen, Some(&thief)).await?;
        ensure!(is_pinned(&told), "{told:?}");
    }
    let token = token_of(&stage.buy("pod", &next, Some(&own)).await?)?;
    // Nor may the thief ask about a token, or end it.
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        let form = [("client_id", "pod"), ("token", &*token)];
        let told = stage.post(path, &form, &next, Some(&thief)).await?;
        ensure!(is_pinned(&told), "{path}: {told:?}");
        let told = stage.post(path, &form, &next, None).await?;
        ensure!(told.0 == 400, "{path}: {told:?}");
    }
    let form = [("client_id", "pod"), ("token", &*token)];
    let told = stage.post("/oauth/introspect", &form, &next, Some(&own)).await?;
    ensure!(told.1.get("active") == Some(&json!(true)), "{told:?}");
    // Another pod of the same account has a key of its own, and no other.
    let other = stage.projected("u-2")?;
    token_of(&stage.buy("pod", &other, Some(&thief)).await?)?;
    ensure!(is_pinned(&stage.buy("pod", &other, Some(&own)).await?));
    // A token without a pod pins nothing, and the twin that counts once is used up by its first use.
    let plain = stage.issuer.token(&stage.home.front(), "RS256", &json!({ "sub": SUBJECT }))?;
    let (status, told) = stage.buy("pod", &plain, Some(&own)).await?;
    ensure!(status == 401 && told.to_string().contains("`pin`"), "{told}");
    token_of(&stage.buy("once", &plain, Some(&own)).await?)?;
    ensure!(stage.buy("once", &plain, Some(&own)).await?.0 == 401);
    ensure!(stage.reached() == 2, "nothing of the thief's reached the upstream");
    let refused = stage.home.json(&["trace", "list", "--decision", "deny"])?.to_string();
    ensure!(refused.contains("key_pinned"), "{refused}");
    stage.ambit.terminal.wait_for("ALARM", 0, Duration::from_secs(10))?;
    stage.ambit.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_a_stolen_token_reads() -> Result<()> {
    let mut stage = Stage::set(&["--guard-off", "pins"])?;
    let (own, thief) = (ProofKey::ed25519()?, ProofKey::ed25519()?);
    let assertion = stage.projected("u-1")?;
    token_of(&stage.buy("pod", &assertion, Some(&own)).await?)?;
    let stolen = token_of(&stage.buy("pod", &assertion, Some(&thief)).await?)?;
    ensure!(stage.read(&stolen, &thief).await? == 200 && stage.reached() == 1);
    stage.ambit.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_keys_that_come_at_once_one_is_pinned() -> Result<()> {
    let mut stage = Stage::set(&[])?;
    for round in 0..6 {
        let assertion = stage.projected(&format!("u-{round}"))?;
        let keys = (0..4).map(|_| ProofKey::ed25519()).collect::<Result<Vec<_>>>()?;
        let asked = keys.iter().map(|key| stage.buy("pod", &assertion, Some(key)));
        let told = join_all(asked).await.into_iter().collect::<Result<Vec<_>>>()?;
        let given = told.iter().filter(|told| told.0 == 200).count();
        ensure!(given == 1, "round {round}: {told:?}");
        ensure!(told.iter().all(|told| told.0 == 200 || is_pinned(told)), "{told:?}");
        // Who was first stays so.
        for (key, told) in keys.iter().zip(&told) {
            ensure!(stage.buy("pod", &assertion, Some(key)).await?.0 == told.0, "round {round}");
        }
    }
    stage.ambit.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_outlives_the_gate_and_not_its_agent() -> Result<()> {
    let mut stage = Stage::set(&[])?;
    let (own, thief) = (ProofKey::ed25519()?, ProofKey::ed25519()?);
    let assertion = stage.projected("u-1")?;
    token_of(&stage.buy("pod", &assertion, Some(&own)).await?)?;
    for gently in [false, true] {
        stage = stage.restart(gently)?;
        let told = stage.buy("pod", &assertion, Some(&thief)).await?;
        ensure!(is_pinned(&told), "{told:?}");
        token_of(&stage.buy("pod", &assertion, Some(&own)).await?)?;
    }
    stage.home.done(&["revoke", "agent", "pod", "--reason", "test"])?;
    for key in [&own, &thief] {
        let (status, told) = stage.buy("pod", &assertion, Some(key)).await?;
        ensure!(status == 400 && told.to_string().contains("unauthorized_client"), "{told}");
    }
    // Nor does any other endpoint make a pin for who may not act.
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        let form = [("client_id", "pod"), ("token", "x")];
        let (status, told) = stage.post(path, &form, &assertion, Some(&own)).await?;
        ensure!(
            status == 400 && told.to_string().contains("unauthorized_client"),
            "{path}: {told}"
        );
    }
    // What it was pinned to is forgotten with it: let go again, it is whoever comes first.
    stage.home.done(&["unfreeze", "agent:pod", "--reason", "test"])?;
    token_of(&stage.buy("pod", &assertion, Some(&thief)).await?)?;
    ensure!(is_pinned(&stage.buy("pod", &assertion, Some(&own)).await?));
    // Its successor in the same pod begins with a key of its own.
    token_of(&stage.buy("successor", &assertion, Some(&own)).await?)?;
    ensure!(is_pinned(&stage.buy("successor", &assertion, Some(&thief)).await?));
    stage.ambit.stop()
}

#[test]
fn a_jwt_svid_is_pinned_to_the_key_of_a_certificate() -> Result<()> {
    let files = tempfile::tempdir()?;
    let authority = Authority::new("Office CA")?;
    let server = authority.server()?;
    let place = |name: &str, text: &str| -> Result<String> {
        Ok(file(files.path(), name, text)?.to_string_lossy().into_owned())
    };
    let certificate = place("server.crt", &server.certificate)?;
    let key = place("server.key", &server.key)?;
    let mut stage = Stage::set(&["--tls-cert", &certificate, "--tls-key", &key])?;
    let mut client = tls::Client::new(&authority)?;
    let base = stage.home.front().replacen("http:", "https:", 1);
    let door = format!("{base}/http/api");
    // As SPIRE signs it: the subject is the workload, and there is no `jti`.
    let claims =
        json!({ "sub": SPIFFE_ID, "jti": null, "repository_id": null, "environment": null });
    let svid = stage.issuer.token(&base, "ES256", &claims)?;
    let (own, thief) = (self_signed()?, self_signed()?);
    let mut buy = |own: Option<&Pair>| -> Result<tls::Answer> {
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "svid"),
            ("resource", &*door),
            ("client_assertion_type", kind),
            ("client_assertion", &*svid),
        ];
        client.form(&format!("{base}/oauth/token"), &form, own)
    };
    ensure!(buy(None)?.status == 400, "no certificate");
    let bought = buy(Some(&own))?;
    ensure!(bought.status == 200, "{bought:?}");
    ensure!(buy(Some(&own))?.status == 200, "again");
    let stolen = buy(Some(&thief))?;
    ensure!(stolen.status == 401 && stolen.body.contains("key_pinned"), "{stolen:?}");
    let (url, token) = (format!("{door}/tickets/4711"), bought.member("access_token"));
    ensure!(client.get(&url, &format!("Bearer {token}"), Some(&thief))?.status == 401);
    ensure!(stage.reached() == 0);
    ensure!(client.get(&url, &format!("Bearer {token}"), Some(&own))?.status == 200);
    ensure!(stage.reached() == 1);
    stage.ambit.stop()
}
