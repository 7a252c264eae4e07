//! A whole gate in one process, on a disk that forgets and beside a bank whose own log is the oracle.

use crate::{
    chance::{SeededEntropy, VirtualClock},
    oracle::{AccessLog, Oracle},
};
use anyhow::{Context as _, Result, ensure};
use canonical::Value;
use gate::{ActionRequest, Answer, Clock, Edge, Gate, Outbound, World, mediate::Credential};
use identity::{Algorithm, Grant, Scheme, SigningKey, Validity, VerificationKeys};
use model::{
    Code, Duration, Name, Timestamp, TokenId, TraceId,
    record::{Parts, RecordKind, Recordable, StateChange},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Instant,
};
use store::{Options, Store, forgetful::Disk};

/// When everything in a house happens.
pub const NOW: Timestamp = Timestamp(1_790_000_000_000_000);
const BASE: &str = "http://127.0.0.1:8400";
const SECRET: &str = "the-secret-of-the-bank";
const DOOR: &str = "http://127.0.0.1:8400/http/bank";
/// How long a reopened disk may still be held by the threads of the store before.
const REOPEN: std::time::Duration = std::time::Duration::from_secs(10);

struct Still(VirtualClock);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

/// What a call was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A complete answer.
    Done,
    /// A refusal.
    Refused(Code),
}

/// The bank: an HTTP upstream in this process, with its log.
pub struct Bank {
    /// What reached it.
    pub oracle: Oracle,
    address: SocketAddr,
    server: tokio::task::JoinHandle<Result<()>>,
    _directory: tempfile::TempDir,
}

impl Bank {
    /// Opens for business.
    pub async fn open() -> Result<Bank> {
        let directory = tempfile::tempdir()?;
        let path: PathBuf = directory.path().join("bank.log");
        let log = Arc::new(AccessLog::open(Some(&path))?);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(crate::upstream::http::run(listener, log));
        Ok(Bank { oracle: Oracle::new(path), address, server, _directory: directory })
    }
}

impl Drop for Bank {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A gate with one agent, `payer`, that may transfer (consequential) and look (observing) at the bank.
pub struct House {
    /// The gate.
    pub gate: Arc<Gate>,
    /// Its store, on the disk.
    pub store: Arc<Store>,
    token: String,
}

impl House {
    /// Opens the store on the disk and closes what an earlier house left open.
    pub async fn open(disk: &Disk, bank: &Bank, entropy: &Arc<SeededEntropy>) -> Result<House> {
        House::open_with(disk, bank, entropy, "").await
    }

    /// The same with more keys in its boundary, such as `, limits: { calls: 2/h }`.
    pub async fn open_with(
        disk: &Disk,
        bank: &Bank,
        entropy: &Arc<SeededEntropy>,
        boundary: &str,
    ) -> Result<House> {
        identity::install_crypto();
        let store = Arc::new(disk.open(&Options::default(), entropy.clone())?);
        let key = SigningKey::from_random(Algorithm::EdDsa, &[9; 32])?;
        let (world, declared) = world(&store, bank.address, &key, boundary)?;
        let token = mint(&world, &key)?;
        let gate = Gate::new(gate::Parts {
            store: Arc::clone(&store),
            broker: upstream::Broker::new(Arc::new(|_: &str| Some(SECRET.to_owned())), None),
            client: upstream::Client::new(upstream::Settings::default())?,
            mcp: upstream::mcp::Mcp::new(),
            clock: Arc::new(Still(VirtualClock::new(NOW))),
            entropy: entropy.clone(),
            settings: gate::Settings {
                mtls: false,
                base_url: BASE.into(),
                issuer: BASE.into(),
                development: true,
                handle_key: [3; 32],
                nonce_key: identity::NonceKey::new(&[4; 32]),
                nonces_demanded: false,
                own_user: None,
                guards: gate::Guards::default(),
            },
            world,
            revoked: revoked(&store.state()),
        });
        let obeying = Arc::downgrade(&gate);
        store.on_change(Box::new(move |state| {
            if let Some(gate) = obeying.upgrade() {
                gate.revoke(revoked(state));
            }
        }));
        let given = upstream::wanted(&declared.upstreams);
        gate.know_upstreams(&declared, given).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
        gate::settle::recover(&gate, store.recovered()).await;
        Ok(House { gate, store, token })
    }

    /// Opens again after the power was cut: the disk is free once the threads of the store before have ended.
    pub async fn reopen(disk: &Disk, bank: &Bank, entropy: &Arc<SeededEntropy>) -> Result<House> {
        let deadline = Instant::now() + REOPEN;
        loop {
            match House::open(disk, bank, entropy).await {
                Ok(house) => return Ok(house),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    /// Cuts the power and lets go of everything.
    pub async fn power_cut(self, disk: &Disk) {
        disk.power_off();
        self.gate.drain().await;
        self.store.journal().close();
        drop(self);
        disk.power_on();
    }

    /// A transfer, a look, or something that does not exist, by the number modulo three.
    pub async fn call(&self, number: u64) -> Result<Told> {
        let (operation, method, path) = match number % 3 {
            0 => ("transfer", http::Method::POST, "transfers"),
            1 => ("look", http::Method::GET, "fast"),
            _ => ("nothing", http::Method::GET, "nothing"),
        };
        self.act(number, operation, method, path).await
    }

    /// One call of an operation. The trace is the number + 1.
    pub async fn act(
        &self,
        number: u64,
        operation: &str,
        method: http::Method,
        path: &str,
    ) -> Result<Told> {
        let request = ActionRequest {
            edge: Edge::Http,
            credential: Some(Credential::new(
                Scheme::Bearer,
                self.token.clone(),
                method.to_string(),
                format!("{DOOR}/{path}"),
            )),
            upstream: Name::new("bank")?,
            aggregate: false,
            operation: operation.into(),
            arguments: Value::Object(canonical::Object::new()),
            trace: TraceId(u128::from(number) + 1),
            traceparent: None,
            task: None,
            outbound: Outbound::Http(upstream::HttpRequest {
                method,
                segments: vec![path.into()],
                ..upstream::HttpRequest::default()
            }),
        };
        match self.gate.mediate(request).await {
            Answer::Whole(_) => Ok(Told::Done),
            Answer::Refused(refusal) => Ok(Told::Refused(refusal.code)),
            Answer::Stream(..) => anyhow::bail!("call {number} was answered with a stream"),
        }
    }

    /// Freezes the agent, or lets it act again. True once that is durable and in force.
    pub async fn freeze(&self, frozen: bool) -> bool {
        let value = frozen.then(|| b"{}".to_vec());
        let change = StateChange { key: "frozen/agent/payer".into(), value };
        let durable = match self.store.journal().append(Freeze(change), self.gate.stamp()) {
            Ok(pending) => pending.await.is_ok(),
            Err(_) => false,
        };
        let revision = self.store.state().revision;
        self.gate.publish(World { revision, ..World::clone(&self.gate.world()) });
        durable
    }
}

struct Freeze(StateChange);

impl Recordable for Freeze {
    fn kind(&self) -> RecordKind {
        RecordKind::Control
    }

    fn parts(&self) -> Parts {
        Parts { envelope: b"{}".to_vec(), ..Parts::default() }
    }

    fn changes(&self) -> Vec<StateChange> {
        vec![self.0.clone()]
    }
}

/// Compares ledger, upstream and answers: nothing consequential reached the bank without a durable open entry, each
/// answer has its entry and outcome, each refusal its record, each entry at most one outcome.
pub fn compare(store: &Store, bank: &Oracle, told: &BTreeMap<u64, Told>) -> Result<()> {
    let mut opened = BTreeMap::new();
    let (mut closed, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for sequence in 0..store.size() {
        let record = store.read(sequence)?.with_context(|| format!("record {sequence} is gone"))?;
        let Some(entry) = record.entry() else { continue };
        let number = record.trace().map(|trace| trace.0.wrapping_sub(1));
        match record.leaf.kind {
            RecordKind::Opened => drop(opened.insert(entry.to_string(), number)),
            RecordKind::Outcome => {
                ensure!(closed.insert(entry.to_string()), "{entry} has two outcomes")
            }
            RecordKind::Refused => drop(refused.insert(number)),
            _ => {}
        }
    }
    ensure!(
        closed.iter().all(|entry| opened.contains_key(entry)),
        "an outcome closes what was never opened"
    );
    for request in bank.of("request") {
        let text = |pointer: &str| request.pointer(pointer).and_then(serde_json::Value::as_str);
        let entry =
            text("/headers/ambit-action").context("the bank saw a request that names no entry")?;
        let known = opened.contains_key(entry) || text("/method") != Some("POST");
        ensure!(known, "the bank acted on {entry}, which has no durable open entry");
    }
    for (number, told) in told {
        let number = Some(u128::from(*number));
        let entry = opened.iter().find(|(_, of)| **of == number).map(|(entry, _)| entry);
        match told {
            Told::Done => {
                let entry = entry
                    .with_context(|| format!("call {number:?} was answered and has no entry"))?;
                ensure!(closed.contains(entry), "call {number:?} was answered and has no outcome");
            }
            // Nothing could be recorded, and the caller was told just that.
            Told::Refused(Code::Unrecorded | Code::Saturated | Code::Stopping) => {}
            Told::Refused(code) => {
                let recorded =
                    refused.contains(&number) || entry.is_some_and(|entry| closed.contains(entry));
                ensure!(recorded, "call {number:?} was refused ({code}) without a record");
            }
        }
    }
    Ok(())
}

/// Entries without an outcome.
pub fn left_open(store: &Store) -> Result<usize> {
    let mut open = BTreeSet::new();
    for sequence in 0..store.size() {
        let record = store.read(sequence)?.with_context(|| format!("record {sequence} is gone"))?;
        match (record.leaf.kind, record.entry()) {
            (RecordKind::Opened, Some(entry)) => drop(open.insert(entry)),
            (RecordKind::Outcome, Some(entry)) => drop(open.remove(&entry)),
            _ => {}
        }
    }
    Ok(open.len())
}

fn revoked(state: &store::State) -> std::collections::HashSet<model::Digest> {
    state.rows.keys().filter_map(|key| ledger::revoked_subject(key)).collect()
}

fn world(
    store: &Store,
    bank: SocketAddr,
    key: &SigningKey,
    boundary: &str,
) -> Result<(World, model::declared::Declared)> {
    let text = format!(
        "version: 1\nagents:\n  payer:\n    purpose: Pay\n    owner: group:it\n    boundary: all\n    \
         credentials: {{ proof: none }}\nupstreams:\n  bank:\n    http: http://{bank}\n    credential: env:AMBIT_SECRET_BANK\n    actions:\n      \
         transfer: {{ route: POST /transfers, effect: transfer, risk: medium }}\n      \
         look: {{ route: GET /fast, effect: read, risk: low }}\n      \
         echo: {{ route: GET /echo, effect: read, risk: low }}\nboundaries:\n  \
         all: {{ upstreams: [bank]{boundary} }}\n\
         humans:\n  people:\n    dana: {{ groups: [it] }}\n"
    );
    let read = declared::read("ambit.yaml", &text, Vec::new());
    let (declared, _) = read.map_err(|error| anyhow::anyhow!("{error}"))?;
    let compiled = policy::compile(&declared, &policy::Definitions::new());
    let compiled = compiled.map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let mut keys = VerificationKeys::new();
    ensure!(keys.insert(key.public().clone(), Validity::ALWAYS), "no room for the key");
    let world = World {
        registry: gate::Registry::default(),
        revision: store.state().revision,
        compiled: Arc::new(compiled),
        keys: Arc::new(keys),
        people: declared.people.clone(),
        definitions: BTreeMap::new(),
        returns: BTreeMap::new(),
        quarantined: BTreeSet::new(),
    };
    Ok((world, declared))
}

fn mint(world: &World, key: &SigningKey) -> Result<String> {
    let agent = Name::new("payer")?;
    let version = world.compiled.agent(&agent).context("the agent is declared")?.version;
    Ok(key.mint(&Grant {
        issuer: BASE,
        audience: DOOR,
        agent: &agent,
        version,
        instance: None,
        user: None,
        task: None,
        scope: None,
        token: TokenId::new(NOW, [1; 10]),
        issued: NOW,
        expires: NOW.after(Duration::seconds(300)),
        bound: false,
        delegation: identity::Delegation::default(),
        certificate: None,
    })?)
}
