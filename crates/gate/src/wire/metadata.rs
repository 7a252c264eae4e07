//! Protected resource metadata (RFC 9728): which issuer's tokens a door takes.

use super::{Body, full};
use crate::{Gate, json};
use ::http::{HeaderValue, Method, Response, StatusCode, header};
use canonical::Value;
use model::{Code, Name};

const PREFIX: &str = "/.well-known/oauth-protected-resource/";

/// The metadata of a door. Every well-formed name has some: what exists is told to nobody here.
pub(super) fn resource(gate: &Gate, method: &Method, path: &str) -> Option<Response<Body>> {
    let door = path.strip_prefix(PREFIX)?;
    let is_door = match door.split_once('/') {
        Some((edge, upstream)) => matches!(edge, "mcp" | "http") && Name::new(upstream).is_ok(),
        None => door == "mcp",
    };
    if method != Method::GET || !is_door {
        return None;
    }
    let settings = gate.settings();
    let list = |items: &[&str]| Value::Array(items.iter().map(|item| Value::from(*item)).collect());
    let metadata = json::object([
        ("authorization_servers", list(&[&settings.issuer])),
        ("bearer_methods_supported", list(&["header"])),
        ("dpop_signing_alg_values_supported", list(&["EdDSA", "ES256"])),
        ("resource", Value::String(format!("{}/{door}", settings.base_url))),
        ("tls_client_certificate_bound_access_tokens", Value::Bool(settings.mtls)),
    ]);
    let mut response = Response::new(full(metadata.to_bytes()));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Some(response)
}

/// The answer to a request that came under a foreign name or from a foreign page.
pub(super) fn forbidden() -> Response<Body> {
    let mut response = Response::new(full("this address is not known by that name\n"));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

/// The answer to a program that runs as the gate's own user: it can read the gate's keys, so nothing it shows counts.
pub(super) fn same_user() -> Response<Body> {
    let code = Code::SameUser;
    let text = format!("{} {}: {}; {}\n", code.number(), code, code.sentence(), code.fix());
    let mut response = Response::new(full(text));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

/// The answer to a request for a token that did not arrive in time.
pub(super) fn too_slow() -> Response<Body> {
    let mut response = Response::new(full("the request did not arrive in time\n"));
    *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
    response
}
