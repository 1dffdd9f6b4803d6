//! Users, as Gorse's clients write and read them.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use upnext_store::{Presence, StoredUser, UserPatch};

use super::page::{RowAffected, affected};
use crate::AppState;
use crate::error::ApiError;
use crate::extract::{Body, Named, Params};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct User {
    user_id: String,
    #[serde(default)]
    labels: Value,
    #[serde(default)]
    comment: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Change {
    labels: Option<Value>,
    comment: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Users {
    cursor: String,
    users: Vec<User>,
}

impl From<User> for StoredUser {
    fn from(user: User) -> Self {
        Self { id: user.user_id, labels: user.labels, comment: user.comment.unwrap_or_default() }
    }
}

impl From<StoredUser> for User {
    fn from(user: StoredUser) -> Self {
        Self { user_id: user.id, labels: user.labels, comment: Some(user.comment) }
    }
}

pub(super) async fn put_one(
    state: State<AppState>,
    Body(user): Body<User>,
) -> Result<Json<RowAffected>, ApiError> {
    put_many(state, Body(vec![user])).await
}

pub(super) async fn put_many(
    State(state): State<AppState>,
    Body(users): Body<Vec<User>>,
) -> Result<Json<RowAffected>, ApiError> {
    state.check_batch(users.len())?;
    users.iter().try_for_each(|user| state.check_id("UserId", &user.user_id))?;
    let users: Vec<StoredUser> = users.into_iter().map(Into::into).collect();
    state
        .write(move |state| {
            let _whole = state.change_whole();
            Ok(affected(state.store().put_users(&users)?))
        })
        .await
}

pub(super) async fn list(State(state): State<AppState>, params: Params) -> Result<Json<Users>, ApiError> {
    let n = state.page_of(&params)?;
    state
        .read(move |state| {
            let page = state.store().users(params.one("cursor").unwrap_or_default(), n)?;
            Ok(Json(Users { cursor: page.cursor, users: page.rows.into_iter().map(Into::into).collect() }))
        })
        .await
}

pub(super) async fn one(
    State(state): State<AppState>,
    Named(id): Named<String>,
) -> Result<Json<User>, ApiError> {
    state
        .read(move |state| match find(state, &id)? {
            Some(user) => Ok(Json(user.into())),
            None => Err(ApiError::unknown("user", &id)),
        })
        .await
}

pub(super) async fn change(
    State(state): State<AppState>,
    Named(id): Named<String>,
    Body(change): Body<Change>,
) -> Result<Json<RowAffected>, ApiError> {
    state.check_id("user", &id)?;
    let patch = UserPatch { labels: change.labels, comment: change.comment };
    state
        .write(move |state| {
            {
                let _whole = state.change_whole();
                if state.store().patch_user(&id, &patch)? {
                    return Ok(affected(1));
                }
            }
            // A user of the run, whom nobody has written yet; another change may have been the first meanwhile.
            let _part = state.change_part();
            if state.store().patch_user(&id, &patch)? {
                return Ok(affected(1));
            }
            let mut user = find(state, &id)?.ok_or_else(|| ApiError::unknown("user", &id))?;
            patch.apply(&mut user);
            Ok(affected(state.store().put_users(&[user])?))
        })
        .await
}

pub(super) async fn remove(
    State(state): State<AppState>,
    Named(id): Named<String>,
) -> Result<Json<RowAffected>, ApiError> {
    state.check_id("user", &id)?;
    state
        .write(move |state| {
            let _whole = state.change_whole();
            if find(state, &id)?.is_none() && state.store().history(&id, None, 1)?.is_empty() {
                return Ok(affected(0));
            }
            state.store().delete_user(&id)?;
            Ok(affected(1))
        })
        .await
}

/// A user of the store, or one of the run who was not deleted.
fn find(state: &AppState, id: &str) -> Result<Option<StoredUser>, ApiError> {
    if let Some(user) = state.store().user(id)? {
        return Ok(Some(user));
    }
    let deleted = state.store().user_presence(id)? == Presence::Deleted;
    let known = !deleted && state.feed().is_some_and(|feed| feed.knows(id));
    Ok(known.then(|| StoredUser { id: id.to_owned(), ..StoredUser::default() }))
}
