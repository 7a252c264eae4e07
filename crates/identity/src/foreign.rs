//! Checks a JWT of another issuer: a workload's identity (RFC 7523, JWT-SVID) or a human's ID token.
//!
//! Who checks one names the issuer, the one audience and the types first, and gives the issuer's keys. Which algorithm
//! counts is the key's own affair; `alg` only has to agree with it.

mod keys;

pub use keys::{ForeignKeys, ForeignKeysError};

use crate::{
    claims::Claims,
    compact::{Compact, is_type},
    credential::{Credential, CredentialError},
    limits::{FOREIGN_BYTES, FOREIGN_PART, LEEWAY, SUBJECT_BYTES},
    proof::{token_digest, use_digest},
};
use canonical::Value;
use model::{AgentName, Digest, Duration, Timestamp};

const WHAT: Credential = Credential::Foreign;

/// What a foreign token has to be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// `iss`, compared byte by byte.
    pub issuer: &'a str,
    /// `aud`, which must be this alone.
    pub audience: &'a str,
    /// The media types that `typ` may name, such as `JWT`; where `JWT` is among them, `typ` may be left out.
    pub types: &'a [&'a str],
    /// How long after its `iat` it is taken, however long it lives; with it, `iat` must be there.
    pub max_age: Option<Duration>,
}

/// A checked token of a foreign issuer. It says what that issuer says, and nothing about who this is here.
///
/// ```compile_fail
/// let token: identity::Foreign = todo!();
/// let again = token.clone(); // one assertion is one value
/// ```
#[must_use]
#[derive(Debug)]
pub struct Foreign {
    claims: Claims,
    issuer: String,
    subject: String,
    expires: Timestamp,
    /// When it is taken no more: at its `exp`, or when it is too old.
    ends: Timestamp,
    single_use: Digest,
}

/// The workload of a token that may be used again: what its key is pinned by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// The value of the claim that tells it from the next, such as the uid of a pod.
    pub value: String,
    /// What its key is bound to: agent, since when, issuer, claim and value as one digest.
    pub what: Digest,
    /// Until when that is remembered: as long as this token could be used.
    pub until: Timestamp,
}

impl Foreign {
    /// Its `iss`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Its `sub`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Its `exp`.
    #[must_use]
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// A claim: by its name, or, where the path begins with `/`, by a JSON pointer (RFC 6901).
    #[must_use]
    pub fn claim(&self, path: &str) -> Option<&Value> {
        let Some(pointer) = path.strip_prefix('/') else { return self.claims.get(path) };
        let mut steps = pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
        let first = self.claims.get(&steps.next()?)?;
        steps.try_fold(first, |value, step| value.get(&step))
    }

    /// Whether a claim has exactly this value. Numbers and truth values compare as they are written; a list or an
    /// object equals nothing.
    #[must_use]
    pub fn says(&self, path: &str, expected: &str) -> bool {
        match self.claim(path) {
            Some(Value::String(text)) => text == expected,
            Some(Value::Integer(number)) => number.to_string() == expected,
            Some(Value::Bool(truth)) => truth.to_string() == expected,
            Some(Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_)) | None => {
                false
            }
        }
    }

    /// The workload that a claim tells from the next, for an agent: text of 1 to 512 bytes; `None` where the claim is
    /// none. Under another `since` it is another one: what was pinned before is pinned no more.
    #[must_use]
    pub fn workload(&self, agent: &AgentName, since: u64, path: &str) -> Option<Workload> {
        let Some(Value::String(value)) = self.claim(path) else { return None };
        if value.is_empty() || value.len() > SUBJECT_BYTES {
            return None;
        }
        // The parts before the last hold no zero byte, so that no two lists of parts are one text.
        let holder = format!("{agent}\0{since}\0{}\0{path}", self.issuer);
        if self.issuer.contains('\0') || path.contains('\0') {
            return None;
        }
        let what = use_digest("ambit-pin-v1", &holder, value);
        let until = self.ends.after(LEEWAY).after(crate::limits::ASSERTION_COMMIT_WITHIN);
        Some(Workload { value: value.clone(), what, until })
    }

    /// What must be unused where its issuer's tokens count once, and until when its use must be remembered: its `jti`
    /// under its issuer, or what was signed where it has none.
    #[must_use]
    pub fn single_use(&self) -> (Digest, Timestamp) {
        (self.single_use, self.expires.after(LEEWAY).after(crate::limits::ASSERTION_COMMIT_WITHIN))
    }
}

/// The `iss` that a token states: by it the keys are found, and nothing else may be concluded from it.
pub fn stated_issuer(token: &str) -> Result<String, CredentialError> {
    let compact = Compact::open_within(token, WHAT, FOREIGN_BYTES, &FOREIGN_PART)?;
    Ok(Claims::new(WHAT, compact.claims()?).text("iss")?.to_owned())
}

/// Checks form, type, key, algorithm, signature, issuer, audience, times and subject.
pub fn verify_foreign(
    token: &str,
    keys: &ForeignKeys,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<Foreign, CredentialError> {
    let compact = Compact::open_within(token, WHAT, FOREIGN_BYTES, &FOREIGN_PART)?;
    check_type(&compact, expected.types)?;
    let kid = compact.header.contains("kid").then(|| compact.header_text("kid")).transpose()?;
    let key = keys.find(kid).ok_or(CredentialError::UnknownKey { what: WHAT })?;
    if !key.is_for(compact.header_text("alg")?) {
        return Err(CredentialError::Algorithm { what: WHAT });
    }
    let (signed, signature) = compact.signed();
    if signature.is_empty() || !key.verifies(signed, signature) {
        return Err(CredentialError::Signature { what: WHAT });
    }
    let claims = Claims::new(WHAT, compact.claims()?);
    if claims.text("iss")? != expected.issuer {
        return Err(CredentialError::Issuer { what: WHAT });
    }
    if claims.audience()? != expected.audience {
        return Err(CredentialError::Audience { what: WHAT });
    }
    let (expires, ends) = check_times(&claims, expected.max_age, now)?;
    let subject = claims.text("sub")?;
    if subject.is_empty() || subject.len() > SUBJECT_BYTES {
        return Err(claims.wrong("sub", "text of 1 to 512 bytes"));
    }
    let single_use = match claims.optional_text("jti")? {
        Some(_) => use_digest("ambit-foreign-v1", expected.issuer, claims.identifier()?),
        None => token_digest(signed),
    };
    let (issuer, subject) = (expected.issuer.to_owned(), subject.to_owned());
    Ok(Foreign { claims, issuer, subject, expires, ends, single_use })
}

fn check_type(compact: &Compact<'_>, types: &[&str]) -> Result<(), CredentialError> {
    let fits = if compact.header.contains("typ") {
        let found = compact.header_text("typ")?;
        types.iter().any(|expected| is_type(found, expected))
    } else {
        types.contains(&"JWT")
    };
    if fits { Ok(()) } else { Err(CredentialError::Type { what: WHAT, expected: "JWT" }) }
}

/// Its `exp`, and when it is taken no more.
fn check_times(
    claims: &Claims,
    max_age: Option<Duration>,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), CredentialError> {
    let expires = claims.time("exp")?;
    claims.begun(now)?;
    if expires.after(LEEWAY) <= now {
        return Err(CredentialError::Expired { what: WHAT });
    }
    let Some(limit) = max_age else { return Ok((expires, expires)) };
    let aged = claims.time("iat")?.after(limit);
    if aged.after(LEEWAY) <= now {
        return Err(CredentialError::TooOld { what: WHAT, limit: limit.as_seconds() });
    }
    Ok((expires, expires.min(aged)))
}
