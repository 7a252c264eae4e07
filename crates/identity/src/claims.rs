//! Reads claims with their types and times; what is missing or of the wrong form is named.

use crate::{
    credential::{Credential, CredentialError},
    limits::{JTI_BYTES, LEEWAY},
};
use canonical::{Object, Value};
use model::{Duration, Timestamp};

/// The claims of one credential.
#[derive(Debug)]
pub(crate) struct Claims {
    what: Credential,
    members: Object,
}

impl Claims {
    pub(crate) const fn new(what: Credential, members: Object) -> Claims {
        Claims { what, members }
    }

    /// A claim of any form.
    pub(crate) fn get(&self, member: &str) -> Option<&Value> {
        self.members.get(member)
    }

    /// A claim that is text and must be there.
    pub(crate) fn text(&self, member: &'static str) -> Result<&str, CredentialError> {
        self.optional_text(member)?.ok_or(CredentialError::Missing { what: self.what, member })
    }

    /// A claim that is text if it is there.
    pub(crate) fn optional_text(
        &self,
        member: &'static str,
    ) -> Result<Option<&str>, CredentialError> {
        match self.members.get(member) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or(self.wrong(member, "text")),
        }
    }

    /// A claim of any form, if it is there.
    pub(crate) fn optional(&self, member: &str) -> Option<&Value> {
        self.members.get(member)
    }

    /// A claim that is an object if it is there.
    pub(crate) fn optional_object(
        &self,
        member: &'static str,
    ) -> Result<Option<&Object>, CredentialError> {
        match self.members.get(member) {
            None => Ok(None),
            Some(value) => value.as_object().map(Some).ok_or(self.wrong(member, "an object")),
        }
    }

    /// A NumericDate that must be there.
    pub(crate) fn time(&self, member: &'static str) -> Result<Timestamp, CredentialError> {
        self.optional_time(member)?.ok_or(CredentialError::Missing { what: self.what, member })
    }

    /// A NumericDate (RFC 7519 §2) if it is there. It may have a fraction, which is cut off.
    pub(crate) fn optional_time(
        &self,
        member: &'static str,
    ) -> Result<Option<Timestamp>, CredentialError> {
        let wrong = self.wrong(member, "seconds since 1970 as a number");
        match self.members.get(member) {
            None => Ok(None),
            Some(value) => seconds(value).map(Some).ok_or(wrong),
        }
    }

    /// The `jti`: 1 to [`JTI_BYTES`] bytes.
    pub(crate) fn identifier(&self) -> Result<&str, CredentialError> {
        let text = self.text("jti")?;
        if text.is_empty() || text.len() > JTI_BYTES {
            return Err(self.wrong("jti", "text of 1 to 256 bytes"));
        }
        Ok(text)
    }

    /// The one audience: text, or an array of exactly one text.
    pub(crate) fn audience(&self) -> Result<&str, CredentialError> {
        let member = "aud";
        let value =
            self.members.get(member).ok_or(CredentialError::Missing { what: self.what, member })?;
        let single = match value {
            Value::String(text) => Some(text.as_ref()),
            Value::Array(items) => match items.as_slice() {
                [Value::String(text)] => Some(text.as_ref()),
                _ => None,
            },
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Number(_)
            | Value::Object(_) => return Err(self.wrong(member, "text")),
        };
        single.ok_or(CredentialError::Audience { what: self.what })
    }

    /// Refuses `iat` or `nbf` beyond the leeway ahead of `now`, where they are given.
    pub(crate) fn begun(&self, now: Timestamp) -> Result<(), CredentialError> {
        for member in ["iat", "nbf"] {
            let ahead = self.optional_time(member)?.is_some_and(|time| time > now.after(LEEWAY));
            if ahead {
                return Err(CredentialError::NotYet { what: self.what, member });
            }
        }
        Ok(())
    }

    /// The times of something that lives from `iat` to `exp`, at most `limit` long.
    pub(crate) fn lifetime(
        &self,
        limit: Duration,
    ) -> Result<(Timestamp, Timestamp), CredentialError> {
        let (issued, expires) = (self.time("iat")?, self.time("exp")?);
        if expires <= issued {
            return Err(self.inconsistent("`exp` is not after `iat`"));
        }
        if expires.since(issued) > limit {
            let limit = limit.as_seconds();
            return Err(CredentialError::TooLong { what: self.what, limit });
        }
        Ok((issued, expires))
    }

    pub(crate) const fn wrong(
        &self,
        member: &'static str,
        expected: &'static str,
    ) -> CredentialError {
        CredentialError::Member { what: self.what, member, expected }
    }

    pub(crate) const fn inconsistent(&self, detail: &'static str) -> CredentialError {
        CredentialError::Inconsistent { what: self.what, detail }
    }
}

fn seconds(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Integer(seconds) if *seconds >= 0 => Some(Timestamp::from_seconds(*seconds)),
        // LIMIT: 2^43 seconds are past the year 280,000, and the cast below is exact.
        Value::Number(_) => value.as_f64().filter(|n| (0.0..8.8e12).contains(n)).map(|number| {
            #[expect(clippy::cast_possible_truncation, reason = "cut to whole seconds, in range")]
            let whole = number as i64;
            Timestamp::from_seconds(whole)
        }),
        Value::Null
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => None,
    }
}
