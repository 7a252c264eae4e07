//! The control API: a listener of its own, for declared clients that open tasks, read the registry or stop what they name.
//! No agent's token is taken here (S1).

mod caller;
mod human;
mod openapi;
mod presented;
mod problem;
mod registry;
mod request;
mod subtasks;
mod tasks;

pub(crate) use subtasks::{PATH as SUBTASKS, router as subtasks};

use crate::{app::App, limits};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::{delete, get, post, put},
};
use http::StatusCode;
use model::Code;
use problem::Problem;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Where the API begins on its listener; with the listener's address the audience of its tokens.
const PREFIX: &str = "/api/v1";

/// The audience of tokens for the API.
pub(crate) fn audience(app: &App) -> String {
    format!("{}{PREFIX}", origin(app))
}

fn origin(app: &App) -> String {
    format!("http://{}", app.settings.api_listen)
}

/// Serves until told to stop.
pub(crate) async fn serve(app: Arc<App>, listener: TcpListener, stop: CancellationToken) {
    let router = Router::new()
        .route("/api/v1/tasks", post(tasks::open))
        .route("/api/v1/tasks/{id}", delete(tasks::end))
        .route("/api/v1/agents", get(registry::agents))
        .route("/api/v1/agents/{name}", get(registry::agent))
        .route("/api/v1/agents/{name}/residual", get(registry::residual))
        .route("/api/v1/agents/{name}/suspension", put(registry::suspend))
        .route("/api/v1/owners", get(registry::owners))
        .route("/api/v1/revocations/{kind}/{name}", put(registry::revoke))
        .route("/openapi.json", get(openapi::document))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "there is nothing here") })
        .layer(from_fn_with_state(Arc::clone(&app), guard))
        .with_state(app);
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the listener of the control API stopped");
    }
}

/// No listener trusts loopback: a page in a browser reaches it too. And nobody keeps one busy for ever.
async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response<Body> {
    let (head, body) = request.into_parts();
    if !gate::wire::is_ours(&origin(&app), &head) {
        app.gate.count_stranger(Code::ProtocolInvalid);
        return Problem::new(StatusCode::FORBIDDEN, "this is not the address of the API").into();
    }
    let answer = next.run(Request::from_parts(head, body));
    match tokio::time::timeout(limits::API_REQUEST, answer).await {
        Ok(response) => response,
        Err(_) => Problem::new(StatusCode::REQUEST_TIMEOUT, "the request took too long").into(),
    }
}
