//! `/api/v1` on the operators' listener: who reads it, and what it says.
#![cfg(test)]

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use testkit::process::Home;

const CONFIG: &str = "version: 1\nagents:\n  payer:\n    purpose: Pay\n    owner: group:it\n    boundary: all\n    \
    credentials: { proof: none }\nupstreams:\n  bank:\n    http: http://127.0.0.1:9\n    actions:\n      \
    look: { route: GET /fast, effect: read, risk: low }\nboundaries:\n  all: { upstreams: [bank] }\n";

async fn get(url: &str, token: Option<&str>) -> Result<Response> {
    let request = Client::new().get(url);
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    Ok(request.send().await?)
}

/// The status, the kind of answer and what it says.
async fn told(response: Response) -> Result<(StatusCode, String, Value)> {
    let kind = response.headers().get("content-type").context("no type")?.to_str()?.to_owned();
    let status = response.status();
    Ok((status, kind, serde_json::from_slice(&response.bytes().await?)?))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_is_read_by_who_holds_its_token_and_by_no_agent() -> Result<()> {
    let home = Home::new(CONFIG)?;
    let gate = home.start()?;
    let file = home.data().join("api-token");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file)?);
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    let token = std::fs::read_to_string(file)?;
    let agents = format!("{}/api/v1/agents", home.ops());
    let agent_token = home.bearer_token("payer", "bank")?;
    for wrong in [None, Some(agent_token.as_str()), Some("")] {
        let (status, kind, said) = told(get(&agents, wrong).await?).await?;
        ensure!(status == StatusCode::UNAUTHORIZED && kind == "application/problem+json", "{said}");
        ensure!(said["status"] == 401, "{said}");
    }
    let response = get(&agents, Some(&token)).await?;
    let tag = response.headers().get("etag").context("no tag")?.to_str()?.to_owned();
    let (status, kind, said) = told(response).await?;
    ensure!(status == StatusCode::OK && kind == "application/json", "{said}");
    ensure!(said == home.json(&["agent", "list"])?, "the command line is told otherwise: {said}");
    ensure!(said[0]["name"] == "payer" && said[0]["state"] == "active", "{said}");
    let again = Client::new().get(&agents).bearer_auth(&token).header("if-none-match", &tag);
    ensure!(again.send().await?.status() == StatusCode::NOT_MODIFIED);
    home.done(&["agent", "suspend", "payer"])?;
    let again = Client::new().get(&agents).bearer_auth(&token).header("if-none-match", &tag);
    ensure!(again.send().await?.status() == StatusCode::OK, "a change has the same tag");
    let (status, kind, said) = told(get(&format!("{agents}/nobody"), Some(&token)).await?).await?;
    ensure!(status == StatusCode::NOT_FOUND && kind == "application/problem+json", "{said}");
    let described = format!("{}/openapi.json", home.ops());
    let (status, _, described) = told(get(&described, None).await?).await?;
    ensure!(status == StatusCode::OK && described["openapi"] == "3.1.0", "{described}");
    for path in described["paths"].as_object().context("no paths")?.keys() {
        let url = format!("{}{}", home.ops(), path.replace("{name}", "payer"));
        let (status, _, said) = told(get(&url, Some(&token)).await?).await?;
        ensure!(status == StatusCode::OK, "{path}: {status} {said}");
        let status = get(&url, Some(&agent_token)).await?.status();
        ensure!(status == StatusCode::UNAUTHORIZED, "{path} is open to an agent");
    }
    tokio::task::block_in_place(|| gate.stop())
}
