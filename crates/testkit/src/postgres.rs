//! A PostgreSQL server of a test's own: a new cluster, a socket in a temporary directory, gone with its owner.

use crate::process::START_LIMIT;
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    fs,
    io::Write as _,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Where Debian keeps the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// The role that owns the cluster.
const ROLE: &str = "ambit";
/// Ends the server at once when the pipe from the test closes, however the test ends.
const UNTIL_CLOSED: &str =
    r#""$0" "$@" & server=$!; read -r _; kill -QUIT "$server"; wait "$server""#;

/// A server.
pub struct Server {
    dir: TempDir,
    bin: PathBuf,
    settings: Vec<String>,
    password: Option<String>,
    running: Option<Child>,
}

impl Server {
    /// Makes a cluster and starts its server. Only what a commit has synced survives [`Server::kill`].
    pub fn start() -> Result<Server> {
        Server::make(&[], None)
    }

    /// The same with more settings, each `name=value`.
    pub fn with_settings(settings: &[&str]) -> Result<Server> {
        Server::make(settings, None)
    }

    /// The same for whoever knows the password.
    pub fn with_password(password: &str) -> Result<Server> {
        Server::make(&[], Some(password))
    }

    fn make(settings: &[&str], password: Option<&str>) -> Result<Server> {
        let dir = tempfile::Builder::new().prefix("ambit-pg-").tempdir()?;
        if let Some((uid, gid)) = other_user()? {
            chown(dir.path(), Some(uid), Some(gid))?;
        }
        // Clients of another uid reach the socket through it.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let password = password.map(str::to_owned);
        let mut server = Server { dir, bin: programs()?, settings, password, running: None };
        server.init()?;
        server.restart()?;
        Ok(server)
    }

    fn init(&self) -> Result<()> {
        let mut init = self.program("initdb")?;
        init.arg("-D").arg(self.dir.path().join("cluster")).args(["-U", ROLE, "-E", "UTF8"]);
        init.args(["--no-locale", "--no-sync", "--no-instructions"]);
        if let Some(password) = &self.password {
            let file = self.dir.path().join("password");
            fs::write(&file, password)?;
            init.args(["-A", "scram-sha-256", "--pwfile"]).arg(file);
        } else {
            init.args(["-A", "trust"]);
        }
        let output = init.output().context("cannot run `initdb`")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "`initdb` ended with {}: {said}", output.status);
        Ok(())
    }

    /// Starts it again after [`Server::kill`]: it recovers from what its log has on disk.
    pub fn restart(&mut self) -> Result<()> {
        ensure!(self.running.is_none(), "the server runs");
        let log = fs::File::options().append(true).create(true).open(self.log())?;
        let mut start = as_other(Command::new("sh"))?;
        start
            .current_dir(self.dir.path())
            .args(["-c", UNTIL_CLOSED])
            .arg(self.bin.join("postgres"));
        start.arg("-D").arg(self.dir.path().join("cluster"));
        let directory = format!("unix_socket_directories={}", self.dir.path().display());
        // The log's writer sleeps long, so that a commit that does not sync itself is lost with the server.
        let ours =
            ["listen_addresses=", "wal_writer_delay=10s", "shared_buffers=16MB", "autovacuum=off"];
        let all = ours.iter().map(|setting| (*setting).to_owned());
        for setting in all.chain([directory]).chain(self.settings.iter().cloned()) {
            start.arg("-c").arg(setting);
        }
        start.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        self.running = Some(start.spawn().context("cannot run `postgres`")?);
        self.wait_ready()
    }

    fn wait_ready(&mut self) -> Result<()> {
        let end = Instant::now() + START_LIMIT;
        loop {
            let mut ready = Command::new(self.bin.join("pg_isready"));
            ready.arg("-h").arg(self.dir.path()).args(["-U", ROLE, "-d", "postgres", "-q"]);
            if ready.status()?.success() {
                return Ok(());
            }
            let ended = self.running.as_mut().context("no server")?.try_wait()?;
            if ended.is_some() || Instant::now() > end {
                bail!("`postgres` is not ready ({ended:?}):\n{}", self.said());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it at once, as a crash does: nothing more is written.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        drop(running.stdin.take());
        running.wait().map(drop).context("cannot wait for `postgres`")
    }

    /// Its database as a URL, without a password.
    #[must_use]
    pub fn url(&self) -> String {
        format!(
            "postgres://{ROLE}@{}/postgres",
            self.dir.path().to_string_lossy().replace('/', "%2F")
        )
    }

    /// The directory of its socket and of everything else.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Runs SQL as its owner, in Ambit's schema; gives the rows, one a line, columns divided by `|`.
    pub fn sql(&self, sql: &str) -> Result<String> {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.arg("-h")
            .arg(self.dir.path())
            .args(["-U", ROLE, "-d", "postgres", "-X", "-q", "-A", "-t"]);
        psql.args(["-v", "ON_ERROR_STOP=1", "-f", "-"]).env("PGOPTIONS", "-c search_path=ambit");
        if let Some(password) = &self.password {
            psql.env("PGPASSWORD", password);
        }
        psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = psql.spawn().context("cannot run `psql`")?;
        running.stdin.take().context("no stdin")?.write_all(sql.as_bytes())?;
        let output = running.wait_with_output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        ensure!(output.status.success(), "{sql}: {}", text(&output.stderr));
        Ok(text(&output.stdout))
    }

    /// All that it wrote to its log.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn program(&self, name: &str) -> Result<Command> {
        let mut command = as_other(Command::new(self.bin.join(name)))?;
        command.current_dir(self.dir.path());
        Ok(command)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.kill());
    }
}

/// The newest version's programs.
fn programs() -> Result<PathBuf> {
    let missing =
        || format!("no PostgreSQL below {VERSIONS}: `cargo xtask test --only tools` installs it");
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(VERSIONS)
        .with_context(missing)?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
                .filter(|(_, bin)| bin.join("initdb").is_file())
        })
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin).with_context(missing)
}

/// PostgreSQL refuses to run as root: then it runs as the user that its package made, or as nobody.
fn other_user() -> Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let ids = |name: &str| -> Option<(u32, u32)> {
        let line = users.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    ids("postgres").or_else(|| ids("nobody")).context("no user to run PostgreSQL as").map(Some)
}

fn as_other(mut command: Command) -> Result<Command> {
    if let Some((uid, gid)) = other_user()? {
        command.uid(uid).gid(gid);
    }
    Ok(command)
}
