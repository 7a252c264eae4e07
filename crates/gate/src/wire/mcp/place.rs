//! Whether a request is meant for this door: a page in a browser must not reach it under a name of its own.

use ::http::{header, request::Parts};
use url::{Host, Url};

/// Checks `Host` (or the authority of HTTP/2) and, if a browser sent one, `Origin` against the public URL.
#[must_use]
pub fn is_ours(base_url: &str, head: &Parts) -> bool {
    let host = match head.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => crate::wire::credential::single(&head.headers, header::HOST.as_str()),
    };
    // Nearly every request: the very text of the public URL, and no browser.
    let same_text = host.is_some() && base_url.split_once("://").map(|(_, rest)| rest) == host;
    if same_text && !head.headers.contains_key(header::ORIGIN) {
        return true;
    }
    let Ok(base) = Url::parse(base_url) else { return false };
    let host = host.and_then(|host| Url::parse(&format!("{}://{host}", base.scheme())).ok());
    let at_home = host.is_some_and(|host| names_us(&base, &host));
    let mut origins = head.headers.get_all(header::ORIGIN).iter();
    let same_origin = match (origins.next(), origins.next()) {
        (None, _) => true,
        (Some(origin), None) => origin
            .to_str()
            .ok()
            .and_then(|text| Url::parse(text).ok())
            .is_some_and(|origin| origin.scheme() == base.scheme() && names_us(&base, &origin)),
        (Some(_), Some(_)) => false,
    };
    at_home && same_origin
}

/// The public URL's own host and port; on a loopback address, any name of loopback.
fn names_us(base: &Url, other: &Url) -> bool {
    let same_port = base.port_or_known_default() == other.port_or_known_default();
    same_port && (base.host() == other.host() || (is_loopback(base) && is_loopback(other)))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
