//! Bridges on other machines than the gate's: over TLS, believing one authority; and in a pod, with nothing but the token
//! that its platform keeps in a file.

use crate::tls::{Authority, file};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::{
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};
use testkit::{
    process::{Ambit, Home, StandIn, built, text_of},
    proof::unique,
    provider::Provider,
};

const ACCOUNT: &str = "system:serviceaccount:it:reader";

const CONFIG: &str = r#"version: 1
agents:
  reader:
    purpose: Read
    owner: group:it
    boundary: all
    credentials: { federated: [{ issuer: "PROVIDER", subject: "system:serviceaccount:it:reader" }] }
upstreams:
  desk: { http: "http://DESK", actions: { look: { route: GET /fast, effect: read, risk: low } } }
  bank: { http: "http://DESK", actions: { look: { route: GET /fast, effect: read, risk: low } } }
boundaries: { all: { upstreams: [desk, bank] } }
"#;

struct Stage {
    home: Home,
    desk: StandIn,
    provider: Provider,
    gate: Ambit,
    base: String,
    authority: PathBuf,
    elsewhere: tempfile::TempDir,
    _logs: tempfile::TempDir,
}

/// A bridge with a local door.
struct Sidecar {
    child: Child,
    base: String,
    said: PathBuf,
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Sidecar {
    /// Reads through the door of an upstream; gives the status, and what whoever runs the bridge has been told by then.
    async fn look(&self, upstream: &str) -> Result<(u16, String)> {
        let answer = reqwest::get(format!("{}/http/{upstream}/fast", self.base)).await?;
        Ok((answer.status().as_u16(), text_of(&self.said)))
    }
}

impl Stage {
    async fn set() -> Result<Stage> {
        Stage::set_as("").await
    }

    /// With more members of the declared workload.
    async fn set_as(more: &str) -> Result<Stage> {
        let (logs, elsewhere) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let desk = StandIn::http(logs.path(), "desk")?;
        let provider = Provider::open().await?;
        let office = Authority::new("Office CA")?;
        let server = office.server()?;
        let certificate = file(logs.path(), "server.crt", &server.certificate)?;
        let key = file(logs.path(), "server.key", &server.key)?;
        let config = CONFIG.replace("DESK", &desk.address).replace("PROVIDER", provider.url());
        let config = config.replace(":it:reader\" }", &format!(":it:reader\"{more} }}"));
        let (certificate, key) = (certificate.to_string_lossy(), key.to_string_lossy());
        let home = Home::new(&config)?;
        let home = home.with_options(&["--tls-cert", &certificate, "--tls-key", &key]);
        let gate = home.start()?;
        let base = home.front().replacen("http:", "https:", 1);
        let authority = file(elsewhere.path(), "office.pem", &office.pem())?;
        Ok(Stage { home, desk, provider, gate, base, authority, elsewhere, _logs: logs })
    }

    /// A command as another machine would run it: it knows the gate's address, and no data directory.
    fn bridge(&self, gate: &str, more: &[&str]) -> Result<Command> {
        let mut command = Command::new(built("ambit")?);
        command.args(["bridge", "--agent", "reader", "--gate", gate, "--data", "nowhere"]);
        command.args(more).current_dir(self.elsewhere.path());
        Ok(command)
    }

    fn sidecar(&self, authority: Option<&Path>, own: &[&str]) -> Result<Sidecar> {
        let mut command = self.bridge(&self.base, own)?;
        if let Some(authority) = authority {
            command.arg("--ca").arg(authority);
        }
        let said = self.elsewhere.path().join("said");
        let told = std::fs::File::create(&said)?;
        command.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(told);
        let mut child = command.spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let base = line.trim().strip_prefix("ready ").context(line.clone())?.to_owned();
        Ok(Sidecar { child, base, said })
    }

    fn enrol(&self, authority: &Path, key: &str) -> Result<Output> {
        let code = self.home.json(&["agent", "enrol", "reader"])?;
        let code = code["code"].as_str().context("no code")?;
        let mut command = self.bridge(&self.base, &["--enrol", code, "--key", key])?;
        Ok(command.arg("--ca").arg(authority).output()?)
    }

    /// What the platform writes for a workload: a token of this subject.
    fn project(&self, subject: &str) -> Result<()> {
        let mut claims = self.provider.claims(subject, &self.base);
        claims["kubernetes.io"] = json!({ "pod": { "uid": "u-1" } });
        claims["jti"] = json!(unique()?);
        file(self.elsewhere.path(), "token", &format!("{}\n", self.provider.sign(&claims)?))?;
        Ok(())
    }

    fn reached(&self) -> usize {
        self.desk.oracle.of("request").len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_comes_over_tls_and_believes_one_authority() -> Result<()> {
    let stage = Stage::set().await?;
    let other = Authority::new("Somebody's CA")?;
    let other = file(stage.elsewhere.path(), "other.pem", &other.pem())?;
    let refused = stage.enrol(&other, "own.jwk")?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(!refused.status.success() && said.contains("`--ca FILE`"), "{refused:?}");
    let enrolled = stage.enrol(&stage.authority, "own.jwk")?;
    ensure!(enrolled.status.success(), "{enrolled:?}");
    let own = ["--key", "own.jwk"];
    for wrong in [None, Some(other.as_path())] {
        let (status, said) = stage.sidecar(wrong, &own)?.look("desk").await?;
        ensure!(status == 503 && said.contains("`--ca FILE`"), "{wrong:?}: {status} {said}");
    }
    ensure!(stage.reached() == 0);
    let (status, said) = stage.sidecar(Some(&stage.authority), &own)?.look("desk").await?;
    ensure!(status == 200 && stage.reached() == 1, "{status} {said}");

    let clear = stage.bridge("http://gate.example:8400", &own)?.output()?;
    let said = String::from_utf8_lossy(&clear.stderr).into_owned();
    ensure!(!clear.status.success() && said.contains("in the clear"), "{clear:?}");
    stage.gate.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_has_no_key_to_lose_and_its_platforms_token_is_read_anew() -> Result<()> {
    let stage = Stage::set().await?;
    let sidecar = stage.sidecar(Some(&stage.authority), &["--assertion", "token"])?;
    let (status, said) = sidecar.look("desk").await?;
    ensure!(status == 403 && said.contains("`token` cannot be read"), "{status} {said}");
    stage.project("system:serviceaccount:it:somebody")?;
    let (status, said) = sidecar.look("desk").await?;
    ensure!(status == 403 && stage.reached() == 0, "{status} {said}");
    stage.project(ACCOUNT)?;
    let (status, said) = sidecar.look("desk").await?;
    ensure!(status == 200 && stage.reached() == 1, "{status} {said}");
    // A token of each door is bought with what lies there by then; one that was used buys nothing more.
    let (status, said) = sidecar.look("bank").await?;
    ensure!(status == 403 && stage.reached() == 1, "{status} {said}");
    stage.project(ACCOUNT)?;
    let (status, said) = sidecar.look("bank").await?;
    ensure!(status == 200 && stage.reached() == 2, "{status} {said}");
    let rows = stage.home.json(&["trace", "list", "--agent", "reader", "--decision", "allow"])?;
    ensure!(rows[0]["bound"] == true && rows[1]["bound"] == true, "{rows}");
    stage.gate.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_token_of_a_pod_serves_all_doors_and_no_other_process() -> Result<()> {
    let stage = Stage::set_as(", single_use: false, pin: /kubernetes.io/pod/uid").await?;
    stage.project(ACCOUNT)?;
    let sidecar = stage.sidecar(Some(&stage.authority), &["--assertion", "token"])?;
    for upstream in ["desk", "bank"] {
        let (status, said) = sidecar.look(upstream).await?;
        ensure!(status == 200, "{upstream}: {status} {said}");
    }
    // Whoever reads the same file has another key.
    let other = stage.sidecar(Some(&stage.authority), &["--assertion", "token"])?;
    let (status, said) = other.look("desk").await?;
    ensure!(status == 403 && said.contains("key_pinned"), "{status} {said}");
    ensure!(stage.reached() == 2);
    stage.gate.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_is_restarted_goes_on_with_its_key_and_a_copied_token_does_not()
-> Result<()> {
    let stage = Stage::set_as(", single_use: false, pin: sub").await?;
    stage.project(ACCOUNT)?;
    let (own, pod) = (Some(stage.authority.as_path()), ["--assertion", "token"]);
    let with_key = ["--assertion", "token", "--key", "pod.jwk"];
    for starts in 1..=2 {
        let (status, said) = stage.sidecar(own, &with_key)?.look("desk").await?;
        ensure!(status == 200 && stage.reached() == starts, "{status} {said}");
    }
    let mode = std::fs::metadata(stage.elsewhere.path().join("pod.jwk"))?.permissions().mode();
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    // The token lies where its thief can read it; the key does not.
    let (status, said) = stage.sidecar(own, &pod)?.look("desk").await?;
    ensure!(status == 403 && said.contains("key_pinned"), "{status} {said}");
    ensure!(stage.reached() == 2);
    stage.gate.stop()
}
