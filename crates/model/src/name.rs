//! Names that people write in `ambit.yaml`, checked once where they enter.

use crate::limits::{NAME_BYTES, OPERATION_BYTES, SUBJECT_BYTES};
use std::{fmt, sync::Arc};

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty or longer than its limit.
    #[error("`{name}` has {length} characters: a name has 1 to {limit}")]
    Length {
        /// The refused name, cut.
        name: String,
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// It contains a character that names do not have.
    #[error("`{name}` contains `{found}`: use {allowed}")]
    Character {
        /// The refused name.
        name: String,
        /// The first such character.
        found: char,
        /// What may be used.
        allowed: &'static str,
    },
    /// It lacks the form `kind:name` or `upstream.operation`.
    #[error("`{name}` is not of the form {form}")]
    Form {
        /// The refused text.
        name: String,
        /// The expected form.
        form: &'static str,
    },
}

/// A name of lower-case letters, digits, `-` and `_`, beginning with a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Checks and takes a name.
    pub fn new(text: &str) -> Result<Name, NameError> {
        if text.is_empty() || text.len() > NAME_BYTES {
            return Err(length(text, NAME_BYTES));
        }
        let wrong =
            |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_');
        match text
            .chars()
            .find(|c| wrong(*c))
            .or_else(|| text.chars().next().filter(|c| "-_".contains(*c)))
        {
            None => Ok(Name(text.into())),
            Some(found) => Err(NameError::Character {
                name: text.into(),
                found,
                allowed: "lower-case letters, digits, `-` and `_`, beginning with a letter or digit",
            }),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// A human: `dana`, known on this machine, or `customers:8f14e45f`, whom the issuer `customers` calls so.
///
/// A subject of an issuer is never equal to a person of this machine, whatever it is called (S20).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(Arc<str>);

impl UserName {
    /// Reads either form.
    pub fn new(text: &str) -> Result<UserName, NameError> {
        match text.split_once(':') {
            None => Name::new(text).map(UserName::from),
            Some((issuer, subject)) => UserName::of_issuer(&Name::new(issuer)?, subject),
        }
    }

    /// The human whom an issuer calls so: 1 to 255 visible ASCII characters, case and all (OpenID Connect Core §2).
    pub fn of_issuer(issuer: &Name, subject: &str) -> Result<UserName, NameError> {
        if subject.is_empty() || subject.len() > SUBJECT_BYTES {
            return Err(length(subject, SUBJECT_BYTES));
        }
        match subject.chars().find(|c| !c.is_ascii_graphic()) {
            None => Ok(UserName(format!("{issuer}:{subject}").into())),
            Some(found) => Err(NameError::Character {
                name: subject.into(),
                found,
                allowed: "visible ASCII characters",
            }),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The issuer that names this human; `None` for a person of this machine.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.0.split_once(':').map(|(issuer, _)| issuer)
    }
}

impl From<Name> for UserName {
    fn from(name: Name) -> UserName {
        UserName(name.0)
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// The name of a registered agent.
pub type AgentName = Name;
/// The name of an upstream.
pub type UpstreamName = Name;

/// A party outside the agents: `user:ana`, `group:it-leads`, `issuer:customers`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartyName {
    /// One human.
    User(Name),
    /// A group of humans.
    Group(Name),
    /// All humans of one identity provider.
    Issuer(Name),
}

impl PartyName {
    /// Reads `user:NAME`, `group:NAME` or `issuer:NAME`.
    pub fn parse(text: &str) -> Result<PartyName, NameError> {
        let form = NameError::Form { name: text.into(), form: "`user:NAME` or `group:NAME`" };
        let (kind, name) = text.split_once(':').ok_or(form.clone())?;
        let name = Name::new(name)?;
        match kind {
            "user" => Ok(PartyName::User(name)),
            "group" => Ok(PartyName::Group(name)),
            "issuer" => Ok(PartyName::Issuer(name)),
            _ => Err(form),
        }
    }
}

impl fmt::Display for PartyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PartyName::User(name) => write!(f, "user:{name}"),
            PartyName::Group(name) => write!(f, "group:{name}"),
            PartyName::Issuer(name) => write!(f, "issuer:{name}"),
        }
    }
}

/// One operation of one upstream: `tickets.read`. The operation is the MCP tool's own name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionId {
    /// The upstream.
    pub upstream: UpstreamName,
    /// The operation; for MCP the exact tool name: ASCII letters, digits, `_`, `-`, `.`, `/`.
    pub operation: Arc<str>,
}

impl ActionId {
    /// Checks the operation's characters and length.
    pub fn new(upstream: UpstreamName, operation: &str) -> Result<ActionId, NameError> {
        if operation.is_empty() || operation.len() > OPERATION_BYTES {
            return Err(length(operation, OPERATION_BYTES));
        }
        match operation.chars().find(|c| !(c.is_ascii_alphanumeric() || "_-./".contains(*c))) {
            None => Ok(ActionId { upstream, operation: operation.into() }),
            Some(found) => Err(NameError::Character {
                name: operation.into(),
                found,
                allowed: "ASCII letters, digits, `_`, `-`, `.` and `/`",
            }),
        }
    }

    /// Reads `upstream.operation`; the first dot divides.
    pub fn parse(text: &str) -> Result<ActionId, NameError> {
        let (upstream, operation) = text
            .split_once('.')
            .ok_or(NameError::Form { name: text.into(), form: "`upstream.operation`" })?;
        ActionId::new(Name::new(upstream)?, operation)
    }
}

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.upstream, self.operation)
    }
}

impl fmt::Debug for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

fn length(text: &str, limit: usize) -> NameError {
    NameError::Length { name: text.chars().take(limit).collect(), length: text.len(), limit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_human_of_an_issuer_is_nobody_of_this_machine() {
        let customers = Name::new("customers").unwrap();
        let theirs = UserName::of_issuer(&customers, "dana").unwrap();
        assert_eq!(theirs.as_str(), "customers:dana");
        assert_eq!(UserName::new("customers:dana").unwrap(), theirs);
        assert_ne!(UserName::new("dana").unwrap(), theirs);
        assert_eq!(theirs.issuer(), Some("customers"));
        assert_eq!(UserName::new("dana").unwrap().issuer(), None);
        // Case counts, and a subject may hold what a name may not.
        assert_ne!(UserName::of_issuer(&customers, "Dana").unwrap(), theirs);
        assert!(UserName::new("customers:auth0|5f7c8ec7c33c6c004bbafe82").is_ok());
        assert!(
            UserName::new("customers:a:b").is_ok_and(|user| user.issuer() == Some("customers"))
        );
        for wrong in
            ["", "Dana", "customers:", "Customers:dana", ":dana", "customers:a b", "customers:ä"]
        {
            assert!(UserName::new(wrong).is_err(), "{wrong}");
        }
        assert!(UserName::of_issuer(&customers, &"a".repeat(256)).is_err());
    }
}
