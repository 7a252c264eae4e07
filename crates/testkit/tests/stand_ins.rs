//! The stand-ins alone, without Ambit: clients of both eras reach servers of their era, and the log tells all of it.

use anyhow::Result;
use serde_json::json;
use testkit::{
    peer::{ClientEra, Credential, Peer, text},
    process::StandIn,
    script::{self, Script},
    upstream::{mcp::Era, tickets::HIDDEN_INSTRUCTION},
};

async fn check(client: ClientEra, server: Era, reachable: bool) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let upstream = StandIn::mcp(dir.path(), "tickets", server)?;
    let url = format!("http://{}/mcp", upstream.address);
    let peer = Peer::connect(&url, client, Credential::Bearer("secret".into())).await;
    let Ok(peer) = peer else {
        assert!(!reachable, "{client:?} does not reach {server:?}: {:?}", peer.err());
        return Ok(());
    };
    assert!(reachable, "{client:?} reaches {server:?}");
    assert!(peer.tools().await?.contains(&"read_ticket".to_owned()));
    let result = peer.call("read_ticket", json!({ "id": "4711" })).await?;
    assert!(text(&result).contains(HIDDEN_INSTRUCTION), "{result:?}");
    peer.close().await;
    assert_eq!(upstream.oracle.calls("read_ticket"), [json!({ "id": "4711" })]);
    assert!(upstream.oracle.text().contains("Bearer secret"));
    Ok(())
}

#[tokio::test]
async fn a_client_reaches_servers_of_its_era_and_no_other() -> Result<()> {
    check(ClientEra::Modern, Era::Modern, true).await?;
    check(ClientEra::Legacy, Era::Legacy, true).await?;
    check(ClientEra::Modern, Era::Both, true).await?;
    check(ClientEra::Legacy, Era::Both, true).await?;
    check(ClientEra::Modern, Era::Legacy, false).await?;
    check(ClientEra::Legacy, Era::Modern, false).await
}

#[test]
fn the_typescript_clients_reach_servers_of_their_era() -> Result<()> {
    let pairs = [(ClientEra::Modern, Era::Modern), (ClientEra::Legacy, Era::Legacy)];
    for (client, server) in pairs {
        let dir = tempfile::tempdir()?;
        let upstream = StandIn::mcp(dir.path(), "tickets", server)?;
        let url = format!("http://{}/mcp", upstream.address);
        let mut script = Script::connect(&url, client, "secret", None)?;
        assert!(script.tools()?.contains(&"read_ticket".to_owned()));
        let result = script.call("echo", &json!({ "text": "hello" }))?;
        assert_eq!(script::text(&result), "hello");
        assert_eq!(upstream.oracle.calls("echo"), [json!({ "text": "hello" })]);
        let version = if client == ClientEra::Modern { "2026-07-28" } else { "2025-11-25" };
        assert_eq!(script.version, version);
    }
    Ok(())
}
