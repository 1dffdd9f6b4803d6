//! What Gorse's dashboard asks: how much there is, and lists of whole items. Its settings, logins, task lists and node
//! lists are of a cluster, which this is not.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use upnext_pipeline::{Feed, Request, Scored};

use super::items::{Item, find};
use crate::AppState;
use crate::error::ApiError;
use crate::extract::{Named, Params};

/// How much there is. All feedback is told as positive: the store counts rows, not what they mean.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Stats {
    num_users: u64,
    num_items: u64,
    num_total_pos_feedback: u64,
    num_valid_pos_feedback: u64,
    num_valid_neg_feedback: u64,
    binary_version: &'static str,
}

/// Of the store; the run's own numbers are in `/api/v2/about`.
pub(super) async fn stats(State(state): State<AppState>) -> Result<Json<Stats>, ApiError> {
    state
        .read(|state| {
            let counts = state.store().counts()?;
            Ok(Json(Stats {
                num_users: counts.users,
                num_items: counts.videos,
                num_total_pos_feedback: counts.feedback,
                num_valid_pos_feedback: counts.feedback,
                num_valid_neg_feedback: 0,
                binary_version: env!("CARGO_PKG_VERSION"),
            }))
        })
        .await
}

/// An item, and its score in a list.
#[derive(Serialize)]
pub(super) struct ScoredItem {
    #[serde(flatten)]
    item: Item,
    #[serde(rename = "Score")]
    score: f64,
}

type Items = Result<Json<Vec<ScoredItem>>, ApiError>;

fn whole(state: &AppState, scored: Vec<Scored>) -> Items {
    let mut items = Vec::with_capacity(scored.len());
    for Scored { id, score } in scored {
        if let Some(video) = find(state, &id)? {
            items.push(ScoredItem { item: video.into(), score });
        }
    }
    Ok(Json(items))
}

async fn listed(state: AppState, params: Params, list: fn(&Feed, &Request) -> Vec<Scored>) -> Items {
    let feed = state.ready_feed()?;
    let request = state.listed_for(&feed, &params)?;
    state.read(move |state| whole(state, list(&feed, &request))).await
}

pub(super) async fn popular(State(state): State<AppState>, params: Params) -> Items {
    listed(state, params, Feed::popular).await
}

pub(super) async fn latest(State(state): State<AppState>, params: Params) -> Items {
    listed(state, params, Feed::latest).await
}

pub(super) async fn recommend(
    State(state): State<AppState>,
    Named(user): Named<String>,
    params: Params,
) -> Items {
    let feed = state.ready_feed()?;
    state.check_id("user", &user)?;
    let request = Request { user: Some(user), ..state.listed(&feed, &params)? };
    state
        .read(move |state| {
            let slate = feed.recommend(&request).slate.into_iter();
            whole(state, slate.map(|slot| Scored { id: slot.video, score: slot.score }).collect())
        })
        .await
}

/// Categories that can be asked for, of what viewers want most.
pub(super) async fn categories(State(state): State<AppState>) -> Result<Json<Vec<String>>, ApiError> {
    let feed = state.ready_feed()?;
    state
        .read(move |state| {
            let n = state.config().page_max;
            let known = feed.search("", n).into_iter().filter_map(|found| feed.card(&found.id));
            let kinds = &feed.config().category_kinds;
            let mut all = BTreeSet::new();
            for card in known {
                all.extend(card.categories);
                all.extend(kinds.iter().filter_map(|kind| card.labels.get(kind)).flatten().cloned());
            }
            Ok(Json(all.into_iter().collect()))
        })
        .await
}
