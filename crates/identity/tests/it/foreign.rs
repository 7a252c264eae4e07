//! Tokens of foreign issuers: forged ones, each beside a valid twin.

use crate::forge::{Draft, Edit, ISSUER, NOW, Signer, at, claim, header, now, raw, tamper, time};
use identity::{
    CredentialError, Expected, Foreign, ForeignKeys, ForeignKeysError,
    limits::{self, FOREIGN_BYTES},
    stated_issuer, verify_foreign,
};
use model::{Code, Duration, Name};

const FOREIGN: &str = "https://token.actions.example";
const FIRST: Signer = Signer::Rs256;
const SECOND: Signer = Signer::Es256([42; 32]);
const THIRD: Signer = Signer::EdDsa([43; 32]);
const STRANGER: Signer = Signer::EdDsa([44; 32]);

const EXPECTED: Expected<'static> = Expected {
    issuer: FOREIGN,
    audience: ISSUER,
    types: &["JWT"],
    max_age: Some(Duration::seconds(300)),
};

fn named(signer: &Signer, kid: &str) -> String {
    signer.jwk().replacen('{', &format!(r#"{{"kid":"{kid}","#), 1)
}

fn keys() -> ForeignKeys {
    let named = [
        named(&FIRST, "rsa"),
        named(&SECOND, "ec"),
        named(&THIRD, "ed"),
        named(&Signer::Ps256, "pss"),
        r#"{"kid":"enc","kty":"RSA","use":"enc","n":"AQAB","e":"AQAB"}"#.to_owned(),
        r#"{"kid":"mac","kty":"oct","k":"c2VzYW1l"}"#.to_owned(),
    ];
    let keys = ForeignKeys::parse(format!(r#"{{"keys":[{}]}}"#, named.join(",")).as_bytes());
    let keys = keys.unwrap();
    assert_eq!(keys.len(), 4, "what cannot verify a signature is left out");
    keys
}

fn draft() -> Draft {
    let text = |text: &str| format!("{text:?}");
    Draft {
        header: vec![("alg", text("RS256")), ("typ", text("JWT")), ("kid", text("rsa"))],
        claims: vec![
            ("iss", text(FOREIGN)),
            ("sub", text("repo:acme/helpdesk:environment:prod")),
            ("aud", text(ISSUER)),
            ("jti", text("one")),
            ("iat", NOW.to_string()),
            ("exp", (NOW + 600).to_string()),
            ("repository_id", text("4711")),
            ("run_attempt", "1".to_owned()),
            ("kubernetes.io", r#"{"pod":{"uid":"u-1","a/b":"c"}}"#.to_owned()),
        ],
        signer: FIRST,
    }
}

fn verify(text: &str) -> Result<Foreign, CredentialError> {
    verify_foreign(text, &keys(), &EXPECTED, now())
}

#[test]
fn forged_tokens_of_foreign_issuers() {
    let one = format!(r#"["{ISSUER}"]"#);
    let two = format!(r#"["{ISSUER}","https://other.example"]"#);
    let rows: Vec<(&str, Vec<Edit>, Vec<Edit>, &str)> = vec![
        ("alg none", vec![header("alg", "none"), Edit::Sign(Signer::Nobody)], vec![], "alg"),
        (
            "HS256 with the public key",
            vec![header("alg", "HS256"), Edit::Sign(Signer::Hs256(FIRST.public()))],
            vec![],
            "alg",
        ),
        (
            "a symmetric key of the set",
            vec![
                header("kid", "mac"),
                header("alg", "HS256"),
                Edit::Sign(Signer::Hs256(b"sesame".to_vec())),
            ],
            vec![],
            "kid",
        ),
        (
            "PS256 under a key for RS256",
            vec![header("alg", "PS256"), Edit::Sign(Signer::Ps256)],
            vec![header("kid", "pss"), header("alg", "PS256"), Edit::Sign(Signer::Ps256)],
            "alg",
        ),
        (
            "PS256 that calls itself RS256",
            vec![Edit::Sign(Signer::Ps256)],
            vec![header("kid", "ec"), header("alg", "ES256"), Edit::Sign(SECOND)],
            "signature",
        ),
        (
            "signed by a stranger",
            vec![header("kid", "ed"), header("alg", "EdDSA"), Edit::Sign(STRANGER)],
            vec![header("kid", "ed"), header("alg", "EdDSA"), Edit::Sign(THIRD)],
            "signature",
        ),
        ("kid unknown", vec![header("kid", "other")], vec![], "kid"),
        ("kid absent with several keys", vec![Edit::NoHeader("kid")], vec![], "kid"),
        ("key in the header", vec![Edit::Header("kid", "7".into())], vec![], "member"),
        ("typ of a token", vec![header("typ", "at+jwt")], vec![Edit::NoHeader("typ")], "typ"),
        ("critical extension", vec![Edit::Header("crit", r#"["x"]"#.into())], vec![], "crit"),
        ("iss another", vec![claim("iss", "https://token.actions.example/")], vec![], "iss"),
        ("aud another", vec![claim("aud", "https://other.example")], vec![], "aud"),
        ("two audiences", vec![raw("aud", &two)], vec![raw("aud", &one)], "aud"),
        ("sub absent", vec![Edit::NoClaim("sub")], vec![], "missing"),
        ("sub empty", vec![claim("sub", "")], vec![], "member"),
        ("expired", vec![time("exp", -5)], vec![time("exp", -4)], "exp"),
        ("exp absent", vec![Edit::NoClaim("exp")], vec![], "missing"),
        ("too old", vec![time("iat", -305)], vec![time("iat", -304)], "too_old"),
        ("age unknown", vec![Edit::NoClaim("iat")], vec![], "missing"),
        ("iat ahead", vec![time("iat", 6)], vec![time("iat", 5)], "not_yet"),
        ("nbf ahead", vec![time("nbf", 6)], vec![time("nbf", 5)], "not_yet"),
        ("claim twice", vec![Edit::ClaimTwice("sub", r#""x""#.into())], vec![], "json"),
        ("tampered", vec![Edit::Text(|text| tamper(text, 1))], vec![], "signature"),
        (
            "oversized",
            vec![claim("x", &"a".repeat(FOREIGN_BYTES))],
            vec![claim("x", "a")],
            "too_large",
        ),
    ];
    for (title, forged, twin, reason) in rows {
        let accepted = verify(&draft().with(&twin));
        assert!(accepted.is_ok(), "{title}: the twin was refused: {accepted:?}");
        let error = verify(&draft().with(&forged)).expect_err(title);
        assert_eq!(error.reason(), reason, "{title}: {error}");
    }
}

#[test]
fn a_workload_is_named_by_agent_issuer_claim_and_value() {
    let (agent, other) = (Name::new("reader").unwrap(), Name::new("other").unwrap());
    let token = verify(&draft().with(&[])).unwrap();
    let pod = token.workload(&agent, 7, "/kubernetes.io/pod/uid").unwrap();
    assert_eq!(pod.value, "u-1");
    // The same pod's next token; another pod, agent, claim; the same after its pins were dropped.
    let next = verify(&draft().with(&[claim("jti", "two"), time("iat", -10)])).unwrap();
    assert_eq!(next.workload(&agent, 7, "/kubernetes.io/pod/uid").unwrap().what, pod.what);
    let moved = raw("kubernetes.io", r#"{"pod":{"uid":"u-2"}}"#);
    let moved = verify(&draft().with(&[moved])).unwrap();
    let others = [
        moved.workload(&agent, 7, "/kubernetes.io/pod/uid"),
        token.workload(&other, 7, "/kubernetes.io/pod/uid"),
        token.workload(&agent, 7, "sub"),
        token.workload(&agent, 8, "/kubernetes.io/pod/uid"),
    ];
    assert!(others.into_iter().all(|other| other.unwrap().what != pod.what));
    // Nothing is pinned by what is no text.
    let long = "a".repeat(limits::SUBJECT_BYTES + 1);
    let edits = [claim("empty", ""), claim("long", &long), raw("list", r#"["u-1"]"#)];
    let strange = verify(&draft().with(&edits)).unwrap();
    for path in
        ["empty", "long", "list", "exp", "absent", "/kubernetes.io/pod", "/kubernetes.io/pod/name"]
    {
        assert_eq!(strange.workload(&agent, 7, path), None, "{path}");
    }
    // It lasts as long as the token is taken: to its end, or to its greatest age.
    let margin = limits::LEEWAY.as_seconds() + limits::ASSERTION_COMMIT_WITHIN.as_seconds();
    assert_eq!(pod.until, at(300 + margin));
    let short = verify(&draft().with(&[time("exp", 60)])).unwrap();
    assert_eq!(short.workload(&agent, 7, "sub").unwrap().until, at(60 + margin));
}

#[test]
fn without_a_greatest_age_none_is_asked_for() {
    let expected = Expected { max_age: None, ..EXPECTED };
    let check = |edits: &[Edit]| verify_foreign(&draft().with(edits), &keys(), &expected, now());
    assert!(check(&[Edit::NoClaim("iat")]).is_ok());
    assert!(check(&[time("iat", -86_400)]).is_ok());
    assert!(check(&[time("exp", -60)]).is_err());
}

#[test]
fn claims_compare_exactly_by_name_or_pointer() {
    let token = verify(&draft().with(&[])).unwrap();
    assert_eq!((token.issuer(), token.expires()), (FOREIGN, at(600)));
    assert_eq!(token.subject(), "repo:acme/helpdesk:environment:prod");
    for (path, expected, says) in [
        ("repository_id", "4711", true),
        ("repository_id", "471", false),
        ("repository_id", "*", false),
        ("run_attempt", "1", true),
        ("run_attempt", "1.0", false),
        ("/kubernetes.io/pod/uid", "u-1", true),
        ("/kubernetes.io/pod/a~1b", "c", true),
        ("/kubernetes.io/pod", "u-1", false),
        ("kubernetes.io", "", false),
        ("absent", "", false),
    ] {
        assert_eq!(token.says(path, expected), says, "{path} = {expected}");
    }
}

#[test]
fn its_use_is_told_apart_by_issuer_and_jti_or_by_what_was_signed() {
    let used = |edits: &[Edit]| verify(&draft().with(edits)).unwrap().single_use();
    assert_eq!(used(&[]).1, at(600 + 5 + 60));
    assert_eq!(used(&[]).0, used(&[time("exp", 30)]).0);
    assert_ne!(used(&[]).0, used(&[claim("jti", "two")]).0);
    let ec =
        [Edit::NoClaim("jti"), header("kid", "ec"), header("alg", "ES256"), Edit::Sign(SECOND)];
    // ES256 signs anew each time; what is signed is the same.
    assert_eq!(used(&ec).0, used(&ec).0);
    assert_ne!(used(&ec).0, used(&[&ec[..], &[time("exp", 30)]].concat()).0);
}

#[test]
fn a_set_of_keys_is_read_leniently_but_never_believed_blindly() {
    let twice = format!(r#"{{"keys":[{},{}]}}"#, named(&SECOND, "x"), named(&THIRD, "x"));
    let twice = ForeignKeys::parse(twice.as_bytes()).unwrap();
    let edits = [header("kid", "x"), header("alg", "EdDSA"), Edit::Sign(THIRD)];
    let refused = verify_foreign(&draft().with(&edits), &twice, &EXPECTED, now()).unwrap_err();
    assert_eq!(refused.reason(), "kid", "one name for two keys");
    let single = format!(r#"{{"keys":[{}]}}"#, THIRD.jwk());
    let single = ForeignKeys::parse(single.as_bytes()).unwrap();
    let edits = [Edit::NoHeader("kid"), header("alg", "EdDSA"), Edit::Sign(THIRD)];
    assert!(verify_foreign(&draft().with(&edits), &single, &EXPECTED, now()).is_ok());
    let svid = SECOND.jwk().replacen('{', r#"{"use":"jwt-svid","#, 1);
    assert_eq!(ForeignKeys::parse(format!(r#"{{"keys":[{svid}]}}"#).as_bytes()).unwrap().len(), 1);
    let small = r#"{"keys":[{"kty":"RSA","n":"rH3r","e":"AQAB"}]}"#;
    assert_eq!(ForeignKeys::parse(small.as_bytes()).unwrap_err(), ForeignKeysError::Empty);
    let private = FIRST.jwk().replacen('{', r#"{"d":"AQAB","#, 1);
    let private = ForeignKeys::parse(format!(r#"{{"keys":[{private}]}}"#).as_bytes());
    assert_eq!(private.unwrap_err(), ForeignKeysError::Empty);
    assert_eq!(ForeignKeys::parse(b"{}").unwrap_err(), ForeignKeysError::Form);
}

#[test]
fn the_stated_issuer_and_codes() {
    assert_eq!(stated_issuer(&draft().with(&[])).unwrap(), FOREIGN);
    let unsigned = draft().with(&[Edit::Sign(Signer::Nobody)]);
    assert_eq!(stated_issuer(&unsigned).unwrap(), FOREIGN, "it proves nothing");
    let code = |edits: &[Edit]| verify(&draft().with(edits)).unwrap_err().code();
    assert_eq!(code(&[time("exp", -60)]), Code::CredentialExpired);
    assert_eq!(code(&[time("iat", -600)]), Code::CredentialExpired);
    assert_eq!(code(&[Edit::Sign(STRANGER)]), Code::CredentialInvalid);
}
