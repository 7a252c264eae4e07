//! Nonces decide freshness where they are shown, on every node that has the key.

use crate::forge::{DOOR, NOW, at, now};
use identity::{
    AgentKey, Algorithm, CredentialError, NonceKey, Nonces, Proof, ProofClaims, ProofTarget,
    limits::{LEEWAY, NONCE_BUCKET, PROOF_COMMIT_WITHIN},
    verify_proof,
};
use model::{Code, Timestamp};

const BUCKET: i64 = NONCE_BUCKET.as_seconds();

fn proof(nonce: Option<&str>, issued: Timestamp) -> String {
    let key = AgentKey::from_random(Algorithm::EdDsa, &[9; 32]).unwrap();
    let claims = ProofClaims { method: "POST", url: DOOR, token: None, jti: "once", issued, nonce };
    key.proof(&claims).unwrap()
}

fn verify(proof: &str, nonces: Nonces<'_>, seconds: i64) -> Result<Proof, CredentialError> {
    let target = ProofTarget { method: "POST", url: DOOR, token: None, nonces };
    verify_proof(proof, &target, at(seconds))
}

#[test]
fn a_current_nonce_is_taken_whatever_the_clients_clock_says() {
    let key = NonceKey::new(&[1; 32]);
    let nonce = key.current(now());
    for off in [-86_400, 0, 86_400] {
        let text = proof(Some(&nonce), at(off));
        for nonces in [Nonces::Offered(&key), Nonces::Demanded(&key)] {
            assert!(verify(&text, nonces, 0).is_ok(), "{off} s off");
        }
    }
    // Where no nonces are given out, a nonce is no excuse.
    let late = proof(Some(&nonce), at(-86_400));
    assert_eq!(verify(&late, Nonces::None, 0).unwrap_err().reason(), "stale");
}

#[test]
fn every_node_with_the_key_takes_it_and_no_other() {
    let (node, other_node) = (NonceKey::new(&[1; 32]), NonceKey::new(&[1; 32]));
    let stranger = NonceKey::new(&[2; 32]);
    let text = proof(Some(&node.current(now())), now());
    assert!(verify(&text, Nonces::Demanded(&other_node), 0).is_ok());
    for nonces in [Nonces::Offered(&stranger), Nonces::Demanded(&stranger)] {
        let error = verify(&text, nonces, 0).unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::NonceWanted, "nonce_stale"));
        assert!(error.to_string().contains("DPoP-Nonce"), "{error}");
    }
    for nonsense in ["", "AAAA", "not base64!"] {
        let text = proof(Some(nonsense), now());
        let error = verify(&text, Nonces::Offered(&node), 0).unwrap_err();
        assert_eq!(error.reason(), "nonce_stale", "{nonsense:?}");
    }
}

#[test]
fn it_is_taken_in_its_bucket_and_the_next_and_in_no_other() {
    let key = NonceKey::new(&[1; 32]);
    // The first second of a bucket.
    let start = (NOW.div_euclid(BUCKET) * BUCKET) - NOW;
    let nonce = key.current(at(start));
    assert_eq!(key.current(at(start + BUCKET - 1)), nonce, "one bucket, one nonce");
    let text = proof(Some(&nonce), now());
    let check = |seconds: i64, expected: bool| {
        let taken = verify(&text, Nonces::Demanded(&key), start + seconds);
        assert_eq!(taken.is_ok(), expected, "{seconds} s after its bucket began");
    };
    check(0, true);
    check(2 * BUCKET - 1, true);
    check(2 * BUCKET, false);
    check(-LEEWAY.as_seconds(), true);
    check(-LEEWAY.as_seconds() - 1, false);
}

#[test]
fn its_use_is_remembered_as_long_as_it_is_taken() {
    let key = NonceKey::new(&[1; 32]);
    let text = proof(Some(&key.current(now())), at(-86_400));
    let used = verify(&text, Nonces::Demanded(&key), 0).unwrap();
    let (_, until) = used.single_use();
    let taken = |seconds: i64| verify(&text, Nonces::Demanded(&key), seconds).is_ok();
    let last = (0..3 * BUCKET).rev().find(|seconds| taken(*seconds)).unwrap();
    assert!(until >= at(last + 1).after(PROOF_COMMIT_WITHIN), "{until:?}");
}

#[test]
fn without_one_it_is_asked_for_or_the_time_decides() {
    let key = NonceKey::new(&[1; 32]);
    let bare = proof(None, now());
    assert!(verify(&bare, Nonces::Offered(&key), 60).is_ok());
    assert_eq!(verify(&bare, Nonces::Offered(&key), 61).unwrap_err().reason(), "stale");
    let error = verify(&bare, Nonces::Demanded(&key), 0).unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::NonceWanted, "nonce_missing"));
}
