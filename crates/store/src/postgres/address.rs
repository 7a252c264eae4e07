//! Where the database is: a URL whose password is never shown, on this machine only.

use crate::{error::StoreError, limits::PASSFILE_BYTES};
use std::{
    fmt,
    fs::File,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    str::FromStr as _,
    sync::Arc,
    time::Duration,
};
use tokio_postgres::config::{Config, Host, SslMode};
use url::Url;
use zeroize::Zeroizing;

/// How long a connection may take to come about; a server of this machine answers in milliseconds.
const CONNECT: Duration = Duration::from_secs(10);
/// Where Debian's server has its socket; used if the URL names no host.
const SOCKETS: &str = "/var/run/postgresql";

/// A PostgreSQL database.
#[derive(Clone)]
pub struct Database {
    config: Arc<Config>,
    /// Without its password.
    shown: String,
    passfile: Option<PassFile>,
}

/// A file of passwords in libpq's form.
#[derive(Clone, Debug)]
enum PassFile {
    /// Named in the URL: it must be there.
    Named(PathBuf),
    /// Where libpq would look: it may be absent.
    Usual(PathBuf),
}

impl Database {
    /// Reads `postgres://[user@]host[:port]/name`, with `?passfile=FILE` for its password. The host is a loopback
    /// address or, percent-encoded or as `?host=`, the directory of a Unix socket. `usual` is the file in which
    /// passwords are looked up if the URL names none. An error never repeats the URL.
    pub fn parse(text: &str, usual: Option<PathBuf>) -> Result<Database, StoreError> {
        let refused = |why: &str| StoreError::Address(why.to_owned());
        let mut url = Url::parse(text).map_err(|_| {
            refused("it is not a URL; write `postgres://user@127.0.0.1:5432/ambit`")
        })?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(refused(
                "only `postgres://` is known; without a URL the ledger is in SQLite",
            ));
        }
        let pairs: Vec<(String, String)> =
            url.query_pairs().map(|(key, value)| (key.into_owned(), value.into_owned())).collect();
        let named = pairs.iter().find(|(key, _)| key == "passfile").map(|(_, file)| file.into());
        let rest = |shown: bool| {
            let kept = move |key: &str| if shown { key != "password" } else { key != "passfile" };
            pairs.iter().filter(move |(key, _)| kept(key))
        };
        let mut whole = url.clone();
        set_query(&mut whole, rest(false));
        let mut config =
            Config::from_str(whole.as_str()).map_err(|error| refused(&with_cause(&error)))?;
        set_query(&mut url, rest(true));
        // A URL without a host cannot have a password either.
        if url.password().is_some() && url.set_password(None).is_err() {
            return Err(refused("it has a password and no host"));
        }
        settle(&mut config)?;
        let passfile = named.map(PassFile::Named).or(usual.map(PassFile::Usual));
        Ok(Database { config: Arc::new(config), shown: url.to_string(), passfile })
    }

    /// Whether the URL held the password itself.
    #[must_use]
    pub fn holds_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// All that a connection needs, with a password if one is to be found.
    pub(super) fn config(&self) -> Result<Config, StoreError> {
        let mut config = Config::clone(&self.config);
        if !self.holds_password()
            && let Some(password) = self.password()?
        {
            config.password(password.as_bytes());
        }
        Ok(config)
    }

    fn password(&self) -> Result<Option<Zeroizing<String>>, StoreError> {
        let (path, must) = match &self.passfile {
            None => return Ok(None),
            Some(PassFile::Named(path)) => (path, true),
            Some(PassFile::Usual(path)) => (path, false),
        };
        if !must && !path.exists() {
            return Ok(None);
        }
        let text = read(path)?;
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) if path == Path::new(SOCKETS) => "localhost".to_owned(),
            Some(Host::Unix(path)) => path.to_string_lossy().into_owned(),
            None => String::new(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5_432).to_string();
        let user = self.config.get_user().unwrap_or_default();
        let name = self.config.get_dbname().unwrap_or(user);
        Ok(password_of(&text, [&host, &port, name, user]))
    }
}

/// Without its password.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({})", self.shown)
    }
}

fn set_query<'a>(url: &mut Url, pairs: impl Iterator<Item = &'a (String, String)>) {
    let mut pairs = pairs.peekable();
    if pairs.peek().is_none() {
        url.set_query(None);
    } else {
        url.query_pairs_mut().clear().extend_pairs(pairs);
    }
}

/// Refuses what would leave the machine unencrypted, and sets what the URL left open.
fn settle(config: &mut Config) -> Result<(), StoreError> {
    let refused = |why: String| Err(StoreError::Address(why));
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        config.host_path(SOCKETS);
    }
    if config.get_hosts().len() > 1 || config.get_ports().len() > 1 {
        return refused("it names several hosts: one ledger has one place".into());
    }
    let away = config.get_hosts().iter().find_map(|host| match host {
        Host::Unix(_) => None,
        Host::Tcp(name) if name == "localhost" => None,
        Host::Tcp(name) => {
            let address: Option<std::net::IpAddr> = name.parse().ok();
            (!address.is_some_and(|address| address.is_loopback())).then(|| name.clone())
        }
    });
    let away = away.or_else(|| {
        let far = config.get_hostaddrs().iter().find(|address| !address.is_loopback());
        far.map(ToString::to_string)
    });
    if let Some(host) = away {
        return refused(format!(
            "`{host}` is another machine, and this release does not encrypt the way to it; use a \
             Unix socket or a loopback address (a tunnel of your own ends on one)"
        ));
    }
    if !matches!(config.get_ssl_mode(), SslMode::Disable | SslMode::Prefer) {
        return refused(
            "it asks for TLS, which this release does not speak: leave `sslmode` out".into(),
        );
    }
    if config.get_application_name().is_none() {
        config.application_name("ambit");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT);
    }
    Ok(())
}

fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, StoreError> {
    let failed = |source| StoreError::File { path: path.to_owned(), what: "read", source };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(StoreError::PassFile { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(PASSFILE_BYTES).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// The password of the first line `host:port:database:user:password` that fits; `*` fits everything, and a backslash
/// keeps the next character's meaning away.
fn password_of(text: &str, sought: [&str; 4]) -> Option<Zeroizing<String>> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields_of(line);
        let (password, place) = fields.split_last()?;
        let fits = place.len() == sought.len()
            && place.iter().zip(sought).all(|(field, wanted)| **field == "*" || **field == wanted);
        fits.then(|| password.clone())
    })
}

fn fields_of(line: &str) -> Vec<Zeroizing<String>> {
    let mut fields = vec![Zeroizing::new(String::new())];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let kept = match character {
            ':' if fields.len() < 5 => {
                fields.push(Zeroizing::new(String::new()));
                continue;
            }
            '\\' => characters.next().unwrap_or('\\'),
            other => other,
        };
        if let Some(field) = fields.last_mut() {
            field.push(kept);
        }
    }
    fields
}

#[cfg(test)]
mod tests;
