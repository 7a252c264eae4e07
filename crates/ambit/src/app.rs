//! One process's parts, opened together: store, gate, keys, and the world that decisions read.

mod authority;
mod clients;
mod credentials;
pub(crate) mod directory;
mod key_ages;
mod keys;
pub(crate) mod registry;
mod vault;
pub(crate) mod world;

pub(crate) use clients::{key_rows as client_key_rows, keys_of as client_keys};
pub(crate) use keys::{Old, agent_key_name};
pub(crate) use vault::Vault;

use crate::{
    dev::Proposals,
    server,
    settings::{Form, Settings},
};
use anyhow::Context as _;
use arc_swap::{ArcSwap, ArcSwapOption};
use canonical::Value;
use gate::{Clock, Gate};
use identity::SigningKey;
use ledger::{Entropy, Stamp};
use model::{
    Timestamp,
    record::{Parts, RecordKind, Recordable, StateChange},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};
use store::Store;

/// The system's clock; the only place where this process reads the time.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp(since.ok().and_then(|since| i64::try_from(since.as_micros()).ok()).unwrap_or(0))
    }
}

/// The operating system's random numbers, through the cryptographic library.
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        if aws_lc_rs::rand::fill(bytes).is_err() {
            // Without randomness nothing can be sealed or signed safely: stop rather than go on with zeros.
            std::process::abort();
        }
    }
}

/// The row of control state that says that `server run` made this data directory.
const PRODUCTION: &str = "form/production";

/// The parts of a running gate, or of a command that opened the data directory itself.
pub(crate) struct App {
    /// State, journal and index.
    pub(crate) store: Arc<Store>,
    /// The flow.
    pub(crate) gate: Arc<Gate>,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Random bytes.
    pub(crate) entropy: Arc<dyn Entropy>,
    /// The process's settings.
    pub(crate) settings: Settings,
    /// The key that new tokens are signed with.
    pub(crate) signing: ArcSwap<SigningKey>,
    /// The authority that signs agents' certificates; none before it is needed.
    pub(crate) authority: ArcSwapOption<identity::Authority>,
    /// Foreign issuers and their keys.
    pub(crate) issuers: upstream::Issuers,
    /// Held while an authority is made.
    certifying: tokio::sync::Mutex<()>,
    /// TLS of the agents' listener, once it is open.
    pub(crate) tls: OnceLock<Arc<gate::wire::tls::Tls>>,
    /// Held from the comparison of a declared state with the one in force until it is in force itself.
    pub(crate) applying: tokio::sync::Mutex<()>,
    /// The change of the files that waits for a person.
    pub(crate) proposals: Proposals,
    /// What was said once and is not said again.
    pub(crate) told: Told,
    /// Told after each change of control state, for whoever waits for a moment that follows from it.
    pub(crate) moved: tokio::sync::Notify,
    /// Serialises changes of control state with the world that is published from them.
    publishing: tokio::sync::Mutex<()>,
    /// What the world was made from last.
    made: Mutex<Option<world::Made>>,
}

impl App {
    /// Opens the data directory, checks it, closes what an earlier run left open.
    pub(crate) async fn open(settings: Settings) -> anyhow::Result<Arc<App>> {
        install_crypto();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let options =
            store::Options { database: settings.database.clone(), ..store::Options::default() };
        let store = Store::open(&settings.data, options, clock.now(), Arc::clone(&entropy))
            .with_context(|| {
                format!("the data directory `{}` cannot be opened", settings.data.display())
            })?;
        let store = Arc::new(store);
        let form = form_of(&store, settings.form)?;
        let signing = keys::signing_key(&store, clock.as_ref(), entropy.as_ref(), form).await?;
        note_form(&store, form, clock.as_ref(), entropy.as_ref()).await?;
        let mut made = None;
        let world = world::build(&store, clock.now(), &mut made)?;
        let handle_key = keys::shared_key(&store, entropy.as_ref(), keys::HANDLES)?;
        let nonce_key = keys::shared_key(&store, entropy.as_ref(), keys::NONCES)?;
        let base_url = settings.base_url.clone();
        let broker = broker(&settings).with_vault(Arc::new(Vault::of(&store)));
        let gate = Gate::new(gate::Parts {
            store: Arc::clone(&store),
            broker,
            mcp: upstream::mcp::Mcp::new(),
            client: client(&settings)?,
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            settings: gate::Settings {
                issuer: base_url.clone(),
                base_url,
                development: form.is_development(),
                mtls: settings.tls.is_some(),
                handle_key,
                nonce_key: identity::NonceKey::new(&nonce_key),
                nonces_demanded: settings.nonces_demanded,
                own_user: (form == Form::Production).then_some(server::is_own_user),
                guards: settings.guards,
            },
            world,
            revoked: world::revoked(&store.state()),
        });
        let obeying = Arc::downgrade(&gate);
        store.on_change(Box::new(move |state| {
            if let Some(gate) = obeying.upgrade() {
                gate.revoke(world::revoked(state));
            }
        }));
        close_what_was_left(&store, &gate).await;
        let signing = ArcSwap::from(Arc::new(signing));
        let issuers = upstream::Issuers::new(gate.courier().clone());
        Ok(Arc::new(App {
            store,
            gate,
            clock,
            entropy,
            settings: Settings { form, ..settings },
            signing,
            authority: ArcSwapOption::empty(),
            issuers,
            certifying: tokio::sync::Mutex::new(()),
            tls: OnceLock::new(),
            applying: tokio::sync::Mutex::new(()),
            proposals: Proposals::default(),
            told: Told::default(),
            moved: tokio::sync::Notify::new(),
            publishing: tokio::sync::Mutex::new(()),
            made: Mutex::new(made),
        }))
    }

    /// The time, and a seed, for one record.
    pub(crate) fn stamp(&self) -> Stamp {
        self.gate.stamp()
    }

    /// Ten random bytes for an id.
    pub(crate) fn random(&self) -> [u8; 10] {
        let mut bytes = [0_u8; 10];
        self.entropy.fill(&mut bytes);
        bytes
    }

    /// Changes control state through the ledger, then publishes the world made from it. When this returns, the change
    /// is durable and every later entry is checked against it.
    pub(crate) async fn control(&self, what: Control) -> anyhow::Result<()> {
        let _one_at_a_time = self.publishing.lock().await;
        self.record(what).await?;
        self.publish()?;
        self.reconcile().await?;
        self.moved.notify_one();
        Ok(())
    }

    /// Changes control state that no decision reads: nothing is published anew.
    async fn record(&self, what: Control) -> anyhow::Result<()> {
        let what = Marked { form: self.settings.form, what };
        let pending = self.store.journal().append(what, self.stamp());
        let pending = pending.map_err(|failed| anyhow::anyhow!("{}", failed.error))?;
        let durable = pending.await.map_err(|failed| anyhow::anyhow!("{}", failed.error))?;
        drop(durable);
        Ok(())
    }

    /// Makes the world anew from the store's control state.
    pub(crate) fn publish(&self) -> anyhow::Result<()> {
        let world = blocking(|| {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            world::build(&self.store, self.clock.now(), &mut made)
        })?;
        self.gate.publish(world);
        Ok(())
    }
}

/// Work of more than a moment (compiling thousands of policies): the other tasks of this worker go on elsewhere.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// Warnings that were given, so that what is looked at each minute is not said each minute.
#[derive(Default)]
pub(crate) struct Told(Mutex<BTreeSet<String>>);

impl Told {
    /// Whether this is said for the first time.
    pub(crate) fn first(&self, what: String) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(what)
    }

    /// It is no longer so: the next time counts as the first.
    pub(crate) fn forget(&self, what: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(what);
    }
}

/// A change of control state, with what its record says.
pub(crate) struct Control {
    /// What was done, in a word: `apply`, `freeze`, `pin`, `key`.
    pub(crate) what: &'static str,
    /// Why, in the words of who did it.
    pub(crate) reason: String,
    /// The rows that change.
    pub(crate) changes: Vec<StateChange>,
}

/// A change with the form that the gate runs in.
struct Marked {
    form: Form,
    what: Control,
}

impl Recordable for Marked {
    fn kind(&self) -> RecordKind {
        RecordKind::Control
    }

    fn parts(&self) -> Parts {
        let keys =
            self.what.changes.iter().map(|change| Value::String(change.key.clone())).collect();
        let envelope = gate::json::object([
            ("boundary", self.form.as_str().into()),
            ("changes", Value::Array(keys)),
            ("reason", self.what.reason.as_str().into()),
            ("v", Value::Integer(1)),
            ("what", self.what.what.into()),
        ]);
        Parts { envelope: envelope.to_bytes(), ..Parts::default() }
    }

    fn changes(&self) -> Vec<StateChange> {
        self.what.changes.clone()
    }
}

/// The form of a data directory. What `dev` used holds agents' keys that whoever ran it could read; what `server run`
/// used is not opened by `dev`, which would answer for it at a terminal. One that only holds secrets is of neither.
fn form_of(store: &Store, asked: Form) -> anyhow::Result<Form> {
    let state = store.state();
    if state.rows.contains_key(PRODUCTION) {
        return Ok(Form::Production);
    }
    anyhow::ensure!(
        asked == Form::Development || !is_used(&state),
        "this data directory was made by `ambit dev`, so its keys may be known to others: start `ambit server run` with an empty one"
    );
    Ok(asked)
}

/// Whether a gate has ever run on it.
fn is_used(state: &store::State) -> bool {
    let mut keys = state.rows.range(world::AGENT_KEYS.to_owned()..);
    let has_keys = keys.next().is_some_and(|(key, _)| key.starts_with(world::AGENT_KEYS));
    has_keys || state.rows.contains_key(world::DECLARED)
}

/// Writes that `server run` uses this data directory, once.
async fn note_form(
    store: &Store,
    form: Form,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> anyhow::Result<()> {
    if form.is_development() || store.state().rows.contains_key(PRODUCTION) {
        return Ok(());
    }
    let value = gate::json::object([("v", Value::Integer(1))]).to_bytes();
    let changes = vec![StateChange { key: PRODUCTION.to_owned(), value: Some(value) }];
    let reason = "the first start of `ambit server run`".to_owned();
    let mut seed = [0_u8; 32];
    entropy.fill(&mut seed);
    let what = Marked { form, what: Control { what: "form", reason, changes } };
    let pending = store.journal().append(what, Stamp { now: clock.now(), seed });
    let pending = pending.map_err(|failed| anyhow::anyhow!("{}", failed.error))?;
    pending.await.map_err(|failed| anyhow::anyhow!("{}", failed.error)).map(drop)
}

/// Closes the entries that an earlier run left open.
async fn close_what_was_left(store: &Store, gate: &Arc<Gate>) {
    let closed = gate::settle::recover(gate, store.recovered()).await;
    if closed > 0 {
        tracing::warn!(closed, "entries left open by an earlier run were closed as unknown");
    }
}

/// Reaches upstreams, and none of this gate's own listeners.
fn client(settings: &Settings) -> Result<upstream::Client, upstream::SetupError> {
    upstream::Client::new(upstream::Settings {
        own: vec![settings.listen, settings.ops_listen, settings.api_listen],
        ..upstream::Settings::default()
    })
}

fn broker(settings: &Settings) -> upstream::Broker {
    upstream::Broker::new(
        Arc::new(|name: &str| std::env::var(name).ok()),
        settings.secrets_dir.clone(),
    )
}

/// One provider for TLS and JOSE, installed before anything uses either.
pub(crate) fn install_crypto() {
    identity::install_crypto();
    // A second installation is refused and harmless.
    let _already_installed =
        rustls::crypto::aws_lc_rs::default_provider().install_default().is_err();
}
