//! The taste map: its points, one video and what is near it, a viewer's path and journey.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use upnext_pipeline::{Journey, OnMap, Path};

use crate::error::ApiError;
use crate::extract::Named;
use crate::{AppState, TasteMap};

pub(super) async fn map(State(state): State<AppState>) -> Result<Response, ApiError> {
    let map = match state.map() {
        TasteMap::Ready(map) => map,
        TasteMap::Drawing => return Ok(Json(json!({"status": "drawing"})).into_response()),
        TasteMap::Absent(reason) => {
            return Ok(Json(json!({"status": "absent", "message": reason})).into_response());
        }
    };
    let feed = state.ready_feed()?;
    state.read(move |_| Ok(Json(feed.map(&map)).into_response())).await
}

/// A video of the map, with what the page shows of it.
#[derive(Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    on_map: OnMap,
    picture: bool,
}

pub(super) async fn video(
    State(state): State<AppState>,
    Named(video): Named<String>,
) -> Result<Json<Shown>, ApiError> {
    let (feed, map) = (state.ready_feed()?, state.ready_map()?);
    state.check_id("video", &video)?;
    state
        .read(move |state| {
            let on_map = feed.on_map(&map, &video).ok_or_else(|| ApiError::unknown("item", &video))?;
            Ok(Json(Shown { on_map, picture: state.pictures().has(&video) }))
        })
        .await
}

pub(super) async fn path(
    State(state): State<AppState>,
    Named(user): Named<String>,
) -> Result<Json<Path>, ApiError> {
    let (feed, map) = (state.ready_feed()?, state.ready_map()?);
    state.check_id("user", &user)?;
    state.read(move |_| Ok(Json(feed.path(&map, &user)))).await
}

pub(super) async fn journey(
    State(state): State<AppState>,
    Named(user): Named<String>,
) -> Result<Json<Journey>, ApiError> {
    let (feed, map) = (state.ready_feed()?, state.ready_map()?);
    state.check_id("user", &user)?;
    state.read(move |_| Ok(Json(feed.journey(&map, &user)))).await
}
