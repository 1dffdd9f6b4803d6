//! Whether the service lives, is ready, and how it does.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;

use crate::error::ApiError;
use crate::telemetry;
use crate::tenants::{All, Identity};

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

pub(super) async fn live(Extension(all): Extension<All>) -> Json<Health> {
    // The store is not asked: one that hangs is no reason to end the process.
    let ready = all.0.iter().all(|state| state.feed().is_some());
    Json(told(ready, None))
}

pub(super) async fn ready(Extension(all): Extension<All>) -> Response {
    let health = health(&all).await;
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

/// Asks the stores of all tenants: one that is not ready makes the service so.
async fn health(all: &All) -> Health {
    let (mut ready, mut error) = (true, None);
    for state in all.0.iter() {
        // Asking for nobody reads the store without finding anything.
        let asked = state.probe(|state| state.store().user_presence("").map_err(ApiError::from)).await;
        ready &= asked.is_ok() && state.feed().is_some();
        error = error.or(asked.err().map(|error| error.message));
    }
    told(ready, error)
}

fn told(ready: bool, error: Option<String>) -> Health {
    Health {
        ready,
        data_store_connected: error.is_none(),
        cache_store_connected: error.is_none(),
        cache_store_error: error.clone(),
        data_store_error: error,
    }
}

/// Of the tenant that the key is bound to, or of all.
pub(super) async fn metrics(
    Extension(all): Extension<All>,
    identity: Option<Extension<Identity>>,
) -> Response {
    let own = identity.as_ref().and_then(|identity| identity.tenant());
    let seen = all.0.iter().filter(|state| own.is_none_or(|own| own == state.tenant()));
    let seen: Vec<_> = seen.cloned().collect();
    let content_type = (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    ([content_type], telemetry::text(&seen)).into_response()
}
