//! `/api/v1/agents`, `/owners`, `/revocations`: other systems read the registry and stop what it names. To let go again, to
//! register and to approve is for people.

use super::{
    caller::authenticate,
    presented,
    problem::Problem,
    request::{self, Stop},
};
use crate::{
    app::App,
    control::{Failed, Request as Ask, Which},
    ops,
};
use axum::{
    body::Body,
    extract::{Path, Request, State},
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use model::{Code, declared::ApiRight};
use serde_json::{Value, json};
use std::sync::Arc;

type Answer = Result<Response<Body>, Problem>;

pub(super) async fn agents(State(app): State<Arc<App>>, request: Request) -> Answer {
    read(&app, request, Ask::AgentList).await
}

pub(super) async fn agent(
    State(app): State<Arc<App>>,
    Path(agent): Path<String>,
    request: Request,
) -> Answer {
    read(&app, request, Ask::AgentShow { agent }).await
}

pub(super) async fn residual(
    State(app): State<Arc<App>>,
    Path(agent): Path<String>,
    request: Request,
) -> Answer {
    read(&app, request, Ask::AgentResidual { agent }).await
}

pub(super) async fn owners(State(app): State<Arc<App>>, request: Request) -> Answer {
    read(&app, request, Ask::OwnerList).await
}

/// What the command line would be told.
async fn read(app: &Arc<App>, request: Request, ask: Ask) -> Answer {
    let (head, _) = request.into_parts();
    let client = authenticate(app, &head)?;
    presented::record(app, &client, &head, ApiRight::Read).await?;
    Ok(tagged(&head.headers, &asked(app, ask).await?))
}

/// Suspends an agent: when it is answered, nothing of it reaches an upstream. One that is suspended stays so.
pub(super) async fn suspend(
    State(app): State<Arc<App>>,
    Path(agent): Path<String>,
    request: Request,
) -> Answer {
    let (head, reason) = stopping(&app, request).await?;
    let shown = asked(&app, Ask::AgentShow { agent: agent.clone() }).await?;
    if !fits(&head.headers, &header::IF_MATCH, &tag(&shown.to_string()), true) {
        let what = "the agent is not as `If-Match` says: read it again";
        return Err(Problem::new(StatusCode::PRECONDITION_FAILED, what));
    }
    let is_suspended = shown.get("state").and_then(Value::as_str) == Some("suspended");
    match asked(&app, Ask::AgentSuspend { agent: agent.clone(), reason }).await {
        // A person did so before, whose stop stands.
        Err(_) if is_suspended => {
            let same = json!({ "agent": agent, "state": "suspended",
                "calls_ended": ops::calls_ended(&app).await, "reason": shown.get("reason") });
            Ok(json_of(StatusCode::OK, &same))
        }
        told => Ok(json_of(StatusCode::OK, &told?)),
    }
}

/// Revokes what a kind and a name name, as `ambit revoke` does.
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Path((kind, name)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let (_, reason) = stopping(&app, request).await?;
    let kind: Which = serde_json::from_value(kind.clone().into()).map_err(|_| {
        let what = format!("`{kind}` is nothing that is revoked: `/openapi.json` lists what is");
        Problem::new(StatusCode::NOT_FOUND, what)
    })?;
    Ok(json_of(StatusCode::OK, &asked(&app, Ask::Revoke { kind, name, reason }).await?))
}

/// A client that may stop, and its reason, which says whose it is.
async fn stopping(app: &Arc<App>, request: Request) -> Result<(Parts, String), Problem> {
    let (head, body) = request.into_parts();
    let client = authenticate(app, &head)?;
    let bytes = request::bytes(body).await?;
    presented::record(app, &client, &head, ApiRight::Stop).await?;
    let Stop { reason } = request::read(&bytes).map_err(Problem::of)?;
    let reason: String = request::cut(reason.as_bytes());
    Ok((head, format!("{reason} (client `{}`)", client.name)))
}

async fn asked(app: &Arc<App>, ask: Ask) -> Result<Value, Problem> {
    // A client that goes away does not leave half of a stop behind.
    let served = Arc::clone(app);
    let done = tokio::spawn(async move { ops::serve(&served, ask).await }).await;
    done.unwrap_or_else(|broken| Err(broken.into())).map_err(|error| {
        if ops::is_usage(&error) {
            return Problem::new(StatusCode::NOT_FOUND, error.to_string());
        }
        if error.downcast_ref::<Failed>().is_some() {
            return Problem::new(StatusCode::CONFLICT, error.to_string());
        }
        tracing::error!(%error, "the API could not answer");
        let what = "the gate could not answer: look at its log";
        Problem::of(crate::tasks::Refused::Unrecorded(Code::Unrecorded, what.to_owned()))
    })
}

/// JSON under a tag of its content; a client that has it is told so.
fn tagged(headers: &HeaderMap, value: &Value) -> Response<Body> {
    let tag = tag(&value.to_string());
    let mut response = if fits(headers, &header::IF_NONE_MATCH, &tag, false) {
        let mut same = Response::new(Body::empty());
        *same.status_mut() = StatusCode::NOT_MODIFIED;
        same
    } else {
        json_of(StatusCode::OK, value)
    };
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn tag(body: &str) -> String {
    format!("\"{}\"", request::sha256(body.as_bytes()))
}

/// Whether a conditional header names this tag; `absent` if it is not there.
fn fits(headers: &HeaderMap, name: &HeaderName, tag: &str, absent: bool) -> bool {
    let Some(value) = headers.get(name) else { return absent };
    let named = |one: &str| one == "*" || one == tag;
    value.to_str().is_ok_and(|value| value.split(',').any(|one| named(one.trim())))
}

fn json_of(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
