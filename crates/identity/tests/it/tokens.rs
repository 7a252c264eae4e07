//! Forged access tokens, each beside a valid twin that differs only in the named field.

use crate::forge::{
    DOOR, Draft, Edit, ISSUER, NOW, Signer, at, claim, header, now, raw, tamper, time,
};
use identity::{
    CredentialError, PublicKey, Validity, VerificationKeys, Verified, limits::TOKEN_BYTES,
};
use model::Code;

const EDDSA: Signer = Signer::EdDsa([7; 32]);
const ES256: Signer = Signer::Es256([7; 32]);
const STRANGER: Signer = Signer::EdDsa([8; 32]);

fn public(signer: &Signer) -> PublicKey {
    let jwk = canonical::parse(signer.jwk().as_bytes(), &canonical::Limits::ARGUMENTS).unwrap();
    PublicKey::from_jwk(jwk.as_object().unwrap()).unwrap()
}

fn keys() -> VerificationKeys {
    let mut keys = VerificationKeys::new();
    for signer in [EDDSA, ES256] {
        assert!(keys.insert(public(&signer), Validity::ALWAYS));
    }
    keys
}

fn kid(signer: &Signer) -> Edit {
    header("kid", public(signer).thumbprint())
}

fn draft(signer: Signer) -> Draft {
    let text = |text: &str| format!("{text:?}");
    let alg = if matches!(signer, Signer::Es256(_)) { "ES256" } else { "EdDSA" };
    Draft {
        header: vec![
            ("typ", text("at+jwt")),
            ("alg", text(alg)),
            ("kid", text(public(&signer).thumbprint())),
        ],
        claims: vec![
            ("iss", text(ISSUER)),
            ("aud", text(DOOR)),
            ("sub", text("helpdesk")),
            ("client_id", text("helpdesk")),
            ("agent", text("helpdesk")),
            ("agent_version", text(&"3f".repeat(32))),
            ("iat", NOW.to_string()),
            ("exp", (NOW + 300).to_string()),
            ("jti", text("tok_00000000000000000000000001")),
        ],
        signer,
    }
}

/// The title, the edits that forge, the edits that make the twin, and the reason of the refusal.
type Row = (&'static str, Vec<Edit>, Vec<Edit>, &'static str);

fn check(signer: &Signer, rows: Vec<Row>) {
    let (keys, draft) = (keys(), draft(signer.clone()));
    for (title, forged, twin, reason) in rows {
        let twin = draft.with(&twin);
        let accepted = Verified::verify(&twin, &keys, ISSUER, now());
        assert!(accepted.is_ok(), "{title}: the twin was refused: {accepted:?}");
        let forged = draft.with(&forged);
        let error = Verified::verify(&forged, &keys, ISSUER, now()).expect_err(title);
        assert_eq!(error.reason(), reason, "{title}: {error}");
        assert_silent(&error, &forged);
    }
}

/// No refusal repeats the token or a part of it, in text or debug form.
fn assert_silent(error: &CredentialError, token: &str) {
    let said = format!("{error} {error:?}");
    for part in token.split('.').filter(|part| part.len() >= 8) {
        assert!(!said.contains(part), "{said}");
    }
    assert!(!said.contains("helpdesk"), "{said}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of data")]
fn signatures_and_headers() {
    for signer in [EDDSA, ES256] {
        let own = public(&signer);
        let hmac = |key: Vec<u8>| vec![header("alg", "HS256"), Edit::Sign(Signer::Hs256(key))];
        let other = if matches!(signer, Signer::Es256(_)) { EDDSA } else { ES256 };
        let none = |alg: &str| vec![header("alg", alg), Edit::Sign(Signer::Nobody)];
        let rows: Vec<Row> = vec![
            ("alg none", none("none"), vec![], "alg"),
            ("alg None", none("None"), vec![], "alg"),
            ("alg absent", vec![Edit::NoHeader("alg")], vec![], "missing"),
            ("empty signature", vec![Edit::Sign(Signer::Nobody)], vec![], "signature"),
            ("HS256 keyed with the public key's bytes", hmac(signer.public()), vec![], "alg"),
            ("HS256 keyed with the public JWK", hmac(own.jwk()), vec![], "alg"),
            ("RS256 named", vec![header("alg", "RS256")], vec![], "alg"),
            ("another curve's alg", vec![header("alg", "ES384")], vec![], "alg"),
            (
                "the other key's alg and signature, this kid",
                {
                    let alg = if matches!(other, Signer::Es256(_)) { "ES256" } else { "EdDSA" };
                    vec![header("alg", alg), Edit::Sign(other.clone())]
                },
                vec![],
                "alg",
            ),
            (
                "signed by a stranger",
                vec![Edit::Sign(match signer {
                    Signer::Es256(_) => Signer::Es256([8; 32]),
                    _ => STRANGER,
                })],
                vec![],
                "signature",
            ),
            ("kid of a stranger", vec![kid(&STRANGER)], vec![], "kid"),
            ("kid of the other key", vec![kid(&other)], vec![], "alg"),
            ("kid absent", vec![Edit::NoHeader("kid")], vec![], "missing"),
            ("kid a number", vec![Edit::Header("kid", "1".into())], vec![], "member"),
            ("typ JWT", vec![header("typ", "JWT")], vec![header("typ", "at+jwt")], "typ"),
            (
                "typ of a proof",
                vec![header("typ", "dpop+jwt")],
                vec![header("typ", "application/at+jwt")],
                "typ",
            ),
            (
                "typ with another type before",
                vec![header("typ", "text/at+jwt")],
                vec![header("typ", "AT+JWT")],
                "typ",
            ),
            ("typ absent", vec![Edit::NoHeader("typ")], vec![], "missing"),
            (
                "crit",
                vec![Edit::Header("crit", r#"["exp"]"#.into())],
                vec![Edit::Header("x", r#"["exp"]"#.into())],
                "crit",
            ),
            ("b64", vec![Edit::Header("b64", "false".into())], vec![], "crit"),
            (
                "header name twice",
                vec![Edit::HeaderTwice("typ", r#""at+jwt""#.into())],
                vec![],
                "json",
            ),
            ("header tampered", vec![Edit::Text(|text| tamper(text, 0))], vec![], "kid"),
            ("claims tampered", vec![Edit::Text(|text| tamper(text, 1))], vec![], "signature"),
            ("signature tampered", vec![Edit::Text(|text| tamper(text, 2))], vec![], "signature"),
            (
                "signature cut",
                vec![Edit::Text(|text| text.strip_suffix(|_: char| true).unwrap().to_owned())],
                vec![],
                "signature",
            ),
            (
                "two parts",
                vec![Edit::Text(|text| text.rsplit_once('.').unwrap().0.to_owned())],
                vec![],
                "form",
            ),
            ("four parts", vec![Edit::Text(|text| format!("{text}.e30"))], vec![], "form"),
            ("padding", vec![Edit::Text(|text| text.replacen('.', "=.", 1))], vec![], "form"),
            ("white space", vec![Edit::Text(|text| format!(" {text}"))], vec![], "form"),
            ("empty", vec![Edit::Text(|_| String::new())], vec![], "form"),
        ];
        check(&signer, rows);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of data")]
fn claims_and_times() {
    let two = format!(r#"["{DOOR}","http://127.0.0.1:8400/mcp/mail"]"#);
    let one = format!(r#"["{DOOR}"]"#);
    let cnf = |jkt: &str| raw("cnf", &format!(r#"{{"jkt":"{jkt}"}}"#));
    let thumbprint = public(&STRANGER).thumbprint().to_owned();
    let instance = || claim("agent_instance", &thumbprint);
    let rows: Vec<Row> = vec![
        ("iss of another", vec![claim("iss", "http://127.0.0.1:8401")], vec![], "iss"),
        ("iss with a slash", vec![claim("iss", "http://127.0.0.1:8400/")], vec![], "iss"),
        ("iss absent", vec![Edit::NoClaim("iss")], vec![], "missing"),
        ("two audiences", vec![raw("aud", &two)], vec![raw("aud", &one)], "aud"),
        ("no audience", vec![raw("aud", "[]")], vec![], "aud"),
        ("aud a number", vec![raw("aud", "1")], vec![], "member"),
        ("aud absent", vec![Edit::NoClaim("aud")], vec![], "missing"),
        (
            "expired",
            vec![time("iat", -300), time("exp", 0)],
            vec![time("iat", -300), time("exp", 1)],
            "exp",
        ),
        ("exp absent", vec![Edit::NoClaim("exp")], vec![], "missing"),
        ("exp a text", vec![claim("exp", "1795000300")], vec![], "member"),
        (
            "exp a huge number",
            vec![raw("exp", "1e300")],
            vec![raw("exp", "1795000300.5")],
            "member",
        ),
        ("exp negative", vec![raw("exp", "-1")], vec![], "member"),
        (
            "exp before iat",
            vec![time("iat", 3), time("exp", 2)],
            vec![time("iat", 2), time("exp", 3)],
            "inconsistent",
        ),
        ("lives too long", vec![time("exp", 3601)], vec![time("exp", 3600)], "too_long"),
        ("iat ahead", vec![time("iat", 6)], vec![time("iat", 5)], "not_yet"),
        ("iat absent", vec![Edit::NoClaim("iat")], vec![], "missing"),
        ("nbf ahead", vec![time("nbf", 6)], vec![time("nbf", 5)], "not_yet"),
        ("nbf a text", vec![claim("nbf", "now")], vec![], "member"),
        ("sub absent", vec![Edit::NoClaim("sub")], vec![], "missing"),
        (
            "sub another without act",
            vec![claim("sub", "ana")],
            vec![claim("sub", "ana"), raw("act", r#"{"sub":"helpdesk"}"#)],
            "inconsistent",
        ),
        (
            "act another agent",
            vec![claim("sub", "ana"), raw("act", r#"{"sub":"payroll"}"#)],
            vec![claim("sub", "ana"), raw("act", r#"{"sub":"helpdesk"}"#)],
            "inconsistent",
        ),
        (
            "act in act",
            vec![claim("sub", "ana"), raw("act", r#"{"sub":"helpdesk","act":{"sub":"x"}}"#)],
            vec![claim("sub", "ana"), raw("act", r#"{"sub":"helpdesk"}"#)],
            "inconsistent",
        ),
        ("act a text", vec![claim("act", "helpdesk")], vec![], "member"),
        ("client_id another", vec![claim("client_id", "payroll")], vec![], "inconsistent"),
        ("client_id absent", vec![Edit::NoClaim("client_id")], vec![], "missing"),
        ("agent absent", vec![Edit::NoClaim("agent")], vec![], "missing"),
        (
            "agent not a name",
            ["agent", "client_id", "sub"].map(|name| claim(name, "A B")).to_vec(),
            ["agent", "client_id", "sub"].map(|name| claim(name, "a-b")).to_vec(),
            "member",
        ),
        ("agent_version absent", vec![Edit::NoClaim("agent_version")], vec![], "missing"),
        ("agent_version short", vec![claim("agent_version", "3f")], vec![], "member"),
        ("jti absent", vec![Edit::NoClaim("jti")], vec![], "missing"),
        (
            "jti of another kind",
            vec![claim("jti", "tsk_00000000000000000000000001")],
            vec![],
            "member",
        ),
        (
            "task of another kind",
            vec![claim("task", "tok_00000000000000000000000001")],
            vec![claim("task", "tsk_00000000000000000000000001")],
            "member",
        ),
        ("claim twice", vec![Edit::ClaimTwice("sub", r#""helpdesk""#.into())], vec![], "json"),
        (
            "claim twice in another case",
            vec![Edit::ClaimTwice("SUB", r#""payroll""#.into())],
            vec![Edit::ClaimTwice("subject", r#""payroll""#.into())],
            "json",
        ),
        (
            "bound to another key",
            vec![instance(), cnf(public(&EDDSA).thumbprint())],
            vec![instance(), cnf(&thumbprint)],
            "inconsistent",
        ),
        (
            "bound without instance",
            vec![cnf(&thumbprint)],
            vec![instance(), cnf(&thumbprint)],
            "inconsistent",
        ),
        (
            "bound to no thumbprint",
            vec![claim("agent_instance", "x"), cnf("x")],
            vec![instance()],
            "member",
        ),
        ("bound in an unknown way", vec![raw("cnf", r#"{"x5t#S256":"x"}"#)], vec![], "member"),
        ("cnf empty", vec![raw("cnf", "{}")], vec![], "member"),
        ("cnf null", vec![raw("cnf", "null")], vec![], "member"),
        (
            "claims an array",
            vec![Edit::Text(|text| {
                let parts: Vec<&str> = text.split('.').collect();
                format!("{}.W10.{}", parts[0], parts[2])
            })],
            vec![],
            "signature",
        ),
        (
            "oversized",
            vec![claim("x", &"a".repeat(TOKEN_BYTES))],
            vec![claim("x", "a")],
            "too_large",
        ),
        ("too deep", vec![raw("x", "[[[[[[[[1]]]]]]]]")], vec![raw("x", "[[1]]")], "json"),
    ];
    check(&EDDSA, rows);
}

#[test]
fn a_token_of_exactly_the_limit_is_read() {
    let draft = draft(EDDSA);
    let fit = |length: usize| {
        (0..length)
            .rev()
            .map(|pad| draft.with(&[claim("x", &"a".repeat(pad))]))
            .find(|token| token.len() <= length)
            .unwrap()
    };
    let longest = fit(TOKEN_BYTES);
    assert!(longest.len() > TOKEN_BYTES - 4);
    assert!(Verified::verify(&longest, &keys(), ISSUER, now()).is_ok());
}

#[test]
fn codes_tell_expired_from_invalid() {
    let verify = |edits: &[Edit]| {
        Verified::verify(&draft(EDDSA).with(edits), &keys(), ISSUER, now()).unwrap_err().code()
    };
    assert_eq!(verify(&[time("iat", -9), time("exp", -1)]), Code::CredentialExpired);
    assert_eq!(verify(&[claim("iss", "x")]), Code::CredentialInvalid);
}

#[test]
fn a_key_is_believed_only_in_its_span() {
    let token = draft(EDDSA).with(&[]);
    let verify = |from: i64, until: i64| {
        let mut keys = VerificationKeys::new();
        let validity = Validity { not_before: at(from), not_after: at(until) };
        assert!(keys.insert(public(&EDDSA), validity));
        Verified::verify(&token, &keys, ISSUER, now())
            .map(|verified| verified.expires())
            .map_err(|error| error.reason())
    };
    assert_eq!(verify(-1, 1000), Ok(at(300)));
    assert_eq!(verify(0, 60), Ok(at(60)), "a kept token ends with its key");
    assert_eq!(verify(1, 1000), Err("kid"));
    assert_eq!(verify(-1000, -1), Err("kid"));
}

#[test]
fn rotation_overlaps_and_ends() {
    let (old, new) = (public(&EDDSA), public(&ES256));
    let mut keys = VerificationKeys::new();
    let span = |from, until| Validity { not_before: at(from), not_after: at(until) };
    assert!(keys.insert(old.clone(), span(-1000, 100)));
    assert!(keys.insert(new.clone(), span(50, 2000)));
    let jwks = keys.jwks(now());
    assert!(jwks.contains(old.thumbprint()) && jwks.contains(new.thumbprint()));
    let accepted = |signer: Signer, seconds: i64| {
        let issued = [time("iat", seconds), time("exp", seconds + 60)];
        Verified::verify(&draft(signer).with(&issued), &keys, ISSUER, at(seconds)).is_ok()
    };
    for (seconds, is_old, is_new) in
        [(0, true, false), (50, true, true), (100, true, true), (101, false, true)]
    {
        assert_eq!((accepted(EDDSA, seconds), accepted(ES256, seconds)), (is_old, is_new));
    }
    assert!(!keys.jwks(at(101)).contains(old.thumbprint()));
    keys.drop_expired(at(101));
    assert_eq!(keys.len(), 1);
    assert!(keys.withdraw(new.thumbprint()) && keys.is_empty());
}
