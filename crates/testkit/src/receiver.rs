//! A party that is posted to: a decision point, a webhook, a collector. It notes what came and answers as it is told,
//! and can be killed and come back on its port.

use crate::serve::{Answer, full};
use anyhow::{Context as _, Result};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{net::TcpSocket, runtime::Runtime};

/// How it answers.
#[derive(Clone, Debug)]
pub struct Told {
    /// Status.
    pub status: u16,
    /// Body.
    pub body: String,
    /// How long it thinks.
    pub delay: Duration,
}

impl Told {
    /// At once, with this status and body.
    #[must_use]
    pub fn now(status: u16, body: &str) -> Told {
        Told { status, body: body.to_owned(), delay: Duration::ZERO }
    }
}

/// One message that came.
#[derive(Clone, Debug)]
pub struct Came {
    /// The path that it was posted to.
    pub path: String,
    /// Its `Authorization`, if it had one.
    pub authorization: Option<String>,
    /// Its body; null if it is no JSON.
    pub body: Value,
}

/// The receiver; its threads end with it.
pub struct Receiver {
    address: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
    told: Arc<Mutex<Told>>,
    running: Option<Runtime>,
}

impl Receiver {
    /// Listens on a port of its own.
    pub fn open(told: Told) -> Result<Receiver> {
        let address = SocketAddr::from(([127, 0, 0, 1], crate::process::free_port()?));
        let (came, told) = (Arc::default(), Arc::new(Mutex::new(told)));
        let mut receiver = Receiver { address, came, told, running: None };
        receiver.come_back()?;
        Ok(receiver)
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it answers so.
    pub fn tell(&self, told: Told) {
        *lock(&self.told) = told;
    }

    /// All that came so far.
    #[must_use]
    pub fn came(&self) -> Vec<Came> {
        lock(&self.came).clone()
    }

    /// Waits until something that came fits.
    pub fn wait_for(&self, what: &str, fits: impl Fn(&Came) -> bool) -> Result<Came> {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(found) = self.came().into_iter().find(|came| fits(came)) {
                return Ok(found);
            }
            anyhow::ensure!(Instant::now() < end, "{what} did not come: {:?}", self.came());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Dies at once: its listener and connections are gone.
    pub fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown_timeout(Duration::from_secs(1));
        }
    }

    /// Listens again where it did.
    pub fn come_back(&mut self) -> Result<()> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (came, told) = (Arc::clone(&self.came), Arc::clone(&self.told));
        let listener = runtime.block_on(async {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(self.address)?;
            socket.listen(64)
        });
        let listener = listener.with_context(|| format!("cannot listen on {}", self.address))?;
        runtime.spawn(crate::serve::serve(listener, move |request| {
            let (came, told) = (Arc::clone(&came), Arc::clone(&told));
            async move { Ok::<_, Infallible>(answer(request, &came, &told).await) }
        }));
        self.running = Some(runtime);
        Ok(())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn answer(request: Request<Incoming>, came: &Mutex<Vec<Came>>, told: &Mutex<Told>) -> Answer {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let header = head.headers.get(http::header::AUTHORIZATION);
    let authorization = header.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let told = lock(told).clone();
    lock(came).push(Came { path: head.uri.path().to_owned(), authorization, body });
    tokio::time::sleep(told.delay).await;
    let mut answer = Response::new(full(told.body));
    *answer.status_mut() = StatusCode::from_u16(told.status).unwrap_or(StatusCode::OK);
    answer
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
