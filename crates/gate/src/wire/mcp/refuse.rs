//! The one place where a refusal becomes an MCP answer. Refusals of a tool call are tool results, because protocol
//! errors and HTTP statuses end the runs of agents (F3); other requests have only errors to say no with.

use super::{
    Visit,
    call::Asked,
    era::Era,
    rpc::{INVALID_PARAMS, RESOURCE_NOT_FOUND, answer, error_message, result_message},
};
use crate::{Gate, Refusal, json::object, limits, wire::Body};
use ::http::{HeaderValue, Response, StatusCode, header};
use canonical::Value;
use model::Code;
use upstream::mcp::Method;

/// How a refusal is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Telling {
    /// HTTP 401: no valid credential came.
    Unauthorized,
    /// HTTP 429: too many came without one.
    TooMany,
    /// `Unknown tool: X`, for what is hidden and what is not there.
    Unknown,
    /// A tool result: decided against.
    Denied,
    /// A tool result that is no error: a human is asked.
    Pending,
    /// A tool result: not decided or not recorded, so not done.
    NotExecuted,
    /// A tool result: allowed, and failed or withheld on the way.
    Failed,
}

/// INVARIANT: no wildcard; a new code says here how agents are told.
const fn telling(code: Code) -> Telling {
    match code {
        Code::CredentialMissing
        | Code::CredentialInvalid
        | Code::CredentialExpired
        | Code::ProofInvalid
        | Code::ProofReplayed
        | Code::KeyPinned
        | Code::KeyAtDoor
        | Code::NonceWanted => Telling::Unauthorized,
        Code::TooManyFailures => Telling::TooMany,
        Code::NotInCatalog => Telling::Unknown,
        Code::Asked => Telling::Pending,
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
        | Code::ArgumentsInvalid
        | Code::BodyInvalid
        | Code::BodyTooLarge
        | Code::DefinitionChanged
        | Code::DefinitionUnseen
        | Code::ProtocolInvalid
        | Code::NotGranted
        | Code::Forbidden
        | Code::OutsideIntent
        | Code::UserNotServed
        | Code::LimitReached
        | Code::AnsweredNo
        | Code::HookRefused
        | Code::RequirementMissing
        | Code::DryRunFailed
        | Code::TooManyAsks => Telling::Denied,
        Code::VersionChanged
        | Code::Undecidable
        | Code::HookUnavailable
        | Code::IssuerUnavailable
        | Code::Unrecorded
        | Code::Saturated
        | Code::Stopping
        | Code::TooManyCalls => Telling::NotExecuted,
        Code::UpstreamUnreachable
        | Code::UpstreamInvalid
        | Code::UpstreamTimeout
        | Code::ResultWithheld
        | Code::UpstreamCredential
        | Code::ResultTooLarge => Telling::Failed,
    }
}

/// Whether nobody valid asked.
pub(super) const fn is_stranger(code: Code) -> bool {
    matches!(telling(code), Telling::Unauthorized | Telling::TooMany)
}

/// The answer to a refused action: a response with its status where nobody valid asked, else the message.
pub(super) fn action(
    gate: &Gate,
    visit: &Visit,
    asked: &Asked,
    refusal: &Refusal,
) -> Result<Value, Box<Response<Body>>> {
    match telling(refusal.code) {
        Telling::Unauthorized | Telling::TooMany => {
            Err(Box::new(self::visit(gate, visit, Some(&asked.id), refusal)))
        }
        Telling::Unknown
        | Telling::Denied
        | Telling::Pending
        | Telling::NotExecuted
        | Telling::Failed => Ok(told(asked, refusal)),
    }
}

/// A client that checks results against a tool's output schema takes no structure of ours, and an answer without any
/// only if it is an error.
fn unstructured(result: &mut Value) {
    if let Value::Object(result) = result
        && result.remove("structuredContent").is_some()
    {
        drop(result.remove("isError"));
        let _inserted = result.insert("isError", Value::Bool(true)).is_ok();
    }
}

/// What a refused action is told: a tool result, or an error where there are no tool results.
pub(super) fn told(asked: &Asked, refusal: &Refusal) -> Value {
    let is_invalid = refusal.code == Code::ProtocolInvalid;
    let refused_inputs = asked.has_inputs() && is_invalid && !asked.method.is_of_tasks();
    if asked.method == Method::CallTool && !refused_inputs {
        let mut result = result(&asked.name, refusal);
        if asked.shows_structure() {
            unstructured(&mut result);
        }
        return result_message(asked.era, &asked.id, result);
    }
    let error = if refused_inputs {
        let message = "the request state or an answer is not one that was asked for";
        object([("code", Value::Integer(INVALID_PARAMS)), ("message", message.into())])
    } else if telling(refusal.code) == Telling::Unknown
        || asked.is_no_prompt(refusal.code)
        || (asked.method.is_of_tasks() && is_invalid)
    {
        absent(asked)
    } else {
        error(refusal)
    };
    error_message(Some(&asked.id), error)
}

/// What is hidden and what is not there are told in the same words.
fn absent(asked: &Asked) -> Value {
    let name: String = asked.name.chars().take(limits::UNKNOWN_NAME).collect();
    match asked.method {
        Method::ReadResource | Method::Subscribe | Method::Unsubscribe | Method::ListResources => {
            let code = if asked.era == Era::Modern { INVALID_PARAMS } else { RESOURCE_NOT_FOUND };
            let data = object([("uri", name.into())]);
            let message = "Resource not found".into();
            object([("code", Value::Integer(code)), ("data", data), ("message", message)])
        }
        Method::GetTask | Method::UpdateTask | Method::CancelTask => {
            object([("code", Value::Integer(INVALID_PARAMS)), ("message", "Task not found".into())])
        }
        Method::GetPrompt | Method::Complete | Method::CallTool => {
            let message = format!("Unknown prompt: {name}").into();
            object([("code", Value::Integer(INVALID_PARAMS)), ("message", message)])
        }
    }
}

/// The answer to a refused request that is no tool call.
pub(super) fn visit(
    gate: &Gate,
    visit: &Visit,
    id: Option<&Value>,
    refusal: &Refusal,
) -> Response<Body> {
    let status = match telling(refusal.code) {
        Telling::Unauthorized => StatusCode::UNAUTHORIZED,
        Telling::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Telling::Unknown
        | Telling::Denied
        | Telling::Pending
        | Telling::NotExecuted
        | Telling::Failed => StatusCode::OK,
    };
    let mut response = answer(status, &error_message(id, error(refusal)));
    if status == StatusCode::UNAUTHORIZED && !visit.silent {
        challenge(gate, visit, refusal.code, &mut response);
    }
    response
}

fn error(refusal: &Refusal) -> Value {
    let mut message =
        format!("{} ({}); {}", refusal.code.sentence(), refusal.code.slug(), refusal.code.fix());
    if let Some(detail) = &refusal.detail {
        message = format!("{message}: {detail}");
    }
    let data =
        object([("code", refusal.code.slug().into()), ("trace", refusal.trace.to_string().into())]);
    object([
        ("code", Value::Integer(number(refusal.code))),
        ("data", data),
        ("message", message.into()),
    ])
}

/// The result of a refused `tools/call`. Its text alone says everything; the structure repeats it.
pub(super) fn result(tool: &str, refusal: &Refusal) -> Value {
    let telling = telling(refusal.code);
    if telling == Telling::Unknown {
        let tool: String = tool.chars().take(limits::UNKNOWN_NAME).collect();
        return tool_result(&format!("Unknown tool: {tool}"), true, None);
    }
    let (word, decision) = match telling {
        Telling::Pending => ("Waiting for approval", "ask"),
        Telling::NotExecuted => ("Not executed", "deny"),
        Telling::Failed => ("Failed", "allow"),
        Telling::Unauthorized | Telling::TooMany | Telling::Unknown | Telling::Denied => {
            ("Denied", "deny")
        }
    };
    let code = refusal.code;
    let mut text = format!("{word} ({}, {}): {}.", code.slug(), code.number(), code.sentence());
    let mut members = vec![
        ("code", code.slug().into()),
        ("decision", decision.into()),
        ("fix", code.fix().into()),
        ("message", code.sentence().into()),
        ("retry", Value::Bool(false)),
        ("trace", refusal.trace.to_string().into()),
    ];
    if let Some(detail) = &refusal.detail {
        text = format!("{text} {}.", detail.trim_end_matches('.'));
        members.push(("detail", detail.as_str().into()));
    }
    if let Some(asked) = &refusal.asked {
        let (handle, until) = (asked.handle.to_string(), asked.until.to_string());
        text = format!(
            "{text} Asked: {}. Handle: {handle}. An answer counts until {until}.",
            asked.approvers
        );
        members.push(("approvers", asked.approvers.as_str().into()));
        members.push(("handle", handle.into()));
        members.push(("until", until.into()));
    }
    if let Some(times) = refusal.repeated {
        text = format!(
            "{text} The same call was refused before ({times} times now): repeating it changes nothing."
        );
        members.push(("refused_times", Value::Integer(i64::from(times))));
    }
    text = format!("{text} What to do: {}. Trace: {}", code.fix(), refusal.trace);
    tool_result(&text, telling != Telling::Pending, Some(object(members)))
}

fn tool_result(text: &str, is_error: bool, structured: Option<Value>) -> Value {
    let block = object([("text", text.into()), ("type", "text".into())]);
    let mut members =
        vec![("content", Value::Array(vec![block])), ("isError", Value::Bool(is_error))];
    members.extend(structured.map(|structured| ("structuredContent", structured)));
    object(members)
}

/// Where a client learns how to get a token (RFC 9728), for either kind.
fn challenge(gate: &Gate, visit: &Visit, code: Code, response: &mut Response<Body>) {
    let (base, audience) = (&gate.settings().base_url, visit.door.audience(gate));
    let path = audience.strip_prefix(base.as_str()).unwrap_or_default();
    let metadata =
        format!("resource_metadata=\"{base}/.well-known/oauth-protected-resource{path}\"");
    let error = match code {
        Code::CredentialMissing => "",
        Code::ProofInvalid | Code::ProofReplayed => ", error=\"invalid_dpop_proof\"",
        Code::NonceWanted => ", error=\"use_dpop_nonce\"",
        _ => ", error=\"invalid_token\"",
    };
    let of_bearer = if error.is_empty() { "" } else { ", error=\"invalid_token\"" };
    for value in [
        format!("Bearer {metadata}{of_bearer}"),
        format!("DPoP {metadata}, algs=\"EdDSA ES256\"{error}"),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().append(header::WWW_AUTHENTICATE, value);
        }
    }
}

/// The code's number as a JSON-RPC error code, outside the ranges that JSON-RPC and MCP keep for themselves.
fn number(code: Code) -> i64 {
    code.number().trim_start_matches("AMB").parse().unwrap_or(1)
}

#[cfg(test)]
mod tests;
