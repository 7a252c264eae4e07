//! Upstream credentials: where they come from, how they are held, and for which departure one is
//! lent.

mod lookout;

pub use lookout::Lookout;

use crate::{Departure, Fault, Target, TargetError, limits, local::Server, mcp::caller::Caller};
use http::{HeaderName, HeaderValue};
use model::{
    Code, EntryId, Name, UpstreamName, UserName,
    declared::{self, CredentialSource},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::SystemTime,
};
use zeroize::Zeroizing;

/// Environment variables that hold secrets begin with this; no other is ever read (E14).
const PREFIX: &str = "AMBIT_SECRET_";

/// Headers that carry the message rather than a credential.
const NOT_A_CREDENTIAL: &[&str] = &[
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "mcp-session-id",
];

/// Reads one environment variable; the binary passes the process environment, tests a map.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// For which origins secrets were given: a reference as it is written (`env:AMBIT_SECRET_BANK`),
/// and the scheme, host and port of each place that it may be sent to (E14).
pub type Given = BTreeMap<String, BTreeSet<String>>;

/// Which secrets declared upstreams name, and the origins that they would be sent to.
#[must_use]
pub fn wanted(upstreams: &BTreeMap<UpstreamName, declared::Upstream>) -> Given {
    // Only addresses are looked at: nothing is read.
    let unread = Broker::new(Arc::new(|_| None), None);
    let mut wanted = Given::new();
    for (name, upstream) in upstreams {
        let server = upstream.local.as_ref().map(|local| unread.server(local));
        if let (Some(source), Ok(target)) =
            (&upstream.credential, Target::new(name, upstream, server))
        {
            wanted.entry(source.to_string()).or_default().insert(target.origin());
        }
    }
    wanted
}

/// Why a secret is not available. The secret itself is never part of it.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The upstream's URL cannot be used.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A variable that is not Ambit's to read.
    #[error("credential `env:{0}`: only `{PREFIX}*` is read; rename the variable")]
    ForeignVariable(String),
    /// The variable is not set.
    #[error("credential `env:{0}`: the variable is not set; set it where Ambit starts")]
    Unset(String),
    /// There is no directory for secrets.
    #[error("credential `file:{0}`: no secrets directory is set; start with `--secrets-dir DIR`")]
    NoDirectory(String),
    /// The path leaves the secrets directory.
    #[error("credential `file:{0}` leads out of the secrets directory; name a file below it")]
    Outside(String),
    /// The file cannot be read.
    #[error("credential `file:{path}` cannot be read; check that it exists and is readable")]
    File {
        /// The path as declared.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// There is no vault here: only a gate has one.
    #[error("credential `secret:{0}`: only a gate can look into its vault")]
    NoVault(String),
    /// The vault has no such secret.
    #[error("credential `secret:{0}`: the vault has none; give it with `ambit secret set {0}`")]
    NotInVault(String),
    /// Each human has her own, and none is acted for.
    #[error("credential `secret:{0}/{{user}}`: it is a human's own, and nobody is acted for")]
    Nobodys(Name),
    /// The vault cannot open it.
    #[error("credential `secret:{name}` cannot be read from the vault: {why}")]
    Vault {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// There is nothing in it.
    #[error("credential `{0}` is empty; an upstream without credential has no `credential:`")]
    Empty(String),
    /// It cannot stand in a header.
    #[error("credential `{place}` {what}; write the secret alone, or `Header: value`")]
    Form {
        /// Where it comes from.
        place: String,
        /// What is wrong.
        what: &'static str,
    },
}

/// The embedded vault, as the broker reads it.
pub trait Vault: Send + Sync {
    /// A number that is another one after each change of the secret; `None` if there is none.
    fn stamp(&self, name: &str) -> Option<u64>;
    /// The secret; `None` if there is none. An error tells why, and nothing of the secret.
    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, String>;
}

/// Holds the secrets of upstreams and lends them.
///
/// A secret is sent as `Authorization: Bearer <secret>`, unless it has the form `Header: value`
/// (a header name, a colon, a space), which is sent as that header. White space around a secret is
/// cut off. Variables are read once; a file is read again when its time or length has changed, a
/// secret of the vault when it was set again.
pub struct Broker {
    environment: Environment,
    directory: Option<PathBuf>,
    vault: Option<Arc<dyn Vault>>,
    published: RwLock<Arc<Published>>,
    held: Mutex<BTreeMap<String, Held>>,
}

type Targets = BTreeMap<UpstreamName, Arc<Target>>;

/// The upstreams in force, and what was given for them.
#[derive(Default)]
struct Published {
    targets: Targets,
    given: Given,
}

/// What changes when a secret does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamp {
    /// It is read once.
    Once,
    /// A file's time and length.
    File(Option<SystemTime>, u64),
    /// The vault's number.
    Vault(u64),
}

struct Held {
    stamp: Stamp,
    secret: Arc<Secret>,
}

/// A header that proves who calls; wiped when the last use ends.
struct Secret {
    header: HeaderName,
    value: Zeroizing<String>,
    /// As it was given, for a variable.
    text: Zeroizing<String>,
}

/// A credential lent for one departure to one upstream.
///
/// It cannot be copied, printed or made outside [`Broker::lend`]:
/// ```compile_fail
/// fn copy(credential: &upstream::UpstreamCredential) -> upstream::UpstreamCredential {
///     credential.clone()
/// }
/// ```
#[must_use = "a credential is lent to be used once"]
pub struct UpstreamCredential {
    target: Arc<Target>,
    purpose: Purpose,
    caller: Caller,
    secret: SecretHandle,
}

/// A secret that may be compared, put where it belongs and sought for, and not be shown.
#[derive(Clone)]
pub(crate) struct SecretHandle(Option<Arc<Secret>>);

/// Variables of this process that every local server gets: where programs are found, whose files
/// are whose, and how text and time are written.
const GIVEN: [&str; 8] = ["HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "TMPDIR", "TZ"];

/// What a credential was lent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// The action of this entry.
    Entry(EntryId),
    /// Ambit's own reading of what the upstream offers.
    OwnReading,
}

impl Broker {
    /// A broker that reads variables through `environment` and files below `directory`, and knows
    /// no upstream yet.
    #[must_use]
    pub fn new(environment: Environment, directory: Option<PathBuf>) -> Broker {
        let (published, held) = (RwLock::default(), Mutex::default());
        Broker { environment, directory, vault: None, published, held }
    }

    /// The same with the vault that `secret:` names.
    #[must_use]
    pub fn with_vault(self, vault: Arc<dyn Vault>) -> Broker {
        Broker { vault: Some(vault), ..self }
    }

    /// Whether every URL can be used and every secret be lent, one error for each that cannot.
    pub fn check(
        &self,
        upstreams: &BTreeMap<UpstreamName, declared::Upstream>,
    ) -> Result<(), Vec<BrokerError>> {
        self.resolve(upstreams).map(drop)
    }

    /// Takes over the declared upstreams, all of them or, if one of them is wrong, none.
    ///
    /// A secret is lent only for an origin that it was `given` for: whoever may change an address
    /// does not thereby get the secret (E14).
    pub fn publish(
        &self,
        upstreams: &BTreeMap<UpstreamName, declared::Upstream>,
        given: Given,
    ) -> Result<(), Vec<BrokerError>> {
        let published = Published { targets: self.resolve(upstreams)?, given };
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(published);
        Ok(())
    }

    /// Lends the credential of the departure's upstream, for this departure.
    pub fn lend(&self, departure: &Departure) -> Result<UpstreamCredential, Fault> {
        let clearance = departure.clearance();
        let caller = Caller::acting(clearance.agent(), clearance.subject().user.as_ref(), None);
        self.lend_for(Purpose::Entry(departure.entry()), caller, &departure.action().upstream)
    }

    /// Whether there is a credential for this human, where each has her own; true where there is one for all.
    #[must_use]
    pub fn is_entrusted(&self, upstream: &UpstreamName, user: Option<&UserName>) -> bool {
        let published = Arc::clone(&self.published.read().unwrap_or_else(PoisonError::into_inner));
        let target = published.targets.get(upstream);
        match target.and_then(|target| target.credential()) {
            Some(source @ CredentialSource::SecretOfUser(_)) => self.secret(source, user).is_ok(),
            Some(_) | None => true,
        }
    }

    /// The answer with the secret that was lent for its departure replaced by `***`; `None` if it is not in it.
    #[must_use]
    pub fn masked(&self, departure: &Departure, answer: &[u8]) -> Option<Vec<u8>> {
        self.lend(departure).ok().and_then(|credential| credential.masked_in(answer))
    }

    /// What the gate proves itself with to a hook: a header and its value, marked sensitive.
    pub fn header_of(
        &self,
        source: &CredentialSource,
    ) -> Result<(HeaderName, HeaderValue), BrokerError> {
        let secret = self.secret(source, None)?;
        let mut value = HeaderValue::from_str(&secret.value).map_err(|_| BrokerError::Form {
            place: "of a hook".to_owned(),
            what: "has characters that a header cannot hold",
        })?;
        value.set_sensitive(true);
        Ok((secret.header.clone(), value))
    }

    /// Lends an upstream's credential for Ambit's own reading of its definitions.
    pub fn lend_for_definitions(
        &self,
        upstream: &UpstreamName,
    ) -> Result<UpstreamCredential, Fault> {
        self.lend_for(Purpose::OwnReading, Caller::Ambit, upstream)
    }

    /// Lends an upstream's credential for what belongs to a conversation rather than to a call: its stream, its end.
    pub fn lend_for_conversation(
        &self,
        upstream: &UpstreamName,
        party: &crate::mcp::Party,
    ) -> Result<UpstreamCredential, Fault> {
        let caller = Caller::acting(&party.agent, party.user.as_ref(), None);
        self.lend_for(Purpose::OwnReading, caller, upstream)
    }

    fn resolve(
        &self,
        upstreams: &BTreeMap<UpstreamName, declared::Upstream>,
    ) -> Result<Targets, Vec<BrokerError>> {
        let (mut targets, mut errors) = (Targets::new(), Vec::new());
        for (name, upstream) in upstreams {
            match &upstream.credential {
                // Whoever has none is refused when she is acted for.
                None | Some(CredentialSource::SecretOfUser(_)) => {}
                Some(source) => errors.extend(self.secret(source, None).err()),
            }
            let server = upstream.local.as_ref().map(|local| self.server(local));
            match Target::new(name, upstream, server) {
                Ok(target) => drop(targets.insert(name.clone(), Arc::new(target))),
                Err(error) => errors.push(error.into()),
            }
        }
        if errors.is_empty() { Ok(targets) } else { Err(errors) }
    }

    /// A local server with all its variables but its credential's.
    fn server(&self, local: &declared::LocalServer) -> Server {
        let given =
            GIVEN.iter().filter_map(|name| Some(((*name).to_owned(), (self.environment)(name)?)));
        let mut environment: BTreeMap<String, String> = given.collect();
        environment.extend(local.variables.clone());
        Server {
            command: local.command.clone(),
            environment,
            credential_variable: local.credential_variable.clone(),
            shared: local.shared,
        }
    }

    fn lend_for(
        &self,
        purpose: Purpose,
        caller: Caller,
        upstream: &UpstreamName,
    ) -> Result<UpstreamCredential, Fault> {
        let unavailable = |why: String| Fault::ourselves(Code::UpstreamCredential, why);
        let published = Arc::clone(&self.published.read().unwrap_or_else(PoisonError::into_inner));
        let target = published
            .targets
            .get(upstream)
            .ok_or_else(|| unavailable(format!("upstream `{upstream}` is not declared")))?;
        if let Some(source) = target.credential() {
            published.may_go(source, target).map_err(unavailable)?;
        }
        let secret = target
            .credential()
            // What is read for nobody is read without anybody's credential.
            .filter(|source| {
                caller != Caller::Ambit || !matches!(source, CredentialSource::SecretOfUser(_))
            })
            .map(|source| self.secret(source, caller.user()))
            .transpose()
            .map_err(|error| unavailable(error.to_string()))?;
        let secret = SecretHandle(secret);
        Ok(UpstreamCredential { target: Arc::clone(target), purpose, caller, secret })
    }

    fn secret(
        &self,
        source: &CredentialSource,
        user: Option<&UserName>,
    ) -> Result<Arc<Secret>, BrokerError> {
        match source {
            CredentialSource::Env(name) => self.in_environment(name),
            CredentialSource::File(path) => self.in_file(path),
            CredentialSource::Secret(name) => self.in_vault(name.as_str()),
            CredentialSource::SecretOfUser(name) => {
                let user = user.ok_or_else(|| BrokerError::Nobodys(name.clone()))?;
                self.in_vault(&format!("{name}/{user}"))
            }
        }
    }

    fn in_environment(&self, name: &str) -> Result<Arc<Secret>, BrokerError> {
        if !name.starts_with(PREFIX) {
            return Err(BrokerError::ForeignVariable(name.to_owned()));
        }
        let place = format!("env:{name}");
        if let Some(secret) = self.held(&place, Stamp::Once) {
            return Ok(secret);
        }
        let text = (self.environment)(name).ok_or_else(|| BrokerError::Unset(name.to_owned()))?;
        let secret = read_secret(&place, &Zeroizing::new(text))?;
        Ok(self.hold(place, Stamp::Once, secret))
    }

    fn in_file(&self, name: &str) -> Result<Arc<Secret>, BrokerError> {
        let failed = |source| BrokerError::File { path: name.to_owned(), source };
        let path = self.path(name)?;
        let facts = path.metadata().map_err(failed)?;
        let stamp = Stamp::File(facts.modified().ok(), facts.len());
        let place = format!("file:{name}");
        if let Some(secret) = self.held(&place, stamp) {
            return Ok(secret);
        }
        if !facts.is_file() || facts.len() > limits::SECRET_BYTES {
            let what = "is not a file of at most 16 KiB";
            return Err(BrokerError::Form { place, what });
        }
        warn_if_open(&place, &facts);
        let text = Zeroizing::new(std::fs::read_to_string(&path).map_err(failed)?);
        let secret = read_secret(&place, &text)?;
        Ok(self.hold(place, stamp, secret))
    }

    fn in_vault(&self, name: &str) -> Result<Arc<Secret>, BrokerError> {
        let vault = self.vault.as_ref().ok_or_else(|| BrokerError::NoVault(name.to_owned()))?;
        let missing = || BrokerError::NotInVault(name.to_owned());
        let stamp = Stamp::Vault(vault.stamp(name).ok_or_else(missing)?);
        let place = format!("secret:{name}");
        if let Some(secret) = self.held(&place, stamp) {
            return Ok(secret);
        }
        let read =
            vault.read(name).map_err(|why| BrokerError::Vault { name: name.to_owned(), why })?;
        let secret = secret_of(&place, &read.ok_or_else(missing)?)?;
        Ok(self.hold(place, stamp, secret))
    }

    /// The file's real path, which lies below the secrets directory also after its links.
    fn path(&self, name: &str) -> Result<PathBuf, BrokerError> {
        let directory =
            self.directory.as_ref().ok_or_else(|| BrokerError::NoDirectory(name.to_owned()))?;
        let relative = Path::new(name);
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        if name.is_empty() || !relative.components().all(plain) {
            return Err(BrokerError::Outside(name.to_owned()));
        }
        let failed = |source| BrokerError::File { path: name.to_owned(), source };
        let root = directory.canonicalize().map_err(failed)?;
        let path = root.join(relative).canonicalize().map_err(failed)?;
        if !path.starts_with(&root) {
            return Err(BrokerError::Outside(name.to_owned()));
        }
        Ok(path)
    }

    fn held(&self, place: &str, stamp: Stamp) -> Option<Arc<Secret>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(place).filter(|held| held.stamp == stamp).map(|held| Arc::clone(&held.secret))
    }

    fn hold(&self, place: String, stamp: Stamp, secret: Secret) -> Arc<Secret> {
        let secret = Arc::new(secret);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(place, Held { stamp, secret: Arc::clone(&secret) });
        secret
    }
}

impl Published {
    /// Whether the secret was given for this origin; else what to do about it.
    fn may_go(&self, source: &CredentialSource, target: &Target) -> Result<(), String> {
        let origins = self.given.get(&source.to_string());
        let origin = target.origin();
        if origins.is_some_and(|origins| origins.contains(&origin)) {
            return Ok(());
        }
        let name = target.name();
        Err(format!(
            "`{source}` was not given for `{origin}`, where `{name}` is now: if that is right, `ambit upstream credential {name} --confirm`"
        ))
    }
}

impl UpstreamCredential {
    /// The upstream it was lent for: the only place that it is sent to.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Whether it was lent for this departure.
    pub(crate) fn fits(&self, departure: &Departure) -> bool {
        self.target.name() == &departure.action().upstream
            && self.purpose == Purpose::Entry(departure.entry())
    }

    /// Whether it was lent for reading definitions.
    pub(crate) fn reads(&self) -> bool {
        self.purpose == Purpose::OwnReading
    }

    /// The header to send; marked sensitive, so that HTTP/2 does not index it and no `Debug`
    /// shows it.
    pub(crate) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let secret = self.secret.0.as_ref()?;
        let mut value = HeaderValue::from_str(&secret.value).ok()?;
        value.set_sensitive(true);
        Some((secret.header.clone(), value))
    }

    /// For whom it was lent.
    pub(crate) const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The secret itself, closed.
    pub(crate) fn secret(&self) -> SecretHandle {
        self.secret.clone()
    }

    /// Looks for the secret in what comes back.
    #[must_use]
    pub fn lookout(&self) -> Lookout {
        Lookout::new(self.secret.0.clone())
    }

    fn masked_in(&self, text: &[u8]) -> Option<Vec<u8>> {
        let secret = self.secret.0.as_ref()?;
        let sought = secret.value.strip_prefix("Bearer ").unwrap_or(&secret.value).as_bytes();
        if sought.len() < limits::SECRET_SOUGHT_BYTES {
            return None;
        }
        let (mut out, mut from) = (Vec::new(), 0_usize);
        for at in memchr::memmem::find_iter(text, sought) {
            out.extend_from_slice(text.get(from..at)?);
            out.extend_from_slice(b"***");
            from = at.checked_add(sought.len())?;
        }
        if from == 0 {
            return None;
        }
        out.extend_from_slice(text.get(from..)?);
        Some(out)
    }

    /// A second handle to the same loan, for the messages that one call needs.
    pub(crate) fn again(&self) -> UpstreamCredential {
        UpstreamCredential {
            target: Arc::clone(&self.target),
            purpose: self.purpose,
            caller: self.caller.clone(),
            secret: self.secret.clone(),
        }
    }
}

impl SecretHandle {
    /// As it was given, for a variable.
    pub(crate) fn text(&self) -> Option<&str> {
        self.0.as_ref().map(|secret| secret.text.as_str())
    }

    /// A text without the secret.
    pub(crate) fn masked(&self, text: &[u8]) -> String {
        let text = String::from_utf8_lossy(text);
        match &self.0 {
            Some(secret) if !secret.text.is_empty() => {
                text.replace(secret.text.as_str(), "[secret]")
            }
            Some(_) | None => text.into_owned(),
        }
    }
}

impl PartialEq for SecretHandle {
    fn eq(&self, other: &SecretHandle) -> bool {
        self.text() == other.text()
    }
}

impl fmt::Debug for SecretHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHandle(…)")
    }
}

impl fmt::Debug for UpstreamCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpstreamCredential(`{}`, …)", self.target.name())
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// Whether these bytes can be a credential that is kept at `place`; an error shows nothing of them.
pub fn check_secret(place: &str, bytes: &[u8]) -> Result<(), BrokerError> {
    secret_of(place, bytes).map(drop)
}

fn secret_of(place: &str, bytes: &[u8]) -> Result<Secret, BrokerError> {
    let form = |what| BrokerError::Form { place: place.to_owned(), what };
    if bytes.len() > usize::try_from(limits::SECRET_BYTES).unwrap_or(usize::MAX) {
        return Err(form("is longer than 16 KiB"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| form("is not text"))?;
    read_secret(place, text)
}

fn read_secret(place: &str, text: &str) -> Result<Secret, BrokerError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(BrokerError::Empty(place.to_owned()));
    }
    let form = |what| BrokerError::Form { place: place.to_owned(), what };
    let named = text.split_once(": ").and_then(|(name, value)| {
        HeaderName::from_bytes(name.as_bytes()).ok().map(|header| (header, value.trim()))
    });
    let (header, value) = match named {
        Some((header, value)) => (header, Zeroizing::new(value.to_owned())),
        None => (http::header::AUTHORIZATION, Zeroizing::new(format!("Bearer {text}"))),
    };
    if value.is_empty() || HeaderValue::from_str(&value).is_err() {
        return Err(form("has no value, or characters that a header cannot hold"));
    }
    if NOT_A_CREDENTIAL.contains(&header.as_str()) {
        return Err(form("names a header that is not a credential"));
    }
    Ok(Secret { header, value, text: Zeroizing::new(text.to_owned()) })
}

#[cfg(unix)]
fn warn_if_open(place: &str, facts: &std::fs::Metadata) {
    use std::os::unix::fs::PermissionsExt;
    if facts.permissions().mode() & 0o077 != 0 {
        tracing::warn!(credential = place, "others may read this secret: `chmod 600` it");
    }
}

#[cfg(not(unix))]
fn warn_if_open(_place: &str, _facts: &std::fs::Metadata) {}

#[cfg(test)]
mod tests;
