//! The picture of a video, as a browser asks for it.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::items::find;
use crate::AppState;
use crate::dashboard::{knows, tag};
use crate::error::ApiError;
use crate::extract::Named;

/// What is hidden has no picture either.
pub(super) async fn picture(
    State(state): State<AppState>,
    Named(video): Named<String>,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    state.ready_feed()?;
    state.check_id("video", &video)?;
    state
        .read(move |state| {
            find(state, &video)?
                .filter(|found| !found.hidden)
                .ok_or_else(|| ApiError::unknown("item", &video))?;
            let read = state.pictures().read(&video);
            let jpeg =
                read.map_err(|error| ApiError::internal(&format!("the picture of {video:?}: {error}")))?;
            let jpeg = jpeg.ok_or_else(|| none(&video))?;
            Ok(answer(jpeg, &request))
        })
        .await
}

/// The picture, or, if the browser has this very one, only the news that it has.
fn answer(jpeg: Vec<u8>, request: &HeaderMap) -> Response {
    let tag = tag(&jpeg);
    let known = knows(request, &tag);
    let headers = [
        (header::ETAG, tag),
        // Kept, but asked about each time: a video that is hidden, or has another picture, shows at once.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    if known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, [(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"))], jpeg).into_response()
}

fn none(video: &str) -> ApiError {
    let hint = "`picture` of a video says whether it has one; `upnext pictures` makes them";
    ApiError::new(StatusCode::NOT_FOUND, "no_picture", format!("the video {video:?} has no picture"), hint)
}
