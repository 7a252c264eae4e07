//! Which headers cross to an upstream and back.

use super::is_redirect;
use crate::UpstreamCredential;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// The entry that a request belongs to, for the upstream's own log.
pub(crate) const ACTION: HeaderName = HeaderName::from_static("ambit-action");
/// W3C Trace Context.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// RFC 9110 section 7.6.1, and what older peers still send.
static HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// What the agent sent for Ambit, or what Ambit states itself.
static NOT_THE_AGENTS: [HeaderName; 13] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::HOST,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::FORWARDED,
    header::ORIGIN,
    header::REFERER,
    TRACEPARENT,
    HeaderName::from_static("dpop"),
    HeaderName::from_static("x-real-ip"),
];

/// What an upstream may not tell an agent: its sessions, its challenges, its hold on the name.
static NOT_THE_UPSTREAMS: [HeaderName; 6] = [
    header::SET_COOKIE,
    header::WWW_AUTHENTICATE,
    header::STRICT_TRANSPORT_SECURITY,
    header::ALT_SVC,
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("authentication-info"),
];

/// The agent's headers that reach the upstream.
pub(crate) fn outgoing(mut headers: HeaderMap) -> HeaderMap {
    strip_hop_by_hop(&mut headers);
    for name in &NOT_THE_AGENTS {
        headers.remove(name);
    }
    let stated: Vec<HeaderName> =
        headers.keys().filter(|name| states_origin(name)).cloned().collect();
    for name in stated {
        headers.remove(name);
    }
    headers
}

/// Whether an answer's bytes are what they say, without an encoding over them.
pub(crate) fn is_plain(headers: &HeaderMap) -> bool {
    let encodings = headers.get_all(header::CONTENT_ENCODING);
    encodings.iter().all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Takes out of an answer what does not cross to the agent.
pub(crate) fn incoming(
    headers: &mut HeaderMap,
    status: StatusCode,
    credential: &UpstreamCredential,
) {
    strip_hop_by_hop(headers);
    for name in &NOT_THE_UPSTREAMS {
        headers.remove(name);
    }
    if is_redirect(status) {
        headers.remove(header::LOCATION);
        headers.remove("refresh");
    }
    let lookout = credential.lookout();
    let leaking: Vec<HeaderName> = headers
        .iter()
        .filter(|(_, value)| lookout.finds(value.as_bytes()))
        .map(|(name, _)| name.clone())
        .collect();
    for name in leaking {
        headers.remove(name);
    }
}

/// Headers by which a proxy states who called; only Ambit states that here.
fn states_origin(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-forwarded-") || name.as_str().starts_with("ambit-")
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value: &HeaderValue| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}
