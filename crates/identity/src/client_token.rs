//! Access tokens of clients that are no agents: they open tasks and act nowhere.
//!
//! Such a token names no agent, so that no door takes it ([`crate::Verified`] needs `agent`), and an agent's token names
//! one, so that it opens no task of its own making.

use crate::{
    claims::Claims,
    compact::Compact,
    credential::{Credential, CredentialError},
    limits::{MAX_TOKEN_LIFE, TOKEN_BYTES},
    nonce::Nonces,
    proof::{self, ProofTarget, verify_proof},
    signing::{MintError, SigningKey},
    verification::VerificationKeys,
};
use canonical::{Value, Writer, WriterError};
use model::{Digest, Name, Timestamp, TokenId};

const WHAT: Credential = Credential::AccessToken;

/// What a client's token says.
#[derive(Clone, Copy, Debug)]
pub struct ClientGrant<'a> {
    /// `iss`.
    pub issuer: &'a str,
    /// `aud`: the URL of the control API.
    pub audience: &'a str,
    /// `sub` and `client_id`.
    pub client: &'a Name,
    /// `jti`.
    pub token: TokenId,
    /// `iat`; cut to whole seconds.
    pub issued: Timestamp,
    /// `exp`; cut to whole seconds.
    pub expires: Timestamp,
    /// `cnf.jkt`: the key that it is bound to. There is no client's token that is bound to none.
    pub bound_to: &'a str,
}

impl SigningKey {
    /// Signs a client's token (RFC 9068, `typ: at+jwt`).
    pub fn mint_for_client(&self, grant: &ClientGrant<'_>) -> Result<String, MintError> {
        let (issued, expires) = (grant.issued.seconds(), grant.expires.seconds());
        let seconds = expires.saturating_sub(issued);
        let limit = MAX_TOKEN_LIFE.as_seconds();
        if seconds < 1 || seconds > limit {
            return Err(MintError::Life { seconds, limit });
        }
        self.sealed(&write_claims(grant, issued, expires)?)
    }
}

fn write_claims(
    grant: &ClientGrant<'_>,
    issued: i64,
    expires: i64,
) -> Result<Vec<u8>, WriterError> {
    let mut out = Vec::with_capacity(512);
    let mut writer = Writer::new(&mut out);
    let client = grant.client.as_str();
    writer.begin_object().field_str("aud", grant.audience).field_str("client_id", client);
    writer.field_object("cnf").field_str("jkt", grant.bound_to).end();
    writer.field_int("exp", expires).field_int("iat", issued);
    writer.field_str("iss", grant.issuer).field_str("jti", &grant.token.to_string());
    writer.field_str("sub", client).end();
    writer.finish()?;
    Ok(out)
}

/// What a request shows beside its token, and where it shows it.
#[derive(Clone, Copy, Debug)]
pub struct ClientPresented<'a> {
    /// The issuer whose tokens are taken.
    pub issuer: &'a str,
    /// The URL of the control API, which must be the token's only audience.
    pub audience: &'a str,
    /// The token of `Authorization: DPoP`.
    pub token: &'a str,
    /// The one `DPoP` header.
    pub proof: &'a str,
    /// The request's method.
    pub method: &'a str,
    /// The request's URL as the client knows it, without query and fragment.
    pub url: &'a str,
    /// Whether nonces are given out here, and asked for.
    pub nonces: Nonces<'a>,
}

/// Evidence that this request comes from this client. One request, one value.
///
/// ```compile_fail
/// let caller: identity::ClientCaller = todo!();
/// let again = caller.clone(); // one request is one value
/// ```
#[must_use]
#[derive(Debug)]
pub struct ClientCaller {
    client: Name,
    token: TokenId,
    proof_use: (Digest, Timestamp),
}

impl ClientCaller {
    /// Checks token and proof: signature, type, issuer, audience, times, that it is a client's and no agent's, and that
    /// the proof is by its key.
    pub fn verify(
        presented: &ClientPresented<'_>,
        keys: &VerificationKeys,
        now: Timestamp,
    ) -> Result<ClientCaller, CredentialError> {
        let compact = Compact::open(presented.token, WHAT, TOKEN_BYTES)?;
        compact.expect_type("at+jwt")?;
        let kid = compact.header_text("kid")?;
        let (key, validity) =
            keys.find(kid, now).ok_or(CredentialError::UnknownKey { what: WHAT })?;
        compact.check_signature(key)?;
        let claims = Claims::new(WHAT, compact.claims()?);
        if claims.text("iss")? != presented.issuer {
            return Err(CredentialError::Issuer { what: WHAT });
        }
        claims.begun(now)?;
        let (_, expires) = claims.lifetime(MAX_TOKEN_LIFE)?;
        if expires.min(validity.not_after) <= now {
            return Err(CredentialError::Expired { what: WHAT });
        }
        if claims.audience()? != presented.audience {
            return Err(CredentialError::Audience { what: WHAT });
        }
        if claims.optional_text("agent")?.is_some() || claims.optional_object("act")?.is_some() {
            return Err(claims.inconsistent("it is an agent's"));
        }
        let client = claims.text("sub")?;
        if claims.text("client_id")? != client {
            return Err(claims.inconsistent("`client_id` is not `sub`"));
        }
        let client = Name::new(client).map_err(|_| claims.wrong("sub", "the name of a client"))?;
        let token = TokenId::parse(claims.identifier()?)
            .ok_or(claims.wrong("jti", "a token id (`tok_…`)"))?;
        let bound_to =
            claims.optional_object("cnf")?.and_then(|confirmation| confirmation.get("jkt"));
        let bound_to = bound_to.and_then(Value::as_str).ok_or(CredentialError::ProofMissing)?;
        let digest = proof::token_digest(presented.token);
        let target = ProofTarget {
            method: presented.method,
            url: presented.url,
            token: Some(&digest),
            nonces: presented.nonces,
        };
        let proof = verify_proof(presented.proof, &target, now)?;
        if proof.thumbprint() != bound_to {
            return Err(CredentialError::OtherKey);
        }
        Ok(ClientCaller { client, token, proof_use: proof.single_use() })
    }

    /// The client.
    #[must_use]
    pub const fn client(&self) -> &Name {
        &self.client
    }

    /// The token's id.
    #[must_use]
    pub const fn token(&self) -> TokenId {
        self.token
    }

    /// What must be unused when the request's record commits, and until when the use must be remembered.
    #[must_use]
    pub const fn proof_use(&self) -> (Digest, Timestamp) {
        self.proof_use
    }
}
