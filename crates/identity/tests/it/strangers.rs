//! Tokens, proofs and assertions that other authors' libraries wrote (`tests/fixtures/generate.py`).

use crate::forge::{DOOR, ENDPOINT, ISSUER, now};
use canonical::{Limits, Value};
use identity::{
    AgentKeys, Presented, PublicKey, Scheme, Validity, VerificationKeys, Verified,
    verify_client_assertion,
};
use std::sync::Arc;

const CASES: &[u8] = include_bytes!("../fixtures/strangers.json");

#[test]
fn what_other_libraries_sign_is_taken() {
    let cases = canonical::parse(CASES, &Limits::ARGUMENTS).unwrap();
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        check(case);
    }
}

fn check(case: &Value) {
    let text = |name: &str| case.get(name).unwrap().as_str().unwrap();
    let key =
        |name: &str| PublicKey::from_jwk(case.get(name).unwrap().as_object().unwrap()).unwrap();
    let title = format!("{} {}", text("author"), text("alg"));
    let (token, proof) = (text("token"), text("proof"));
    let agent_key = key("agent_jwk");
    assert_eq!(agent_key.thumbprint(), text("jkt"), "{title}: RFC 7638");

    let mut keys = VerificationKeys::new();
    assert!(keys.insert(key("issuer_jwk"), Validity::ALWAYS));
    let verified = Arc::new(Verified::verify(token, &keys, ISSUER, now()).expect(&title));
    let presented = Presented {
        scheme: Scheme::Dpop,
        token,
        proof: Some(proof),
        certificate: None,
        peer: None,
        method: "POST",
        url: DOOR,
        audience: DOOR,
        nonces: identity::Nonces::None,
    };
    let actor = verified.present(&presented, now()).expect(&title);
    assert_eq!(actor.agent().as_str(), "helpdesk", "{title}");
    assert_eq!(actor.user().map(|user| user.as_str()), Some("ana"), "{title}");
    assert!(actor.bound() && actor.task().is_some(), "{title}");

    let known = Some(Arc::new(AgentKeys::of(agent_key)));
    let checked = verify_client_assertion(text("assertion"), |_| known, ISSUER, ENDPOINT, now())
        .expect(&title);
    assert_eq!(checked.key_thumbprint(), text("jkt"), "{title}");
}
