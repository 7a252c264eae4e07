//! Under which addresses the issuer is known.

use url::Url;

/// The issuer's name and the addresses derived from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    issuer: String,
    /// Whether records are marked as made by `ambit dev` (S1).
    development: bool,
    /// Whether TLS ends in this process, so that certificates of clients are seen.
    mtls: bool,
    /// Whether reused assertions are held to the first key; not in the twin of a test.
    pins: bool,
}

/// Why an issuer's URL is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an issuer: give scheme, host and port only, such as `http://127.0.0.1:8400`, \
     without a slash at the end"
)]
pub struct SettingsError(String);

impl Settings {
    /// Takes the issuer's URL exactly as clients will compare it (RFC 8414 §3.3): scheme, host and
    /// port in normal form.
    pub fn new(issuer: &str, development: bool) -> Result<Settings, SettingsError> {
        let refused = || SettingsError(issuer.to_owned());
        let url = Url::parse(issuer).map_err(|_| refused())?;
        let is_web = matches!(url.scheme(), "http" | "https");
        if !is_web || url.origin().ascii_serialization() != issuer {
            return Err(refused());
        }
        Ok(Settings { issuer: issuer.to_owned(), development, mtls: false, pins: true })
    }

    /// The same for a listener where TLS ends in this process, so that certificates of clients are seen.
    #[must_use]
    pub fn with_mtls(self, mtls: bool) -> Settings {
        Settings { mtls, ..self }
    }

    /// Whether certificates of clients are seen.
    #[must_use]
    pub const fn mtls(&self) -> bool {
        self.mtls
    }

    /// The same with keys of reused assertions pinned or not, for the twin of a test.
    #[must_use]
    pub fn with_pins(self, pins: bool) -> Settings {
        Settings { pins, ..self }
    }

    /// Whether keys of reused assertions are pinned.
    #[must_use]
    pub const fn pins(&self) -> bool {
        self.pins
    }

    /// `iss`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether records are marked as made by `ambit dev`.
    #[must_use]
    pub const fn development(&self) -> bool {
        self.development
    }

    /// Where tokens are asked for; also accepted as the audience of an assertion.
    #[must_use]
    pub fn token_endpoint(&self) -> String {
        format!("{}/oauth/token", self.issuer)
    }

    /// Where tokens are revoked.
    #[must_use]
    pub fn revocation_endpoint(&self) -> String {
        format!("{}/oauth/revoke", self.issuer)
    }

    /// Where instances are enrolled.
    #[must_use]
    pub fn enrolment_endpoint(&self) -> String {
        format!("{}/oauth/enrol", self.issuer)
    }

    /// Where a token is asked about.
    #[must_use]
    pub fn introspection_endpoint(&self) -> String {
        format!("{}/oauth/introspect", self.issuer)
    }

    /// Where the public keys are.
    #[must_use]
    pub fn jwks_uri(&self) -> String {
        format!("{}/oauth/jwks", self.issuer)
    }
}
