//! The listener's TLS key and the key that signs agents' certificates change while everybody works: five rotations of each
//! under load fail nothing, and afterwards the old one is shown to nobody, and believed by nobody.
//!
//! `AMBIT_TEST_REQUESTS` says how many requests the load makes at least.
#![cfg(test)]

use anyhow::{Context as _, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, Stream,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use serde_json::Value;
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
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

/// The listener's files.
fn files(home: &Home) -> [PathBuf; 2] {
    ["tls.crt", "tls.key"].map(|name| home.path().join(name))
}

/// Writes them. A pair that does not fit yet changes nothing: two files are never written at one moment.
fn write(home: &Home, made: &Made) -> Result<()> {
    let [certificate, key] = files(home);
    std::fs::write(certificate, &made.certificate)?;
    Ok(std::fs::write(key, &made.key)?)
}

/// A gate whose listener speaks TLS.
fn home(config: &str, made: &Made) -> Result<Home> {
    let home = Home::new(config)?;
    write(&home, made)?;
    let [certificate, key] = files(&home).map(|file| file.to_string_lossy().into_owned());
    Ok(home.with_options(&["--tls-cert", &certificate, "--tls-key", &key]))
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

/// How many requests the load makes at least.
fn requests() -> Result<usize> {
    match std::env::var("AMBIT_TEST_REQUESTS") {
        Ok(text) => text.parse().context("AMBIT_TEST_REQUESTS"),
        Err(_) => Ok(2_000),
    }
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
    let wanted = requests()?;
    let made: Vec<Made> = (0..=ROTATIONS).map(|_| make()).collect::<Result<_>>()?;
    let logs = tempfile::tempdir()?;
    let bank = StandIn::http(logs.path(), "bank")?;
    let home = home(&CONFIG.replace("ADDRESS", &bank.address), &made[0])?;
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
                write(&home, new)?;
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

/// An agent's process: its key, a request for a certificate, and the certificate that it has.
struct Holder<'a> {
    gate: &'a Front,
    key: KeyPair,
    config: Arc<ClientConfig>,
}

/// Where the gate is, and whom to believe about it.
struct Front {
    home: Home,
    address: String,
    base: String,
    roots: RootCertStore,
}

/// Sends one request and reads to the end: status and body.
fn ask(gate: &Front, config: &Arc<ClientConfig>, request: &str) -> Result<(u16, Value)> {
    let mut socket = TcpStream::connect(&gate.address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut connection = ClientConnection::new(Arc::clone(config), "127.0.0.1".try_into()?)?;
    let mut stream = Stream::new(&mut connection, &mut socket);
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    read(&String::from_utf8_lossy(&answer))
}

fn read(answer: &str) -> Result<(u16, Value)> {
    let status =
        answer.split(' ').nth(1).with_context(|| format!("no answer: `{answer}`"))?.parse()?;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    Ok((status, serde_json::from_str(body).unwrap_or_default()))
}

fn form(gate: &Front, path: &str, fields: &[(&str, &str)], last: bool) -> String {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let connection = if last { "close" } else { "keep-alive" };
    format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\nconnection: {connection}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        gate.address,
        body.len()
    )
}

impl Front {
    fn token_form(&self, last: bool) -> String {
        let door = format!("{}/http/bank", self.base);
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", "worker"),
            ("resource", door.as_str()),
        ];
        form(self, "/oauth/token", &fields, last)
    }

    /// Calls the bank with a token over a connection with a certificate.
    fn look(&self, config: &Arc<ClientConfig>, token: &str) -> Result<u16> {
        let request = format!(
            "GET /http/bank/fast HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n",
            self.address
        );
        Ok(ask(self, config, &request)?.0)
    }
}

impl Holder<'_> {
    /// A process that the operator gave its first certificate.
    fn new<'a>(gate: &'a Front, name: &str) -> Result<Holder<'a>> {
        let key = KeyPair::generate()?;
        let csr = gate.home.path().join(format!("{name}.csr"));
        std::fs::write(&csr, CertificateParams::default().serialize_request(&key)?.pem()?)?;
        let given =
            gate.home.done(&["agent", "cert", "worker", "--csr", &csr.to_string_lossy()])?;
        let config = with(gate, &key, &given)?;
        Ok(Holder { gate, key, config })
    }

    /// Gets the next certificate with the one that it has.
    fn renew(&mut self) -> Result<()> {
        let csr = CertificateParams::default().serialize_request(&self.key)?.pem()?;
        let fields = [("client_id", "worker"), ("csr", csr.as_str())];
        let request = form(self.gate, "/oauth/certificate", &fields, true);
        let (status, answer) = ask(self.gate, &self.config, &request)?;
        ensure!(status == 200, "{status} {answer} at the renewal");
        let given = answer["certificate"].as_str().context("no certificate")?;
        self.config = with(self.gate, &self.key, given)?;
        Ok(())
    }

    fn token(&self) -> Result<(u16, String)> {
        let (status, answer) = ask(self.gate, &self.config, &self.gate.token_form(true))?;
        Ok((status, answer["access_token"].as_str().unwrap_or_default().to_owned()))
    }
}

fn with(gate: &Front, key: &KeyPair, certificate: &str) -> Result<Arc<ClientConfig>> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(gate.roots.clone());
    Ok(Arc::new(config.with_client_auth_cert(chain, key)?))
}

fn front(bank: &StandIn) -> Result<(Front, testkit::process::Ambit)> {
    let config = CONFIG.replace("ADDRESS", &bank.address).replace("proof: none", "proof: mtls");
    let made = make()?;
    let home = home(&config, &made)?;
    let ambit = home.start()?;
    let mut roots = RootCertStore::empty();
    roots.add(made.authority)?;
    let address = home.front().replacen("http://", "", 1);
    let base = home.front().replacen("http:", "https:", 1);
    Ok((Front { home, address, base, roots }, ambit))
}

#[test]
fn keys_of_the_authority() -> Result<()> {
    let wanted = requests()?;
    let logs = tempfile::tempdir()?;
    let bank = StandIn::http(logs.path(), "bank")?;
    let (gate, ambit) = front(&bank)?;
    let first = Holder::new(&gate, "first")?;
    let (status, of_first) = first.token()?;
    ensure!(status == 200 && gate.look(&first.config, &of_first)? == 200);
    let (done, ending, generation) =
        (AtomicUsize::new(0), AtomicBool::new(false), AtomicUsize::new(0));
    let renewed: Vec<AtomicUsize> = (0..CONNECTIONS).map(|_| AtomicUsize::new(0)).collect();
    let holders: Vec<_> =
        (0..CONNECTIONS).map(|at| Holder::new(&gate, &at.to_string())).collect::<Result<_>>()?;
    let work = |mut holder: Holder<'_>, at: usize| -> Result<()> {
        while !ending.load(Ordering::Relaxed) || done.load(Ordering::Relaxed) < wanted {
            let by_now = generation.load(Ordering::SeqCst);
            if renewed[at].load(Ordering::SeqCst) < by_now {
                holder.renew()?;
                renewed[at].store(by_now, Ordering::SeqCst);
            }
            let (status, token) = holder.token()?;
            ensure!(status == 200, "{status} for a token under load");
            let status = holder.gate.look(&holder.config, &token)?;
            ensure!(status == 200, "{status} at the door under load");
            done.fetch_add(2, Ordering::Relaxed);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = holders
            .into_iter()
            .enumerate()
            .map(|(at, holder)| scope.spawn(move || work(holder, at)))
            .collect();
        let rotate = || -> Result<()> {
            let waits = |begun: Instant, what: &str| {
                let early = workers.iter().any(std::thread::ScopedJoinHandle::is_finished);
                ensure!(!early && begun.elapsed() < PATIENCE, "the load stands still: {what}");
                std::thread::sleep(Duration::from_millis(5));
                Ok(())
            };
            for rotation in 1..=ROTATIONS {
                let begun = Instant::now();
                while done.load(Ordering::Relaxed) < rotation * wanted / (ROTATIONS + 1) {
                    waits(begun, "requests")?;
                }
                gate.home.done(&["key", "rotate", "--authority"])?;
                generation.store(rotation, Ordering::SeqCst);
                while renewed.iter().any(|one| one.load(Ordering::SeqCst) < rotation) {
                    waits(begun, "certificates of the new key")?;
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
    // What the first one signed is good while it lives, unless that key is withdrawn.
    ensure!(first.token()?.0 == 200 && gate.look(&first.config, &of_first)? == 200);
    withdrawn(&gate, &first, &of_first)?;
    ambit.stop()
}

/// A connection that stands after a call at a door.
struct Standing {
    connection: ClientConnection,
    socket: TcpStream,
}

impl Standing {
    fn open(gate: &Front, holder: &Holder<'_>, token: &str) -> Result<Standing> {
        let socket = TcpStream::connect(&gate.address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from("127.0.0.1")?;
        let connection = ClientConnection::new(Arc::clone(&holder.config), name)?;
        let mut standing = Standing { connection, socket };
        let call = format!(
            "GET /http/bank/fast HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n\r\n",
            gate.address
        );
        standing.send(&call)?;
        let mut answer = vec![0_u8; 16 * 1024];
        let Standing { connection, socket } = &mut standing;
        let length = Stream::new(connection, socket).read(&mut answer)?;
        let (status, _) = read(&String::from_utf8_lossy(&answer[..length]))?;
        ensure!(status == 200, "{status} for the call at the door");
        Ok(standing)
    }

    fn send(&mut self, text: &str) -> Result<()> {
        Ok(Stream::new(&mut self.connection, &mut self.socket).write_all(text.as_bytes())?)
    }

    /// The status of what was asked last.
    fn told(mut self) -> Result<u16> {
        let mut answer = Vec::new();
        Stream::new(&mut self.connection, &mut self.socket).read_to_end(&mut answer)?;
        Ok(read(&String::from_utf8_lossy(&answer))?.0)
    }
}

/// The old keys are withdrawn: nothing that they signed is believed, over a connection that stands neither, nor for a
/// request that was begun before.
fn withdrawn(gate: &Front, first: &Holder<'_>, of_first: &str) -> Result<()> {
    let open = || Standing::open(gate, first, of_first);
    let (mut before, mut begun, mut after) = (open()?, open()?, open()?);
    let asked = gate.token_form(true);
    let (head, rest) = asked.split_at(asked.len() - 8);
    before.send(&asked)?;
    ensure!(before.told()? == 200, "the twin: before");
    begun.send(head)?;
    let told = gate.home.json(&["key", "rotate", "--authority", "--withdraw"])?;
    ensure!(told["believed"].as_array().map(Vec::len) == Some(1), "{told}");
    begun.send(rest)?;
    ensure!(begun.told()? == 401, "a request that was begun before");
    after.send(&asked)?;
    ensure!(after.told()? == 401, "over a connection that stands");
    let newest = Holder::new(gate, "newest")?;
    let (status, of_newest) = newest.token()?;
    ensure!(status == 200);
    for _ in 0..100 {
        ensure!(first.token()?.0 == 401, "an old certificate buys a token");
        ensure!(gate.look(&first.config, of_first)? == 403, "its token is taken");
        ensure!(gate.look(&newest.config, &of_newest)? == 200, "the twin");
    }
    Ok(())
}
