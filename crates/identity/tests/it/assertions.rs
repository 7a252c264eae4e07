//! Forged client assertions, each beside a valid twin.

use crate::forge::{
    DOOR, Draft, ENDPOINT, Edit, ISSUER, NOW, Signer, at, claim, header, now, raw, tamper, time,
};
use identity::{
    AgentKeys, ClientAssertion, CredentialError, limits::ASSERTION_BYTES, verify_client_assertion,
};
use model::{AgentName, Code};
use std::sync::Arc;

const FIRST: Signer = Signer::EdDsa([11; 32]);
const SECOND: Signer = Signer::Es256([12; 32]);
const STRANGER: Signer = Signer::EdDsa([13; 32]);

fn keys() -> Arc<AgentKeys> {
    let first = FIRST.jwk().replacen('{', r#"{"kid":"laptop","#, 1);
    let jwks = format!(r#"{{"keys":[{first},{}]}}"#, SECOND.jwk());
    Arc::new(AgentKeys::parse(jwks.as_bytes()).unwrap())
}

fn draft() -> Draft {
    let text = |text: &str| format!("{text:?}");
    Draft {
        header: vec![("alg", text("EdDSA")), ("typ", text("JWT")), ("kid", text("laptop"))],
        claims: vec![
            ("iss", text("helpdesk")),
            ("sub", text("helpdesk")),
            ("aud", text(ISSUER)),
            ("jti", text("one")),
            ("iat", NOW.to_string()),
            ("exp", (NOW + 60).to_string()),
        ],
        signer: FIRST,
    }
}

fn known(agent: &AgentName) -> Option<Arc<AgentKeys>> {
    (agent.as_str() == "helpdesk").then(keys)
}

fn verify(text: &str) -> Result<ClientAssertion, CredentialError> {
    verify_client_assertion(text, known, ISSUER, ENDPOINT, now())
}

type Row = (&'static str, Vec<Edit>, Vec<Edit>, &'static str);

fn check(rows: Vec<Row>) {
    for (title, forged, twin, reason) in rows {
        let accepted = verify(&draft().with(&twin));
        assert!(accepted.is_ok(), "{title}: the twin was refused: {accepted:?}");
        let error = verify(&draft().with(&forged)).expect_err(title);
        assert_eq!(error.reason(), reason, "{title}: {error}");
    }
}

#[test]
fn forged_assertions() {
    let own_thumbprint = Edit::NoHeader("kid");
    let two = format!(r#"["{ISSUER}","{ENDPOINT}"]"#);
    let one = format!(r#"["{ISSUER}"]"#);
    check(vec![
        ("alg none", vec![header("alg", "none"), Edit::Sign(Signer::Nobody)], vec![], "alg"),
        (
            "HS256 with the public key",
            vec![header("alg", "HS256"), Edit::Sign(Signer::Hs256(FIRST.public()))],
            vec![],
            "alg",
        ),
        ("signed by a stranger", vec![Edit::Sign(STRANGER)], vec![], "signature"),
        (
            "the other key under this kid",
            vec![header("alg", "ES256"), Edit::Sign(SECOND)],
            vec![],
            "alg",
        ),
        ("kid unknown", vec![header("kid", "desktop")], vec![], "kid"),
        ("kid absent with two keys", vec![own_thumbprint], vec![], "kid"),
        (
            "typ of a token",
            vec![header("typ", "at+jwt")],
            vec![header("typ", "client-authentication+jwt")],
            "typ",
        ),
        ("typ of a proof", vec![header("typ", "dpop+jwt")], vec![Edit::NoHeader("typ")], "typ"),
        (
            "client unknown",
            vec![claim("iss", "payroll"), claim("sub", "payroll")],
            vec![],
            "client",
        ),
        ("client not a name", vec![claim("iss", "A B"), claim("sub", "A B")], vec![], "client"),
        ("iss another", vec![claim("iss", "payroll")], vec![], "inconsistent"),
        ("sub absent", vec![Edit::NoClaim("sub")], vec![], "missing"),
        ("aud of a door", vec![claim("aud", DOOR)], vec![claim("aud", ENDPOINT)], "aud"),
        ("two audiences", vec![raw("aud", &two)], vec![raw("aud", &one)], "aud"),
        ("aud absent", vec![Edit::NoClaim("aud")], vec![], "missing"),
        ("expired", vec![time("exp", -5)], vec![time("exp", -4)], "exp"),
        ("exp absent", vec![Edit::NoClaim("exp")], vec![], "missing"),
        ("lives too long", vec![time("exp", 3606)], vec![time("exp", 3605)], "too_long"),
        ("iat ahead", vec![time("iat", 6)], vec![time("iat", 5)], "not_yet"),
        ("nbf ahead", vec![time("nbf", 6)], vec![Edit::NoClaim("iat")], "not_yet"),
        ("jti absent", vec![Edit::NoClaim("jti")], vec![], "missing"),
        ("claim twice", vec![Edit::ClaimTwice("sub", r#""payroll""#.into())], vec![], "json"),
        ("tampered", vec![Edit::Text(|text| tamper(text, 1))], vec![], "signature"),
        (
            "oversized",
            vec![claim("x", &"a".repeat(ASSERTION_BYTES))],
            vec![claim("x", "a")],
            "too_large",
        ),
    ]);
}

#[test]
fn its_use_is_remembered_beyond_its_end() {
    let used = |edits: &[Edit]| verify(&draft().with(edits)).unwrap().single_use();
    assert_eq!(used(&[]).1, at(60 + 5 + 60));
    assert_eq!(used(&[]).0, used(&[time("exp", 30)]).0);
    assert_ne!(used(&[]).0, used(&[claim("jti", "two")]).0);
}

#[test]
fn a_key_may_be_named_by_its_thumbprint_and_a_single_key_not_at_all() {
    let both = keys();
    let by_thumbprint: Vec<String> = both.thumbprints().map(str::to_owned).collect();
    let accepted = by_thumbprint
        .iter()
        .filter(|kid| verify(&draft().with(&[header("kid", kid)])).is_ok())
        .count();
    assert_eq!(accepted, 1);
    let single = Arc::new(AgentKeys::parse(FIRST.jwk().as_bytes()).unwrap());
    let text = draft().with(&[Edit::NoHeader("kid")]);
    assert!(verify_client_assertion(&text, |_| Some(single), ISSUER, ENDPOINT, now()).is_ok());
}

#[test]
fn codes() {
    let code = |edits: &[Edit]| verify(&draft().with(edits)).unwrap_err().code();
    assert_eq!(code(&[time("exp", -60)]), Code::CredentialExpired);
    assert_eq!(code(&[Edit::Sign(STRANGER)]), Code::CredentialInvalid);
}
