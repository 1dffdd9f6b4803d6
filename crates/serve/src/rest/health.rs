//! Whether the service lives, is ready, and how it does.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::AppState;
use crate::error::ApiError;

/// As Gorse says it; there is one store, which is data and cache at once.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Health {
    ready: bool,
    data_store_error: Option<String>,
    cache_store_error: Option<String>,
    data_store_connected: bool,
    cache_store_connected: bool,
}

pub(super) async fn live(State(state): State<AppState>) -> Json<Health> {
    Json(health(&state).await)
}

pub(super) async fn ready(State(state): State<AppState>) -> Response {
    let health = health(&state).await;
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

async fn health(state: &AppState) -> Health {
    // Asking for nobody reads the store without finding anything.
    let asked = state.read(|state| state.store().user_presence("").map_err(ApiError::from)).await;
    let error = asked.err().map(|error| error.message);
    Health {
        ready: error.is_none() && state.feed().is_some(),
        data_store_connected: error.is_none(),
        cache_store_connected: error.is_none(),
        cache_store_error: error.clone(),
        data_store_error: error,
    }
}

pub(super) async fn metrics(State(state): State<AppState>) -> Response {
    let content_type = (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    ([content_type], state.telemetry().text()).into_response()
}
