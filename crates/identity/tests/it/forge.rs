//! A second writer of JWTs, which signs anything: it shares no code with the crate that it tests.

use aws_lc_rs::{
    agreement, hmac,
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
        RSA_PSS_SHA256,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use model::{Duration, Timestamp};
use std::sync::LazyLock;

pub(crate) const ISSUER: &str = "http://127.0.0.1:8400";
pub(crate) const ENDPOINT: &str = "http://127.0.0.1:8400/oauth/token";
pub(crate) const DOOR: &str = "http://127.0.0.1:8400/mcp/tickets";
pub(crate) const NOW: i64 = 1_795_000_000;

pub(crate) fn now() -> Timestamp {
    Timestamp::from_seconds(NOW)
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    now().after(Duration::seconds(seconds))
}

/// Who signs, and how.
#[derive(Clone, Debug)]
pub(crate) enum Signer {
    EdDsa([u8; 32]),
    Es256([u8; 32]),
    /// The one RSA key of this process, with PKCS #1 v1.5.
    Rs256,
    /// The same key with PSS.
    Ps256,
    /// HMAC with this text as the key.
    Hs256(Vec<u8>),
    /// An empty signature.
    Nobody,
}

impl Signer {
    fn sign(&self, text: &str) -> Vec<u8> {
        match self {
            Signer::EdDsa(seed) => {
                let pair = Ed25519KeyPair::from_seed_unchecked(seed).unwrap();
                pair.sign(text.as_bytes()).as_ref().to_vec()
            }
            Signer::Es256(scalar) => {
                let pair = p256(scalar);
                pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().to_vec()
            }
            Signer::Rs256 => rsa_sign(&RSA_PKCS1_SHA256, text),
            Signer::Ps256 => rsa_sign(&RSA_PSS_SHA256, text),
            Signer::Hs256(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
            }
            Signer::Nobody => Vec::new(),
        }
    }

    /// The raw public bytes, as an attacker would take them from the JWKS.
    pub(crate) fn public(&self) -> Vec<u8> {
        match self {
            Signer::EdDsa(seed) => {
                let pair = Ed25519KeyPair::from_seed_unchecked(seed).unwrap();
                pair.public_key().as_ref().to_vec()
            }
            Signer::Es256(scalar) => p256(scalar).public_key().as_ref().to_vec(),
            // RFC 8017's DER: of 2048 bits the modulus is at one place.
            Signer::Rs256 | Signer::Ps256 => RSA.public_key().as_ref()[9..265].to_vec(),
            Signer::Hs256(_) | Signer::Nobody => Vec::new(),
        }
    }

    /// The public JWK with only the required members.
    pub(crate) fn jwk(&self) -> String {
        let public = self.public();
        match self {
            Signer::EdDsa(_) => {
                format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, B64.encode(public))
            }
            Signer::Es256(_) => format!(
                r#"{{"kty":"EC","crv":"P-256","x":"{}","y":"{}"}}"#,
                B64.encode(&public[1..33]),
                B64.encode(&public[33..])
            ),
            Signer::Rs256 => format!(r#"{{"kty":"RSA","e":"AQAB","n":"{}"}}"#, B64.encode(public)),
            Signer::Ps256 => {
                let n = B64.encode(public);
                format!(r#"{{"kty":"RSA","alg":"PS256","e":"AQAB","n":"{n}"}}"#)
            }
            Signer::Hs256(_) | Signer::Nobody => "{}".to_owned(),
        }
    }
}

static RSA: LazyLock<rsa::KeyPair> =
    LazyLock::new(|| rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap());

fn rsa_sign(padding: &'static dyn aws_lc_rs::signature::RsaEncoding, text: &str) -> Vec<u8> {
    let mut signature = vec![0; RSA.public_modulus_len()];
    RSA.sign(padding, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    signature
}

fn p256(scalar: &[u8; 32]) -> EcdsaKeyPair {
    let private = agreement::PrivateKey::from_private_key(&agreement::ECDH_P256, scalar).unwrap();
    let public = private.compute_public_key().unwrap();
    EcdsaKeyPair::from_private_key_and_public_key(
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        scalar,
        public.as_ref(),
    )
    .unwrap()
}

/// One change to a token. Values are raw JSON.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Header(&'static str, String),
    NoHeader(&'static str),
    /// Adds the member again, after the first.
    HeaderTwice(&'static str, String),
    Claim(&'static str, String),
    NoClaim(&'static str),
    ClaimTwice(&'static str, String),
    Sign(Signer),
    /// Changes the finished text.
    Text(fn(&str) -> String),
}

/// A header member set to a text.
pub(crate) fn header(name: &'static str, text: &str) -> Edit {
    Edit::Header(name, format!("{text:?}"))
}

/// A claim set to a text.
pub(crate) fn claim(name: &'static str, text: &str) -> Edit {
    Edit::Claim(name, format!("{text:?}"))
}

/// A claim set to raw JSON.
pub(crate) fn raw(name: &'static str, json: &str) -> Edit {
    Edit::Claim(name, json.to_owned())
}

/// A claim set to a time relative to [`NOW`].
pub(crate) fn time(name: &'static str, seconds: i64) -> Edit {
    Edit::Claim(name, (NOW + seconds).to_string())
}

/// A token before it is signed.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) header: Vec<(&'static str, String)>,
    pub(crate) claims: Vec<(&'static str, String)>,
    pub(crate) signer: Signer,
}

impl Draft {
    /// The text after the edits.
    pub(crate) fn with(&self, edits: &[Edit]) -> String {
        let mut draft = self.clone();
        let mut finish: fn(&str) -> String = str::to_owned;
        for edit in edits {
            match edit.clone() {
                Edit::Header(name, json) => set(&mut draft.header, name, json),
                Edit::NoHeader(name) => draft.header.retain(|(member, _)| *member != name),
                Edit::HeaderTwice(name, json) => draft.header.push((name, json)),
                Edit::Claim(name, json) => set(&mut draft.claims, name, json),
                Edit::NoClaim(name) => draft.claims.retain(|(member, _)| *member != name),
                Edit::ClaimTwice(name, json) => draft.claims.push((name, json)),
                Edit::Sign(signer) => draft.signer = signer,
                Edit::Text(change) => finish = change,
            }
        }
        let signed =
            format!("{}.{}", B64.encode(object(&draft.header)), B64.encode(object(&draft.claims)));
        let signature = draft.signer.sign(&signed);
        finish(&format!("{signed}.{}", B64.encode(signature)))
    }
}

fn set(members: &mut Vec<(&'static str, String)>, name: &'static str, json: String) {
    match members.iter_mut().find(|(member, _)| *member == name) {
        Some((_, value)) => *value = json,
        None => members.push((name, json)),
    }
}

fn object(members: &[(&'static str, String)]) -> String {
    let members: Vec<String> =
        members.iter().map(|(name, json)| format!("{name:?}:{json}")).collect();
    format!("{{{}}}", members.join(","))
}

/// Flips one bit in the middle of a part of the compact form (0 header, 1 claims, 2 signature),
/// such that it stays base64url.
pub(crate) fn tamper(text: &str, part: usize) -> String {
    let mut parts: Vec<String> = text.split('.').map(str::to_owned).collect();
    let mut bytes = B64.decode(&parts[part]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    parts[part] = B64.encode(bytes);
    parts.join(".")
}
