//! The gate: one action from request to closed record, and the edges that speak MCP and HTTP to agents.
//!
//! `mediate.rs` is the flow; the folders are its table of contents: admit → decide → execute → settle. Edges live in
//! `wire/` and decide nothing. No clock and no randomness are read here: both come in as [`Clock`] and
//! [`ledger::Entropy`].

pub mod admit;
pub mod decide;
pub mod execute;
pub mod json;
pub mod limits;
pub mod mediate;
pub mod metrics;
pub mod registry;
pub(crate) mod seal;
pub mod settle;
mod stops;
mod upstreams;
pub mod wire;
pub mod world;

pub use mediate::{ActionRequest, Answer, Edge, Frame, Outbound, Refusal};
pub use registry::{Registry, Standing};
pub use world::World;

use arc_swap::ArcSwap;
use model::{Digest, Timestamp, UpstreamName};
use quick_cache::sync::Cache;
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Reads the time; owned by the binary, virtual in tests.
pub trait Clock: Send + Sync {
    /// The wall-clock time.
    fn now(&self) -> Timestamp;
}

/// What the operator of this process chose; declared state is in [`World`].
pub struct Settings {
    /// The public base URL of the agents' listener, without a slash at its end: `http://127.0.0.1:8400`.
    pub base_url: String,
    /// The issuer whose tokens are accepted.
    pub issuer: String,
    /// True under `ambit dev`: every record says so.
    pub development: bool,
    /// Whether TLS ends in this process, so that certificates of clients are seen.
    pub mtls: bool,
    /// Key of the sealed handles given to clients (AES-256-GCM).
    pub handle_key: [u8; 32],
    /// The key of the nonces that proofs may carry: one for all nodes of a store.
    pub nonce_key: identity::NonceKey,
    /// Whether a proof at a door must carry a nonce; one that is carried must be current in any case.
    pub nonces_demanded: bool,
    /// Whether a connection comes from a process of the gate's own user, who is no agent; `None` where everybody is the
    /// same user (`ambit dev`). It may read what the kernel lists, so that it is asked on a thread that may wait.
    pub own_user: Option<fn(std::net::SocketAddr) -> bool>,
    /// Turns single guards off, for the twins of tests that show a guard to be needed.
    pub guards: Guards,
}

/// Which guards stand. All do, unless a twin of a test or of the demo takes one away.
#[derive(Clone, Copy, Debug)]
pub struct Guards {
    /// Revocations and freezes are obeyed.
    pub revocation: bool,
    /// `returns:` projects results.
    pub projection: bool,
    /// A token that is bound to nothing reaches nothing `high`.
    pub bearer: bool,
    /// Reused assertions of foreign workloads are held to the first key that came with them.
    pub pins: bool,
}

impl Default for Guards {
    fn default() -> Self {
        Guards { revocation: true, projection: true, bearer: true, pins: true }
    }
}

/// Everything that the flow needs, shared by all calls.
pub struct Gate {
    pub(crate) world: ArcSwap<World>,
    pub(crate) stops: stops::Stops,
    pub(crate) store: Arc<store::Store>,
    pub(crate) broker: upstream::Broker,
    pub(crate) client: upstream::Client,
    pub(crate) courier: upstream::Courier,
    pub(crate) mcp: upstream::mcp::Mcp,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn ledger::Entropy>,
    pub(crate) tokens: Cache<Digest, admit::Believed>,
    pub(crate) tasks: Cache<model::TaskId, Arc<policy::TaskFacts>>,
    pub(crate) asks: decide::hold::Asks,
    pub(crate) seats: Arc<admit::seats::Seats>,
    pub(crate) strangers: admit::strangers::Strangers,
    pub(crate) repeats: settle::repeats::Repeats,
    pub(crate) metrics: metrics::Metrics,
    pub(crate) settings: Settings,
    pub(crate) running: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) streams: wire::mcp::Streams,
    /// The control revision that was published last, for streams that tell of changes.
    pub(crate) published: tokio::sync::watch::Sender<u64>,
}

/// The parts that the binary hands to [`Gate::new`].
pub struct Parts {
    /// State, journal and index.
    pub store: Arc<store::Store>,
    /// Lends upstream credentials.
    pub broker: upstream::Broker,
    /// Speaks HTTP to upstreams.
    pub client: upstream::Client,
    /// Speaks MCP to upstreams.
    pub mcp: upstream::mcp::Mcp,
    /// Reads the time.
    pub clock: Arc<dyn Clock>,
    /// Draws seeds and ids.
    pub entropy: Arc<dyn ledger::Entropy>,
    /// The operator's choices.
    pub settings: Settings,
    /// What decisions read at first.
    pub world: World,
    /// Subjects revoked or frozen at first (`policy::subject_digest`).
    pub revoked: HashSet<Digest>,
}

impl Gate {
    /// Puts the parts together; restores open asks from the store.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Gate> {
        parts.mcp.publish(&parts.world.definitions);
        let asks = decide::hold::Asks::restore(&parts.store, parts.clock.now());
        Arc::new(Gate {
            world: ArcSwap::from_pointee(parts.world),
            stops: stops::Stops::new(parts.revoked),
            store: parts.store,
            broker: parts.broker,
            courier: parts.client.courier(),
            client: parts.client,
            mcp: parts.mcp,
            clock: parts.clock,
            entropy: parts.entropy,
            tokens: Cache::new(limits::CACHED_TOKENS),
            tasks: Cache::new(limits::CACHED_TASKS),
            asks,
            seats: Arc::default(),
            strangers: admit::strangers::Strangers::default(),
            repeats: settle::repeats::Repeats::default(),
            metrics: metrics::Metrics::default(),
            settings: parts.settings,
            running: TaskTracker::new(),
            stop: CancellationToken::new(),
            streams: wire::mcp::Streams::default(),
            published: tokio::sync::watch::Sender::new(0),
        })
    }

    /// What decisions read at this moment.
    #[must_use]
    pub fn world(&self) -> Arc<World> {
        self.world.load_full()
    }

    /// Swaps in a new world; calls already decided are caught by the conditions of their entries.
    pub fn publish(&self, mut world: World) {
        self.mcp.publish(&world.definitions);
        let known = self.world();
        if known.keys.same_as(&world.keys) {
            // Tokens stay believed only as long as this very set of keys is in force.
            world.keys = Arc::clone(&known.keys);
        }
        let revision = world.revision;
        self.world.store(Arc::new(world));
        self.published.send_replace(revision);
    }

    /// Takes over who is revoked or frozen. Called before the change's committer wakes, so that whoever asked for a
    /// revocation is answered after it is obeyed.
    pub fn revoke(&self, revoked: HashSet<Digest>) {
        self.stops.replace(revoked);
    }

    /// Whether a subject is revoked or frozen.
    #[must_use]
    pub fn is_revoked(&self, subject: &Digest) -> bool {
        self.stops.current().contains(subject)
    }

    /// Ends the local servers that serve this agent alone: nothing calls them any more.
    pub fn end_local_servers_of(&self, agent: &model::AgentName) {
        self.client.end_local_servers_of(agent);
    }

    /// The operator's choices.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Posts the gate's own messages.
    #[must_use]
    pub fn courier(&self) -> &upstream::Courier {
        &self.courier
    }

    /// Tells a hook something, as JSON; an error is why it was not taken.
    pub async fn tell(&self, hook: &model::declared::Hook, body: Vec<u8>) -> Result<(), String> {
        let (status, _) = decide::consult::post(self, hook, body).await?;
        if status.is_success() { Ok(()) } else { Err(format!("it answered with {status}")) }
    }

    /// The counters shown on the operations listener.
    #[must_use]
    pub fn metrics(&self) -> &metrics::Metrics {
        &self.metrics
    }

    /// How many tokens were shown at a door here, have not ended, and work for whoever holds them.
    #[must_use]
    pub fn bearer_tokens(&self) -> usize {
        let now = self.clock.now();
        self.tokens.iter().filter(|(_, believed)| believed.is_bearer(now)).count()
    }

    /// The questions that wait for a human.
    #[must_use]
    pub fn asks(&self) -> &decide::hold::Asks {
        &self.asks
    }

    /// The door of an upstream, or of all: the audience of tokens for it. The doors below `/bearer` are the same ones.
    #[must_use]
    pub fn door(&self, edge: Edge, upstream: Option<&UpstreamName>) -> String {
        let (base, edge) = (&self.settings.base_url, edge.as_str());
        match upstream {
            Some(upstream) => format!("{base}/{edge}/{upstream}"),
            None => format!("{base}/{edge}"),
        }
    }

    /// How nonces are asked for at the doors.
    #[must_use]
    pub fn nonces(&self) -> identity::Nonces<'_> {
        let key = &self.settings.nonce_key;
        if self.settings.nonces_demanded {
            identity::Nonces::Demanded(key)
        } else {
            identity::Nonces::Offered(key)
        }
    }

    /// True while new calls are admitted.
    #[must_use]
    pub fn is_admitting(&self) -> bool {
        !self.stop.is_cancelled()
    }

    /// Stops admitting and waits until every open entry is closed.
    pub async fn drain(&self) {
        self.stop.cancel();
        self.running.close();
        self.running.wait().await;
        self.client.end_local_servers().await;
    }

    /// The time, a seed and whatever else a record needs from outside.
    #[must_use]
    pub fn stamp(&self) -> ledger::Stamp {
        let mut seed = [0_u8; 32];
        self.entropy.fill(&mut seed);
        ledger::Stamp { now: self.clock.now(), seed }
    }

    /// Ten random bytes for an id.
    pub(crate) fn random(&self) -> [u8; 10] {
        let mut bytes = [0_u8; 10];
        self.entropy.fill(&mut bytes);
        bytes
    }

    /// A new W3C trace id.
    #[must_use]
    pub fn new_trace(&self) -> model::TraceId {
        let mut bytes = [0_u8; 16];
        self.entropy.fill(&mut bytes);
        model::TraceId(u128::from_be_bytes(bytes) | 1)
    }
}

/// The pinned definitions of upstreams, in the form that lists are made of.
pub type Listed = BTreeMap<model::ActionId, canonical::Value>;
