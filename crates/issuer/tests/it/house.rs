//! A house with agents, a task and a journal, whose every answer can be changed by a test.

use axum::{Router, body::Body};
use canonical::{Limits, Value};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use identity::{
    AgentKey, AgentKeys, Algorithm, AssertionClaims, Authority, Certificate, ForeignKeys, NonceKey,
    ProofClaims, SigningKey, SigningRequest, Validity, VerificationKeys,
};
use issuer::{
    Certified, Directory, ForeignKeysSoon, IssueError, Issuer, RegisteredAgent, Settings,
    TaskGrant, router,
};
use ledger::{
    DataKey, Entropy, Journal, Kek, KeyId, Keyring, Leaf, Stamp, Writer, disclose, subject_digest,
};
use model::{
    ActionId, AgentName, Code, Digest, Duration, Name, PartyName, SpiffeId, TaskId, Timestamp,
    TrustDomain, UpstreamName,
    declared::Proof,
    record::{Condition, KeyScope, Parts, RecordKind, Recordable, StateChange},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};
use tower::ServiceExt as _;

pub(crate) const ISSUER: &str = "http://127.0.0.1:8400";
pub(crate) const TOKEN: &str = "http://127.0.0.1:8400/oauth/token";
pub(crate) const TICKETS: &str = "http://127.0.0.1:8400/mcp/tickets";
pub(crate) const DOMAIN: &str = "ambit.test";
pub(crate) const NOW: i64 = 1_795_000_000;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(NOW + seconds)
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// What the tests change.
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) agents: BTreeMap<AgentName, RegisteredAgent>,
    pub(crate) tasks: BTreeMap<TaskId, TaskGrant>,
    pub(crate) revoked: BTreeSet<Digest>,
    pub(crate) actions: BTreeMap<AgentName, BTreeSet<ActionId>>,
    /// Why no agent may act, if none may.
    pub(crate) refused: Option<Code>,
    /// Earlier versions that go on.
    pub(crate) going_on: BTreeSet<Digest>,
    /// Thumbprints of enrolled instances.
    pub(crate) instances: BTreeSet<String>,
    pub(crate) revision: u64,
    pub(crate) strangers: Vec<(Code, &'static str)>,
    /// Runs once, after the next decision has looked at the revocations.
    pub(crate) meanwhile: Option<Box<dyn FnOnce() + Send>>,
}

pub(crate) struct Fake {
    pub(crate) world: Mutex<World>,
    signing: Arc<SigningKey>,
    keys: Arc<VerificationKeys>,
    nonces: NonceKey,
    pub(crate) authority: Authority,
    pub(crate) foreign: Mutex<Option<ForeignKeys>>,
    drawn: AtomicU64,
}

impl Directory for Fake {
    fn agent(&self, name: &AgentName) -> Option<Arc<RegisteredAgent>> {
        self.world.lock().unwrap().agents.get(name).cloned().map(Arc::new)
    }

    fn agent_of(&self, id: &SpiffeId) -> Option<AgentName> {
        let world = self.world.lock().unwrap();
        let of = |(name, agent): (&AgentName, &RegisteredAgent)| {
            agent.workloads.contains(id).then(|| name.clone())
        };
        world.agents.iter().find_map(of)
    }

    fn certify(
        &self,
        agent: &AgentName,
        request: &SigningRequest,
    ) -> Result<Certified, IssueError> {
        let domain = TrustDomain::new(DOMAIN).unwrap();
        let signed = self
            .authority
            .sign(request, &domain.agent(agent), [7; 16], (self.now(), Duration::seconds(3_600)))
            .map_err(IssueError::Request)?;
        Ok(Certified {
            certificate: signed.pem,
            authority: self.authority.pem(),
            spiffe_id: domain.agent(agent),
            key: request.key_thumbprint().to_owned(),
            expires: signed.not_after,
        })
    }

    fn refused(&self, _agent: &AgentName, version: &Digest) -> Option<Code> {
        let world = self.world.lock().unwrap();
        world.refused.filter(|_| !world.going_on.contains(version))
    }

    fn goes_on(&self, _agent: &AgentName, version: &Digest) -> bool {
        self.world.lock().unwrap().going_on.contains(version)
    }

    fn is_instance(&self, _agent: &AgentName, key: &str) -> bool {
        self.world.lock().unwrap().instances.contains(key)
    }

    fn foreign_keys<'a>(&'a self, _issuer: &'a str, _newer: bool) -> ForeignKeysSoon<'a> {
        let keys = self.foreign.lock().unwrap().clone();
        Box::pin(async move { keys.map(Arc::new).ok_or(IssueError::IssuerAway) })
    }

    fn task(&self, id: TaskId) -> Option<TaskGrant> {
        self.world.lock().unwrap().tasks.get(&id).cloned()
    }

    fn actions(&self, agent: &AgentName, upstream: Option<&UpstreamName>) -> BTreeSet<ActionId> {
        let world = self.world.lock().unwrap();
        let all = world.actions.get(agent).into_iter().flatten();
        all.filter(|action| upstream.is_none_or(|one| action.upstream == *one)).cloned().collect()
    }

    fn is_high(&self, action: &ActionId) -> bool {
        &*action.operation == "pay"
    }

    fn is_revoked(&self, subject: &Digest) -> bool {
        self.world.lock().unwrap().revoked.contains(subject)
    }

    fn control_revision(&self) -> u64 {
        self.world.lock().unwrap().revision
    }

    fn signing_key(&self) -> Arc<SigningKey> {
        let meanwhile = self.world.lock().unwrap().meanwhile.take();
        if let Some(act) = meanwhile {
            act();
        }
        self.signing.clone()
    }

    fn verification_keys(&self) -> Arc<VerificationKeys> {
        self.keys.clone()
    }

    fn nonce_key(&self) -> &NonceKey {
        &self.nonces
    }

    fn now(&self) -> Timestamp {
        self.world.lock().unwrap().now
    }

    fn stamp(&self) -> Stamp {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.drawn.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        Stamp { now: self.now(), seed }
    }

    fn random(&self) -> [u8; 10] {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.drawn.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        random
    }

    fn refused_before_authentication(&self, code: Code, reason: &'static str) {
        self.world.lock().unwrap().strangers.push((code, reason));
    }
}

struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, out: &mut [u8]) {
        for byte in out {
            *byte = self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes()[0];
        }
    }
}

/// One record of the ledger, opened.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) kind: RecordKind,
    pub(crate) envelope: String,
    pub(crate) subject: String,
    pub(crate) arguments: String,
}

impl Record {
    /// A member of the envelope as it is written.
    pub(crate) fn member(&self, name: &str) -> Option<String> {
        let envelope = canonical::parse(self.envelope.as_bytes(), &Limits::ARGUMENTS).unwrap();
        envelope.get(name).map(|value| match value.as_str() {
            Some(text) => text.to_owned(),
            None => String::from_utf8(value.to_bytes()).unwrap(),
        })
    }
}

pub(crate) struct House {
    pub(crate) fake: Arc<Fake>,
    pub(crate) journal: Journal,
    pub(crate) task: TaskId,
    router: Router,
    contents: ledger::volatile::Contents,
    kek: Kek,
    writer: Option<JoinHandle<()>>,
}

/// The key of `helpdesk` (proof: dpop) and `batch` (proof: none).
pub(crate) fn agent_key(agent: &str) -> AgentKey {
    let seed = if agent == "helpdesk" { [31; 32] } else { [32; 32] };
    AgentKey::from_random(Algorithm::EdDsa, &seed).unwrap()
}

fn registered(agent: &str, proof: Proof) -> RegisteredAgent {
    let doors = [(TICKETS, "tickets"), ("http://127.0.0.1:8400/http/crm", "crm")];
    RegisteredAgent {
        may_act: Vec::new(),
        aged: BTreeSet::new(),
        federated: Vec::new(),
        pinned_since: 0,
        networks: Vec::new(),
        workloads: [TrustDomain::new(DOMAIN).unwrap().agent(&name(agent))].into(),
        version: Digest([5; 32]),
        owner: PartyName::parse("group:it").unwrap(),
        keys: Arc::new(AgentKeys::of(agent_key(agent).public().clone())),
        proof,
        ttl: Duration::seconds(900),
        doors: doors
            .map(|(url, upstream)| (url.to_owned(), Some(UpstreamName::new(upstream).unwrap())))
            .into(),
    }
}

/// The authority for agents' certificates.
fn authority() -> Authority {
    Authority::make(&TrustDomain::new(DOMAIN).unwrap(), &[31; 32], [1; 16], at(0)).unwrap()
}

impl House {
    pub(crate) fn new() -> House {
        let contents = ledger::volatile::Contents::default();
        let medium = ledger::volatile::Volatile::new(1, contents.clone());
        let kek = Kek::new(&[1; 32]).unwrap();
        let keyring = Keyring::new(kek.clone(), Arc::new(Counting(AtomicU64::new(0))));
        let (journal, writer) = Writer::open(medium, keyring).unwrap();
        let writer = std::thread::spawn(move || writer.run().unwrap());
        let signing = Arc::new(SigningKey::from_random(Algorithm::EdDsa, &[30; 32]).unwrap());
        let mut keys = VerificationKeys::new();
        assert!(keys.insert(signing.public().clone(), Validity::ALWAYS));
        let task = TaskId::new(at(0), [7; 10]);
        let grant = TaskGrant {
            agent: name("helpdesk"),
            user: Some(name("ana").into()),
            expires: at(600),
            within: Vec::new(),
        };
        let world = World {
            now: at(0),
            agents: [("helpdesk", Proof::Dpop), ("batch", Proof::None)]
                .map(|(agent, proof)| (name(agent), registered(agent, proof)))
                .into(),
            tasks: [(task, grant)].into(),
            revoked: BTreeSet::new(),
            actions: BTreeMap::new(),
            refused: None,
            going_on: BTreeSet::new(),
            instances: BTreeSet::new(),
            revision: 0,
            strangers: Vec::new(),
            meanwhile: None,
        };
        let world = Mutex::new(world);
        let (keys, nonces) = (Arc::new(keys), nonce_key());
        let (authority, drawn) = (authority(), AtomicU64::new(1));
        let foreign = Mutex::new(None);
        let fake = Arc::new(Fake { world, signing, keys, nonces, authority, foreign, drawn });
        let settings = Settings::new(ISSUER, true).unwrap();
        let router = router(fake.clone(), journal.clone(), settings);
        House { fake, journal, task, router, contents, kek, writer: Some(writer) }
    }

    pub(crate) fn issuer(&self) -> Issuer {
        let settings = Settings::new(ISSUER, true).unwrap();
        Issuer::new(self.fake.clone(), self.journal.clone(), settings)
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.fake.world.lock().unwrap());
    }

    pub(crate) fn strangers(&self) -> Vec<(Code, &'static str)> {
        self.fake.world.lock().unwrap().strangers.clone()
    }

    pub(crate) fn revoke(&self, kind: &str, subject: &str) {
        let digest = subject_digest(kind, subject);
        self.change(|world| {
            world.revoked.insert(digest);
        });
    }

    /// What the ledger holds, in order. Everything answered is in it, since answers are durable.
    pub(crate) fn records(&self) -> Vec<Record> {
        let held = self.contents.held();
        let keys: Vec<Arc<DataKey>> =
            held.keys.iter().map(|key| Arc::new(self.kek.unwrap_key(key).unwrap())).collect();
        let mut records = Vec::new();
        for row in &held.rows {
            let (mut leaves, mut boxes) = (row.leaves.as_slice(), row.sealed.as_slice());
            while !leaves.is_empty() {
                let (leaf, length) = Leaf::decode(leaves).unwrap();
                let size = u32::from_be_bytes(boxes[..4].try_into().unwrap()) as usize;
                let find = |id: &KeyId| keys.iter().find(|key| key.id() == id).cloned();
                let disclosed = disclose(&leaf, &boxes[4..4 + size], find).unwrap();
                let personal = disclosed.personal.unwrap();
                records.push(Record {
                    kind: leaf.kind,
                    envelope: String::from_utf8(disclosed.envelope.unwrap()).unwrap(),
                    subject: String::from_utf8(personal.subject).unwrap(),
                    arguments: String::from_utf8(personal.arguments).unwrap(),
                });
                leaves = &leaves[length..];
                boxes = &boxes[4 + size..];
            }
        }
        records
    }

    /// Whether a data key of this human is held.
    pub(crate) fn has_key_of(&self, human: &str) -> bool {
        let scope = KeyScope { tenant: String::new(), human: human.to_owned() };
        let owner = self.kek.owner(&scope);
        self.contents.held().keys.iter().any(|key| key.owner == owner)
    }

    /// The control state that the ledger holds.
    pub(crate) fn control(&self) -> BTreeMap<String, Vec<u8>> {
        self.contents.held().control
    }

    /// Stops the journal, as a failing disk would.
    pub(crate) fn stop(&mut self) {
        self.journal.close();
        self.writer.take().unwrap().join().unwrap();
    }

    /// Sends a request and reads the answer.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// The metadata of an issuer with or without TLS.
    pub(crate) async fn metadata(&self, mtls: bool) -> String {
        let settings = Settings::new(ISSUER, true).unwrap().with_mtls(mtls);
        let router = router(self.fake.clone(), self.journal.clone(), settings);
        let request = Request::get("/.well-known/oauth-authorization-server");
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    /// Sends what an agent asks the token endpoint for.
    pub(crate) async fn ask(&self, ask: &Ask) -> Answer {
        self.send(ask.request()).await
    }
}

/// An HTTP answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        canonical::parse(&self.body, &Limits::ARGUMENTS).unwrap()
    }

    pub(crate) fn text(&self, member: &str) -> String {
        self.json().get(member).unwrap().as_str().unwrap().to_owned()
    }

    /// The status and the `error`.
    pub(crate) fn error(&self) -> (u16, String) {
        (self.status.as_u16(), self.text("error"))
    }
}

/// What an agent sends; every field can be changed before it is sent.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) path: &'static str,
    pub(crate) parameters: Vec<(&'static str, String)>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) certificate: Option<Arc<Certificate>>,
}

/// A client assertion of the agent.
pub(crate) fn assertion(agent: &str, jti: &str) -> String {
    let claims = AssertionClaims {
        agent: &name(agent),
        audience: ISSUER,
        jti,
        issued: at(0),
        expires: at(60),
    };
    agent_key(agent).assertion(&claims).unwrap()
}

/// The key of the house's nonces.
pub(crate) fn nonce_key() -> NonceKey {
    NonceKey::new(&[33; 32])
}

/// A proof for the token endpoint by the agent's key.
pub(crate) fn proof(agent: &str, jti: &str) -> String {
    let nonce = nonce_key().current(at(0));
    let claims = ProofClaims {
        method: "POST",
        url: TOKEN,
        token: None,
        jti,
        issued: at(0),
        nonce: Some(&nonce),
    };
    agent_key(agent).proof(&claims).unwrap()
}

impl Ask {
    /// A request that is granted: with a proof for `helpdesk`, without for `batch`.
    pub(crate) fn token(agent: &str, jti: &str) -> Ask {
        let mut ask = Ask::authenticated("/oauth/token", agent, jti)
            .with("grant_type", "client_credentials")
            .with("resource", TICKETS);
        if agent == "helpdesk" {
            ask = ask.header("dpop", &proof(agent, jti));
        }
        ask
    }

    /// A request of an authenticated client.
    pub(crate) fn authenticated(path: &'static str, agent: &str, jti: &str) -> Ask {
        Ask::plain(path)
            .with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
            .with("client_assertion", &assertion(agent, jti))
    }

    /// A form without anything.
    pub(crate) fn plain(path: &'static str) -> Ask {
        let kind = "application/x-www-form-urlencoded".to_owned();
        let headers = vec![("content-type", kind)];
        Ask { path, parameters: Vec::new(), headers, certificate: None }
    }

    /// The same over a connection with a certificate.
    pub(crate) fn over(mut self, certificate: &Arc<Certificate>) -> Ask {
        self.certificate = Some(certificate.clone());
        self
    }

    /// Sets a parameter.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Ask {
        self.parameters.retain(|(parameter, _)| *parameter != name);
        self.more(name, value)
    }

    /// Adds a parameter, even again.
    pub(crate) fn more(mut self, name: &'static str, value: &str) -> Ask {
        self.parameters.push((name, value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Ask {
        self.parameters.retain(|(parameter, _)| *parameter != name);
        self.headers.retain(|(header, _)| *header != name);
        self
    }

    /// Adds a header, even again.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Ask {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn request(&self) -> Request<Body> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.parameters)
            .finish();
        let request = Request::post(self.path);
        let request = self
            .headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, value));
        let mut request = request.body(Body::from(form)).unwrap();
        if let Some(certificate) = &self.certificate {
            let certificate = certificate.clone();
            let shown = identity::PeerCertificate::new(move || Some(Arc::clone(&certificate)));
            request.extensions_mut().insert(shown);
        }
        request
    }
}

/// A control record of someone else: freezes a subject in the journal itself.
pub(crate) struct Freeze(pub(crate) String);

impl Recordable for Freeze {
    fn kind(&self) -> RecordKind {
        RecordKind::Control
    }

    fn parts(&self) -> Parts {
        Parts { envelope: b"{}".to_vec(), ..Parts::default() }
    }

    fn conditions(&self) -> Vec<Condition> {
        Vec::new()
    }

    fn changes(&self) -> Vec<StateChange> {
        vec![StateChange { key: self.0.clone(), value: Some(b"{}".to_vec()) }]
    }
}
