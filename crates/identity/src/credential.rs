//! What can be wrong with a credential, said without repeating any of it.

use model::Code;
use std::fmt;

/// Which credential is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// An access token (RFC 9068).
    AccessToken,
    /// A proof of possession (RFC 9449).
    Proof,
    /// A client assertion (RFC 7523).
    Assertion,
    /// A token of a foreign issuer: a workload's or a human's.
    Foreign,
    /// A reviewer's signature.
    Signoff,
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credential::AccessToken => "access token",
            Credential::Proof => "DPoP proof",
            Credential::Assertion => "client assertion",
            Credential::Foreign => "token of the foreign issuer",
            Credential::Signoff => "signature of the review",
        })
    }
}

/// Why a credential was refused. No variant carries text from the credential: all strings are
/// constants of this crate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// It is longer than its limit.
    #[error("the {what} has {length} bytes: send at most {limit}")]
    TooLarge {
        /// Which credential.
        what: Credential,
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// It is not a signed JWT in compact form.
    #[error("the {what} is not a signed JWT in compact form: {detail}")]
    Form {
        /// Which credential.
        what: Credential,
        /// What is wrong.
        detail: &'static str,
    },
    /// Its header or claims are not acceptable JSON.
    #[error("the {part} of the {what} is not acceptable JSON: {detail}")]
    Json {
        /// Which credential.
        what: Credential,
        /// `header` or `claims`.
        part: &'static str,
        /// What is wrong.
        detail: &'static str,
    },
    /// `typ` names another kind of token.
    #[error("the {what} has another `typ`: send `{expected}`")]
    Type {
        /// Which credential.
        what: Credential,
        /// The expected `typ`.
        expected: &'static str,
    },
    /// `alg` is missing or not the algorithm of the key.
    #[error("`alg` of the {what} is not the algorithm of its key: sign with the one it is for")]
    Algorithm {
        /// Which credential.
        what: Credential,
    },
    /// The header asks for an extension.
    #[error("the header of the {what} has `{member}`: leave it out, no extension is understood")]
    Extension {
        /// Which credential.
        what: Credential,
        /// `crit` or `b64`.
        member: &'static str,
    },
    /// No key of the issuer has this `kid`, or the key is out of use.
    #[error("no key is known for the `kid` of the {what}: get a new one from the issuer")]
    UnknownKey {
        /// Which credential.
        what: Credential,
    },
    /// The signature does not fit.
    #[error("the signature of the {what} does not fit its key")]
    Signature {
        /// Which credential.
        what: Credential,
    },
    /// A claim or header member is missing.
    #[error("the {what} lacks `{member}`")]
    Missing {
        /// Which credential.
        what: Credential,
        /// The member.
        member: &'static str,
    },
    /// A claim or header member has the wrong form.
    #[error("`{member}` of the {what} is not {expected}")]
    Member {
        /// Which credential.
        what: Credential,
        /// The member.
        member: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// It was issued by someone else.
    #[error("the {what} is from another issuer")]
    Issuer {
        /// Which credential.
        what: Credential,
    },
    /// It is meant for another audience, or for more than one.
    #[error("the {what} is not for this audience alone: get one whose only `aud` is this address")]
    Audience {
        /// Which credential.
        what: Credential,
    },
    /// It has expired.
    #[error("the {what} has expired: get a new one")]
    Expired {
        /// Which credential.
        what: Credential,
    },
    /// It is not valid yet.
    #[error("the {what} is not valid yet (`{member}`): check the clock")]
    NotYet {
        /// Which credential.
        what: Credential,
        /// `iat` or `nbf`.
        member: &'static str,
    },
    /// It lives longer than any may.
    #[error("the {what} lives longer than {limit} s: ask for a shorter life")]
    TooLong {
        /// Which credential.
        what: Credential,
        /// The limit in seconds.
        limit: i64,
    },
    /// It was issued longer ago than it may be used.
    #[error("the {what} was issued more than {limit} s ago: get a new one")]
    TooOld {
        /// Which credential.
        what: Credential,
        /// The limit in seconds.
        limit: i64,
    },
    /// Its claims contradict one another.
    #[error("the claims of the {what} contradict one another: {detail}")]
    Inconsistent {
        /// Which credential.
        what: Credential,
        /// Which claims.
        detail: &'static str,
    },
    /// The token shown is not the one that was verified.
    #[error("the access token is not the one that was verified")]
    OtherToken,
    /// A bound token came without a proof, or as a bearer token.
    #[error("the access token is bound to a key: send it as `DPoP` with a proof by that key")]
    ProofMissing,
    /// A proof or the `DPoP` scheme came with a token that is bound to nothing.
    #[error("the access token is not bound to a key: send it as `Bearer` without a proof")]
    NotBound,
    /// A token that is bound to a certificate came over a connection without one.
    #[error("the access token is bound to a certificate: show it in the TLS handshake")]
    CertificateMissing,
    /// The connection's certificate is another than the one that the token is bound to.
    #[error("the access token is bound to another certificate than this connection's")]
    OtherCertificate,
    /// The connection's certificate has expired, or is not valid yet.
    #[error("the certificate of this connection is not valid now: connect with a new one")]
    CertificateExpired,
    /// The proof is by another key than the token is bound to.
    #[error("the DPoP proof is by another key than the access token is bound to")]
    OtherKey,
    /// The proof is for another method.
    #[error("`htm` of the DPoP proof is another method than this request's")]
    Method,
    /// The proof is for another URL.
    #[error(
        "`htu` of the DPoP proof is another URL than this request's: leave query and fragment out"
    )]
    Url,
    /// The proof is for another token.
    #[error("`ath` of the DPoP proof is not the digest of this access token")]
    TokenDigest,
    /// `iat` of the proof is too old.
    #[error("`iat` of the DPoP proof is older than {limit} s: sign a fresh proof")]
    Stale {
        /// The limit in seconds.
        limit: i64,
    },
    /// The proof lacks the nonce that is asked for.
    #[error(
        "the DPoP proof lacks `nonce`: sign a fresh one with the value of the `DPoP-Nonce` header"
    )]
    NonceMissing,
    /// The proof's nonce is not a current one.
    #[error(
        "`nonce` of the DPoP proof is not a current one: sign a fresh proof with the value of the \
         `DPoP-Nonce` header"
    )]
    NonceStale,
    /// The proof's `jwk` has private or symmetric members.
    #[error("`jwk` of the DPoP proof holds more than a public key: send the public members only")]
    PrivateKey,
    /// The proof's `jwk` is not a key that is taken.
    #[error("`jwk` of the DPoP proof is not an Ed25519 or P-256 public key")]
    Key,
    /// The assertion's subject has no keys here.
    #[error("the client of the assertion is not known here, or has no keys")]
    UnknownClient,
}

impl CredentialError {
    /// The code for answers and records.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            CredentialError::TooLarge { what, .. }
            | CredentialError::Form { what, .. }
            | CredentialError::Json { what, .. }
            | CredentialError::Type { what, .. }
            | CredentialError::Algorithm { what }
            | CredentialError::Extension { what, .. }
            | CredentialError::UnknownKey { what }
            | CredentialError::Signature { what }
            | CredentialError::Missing { what, .. }
            | CredentialError::Member { what, .. }
            | CredentialError::Issuer { what }
            | CredentialError::Audience { what }
            | CredentialError::NotYet { what, .. }
            | CredentialError::TooLong { what, .. }
            | CredentialError::Inconsistent { what, .. } => invalid(*what),
            CredentialError::Expired { what } | CredentialError::TooOld { what, .. } => {
                match what {
                    Credential::AccessToken
                    | Credential::Assertion
                    | Credential::Foreign
                    | Credential::Signoff => Code::CredentialExpired,
                    Credential::Proof => Code::ProofInvalid,
                }
            }
            CredentialError::OtherToken
            | CredentialError::NotBound
            | CredentialError::UnknownClient => Code::CredentialInvalid,
            CredentialError::NonceMissing | CredentialError::NonceStale => Code::NonceWanted,
            CredentialError::ProofMissing
            | CredentialError::CertificateMissing
            | CredentialError::OtherCertificate
            | CredentialError::CertificateExpired
            | CredentialError::OtherKey
            | CredentialError::Method
            | CredentialError::Url
            | CredentialError::TokenDigest
            | CredentialError::Stale { .. }
            | CredentialError::PrivateKey
            | CredentialError::Key => Code::ProofInvalid,
        }
    }

    /// One word for counters: what was wrong, without which credential.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            CredentialError::TooLarge { .. } => "too_large",
            CredentialError::Form { .. } => "form",
            CredentialError::Json { .. } => "json",
            CredentialError::Type { .. } => "typ",
            CredentialError::Algorithm { .. } => "alg",
            CredentialError::Extension { .. } => "crit",
            CredentialError::UnknownKey { .. } => "kid",
            CredentialError::Signature { .. } => "signature",
            CredentialError::Missing { .. } => "missing",
            CredentialError::Member { .. } => "member",
            CredentialError::Issuer { .. } => "iss",
            CredentialError::Audience { .. } => "aud",
            CredentialError::Expired { .. } => "exp",
            CredentialError::NotYet { .. } => "not_yet",
            CredentialError::TooLong { .. } => "too_long",
            CredentialError::TooOld { .. } => "too_old",
            CredentialError::Inconsistent { .. } => "inconsistent",
            CredentialError::OtherToken => "other_token",
            CredentialError::ProofMissing => "proof_missing",
            CredentialError::CertificateMissing => "certificate_missing",
            CredentialError::OtherCertificate => "other_certificate",
            CredentialError::CertificateExpired => "certificate_expired",
            CredentialError::NotBound => "not_bound",
            CredentialError::OtherKey => "other_key",
            CredentialError::Method => "htm",
            CredentialError::Url => "htu",
            CredentialError::TokenDigest => "ath",
            CredentialError::Stale { .. } => "stale",
            CredentialError::NonceMissing => "nonce_missing",
            CredentialError::NonceStale => "nonce_stale",
            CredentialError::PrivateKey => "private_key",
            CredentialError::Key => "jwk",
            CredentialError::UnknownClient => "client",
        }
    }
}

const fn invalid(what: Credential) -> Code {
    match what {
        Credential::AccessToken
        | Credential::Assertion
        | Credential::Foreign
        | Credential::Signoff => Code::CredentialInvalid,
        Credential::Proof => Code::ProofInvalid,
    }
}
