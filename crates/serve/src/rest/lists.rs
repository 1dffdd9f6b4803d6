//! Recommendations and lists in Gorse's shape.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use upnext_pipeline::{Feed, Meaning, Request, Scored};
use upnext_store::{Feedback, Write};

use super::feedback::NewFeedback;
use super::page::now;
use crate::AppState;
use crate::error::ApiError;
use crate::extract::{Body, Named, Params};
use crate::moment;
use crate::state::{Answer, Traced};

/// What was written back has been shown and not watched: so small a share is seen and says nothing of taste.
const SHOWN: f64 = 1e-6;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Score {
    id: String,
    score: f64,
}

impl From<Scored> for Score {
    fn from(scored: Scored) -> Self {
        Self { id: scored.id, score: scored.score }
    }
}

type Scores = Result<Json<Vec<Score>>, ApiError>;

pub(super) async fn recommend(
    state: State<AppState>,
    Named(user): Named<String>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    recommended(state.0, user, None, &headers, params).await
}

pub(super) async fn recommend_in(
    state: State<AppState>,
    Named((user, category)): Named<(String, String)>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    recommended(state.0, user, Some(category), &headers, params).await
}

async fn recommended(
    state: AppState,
    user: String,
    category: Option<String>,
    headers: &HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    let feed = state.ready_feed()?;
    state.check_id("user", &user)?;
    let mut request = Request { user: Some(user.clone()), ..state.listed(&feed, &params)? };
    request.categories.extend(category);
    let written_back = params.one("write-back-type").map(str::to_owned);
    let delay = match params.one("write-back-delay") {
        None => 0,
        Some(text) => moment::duration(text).filter(|delay| *delay >= 0).ok_or_else(|| {
            let message = format!("`write-back-delay` is {text:?}; expected a duration");
            ApiError::bad("bad_parameter", message, "write-back-delay=10m for example")
        })?,
    };
    let with_scores = headers.get("x-api-version").is_some_and(|version| version == "2");
    let answer = move |state: &AppState| {
        let (request_id, scores) = slate(state, &feed, &request);
        if let Some(kind) = written_back {
            let now = request.now;
            let time = moment::Moment(Some(now.saturating_add(delay)));
            let time = state.time_of("write-back-delay", time, now)?;
            let shown = |score: &Score| Feedback {
                kind: kind.clone(),
                user: user.clone(),
                video: score.id.clone(),
                value: SHOWN,
                time,
                labels: Value::Null,
                comment: String::new(),
            };
            let shown: Vec<Feedback> = scores.iter().map(shown).collect();
            state.check_keys(&shown)?;
            state.keep(&shown, Write::Accumulate, Instant::now())?;
        }
        Ok((request_id, scores))
    };
    let (request_id, scores) = match params.one("write-back-type") {
        Some(_) => state.write(answer).await?,
        None => state.read(answer).await?,
    };
    let body = match with_scores {
        true => Json(scores).into_response(),
        false => Json(scores.into_iter().map(|score| score.id).collect::<Vec<_>>()).into_response(),
    };
    Ok(([(HeaderName::from_static("x-request-id"), header(&request_id))], body).into_response())
}

/// A request id is hex digits, so it is a header value.
fn header(request_id: &str) -> HeaderValue {
    HeaderValue::from_str(request_id).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A slate in Gorse's shape; its trace is remembered.
fn slate(state: &AppState, feed: &Feed, request: &Request) -> (String, Vec<Score>) {
    let response = feed.recommend(request);
    let scores =
        response.slate.iter().map(|slot| Score { id: slot.video.clone(), score: slot.score }).collect();
    let request_id = response.request_id.clone();
    state.telemetry().traced(&response.trace, &response.failures);
    state.remember(Traced {
        user: request.user.clone(),
        took_microseconds: response.trace.microseconds,
        answer: Answer::Slate(response),
    });
    (request_id, scores)
}

pub(super) async fn collaborative(
    State(state): State<AppState>,
    Named(user): Named<String>,
    params: Params,
) -> Scores {
    let feed = state.ready_feed()?;
    state.check_id("user", &user)?;
    let request = Request { user: Some(user), ..state.listed(&feed, &params)? };
    state.read(move |state| Ok(Json(slate(state, &feed, &request).1))).await
}

pub(super) async fn session(
    state: State<AppState>,
    params: Params,
    Body(session): Body<Vec<NewFeedback>>,
) -> Scores {
    of_session(state.0, None, &params, session).await
}

pub(super) async fn session_in(
    state: State<AppState>,
    Named(category): Named<String>,
    params: Params,
    Body(session): Body<Vec<NewFeedback>>,
) -> Scores {
    of_session(state.0, Some(category), &params, session).await
}

/// What a session wanted are picks, in the order of their times; what it refused is not shown.
async fn of_session(
    state: AppState,
    category: Option<String>,
    params: &Params,
    mut session: Vec<NewFeedback>,
) -> Scores {
    let feed = state.ready_feed()?;
    state.check_batch(session.len())?;
    let mut request = state.listed(&feed, params)?;
    request.categories.extend(category);
    session.sort_by_key(|row| row.timestamp.0.unwrap_or(i64::MAX));
    for row in session {
        state.check_id("ItemId", &row.item_id)?;
        match feed.config().feedback.meaning(&row.feedback_type) {
            Meaning::Hate | Meaning::Impression | Meaning::Seen => request.exclude.push(row.item_id),
            _ => request.picks.push(row.item_id),
        }
    }
    // The newest count.
    let limits = feed.config();
    request.picks.drain(..request.picks.len().saturating_sub(limits.picks_max));
    request.exclude.drain(..request.exclude.len().saturating_sub(limits.exclude_max));
    state.read(move |state| Ok(Json(slate(state, &feed, &request).1))).await
}

pub(super) async fn popular(state: State<AppState>, params: Params) -> Scores {
    listed(state.0, "popular", None, params).await
}

pub(super) async fn popular_in(
    state: State<AppState>,
    Named(category): Named<String>,
    params: Params,
) -> Scores {
    listed(state.0, "popular", Some(category), params).await
}

pub(super) async fn latest(state: State<AppState>, params: Params) -> Scores {
    listed(state.0, "latest", None, params).await
}

pub(super) async fn latest_in(
    state: State<AppState>,
    Named(category): Named<String>,
    params: Params,
) -> Scores {
    listed(state.0, "latest", Some(category), params).await
}

pub(super) async fn non_personalized(
    state: State<AppState>,
    Named(name): Named<String>,
    params: Params,
) -> Scores {
    listed(state.0, &name, None, params).await
}

async fn listed(state: AppState, name: &str, category: Option<String>, params: Params) -> Scores {
    let feed = state.ready_feed()?;
    let list = match name {
        "popular" => Feed::popular,
        "latest" => Feed::latest,
        _ => return Err(no_such_recommender(name, "popular and latest")),
    };
    let mut request = state.listed_for(&feed, &params)?;
    request.categories.extend(category);
    state.read(move |_| Ok(Json(list(&feed, &request).into_iter().map(Into::into).collect()))).await
}

fn no_such_recommender(name: &str, known: &str) -> ApiError {
    let message = format!("there is no recommender {name:?} here");
    ApiError::new(
        axum::http::StatusCode::NOT_FOUND,
        "unknown_recommender",
        message,
        format!("there is {known}"),
    )
}

pub(super) async fn item_neighbors(
    state: State<AppState>,
    Named(id): Named<String>,
    params: Params,
) -> Scores {
    near_item(state.0, id, None, &params).await
}

pub(super) async fn item_neighbors_in(
    state: State<AppState>,
    Named((id, category)): Named<(String, String)>,
    params: Params,
) -> Scores {
    near_item(state.0, id, Some(category), &params).await
}

pub(super) async fn item_to_item(
    state: State<AppState>,
    Named((name, id)): Named<(String, String)>,
    params: Params,
) -> Scores {
    match name.as_str() {
        "neighbors" => near_item(state.0, id, None, &params).await,
        _ => Err(no_such_recommender(&name, "neighbors")),
    }
}

async fn near_item(state: AppState, id: String, category: Option<String>, params: &Params) -> Scores {
    let feed = state.ready_feed()?;
    let mut request = state.listed_for(&feed, params)?;
    request.categories.extend(category);
    state
        .read(move |_| match feed.neighbors_for(&id, &request) {
            Some(near) => Ok(Json(near.into_iter().map(Into::into).collect())),
            None => Err(ApiError::unknown("item", &id)),
        })
        .await
}

pub(super) async fn user_neighbors(
    state: State<AppState>,
    Named(id): Named<String>,
    params: Params,
) -> Scores {
    near_user(state.0, id, &params).await
}

pub(super) async fn user_to_user(
    state: State<AppState>,
    Named((name, id)): Named<(String, String)>,
    params: Params,
) -> Scores {
    match name.as_str() {
        "neighbors" => near_user(state.0, id, &params).await,
        _ => Err(no_such_recommender(&name, "neighbors")),
    }
}

async fn near_user(state: AppState, id: String, params: &Params) -> Scores {
    let feed = state.ready_feed()?;
    let request = Request { now: now(), ..state.listed(&feed, params)? };
    state
        .read(move |_| match feed.user_neighbors(&id, request.offset + request.n) {
            Some(near) => Ok(Json(near.into_iter().skip(request.offset).map(Into::into).collect())),
            None => Err(ApiError::unknown("user", &id)),
        })
        .await
}
