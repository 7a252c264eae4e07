//! The listener's TLS key changes while everybody works: five rotations under load fail no connection, and afterwards the
//! old key is shown to nobody.
//!
//! `AMBIT_TEST_REQUESTS` says how many requests the load makes at least.
#![cfg(test)]

use anyhow::{Context as _, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, Stream, pki_types::CertificateDer,
    pki_types::ServerName,
};
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use testkit::process::{Home, StandIn};

const CONNECTIONS: usize = 32;
const ROTATIONS: usize = 5;
/// How long the load may take for its next step on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

const CONFIG: &str = r#"version: 1
agents:
  worker: { purpose: Work, owner: "group:it", boundary: all, credentials: { proof: none } }
upstreams:
  bank:
    http: http://ADDRESS
    actions: { look: { route: GET /fast, effect: read, risk: low } }
boundaries:
  all: { upstreams: [bank] }
"#;

/// An authority, with the certificate and the key that it made for the listener.
struct Made {
    authority: CertificateDer<'static>,
    leaf: CertificateDer<'static>,
    certificate: String,
    key: String,
}

fn make() -> Result<Made> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()])?.signed_by(&key, &authority)?;
    let (certificate, key) = (leaf.pem(), key.serialize_pem());
    Ok(Made { authority: authority.der().clone(), leaf: leaf.der().clone(), certificate, key })
}

/// A client that believes these authorities.
fn believing<'a>(made: impl IntoIterator<Item = &'a Made>) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for made in made {
        roots.add(made.authority.clone())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// One call over a connection of its own: the status line, and the certificate that was shown.
fn call(address: &str, config: &Arc<ClientConfig>, token: &str) -> Result<(String, Vec<u8>)> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let name = ServerName::try_from("127.0.0.1")?;
    let mut connection = ClientConnection::new(Arc::clone(config), name)?;
    let mut stream = Stream::new(&mut connection, &mut socket);
    write!(
        stream,
        "GET /http/bank/fast HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let shown = connection.peer_certificates().and_then(<[_]>::first).context("no certificate")?;
    let answer = String::from_utf8_lossy(&answer);
    Ok((answer.lines().next().unwrap_or_default().to_owned(), shown.to_vec()))
}

#[test]
fn keys_of_the_listener() -> Result<()> {
    let wanted: usize = match std::env::var("AMBIT_TEST_REQUESTS") {
        Ok(text) => text.parse().context("AMBIT_TEST_REQUESTS")?,
        Err(_) => 2_000,
    };
    let made: Vec<Made> = (0..=ROTATIONS).map(|_| make()).collect::<Result<_>>()?;
    let logs = tempfile::tempdir()?;
    let bank = StandIn::http(logs.path(), "bank")?;
    let home = Home::new(&CONFIG.replace("ADDRESS", &bank.address))?;
    let files = [home.path().join("tls.crt"), home.path().join("tls.key")];
    // A pair that does not fit yet changes nothing: two files are never written at one moment.
    let write = |made: &Made| -> Result<()> {
        std::fs::write(&files[0], &made.certificate)?;
        Ok(std::fs::write(&files[1], &made.key)?)
    };
    write(&made[0])?;
    let [certificate, key] = files.clone().map(|file| file.to_string_lossy().into_owned());
    let home = home.with_options(&["--tls-cert", &certificate, "--tls-key", &key]);
    let gate = home.start()?;
    let door = home.http_door("bank").replacen("http://", "https://", 1);
    let token = home.token("worker", &door, &[])?;
    let address = home.front().replacen("http://", "", 1);
    let all = believing(&made)?;
    let (done, ending) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            while !ending.load(Ordering::Relaxed) || done.load(Ordering::Relaxed) < wanted {
                let (status, _) = call(&address, &all, &token)?;
                ensure!(status == "HTTP/1.1 200 OK", "{status} under load");
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        let workers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(work)).collect();
        let rotate = || -> Result<()> {
            let begun = Instant::now();
            let waits = |what: &str| {
                let early = workers.iter().any(std::thread::ScopedJoinHandle::is_finished);
                ensure!(!early && begun.elapsed() < PATIENCE * 3, "the load stands still: {what}");
                std::thread::sleep(Duration::from_millis(5));
                Ok(())
            };
            for (rotation, new) in made.iter().enumerate().skip(1) {
                while done.load(Ordering::Relaxed) < rotation * wanted / (ROTATIONS + 1) {
                    waits("requests")?;
                }
                write(new)?;
                while call(&address, &all, &token)?.1 != new.leaf.as_ref() {
                    waits("the new key")?;
                }
            }
            Ok(())
        };
        let rotated = rotate();
        ending.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??;
        }
        rotated
    })?;
    ensure!(done.load(Ordering::Relaxed) >= wanted, "too few requests");
    let newest = made.last().context("none")?;
    let (old, new) = (believing(&made[..ROTATIONS])?, believing([newest])?);
    let before = bank.oracle.of("request").len();
    for _ in 0..100 {
        ensure!(call(&address, &old, &token).is_err(), "an old key is still shown");
        ensure!(call(&address, &new, &token)?.1 == newest.leaf.as_ref(), "the twin");
    }
    ensure!(bank.oracle.of("request").len() == before + 100, "what was refused arrived");
    gate.stop()
}
