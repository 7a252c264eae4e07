//! Strangers' clients through the gate to strangers' servers, in every pairing of the two revisions of MCP: one call
//! allowed, one denied, one asked and done after an answer. The upstream's own log is the oracle.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{
    peer::{self, ClientEra, Credential, Peer},
    process::{Ambit, Home, StandIn},
    script::{self, Script},
    upstream::mcp::Era,
};

const SECRET: &str = "upstream-secret-1f0c";
/// How long the terminal may take to show or to answer.
const PATIENCE: Duration = Duration::from_secs(30);

const NO_MAIL_OUTSIDE: &str = r#"
@id("no-mail-outside")
@reason("mail stays inside the company")
forbid (
    principal,
    action in [Action::"modern.send_mail", Action::"legacy.send_mail"],
    resource
)
when { context.args has to && context.args.to like "*@evil.example" };
"#;

fn config(modern: &str, legacy: &str) -> String {
    let upstream = |name: &str, address: &str| {
        format!(
            r#"  {name}:
    mcp: http://{address}/mcp
    credential: env:AMBIT_SECRET_{}
    actions:
      echo: {{ effect: read, risk: low }}
      send_mail: {{ effect: send, risk: medium }}
      transfer: {{ effect: transfer, risk: high, approval: leads, show: [to, amount] }}
      "*": {{ risk: prohibited }}
"#,
            name.to_uppercase()
        )
    };
    let agent = |name: &str, proof: &str| {
        format!(
            r#"  {name}:
    purpose: Pay and write to customers
    owner: group:it
    boundary: all
    only: ["modern.*", "legacy.*", modern.transfer, legacy.transfer]
    credentials: {{ proof: {proof} }}
"#
        )
    };
    format!(
        "version: 1\nhumans:\n  people:\n    dana: {{ groups: [it, leads] }}\nagents:\n{}{}upstreams:\n{}{}boundaries:\n  \
         all: {{ upstreams: [modern, legacy] }}\napprovals:\n  leads: {{ approvers: group:leads }}\n",
        agent("bearer", "none"),
        agent("bound", "dpop"),
        upstream("modern", modern),
        upstream("legacy", legacy),
    )
}

/// The gate between two upstreams.
struct Stage {
    home: Home,
    ambit: Ambit,
    modern: StandIn,
    legacy: StandIn,
    _logs: tempfile::TempDir,
}

impl Stage {
    fn set() -> Result<Stage> {
        let logs = tempfile::tempdir()?;
        let modern = StandIn::mcp(logs.path(), "modern", Era::Modern)?;
        let legacy = StandIn::mcp(logs.path(), "legacy", Era::Legacy)?;
        let home = Home::new(&config(&modern.address, &legacy.address))?
            .with_policy("mail", NO_MAIL_OUTSIDE)?
            .with_secret("AMBIT_SECRET_MODERN", SECRET)
            .with_secret("AMBIT_SECRET_LEGACY", SECRET);
        let ambit = home.start()?;
        Ok(Stage { home, ambit, modern, legacy, _logs: logs })
    }

    fn upstream(&self, name: &str) -> &StandIn {
        if name == "modern" { &self.modern } else { &self.legacy }
    }

    /// Types an answer to the ask that shows `nonce`.
    fn answer(&mut self, nonce: &str, answer: &str) -> Result<()> {
        let at = self.ambit.terminal.wait_for(nonce, 0, PATIENCE)?;
        let at = self.ambit.terminal.wait_for("[y/n]", at, PATIENCE)?;
        self.ambit.terminal.enter(answer)?;
        let told = if answer == "y" { "approved once" } else { "declined" };
        self.ambit.terminal.wait_for(told, at, PATIENCE).map(drop)
    }
}

/// A client by either author.
enum Client {
    Rust(Peer),
    TypeScript(Box<Script>),
}

/// What a client's model gets to read.
#[derive(Debug)]
struct Told {
    is_error: bool,
    text: String,
}

impl Client {
    async fn connect(
        kind: &str,
        era: ClientEra,
        home: &Home,
        agent: &str,
        upstream: &str,
    ) -> Result<Client> {
        let door = home.mcp_door(upstream);
        let token = home.token(agent, &door, &[])?;
        let bound = agent == "bound";
        if kind == "rmcp" {
            let credential = match bound {
                true => Credential::Proven(token, home.key(agent)?),
                false => Credential::Bearer(token),
            };
            return Peer::connect(&door, era, credential).await.map(Client::Rust);
        }
        let text = home.done(&["agent", "key", agent, "--export", "jwk"])?;
        let jwk: Option<Value> = bound.then(|| serde_json::from_str(&text)).transpose()?;
        Script::connect(&door, era, &token, jwk.as_ref()).map(Box::new).map(Client::TypeScript)
    }

    async fn tools(&mut self) -> Result<Vec<String>> {
        match self {
            Client::Rust(peer) => peer.tools().await,
            Client::TypeScript(script) => script.tools(),
        }
    }

    async fn call(&mut self, tool: &str, arguments: &Value) -> Result<Told> {
        Ok(match self {
            Client::Rust(peer) => {
                let result = peer.call(tool, arguments.clone()).await?;
                Told { is_error: result.is_error == Some(true), text: peer::text(&result) }
            }
            Client::TypeScript(script) => {
                let result = script.call(tool, arguments)?;
                let is_error = result.get("isError").and_then(Value::as_bool) == Some(true);
                Told { is_error, text: script::text(&result) }
            }
        })
    }
}

async fn row(
    stage: &mut Stage,
    kind: &str,
    era: ClientEra,
    agent: &str,
    upstream: &str,
) -> Result<()> {
    let name = format!("{kind}-{}-{agent}-{upstream}", era.as_str());
    let mut client = Client::connect(kind, era, &stage.home, agent, upstream).await?;
    let mut tools = client.tools().await?;
    tools.sort();
    assert_eq!(tools, ["echo", "send_mail", "transfer"], "{name}: only the catalog is listed");

    let told = client.call("echo", &json!({ "text": name })).await?;
    assert!(!told.is_error && told.text == name, "{name}: {told:?}");
    assert!(stage.upstream(upstream).oracle.calls("echo").contains(&json!({ "text": name })));

    let mail = json!({ "to": format!("{name}@evil.example"), "subject": "s", "body": "b" });
    let told = client.call("send_mail", &mail).await?;
    assert!(told.is_error && told.text.contains("forbidden"), "{name}: {told:?}");

    let transfer = json!({ "to": "ana", "amount": 7, "nonce": name });
    let told = client.call("transfer", &transfer).await?;
    if agent == "bearer" {
        assert!(told.is_error && told.text.contains("bearer_capped"), "{name}: {told:?}");
        assert!(told.text.contains("`ambit bridge`"), "{name}: the way out is named: {told:?}");
        assert_eq!(transfers(stage, upstream, &name), 0, "{name}: never, and nobody is asked");
        return Ok(());
    }
    assert!(
        !told.is_error && told.text.contains("ask_"),
        "{name}: pending, with a handle: {told:?}"
    );
    assert_eq!(transfers(stage, upstream, &name), 0, "{name}: nothing before the answer");
    stage.answer(&name, "y")?;
    let told = client.call("transfer", &transfer).await?;
    assert!(!told.is_error && told.text.contains("transferred 7 to ana"), "{name}: {told:?}");
    assert_eq!(transfers(stage, upstream, &name), 1, "{name}: once");
    Ok(())
}

fn transfers(stage: &Stage, upstream: &str, nonce: &str) -> usize {
    let all = stage.upstream(upstream).oracle.calls("transfer").into_iter();
    all.filter(|arguments| arguments.get("nonce").and_then(Value::as_str) == Some(nonce)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn either_era_of_client_reaches_either_era_of_upstream() -> Result<()> {
    let mut stage = Stage::set()?;
    for upstream in ["modern", "legacy"] {
        for era in ClientEra::ALL {
            row(&mut stage, "rmcp", era, "bearer", upstream).await?;
            row(&mut stage, "typescript", era, "bound", upstream).await?;
        }
        row(&mut stage, "rmcp", ClientEra::Modern, "bound", upstream).await?;
    }
    for upstream in ["modern", "legacy"] {
        let oracle = &stage.upstream(upstream).oracle;
        assert!(!oracle.text().contains("evil.example"), "a denied mail reached {upstream}");
        let requests = oracle.of("request");
        let stranger = requests.iter().find(|request| {
            let header = request.pointer("/headers/authorization").and_then(Value::as_str);
            header != Some(&format!("Bearer {SECRET}"))
        });
        assert_eq!(
            stranger, None,
            "each request carries the upstream's credential and no token of an agent"
        );
        assert!(requests.iter().all(|request| request.pointer("/headers/dpop").is_none()));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_without_yes_never_reaches_the_upstream() -> Result<()> {
    let mut stage = Stage::set()?;
    let mut client =
        Client::connect("rmcp", ClientEra::Modern, &stage.home, "bound", "modern").await?;
    let declined = json!({ "to": "ana", "amount": 7, "nonce": "declined" });
    let told = client.call("transfer", &declined).await?;
    assert!(told.text.contains("ask_"), "{told:?}");
    stage.answer("declined", "n")?;
    let told = client.call("transfer", &declined).await?;
    assert!(told.is_error && told.text.contains("declined"), "{told:?}");

    let approved = json!({ "to": "ana", "amount": 7, "nonce": "approved" });
    client.call("transfer", &approved).await?;
    stage.answer("\"approved\"", "y")?;
    let other = json!({ "to": "ana", "amount": 8, "nonce": "approved" });
    let told = client.call("transfer", &other).await?;
    assert!(told.text.contains("ask_"), "an answer is for these arguments alone: {told:?}");
    stage.answer("\"amount\":8", "n")?;
    let told = client.call("transfer", &approved).await?;
    assert!(told.text.contains("transferred 7"), "{told:?}");
    let told = client.call("transfer", &approved).await?;
    assert!(told.text.contains("ask_"), "an answer is used once: {told:?}");

    let unanswered = json!({ "to": "ana", "amount": 7, "nonce": "unanswered" });
    let told = client.call("transfer", &unanswered).await?;
    assert!(told.text.contains("ask_"), "{told:?}");
    let reached = stage.modern.oracle.calls("transfer");
    assert_eq!(reached, [approved], "only what was approved, once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_is_done_when_the_answer_comes() -> Result<()> {
    let mut stage = Stage::set()?;
    let mut client =
        Client::connect("rmcp", ClientEra::Legacy, &stage.home, "bound", "legacy").await?;
    let transfer = json!({ "to": "ana", "amount": 9, "nonce": "waiting" });
    let call = tokio::spawn({
        let transfer = transfer.clone();
        async move { client.call("transfer", &transfer).await }
    });
    tokio::task::block_in_place(|| stage.answer("waiting", "y"))?;
    let told = call.await.context("the call's task")??;
    assert!(told.text.contains("transferred 9 to ana"), "{told:?}");
    assert_eq!(stage.legacy.oracle.calls("transfer"), [transfer]);
    Ok(())
}
