//! The authorization server's metadata (RFC 8414 §2).

use crate::{exchange, settings::Settings};
use canonical::{Writer, WriterError};
use identity::DETAIL_TYPE;

/// The algorithms that keys of agents may have; Ed25519 has two names (RFC 9864).
const ALGORITHMS: [&str; 3] = ["EdDSA", "ES256", "Ed25519"];

/// The metadata as canonical JSON. `response_types_supported` is required and empty: there is no
/// authorization endpoint.
pub(crate) fn metadata(settings: &Settings) -> Result<Vec<u8>, WriterError> {
    const BY_KEY: &[&str] = &["private_key_jwt"];
    const ALL: &[&str] = &["private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"];
    let ways = if settings.mtls() { ALL } else { BY_KEY };
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    writer.begin_object();
    list(&mut writer, "authorization_details_types_supported", &[DETAIL_TYPE]);
    list(&mut writer, "dpop_signing_alg_values_supported", &ALGORITHMS);
    list(&mut writer, "grant_types_supported", &["client_credentials", exchange::GRANT]);
    writer.field_str("introspection_endpoint", &settings.introspection_endpoint());
    list(&mut writer, "introspection_endpoint_auth_methods_supported", ways);
    list(&mut writer, "introspection_endpoint_auth_signing_alg_values_supported", &ALGORITHMS);
    writer.field_str("issuer", settings.issuer());
    writer.field_str("jwks_uri", &settings.jwks_uri());
    if settings.mtls() {
        writer.field_object("mtls_endpoint_aliases");
        // Certificates are asked for and not demanded, so that one listener is both.
        writer.field_str("introspection_endpoint", &settings.introspection_endpoint());
        writer.field_str("revocation_endpoint", &settings.revocation_endpoint());
        writer.field_str("token_endpoint", &settings.token_endpoint()).end();
    }
    list(&mut writer, "response_types_supported", &[]);
    writer.field_str("revocation_endpoint", &settings.revocation_endpoint());
    list(&mut writer, "revocation_endpoint_auth_methods_supported", ways);
    list(&mut writer, "revocation_endpoint_auth_signing_alg_values_supported", &ALGORITHMS);
    if settings.mtls() {
        writer.field_bool("tls_client_certificate_bound_access_tokens", true);
    }
    writer.field_str("token_endpoint", &settings.token_endpoint());
    let secrets = ["client_secret_basic", "client_secret_post"];
    let all: Vec<&str> = ways.iter().copied().chain(secrets).collect();
    list(&mut writer, "token_endpoint_auth_methods_supported", &all);
    list(&mut writer, "token_endpoint_auth_signing_alg_values_supported", &ALGORITHMS);
    writer.end();
    writer.finish()?;
    Ok(out)
}

fn list<'a>(writer: &mut Writer<'a>, name: &'a str, items: &[&str]) {
    writer.field_array(name);
    for item in items {
        writer.item_str(item);
    }
    writer.end();
}
