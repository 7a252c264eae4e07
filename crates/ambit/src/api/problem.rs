//! What callers of the API are told when it is not done: RFC 9457.

use crate::tasks::Refused;
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use model::Code;
use serde_json::json;

/// A problem.
pub(super) struct Problem {
    status: StatusCode,
    code: Option<Code>,
    detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem { status, code: None, detail: detail.into() }
    }

    /// Whoever asks is not known, or shows it wrongly: what is wrong is not said.
    pub(super) fn stranger(code: Code) -> Problem {
        let detail = "send an access token of this API as `DPoP`, with a fresh proof by its key";
        Problem { status: StatusCode::UNAUTHORIZED, code: Some(code), detail: detail.to_owned() }
    }

    pub(super) fn of(refused: Refused) -> Problem {
        let (status, code) = match &refused {
            Refused::Wrong(_) => (StatusCode::UNPROCESSABLE_ENTITY, Code::ArgumentsInvalid),
            Refused::Denied(code, _) => (StatusCode::FORBIDDEN, *code),
            Refused::Used => (StatusCode::UNAUTHORIZED, Code::ProofReplayed),
            Refused::Unrecorded(code, _) => (StatusCode::SERVICE_UNAVAILABLE, *code),
        };
        Problem { status, code: Some(code), detail: refused.to_string() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let title = self.status.canonical_reason().unwrap_or("problem");
        let mut problem =
            json!({ "title": title, "status": self.status.as_u16(), "detail": self.detail });
        if let (Some(members), Some(code)) = (problem.as_object_mut(), self.code) {
            members.insert("code".into(), code.slug().into());
            members.insert("number".into(), code.number().into());
        }
        let mut response = Response::new(Body::from(problem.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("DPoP algs=\"EdDSA ES256\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}

impl From<Problem> for Response<Body> {
    fn from(problem: Problem) -> Response<Body> {
        problem.into_response()
    }
}
