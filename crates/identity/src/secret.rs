//! A private key that is for one algorithm; its holders in this crate give it one purpose.

use crate::key::{Algorithm, KeyError, PublicKey};
use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::{
    agreement,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use jsonwebtoken::{EncodingKey, crypto};
use zeroize::Zeroizing;

/// A private key with its public half.
pub(crate) struct Secret {
    signing: EncodingKey,
    public: PublicKey,
    /// The private scalar or seed, for export.
    scalar: Zeroizing<[u8; 32]>,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl Secret {
    /// Reads a PKCS#8 document (RFC 5208 or RFC 5958) of an Ed25519 or P-256 key.
    pub(crate) fn from_pkcs8(algorithm: Algorithm, document: &[u8]) -> Result<Secret, KeyError> {
        match algorithm {
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(document)
                    .map_err(|_| KeyError::Kind)?;
                Secret::ed25519(&pair)
            }
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document)
                    .map_err(|_| KeyError::Kind)?;
                Secret::p256(&pair)
            }
        }
    }

    /// Makes the key whose seed (Ed25519) or scalar (P-256) are these random bytes. One in 2^32
    /// draws is not a P-256 scalar: draw again.
    pub(crate) fn from_random(algorithm: Algorithm, random: &[u8; 32]) -> Result<Secret, KeyError> {
        match algorithm {
            Algorithm::EdDsa => {
                let pair =
                    Ed25519KeyPair::from_seed_unchecked(random).map_err(|_| KeyError::Point)?;
                Secret::ed25519(&pair)
            }
            Algorithm::Es256 => {
                let private =
                    agreement::PrivateKey::from_private_key(&agreement::ECDH_P256, random)
                        .map_err(|_| KeyError::Point)?;
                let public = private.compute_public_key().map_err(|_| KeyError::Point)?;
                let pair = EcdsaKeyPair::from_private_key_and_public_key(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    random,
                    public.as_ref(),
                )
                .map_err(|_| KeyError::Point)?;
                Secret::p256(&pair)
            }
        }
    }

    fn ed25519(pair: &Ed25519KeyPair) -> Result<Secret, KeyError> {
        crate::install_crypto();
        let x = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Point)?;
        let public = PublicKey::ed25519(x)?;
        let seed = pair.seed().map_err(|_| KeyError::Point)?;
        let seed = seed.as_be_bytes().map_err(|_| KeyError::Point)?;
        let scalar = take_scalar(seed.as_ref())?;
        let document = pair.to_pkcs8().map_err(|_| KeyError::Point)?;
        let pkcs8 = Zeroizing::new(document.as_ref().to_vec());
        Ok(Secret { signing: EncodingKey::from_ed_der(&pkcs8), public, scalar, pkcs8 })
    }

    fn p256(pair: &EcdsaKeyPair) -> Result<Secret, KeyError> {
        crate::install_crypto();
        let [4, x_and_y @ ..] = pair.public_key().as_ref() else { return Err(KeyError::Point) };
        let (x, y) = x_and_y.split_at_checked(32).ok_or(KeyError::Point)?;
        let x = x.try_into().map_err(|_| KeyError::Point)?;
        let y = y.try_into().map_err(|_| KeyError::Point)?;
        let public = PublicKey::p256(x, y)?;
        let bytes = pair.private_key().as_be_bytes().map_err(|_| KeyError::Point)?;
        let scalar = take_scalar(bytes.as_ref())?;
        let document = pair.to_pkcs8v1().map_err(|_| KeyError::Point)?;
        let pkcs8 = Zeroizing::new(document.as_ref().to_vec());
        Ok(Secret { signing: EncodingKey::from_ec_der(&pkcs8), public, scalar, pkcs8 })
    }

    pub(crate) const fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    pub(crate) fn scalar(&self) -> &[u8; 32] {
        &self.scalar
    }

    /// The base64url signature over the text; `None` if the library cannot sign.
    pub(crate) fn sign(&self, text: &str) -> Option<String> {
        crypto::sign(text.as_bytes(), &self.signing, self.public.algorithm().of_jwt()).ok()
    }
}

fn take_scalar(bytes: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mut scalar = Zeroizing::new([0_u8; 32]);
    let bytes: &[u8; 32] = bytes.try_into().map_err(|_| KeyError::Point)?;
    scalar.copy_from_slice(bytes);
    Ok(scalar)
}
