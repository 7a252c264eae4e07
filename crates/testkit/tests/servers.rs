//! The reference servers behind the gate, with the catalogs of `docs/examples/servers`: an allowed tool does what it
//! does without a gate, a denied one does not reach its server. The oracle is the server's own effect, or a copy of what
//! reached it that is taken outside of Ambit.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use testkit::{
    peer::{self, ClientEra, Peer},
    process::{Home, installed, text_of},
};

const EVERYTHING: &str = include_str!("../../../docs/examples/servers/everything.yaml");
const FILESYSTEM: &str = include_str!("../../../docs/examples/servers/filesystem.yaml");
const MEMORY: &str = include_str!("../../../docs/examples/servers/memory.yaml");

fn server(name: &str) -> Result<PathBuf> {
    installed(&format!(
        "peers/servers/node_modules/@modelcontextprotocol/server-{name}/dist/index.js"
    ))
}

/// The example, with the installed server and a place of the test's own in it.
fn adapted(example: &str, changes: &[(&str, &str)]) -> Result<String> {
    let mut text = example.to_owned();
    for (from, to) in changes {
        ensure!(text.matches(from).count() == 1, "`{from}` is in the example once");
        text = text.replace(from, to);
    }
    Ok(text)
}

async fn connect(home: &Home, agent: &str, upstream: &str, era: ClientEra) -> Result<Peer> {
    let door = home.mcp_door(upstream);
    Peer::connect(&door, era, home.proven(agent, &door)?).await
}

async fn call(peer: &Peer, tool: &str, arguments: Value) -> Result<(bool, String)> {
    let result = peer.call(tool, arguments).await?;
    Ok((result.is_error == Some(true), peer::text(&result)))
}

#[tokio::test(flavor = "multi_thread")]
async fn files() -> Result<()> {
    let place = tempfile::tempdir()?;
    let root = place.path().canonicalize()?;
    let command =
        format!("[node, \"{}\", \"{}\"]", server("filesystem")?.display(), root.display());
    let config = adapted(
        FILESYSTEM,
        &[("[npx, -y, \"@modelcontextprotocol/server-filesystem\", /srv/notes]", &command)],
    )?;
    let home = Home::new(&config)?;
    let ambit = home.start()?;
    for era in ClientEra::ALL {
        let peer = connect(&home, "clerk", "files", era).await?;
        let tools = peer.tools().await?;
        assert!(
            tools.contains(&"write_file".into()) && !tools.contains(&"move_file".into()),
            "{tools:?}"
        );
        let note = root.join(format!("{}.txt", era.as_str()));
        let path = note.to_string_lossy().into_owned();
        let (failed, text) =
            call(&peer, "write_file", json!({ "path": path, "content": "kept" })).await?;
        assert!(!failed, "{text}");
        assert_eq!(text_of(&note), "kept");
        let (failed, text) = call(&peer, "read_text_file", json!({ "path": path })).await?;
        assert_eq!((failed, text.as_str()), (false, "kept"));
        let away = json!({ "source": path, "destination": root.join("away.txt") });
        let (failed, text) = call(&peer, "move_file", away).await?;
        assert!(failed && text.contains("Unknown tool"), "{text}");
        assert!(note.exists() && !root.join("away.txt").exists(), "it was not moved");
        let outside = json!({ "path": "/etc/passwd" });
        let (failed, text) = call(&peer, "read_text_file", outside).await?;
        assert!(failed && !text.contains("root:"), "the server's own bounds stand: {text}");
    }
    ambit.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn memory() -> Result<()> {
    let place = tempfile::tempdir()?;
    let kept = place.path().join("memory.jsonl");
    let command = format!("[node, \"{}\"]", server("memory")?.display());
    let config = adapted(
        MEMORY,
        &[
            ("[npx, -y, \"@modelcontextprotocol/server-memory\"]", &command),
            ("/srv/memory.jsonl", &format!("\"{}\"", kept.display())),
        ],
    )?;
    let home = Home::new(&config)?;
    let ambit = home.start()?;
    for era in ClientEra::ALL {
        let peer = connect(&home, "clerk", "memory", era).await?;
        let name = format!("meeting-{}", era.as_str());
        let entity =
            json!({ "name": name, "entityType": "meeting", "observations": ["on Tuesday"] });
        let (failed, text) =
            call(&peer, "create_entities", json!({ "entities": [entity] })).await?;
        assert!(!failed, "{text}");
        assert!(text_of(&kept).contains(&name), "it is in the server's file");
        let (failed, text) = call(&peer, "search_nodes", json!({ "query": name })).await?;
        assert!(!failed && text.contains("on Tuesday"), "{text}");
        let (failed, text) =
            call(&peer, "delete_entities", json!({ "entityNames": [name] })).await?;
        assert!(failed, "{text}");
        assert!(text_of(&kept).contains(&name), "it was not deleted");
    }
    ambit.stop()
}

/// A server at a URL, with a copy of what reaches it.
struct AtUrl {
    child: Child,
    port: u16,
}

impl AtUrl {
    fn start(watched: &Path) -> Result<AtUrl> {
        let child = Command::new("node")
            .arg("--require")
            .arg(installed("peers/servers/watched.cjs")?)
            .arg(server("everything")?)
            .arg("streamableHttp")
            .env("PORT", "0")
            .env("WATCHED", watched)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run node")?;
        let mut server = AtUrl { child, port: 0 };
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let text = text_of(watched);
            let port = text.lines().find_map(|line| line.strip_prefix("listening ")?.parse().ok());
            if let Some(port) = port {
                server.port = port;
                return Ok(server);
            }
            ensure!(Instant::now() < end, "the server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for AtUrl {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_over_standard_streams_and_at_a_url() -> Result<()> {
    let place = tempfile::tempdir()?;
    let (streamed, posted) = (place.path().join("stdin.log"), place.path().join("posts.log"));
    let script =
        format!("tee '{}' | exec node '{}'", streamed.display(), server("everything")?.display());
    let at_url = AtUrl::start(&posted)?;
    let config = adapted(
        EVERYTHING,
        &[
            (
                "[npx, -y, \"@modelcontextprotocol/server-everything\"]",
                &format!("[sh, -c, \"{script}\"]"),
            ),
            ("http://127.0.0.1:3001/mcp", &format!("http://127.0.0.1:{}/mcp", at_url.port)),
        ],
    )?;
    let home = Home::new(&config)?;
    let ambit = home.start()?;
    for (upstream, oracle) in [("everything", &streamed), ("everything-http", &posted)] {
        for era in ClientEra::ALL {
            let peer = connect(&home, "tester", upstream, era).await?;
            let (failed, text) = call(&peer, "get-sum", json!({ "a": 3, "b": 4 })).await?;
            assert!(!failed && text.contains('7'), "{upstream}: {text}");
            let word = format!("through {upstream} as {}", era.as_str());
            let (failed, text) = call(&peer, "echo", json!({ "message": word })).await?;
            assert!(!failed && text.contains(&word), "{upstream}: {text}");
            assert!(text_of(oracle).contains(&word), "{upstream}: the copy is taken");
            let slow = json!({ "duration": 1, "steps": 2 });
            let (failed, text) = call(&peer, "trigger-long-running-operation", slow).await?;
            assert!(!failed && text.contains("completed"), "{upstream}: {text}");
            let (failed, text) = call(&peer, "get-env", json!({})).await?;
            assert!(failed && !text.contains("PATH"), "{upstream}: {text}");
        }
        assert!(!text_of(oracle).contains("get-env"), "{upstream}: what is denied does not arrive");
    }
    ambit.stop()
}
