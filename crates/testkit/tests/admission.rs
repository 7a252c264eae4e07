//! Forged tokens and bad bodies: each refused clearly, with nothing forwarded, and counted or recorded. Each row has a
//! twin that differs in that one field and goes through.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{
    process::{Ambit, Home, StandIn, get},
    proof::{self, ProofKey},
    upstream::{mcp::Era, tickets::HIDDEN_INSTRUCTION},
};

fn config(tools: &str, api: &str) -> String {
    format!(
        r#"version: 1
humans:
  people:
    dana: {{ groups: [it] }}
agents:
  reader:
    purpose: Read
    owner: group:it
    boundary: all
    credentials: {{ proof: none }}
  bound:
    purpose: Read with a key
    owner: group:it
    boundary: all
upstreams:
  tools:
    mcp: http://{tools}/mcp
    actions:
      echo: {{ effect: read, risk: low }}
      read_ticket: {{ effect: read, risk: low, returns: [/id, /title, /status] }}
      slow: {{ effect: read, risk: prohibited }}
      "*": {{ risk: prohibited }}
  api:
    http: http://{api}
    actions:
      ticket: {{ route: "GET /tickets/{{id}}", effect: read, risk: low, returns: [/id, /title, /status] }}
      transfer: {{ route: POST /transfers, effect: transfer, risk: medium }}
boundaries:
  all: {{ upstreams: [tools, api] }}
"#
    )
}

struct Stage {
    home: Home,
    ambit: Ambit,
    tools: StandIn,
    api: StandIn,
    client: reqwest::Client,
    /// The issuer's own key, taken while the gate was stopped: it makes tokens that are wrong in one field only.
    issuer: ProofKey,
    _logs: tempfile::TempDir,
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    text: String,
}

impl Answer {
    fn is_done(&self) -> bool {
        self.status == 200
            && !self.text.contains("\"isError\":true")
            && self.text.contains("\"result\"")
    }
}

impl Stage {
    fn set() -> Result<Stage> {
        let logs = tempfile::tempdir()?;
        let tools = StandIn::mcp(logs.path(), "tools", Era::Modern)?;
        let api = StandIn::http(logs.path(), "api")?;
        let home = Home::new(&config(&tools.address, &api.address))?;
        home.start()?.stop()?;
        let issuer = home.stolen_key("token-signing")?;
        let ambit = home.start()?;
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
        Ok(Stage { home, ambit, tools, api, client, issuer, _logs: logs })
    }

    fn door(&self) -> String {
        self.home.mcp_door("tools")
    }

    async fn post(&self, authorization: &[(&str, &str)], body: Vec<u8>) -> Result<Answer> {
        self.post_named("echo", authorization, body).await
    }

    async fn post_named(
        &self,
        tool: &str,
        authorization: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer> {
        let mut request = self.client.post(self.door()).header("mcp-name", tool).body(body);
        let fixed = [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
        ];
        for (name, value) in fixed.iter().chain(authorization) {
            request = request.header(*name, *value);
        }
        let answer = request.send().await?;
        Ok(Answer { status: answer.status().as_u16(), text: answer.text().await? })
    }

    async fn bearer(&self, token: &str, body: Vec<u8>) -> Result<Answer> {
        self.post(&[("authorization", &format!("Bearer {token}"))], body).await
    }

    async fn call(&self, token: &str, tool: &str, arguments: &str) -> Result<Answer> {
        let authorization = format!("Bearer {token}");
        self.post_named(tool, &[("authorization", &authorization)], call_of(tool, arguments)).await
    }

    /// How many calls reached the upstream.
    fn reached(&self) -> usize {
        self.tools.oracle.of("call").len()
    }

    /// Requests refused before authentication, by all reasons.
    fn strangers(&self) -> Result<u64> {
        let port = self.home.ops().rsplit(':').next().and_then(|port| port.parse().ok());
        let text = get(port.context("no port")?, "/metrics")?;
        let lines = text.lines().filter(|line| line.starts_with("ambit_strangers_refused_total"));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    }

    /// Refusals that are in the ledger, and those counted before authentication.
    fn accounted(&self) -> Result<u64> {
        let rows = self.home.json(&["trace", "list", "--decision", "deny", "--limit", "1000"])?;
        let recorded = rows.as_array().map_or(0, Vec::len);
        Ok(u64::try_from(recorded)? + self.strangers()?)
    }
}

fn call(arguments: &str) -> Vec<u8> {
    call_of("echo", arguments)
}

fn call_of(tool: &str, arguments: &str) -> Vec<u8> {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "forger", "version": "1.0.0" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments},"_meta":{meta}}}}}"#
    )
    .into_bytes()
}

/// The same object with one member set.
fn with(value: &Value, member: &str, to: Value) -> Value {
    let mut changed = value.clone();
    if let Some(object) = changed.as_object_mut() {
        object.insert(member.to_owned(), to);
    }
    changed
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_tokens_are_refused_and_their_twins_are_not() -> Result<()> {
    let stage = Stage::set()?;
    let good = stage.home.token("reader", &stage.door(), &[])?;
    let (header, claims) = proof::open(&good)?;
    let now = proof::unix_now();
    let signed = |header: &Value, claims: &Value| stage.issuer.sign(header, claims);
    let jwks: Value =
        stage.client.get(format!("{}/oauth/jwks", stage.home.front())).send().await?.json().await?;
    let public = jwks.pointer("/keys/0/x").and_then(Value::as_str).context("no public key")?;
    let hs256 = with(&header, "alg", json!("HS256"));
    let other = ProofKey::ed25519()?;
    let claim = |member: &str, to: Value| signed(&header, &with(&claims, member, to));
    let head = |member: &str, to: Value| signed(&with(&header, member, to), &claims);
    let forged: Vec<(&str, String)> = vec![
        ("alg none", proof::unsigned(&with(&header, "alg", json!("none")), &claims)),
        ("alg None", proof::unsigned(&with(&header, "alg", json!("None")), &claims)),
        ("no signature", proof::unsigned(&header, &claims)),
        ("HS256 with the public key", proof::hmac_signed(&hs256, &claims, public.as_bytes())),
        ("another key", other.sign(&header, &claims)?),
        (
            "another key, named in the header",
            other.sign(&with(&header, "jwk", other.public().clone()), &claims)?,
        ),
        ("kid", head("kid", json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"))?),
        ("typ", head("typ", json!("JWT"))?),
        ("crit", head("crit", json!(["b64"]))?),
        ("alg not the key's", head("alg", json!("ES256"))?),
        ("aud", claim("aud", json!(stage.home.mcp_door("other")))?),
        ("aud of another door", stage.home.token("reader", &stage.home.http_door("api"), &[])?),
        ("iss", claim("iss", json!("http://127.0.0.1:1"))?),
        ("expired", claim("exp", json!(now - 3_600))?),
        (
            "not yet valid",
            claim("iat", json!(now + 3_600)).and_then(|_| claim("nbf", json!(now + 3_600)))?,
        ),
        ("issued in the future", claim("iat", json!(now + 3_600))?),
        (
            "another agent",
            proof::resealed(&good, &header, &with(&claims, "agent", json!("bound")))?,
        ),
        ("unknown version", claim("agent_version", json!("00".repeat(32)))?),
        ("not a token", "abc".into()),
    ];
    for (what, token) in &forged {
        let (before, refusals) = (stage.reached(), stage.accounted()?);
        let answer = stage.bearer(token, call(r#"{"text":"forged"}"#)).await?;
        // A version that is no longer in force belongs to a known identity: it is told in a tool result.
        ensure!(
            answer.status == 401 || (*what == "unknown version" && !answer.is_done()),
            "{what}: {answer:?}"
        );
        ensure!(stage.reached() == before, "{what}: something was forwarded");
        ensure!(stage.accounted()? == refusals + 1, "{what}: neither recorded nor counted");
        let twin = signed(&header, &claims)?;
        let answer = stage.bearer(&twin, call(r#"{"text":"twin"}"#)).await?;
        ensure!(answer.is_done(), "twin of {what}: {answer:?}");
        ensure!(stage.reached() == before + 1, "twin of {what} was not forwarded");
    }
    ensure!(!stage.tools.oracle.text().contains("forged"), "a forged call reached the upstream");
    ensure!(!stage.tools.oracle.text().contains(&good), "an agent's token reached the upstream");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_are_for_one_request_and_one_key() -> Result<()> {
    let stage = Stage::set()?;
    let door = stage.door();
    let token = stage.home.token("bound", &door, &[])?;
    let key = stage.home.key("bound")?;
    let scheme = format!("DPoP {token}");
    let body = || call(r#"{"text":"proof"}"#);
    let send = async |proof: &str| {
        stage.post(&[("authorization", &scheme), ("dpop", proof)], body()).await
    };

    let good = key.prove("POST", &door, &token)?;
    ensure!(send(&good).await?.is_done(), "a fresh proof is accepted");
    ensure!(send(&good).await?.status == 401, "the same proof again is refused");
    let es256 = ProofKey::p256()?;
    let stale = json!({ "htm": "POST", "htu": door, "iat": proof::unix_now() - 3_600, "jti": proof::unique()?,
        "ath": good_ath(&good)? });
    let rows = [
        ("another key", ProofKey::ed25519()?.prove("POST", &door, &token)?),
        ("another kind of key", es256.prove("POST", &door, &token)?),
        ("another method", key.prove("GET", &door, &token)?),
        ("another address", key.prove("POST", &stage.home.mcp_door("other"), &token)?),
        ("another token", key.prove("POST", &door, "abc")?),
        ("stale", key.sign(&key.proof_header(), &stale)?),
        (
            "typ",
            key.sign(
                &with(&key.proof_header(), "typ", json!("JWT")),
                &with(&stale, "iat", json!(proof::unix_now())),
            )?,
        ),
    ];
    for (what, proof) in rows {
        let before = stage.reached();
        let answer = send(&proof).await?;
        ensure!(answer.status == 401, "{what}: {answer:?}");
        ensure!(stage.reached() == before, "{what}: something was forwarded");
        let twin = key.prove("POST", &door, &token)?;
        ensure!(send(&twin).await?.is_done(), "twin of {what}");
    }
    let answer = stage.bearer(&token, body()).await?;
    ensure!(answer.status == 401, "a bound token as bearer: {answer:?}");
    let answer = stage.post(&[("authorization", &scheme)], body()).await?;
    ensure!(answer.status == 401, "a bound token without proof: {answer:?}");
    Ok(())
}

fn good_ath(proof: &str) -> Result<Value> {
    let (_, claims) = proof::open(proof)?;
    claims.get("ath").cloned().context("no ath")
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bodies_are_refused_and_recorded_and_their_twins_are_done() -> Result<()> {
    let stage = Stage::set()?;
    let token = stage.home.token("reader", &stage.door(), &[])?;
    let deep = |depth: usize| {
        format!(r#"{{"text":"x","deep":{}{}}}"#, "[".repeat(depth), "]".repeat(depth))
    };
    let rows: Vec<(&str, String, &str)> = vec![
        ("duplicate keys", r#"{"text":"a","text":"b"}"#.into(), r#"{"text":"a"}"#),
        ("keys equal under case folding", r#"{"text":"a","TEXT":"b"}"#.into(), r#"{"text":"a"}"#),
        ("null", r#"{"text":null}"#.into(), r#"{"text":"null"}"#),
        ("a number for a text", r#"{"text":7}"#.into(), r#"{"text":"7"}"#),
        ("a missing argument", "{}".into(), r#"{"text":""}"#),
        ("an unknown argument", r#"{"text":"a","more":"b"}"#.into(), r#"{"text":"a"}"#),
        ("no object", r#"["a"]"#.into(), r#"{"text":"a"}"#),
        ("null arguments", "null".into(), r#"{"text":"a"}"#),
        ("an unpaired surrogate", r#"{"text":"\ud800"}"#.into(), r#"{"text":"\ud83d\ude00"}"#),
        ("5,000 deep", deep(5_000), r#"{"text":"x"}"#),
        ("oversized", format!(r#"{{"text":"{}"}}"#, "x".repeat(8 << 20)), r#"{"text":"x"}"#),
    ];
    for (what, arguments, twin) in rows {
        let (before, refusals) = (stage.reached(), stage.accounted()?);
        let answer = stage.bearer(&token, call(&arguments)).await;
        // A body beyond the limit may be cut off while it is still being sent.
        if let Ok(answer) = answer {
            ensure!(!answer.is_done() && !answer.text.is_empty(), "{what}: {answer:?}");
            ensure!(answer.status < 500, "{what}: {answer:?}");
        } else {
            ensure!(what == "oversized", "{what}: {answer:?}");
        }
        ensure!(stage.reached() == before, "{what}: something was forwarded");
        ensure!(stage.accounted()? > refusals, "{what}: neither recorded nor counted");
        let answer = stage.bearer(&token, call(twin)).await?;
        ensure!(answer.is_done(), "twin of {what}: {answer:?}");
        ensure!(stage.reached() == before + 1, "twin of {what} was not forwarded");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_is_answered_as_what_is_not_there() -> Result<()> {
    let stage = Stage::set()?;
    let token = stage.home.token("reader", &stage.door(), &[])?;
    // The same length, so that nothing but the name differs: `slow` is prohibited, `slaw` does not exist.
    let hidden = stage.call(&token, "slow", r#"{"ms":1}"#).await?;
    let absent = stage.call(&token, "slaw", r#"{"ms":1}"#).await?;
    ensure!(
        hidden.text.replace("slow", "NAME") == absent.text.replace("slaw", "NAME"),
        "{hidden:?} {absent:?}"
    );
    ensure!(hidden.status == absent.status && hidden.text.contains("Unknown tool"), "{hidden:?}");
    ensure!(stage.reached() == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hidden_instruction_is_not_in_the_bytes_that_the_agent_gets() -> Result<()> {
    let stage = Stage::set()?;
    let token = stage.home.token("reader", &stage.door(), &[])?;
    let answer = stage.call(&token, "read_ticket", r#"{"id":"4711"}"#).await?;
    ensure!(
        answer.is_done() && answer.text.contains("Locked out after phone change"),
        "{answer:?}"
    );
    ensure!(
        !answer.text.contains(HIDDEN_INSTRUCTION) && !answer.text.contains("evil"),
        "{answer:?}"
    );

    let token = stage.home.token("reader", &stage.home.http_door("api"), &[])?;
    let url = format!("{}/tickets/4711", stage.home.http_door("api"));
    let answer = stage.client.get(url).bearer_auth(&token).send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status == 200 && text.contains("Locked out after phone change"), "{status} {text}");
    ensure!(!text.contains("evil"), "{text}");
    ensure!(stage.api.oracle.of("request").len() == 1);
    drop(stage.ambit);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn http_arguments_are_read_once_and_only_as_they_are_declared() -> Result<()> {
    let stage = Stage::set()?;
    let door = stage.home.http_door("api");
    let token = stage.home.token("reader", &door, &[])?;
    let post = async |path: &str, body: &'static str| -> Result<u16> {
        let request = stage.client.post(format!("{door}{path}")).bearer_auth(&token);
        let answer = request.header("content-type", "application/json").body(body).send().await?;
        Ok(answer.status().as_u16())
    };
    let good = r#"{"to":"ana","amount":7}"#;
    let rows = [
        ("duplicate keys", "/transfers", r#"{"to":"ana","to":"eve"}"#),
        ("keys equal under case folding", "/transfers", r#"{"to":"ana","To":"eve"}"#),
        ("a parameter that the body has too", "/transfers?to=eve", good),
        ("duplicate parameters", "/transfers?a=1&a=2", good),
        ("a route that is not declared", "/transfers/7", good),
        ("an encoded slash", "/transfers%2f7", good),
        ("dots", "/tickets/../transfers", good),
    ];
    for (what, path, body) in rows {
        let (before, refusals) = (stage.api.oracle.of("request").len(), stage.accounted()?);
        let status = post(path, body).await?;
        // Clients resolve `..` before they send; what arrives is the declared route and goes through.
        let resolved = what == "dots";
        ensure!((400..500).contains(&status) != resolved, "{what}: {status}");
        let reached = stage.api.oracle.of("request").len() - before;
        ensure!(reached == usize::from(resolved), "{what}: {reached} requests were forwarded");
        ensure!(resolved || stage.accounted()? > refusals, "{what}: neither recorded nor counted");
        ensure!(post("/transfers", good).await? == 201, "twin of {what}");
    }
    Ok(())
}
