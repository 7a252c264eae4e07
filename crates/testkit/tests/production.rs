//! The production form on a real machine: `ambit server run` as a user of its own, and a hostile program that has a shell,
//! the `ambit` program and the loopback network, as another user and as the same one (S1). Needs root, to be both.

#![cfg(test)]

use anyhow::{Context as _, Result, ensure};
use model::record::RecordKind;
use serde_json::json;
use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
};
use tempfile::TempDir;
use testkit::{
    buyer::Buyer,
    process::{Ambit, Home, StandIn, built},
    proof::ProofKey,
};

/// Nobody else on a machine of tests.
const SERVICE: u32 = 64_242;
const HOSTILE: u32 = 64_343;

/// `PROGRAM` as another user, without any group of ours.
fn as_user(uid: u32, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    let id = uid.to_string();
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]).arg(program);
    command.env("NO_COLOR", "1").current_dir("/");
    command
}

/// Everything below a directory becomes the service's own.
fn hand_over(place: &Path) -> Result<()> {
    chown(place, Some(SERVICE), Some(SERVICE))?;
    if place.is_dir() {
        for entry in fs::read_dir(place)? {
            hand_over(&entry?.path())?;
        }
    }
    Ok(())
}

struct Stage {
    home: Home,
    upstream: StandIn,
    key: Arc<ProofKey>,
    /// A copy of the program that every user can run.
    program: PathBuf,
    _open: TempDir,
    logs: TempDir,
}

impl Stage {
    fn lay() -> Result<Stage> {
        let logs = tempfile::tempdir()?;
        let upstream = StandIn::http(logs.path(), "desk")?;
        let home = Home::new(&config(&upstream.address))?.as_server();
        let key = Arc::new(ProofKey::ed25519()?);
        fs::create_dir(home.path().join("keys"))?;
        let set = json!({ "keys": [key.public()] });
        fs::write(home.path().join("keys/clerk.jwks"), set.to_string())?;
        fs::set_permissions(home.path(), Permissions::from_mode(0o700))?;
        hand_over(home.path())?;
        let open = tempfile::Builder::new().prefix("ambit-program-").tempdir()?;
        fs::set_permissions(open.path(), Permissions::from_mode(0o755))?;
        let program = open.path().join("ambit");
        fs::copy(built("ambit")?, &program)?;
        Ok(Stage { home, upstream, key, program, _open: open, logs })
    }

    /// A file that holds a secret.
    fn secret(&self, value: &str) -> Result<PathBuf> {
        let file = self.logs.path().join("secret");
        fs::write(&file, value)?;
        Ok(file)
    }

    fn start(&self) -> Result<Ambit> {
        self.home.start_with(as_user(SERVICE, &self.program))
    }

    /// One `ambit` command about the server's data, as a user.
    fn command(&self, uid: u32, arguments: &[&str]) -> Result<Output> {
        let mut command = as_user(uid, &self.program);
        command.args(arguments).arg("--data").arg(self.home.data());
        command.stdin(Stdio::null()).output().context("setpriv")
    }

    /// What the agents' listener says to a plain GET of a user's program.
    fn get(&self, uid: u32, path: &str) -> Result<String> {
        // Every Debian has this one, where each user can run it.
        let host = self.home.front().replace("http://", "");
        let script = "exec 3<>/dev/tcp/${2%:*}/${2#*:}; \
            printf 'GET %s HTTP/1.1\\r\\nHost: %s\\r\\nConnection: close\\r\\n\\r\\n' \"$1\" \"$2\" >&3; cat <&3";
        let mut command = as_user(uid, Path::new("/bin/bash"));
        let ended = command.args(["-c", script, "get", path, &host]).output()?;
        ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        Ok(String::from_utf8(ended.stdout)?)
    }

    async fn read(&self, ticket: &str) -> Result<u16> {
        let buyer = Buyer::with_key(&self.home, "clerk", Arc::clone(&self.key))?;
        let token = buyer.buy(&self.home.http_door("desk"), &[]).await?;
        let url = format!("{}/tickets/{ticket}", self.home.http_door("desk"));
        let mut request = reqwest::Client::new().get(&url);
        for (name, value) in buyer.shown("GET", &url, &token)? {
            request = request.header(name, value);
        }
        Ok(request.send().await?.status().as_u16())
    }
}

fn config(address: &str) -> String {
    format!(
        "version: 1\nhumans:\n  people:\n    dana: {{ groups: [it] }}\nagents:\n  clerk:\n    purpose: Read tickets\n    \
         owner: user:dana\n    boundary: all\n    credentials: {{ keys: keys/clerk.jwks }}\nupstreams:\n  desk:\n    http: \
         http://{address}\n    actions:\n      read: {{ route: \"GET /tickets/{{id}}\", effect: read, risk: low }}\nboundaries:\n  \
         all: {{ upstreams: [desk] }}\n"
    )
}

fn told(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_serves_agents_with_keys_of_their_own() -> Result<()> {
    let stage = Stage::lay()?;
    // Secrets come first: a gate does not start without them.
    let path = stage.home.path().join("ambit.yaml");
    let needs = fs::read_to_string(&path)?
        .replace("    actions:", "    credential: secret:desk\n    actions:");
    fs::write(&path, needs)?;
    let given = Stdio::from(fs::File::open(stage.secret("opensesame")?)?);
    let ended = as_user(SERVICE, &stage.program)
        .args(["secret", "set", "desk", "--data"])
        .arg(stage.home.data())
        .stdin(given)
        .output()?;
    ensure!(ended.status.success(), "{}", told(&ended));
    let server = stage.start()?;
    // A draft does not act in production: who answers for it signs its review.
    let key = stage.home.path().join("dana.jwk");
    let key = key.to_string_lossy();
    for arguments in [
        ["owner", "confirm", "user:dana"].as_slice(),
        &["owner", "key", "dana", "--new", &key],
        &["agent", "review", "clerk", "--approve", "--as", "dana", "--key", &key],
    ] {
        let ended = stage.command(SERVICE, arguments)?;
        ensure!(ended.status.success(), "{arguments:?}: {}", told(&ended));
    }
    assert_eq!(stage.read("4711").await?, 200);
    assert_eq!(stage.upstream.oracle.of("request").len(), 1);
    server.stop()?;
    let records = stage.home.records()?;
    let acts = records.iter().filter(|one| one.kind == RecordKind::Opened).count();
    assert_eq!(acts, 1);
    // What was done before the first start of any gate is of no form yet.
    let begun = records.iter().skip_while(|one| one.text("what") != "form");
    let forms: Vec<_> =
        begun.map(|one| one.text("boundary")).filter(|form| !form.is_empty()).collect();
    assert!(forms.len() > 5 && forms.iter().all(|form| *form == "production"), "{forms:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_of_the_machine_gets_nothing() -> Result<()> {
    let stage = Stage::lay()?;
    let _server = stage.start()?;
    let data = stage.home.data();
    for file in ["keys/kek", "ambit.db", "control.sock"] {
        ensure!(data.join(file).exists(), "{file} is where the attack looks for it");
        let ended = as_user(HOSTILE, Path::new("cat")).arg(data.join(file)).output()?;
        assert!(!ended.status.success() && ended.stdout.is_empty(), "{file}: {}", told(&ended));
    }
    let door = stage.home.http_door("desk");
    let config = stage.home.path().join("ambit.yaml");
    let config = config.to_string_lossy();
    for arguments in [
        ["token", "--agent", "clerk", "--audience", &door].as_slice(),
        &["apply", &config],
        &["freeze", "all", "--reason", "mine"],
        &["owner", "confirm", "user:dana"],
        &["agent", "review", "clerk", "--approve"],
        &["agent", "key", "clerk", "--export"],
        &["trace", "list"],
    ] {
        let ended = stage.command(HOSTILE, arguments)?;
        assert!(!ended.status.success(), "{arguments:?}: {}", told(&ended));
        // The twin: who may is told something, if not what was asked for.
        let ended = stage.command(SERVICE, &["status"])?;
        assert!(ended.status.success() && told(&ended).contains("production"), "{}", told(&ended));
    }
    // The loopback network: it is a stranger there like any other.
    assert!(stage.get(HOSTILE, "/http/desk/tickets/1")?.starts_with("HTTP/1.1 401"));
    assert!(
        stage.get(HOSTILE, "/.well-known/oauth-authorization-server")?.starts_with("HTTP/1.1 200")
    );
    assert!(stage.upstream.oracle.of("request").is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_the_servers_own_user_is_no_agent() -> Result<()> {
    let stage = Stage::lay()?;
    let _server = stage.start()?;
    for path in ["/http/desk/tickets/1", "/mcp", "/.well-known/oauth-authorization-server"] {
        let answer = stage.get(SERVICE, path)?;
        assert!(
            answer.starts_with("HTTP/1.1 403") && answer.contains("AMB1025"),
            "{path}: {answer}"
        );
    }
    Ok(())
}

#[test]
fn a_server_does_not_start_on_open_ground() -> Result<()> {
    let stage = Stage::lay()?;
    let top = stage.home.path();
    let refuses = |what: &str| -> Result<()> {
        let arguments = stage.home.dev_arguments();
        let ended = as_user(SERVICE, &stage.program).args(arguments).output()?;
        let said = told(&ended);
        assert!(!ended.status.success() && said.contains("chmod"), "{what}: {said}");
        Ok(())
    };
    // Others may enter the directory from here on: each thing in it stands for itself.
    fs::set_permissions(top, Permissions::from_mode(0o711))?;
    fs::set_permissions(top.join("ambit.yaml"), Permissions::from_mode(0o644))?;
    refuses("a readable file")?;
    fs::set_permissions(top.join("ambit.yaml"), Permissions::from_mode(0o600))?;
    fs::set_permissions(top.join("keys"), Permissions::from_mode(0o700))?;
    stage.start()?.stop()?;
    fs::set_permissions(stage.home.data(), Permissions::from_mode(0o755))?;
    refuses("a data directory that others read")?;
    fs::set_permissions(stage.home.data(), Permissions::from_mode(0o700))?;
    fs::set_permissions(top, Permissions::from_mode(0o777))?;
    refuses("a parent that others write")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_into_force_by_apply_alone_and_dev_keeps_out() -> Result<()> {
    let stage = Stage::lay()?;
    stage.start()?.stop()?;
    let path = stage.home.path().join("ambit.yaml");
    let more = fs::read_to_string(&path)?.replace("Read tickets", "Read other tickets");
    fs::write(&path, more)?;
    let server = stage.start()?;
    let in_force = |stage: &Stage, name: &str| -> Result<String> {
        let directory = stage.home.path().join(name);
        let ended = stage.command(SERVICE, &["export", &directory.to_string_lossy()])?;
        ensure!(ended.status.success(), "{}", told(&ended));
        Ok(fs::read_to_string(directory.join("ambit.yaml"))?)
    };
    assert!(!in_force(&stage, "before")?.contains("other tickets"), "a start applies nothing");
    let ended = stage.command(SERVICE, &["apply", &path.to_string_lossy()])?;
    assert!(ended.status.success(), "{}", told(&ended));
    assert!(in_force(&stage, "after")?.contains("other tickets"));
    server.stop()?;
    let mut command = as_user(SERVICE, &stage.program);
    let arguments = stage.home.dev_arguments();
    let ended = command.arg("dev").args(arguments.get(2..).unwrap_or_default()).output()?;
    assert!(!ended.status.success() && told(&ended).contains("server run"), "{}", told(&ended));
    Ok(())
}

#[test]
fn what_dev_made_is_no_ground_for_a_server() -> Result<()> {
    let Stage { home, program, _open, .. } = Stage::lay()?;
    let home = home.as_developer();
    home.start_with(as_user(SERVICE, &program))?.stop()?;
    let home = home.as_server();
    let ended = as_user(SERVICE, &program).args(home.dev_arguments()).output()?;
    assert!(
        !ended.status.success() && told(&ended).contains("made by `ambit dev`"),
        "{}",
        told(&ended)
    );
    Ok(())
}
