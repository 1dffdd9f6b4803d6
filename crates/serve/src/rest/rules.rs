//! What editors decide, over HTTP.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use upnext_pipeline::Rule;

use crate::AppState;
use crate::error::ApiError;
use crate::extract::Body;

#[derive(Serialize)]
pub(super) struct Rules {
    rules: Vec<Rule>,
    /// Whether they were put here, in place of those of the configuration.
    put: bool,
    /// Whether they outlast the process.
    durable: bool,
}

fn answer(state: &AppState) -> Result<Json<Rules>, ApiError> {
    let (put, durable) = state.kept_rules();
    Ok(Json(Rules { rules: state.ready_feed()?.rules(), put, durable }))
}

pub(super) async fn get(State(state): State<AppState>) -> Result<Json<Rules>, ApiError> {
    answer(&state)
}

pub(super) async fn put(
    State(state): State<AppState>,
    Body(rules): Body<Vec<Rule>>,
) -> Result<Json<Rules>, ApiError> {
    state
        .write(move |state| {
            state.put_rules(Some(rules))?;
            answer(state)
        })
        .await
}

pub(super) async fn delete(State(state): State<AppState>) -> Result<Json<Rules>, ApiError> {
    state
        .write(|state| {
            state.put_rules(None)?;
            answer(state)
        })
        .await
}
