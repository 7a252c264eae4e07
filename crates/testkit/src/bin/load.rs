//! The load generator: `load JSON`, where JSON has url, method, headers, body, connections, seconds, expect.

use anyhow::{Context as _, Result};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde_json::Value;
use std::{io::Write as _, time::Duration};
use testkit::load::{Plan, run};

#[tokio::main]
async fn main() -> Result<()> {
    let argument = std::env::args().nth(1).context("usage: load JSON")?;
    let outcome = run(plan(&serde_json::from_str(&argument)?)?).await?;
    writeln!(std::io::stdout().lock(), "{}", outcome.to_json())?;
    Ok(())
}

fn plan(given: &Value) -> Result<Plan> {
    let text = |name: &str| given.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let uri: Uri = text("url").parse().context("url")?;
    let mut headers = HeaderMap::new();
    let given_headers = given.get("headers").and_then(Value::as_object);
    for (name, value) in given_headers.into_iter().flatten() {
        let value = HeaderValue::from_str(value.as_str().unwrap_or_default())?;
        headers.insert(HeaderName::try_from(name.as_str())?, value);
    }
    let connections = given.get("connections").and_then(Value::as_u64).unwrap_or(1);
    Ok(Plan {
        address: uri.authority().context("url without a host")?.to_string(),
        method: Method::from_bytes(text("method").as_bytes())?,
        path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        headers,
        body: text("body").into(),
        connections: usize::try_from(connections)?,
        time: Duration::from_secs_f64(given.get("seconds").and_then(Value::as_f64).unwrap_or(1.0)),
        expect: text("expect").into(),
    })
}
