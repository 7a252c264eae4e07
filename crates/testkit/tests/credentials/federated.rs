//! Workloads that come with a token of an issuer which Ambit does not own: another author's issuer signs, the gate
//! fetches its keys.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};
use testkit::{
    process::{Ambit, Home, StandIn, installed},
    proof::unix_now,
};

/// `jose` behind a small server.
pub(crate) struct Issuer {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    pub(crate) url: String,
}

impl Issuer {
    pub(crate) fn start() -> Result<Issuer> {
        let mut command = Command::new("node");
        command.arg(installed("peers/ts/issuer.mjs")?);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().context("no input")?;
        let mut output = BufReader::new(child.stdout.take().context("no output")?).lines();
        let line = output.next().context("it ended")??;
        let address = line.strip_prefix("listening ").context("it does not listen")?;
        Ok(Issuer { child, input, output, url: format!("http://{address}") })
    }

    fn tell(&mut self, what: &Value) -> Result<Value> {
        writeln!(self.input, "{what}")?;
        Ok(serde_json::from_str(&self.output.next().context("it ended")??)?)
    }

    /// Signs these claims over those of a good token; `null` leaves one out.
    pub(crate) fn token(&mut self, audience: &str, alg: &str, edit: &Value) -> Result<String> {
        let now = unix_now();
        let mut claims = json!({
            "iss": self.url, "sub": "repo:acme/reader:environment:prod", "aud": audience,
            "repository_id": "4711", "environment": "prod", "iat": now, "exp": now + 300,
            "jti": format!("{now}-{}", rand_word()),
        });
        let members = claims.as_object_mut().context("an object")?;
        for (name, value) in edit.as_object().into_iter().flatten() {
            if value.is_null() {
                members.remove(name);
            } else {
                members.insert(name.clone(), value.clone());
            }
        }
        let signed = self.tell(&json!({ "claims": claims, "alg": alg }))?;
        signed.get("token").and_then(Value::as_str).map(str::to_owned).context("no token")
    }
}

fn rand_word() -> String {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string()
}

impl Drop for Issuer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn config(api: &str, issuer: &str) -> String {
    format!(
        r#"version: 1
humans: {{ people: {{ dana: {{ groups: [it] }} }} }}
agents:
  reader:
    purpose: Read
    owner: group:it
    boundary: all
    credentials:
      proof: none
      federated:
        - issuer: {issuer}
          subject: repo:acme/reader:environment:prod
          claims: {{ repository_id: 4711, environment: prod }}
          max_age: 10m
  other:
    purpose: Read
    owner: group:it
    boundary: all
    credentials: {{ proof: none }}
upstreams:
  api:
    http: http://{api}
    actions:
      ticket: {{ route: "GET /tickets/{{id}}", effect: read, risk: low, returns: [/id] }}
boundaries:
  all: {{ upstreams: [api] }}
"#
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

impl Stage {
    fn set() -> Result<Stage> {
        let logs = tempfile::tempdir()?;
        let api = StandIn::http(logs.path(), "api")?;
        let issuer = Issuer::start()?;
        let home = Home::new(&config(&api.address, &issuer.url))?;
        let ambit = home.start()?;
        Ok(Stage { home, ambit, api, issuer, client: reqwest::Client::new(), _logs: logs })
    }

    async fn buy(&self, client: &str, assertion: &str) -> Result<(u16, Value)> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", client)
            .append_pair("resource", &self.home.http_door("api"))
            .append_pair(
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            )
            .append_pair("client_assertion", assertion)
            .finish();
        let request = self.client.post(format!("{}/oauth/token", self.home.front()));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(form).send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }
}

#[tokio::test]
async fn a_declared_workload_buys_a_token_and_no_other_does() -> Result<()> {
    let mut stage = Stage::set()?;
    let (own, foreign) = (stage.home.front(), stage.issuer.url.clone());
    for alg in ["RS256", "PS256", "ES256", "EdDSA"] {
        let token = stage.issuer.token(&own, alg, &json!({}))?;
        let (status, answer) = stage.buy("reader", &token).await?;
        ensure!(status == 200, "{alg}: {answer}");
    }
    let now = unix_now();
    let rows = [
        ("another subject", json!({ "sub": "repo:acme/reader:environment:test" })),
        ("a wildcard for a subject", json!({ "sub": "repo:acme/*" })),
        ("another repository", json!({ "repository_id": "4712" })),
        ("no repository", json!({ "repository_id": null })),
        ("another environment", json!({ "environment": "test" })),
        ("another audience", json!({ "aud": "https://other.example" })),
        ("two audiences", json!({ "aud": [own, "https://other.example"] })),
        ("expired", json!({ "exp": now - 60 })),
        ("too old", json!({ "iat": now - 700 })),
        ("another issuer", json!({ "iss": "https://token.actions.githubusercontent.com" })),
    ];
    for (title, edit) in rows {
        let token = stage.issuer.token(&own, "ES256", &edit)?;
        let (status, answer) = stage.buy("reader", &token).await?;
        ensure!(status == 401, "{title}: {answer}");
        ensure!(answer.get("access_token").is_none(), "{title}");
    }
    // A good one is nobody else's, and is good once.
    let token = stage.issuer.token(&own, "ES256", &json!({}))?;
    ensure!(stage.buy("other", &token).await?.0 == 401, "an agent that does not declare it");
    let (status, bought) = stage.buy("reader", &token).await?;
    ensure!(status == 200, "{bought}");
    ensure!(stage.buy("reader", &token).await?.0 == 401, "used before");
    // The issuer takes other keys: the gate learns them from it.
    stage.issuer.tell(&json!({ "rotate": true }))?;
    let stranger = Issuer::start()?.token(&own, "ES256", &json!({ "iss": foreign }))?;
    ensure!(stage.buy("reader", &stranger).await?.0 == 401, "signed by another issuer");

    let access = bought.get("access_token").and_then(Value::as_str).context("a token")?;
    let ticket = format!("{}/tickets/4711", stage.home.http_door("api"));
    let read = stage.client.get(&ticket).bearer_auth(access).send().await?;
    ensure!(read.status() == 200, "{read:?}");
    ensure!(stage.api.oracle.of("request").len() == 1);
    // The foreign token itself opens no door.
    let token = stage.issuer.token(&own, "ES256", &json!({}))?;
    ensure!(stage.client.get(&ticket).bearer_auth(&token).send().await?.status() == 401);
    stage.ambit.stop()
}
