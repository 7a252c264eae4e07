//! The one place where a refusal becomes an HTTP answer (RFC 9457 problem details).

use crate::{
    Refusal,
    wire::{Body, full},
};
use canonical::Value;
use http::{Response, StatusCode, header};
use model::Code;

/// The HTTP answer of a refusal. Hidden and non-existent routes give the same bytes.
#[must_use]
pub(super) fn response(refusal: &Refusal) -> Response<Body> {
    let status = status(refusal.code);
    let hidden = refusal.code == Code::NotInCatalog;
    let mut problem = vec![
        ("code", refusal.code.slug().into()),
        ("number", refusal.code.number().into()),
        ("status", Value::Integer(i64::from(status.as_u16()))),
        ("title", if hidden { "no such resource".into() } else { refusal.code.sentence().into() }),
        ("type", "about:blank".into()),
    ];
    if !hidden {
        problem.push(("fix", refusal.code.fix().into()));
        problem.push(("trace", refusal.trace.to_string().as_str().into()));
        if let Some(detail) = &refusal.detail {
            problem.push(("detail", detail.as_str().into()));
        }
        if let Some(entry) = refusal.entry {
            problem.push(("entry", entry.to_string().as_str().into()));
        }
    }
    if let Some(asked) = &refusal.asked {
        problem.push(("approvers", asked.approvers.as_str().into()));
        problem.push(("handle", asked.handle.to_string().as_str().into()));
        problem.push(("until", asked.until.to_string().as_str().into()));
    }
    let mut response = Response::new(full(crate::json::object(problem).to_bytes()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        let error = match refusal.code {
            Code::CredentialMissing => "",
            Code::NonceWanted => ", error=\"use_dpop_nonce\"",
            Code::ProofInvalid | Code::ProofReplayed => ", error=\"invalid_dpop_proof\"",
            _ => ", error=\"invalid_token\"",
        };
        let value = format!("DPoP algs=\"EdDSA ES256\"{error}");
        if let Ok(value) = header::HeaderValue::from_str(&value) {
            headers.insert(header::WWW_AUTHENTICATE, value);
        }
    }
    response
}

fn status(code: Code) -> StatusCode {
    match code {
        Code::CredentialMissing
        | Code::CredentialInvalid
        | Code::VersionChanged
        | Code::CredentialExpired
        | Code::ProofInvalid
        | Code::ProofReplayed
        | Code::KeyPinned
        | Code::KeyAtDoor
        | Code::NonceWanted => StatusCode::UNAUTHORIZED,
        Code::TooManyFailures | Code::LimitReached | Code::TooManyAsks | Code::TooManyCalls => {
            StatusCode::TOO_MANY_REQUESTS
        }
        Code::NotInCatalog => StatusCode::NOT_FOUND,
        Code::ArgumentsInvalid | Code::RequirementMissing => StatusCode::UNPROCESSABLE_ENTITY,
        Code::BodyInvalid | Code::ProtocolInvalid => StatusCode::BAD_REQUEST,
        Code::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::Asked => StatusCode::ACCEPTED,
        Code::Revoked
        | Code::AgentSuspended
        | Code::AgentDecommissioned
        | Code::OwnerAbsent
        | Code::VersionUnreviewed
        | Code::EnvironmentMismatch
        | Code::SameUser
        | Code::NetworkUnlisted
        | Code::BearerCapped
        | Code::DraftLimited
        | Code::Frozen
        | Code::DefinitionChanged
        | Code::DefinitionUnseen
        | Code::NotGranted
        | Code::Forbidden
        | Code::OutsideIntent
        | Code::UserNotServed
        | Code::HookRefused
        | Code::DryRunFailed
        | Code::AnsweredNo => StatusCode::FORBIDDEN,
        Code::Undecidable
        | Code::HookUnavailable
        | Code::IssuerUnavailable
        | Code::Unrecorded
        | Code::Saturated
        | Code::Stopping
        | Code::UpstreamCredential => StatusCode::SERVICE_UNAVAILABLE,
        Code::UpstreamUnreachable
        | Code::UpstreamInvalid
        | Code::ResultWithheld
        | Code::ResultTooLarge => StatusCode::BAD_GATEWAY,
        Code::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
    }
}
