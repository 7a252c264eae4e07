//! Checks an access token once (RFC 9068 §4); what was checked may be kept until it expires.

use crate::{
    actor::{Actor, Presented, Scheme},
    certificate::Certificate,
    claims::Claims,
    compact::Compact,
    credential::{Credential, CredentialError},
    delegation::{self, Delegated},
    key::PublicKey,
    limits::{MAX_TOKEN_LIFE, TOKEN_BYTES},
    proof::{self, ProofTarget, verify_proof},
    verification::VerificationKeys,
};
use model::{ActionId, AgentName, Ancestor, Digest, Name, TaskId, Timestamp, TokenId, UserName};
use std::{collections::BTreeSet, sync::Arc};

const WHAT: Credential = Credential::AccessToken;

/// What a token is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// The key of this thumbprint (`cnf.jkt`, RFC 9449).
    Key(String),
    /// The certificate of this SHA-256 (`cnf.x5t#S256`, RFC 8705).
    Certificate(String),
}

/// An access token whose signature, type, issuer, times and claims were checked. It says nothing
/// about who shows it: [`Verified::present`] does. It may be kept by [`Verified::digest`] until
/// [`Verified::expires`].
///
/// ```compile_fail
/// fn redirect(mut verified: identity::Verified, name: model::AgentName) -> identity::Verified {
///     verified.agent = name; // its fields are private
///     verified
/// }
/// ```
#[must_use]
#[derive(Debug)]
pub struct Verified {
    pub(crate) agent: AgentName,
    pub(crate) version: Digest,
    pub(crate) instance: Option<String>,
    pub(crate) user: Option<UserName>,
    pub(crate) chain: Vec<Ancestor>,
    pub(crate) actions: Option<BTreeSet<ActionId>>,
    pub(crate) may_act: Vec<AgentName>,
    pub(crate) key: Option<String>,
    pub(crate) task: Option<TaskId>,
    pub(crate) token: TokenId,
    pub(crate) scope: Option<String>,
    pub(crate) expires: Timestamp,
    issued: Timestamp,
    audience: String,
    bound_to: Option<Binding>,
    kid: String,
    digest: Digest,
}

impl Verified {
    /// Checks size, form, `typ`, `kid`, `alg`, signature, `iss`, times, required claims and their
    /// consistency. The audience and the binding are checked by [`Verified::present`].
    pub fn verify(
        token: &str,
        keys: &VerificationKeys,
        issuer: &str,
        now: Timestamp,
    ) -> Result<Verified, CredentialError> {
        let compact = Compact::open(token, WHAT, TOKEN_BYTES)?;
        compact.expect_type("at+jwt")?;
        let kid = compact.header_text("kid")?;
        let (key, validity) =
            keys.find(kid, now).ok_or(CredentialError::UnknownKey { what: WHAT })?;
        compact.check_signature(key)?;
        let claims = Claims::new(WHAT, compact.claims()?);
        if claims.text("iss")? != issuer {
            return Err(CredentialError::Issuer { what: WHAT });
        }
        claims.begun(now)?;
        let (issued, expires) = claims.lifetime(MAX_TOKEN_LIFE)?;
        if expires <= now {
            return Err(CredentialError::Expired { what: WHAT });
        }
        let mut verified = read_claims(&claims, key, proof::token_digest(token))?;
        verified.issued = issued;
        verified.expires = expires.min(validity.not_after);
        Ok(verified)
    }

    /// The key under which this may be kept: SHA-256 of the token's text.
    #[must_use]
    pub fn digest_of(token: &str) -> Digest {
        proof::token_digest(token)
    }

    /// SHA-256 of the token's text.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// When it ends: its `exp`, or the end of its key's span if that is earlier.
    #[must_use]
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Its `iat`.
    #[must_use]
    pub const fn issued(&self) -> Timestamp {
        self.issued
    }

    /// Its `jti`.
    #[must_use]
    pub const fn token(&self) -> TokenId {
        self.token
    }

    /// The agent, for a token that nobody presents.
    #[must_use]
    pub const fn agent(&self) -> &AgentName {
        &self.agent
    }

    /// The agent's version.
    #[must_use]
    pub const fn version(&self) -> Digest {
        self.version
    }

    /// The thumbprint of the instance's key, if it showed one.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }

    /// The human acted for.
    #[must_use]
    pub const fn user(&self) -> Option<&UserName> {
        self.user.as_ref()
    }

    /// The task.
    #[must_use]
    pub const fn task(&self) -> Option<TaskId> {
        self.task
    }

    /// Its only audience.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// The key or certificate that it is bound to, if it is.
    #[must_use]
    pub const fn bound_to(&self) -> Option<&Binding> {
        self.bound_to.as_ref()
    }

    /// The agents from whose tokens it came, the first first.
    #[must_use]
    pub fn chain(&self) -> &[Ancestor] {
        &self.chain
    }

    /// The only actions that it reaches; `None`: all that its agent does.
    #[must_use]
    pub const fn actions(&self) -> Option<&BTreeSet<ActionId>> {
        self.actions.as_ref()
    }

    /// The agents that may exchange it.
    #[must_use]
    pub fn may_act(&self) -> &[AgentName] {
        &self.may_act
    }

    /// The id of the scoped key that bought it, if one did.
    #[must_use]
    pub fn scoped_key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The `kid` of the key that signed it; kept tokens of a withdrawn key are to be dropped.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Checks what belongs to this request: that the token is this one, still alive and meant for
    /// this audience, that its scheme fits its binding, and the proof of a bound token.
    pub fn present(
        self: &Arc<Self>,
        presented: &Presented<'_>,
        now: Timestamp,
    ) -> Result<Actor, CredentialError> {
        if proof::token_digest(presented.token) != self.digest {
            return Err(CredentialError::OtherToken);
        }
        if self.expires <= now {
            return Err(CredentialError::Expired { what: WHAT });
        }
        if self.audience != presented.audience {
            return Err(CredentialError::Audience { what: WHAT });
        }
        let proof = match (&self.bound_to, presented.scheme, presented.proof) {
            (None, Scheme::Bearer, None) => None,
            (Some(Binding::Certificate(thumbprint)), Scheme::Bearer, None) => {
                is_shown(thumbprint, presented.certificate, now)?;
                None
            }
            (None | Some(Binding::Certificate(_)), _, _) => {
                return Err(CredentialError::NotBound);
            }
            (Some(Binding::Key(_)), Scheme::Bearer, _)
            | (Some(Binding::Key(_)), Scheme::Dpop, None) => {
                return Err(CredentialError::ProofMissing);
            }
            (Some(Binding::Key(jkt)), Scheme::Dpop, Some(proof)) => {
                let target = ProofTarget {
                    method: presented.method,
                    url: presented.url,
                    token: Some(&self.digest),
                    nonces: presented.nonces,
                };
                let proof = verify_proof(proof, &target, now)?;
                if proof.thumbprint() != jkt {
                    return Err(CredentialError::OtherKey);
                }
                Some(proof)
            }
        };
        let proof_use = proof.map(|proof| proof.single_use());
        Ok(Actor::new(Arc::clone(self), proof_use, presented.peer))
    }

    pub(crate) const fn is_bound(&self) -> bool {
        self.bound_to.is_some()
    }
}

fn read_claims(
    claims: &Claims,
    key: &PublicKey,
    digest: Digest,
) -> Result<Verified, CredentialError> {
    let agent = claims.text("agent")?;
    if claims.text("client_id")? != agent {
        return Err(claims.inconsistent("`client_id` is not `agent`"));
    }
    let Delegated { user, chain, actions, may_act, key: bought_with } =
        delegation::read(claims, agent)?;
    let name = "a name of an agent";
    let agent = Name::new(agent).map_err(|_| claims.wrong("agent", name))?;
    let version = Digest::from_hex(claims.text("agent_version")?)
        .ok_or(claims.wrong("agent_version", "a digest in hexadecimal"))?;
    let token =
        TokenId::parse(claims.identifier()?).ok_or(claims.wrong("jti", "a token id (`tok_…`)"))?;
    let task = match claims.optional_text("task")? {
        None => None,
        Some(text) => Some(TaskId::parse(text).ok_or(claims.wrong("task", "a task id (`tsk_…`)"))?),
    };
    let instance = claims.optional_text("agent_instance")?.map(str::to_owned);
    let bound_to = read_binding(claims)?;
    if let Some(Binding::Key(jkt)) = &bound_to
        && instance.as_ref() != Some(jkt)
    {
        return Err(claims.inconsistent("`cnf.jkt` is not `agent_instance`"));
    }
    Ok(Verified {
        agent,
        version,
        instance,
        user,
        chain,
        actions,
        may_act,
        key: bought_with,
        task,
        token,
        scope: claims.optional_text("scope")?.map(str::to_owned),
        audience: claims.audience()?.to_owned(),
        bound_to,
        kid: key.thumbprint().to_owned(),
        digest,
        issued: Timestamp::default(),
        expires: Timestamp::default(),
    })
}

/// Whether the connection's certificate is the one that the token is bound to, and still valid.
fn is_shown(
    thumbprint: &str,
    certificate: Option<&Certificate>,
    now: Timestamp,
) -> Result<(), CredentialError> {
    let certificate = certificate.ok_or(CredentialError::CertificateMissing)?;
    if certificate.thumbprint() != thumbprint {
        return Err(CredentialError::OtherCertificate);
    }
    if certificate.is_current(now) { Ok(()) } else { Err(CredentialError::CertificateExpired) }
}

fn read_binding(claims: &Claims) -> Result<Option<Binding>, CredentialError> {
    let Some(confirmation) = claims.optional_object("cnf")? else { return Ok(None) };
    let known = confirmation.len() == 1;
    let member = |name| {
        let thumbprint = confirmation.get(name).and_then(proof::is_thumbprint);
        thumbprint.filter(|_| known).map(str::to_owned)
    };
    let bound_to = member("jkt").map(Binding::Key);
    match bound_to.or_else(|| member("x5t#S256").map(Binding::Certificate)) {
        Some(bound_to) => Ok(Some(bound_to)),
        // A binding that is not understood must not become a bearer token.
        None => Err(claims.wrong("cnf", "an object with only `jkt` or `x5t#S256`, a thumbprint")),
    }
}
