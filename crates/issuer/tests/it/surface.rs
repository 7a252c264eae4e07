//! Metadata, keys, and what else the routes answer.

use crate::house::{House, ISSUER, TOKEN};
use axum::body::Body;
use http::Request;
use issuer::{Directory, Settings};

#[tokio::test]
async fn the_metadata_is_complete() {
    let house = House::new();
    let request = Request::get("/.well-known/oauth-authorization-server").body(Body::empty());
    let answer = house.send(request.unwrap()).await;
    let expected = concat!(
        r#"{"authorization_details_types_supported":["ambit_action"],"#,
        r#""dpop_signing_alg_values_supported":["EdDSA","ES256","Ed25519"],"#,
        r#""grant_types_supported":["client_credentials","urn:ietf:params:oauth:grant-type:token-exchange"],"#,
        r#""introspection_endpoint":"http://127.0.0.1:8400/oauth/introspect","#,
        r#""introspection_endpoint_auth_methods_supported":["private_key_jwt"],"#,
        r#""introspection_endpoint_auth_signing_alg_values_supported":["EdDSA","ES256","Ed25519"],"#,
        r#""issuer":"http://127.0.0.1:8400","#,
        r#""jwks_uri":"http://127.0.0.1:8400/oauth/jwks","#,
        r#""response_types_supported":[],"#,
        r#""revocation_endpoint":"http://127.0.0.1:8400/oauth/revoke","#,
        r#""revocation_endpoint_auth_methods_supported":["private_key_jwt"],"#,
        r#""revocation_endpoint_auth_signing_alg_values_supported":["EdDSA","ES256","Ed25519"],"#,
        r#""token_endpoint":"http://127.0.0.1:8400/oauth/token","#,
        r#""token_endpoint_auth_methods_supported":["private_key_jwt","client_secret_basic","client_secret_post"],"#,
        r#""token_endpoint_auth_signing_alg_values_supported":["EdDSA","ES256","Ed25519"]}"#,
    );
    assert_eq!(String::from_utf8_lossy(&answer.body), expected);
    assert_eq!(answer.headers["cache-control"], "public, max-age=300");
    assert_eq!(answer.headers["content-type"], "application/json");
}

#[tokio::test]
async fn the_key_set_is_public_and_names_the_signing_key() {
    let house = House::new();
    let answer = house.send(Request::get("/oauth/jwks").body(Body::empty()).unwrap()).await;
    let text = String::from_utf8_lossy(&answer.body);
    assert!(text.contains(house.fake.signing_key().kid()), "{text}");
    assert!(!text.contains(r#""d":"#), "{text}");
}

#[tokio::test]
async fn other_methods_are_refused() {
    let house = House::new();
    for (method, path) in [
        ("GET", "/oauth/token"),
        ("PUT", "/oauth/token"),
        ("GET", "/oauth/revoke"),
        ("POST", "/oauth/jwks"),
        ("POST", "/.well-known/oauth-authorization-server"),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        assert_eq!(house.send(request).await.status, 405, "{method} {path}");
    }
    assert!(house.records().is_empty());
}

#[test]
fn an_issuer_is_an_origin_in_normal_form() {
    assert_eq!(Settings::new(ISSUER, false).unwrap().token_endpoint(), TOKEN);
    assert!(Settings::new("https://gate.example", false).is_ok());
    for wrong in [
        "http://127.0.0.1:8400/",
        "http://127.0.0.1:8400/tenant",
        "https://gate.example:443",
        "https://Gate.Example",
        "https://user@gate.example",
        "https://gate.example?x",
        "https://gate.example#x",
        "ftp://gate.example",
        "gate.example",
        "",
    ] {
        assert!(Settings::new(wrong, false).is_err(), "{wrong}");
    }
}
