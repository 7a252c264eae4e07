//! Agents that authenticate by certificate, and those that get one (RFC 8705, X.509-SVID).

use crate::house::{Ask, DOMAIN, House, NOW, agent_key, name, proof};
use identity::{AgentKeys, Certificate, Trust};
use model::{Code, SpiffeId, TrustDomain, declared::Proof};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use std::sync::Arc;

/// The agent's own key, as a key of certificates.
fn key_of(agent: &str) -> KeyPair {
    let key = agent_key(agent);
    let document = PrivatePkcs8KeyDer::from(key.pkcs8());
    KeyPair::from_pkcs8_der_and_sign_algo(&document, &PKCS_ED25519).unwrap()
}

fn csr(key: &KeyPair) -> String {
    CertificateParams::default().serialize_request(key).unwrap().pem().unwrap()
}

/// Signed by Ambit's authority for this agent, with a key of nobody.
fn certified(house: &House, agent: &str) -> Arc<Certificate> {
    let request = identity::SigningRequest::read(&csr(&KeyPair::generate().unwrap())).unwrap();
    let signed = issuer::Directory::certify(house.fake.as_ref(), &name(agent), &request).unwrap();
    read(house, &signed.certificate)
}

fn read(house: &House, pem: &str) -> Arc<Certificate> {
    let mut trust = Trust::default();
    trust.add(&TrustDomain::new(DOMAIN).unwrap(), house.fake.authority.certificate()).unwrap();
    let leaf = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let now = issuer::Directory::now(house.fake.as_ref());
    Arc::new(Certificate::read(&[leaf], &trust, now).unwrap())
}

/// Self-signed, with this key.
fn self_signed(house: &House, key: &KeyPair, ends: i64) -> Arc<Certificate> {
    let mut params = CertificateParams::default();
    params.not_after = time::OffsetDateTime::from_unix_timestamp(NOW + ends).unwrap();
    read(house, &params.self_signed(key).unwrap().pem())
}

fn ask(client: &str) -> Ask {
    Ask::plain("/oauth/token")
        .with("grant_type", "client_credentials")
        .with("client_id", client)
        .with("resource", crate::house::TICKETS)
}

fn house() -> House {
    let house = House::new();
    house.change(|world| {
        let agent = world.agents.get_mut(&name("helpdesk")).unwrap();
        agent.proof = Proof::Mtls;
        agent.workloads.insert(SpiffeId::parse("spiffe://corp.example/sa/helpdesk").unwrap());
    });
    house
}

#[tokio::test]
async fn a_certificate_buys_a_token_that_is_bound_to_it() {
    let house = house();
    let certificate = certified(&house, "helpdesk");
    for client in ["helpdesk", "spiffe://ambit.test/agent/helpdesk"] {
        let answer = house.ask(&ask(client).over(&certificate)).await;
        assert_eq!(answer.status, 200, "{:?}", String::from_utf8(answer.body));
        assert_eq!(answer.text("token_type"), "Bearer");
        let token = answer.text("access_token");
        let claims = token.split('.').nth(1).unwrap();
        let claims =
            base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims);
        let claims = String::from_utf8(claims.unwrap()).unwrap();
        let bound = format!(r#""cnf":{{"x5t#S256":"{}"}}"#, certificate.thumbprint());
        assert!(claims.contains(&bound), "{claims}");
        let record = house.records().pop().unwrap();
        assert_eq!(record.member("via").as_deref(), Some("tls_client_auth"));
        assert_eq!(record.member("instance").as_deref(), certificate.key_thumbprint());
        assert_eq!(record.member("bound").as_deref(), Some("true"));
    }
}

#[tokio::test]
async fn a_self_signed_certificate_is_as_good_as_its_registered_key() {
    let house = house();
    let own = self_signed(&house, &key_of("helpdesk"), 600);
    assert_eq!(house.ask(&ask("helpdesk").over(&own)).await.status, 200);
    // Taken out of the registered ones, the same key is a stranger's.
    house.change(|world| {
        let keys = AgentKeys::of(agent_key("batch").public().clone());
        world.agents.get_mut(&name("helpdesk")).unwrap().keys = Arc::new(keys);
    });
    let refused = house.ask(&ask("helpdesk").over(&own)).await;
    assert_eq!(refused.error(), (401, "invalid_client".to_owned()));
}

#[tokio::test]
async fn certificates_that_are_refused() {
    let house = house();
    let own = certified(&house, "helpdesk");
    let stranger = self_signed(&house, &KeyPair::generate().unwrap(), 600);
    let expired = self_signed(&house, &key_of("helpdesk"), -1);
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let odd = self_signed(&house, &p384, 600);
    let rows = [
        ("nobody's key", ask("helpdesk").over(&stranger), "certificate"),
        ("another agent's name", ask("batch").over(&own), "certificate"),
        ("no such agent", ask("payroll").over(&own), "certificate"),
        ("no such workload", ask("spiffe://ambit.test/agent/payroll").over(&own), "certificate"),
        ("expired", ask("helpdesk").over(&expired), "certificate"),
        ("a key of another kind", ask("helpdesk").over(&odd), "certificate_key"),
        ("no name", ask("helpdesk").over(&own).without("client_id"), "missing"),
    ];
    for (title, row, reason) in rows {
        let before = house.strangers().len();
        let refused = house.ask(&row).await;
        assert_ne!(refused.status, 200, "{title}");
        assert_eq!(
            house.strangers()[before..].iter().map(|(_, r)| *r).collect::<Vec<_>>(),
            [reason]
        );
    }
    assert!(house.records().is_empty(), "strangers are not recorded");
    assert_eq!(house.ask(&ask("helpdesk").over(&own)).await.status, 200);
}

#[tokio::test]
async fn an_agent_with_mtls_gets_no_other_token() {
    let house = house();
    let own = certified(&house, "helpdesk");
    let by_assertion = |jti: &str| Ask::token("helpdesk", jti).without("dpop");
    let rows = [
        ("no certificate", by_assertion("1")),
        ("a proof in its place", by_assertion("2").header("dpop", &proof("helpdesk", "2"))),
        ("a proof beside it", by_assertion("3").header("dpop", &proof("helpdesk", "3")).over(&own)),
    ];
    for (title, row) in rows {
        let refused = house.ask(&row).await;
        assert_eq!(refused.error(), (400, "invalid_request".to_owned()), "{title}");
        let record = house.records().pop().unwrap();
        assert_eq!(record.member("code").as_deref(), Some(Code::ProofInvalid.slug()), "{title}");
    }
    let granted = house.ask(&by_assertion("4").over(&own)).await;
    assert_eq!((granted.status.as_u16(), granted.text("token_type")), (200, "Bearer".to_owned()));
    // One that declares `dpop` gets none for a certificate.
    house.change(|world| world.agents.get_mut(&name("helpdesk")).unwrap().proof = Proof::Dpop);
    let refused = house.ask(&by_assertion("5").over(&own)).await;
    assert_eq!(refused.error(), (400, "invalid_dpop_proof".to_owned()));
    // One that needs no binding is bound all the same where it can be.
    let bound = house.ask(&Ask::token("batch", "6").over(&own)).await;
    assert_eq!(bound.status, 200);
    assert_eq!(house.records().pop().unwrap().member("bound").as_deref(), Some("true"));
}

#[tokio::test]
async fn a_certificate_is_for_the_key_that_its_client_holds() {
    let house = house();
    let key = key_of("helpdesk");
    let ask = |jti: &str, csr: &str| {
        Ask::authenticated("/oauth/certificate", "helpdesk", jti).with("csr", csr)
    };
    let other = house.ask(&ask("1", &csr(&KeyPair::generate().unwrap()))).await;
    assert_eq!(other.error(), (400, "invalid_request".to_owned()));
    let broken = house.ask(&ask("2", "sesame")).await;
    assert_eq!(broken.error(), (400, "invalid_request".to_owned()));
    let answer = house.ask(&ask("3", &csr(&key))).await;
    assert_eq!(answer.status, 200, "{:?}", String::from_utf8(answer.body));
    assert_eq!(answer.text("spiffe_id"), "spiffe://ambit.test/agent/helpdesk");
    let own = read(&house, &answer.text("certificate"));
    assert_eq!(own.spiffe_id().unwrap().as_str(), "spiffe://ambit.test/agent/helpdesk");
    let record = house.records().pop().unwrap();
    assert_eq!(record.member("operation").as_deref(), Some("certificate"));
    assert_eq!(record.member("instance").as_deref(), own.key_thumbprint());
    // With it the next one is got.
    let renew = Ask::plain("/oauth/certificate").with("client_id", "helpdesk");
    let renewed = house.ask(&renew.with("csr", &csr(&key)).over(&own)).await;
    assert_eq!(renewed.status, 200);
    // And not by who was revoked.
    house.revoke("instance", own.key_thumbprint().unwrap());
    let refused = house.ask(&ask("4", &csr(&key))).await;
    assert_eq!(refused.error(), (400, "unauthorized_client".to_owned()));
    let token = self::ask("helpdesk").over(&own);
    assert_eq!(house.ask(&token).await.error(), (400, "unauthorized_client".to_owned()));
}

#[tokio::test]
async fn a_listener_with_tls_says_what_it_takes() {
    let house = house();
    let plain = house.metadata(false).await;
    assert!(!plain.contains("tls"), "{plain}");
    let tls = house.metadata(true).await;
    for member in [
        r#""tls_client_certificate_bound_access_tokens":true"#,
        r#""token_endpoint_auth_methods_supported":["private_key_jwt","tls_client_auth","self_signed_tls_client_auth","client_secret_basic","client_secret_post"]"#,
        r#""mtls_endpoint_aliases":{"introspection_endpoint":"http://127.0.0.1:8400/oauth/introspect","revocation_endpoint":"http://127.0.0.1:8400/oauth/revoke","token_endpoint":"http://127.0.0.1:8400/oauth/token"}"#,
    ] {
        assert!(tls.contains(member), "{member} is not in {tls}");
    }
}
