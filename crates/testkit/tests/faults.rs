//! Every durable write of a small life of the gate fails not persisted, persisted, and torn; then the power goes.
//!
//! The oracle is the upstream's own log: nothing consequential reached it without a durable open entry, and no answer
//! was given without its record.
#![cfg(test)]

use anyhow::{Context as _, Result, ensure};
use canonical::Value;
use gate::{ActionRequest, Answer, Clock, Edge, Gate, Outbound, World, mediate::Credential};
use identity::{Algorithm, Grant, Scheme, SigningKey, Validity, VerificationKeys};
use model::{Code, Name, Timestamp, TokenId, TraceId, record::RecordKind};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::SocketAddr,
    sync::Arc,
};
use store::{
    Options, Store,
    forgetful::{Disk, Fault},
};
use testkit::{
    chance::{SeededEntropy, VirtualClock},
    oracle::{AccessLog, Oracle},
};

const NOW: Timestamp = Timestamp(1_790_000_000_000_000);
const DOOR: &str = "http://127.0.0.1:8400/http/bank";

struct Still(VirtualClock);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

struct Stage {
    gate: Arc<Gate>,
    store: Arc<Store>,
    token: String,
}

/// One answer, by the number that its call carried.
enum Told {
    Done,
    Refused(Code),
}

#[test]
fn no_durable_write_that_fails_leaves_an_answer_or_an_act_without_its_record() -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let writes = runtime.block_on(run(None))?;
    ensure!(writes >= 12, "the script makes {writes} durable writes: too few to mean anything");
    for write in 0..writes {
        for fault in [Fault::NotPersisted, Fault::Persisted, Fault::Torn] {
            let ended = runtime.block_on(run(Some((write, fault))));
            ended.with_context(|| format!("durable write {write}, {fault:?}"))?;
        }
    }
    Ok(())
}

/// Plays the script on a disk with one fault, cuts the power, and compares ledger, upstream and answers. Gives how many
/// durable writes there were.
async fn run(fault: Option<(u64, Fault)>) -> Result<u64> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("bank.log");
    let log = Arc::new(AccessLog::open(Some(&path))?);
    let listener = testkit::serve::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let bank = tokio::spawn(testkit::upstream::http::run(listener, log));
    let disk = Disk::new();
    if let Some((write, fault)) = fault {
        disk.fail(write, fault);
    }
    let entropy = Arc::new(SeededEntropy::new(7));
    let mut told = BTreeMap::new();
    if let Ok(store) = disk.open(&Options::default(), entropy.clone()) {
        let stage = Stage::set(Arc::new(store), address, entropy.clone())?;
        for number in 0..9 {
            told.insert(number, stage.call(number).await);
        }
        disk.power_off();
        stage.gate.drain().await;
        stage.store.journal().close();
    }
    bank.abort();
    let writes = disk.writes();
    disk.power_on();
    let reopened = reopen(&disk, entropy)?;
    compare(&reopened, &Oracle::new(path), &told)?;
    Ok(writes)
}

/// The lock is free once the first store's threads have ended.
fn reopen(disk: &Disk, entropy: Arc<SeededEntropy>) -> Result<Store> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        match disk.open(&Options::default(), entropy.clone()) {
            Ok(store) => return Ok(store),
            Err(error) if std::time::Instant::now() > deadline => return Err(error.into()),
            Err(_) => std::thread::yield_now(),
        }
    }
}

fn compare(store: &Store, bank: &Oracle, told: &BTreeMap<u64, Told>) -> Result<()> {
    let mut opened = BTreeMap::new();
    let (mut closed, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for sequence in 0..store.size() {
        let record = store.read(sequence)?.with_context(|| format!("record {sequence} is gone"))?;
        let Some(entry) = record.entry() else { continue };
        let number = number_of(&record);
        match record.leaf.kind {
            RecordKind::Opened => drop(opened.insert(entry.to_string(), number)),
            RecordKind::Outcome => drop(closed.insert(entry.to_string())),
            RecordKind::Refused => drop(refused.insert(number)),
            _ => {}
        }
    }
    for request in bank.of("request") {
        let entry = request.pointer("/headers/ambit-action").and_then(serde_json::Value::as_str);
        let entry = entry.context("the upstream saw a request that names no entry")?;
        let consequential =
            request.pointer("/method").and_then(serde_json::Value::as_str) == Some("POST");
        if consequential {
            ensure!(
                opened.contains_key(entry),
                "the upstream acted on {entry}, which has no durable open entry"
            );
        }
    }
    for (number, told) in told {
        match told {
            Told::Done => {
                let entry =
                    opened.iter().find(|(_, n)| **n == Some(*number)).map(|(entry, _)| entry);
                let entry = entry
                    .with_context(|| format!("call {number} was answered and has no entry"))?;
                ensure!(closed.contains(entry), "call {number} was answered and has no outcome");
            }
            Told::Refused(Code::Unrecorded | Code::Saturated | Code::Stopping) => {}
            Told::Refused(code) => {
                ensure!(
                    refused.contains(&Some(*number)),
                    "call {number} was refused ({code}) without a record"
                );
            }
        }
    }
    Ok(())
}

/// The trace of a call is its number plus one, so that a refusal without arguments can be told as well.
fn number_of(record: &store::Record) -> Option<u64> {
    u64::try_from(record.trace()?.0).ok()?.checked_sub(1)
}

impl Stage {
    fn set(store: Arc<Store>, bank: SocketAddr, entropy: Arc<SeededEntropy>) -> Result<Stage> {
        identity::install_crypto();
        let text = format!(
            "version: 1\nagents:\n  payer:\n    purpose: Pay\n    owner: group:it\n    boundary: all\n    \
             credentials: {{ proof: none }}\nupstreams:\n  bank:\n    http: http://{bank}\n    actions:\n      \
             transfer: {{ route: POST /transfers, effect: transfer, risk: medium }}\n      \
             look: {{ route: GET /fast, effect: read, risk: low }}\nboundaries:\n  all: {{ upstreams: [bank] }}\n\
             humans:\n  people:\n    dana: {{ groups: [it] }}\n"
        );
        let (declared, _) =
            declared::read("ambit.yaml", &text, Vec::new()).map_err(|e| anyhow::anyhow!("{e}"))?;
        let compiled = policy::compile(&declared, &policy::Definitions::new());
        let compiled = compiled.map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
        let key = SigningKey::from_random(Algorithm::EdDsa, &[9; 32])?;
        let mut keys = VerificationKeys::new();
        ensure!(keys.insert(key.public().clone(), Validity::ALWAYS), "no room for the key");
        let agent = Name::new("payer")?;
        let version = compiled.agent(&agent).context("the agent is declared")?.version;
        let token = key.mint(&Grant {
            issuer: "http://127.0.0.1:8400",
            audience: DOOR,
            agent: &agent,
            version,
            instance: None,
            user: None,
            task: None,
            scope: None,
            token: TokenId::new(NOW, [1; 10]),
            issued: NOW,
            expires: NOW.after(model::Duration::seconds(300)),
            bound: false,
        })?;
        let world = World {
            revision: store.state().revision,
            compiled: Arc::new(compiled),
            keys: Arc::new(keys),
            people: declared.people.clone(),
            definitions: BTreeMap::new(),
            returns: BTreeMap::new(),
            quarantined: BTreeSet::new(),
        };
        let gate = Gate::new(gate::Parts {
            store: Arc::clone(&store),
            broker: upstream::Broker::new(Arc::new(|_: &str| None), None),
            client: upstream::Client::new(upstream::Settings::default())?,
            mcp: upstream::mcp::Mcp::new(),
            clock: Arc::new(Still(VirtualClock::new(NOW))),
            entropy,
            settings: gate::Settings {
                base_url: "http://127.0.0.1:8400".into(),
                issuer: "http://127.0.0.1:8400".into(),
                development: true,
                handle_key: [3; 32],
                guards: gate::Guards::default(),
            },
            world,
            revoked: HashSet::new(),
        });
        gate.know_upstreams(&declared).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
        Ok(Stage { gate, store, token })
    }

    /// A transfer, a look, or something that does not exist, in turn.
    async fn call(&self, number: u64) -> Told {
        let (operation, method, path) = match number % 3 {
            0 => ("transfer", http::Method::POST, "transfers"),
            1 => ("look", http::Method::GET, "fast"),
            _ => ("nothing", http::Method::GET, "nothing"),
        };
        let request = ActionRequest {
            edge: Edge::Http,
            credential: Some(Credential {
                scheme: Scheme::Bearer,
                token: self.token.clone(),
                proof: None,
                method: method.to_string(),
                url: format!("{DOOR}/{path}"),
            }),
            upstream: Name::new("bank").expect("a name"),
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
            Answer::Whole(_) => Told::Done,
            Answer::Stream(..) => unreachable!("these answers are short"),
            Answer::Refused(refusal) => Told::Refused(refusal.code),
        }
    }
}
