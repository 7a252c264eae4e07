//! Other programs of a test: stand-ins, and the real `ambit` with its files, terminal and commands.

use crate::{
    oracle::Oracle, peer::Credential, proof::ProofKey, terminal::Terminal, upstream::mcp::Era,
};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::{
    ffi::OsStr,
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long a start may take on a busy machine.
pub const START_LIMIT: Duration = Duration::from_secs(60);

/// A program built by the same cargo invocation as this test.
pub fn built(name: &str) -> Result<PathBuf> {
    let variable = format!("AMBIT_TEST_BIN_{}", name.replace('-', "_").to_uppercase());
    if let Some(path) = std::env::var_os(&variable) {
        return Ok(path.into());
    }
    let here = std::env::current_exe().context("this program has no path")?;
    let found =
        here.ancestors().skip(1).take(3).map(|dir| dir.join(name)).find(|file| file.is_file());
    found.with_context(|| format!("`{name}` is not built: `cargo build --workspace` makes it"))
}

/// What `cargo xtask test` (stage `tools`) installed below the target directory.
pub fn installed(what: &str) -> Result<PathBuf> {
    let any = built("rmcp-upstream")?;
    let found = any.ancestors().map(|dir| dir.join(what)).find(|place| place.exists());
    found.with_context(|| {
        format!("`{what}` is not installed: `cargo xtask test --only tools` does it")
    })
}

/// A child that is ended with its owner.
pub struct Running(Child);

impl Running {
    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Ends it at once (SIGKILL) and waits for its end.
    pub fn kill(&mut self) -> Result<()> {
        self.0.kill().context("cannot kill")?;
        self.0.wait().map(drop).context("cannot wait")
    }

    /// Whether it has ended by itself, and how.
    pub fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        self.0.try_wait().context("cannot ask for the child's end")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A stand-in upstream as its own process.
pub struct StandIn {
    running: Running,
    /// Where it listens, `127.0.0.1:port`.
    pub address: String,
    /// What reached it.
    pub oracle: Oracle,
}

impl StandIn {
    /// An MCP server of an era, its log in `dir`.
    pub fn mcp(dir: &Path, name: &str, era: Era) -> Result<StandIn> {
        StandIn::start(dir, name, "rmcp-upstream", &["--era", era.as_str()])
    }

    /// An HTTP API, its log in `dir`.
    pub fn http(dir: &Path, name: &str) -> Result<StandIn> {
        StandIn::start(dir, name, "http-upstream", &[])
    }

    fn start(dir: &Path, name: &str, program: &str, arguments: &[&str]) -> Result<StandIn> {
        let log = dir.join(format!("{name}.log"));
        let mut command = Command::new(built(program)?);
        command.args(arguments).arg("--log").arg(&log).args(["--listen", "127.0.0.1:0"]);
        let (running, address) = listening(command)?;
        Ok(StandIn { running, address, oracle: Oracle::new(log) })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.running.id()
    }
}

/// Starts a program that prints `listening ADDR` first.
pub fn listening(mut command: Command) -> Result<(Running, String)> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("no output")?;
    let running = Running(child);
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let address = line.trim().strip_prefix("listening ").context("it did not begin to listen")?;
    Ok((running, address.to_owned()))
}

/// A port that nothing listens on, outside the range that the kernel gives to outgoing connections.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = u16::try_from(std::process::id().wrapping_mul(37) % 11_000).unwrap_or(0);
    for _ in 0..11_000 {
        let offset = spread.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 11_000;
        let port = 20_000_u16.saturating_add(offset);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port between 20000 and 31000")
}

/// The files of one Ambit: configuration, policies, secrets, data. They outlive each run of it.
pub struct Home {
    dir: TempDir,
    secrets: Vec<(String, String)>,
    options: Vec<String>,
    form: &'static [&'static str],
    port: u16,
    ops_port: u16,
    api_port: u16,
}

impl Home {
    /// A new directory with `ambit.yaml`.
    pub fn new(config: &str) -> Result<Home> {
        let dir = tempfile::Builder::new().prefix("ambit-test-").tempdir()?;
        std::fs::write(dir.path().join("ambit.yaml"), config)?;
        Ok(Home {
            dir,
            secrets: Vec::new(),
            options: Vec::new(),
            form: &["dev"],
            port: free_port()?,
            ops_port: free_port()?,
            api_port: free_port()?,
        })
    }

    /// Adds `policies/NAME.cedar`.
    pub fn with_policy(self, name: &str, text: &str) -> Result<Home> {
        let dir = self.dir.path().join("policies");
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join(format!("{name}.cedar")), text)?;
        Ok(self)
    }

    /// Adds a secret for `credential: env:NAME`.
    #[must_use]
    pub fn with_secret(mut self, name: &str, value: &str) -> Home {
        self.secrets.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs `ambit server run` rather than `ambit dev`.
    #[must_use]
    pub fn as_server(self) -> Home {
        Home { form: &["server", "run"], ..self }
    }

    /// Runs `ambit dev` again.
    #[must_use]
    pub fn as_developer(self) -> Home {
        Home { form: &["dev"], ..self }
    }

    /// Adds options of `ambit dev`.
    #[must_use]
    pub fn with_options(mut self, options: &[&str]) -> Home {
        self.options.extend(options.iter().map(|option| (*option).to_owned()));
        self
    }

    /// Adds a variable of the environment.
    #[must_use]
    pub fn with_variable(self, name: &str, value: &str) -> Home {
        self.with_secret(name, value)
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The base of all doors.
    #[must_use]
    pub fn front(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The base of the operators' listener.
    #[must_use]
    pub fn ops(&self) -> String {
        format!("http://127.0.0.1:{}", self.ops_port)
    }

    /// The control API, which is also the audience of its tokens.
    #[must_use]
    pub fn api(&self) -> String {
        format!("http://127.0.0.1:{}/api/v1", self.api_port)
    }

    /// The door of an MCP upstream, which is also the audience of its tokens.
    #[must_use]
    pub fn mcp_door(&self, upstream: &str) -> String {
        format!("{}/mcp/{upstream}", self.front())
    }

    /// The door of an HTTP upstream, which is also the audience of its tokens.
    #[must_use]
    pub fn http_door(&self, upstream: &str) -> String {
        format!("{}/http/{upstream}", self.front())
    }

    /// The arguments of `ambit dev` for these files.
    #[must_use]
    pub fn dev_arguments(&self) -> Vec<String> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let mut all: Vec<String> = self.form.iter().map(|word| (*word).to_owned()).collect();
        all.extend([
            "--config".into(),
            text(self.dir.path().join("ambit.yaml")),
            "--data".into(),
            text(self.data()),
            "--listen".into(),
            format!("127.0.0.1:{}", self.port),
            "--ops-listen".into(),
            format!("127.0.0.1:{}", self.ops_port),
            "--api-listen".into(),
            format!("127.0.0.1:{}", self.api_port),
        ]);
        all.extend(self.options.iter().cloned());
        all
    }

    /// Starts `ambit dev` on a terminal and waits until it is ready.
    pub fn start(&self) -> Result<Ambit> {
        self.start_with(Command::new(built("ambit")?))
    }

    /// As [`Home::start`], with the program before `ambit dev`'s own arguments given (a tracer, another build).
    pub fn start_with(&self, command: Command) -> Result<Ambit> {
        let mut ambit = self.spawn(command)?;
        self.wait_ready(&mut ambit)?;
        Ok(ambit)
    }

    /// As [`Home::start_with`], with more arguments after `ambit dev`'s own.
    pub fn start_more(&self, command: Command, more: &[&str]) -> Result<Ambit> {
        let mut ambit = self.spawn_more(command, more)?;
        self.wait_ready(&mut ambit)?;
        Ok(ambit)
    }

    /// Starts without waiting.
    pub fn spawn(&self, command: Command) -> Result<Ambit> {
        self.spawn_more(command, &[])
    }

    fn spawn_more(&self, mut command: Command, more: &[&str]) -> Result<Ambit> {
        let (terminal, slave) = Terminal::open()?;
        let [stdin, stdout, stderr] = Terminal::streams(&slave)?;
        command.args(self.dev_arguments()).args(more).envs(self.secrets.iter().cloned());
        command.current_dir(self.dir.path()).env("NO_COLOR", "1").env("TERM", "dumb");
        let child = command.stdin(stdin).stdout(stdout).stderr(stderr).spawn()?;
        Ok(Ambit { running: Running(child), terminal })
    }

    /// Waits until it is ready; its own end is an error with what it showed.
    pub fn wait_ready(&self, ambit: &mut Ambit) -> Result<()> {
        let end = Instant::now() + START_LIMIT;
        while !self.ready() {
            if let Some(status) = ambit.running.ended()? {
                bail!("`ambit dev` ended with {status}:\n{}", ambit.terminal.shown());
            }
            ensure!(Instant::now() < end, "`ambit dev` is not ready:\n{}", ambit.terminal.shown());
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn ready(&self) -> bool {
        get(self.ops_port, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// Runs one `ambit` command beside a running gate.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<Output> {
        let mut command = Command::new(built("ambit")?);
        command.args(arguments).arg("--data").arg(self.data()).envs(self.secrets.iter().cloned());
        command.current_dir(self.dir.path()).env("NO_COLOR", "1").stdin(Stdio::null());
        command.output().context("cannot run `ambit`")
    }

    /// As [`Home::command`], with something on standard input.
    pub fn command_with<S: AsRef<OsStr>>(&self, arguments: &[S], input: &str) -> Result<Output> {
        let mut command = Command::new(built("ambit")?);
        command.args(arguments).arg("--data").arg(self.data()).envs(self.secrets.iter().cloned());
        command.current_dir(self.dir.path()).env("NO_COLOR", "1").stdin(Stdio::piped());
        let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        // A command that refuses its arguments may have gone before it reads.
        drop(running.stdin.take().context("no stdin")?.write_all(input.as_bytes()));
        running.wait_with_output().context("cannot run `ambit`")
    }

    /// As [`Home::command`]; a failure is an error with its output; gives standard output without its last newline.
    pub fn done<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<String> {
        let output = self.command(arguments)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        let shown: Vec<_> = arguments.iter().map(|part| part.as_ref().to_string_lossy()).collect();
        ensure!(
            output.status.success(),
            "`ambit {}` ended with {}: {}{}",
            shown.join(" "),
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
        Ok(text(&output.stdout))
    }

    /// As [`Home::done`] with `-o json`, one value per line.
    pub fn json<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<Value> {
        let mut all: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
        all.extend([OsStr::new("-o"), OsStr::new("json")]);
        let text = self.done(&all)?;
        serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))
    }

    /// A token of `agent` for a door, with more arguments for `ambit token`.
    pub fn token(&self, agent: &str, audience: &str, more: &[&str]) -> Result<String> {
        let mut arguments = vec!["token", "--agent", agent, "--audience", audience];
        arguments.extend(["--format", "json"]);
        arguments.extend(more);
        let text = self.done(&arguments)?;
        let value: Value = serde_json::from_str(&text).context("`ambit token` printed no JSON")?;
        let token = value.get("token").and_then(Value::as_str);
        token.map(str::to_owned).with_context(|| format!("no token in {value}"))
    }

    /// A bearer token of `agent` for an HTTP upstream's door.
    pub fn bearer_token(&self, agent: &str, upstream: &str) -> Result<String> {
        self.token(agent, &self.http_door(upstream), &[])
    }

    /// A bearer credential of `agent` for a door.
    pub fn bearer(&self, agent: &str, audience: &str) -> Result<Credential> {
        self.token(agent, audience, &[]).map(Credential::Bearer)
    }

    /// The agent's own key, which `dev` keeps.
    pub fn key(&self, agent: &str) -> Result<Arc<ProofKey>> {
        let text = self.done(&["agent", "key", agent, "--export", "jwk"])?;
        let jwk = serde_json::from_str(&text).context("the key is not JSON")?;
        ProofKey::from_jwk(&jwk).map(Arc::new)
    }

    /// Every record of the (stopped) gate's ledger, in order.
    pub fn records(&self) -> Result<Vec<Entry>> {
        let store = self.open_store()?;
        let read = |sequence| {
            let record = store.read(sequence)?.with_context(|| format!("no record {sequence}"))?;
            let part = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or(Value::Null);
            Ok(Entry {
                kind: record.leaf.kind,
                envelope: record.envelope.as_deref().map(part).unwrap_or_default(),
                arguments: record
                    .personal
                    .map(|personal| part(&personal.arguments))
                    .unwrap_or_default(),
            })
        };
        (0..store.size()).map(read).collect()
    }

    /// Every row of the (stopped) gate's control state, and its live rows, by their keys. Tasks that were ended are left
    /// out: what ended them is a row of its own.
    pub fn rows(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let store = self.open_store()?;
        let state = store.state();
        let ended = |key: &str| {
            let task = key.strip_prefix("task/");
            task.is_some_and(|task| state.rows.contains_key(&format!("revoked/task/{task}")))
        };
        let live = store.live_prefix("").into_iter().filter(|(key, _)| !ended(key));
        let control = state.rows.iter().map(|(key, row)| (key.clone(), Arc::clone(row)));
        Ok(live.chain(control).map(|(key, row)| (key, row.to_vec())).collect())
    }

    fn open_store(&self) -> Result<store::Store> {
        let entropy = Arc::new(crate::chance::SeededEntropy::new(crate::chance::seed()));
        let now = model::Timestamp::from_seconds(crate::proof::unix_now());
        Ok(store::Store::open(&self.data(), store::Options::default(), now, entropy)?)
    }

    /// A key that the (stopped) gate keeps in its data directory: what only its owner can read.
    pub fn stolen_key(&self, name: &str) -> Result<ProofKey> {
        let document =
            self.open_store()?.get_key(name)?.with_context(|| format!("no key `{name}`"))?;
        ProofKey::from_pkcs8(&document)
    }

    /// A bound credential of `agent` for a door.
    pub fn proven(&self, agent: &str, audience: &str) -> Result<Credential> {
        Ok(Credential::Proven(self.token(agent, audience, &[])?, self.key(agent)?))
    }
}

/// One record of the ledger.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its kind.
    pub kind: model::record::RecordKind,
    /// Its envelope.
    pub envelope: Value,
    /// Its part with the arguments.
    pub arguments: Value,
}

impl Entry {
    /// A text member of the envelope.
    #[must_use]
    pub fn text(&self, member: &str) -> &str {
        self.envelope.get(member).and_then(Value::as_str).unwrap_or_default()
    }
}

/// How long an orderly stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(40);

impl Ambit {
    /// Asks it to stop (SIGTERM) and waits until it has.
    pub fn stop(mut self) -> Result<()> {
        let id = i32::try_from(self.running.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(id.context("no process")?, rustix::process::Signal::TERM)?;
        let end = Instant::now() + STOP_LIMIT;
        while self.running.ended()?.is_none() {
            ensure!(Instant::now() < end, "`ambit dev` does not stop:\n{}", self.terminal.shown());
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// A running `ambit dev`.
pub struct Ambit {
    /// The process.
    pub running: Running,
    /// Its terminal.
    pub terminal: Terminal,
}

/// One plain HTTP GET, for health and metrics.
pub fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Reads a whole file, empty if it is not there.
#[must_use]
pub fn text_of(path: &Path) -> String {
    let mut text = String::new();
    if let Ok(mut file) = File::open(path) {
        file.read_to_string(&mut text).unwrap_or_default();
    }
    text
}
