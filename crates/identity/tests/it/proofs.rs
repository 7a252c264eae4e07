//! Forged proofs of possession, each beside a valid twin, and what a token needs to be shown.

use crate::forge::{
    DOOR, Draft, Edit, ISSUER, NOW, Signer, at, claim, header, now, raw, tamper, time,
};
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use identity::{
    Actor, CredentialError, Grant, Presented, Proof, ProofTarget, PublicKey, Scheme, SigningKey,
    Validity, VerificationKeys, Verified, limits::PROOF_BYTES, verify_proof,
};
use model::{Code, Digest, Name, TokenId};
use std::sync::Arc;

const EDDSA: Signer = Signer::EdDsa([9; 32]);
const ES256: Signer = Signer::Es256([9; 32]);
const OTHER: Signer = Signer::EdDsa([10; 32]);
const TOKEN: &str = "header.claims.signature";

fn token_digest() -> Digest {
    Digest(digest::digest(&digest::SHA256, TOKEN.as_bytes()).as_ref().try_into().unwrap())
}

fn draft(signer: Signer) -> Draft {
    let text = |text: &str| format!("{text:?}");
    let alg = if matches!(signer, Signer::Es256(_)) { "ES256" } else { "EdDSA" };
    Draft {
        header: vec![("typ", text("dpop+jwt")), ("alg", text(alg)), ("jwk", signer.jwk())],
        claims: vec![
            ("jti", text("8c1f0e9d")),
            ("htm", text("POST")),
            ("htu", text(DOOR)),
            ("iat", NOW.to_string()),
            ("ath", text(&B64.encode(token_digest().as_bytes()))),
        ],
        signer,
    }
}

fn verify(text: &str) -> Result<Proof, CredentialError> {
    let digest = token_digest();
    let target = ProofTarget {
        method: "POST",
        url: DOOR,
        token: Some(&digest),
        nonces: identity::Nonces::None,
    };
    verify_proof(text, &target, now())
}

type Row = (&'static str, Vec<Edit>, Vec<Edit>, &'static str);

fn jwk(json: &str) -> Edit {
    Edit::Header("jwk", json.to_owned())
}

/// The signer's JWK with one more member.
fn with_member(signer: &Signer, member: &str) -> Edit {
    jwk(&signer.jwk().replacen('{', &format!("{{{member},"), 1))
}

fn check(signer: &Signer, rows: Vec<Row>) {
    let draft = draft(signer.clone());
    for (title, forged, twin, reason) in rows {
        let accepted = verify(&draft.with(&twin));
        assert!(accepted.is_ok(), "{title}: the twin was refused: {accepted:?}");
        let error = verify(&draft.with(&forged)).expect_err(title);
        assert_eq!(error.reason(), reason, "{title}: {error}");
        assert_eq!(error.code(), Code::ProofInvalid, "{title}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of data")]
fn form_key_and_signature() {
    for signer in [EDDSA, ES256] {
        let hmac = |key: Vec<u8>| vec![header("alg", "HS256"), Edit::Sign(Signer::Hs256(key))];
        let oct = r#"{"kty":"oct","k":"c2VjcmV0"}"#;
        let rsa = r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#;
        let rows: Vec<Row> = vec![
            (
                "typ JWT",
                vec![header("typ", "JWT")],
                vec![header("typ", "application/dpop+jwt")],
                "typ",
            ),
            ("typ of a token", vec![header("typ", "at+jwt")], vec![], "typ"),
            ("typ absent", vec![Edit::NoHeader("typ")], vec![], "missing"),
            ("alg none", vec![header("alg", "none"), Edit::Sign(Signer::Nobody)], vec![], "alg"),
            ("HS256 with the public key", hmac(signer.public()), vec![], "alg"),
            (
                "a symmetric jwk",
                vec![
                    header("alg", "HS256"),
                    jwk(oct),
                    Edit::Sign(Signer::Hs256(b"secret".to_vec())),
                ],
                vec![],
                "private_key",
            ),
            ("an RSA jwk", vec![header("alg", "RS256"), jwk(rsa)], vec![], "jwk"),
            ("jwk absent", vec![Edit::NoHeader("jwk")], vec![], "missing"),
            ("jwk a text", vec![header("jwk", "x")], vec![], "jwk"),
            (
                "jwk of another",
                vec![jwk(&OTHER.jwk())],
                vec![],
                match signer {
                    Signer::Es256(_) => "alg",
                    _ => "signature",
                },
            ),
            (
                "jwk with d",
                vec![with_member(&signer, r#""d":"AA""#)],
                vec![with_member(&signer, r#""kid":"AA""#)],
                "private_key",
            ),
            (
                "jwk for encryption",
                vec![with_member(&signer, r#""use":"enc""#)],
                vec![with_member(&signer, r#""use":"sig""#)],
                "jwk",
            ),
            (
                "jwk for signing only",
                vec![with_member(&signer, r#""key_ops":["sign"]"#)],
                vec![with_member(&signer, r#""key_ops":["verify"]"#)],
                "jwk",
            ),
            ("jwk for another alg", vec![with_member(&signer, r#""alg":"RS256""#)], vec![], "jwk"),
            ("jwk with a name twice", vec![with_member(&signer, r#""x":"AA""#)], vec![], "json"),
            ("crit", vec![Edit::Header("crit", r#"["x"]"#.into())], vec![], "crit"),
            (
                "signed by another",
                vec![Edit::Sign(match signer {
                    Signer::Es256(_) => Signer::Es256([10; 32]),
                    _ => OTHER,
                })],
                vec![],
                "signature",
            ),
            ("claims tampered", vec![Edit::Text(|text| tamper(text, 1))], vec![], "signature"),
            ("signature tampered", vec![Edit::Text(|text| tamper(text, 2))], vec![], "signature"),
            (
                "oversized",
                vec![claim("x", &"a".repeat(PROOF_BYTES))],
                vec![claim("x", "a")],
                "too_large",
            ),
        ];
        check(&signer, rows);
    }
}

#[test]
fn claims() {
    let other_token = B64.encode([0_u8; 32]);
    let rows: Vec<Row> = vec![
        ("htm another", vec![claim("htm", "GET")], vec![claim("htm", "POST")], "htm"),
        ("htm in another case", vec![claim("htm", "post")], vec![], "htm"),
        ("htm absent", vec![Edit::NoClaim("htm")], vec![], "missing"),
        (
            "htu another door",
            vec![claim("htu", "http://127.0.0.1:8400/mcp/mail")],
            vec![claim("htu", "HTTP://127.0.0.1:8400/mcp/%74ickets")],
            "htu",
        ),
        (
            "htu another scheme",
            vec![claim("htu", "https://127.0.0.1:8400/mcp/tickets")],
            vec![],
            "htu",
        ),
        (
            "htu another host",
            vec![claim("htu", "http://localhost:8400/mcp/tickets")],
            vec![],
            "htu",
        ),
        ("htu another port", vec![claim("htu", "http://127.0.0.1/mcp/tickets")], vec![], "htu"),
        (
            "htu with a query",
            vec![claim("htu", "http://127.0.0.1:8400/mcp/tickets?a=1")],
            vec![],
            "htu",
        ),
        ("htu absent", vec![Edit::NoClaim("htu")], vec![], "missing"),
        ("ath of another token", vec![claim("ath", &other_token)], vec![], "ath"),
        ("ath absent", vec![Edit::NoClaim("ath")], vec![], "missing"),
        ("iat too old", vec![time("iat", -61)], vec![time("iat", -60)], "stale"),
        ("iat ahead", vec![time("iat", 6)], vec![time("iat", 5)], "not_yet"),
        ("iat absent", vec![Edit::NoClaim("iat")], vec![], "missing"),
        ("iat a text", vec![claim("iat", "now")], vec![raw("iat", "1795000000.25")], "member"),
        ("exp past", vec![time("exp", 0)], vec![time("exp", 1)], "exp"),
        ("nbf ahead", vec![time("nbf", 6)], vec![time("nbf", 5)], "not_yet"),
        ("jti absent", vec![Edit::NoClaim("jti")], vec![], "missing"),
        ("jti empty", vec![claim("jti", "")], vec![claim("jti", "1")], "member"),
        (
            "jti too long",
            vec![claim("jti", &"a".repeat(257))],
            vec![claim("jti", &"a".repeat(256))],
            "member",
        ),
        ("claim twice", vec![Edit::ClaimTwice("htm", r#""POST""#.into())], vec![], "json"),
    ];
    check(&EDDSA, rows);
}

#[test]
fn both_names_of_ed25519_are_the_same_algorithm() {
    assert!(verify(&draft(EDDSA).with(&[header("alg", "Ed25519")])).is_ok());
    let error = verify(&draft(ES256).with(&[header("alg", "Ed25519")])).unwrap_err();
    assert_eq!(error.reason(), "alg");
}

#[test]
fn a_replay_has_the_same_use_and_a_fresh_proof_another() {
    let used = |edits: &[Edit]| verify(&draft(EDDSA).with(edits)).unwrap().single_use();
    let (first, until) = used(&[]);
    assert_eq!(used(&[]), (first, until), "the same bytes again");
    assert_eq!(used(&[time("iat", 1)]).0, first, "the same `jti`, signed again");
    assert_ne!(used(&[claim("jti", "8c1f0e9e")]).0, first, "another `jti`");
    assert_ne!(verify(&draft(OTHER).with(&[])).unwrap().single_use().0, first, "another key");
    assert_eq!(until, at(60 + 60), "remembered beyond its freshness");
    let jkt = verify(&draft(EDDSA).with(&[])).unwrap().thumbprint().to_owned();
    let expected = format!("ambit-dpop-v1\0{jkt}\08c1f0e9d");
    let expected = digest::digest(&digest::SHA256, expected.as_bytes());
    assert_eq!(first.as_bytes().as_slice(), expected.as_ref());
}

#[test]
fn at_the_token_endpoint_no_token_digest_is_asked_for() {
    let target =
        ProofTarget { method: "POST", url: DOOR, token: None, nonces: identity::Nonces::None };
    let bare = draft(EDDSA).with(&[Edit::NoClaim("ath")]);
    assert!(verify_proof(&bare, &target, now()).is_ok());
}

struct Shown {
    token: String,
    verified: Arc<Verified>,
}

fn shown(bound: bool, audience: &str) -> Shown {
    let signing = SigningKey::from_random(identity::Algorithm::EdDsa, &[7; 32]).unwrap();
    let mut keys = VerificationKeys::new();
    assert!(keys.insert(signing.public().clone(), Validity::ALWAYS));
    let jwk = canonical::parse(EDDSA.jwk().as_bytes(), &canonical::Limits::ARGUMENTS).unwrap();
    let key = PublicKey::from_jwk(jwk.as_object().unwrap()).unwrap();
    let token = signing
        .mint(&Grant {
            issuer: ISSUER,
            audience,
            agent: &Name::new("helpdesk").unwrap(),
            version: Digest([3; 32]),
            instance: Some(key.thumbprint()),
            user: None,
            task: None,
            scope: None,
            token: TokenId::new(now(), [2; 10]),
            issued: now(),
            expires: at(300),
            bound,
            delegation: identity::Delegation::default(),
            certificate: None,
        })
        .unwrap();
    let verified = Arc::new(Verified::verify(&token, &keys, ISSUER, now()).unwrap());
    Shown { token, verified }
}

impl Shown {
    fn proof(&self, signer: Signer) -> String {
        let ath = B64.encode(digest::digest(&digest::SHA256, self.token.as_bytes()));
        draft(signer).with(&[claim("ath", &ath)])
    }

    fn present(
        &self,
        scheme: Scheme,
        proof: Option<&str>,
        seconds: i64,
    ) -> Result<Actor, &'static str> {
        let presented = Presented {
            scheme,
            token: &self.token,
            proof,
            certificate: None,
            peer: None,
            method: "POST",
            url: DOOR,
            audience: DOOR,
            nonces: identity::Nonces::None,
        };
        self.verified.present(&presented, at(seconds)).map_err(|error| error.reason())
    }
}

#[test]
fn scheme_and_binding_must_fit() {
    let bound = shown(true, DOOR);
    let (own, stranger) = (bound.proof(EDDSA), bound.proof(OTHER));
    let for_another = draft(EDDSA).with(&[]);
    let for_none = draft(EDDSA).with(&[Edit::NoClaim("ath")]);
    let actor = bound.present(Scheme::Dpop, Some(&own), 0).unwrap();
    assert!(actor.bound() && actor.proof_use().is_some());
    let refused = |scheme, proof| bound.present(scheme, proof, 0).unwrap_err();
    assert_eq!(refused(Scheme::Bearer, None), "proof_missing");
    assert_eq!(refused(Scheme::Bearer, Some(&own)), "proof_missing");
    assert_eq!(refused(Scheme::Dpop, None), "proof_missing");
    assert_eq!(refused(Scheme::Dpop, Some(&stranger)), "other_key");
    assert_eq!(refused(Scheme::Dpop, Some("x.y.z")), "form");
    assert_eq!(refused(Scheme::Dpop, Some(&for_another)), "ath");
    assert_eq!(refused(Scheme::Dpop, Some(&for_none)), "missing");

    let bearer = shown(false, DOOR);
    let actor = bearer.present(Scheme::Bearer, None, 0).unwrap();
    assert!(!actor.bound() && actor.proof_use().is_none() && actor.instance().is_some());
    let proof = bearer.proof(EDDSA);
    let refused = |scheme, proof| bearer.present(scheme, proof, 0).unwrap_err();
    assert_eq!(refused(Scheme::Dpop, Some(&proof)), "not_bound");
    assert_eq!(refused(Scheme::Dpop, None), "not_bound");
    assert_eq!(refused(Scheme::Bearer, Some(&proof)), "not_bound");
}

#[test]
fn a_kept_token_is_checked_again_for_time_audience_and_identity() {
    let bearer = shown(false, DOOR);
    assert!(bearer.present(Scheme::Bearer, None, 299).is_ok());
    assert_eq!(bearer.present(Scheme::Bearer, None, 300).unwrap_err(), "exp");
    let elsewhere = shown(false, "http://127.0.0.1:8400/mcp/mail");
    assert_eq!(elsewhere.present(Scheme::Bearer, None, 0).unwrap_err(), "aud");
    let swapped = Shown { token: elsewhere.token, verified: bearer.verified };
    assert_eq!(swapped.present(Scheme::Bearer, None, 0).unwrap_err(), "other_token");
}
