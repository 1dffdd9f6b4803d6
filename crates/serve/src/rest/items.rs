//! Items, as Gorse's clients write and read them. An item of the run is there without having been written.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use upnext_pipeline::Card;
use upnext_store::{Presence, StoredVideo, VideoPatch};

use super::page::{RowAffected, affected};
use crate::AppState;
use crate::error::ApiError;
use crate::extract::{Body, Named, Params};
use crate::moment::{self, Moment};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NewItem {
    item_id: String,
    #[serde(default)]
    is_hidden: bool,
    #[serde(default)]
    categories: Option<Vec<String>>,
    #[serde(default)]
    timestamp: Moment,
    #[serde(default)]
    labels: Value,
    #[serde(default)]
    comment: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Item {
    item_id: String,
    is_hidden: bool,
    categories: Vec<String>,
    timestamp: String,
    labels: Value,
    comment: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Change {
    is_hidden: Option<bool>,
    categories: Option<Vec<String>>,
    #[serde(default)]
    timestamp: Moment,
    labels: Option<Value>,
    comment: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Items {
    cursor: String,
    items: Vec<Item>,
}

impl From<NewItem> for StoredVideo {
    fn from(item: NewItem) -> Self {
        Self {
            id: item.item_id,
            hidden: item.is_hidden,
            categories: item.categories.unwrap_or_default(),
            time: item.timestamp.0,
            labels: item.labels,
            comment: item.comment.unwrap_or_default(),
        }
    }
}

impl From<StoredVideo> for Item {
    fn from(video: StoredVideo) -> Self {
        Self {
            item_id: video.id,
            is_hidden: video.hidden,
            categories: video.categories,
            timestamp: moment::written(video.time),
            labels: video.labels,
            comment: video.comment,
        }
    }
}

pub(super) async fn put_one(
    state: State<AppState>,
    Body(item): Body<NewItem>,
) -> Result<Json<RowAffected>, ApiError> {
    put_many(state, Body(vec![item])).await
}

pub(super) async fn put_many(
    State(state): State<AppState>,
    Body(items): Body<Vec<NewItem>>,
) -> Result<Json<RowAffected>, ApiError> {
    state.check_batch(items.len())?;
    items.iter().try_for_each(|item| state.check_id("ItemId", &item.item_id))?;
    let videos: Vec<StoredVideo> = items.into_iter().map(Into::into).collect();
    state
        .write(move |state| {
            let _whole = state.change_whole();
            Ok(affected(state.store().put_videos(&videos)?))
        })
        .await
}

/// Items of the store by id; with `q`, items by title, those of the run among them.
pub(super) async fn list(State(state): State<AppState>, params: Params) -> Result<Json<Items>, ApiError> {
    let n = state.page_of(&params)?;
    if let Some(query) = params.one("q").map(str::to_owned) {
        state.check_id("q", &query)?;
        let feed = state.ready_feed()?;
        return state
            .read(move |state| {
                let found = feed.search(&query, n.min(state.config().n_max)).into_iter();
                let items = found.filter_map(|one| find(state, &one.id).transpose());
                let items = items.map(|video| video.map(Into::into)).collect::<Result<_, ApiError>>()?;
                Ok(Json(Items { cursor: String::new(), items }))
            })
            .await;
    }
    state
        .read(move |state| {
            let page = state.store().videos(params.one("cursor").unwrap_or_default(), n)?;
            Ok(Json(Items { cursor: page.cursor, items: page.rows.into_iter().map(Into::into).collect() }))
        })
        .await
}

pub(super) async fn one(
    State(state): State<AppState>,
    Named(id): Named<String>,
) -> Result<Json<Item>, ApiError> {
    state
        .read(move |state| match find(state, &id)? {
            Some(video) => Ok(Json(video.into())),
            None => Err(ApiError::unknown("item", &id)),
        })
        .await
}

pub(super) async fn change(
    State(state): State<AppState>,
    Named(id): Named<String>,
    Body(change): Body<Change>,
) -> Result<Json<RowAffected>, ApiError> {
    let patch = VideoPatch {
        hidden: change.is_hidden,
        categories: change.categories,
        time: change.timestamp.0,
        labels: change.labels,
        comment: change.comment,
        ..VideoPatch::default()
    };
    apply(state, id, patch).await
}

pub(super) async fn add_category(
    State(state): State<AppState>,
    Named((id, category)): Named<(String, String)>,
) -> Result<Json<RowAffected>, ApiError> {
    state.check_id("category", &category)?;
    apply(state, id, VideoPatch { add_category: Some(category), ..VideoPatch::default() }).await
}

pub(super) async fn remove_category(
    State(state): State<AppState>,
    Named((id, category)): Named<(String, String)>,
) -> Result<Json<RowAffected>, ApiError> {
    apply(state, id, VideoPatch { remove_category: Some(category), ..VideoPatch::default() }).await
}

async fn apply(state: AppState, id: String, patch: VideoPatch) -> Result<Json<RowAffected>, ApiError> {
    state.check_id("item", &id)?;
    state
        .write(move |state| {
            {
                let _whole = state.change_whole();
                if state.store().patch_video(&id, &patch)? {
                    return Ok(affected(1));
                }
            }
            // An item of the run that nobody has written yet; another change may have been the first meanwhile.
            let _part = state.change_part();
            if state.store().patch_video(&id, &patch)? {
                return Ok(affected(1));
            }
            let mut video = find(state, &id)?.ok_or_else(|| ApiError::unknown("item", &id))?;
            patch.apply(&mut video);
            Ok(affected(state.store().put_videos(&[video])?))
        })
        .await
}

pub(super) async fn remove(
    State(state): State<AppState>,
    Named(id): Named<String>,
) -> Result<Json<RowAffected>, ApiError> {
    state.check_id("item", &id)?;
    state
        .write(move |state| {
            let _whole = state.change_whole();
            if find(state, &id)?.is_none() {
                return Ok(affected(0));
            }
            state.store().delete_video(&id)?;
            Ok(affected(1))
        })
        .await
}

/// A video of the store, or one of the run that was not deleted.
pub(super) fn find(state: &AppState, id: &str) -> Result<Option<StoredVideo>, ApiError> {
    if let Some(video) = state.store().video(id)? {
        return Ok(Some(video));
    }
    if state.store().video_presence(id)? == Presence::Deleted {
        return Ok(None);
    }
    Ok(state.feed().and_then(|feed| feed.card(id)).filter(|card| card.in_run).map(stored))
}

/// A video of the run as the store would hold it.
fn stored(card: Card) -> StoredVideo {
    let time = card.year.and_then(|year| moment::parse(&format!("{year:04}-01-01")));
    let mut categories = card.categories;
    if categories.is_empty() {
        categories = card.labels.get("genre").or(card.labels.get("category")).cloned().unwrap_or_default();
    }
    let labels = serde_json::to_value(card.labels).unwrap_or_default();
    StoredVideo { id: card.id, hidden: card.hidden, categories, time, labels, comment: card.title }
}
