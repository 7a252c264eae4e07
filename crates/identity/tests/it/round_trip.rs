//! What the issuer mints, the gate takes: the way of one token from key to evidence.

use identity::{
    AgentKey, AgentKeys, Algorithm, AssertionClaims, Grant, MintError, Presented, ProofClaims,
    Scheme, SigningKey, Validity, VerificationKeys, Verified, verify_client_assertion,
};
use model::{Digest, Duration, Name, TaskId, Timestamp, TokenId, UserName};
use std::sync::Arc;

const ISSUER: &str = "http://127.0.0.1:8400";
const DOOR: &str = "http://127.0.0.1:8400/mcp/tickets";
const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

fn later(seconds: i64) -> Timestamp {
    NOW.after(Duration::seconds(seconds))
}

/// Two keys, out of the documents that they are kept as.
fn kept(issuer: Algorithm, agent: Algorithm) -> (SigningKey, AgentKey) {
    let signing = SigningKey::from_random(issuer, &[7; 32]).unwrap();
    let key = AgentKey::from_random(agent, &[9; 32]).unwrap();
    let signing = SigningKey::from_pkcs8(issuer, signing.pkcs8()).unwrap();
    (signing, AgentKey::from_pkcs8(agent, key.pkcs8()).unwrap())
}

fn check(issuer_algorithm: Algorithm, agent_algorithm: Algorithm) {
    let (signing, key) = kept(issuer_algorithm, agent_algorithm);
    let mut keys = VerificationKeys::new();
    assert!(keys.insert(signing.public().clone(), Validity::ALWAYS));
    let (agent, user) = (Name::new("helpdesk").unwrap(), UserName::new("ana").unwrap());
    let (task, token_id) = (TaskId::new(NOW, [1; 10]), TokenId::new(NOW, [2; 10]));
    let token = signing
        .mint(&Grant {
            issuer: ISSUER,
            audience: DOOR,
            agent: &agent,
            version: Digest([3; 32]),
            instance: Some(key.public().thumbprint()),
            user: Some(&user),
            task: Some(task),
            scope: None,
            token: token_id,
            issued: NOW,
            expires: later(300),
            bound: true,
            delegation: identity::Delegation::default(),
            certificate: None,
        })
        .unwrap();
    let verified = Arc::new(Verified::verify(&token, &keys, ISSUER, NOW).unwrap());
    assert_eq!(verified.expires(), later(300));
    assert_eq!(verified.digest(), Verified::digest_of(&token));
    let claims = ProofClaims {
        method: "POST",
        url: DOOR,
        token: Some(&token),
        jti: "0f2c41",
        issued: NOW,
        nonce: None,
    };
    let proof = key.proof(&claims).unwrap();
    let presented = Presented {
        scheme: Scheme::Dpop,
        token: &token,
        proof: Some(&proof),
        certificate: None,
        peer: None,
        method: "POST",
        url: DOOR,
        audience: DOOR,
        nonces: identity::Nonces::None,
    };
    let actor = verified.present(&presented, NOW).unwrap();
    assert_eq!(actor.agent(), &agent);
    assert_eq!(actor.user(), Some(&user));
    assert_eq!(actor.task(), Some(task));
    assert_eq!(actor.token(), token_id);
    assert_eq!(actor.version(), Digest([3; 32]));
    assert_eq!(actor.instance(), Some(key.public().thumbprint()));
    assert!(actor.bound() && actor.proof_use().is_some());

    let assertion = key
        .assertion(&AssertionClaims {
            agent: &agent,
            audience: ISSUER,
            jti: "a1",
            issued: NOW,
            expires: later(60),
        })
        .unwrap();
    let known = Arc::new(AgentKeys::of(key.public().clone()));
    let endpoint = format!("{ISSUER}/oauth/token");
    let checked =
        verify_client_assertion(&assertion, |_| Some(known), ISSUER, &endpoint, NOW).unwrap();
    assert_eq!(checked.agent(), &agent);
    assert_eq!(checked.key_thumbprint(), key.public().thumbprint());
}

#[test]
fn a_minted_token_with_its_proof_becomes_an_actor() {
    for issuer in [Algorithm::EdDsa, Algorithm::Es256] {
        for agent in [Algorithm::EdDsa, Algorithm::Es256] {
            check(issuer, agent);
        }
    }
}

#[test]
fn an_exported_private_key_has_the_public_members_of_its_key() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let key = AgentKey::from_random(algorithm, &[9; 32]).unwrap();
        let private =
            canonical::parse(key.private_jwk().as_bytes(), &canonical::Limits::ARGUMENTS).unwrap();
        let mut object = private.as_object().unwrap().clone();
        assert!(object.remove("d").is_some());
        assert_eq!(canonical::Value::Object(object).to_bytes(), key.public().jwk());
        assert!(AgentKeys::parse(key.private_jwk().as_bytes()).is_err());
        assert!(AgentKeys::parse(&key.public().jwk()).unwrap().contains(key.public().thumbprint()));
    }
}

/// The bytes of a token are read by others: they change only on purpose. EdDSA is deterministic.
#[test]
fn a_minted_token_has_its_golden_bytes() {
    let signing = SigningKey::from_random(Algorithm::EdDsa, &[21; 32]).unwrap();
    let (agent, user) = (Name::new("helpdesk").unwrap(), UserName::new("ana").unwrap());
    let token = signing
        .mint(&Grant {
            issuer: ISSUER,
            audience: DOOR,
            agent: &agent,
            version: Digest([0x3f; 32]),
            instance: Some(signing.kid()),
            user: Some(&user),
            task: Some(TaskId(2)),
            scope: Some("tickets"),
            token: TokenId(1),
            issued: NOW,
            expires: later(300),
            bound: true,
            delegation: identity::Delegation::default(),
            certificate: None,
        })
        .unwrap();
    let golden = include_str!("../fixtures/minted.jwt");
    assert_eq!(token, golden.trim_end());
}

#[test]
fn what_must_not_be_minted_is_refused() {
    let signing = SigningKey::from_random(Algorithm::EdDsa, &[21; 32]).unwrap();
    let agent = Name::new("helpdesk").unwrap();
    let good = Grant {
        issuer: ISSUER,
        audience: DOOR,
        agent: &agent,
        version: Digest([3; 32]),
        instance: None,
        user: None,
        task: None,
        scope: None,
        token: TokenId(1),
        issued: NOW,
        expires: later(3600),
        bound: false,
        delegation: identity::Delegation::default(),
        certificate: None,
    };
    assert!(signing.mint(&good).is_ok());
    let refused = |grant: Grant<'_>| signing.mint(&grant).unwrap_err();
    let life = |seconds| MintError::Life { seconds, limit: 3600 };
    assert_eq!(refused(Grant { expires: later(3601), ..good }), life(3601));
    assert_eq!(refused(Grant { expires: NOW, ..good }), life(0));
    assert_eq!(refused(Grant { expires: later(-1), ..good }), life(-1));
    assert_eq!(refused(Grant { bound: true, ..good }), MintError::NoInstance);
    let long = format!("{DOOR}/{}", "a".repeat(identity::limits::TOKEN_BYTES));
    assert!(matches!(refused(Grant { audience: &long, ..good }), MintError::TooLarge { .. }));
}
