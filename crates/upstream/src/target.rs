//! Where an upstream is: the catalogued scheme, host, port and path prefix, checked once.

use crate::local::Server;
use model::{UpstreamName, declared};
use std::sync::Arc;
use url::{Host, Url};

/// Why an upstream's URL was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not a URL.
    #[error("upstream `{upstream}`: `{url}` is not a URL; write `https://host[:port]/path`")]
    Form {
        /// The upstream.
        upstream: UpstreamName,
        /// The refused text.
        url: String,
    },
    /// A scheme, credential, query or fragment that an upstream's URL cannot have.
    #[error("upstream `{upstream}`: `{url}` has {what}; {fix}")]
    Part {
        /// The upstream.
        upstream: UpstreamName,
        /// The URL without its credential.
        url: String,
        /// What it has.
        what: &'static str,
        /// What to do.
        fix: &'static str,
    },
}

/// An upstream as the client sees it.
#[derive(Clone, Debug)]
pub struct Target {
    name: UpstreamName,
    base: Url,
    local: Option<Arc<Server>>,
    credential: Option<declared::CredentialSource>,
}

impl Target {
    /// Checks an upstream's URL: `http` or `https`, a host, no credential, query or fragment. A
    /// local server has none of these.
    pub(crate) fn new(
        name: &UpstreamName,
        upstream: &declared::Upstream,
        server: Option<Server>,
    ) -> Result<Target, TargetError> {
        let mut base = Url::parse(&upstream.url)
            .map_err(|_| TargetError::Form { upstream: name.clone(), url: upstream.url.clone() })?;
        let local = server.map(Arc::new);
        let refused = if local.is_some() { None } else { wrong_part(&base) };
        if let Some((what, fix)) = refused {
            // A URL that cannot have a password cannot hold one to be shown either.
            let cleared = base.set_password(None).and(base.set_username("")).is_ok();
            let url = if cleared { base.to_string() } else { base.scheme().to_owned() };
            return Err(TargetError::Part { upstream: name.clone(), url, what, fix });
        }
        let credential = upstream.credential.clone();
        let target = Target { name: name.clone(), base, local, credential };
        if target.credential.is_some() && target.base.scheme() == "http" && !target.is_loopback() {
            tracing::warn!(upstream = %name, "the credential travels unencrypted: use https");
        }
        Ok(target)
    }

    /// The upstream's name.
    #[must_use]
    pub const fn name(&self) -> &UpstreamName {
        &self.name
    }

    /// Its URL.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.base
    }

    /// How it is started, if it is a local server.
    pub(crate) const fn local(&self) -> Option<&Arc<Server>> {
        self.local.as_ref()
    }

    /// Its scheme, host and port, the port left out where the scheme implies it; of a local server
    /// all of its address, which names its command.
    #[must_use]
    pub fn origin(&self) -> String {
        match self.local {
            Some(_) => self.base.to_string(),
            None => self.base.origin().ascii_serialization(),
        }
    }

    /// Where its credential comes from.
    #[must_use]
    pub const fn credential(&self) -> Option<&declared::CredentialSource> {
        self.credential.as_ref()
    }

    fn is_loopback(&self) -> bool {
        match self.base.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }
}

fn wrong_part(url: &Url) -> Option<(&'static str, &'static str)> {
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        Some(("no http or https host", "write `https://host[:port]/path`"))
    } else if !url.username().is_empty() || url.password().is_some() {
        Some(("a credential", "name its source in `credential:`"))
    } else if url.query().is_some() {
        Some(("a query", "remove everything from `?` on"))
    } else if url.fragment().is_some() {
        Some(("a fragment", "remove everything from `#` on"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
