//! `/api/v1`: the registry for other systems, read only, on the operators' listener. Whoever reads it shows the token that
//! lies beside the ledger; an agent's token opens nothing here.

use crate::{
    app::{App, SystemEntropy},
    control::Request as Ask,
    ops,
};
use anyhow::Context as _;
use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
};
use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use ledger::Entropy as _;
use serde_json::{Value, json};
use std::{
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path as File,
    sync::Arc,
};
use zeroize::Zeroizing;

/// The file with the token, in the data directory.
const TOKEN: &str = "api-token";
/// Longest token file that is read: 64 digits and a line end.
const TOKEN_BYTES: u64 = 128;

/// What the routes share.
pub(super) struct Api {
    app: Arc<App>,
    token: Zeroizing<String>,
}

/// The routes below `/api/v1`, and their description.
pub(super) fn router(app: Arc<App>) -> anyhow::Result<Router> {
    let token = token(&app.settings.data)?;
    let api = Arc::new(Api { app, token });
    let governed = Router::new()
        .route("/api/v1/agents", get(agents))
        .route("/api/v1/agents/{name}", get(agent))
        .route("/api/v1/agents/{name}/residual", get(residual))
        .route("/api/v1/owners", get(owners))
        .fallback(unknown)
        .layer(middleware::from_fn_with_state(Arc::clone(&api), authenticate))
        .with_state(api);
    Ok(governed.route("/openapi.json", get(|| async { answer(&HeaderMap::new(), &description()) })))
}

/// Reads the token, or draws it at the first start; only the gate's user reads the file.
fn token(data: &File) -> anyhow::Result<Zeroizing<String>> {
    let path = data.join(TOKEN);
    let failed = || format!("`{}` cannot be used", path.display());
    if !path.exists() {
        let mut random = Zeroizing::new([0_u8; 32]);
        SystemEntropy.fill(random.as_mut_slice());
        let options = &mut std::fs::OpenOptions::new();
        let mut file =
            options.write(true).create_new(true).mode(0o600).open(&path).with_context(failed)?;
        file.write_all(Zeroizing::new(hex::encode(random.as_slice())).as_bytes())?;
        file.sync_all()?;
    }
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(&path).with_context(failed)?;
    file.take(TOKEN_BYTES).read_to_string(&mut text).with_context(failed)?;
    let token = Zeroizing::new(text.trim().to_owned());
    anyhow::ensure!(token.len() == 64, "{}: it holds no token, remove it", failed());
    Ok(token)
}

async fn authenticate(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if verify_slices_are_equal(shown.as_bytes(), api.token.as_bytes()).is_ok() {
        return next.run(request).await;
    }
    let detail =
        "show the token in `api-token` of the data directory; an agent's token opens nothing here";
    let mut refused = problem(StatusCode::UNAUTHORIZED, "not authenticated", detail);
    refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    refused
}

async fn unknown() -> Response {
    problem(StatusCode::NOT_FOUND, "not found", "`/openapi.json` lists what there is")
}

async fn agents(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    asked(&api, &headers, Ask::AgentList).await
}

async fn agent(
    State(api): State<Arc<Api>>,
    Path(agent): Path<String>,
    headers: HeaderMap,
) -> Response {
    asked(&api, &headers, Ask::AgentShow { agent }).await
}

async fn residual(
    State(api): State<Arc<Api>>,
    Path(agent): Path<String>,
    headers: HeaderMap,
) -> Response {
    asked(&api, &headers, Ask::AgentResidual { agent }).await
}

async fn owners(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    asked(&api, &headers, Ask::OwnerList).await
}

/// What the command line would be told.
async fn asked(api: &Api, headers: &HeaderMap, ask: Ask) -> Response {
    match ops::serve(&api.app, ask).await {
        Ok(value) => answer(headers, &value),
        Err(error) if ops::is_usage(&error) => {
            problem(StatusCode::NOT_FOUND, "not found", &error.to_string())
        }
        Err(error) => {
            tracing::error!(%error, "the API could not answer");
            let detail = "the gate could not answer: look at its log";
            problem(StatusCode::INTERNAL_SERVER_ERROR, "failed", detail)
        }
    }
}

/// JSON under a tag of its content; a client that has it is told so.
fn answer(headers: &HeaderMap, value: &Value) -> Response {
    let body = value.to_string();
    let tag = format!("\"{}\"", hex::encode(digest(&SHA256, body.as_bytes())));
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let same = known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag));
    let (status, body) =
        if same { (StatusCode::NOT_MODIFIED, String::new()) } else { (StatusCode::OK, body) };
    let mut response = with_type(status, "application/json", body);
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// RFC 9457.
fn problem(status: StatusCode, title: &str, detail: &str) -> Response {
    let body = json!({
        "type": "about:blank", "status": status.as_u16(), "title": title, "detail": detail,
    });
    with_type(status, "application/problem+json", body.to_string())
}

fn with_type(status: StatusCode, kind: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The description of the API (OpenAPI 3.1).
fn description() -> Value {
    let answers = |what: &str, is_list: bool| {
        let schema = json!({ "type": "object", "additionalProperties": true });
        let schema = if is_list { json!({ "type": "array", "items": schema }) } else { schema };
        let refused = |why: &str| {
            json!({
                "description": why,
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/problem" } } },
            })
        };
        json!({
            "200": {
                "description": what,
                "headers": { "ETag": { "schema": { "type": "string" } } },
                "content": { "application/json": { "schema": schema } },
            },
            "304": { "description": "what `If-None-Match` names" },
            "401": refused("no token of the API came"),
            "404": refused("there is no such agent"),
        })
    };
    let path = |id: &str, what: &str, is_list: bool, named: bool| {
        let name = json!([{ "name": "name", "in": "path", "required": true, "schema": { "type": "string" } }]);
        let parameters = if named { name } else { json!([]) };
        json!({ "get": {
            "operationId": id, "summary": what, "parameters": parameters, "responses": answers(what, is_list),
        } })
    };
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Ambit", "version": env!("CARGO_PKG_VERSION") },
        "security": [{ "token": [] }],
        "paths": {
            "/api/v1/agents": path("listAgents", "registered agents, with state, owner and version", true, false),
            "/api/v1/agents/{name}": path("showAgent", "one agent, with the parts of its version and its actions", false, true),
            "/api/v1/agents/{name}/residual": path("showResidual", "what of an agent Ambit cannot take away", true, true),
            "/api/v1/owners": path("listOwners", "who answers, and until when each is known to be alive", true, false),
        },
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": { "problem": {
                "type": "object",
                "required": ["status", "title"],
                "properties": {
                    "type": { "type": "string" }, "status": { "type": "integer" },
                    "title": { "type": "string" }, "detail": { "type": "string" },
                },
            } },
        },
    })
}
