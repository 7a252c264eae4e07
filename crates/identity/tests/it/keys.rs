//! Which keys are taken, and the thumbprints that the RFCs print.

use crate::forge::Signer;
use canonical::Limits;
use identity::{AgentKeys, AgentKeysError, Algorithm, KeyError, PublicKey, SigningKey};

fn read(jwk: &str) -> Result<PublicKey, KeyError> {
    let value = canonical::parse(jwk.as_bytes(), &Limits::ARGUMENTS).unwrap();
    PublicKey::from_jwk(value.as_object().unwrap())
}

#[test]
fn thumbprints_are_those_of_the_rfcs() {
    // RFC 8037, appendix A.3.
    let ed25519 = r#"{"kty":"OKP","crv":"Ed25519",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    assert_eq!(read(ed25519).unwrap().thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    // RFC 9449, sections 4.1 and 6.1.
    let p256 = r#"{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}"#;
    assert_eq!(read(p256).unwrap().thumbprint(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
}

#[test]
fn keys_that_are_not_public_verification_keys_are_refused() {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let good = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#);
    assert!(read(&good).is_ok());
    let with = |member: &str| read(&good.replacen('{', &format!("{{{member},"), 1)).unwrap_err();
    assert_eq!(with(r#""d":"AA""#), KeyError::Private("d"));
    assert_eq!(with(r#""d":null"#), KeyError::Private("d"));
    assert_eq!(with(r#""k":"AA""#), KeyError::Private("k"));
    assert_eq!(with(r#""use":"enc""#), KeyError::Purpose("use"));
    assert_eq!(with(r#""alg":"HS256""#), KeyError::Purpose("alg"));
    assert_eq!(with(r#""alg":null"#), KeyError::Purpose("alg"));
    assert_eq!(with(r#""key_ops":[]"#), KeyError::Purpose("key_ops"));
    for (jwk, error) in [
        (format!(r#"{{"kty":"OKP","crv":"X25519","x":"{x}"}}"#), KeyError::Kind),
        (format!(r#"{{"kty":"EC","crv":"Ed25519","x":"{x}"}}"#), KeyError::Kind),
        (r#"{"kty":"oct","x":"AA"}"#.to_owned(), KeyError::Kind),
        (r#"{"kty":"OKP","crv":"Ed25519"}"#.to_owned(), KeyError::Member("x")),
        (r#"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#.to_owned(), KeyError::Member("x")),
        (format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}="}}"#), KeyError::Member("x")),
        (format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}"}}"#), KeyError::Member("y")),
        (format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{x}"}}"#), KeyError::Point),
    ] {
        assert_eq!(read(&jwk).unwrap_err(), error, "{jwk}");
    }
}

#[test]
fn a_jwks_is_taken_whole_or_not_at_all() {
    let (first, second) = (Signer::EdDsa([1; 32]).jwk(), Signer::Es256([2; 32]).jwk());
    let parse = |text: String| AgentKeys::parse(text.as_bytes());
    let both = parse(format!(r#"{{"keys":[{first},{second}]}}"#)).unwrap();
    assert_eq!(both.thumbprints().count(), 2);
    let refused = |text: String| parse(text).unwrap_err();
    assert_eq!(refused(r#"{"keys":[]}"#.into()), AgentKeysError::Count { count: 0, limit: 64 });
    assert_eq!(refused(r#"{"jwks":[]}"#.into()), AgentKeysError::Form);
    assert_eq!(refused("[]".into()), AgentKeysError::Form);
    assert!(matches!(refused("{".into()), AgentKeysError::Json(_)));
    let many = vec![first.as_str(); 65].join(",");
    assert_eq!(
        refused(format!(r#"{{"keys":[{many}]}}"#)),
        AgentKeysError::Count { count: 65, limit: 64 }
    );
    assert_eq!(
        refused(format!(r#"{{"keys":[{first},{first}]}}"#)),
        AgentKeysError::SameName { place: 2 }
    );
    let private = second.replacen('{', r#"{"d":"AA","#, 1);
    assert_eq!(
        refused(format!(r#"{{"keys":[{first},{private}]}}"#)),
        AgentKeysError::Key { place: 2, source: KeyError::Private("d") }
    );
    let named = |jwk: &str| jwk.replacen('{', r#"{"kid":"a","#, 1);
    assert_eq!(
        refused(format!(r#"{{"keys":[{},{}]}}"#, named(&first), named(&second))),
        AgentKeysError::SameName { place: 2 }
    );
}

#[test]
fn a_document_of_another_kind_is_not_a_signing_key() {
    let key = SigningKey::from_random(Algorithm::EdDsa, &[1; 32]).unwrap();
    assert!(SigningKey::from_pkcs8(Algorithm::EdDsa, key.pkcs8()).is_ok());
    assert_eq!(SigningKey::from_pkcs8(Algorithm::Es256, key.pkcs8()).unwrap_err(), KeyError::Kind);
    assert_eq!(SigningKey::from_pkcs8(Algorithm::EdDsa, b"").unwrap_err(), KeyError::Kind);
    let zero = SigningKey::from_random(Algorithm::Es256, &[0; 32]).unwrap_err();
    assert_eq!(zero, KeyError::Point);
}

#[test]
fn debug_forms_hold_no_secret() {
    let seed = [0xAB_u8; 32];
    let key = identity::AgentKey::from_random(Algorithm::EdDsa, &seed).unwrap();
    let shown = format!("{key:?}");
    assert_eq!(shown, format!("AgentKey(PublicKey(EdDSA {}))", key.public().thumbprint()));
}
