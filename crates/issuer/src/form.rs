//! Reads a form body strictly: each parameter once (RFC 6749 §3.2).

use crate::{error::IssueError, limits::PARAMETERS};
use http::{HeaderMap, header};
use std::collections::BTreeMap;

/// The parameters of one request.
pub(crate) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads the body. A parameter without a value counts as absent (RFC 6749 §3.1); a repeated one
    /// refuses the form, except `resource`, whose repetition is [`IssueError::Target`]'s to name.
    pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Form, IssueError> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(IssueError::Form("send `application/x-www-form-urlencoded`"));
        }
        if !body.is_ascii() {
            return Err(IssueError::Form("percent-encode what is not ASCII"));
        }
        let mut parameters = BTreeMap::new();
        let mut repeats_resource = false;
        for (place, (name, value)) in url::form_urlencoded::parse(body).enumerate() {
            if place >= PARAMETERS {
                return Err(IssueError::Form("send fewer parameters"));
            }
            if value.is_empty() {
                continue;
            }
            let is_resource = name == "resource";
            if parameters.insert(name.into_owned(), value.into_owned()).is_some() {
                if !is_resource {
                    return Err(IssueError::Repeated);
                }
                repeats_resource = true;
            }
        }
        if repeats_resource {
            // RFC 8707 allows several; a token here has one audience, so none of them is taken.
            parameters.insert("resource".to_owned(), String::new());
        }
        Ok(Form(parameters))
    }

    /// A parameter, if it was sent with a value.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter that must be there.
    pub(crate) fn require(&self, name: &'static str) -> Result<&str, IssueError> {
        self.get(name).ok_or(IssueError::Missing(name))
    }
}
