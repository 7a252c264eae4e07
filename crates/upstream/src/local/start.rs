//! Starts a child, moves its lines, and sees to its end.

use super::{
    Key, Locals, Server,
    child::Child,
    lines::{self, Line},
};
use crate::{Fault, UpstreamCredential, broker::SecretHandle, limits};
use bytes::Bytes;
use model::{Code, UpstreamName};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{process::Stdio, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWriteExt as _, BufReader},
    process::{ChildStdin, ChildStdout, Command},
    sync::mpsc,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Starts the child of a key. The caller holds the lock, so this does not wait.
pub(super) fn start(
    locals: &Locals,
    key: &Key,
    credential: &UpstreamCredential,
    server: &Arc<Server>,
    number: u64,
) -> Result<Arc<Child>, Fault> {
    let upstream = &key.0;
    let mut process = command(server, credential)?.spawn().map_err(|error| {
        let program = server.command.first().map(String::as_str).unwrap_or_default();
        let what = format!("the local server `{program}` cannot be started: {error}");
        Fault::upstream(Code::UpstreamUnreachable, what)
    })?;
    let parts = (process.stdin.take(), process.stdout.take(), process.stderr.take());
    let (Some(stdin), Some(stdout), Some(stderr)) = parts else {
        let what = "the local server was started without standard streams";
        return Err(Fault::ourselves(Code::UpstreamUnreachable, what));
    };
    let (input, lines) = mpsc::channel(limits::CHILD_INPUT);
    let child = Arc::new(Child::new(number, credential, server, input.clone()));
    tracing::debug!(%upstream, id = process.id(), "a local server was started");
    let tasks = &locals.0.tasks;
    tasks.spawn(feed(stdin, lines, child.stop.clone()));
    tasks.spawn(listen(stdout, Arc::clone(&child), (upstream.clone(), credential.secret())));
    tasks.spawn(report(stderr, upstream.clone(), credential.secret()));
    tasks.spawn(keep(locals.clone(), key.clone(), Arc::clone(&child), process));
    Ok(child)
}

/// A process group of its own, three pipes, no other descriptor, and no variable but those named.
fn command(server: &Server, credential: &UpstreamCredential) -> Result<Command, Fault> {
    let (program, arguments) = server.command.split_first().ok_or_else(|| {
        Fault::ourselves(Code::UpstreamUnreachable, "the local server has no command")
    })?;
    // Whatever this process was given open by its own parent would be given on otherwise.
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&server.environment);
    if let (Some(name), Some(secret)) = (&server.credential_variable, credential.secret().text()) {
        command.env(name, secret);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    Ok(command)
}

/// Writes whole lines until the child is to end; closing its input tells it so.
async fn feed(mut stdin: ChildStdin, mut lines: mpsc::Receiver<Bytes>, stop: CancellationToken) {
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            () = stop.cancelled() => return,
        };
        let Some(line) = line else { return };
        let written = async {
            stdin.write_all(&line).await?;
            stdin.write_all(b"\n").await?;
            stdin.flush().await
        };
        tokio::select! {
            written = written => if written.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

/// Sorts the child's messages to those who wait, until its output ends.
async fn listen(stdout: ChildStdout, child: Arc<Child>, whose: (UpstreamName, SecretHandle)) {
    let mut from = BufReader::new(stdout);
    let mut log = Log::new(&whose.0, whose.1);
    loop {
        match lines::next(&mut from, limits::CHILD_LINE).await {
            Ok(Some(Line::Whole(line))) if line.trim_ascii_start().starts_with(b"{") => {
                if let Some(told) = child.sort(&line)
                    && !child.tell(told)
                {
                    tracing::debug!("a local server could not be answered");
                }
            }
            Ok(Some(Line::Whole(line))) => log.note("stdout", &line),
            Ok(Some(Line::Cut(_))) => {
                child.desk.close("the local server wrote a message longer than the limit");
                child.end();
                return;
            }
            Ok(None) | Err(_) => {
                // A child that closes its output serves nobody any more.
                child.desk.close("the local server closed its output");
                child.end();
                return;
            }
        }
    }
}

/// Hands on what the child says on its standard error.
async fn report(stderr: impl AsyncRead + Unpin, upstream: UpstreamName, secret: SecretHandle) {
    let mut from = BufReader::new(stderr);
    let mut log = Log::new(&upstream, secret);
    while let Ok(Some(Line::Whole(line) | Line::Cut(line))) =
        lines::next(&mut from, limits::CHILD_LOG_LINE).await
    {
        log.note("stderr", &line);
    }
}

/// What a child says beside its messages: few lines, without its secret.
struct Log {
    upstream: UpstreamName,
    secret: SecretHandle,
    since: Instant,
    lines: u32,
}

impl Log {
    fn new(upstream: &UpstreamName, secret: SecretHandle) -> Log {
        Log { upstream: upstream.clone(), secret, since: Instant::now(), lines: 0 }
    }

    fn note(&mut self, stream: &str, line: &[u8]) {
        let end = line.len().min(limits::CHILD_LOG_LINE);
        let line = self.secret.masked(line.get(..end).unwrap_or_default());
        if line.trim().is_empty() {
            return;
        }
        if self.since.elapsed() >= limits::CHILD_LOG_SPAN {
            (self.since, self.lines) = (Instant::now(), 0);
        }
        self.lines = self.lines.saturating_add(1);
        let upstream = &self.upstream;
        if self.lines <= limits::CHILD_LOG_LINES {
            tracing::info!(%upstream, stream, "a local server says: {line}");
        } else if self.lines == limits::CHILD_LOG_LINES.saturating_add(1) {
            tracing::warn!(%upstream, "a local server says more than is logged");
        }
    }
}

/// Waits for the child's end, brings it about where it is due, and clears away what it left.
async fn keep(locals: Locals, key: Key, child: Arc<Child>, mut process: tokio::process::Child) {
    let group = process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let started = Instant::now();
    let mut patience = limits::CHILD_IDLE;
    let by_itself = loop {
        let idle = child.idle_since().unwrap_or_else(Instant::now) + patience;
        tokio::select! {
            ended = process.wait() => {
                let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                tracing::warn!(upstream = %key.0, "a local server ended by itself: {how}");
                break true;
            }
            () = child.stop.cancelled() => break child.desk.is_closed(),
            () = child.retired.cancelled(), if patience == limits::CHILD_IDLE => {
                patience = limits::CHILD_RETIRED;
            }
            () = tokio::time::sleep_until(idle) => {
                let before = Instant::now().checked_sub(patience).unwrap_or(started);
                if child.desk.close_if_idle(before) {
                    break false;
                }
            }
        }
    };
    locals.ended(&key, &child, by_itself, started.elapsed());
    child.desk.close("the local server ended");
    child.end();
    let signals = [(None, limits::CHILD_GRACE), (Some(Signal::TERM), limits::CHILD_GRACE)];
    for (signal, grace) in signals {
        if let Some(signal) = signal {
            send(group, signal);
        }
        if ends(&mut process, grace).await {
            break;
        }
    }
    // Also whatever the child started and left behind.
    send(group, Signal::KILL);
    if !ends(&mut process, limits::CHILD_GRACE).await {
        tracing::error!(upstream = %key.0, "a local server does not end");
    }
}

async fn ends(process: &mut tokio::process::Child, within: Duration) -> bool {
    tokio::time::timeout(within, process.wait()).await.is_ok()
}

fn send(group: Option<Pid>, signal: Signal) {
    // A group that is gone already needs no signal.
    let _gone = group.is_none_or(|group| kill_process_group(group, signal).is_err());
}
