//! The operators' listener: alive, ready, counters. No secret and no personal data is on it.

use crate::app::App;
use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use serde_json::json;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

struct Operations {
    app: Arc<App>,
    registry: Registry,
    observed: Gauge,
    aging: Gauge,
    bearers: Gauge,
    bearer_tokens: Gauge,
}

/// Serves until told to stop.
pub(crate) async fn serve(app: Arc<App>, listener: TcpListener, stop: CancellationToken) {
    let mut registry = Registry::default();
    app.gate.metrics().register(&mut registry);
    let observed = Gauge::default();
    registry.register(
        "ambit_observed_agents",
        "Agents in `mode: observe`, which nothing holds back",
        observed.clone(),
    );
    let aging = Gauge::default();
    registry.register(
        "ambit_aging_keys",
        "Keys of agents past 80 % of their `max_age`, those that are refused by now included",
        aging.clone(),
    );
    let bearers = Gauge::default();
    registry.register(
        "ambit_bearer_agents",
        "Agents whose tokens work for whoever holds them (`proof: none`)",
        bearers.clone(),
    );
    let bearer_tokens = Gauge::default();
    registry.register(
        "ambit_bearer_tokens",
        "Tokens that were shown at a door, have not ended, and work for whoever holds them",
        bearer_tokens.clone(),
    );
    let state = Arc::new(Operations { app, registry, observed, aging, bearers, bearer_tokens });
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(state);
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the operations listener stopped");
    }
}

async fn ready(State(operations): State<Arc<Operations>>) -> (StatusCode, Json<serde_json::Value>) {
    let gate = &operations.app.gate;
    let ledger = operations.app.store.journal().is_open();
    let state = gate.world().compiled.agents().next().is_some();
    let all = ledger && state && gate.is_admitting();
    let status = if all { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let checks = json!({ "ready": all, "checks": { "ledger": ledger, "state": state, "admitting": gate.is_admitting() } });
    (status, Json(checks))
}

async fn metrics(State(operations): State<Arc<Operations>>) -> Result<String, StatusCode> {
    let observed = i64::try_from(crate::ops::observed(&operations.app).len()).unwrap_or(i64::MAX);
    operations.observed.set(observed);
    let aging = operations.app.aging_keys().len();
    operations.aging.set(i64::try_from(aging).unwrap_or(i64::MAX));
    let bearers = crate::ops::bearers(&operations.app).len();
    operations.bearers.set(i64::try_from(bearers).unwrap_or(i64::MAX));
    let tokens = operations.app.gate.bearer_tokens();
    operations.bearer_tokens.set(i64::try_from(tokens).unwrap_or(i64::MAX));
    let mut text = String::new();
    let encoded = prometheus_client::encoding::text::encode(&mut text, &operations.registry);
    encoded.map(|()| text).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
