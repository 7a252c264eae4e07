//! Certificates of agents: what a request gets and does not get, whom a chain names, and what a token bound to one asks
//! for. Each refusal stands beside a twin that is taken.

use crate::forge::{DOOR, ISSUER, at, now};
use identity::{
    Algorithm, Authority, AuthorityError, Certificate, CredentialError, Grant, Presented, Scheme,
    SigningKey, SigningRequest, Trust, Validity, VerificationKeys, Verified,
};
use model::{Digest, Duration, Name, SpiffeId, Timestamp, TokenId, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use std::sync::Arc;
use x509_parser::extensions::GeneralName;

fn domain() -> TrustDomain {
    TrustDomain::new("ambit.test").unwrap()
}

fn helpdesk() -> SpiffeId {
    domain().agent(&Name::new("helpdesk").unwrap())
}

fn authority() -> Authority {
    Authority::make(&domain(), &[9; 32], [1; 16], now()).unwrap()
}

fn trust(authority: &Authority) -> Trust {
    let mut trust = Trust::default();
    trust.add(&domain(), authority.certificate()).unwrap();
    trust
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn signed(authority: &Authority, key: &KeyPair) -> CertificateDer<'static> {
    let csr = CertificateParams::default().serialize_request(key).unwrap().pem().unwrap();
    let request = SigningRequest::read(&csr).unwrap();
    let life = (now(), Duration::seconds(3_600));
    der(&authority.sign(&request, &helpdesk(), [2; 16], life).unwrap().pem)
}

#[test]
fn of_a_request_only_the_key_is_taken() {
    let key = KeyPair::generate().unwrap();
    let mut greedy = CertificateParams::default();
    greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    greedy.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    greedy.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    greedy.subject_alt_names = vec![
        uri("spiffe://ambit.test/agent/payroll"),
        SanType::DnsName("bank.example".try_into().unwrap()),
    ];
    greedy.distinguished_name.push(DnType::CommonName, "payroll");
    let csr = greedy.serialize_request(&key).unwrap().pem().unwrap();
    let request = SigningRequest::read(&csr).unwrap();
    let authority = authority();
    let life = (now(), Duration::seconds(3_600));
    let signed = authority.sign(&request, &helpdesk(), [0xff; 16], life).unwrap();
    assert_eq!(signed.not_after, at(3_600));
    let leaf = der(&signed.pem);
    let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).unwrap();
    assert!(!parsed.is_ca());
    assert_eq!(parsed.subject().iter().count(), 0, "no other name");
    let names = parsed.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names, [GeneralName::URI("spiffe://ambit.test/agent/helpdesk")]);
    let usage = parsed.key_usage().unwrap().unwrap().value;
    assert_eq!((usage.flags, usage.digital_signature()), (1, true));
    let extended = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.client_auth && !extended.server_auth && !extended.any);
    assert_eq!(parsed.public_key().subject_public_key.data.as_ref(), key.public_key_raw());
    assert!(parsed.tbs_certificate.raw_serial().first().is_some_and(|first| *first < 0x80));
    let certificate =
        Certificate::read(std::slice::from_ref(&leaf), &trust(&authority), now()).unwrap();
    assert_eq!(certificate.spiffe_id(), Some(&helpdesk()));
    assert_eq!(certificate.key_thumbprint(), Some(request.key_thumbprint()));

    // What it was refused it cannot do: its key signs for nobody.
    let issuer = rcgen::Issuer::new(greedy, key);
    let mut below = CertificateParams::default();
    below.subject_alt_names = vec![uri("spiffe://ambit.test/agent/payroll")];
    (below.not_before, below.not_after) = times(0, 600);
    let below = below.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
    let chain = [below.der().clone(), leaf];
    let below = Certificate::read(&chain, &trust(&authority), now()).unwrap();
    assert_eq!(below.spiffe_id(), None);
}

#[test]
fn requests_that_are_refused() {
    let pem =
        |key: &KeyPair| CertificateParams::default().serialize_request(key).unwrap().pem().unwrap();
    let fine = pem(&KeyPair::generate().unwrap());
    assert!(SigningRequest::read(&fine).is_ok());
    let ed25519 = pem(&KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap());
    assert!(SigningRequest::read(&ed25519).is_ok());
    let p384 = pem(&KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap());
    assert!(matches!(SigningRequest::read(&p384), Err(AuthorityError::Key(_))));
    // Signed by another key than the one that it is for.
    let mut bytes = pem::parse(&fine).unwrap().contents().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let forged = pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", bytes));
    let refused = SigningRequest::read(&forged).unwrap_err();
    assert!(refused.to_string().contains("not signed by its own key"), "{refused}");
    for text in ["", "sesame", &"a".repeat(9_000)] {
        assert!(matches!(SigningRequest::read(text), Err(AuthorityError::Form(_))));
    }
}

#[test]
fn an_authority_is_kept_and_ends() {
    let made = authority();
    let kept = Authority::open(made.pkcs8(), made.certificate()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = signed(&kept, &key);
    let read = Certificate::read(&[leaf], &trust(&made), now()).unwrap();
    assert_eq!(read.spiffe_id(), Some(&helpdesk()));
    let other = Authority::make(&domain(), &[8; 32], [1; 16], now()).unwrap();
    assert!(Authority::open(other.pkcs8(), made.certificate()).is_err());
    let csr = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let request = SigningRequest::read(&csr).unwrap();
    let late = (made.not_after(), Duration::seconds(1));
    let refused = made.sign(&request, &helpdesk(), [2; 16], late).unwrap_err();
    assert_eq!(refused, AuthorityError::Ends);
}

/// A certificate of another authority than Ambit's.
struct Foreign {
    authority: rcgen::CertifiedIssuer<'static, KeyPair>,
}

fn times(from: i64, to: i64) -> (time::OffsetDateTime, time::OffsetDateTime) {
    let time = |at: Timestamp| time::OffsetDateTime::from_unix_timestamp(at.seconds()).unwrap();
    (time(at(from)), time(at(to)))
}

impl Foreign {
    fn new() -> Foreign {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Corp CA");
        let key = KeyPair::generate().unwrap();
        Foreign { authority: rcgen::CertifiedIssuer::self_signed(params, key).unwrap() }
    }

    fn issue(&self, edit: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![uri("spiffe://corp.example/ns/it/sa/helpdesk")];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = times(-60, 3_600);
        edit(&mut params);
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &self.authority).unwrap().der().clone()
    }
}

#[test]
fn a_chain_names_whom_its_own_domain_vouches_for() {
    let (corp, stranger) = (Foreign::new(), Foreign::new());
    let mut trust = trust(&authority());
    let corp_domain = TrustDomain::new("corp.example").unwrap();
    let bundle = trust.add_bundle(&corp_domain, corp.authority.pem().as_bytes());
    assert_eq!(bundle, Ok(1));
    let named = |leaf: CertificateDer<'static>| {
        let read = Certificate::read(&[leaf], &trust, now()).unwrap();
        read.spiffe_id().map(SpiffeId::to_string)
    };
    let own = "spiffe://corp.example/ns/it/sa/helpdesk";
    assert_eq!(named(corp.issue(|_| {})), Some(own.to_owned()));
    type Edit = fn(&mut CertificateParams);
    let refused: [(&str, &Foreign, Edit); 9] = [
        ("another authority", &stranger, |_| {}),
        ("Ambit's own domain", &corp, |params| {
            params.subject_alt_names = vec![uri("spiffe://ambit.test/agent/helpdesk")];
        }),
        ("an unknown domain", &corp, |params| {
            params.subject_alt_names = vec![uri("spiffe://other.example/agent/helpdesk")];
        }),
        ("two names", &corp, |params| {
            params.subject_alt_names.push(uri("spiffe://corp.example/other"));
        }),
        ("no name", &corp, |params| params.subject_alt_names.clear()),
        ("a wildcard", &corp, |params| {
            params.subject_alt_names = vec![uri("spiffe://corp.example/ns/it/sa/*")];
        }),
        ("an authority", &corp, |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }),
        ("for servers only", &corp, |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        }),
        ("expired", &corp, |params| (params.not_before, params.not_after) = times(-60, -1)),
    ];
    for (title, authority, edit) in refused {
        assert_eq!(named(authority.issue(edit)), None, "{title}");
    }
    assert!(Trust::default().add_bundle(&corp_domain, b"").is_err());
    assert!(Certificate::read(&[CertificateDer::from(vec![1, 2, 3])], &trust, now()).is_err());
    assert!(Certificate::read(&[], &trust, now()).is_err());
}

#[test]
fn a_bound_token_asks_for_its_certificate() {
    let authority = authority();
    let read = |leaf: CertificateDer<'static>| {
        Certificate::read(&[leaf], &trust(&authority), now()).unwrap()
    };
    let own = read(signed(&authority, &KeyPair::generate().unwrap()));
    let other = read(signed(&authority, &KeyPair::generate().unwrap()));
    let key = SigningKey::from_random(Algorithm::EdDsa, &[21; 32]).unwrap();
    let mut keys = VerificationKeys::new();
    assert!(keys.insert(key.public().clone(), Validity::ALWAYS));
    let agent = Name::new("helpdesk").unwrap();
    let token = |bound: bool, certificate: Option<&str>, life: i64| {
        key.mint(&Grant {
            issuer: ISSUER,
            audience: DOOR,
            agent: &agent,
            version: Digest([3; 32]),
            instance: own.key_thumbprint(),
            user: None,
            task: None,
            scope: None,
            token: TokenId::new(now(), [1; 10]),
            issued: now(),
            expires: at(life),
            bound,
            certificate,
            delegation: identity::Delegation::default(),
        })
        .unwrap()
    };
    let shown = |token: &str, scheme: Scheme, certificate: Option<&Certificate>, when: i64| {
        let verified = Arc::new(Verified::verify(token, &keys, ISSUER, now()).unwrap());
        let presented = Presented {
            scheme,
            token,
            proof: (scheme == Scheme::Dpop).then_some("e30.e30.e30"),
            certificate,
            peer: None,
            nonces: identity::Nonces::None,
            method: "POST",
            url: DOOR,
            audience: DOOR,
        };
        verified.present(&presented, at(when)).map(|actor| actor.bound())
    };
    let bound = token(true, Some(own.thumbprint()), 3_600);
    assert_eq!(shown(&bound, Scheme::Bearer, Some(&own), 0), Ok(true));
    let refused = [
        (Scheme::Bearer, None, 0, CredentialError::CertificateMissing),
        (Scheme::Bearer, Some(&other), 0, CredentialError::OtherCertificate),
        (Scheme::Dpop, Some(&own), 0, CredentialError::NotBound),
    ];
    for (scheme, certificate, when, error) in refused {
        assert_eq!(shown(&bound, scheme, certificate, when), Err(error));
    }
    // The connection outlived its certificate.
    let leaf =
        Foreign::new().issue(|params| (params.not_before, params.not_after) = times(-60, 60));
    let short = Certificate::read(&[leaf], &Trust::default(), now()).unwrap();
    let bound = token(true, Some(short.thumbprint()), 3_600);
    assert_eq!(shown(&bound, Scheme::Bearer, Some(&short), 60), Ok(true));
    let ended = shown(&bound, Scheme::Bearer, Some(&short), 61);
    assert_eq!(ended, Err(CredentialError::CertificateExpired));
    // A certificate is no proof for a token that asks for one.
    let by_key = token(true, None, 3_600);
    let refused = shown(&by_key, Scheme::Bearer, Some(&own), 0);
    assert_eq!(refused, Err(CredentialError::ProofMissing));
}
