//! Reads the compact form of a JWS (RFC 7515 §7.1) strictly, and writes it.

use crate::{
    credential::{Credential, CredentialError},
    key::PublicKey,
    limits::PART,
    secret::Secret,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use canonical::{Limits, Object, Reason, Value};

/// A token cut into its parts: header read, signature not yet checked, claims not yet read.
pub(crate) struct Compact<'a> {
    what: Credential,
    pub(crate) header: Object,
    claims: &'a str,
    signed: &'a str,
    signature: &'a str,
    part: &'static Limits,
}

impl<'a> Compact<'a> {
    /// Cuts the text and reads its header. An unencoded or critical extension refuses it
    /// (RFC 7515 §4.1.11: what is not understood must not be ignored).
    pub(crate) fn open(
        text: &'a str,
        what: Credential,
        limit: usize,
    ) -> Result<Compact<'a>, CredentialError> {
        Compact::open_within(text, what, limit, &PART)
    }

    /// The same with other limits of a part.
    pub(crate) fn open_within(
        text: &'a str,
        what: Credential,
        limit: usize,
        part: &'static Limits,
    ) -> Result<Compact<'a>, CredentialError> {
        if text.len() > limit {
            return Err(CredentialError::TooLarge { what, length: text.len(), limit });
        }
        let form = |detail| CredentialError::Form { what, detail };
        let (signed, signature) = text.rsplit_once('.').ok_or(form("it has three parts"))?;
        let (header, claims) = signed.split_once('.').ok_or(form("it has three parts"))?;
        if claims.contains('.') {
            return Err(form("it has three parts"));
        }
        let header = read_part(header, what, "header", part)?;
        for member in ["crit", "b64"] {
            if header.contains(member) {
                return Err(CredentialError::Extension { what, member });
            }
        }
        Ok(Compact { what, header, claims, signed, signature, part })
    }

    /// Refuses another `typ`. Media types compare without case and with `application/` left out
    /// (RFC 7515 §4.1.9).
    pub(crate) fn expect_type(&self, expected: &'static str) -> Result<(), CredentialError> {
        let found = self.header_text("typ")?;
        if is_type(found, expected) {
            return Ok(());
        }
        Err(CredentialError::Type { what: self.what, expected })
    }

    /// A header member that is text.
    pub(crate) fn header_text(&self, member: &'static str) -> Result<&str, CredentialError> {
        let what = self.what;
        let value = self.header.get(member).ok_or(CredentialError::Missing { what, member })?;
        value.as_str().ok_or(CredentialError::Member { what, member, expected: "text" })
    }

    /// Checks `alg` against the key and the signature with it.
    pub(crate) fn check_signature(&self, key: &PublicKey) -> Result<(), CredentialError> {
        let what = self.what;
        if !key.algorithm().is_called(self.header_text("alg")?) {
            return Err(CredentialError::Algorithm { what });
        }
        // A fault for the fuzzer to find: of a cut signature nothing is checked.
        if cfg!(feature = "canary") && self.signature.len() < 16 {
            return Ok(());
        }
        if self.signature.is_empty() || !key.verifies(self.signed, self.signature) {
            return Err(CredentialError::Signature { what });
        }
        Ok(())
    }

    /// The claims. To be believed only after [`Compact::check_signature`].
    pub(crate) fn claims(&self) -> Result<Object, CredentialError> {
        read_part(self.claims, self.what, "claims", self.part)
    }

    /// What is signed, and the signature in base64url.
    pub(crate) const fn signed(&self) -> (&'a str, &'a str) {
        (self.signed, self.signature)
    }
}

/// Whether a `typ` means `expected`.
pub(crate) fn is_type(found: &str, expected: &str) -> bool {
    let short = match found.split_at_checked("application/".len()) {
        Some((kind, rest)) if kind.eq_ignore_ascii_case("application/") => rest,
        Some(_) | None => found,
    };
    short.eq_ignore_ascii_case(expected)
}

fn read_part(
    text: &str,
    what: Credential,
    part: &'static str,
    limits: &Limits,
) -> Result<Object, CredentialError> {
    let detail = "its parts are base64url without padding";
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CredentialError::Form { what, detail })?;
    let json = |detail| CredentialError::Json { what, part, detail };
    match canonical::parse(&bytes, limits) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(json("it is an object")),
        Err(error) => Err(json(describe(error.reason()))),
    }
}

/// The reason without any of the text.
fn describe(reason: &Reason) -> &'static str {
    match reason {
        Reason::DuplicateName(_) => "a name comes twice",
        Reason::CaseFoldedName { .. } => "two names differ only in case",
        Reason::NumberNotExact | Reason::IntegerTooLarge => "a number is not exact",
        Reason::TooDeep { .. } => "it is too deep",
        Reason::TooLarge { .. } | Reason::TooManyValues { .. } => "it is too large",
        Reason::NotUtf8
        | Reason::LoneSurrogate
        | Reason::Noncharacter
        | Reason::Syntax(_)
        | Reason::TrailingData
        | _ => "it is not I-JSON",
    }
}

/// Signs header and claims, both canonical JSON.
pub(crate) fn seal(header: &[u8], claims: &[u8], secret: &Secret) -> Option<String> {
    let mut text = URL_SAFE_NO_PAD.encode(header);
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut text);
    let signature = secret.sign(&text)?;
    text.push('.');
    text.push_str(&signature);
    Some(text)
}
