//! The way of the command line to a running gate: JSON lines on `DIR/control.sock`, for its own uid only.
//!
//! No request approves an ask: approvals come from the terminal of `dev` alone.

mod messages;

pub(crate) use messages::{KeyWish, Request, SecretText, Which};

use crate::{
    app::App,
    database,
    exit::Exit,
    limits, ops,
    settings::{Form, Settings, TRUST_DOMAIN},
};
use anyhow::Context as _;
use messages::Reply;
use model::TrustDomain;
use serde_json::Value;
use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

const SOCKET: &str = "control.sock";
const CLOSED: &str =
    "the running gate closed the connection: it is busy, stopping, or of another uid";

/// What went wrong with a request, and the code that the command ends with.
#[derive(Debug)]
pub(crate) struct Failed {
    /// The code.
    pub(crate) exit: Exit,
    /// For people.
    pub(crate) message: String,
}

impl std::error::Error for Failed {}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Opens the socket; commands that come from here on wait for [`serve`]. The data directory's lock is held, so a socket
/// left there is stale.
pub(crate) fn listen(app: &App) -> std::io::Result<UnixListener> {
    if let Err(error) = ops::leave_key(app) {
        tracing::warn!(%error, "the ledger's public key is not beside it: verification needs `--key`");
    }
    bind(&app.settings.data.join(SOCKET))
}

/// Serves until told to stop.
pub(crate) async fn serve(
    app: Arc<App>,
    listening: std::io::Result<UnixListener>,
    stop: CancellationToken,
) {
    let path = app.settings.data.join(SOCKET);
    match listening {
        Ok(listener) => accept(&app, &listener, &stop).await,
        Err(error) => {
            tracing::error!(%error, path = %path.display(), "no control socket: commands cannot reach this gate")
        }
    }
    if let Err(error) = std::fs::remove_file(&path) {
        tracing::debug!(%error, "the control socket could not be removed");
    }
}

fn bind(path: &Path) -> std::io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn accept(app: &Arc<App>, listener: &UnixListener, stop: &CancellationToken) {
    let mut connections = JoinSet::new();
    let room = Arc::new(Semaphore::new(limits::CONTROL_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = stop.cancelled() => break,
        };
        let Ok((stream, _)) = accepted else { continue };
        // Without room the connection is closed at once: the command says that the gate is busy.
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
        let app = Arc::clone(app);
        connections.spawn(async move {
            if let Err(error) = converse(&app, stream).await {
                tracing::debug!(%error, "a control connection ended early");
            }
            drop(place);
        });
    }
}

/// Requests and replies, one line each, until the other side is done.
async fn converse(app: &Arc<App>, mut stream: UnixStream) -> anyhow::Result<()> {
    let peer = stream.peer_cred()?.uid();
    let own = rustix::process::geteuid().as_raw();
    anyhow::ensure!(peer == own, "uid {peer} is not the uid of this gate");
    let (reading, mut writing) = stream.split();
    let mut reading = BufReader::new(reading);
    while let Some(line) = read_line(&mut reading).await? {
        let served = match serde_json::from_str::<Request>(&line) {
            Ok(request) => ops::serve(app, request).await,
            Err(error) => Err(anyhow::anyhow!("the request is not understood: {error}")),
        };
        let mut reply = serde_json::to_string(&Reply::from(served))?;
        reply.push('\n');
        writing.write_all(reply.as_bytes()).await?;
    }
    Ok(())
}

async fn read_line(
    from: &mut (impl AsyncBufRead + Unpin),
) -> anyhow::Result<Option<Zeroizing<String>>> {
    let limit = u64::try_from(limits::CONTROL_LINE_BYTES).unwrap_or(u64::MAX);
    let mut line = Zeroizing::new(String::new());
    let read = from.take(limit).read_line(&mut line).await?;
    if read == 0 {
        return Ok(None);
    }
    anyhow::ensure!(
        line.ends_with('\n'),
        "a line of more than {limit} bytes, or one that broke off"
    );
    Ok(Some(line))
}

/// Asks the gate that runs on this data directory; without one, opens the directory and answers itself.
pub(crate) async fn ask(
    data: &Path,
    base_url: Option<&str>,
    request: Request,
) -> anyhow::Result<Value> {
    match UnixStream::connect(data.join(SOCKET)).await {
        Ok(stream) => {
            let asked = tokio::time::timeout(limits::CONTROL_REPLY, exchange(stream, &request));
            asked.await.context("the running gate does not answer")?
        }
        Err(error)
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
        {
            if matches!(request, Request::Status) {
                return Ok(
                    serde_json::json!({ "running": false, "data": data.display().to_string() }),
                );
            }
            answer_alone(data, base_url, request).await
        }
        Err(error) => Err(error).context("the running gate cannot be reached"),
    }
}

/// Asks only a gate that runs.
pub(crate) async fn ask_running(data: &Path, request: &Request) -> anyhow::Result<Value> {
    let stream = UnixStream::connect(data.join(SOCKET)).await?;
    exchange(stream, request).await
}

async fn exchange(mut stream: UnixStream, request: &Request) -> anyhow::Result<Value> {
    let mut line = Zeroizing::new(serde_json::to_string(request)?);
    line.push('\n');
    stream.write_all(line.as_bytes()).await.context(CLOSED)?;
    let (reading, _writing) = stream.split();
    let reply = read_line(&mut BufReader::new(reading)).await.context(CLOSED)?;
    let reply = reply.context(CLOSED)?;
    serde_json::from_str::<Reply>(&reply)?.into_result()
}

async fn answer_alone(
    data: &Path,
    base_url: Option<&str>,
    request: Request,
) -> anyhow::Result<Value> {
    // Before the first start of a gate only its secrets can be given: it does not start without them.
    anyhow::ensure!(
        data.is_dir() || matches!(request, Request::SecretSet { .. }),
        "no gate runs on `{}`, and it is no data directory: start `ambit dev`",
        data.display()
    );
    let app = App::open(alone(data, base_url)?).await?;
    let answered = ops::serve(&app, request).await;
    app.store.journal().close();
    answered
}

/// The settings of a command that opens the data directory itself.
fn alone(data: &Path, base_url: Option<&str>) -> anyhow::Result<Settings> {
    let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    Ok(Settings {
        form: Form::Development,
        config: PathBuf::from("ambit.yaml"),
        data: data.to_owned(),
        database: database::find(data, None)?,
        listen: nowhere,
        ops_listen: nowhere,
        api_listen: nowhere,
        base_url: base_url.unwrap_or("http://127.0.0.1:8400").to_owned(),
        tls: None,
        trust_domain: TrustDomain::new(
            std::env::var("AMBIT_TRUST_DOMAIN").as_deref().unwrap_or(TRUST_DOMAIN),
        )?,
        trust_bundles: Vec::new(),
        secrets_dir: std::env::var_os("AMBIT_SECRETS_DIR").map(PathBuf::from),
        otlp_endpoint: None,
        nonces_demanded: false,
        environment: None,
        owner_term: None,
        guards: gate::Guards::default(),
    })
}
