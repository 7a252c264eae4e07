//! An agent's key on the client's side: proofs of RFC 9449, and forged tokens of any shape.

use anyhow::{Context as _, Result, bail};
use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// Base64url without padding, as in all JOSE parts.
#[must_use]
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn unb64(jwk: &Value, member: &str) -> Result<Vec<u8>> {
    let text = jwk.get(member).and_then(Value::as_str);
    let text = text.with_context(|| format!("the key has no `{member}`"))?;
    URL_SAFE_NO_PAD.decode(text).with_context(|| format!("`{member}` of the key"))
}

/// Seconds since 1970.
#[must_use]
pub fn unix_now() -> i64 {
    let span = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

#[derive(Debug)]
enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

/// A private key with its public JWK.
#[derive(Debug)]
pub struct ProofKey {
    pair: Pair,
    public: Value,
}

impl ProofKey {
    /// A new Ed25519 key.
    pub fn ed25519() -> Result<ProofKey> {
        let pair = Ed25519KeyPair::generate().context("no randomness")?;
        let x = b64(pair.public_key());
        Ok(ProofKey {
            public: json!({ "kty": "OKP", "crv": "Ed25519", "x": x }),
            pair: Pair::Ed25519(pair),
        })
    }

    /// A new P-256 key.
    pub fn p256() -> Result<ProofKey> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        let point = pair.public_key().as_ref();
        let (x, y) = (point.get(1..33).map(b64), point.get(33..65).map(b64));
        Ok(ProofKey {
            public: json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y }),
            pair: Pair::P256(pair),
        })
    }

    /// From a private JWK, as `ambit agent key A --export jwk` prints it.
    pub fn from_jwk(jwk: &Value) -> Result<ProofKey> {
        let d = unb64(jwk, "d")?;
        let x = unb64(jwk, "x")?;
        match jwk.get("kty").and_then(Value::as_str) {
            Some("OKP") => {
                let pair = Ed25519KeyPair::from_seed_and_public_key(&d, &x);
                let public = json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(&x) });
                Ok(ProofKey {
                    pair: Pair::Ed25519(pair.context("the key's parts do not fit")?),
                    public,
                })
            }
            Some("EC") => {
                let y = unb64(jwk, "y")?;
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                let pair = EcdsaKeyPair::from_private_key_and_public_key(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    &d,
                    &point,
                );
                let public = json!({ "kty": "EC", "crv": "P-256", "x": b64(&x), "y": b64(&y) });
                Ok(ProofKey {
                    pair: Pair::P256(pair.context("the key's parts do not fit")?),
                    public,
                })
            }
            other => bail!("keys of type {other:?} are not used here"),
        }
    }

    /// An Ed25519 key from PKCS#8, as Ambit's issuer keeps its own.
    pub fn from_pkcs8(document: &[u8]) -> Result<ProofKey> {
        let pair = Ed25519KeyPair::from_pkcs8(document).context("not an Ed25519 key")?;
        let x = b64(pair.public_key());
        let public = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
        Ok(ProofKey { public, pair: Pair::Ed25519(pair) })
    }

    /// The public JWK.
    #[must_use]
    pub fn public(&self) -> &Value {
        &self.public
    }

    /// The public key's thumbprint (RFC 7638): the members that it has, in order.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        let members: std::collections::BTreeMap<_, _> =
            self.public.as_object().into_iter().flatten().collect();
        b64(digest(&SHA256, json!(members).to_string().as_bytes()))
    }

    /// The name of its algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Ed25519(_) => "EdDSA",
            Pair::P256(_) => "ES256",
        }
    }

    /// Signs a compact JWS.
    pub fn sign(&self, header: &Value, claims: &Value) -> Result<String> {
        let input = signing_input(header, claims);
        let signature = match &self.pair {
            Pair::Ed25519(pair) => b64(pair.sign(input.as_bytes())),
            Pair::P256(pair) => b64(pair.sign(&SystemRandom::new(), input.as_bytes())?),
        };
        Ok(format!("{input}.{signature}"))
    }

    /// A fresh proof for one request with one token (RFC 9449 §4.2).
    pub fn prove(&self, method: &str, url: &str, token: &str) -> Result<String> {
        self.prove_with(method, url, Some(token), None)
    }

    /// The same with the server's nonce, or for the token endpoint without a token.
    pub fn prove_with(
        &self,
        method: &str,
        url: &str,
        token: Option<&str>,
        nonce: Option<&str>,
    ) -> Result<String> {
        let htu = url.split(['?', '#']).next().unwrap_or(url);
        let mut claims = serde_json::Map::new();
        claims.insert("htm".into(), method.into());
        claims.insert("htu".into(), htu.into());
        claims.insert("iat".into(), unix_now().into());
        claims.insert("jti".into(), unique()?.into());
        if let Some(token) = token {
            claims.insert("ath".into(), b64(digest(&SHA256, token.as_bytes())).into());
        }
        if let Some(nonce) = nonce {
            claims.insert("nonce".into(), nonce.into());
        }
        self.sign(&self.proof_header(), &Value::Object(claims))
    }

    /// The header of a proof.
    #[must_use]
    pub fn proof_header(&self) -> Value {
        json!({ "typ": "dpop+jwt", "alg": self.algorithm(), "jwk": self.public })
    }
}

/// A value never used before.
pub fn unique() -> Result<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).context("no randomness")?;
    Ok(b64(bytes))
}

fn signing_input(header: &Value, claims: &Value) -> String {
    format!("{}.{}", b64(header.to_string()), b64(claims.to_string()))
}

/// The header and claims of a token, unverified.
pub fn open(token: &str) -> Result<(Value, Value)> {
    let part = |index: usize| {
        let text = token.split('.').nth(index).context("not a compact token")?;
        let bytes = URL_SAFE_NO_PAD.decode(text).context("not base64url")?;
        serde_json::from_slice::<Value>(&bytes).context("not JSON")
    };
    Ok((part(0)?, part(1)?))
}

/// A token without a signature.
#[must_use]
pub fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.", signing_input(header, claims))
}

/// A token with an HMAC under `secret`.
#[must_use]
pub fn hmac_signed(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let input = signing_input(header, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
    format!("{input}.{}", b64(tag))
}

/// A token with its header and claims changed and its signature kept.
pub fn resealed(token: &str, header: &Value, claims: &Value) -> Result<String> {
    let signature = token.rsplit('.').next().context("not a compact token")?;
    Ok(format!("{}.{signature}", signing_input(header, claims)))
}
