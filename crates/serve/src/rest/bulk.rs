//! Much at once, as JSON lines: exports and imports of users, items and feedback, dump and restore of all three, purge.
//!
//! An export is read page by page while it is sent, so it is as long as it must be and never whole in memory. It is not of
//! one moment: what is written meanwhile may be in it or not.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::poll_fn;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Sender, channel};
use upnext_store::{FeedbackQuery, StoredUser, StoredVideo, Write};

use super::feedback::{self, NewFeedback};
use super::items::{self, NewItem};
use super::page::{RowAffected, affected, now};
use super::users::User;
use crate::AppState;
use crate::error::ApiError;
use crate::extract::{BodyLimit, Params, check_depth, from_json, whole};

/// Rows that are read of the store at a time.
const PAGE: usize = 1_000;
/// Chunks that wait to be sent.
const CHUNKS_MAX: usize = 4;

// ---- out -----------------------------------------------------------------------------------------------------------

/// A row of a dump.
#[derive(Serialize)]
enum Out {
    User(User),
    Item(items::Item),
    Feedback(feedback::Row),
}

pub(super) async fn get_users(State(state): State<AppState>) -> Result<Response, ApiError> {
    streamed(state, "users.jsonl", |state, lines| each_user(state, |user| lines.write(&user)))
}

pub(super) async fn get_items(State(state): State<AppState>) -> Result<Response, ApiError> {
    streamed(state, "items.jsonl", |state, lines| each_item(state, |item| lines.write(&item)))
}

pub(super) async fn get_feedback(State(state): State<AppState>) -> Result<Response, ApiError> {
    streamed(state, "feedback.jsonl", |state, lines| each_feedback(state, |row| lines.write(&row)))
}

pub(super) async fn dump(State(state): State<AppState>) -> Result<Response, ApiError> {
    streamed(state, "dump.jsonl", |state, lines| {
        each_user(state, |user| lines.write(&Out::User(user)))?;
        each_item(state, |item| lines.write(&Out::Item(item)))?;
        each_feedback(state, |row| lines.write(&Out::Feedback(row)))
    })
}

fn each_user(state: &AppState, mut f: impl FnMut(User) -> io::Result<()>) -> io::Result<()> {
    pages(|cursor| {
        let page = state.store().users(cursor, PAGE).map_err(io::Error::other)?;
        page.rows.into_iter().try_for_each(|user| f(user.into()))?;
        Ok(page.cursor)
    })
}

fn each_item(state: &AppState, mut f: impl FnMut(items::Item) -> io::Result<()>) -> io::Result<()> {
    pages(|cursor| {
        let page = state.store().videos(cursor, PAGE).map_err(io::Error::other)?;
        page.rows.into_iter().try_for_each(|video| f(video.into()))?;
        Ok(page.cursor)
    })
}

fn each_feedback(state: &AppState, mut f: impl FnMut(feedback::Row) -> io::Result<()>) -> io::Result<()> {
    pages(|cursor| {
        let query = FeedbackQuery { cursor, n: PAGE, ..FeedbackQuery::default() };
        let page = state.store().feedback(&query).map_err(io::Error::other)?;
        page.rows.into_iter().try_for_each(|row| f(row.into()))?;
        Ok(page.cursor)
    })
}

/// Reads page after page until there is none.
fn pages(mut read: impl FnMut(&str) -> io::Result<String>) -> io::Result<()> {
    let mut cursor = String::new();
    loop {
        cursor = read(&cursor)?;
        if cursor.is_empty() {
            return Ok(());
        }
    }
}

/// Lines on their way to a client.
struct Lines {
    sender: Sender<Bytes>,
    waiting: Vec<u8>,
    patience: Duration,
}

impl Lines {
    fn write(&mut self, row: &impl Serialize) -> io::Result<()> {
        const CHUNK_BYTES: usize = 64 * 1024;
        serde_json::to_writer(&mut self.waiting, row)?;
        self.waiting.push(b'\n');
        if self.waiting.len() >= CHUNK_BYTES { self.flush() } else { Ok(()) }
    }

    /// Hands on what waits. It waits for the client, but not for ever.
    fn flush(&mut self) -> io::Result<()> {
        let mut chunk = Bytes::from(std::mem::take(&mut self.waiting));
        if chunk.is_empty() {
            return Ok(());
        }
        let start = Instant::now();
        loop {
            chunk = match self.sender.try_send(chunk) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(chunk)) if start.elapsed() < self.patience => chunk,
                Err(_) => return Err(io::ErrorKind::BrokenPipe.into()),
            };
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// An answer of lines that a thread writes while it is sent. One that fails breaks off, so that nobody takes it for whole.
fn streamed(
    state: AppState,
    name: &'static str,
    write: impl FnOnce(&AppState, &mut Lines) -> io::Result<()> + Send + 'static,
) -> Result<Response, ApiError> {
    let Ok(place) = state.exports().try_acquire_owned() else {
        return Err(ApiError::unavailable("busy", "other exports are going on", 10));
    };
    let (sender, mut receiver) = channel(CHUNKS_MAX);
    let patience = Duration::from_millis(state.config().request_milliseconds_max);
    let is_whole = Arc::new(AtomicBool::new(false));
    let written = Arc::clone(&is_whole);
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let mut lines = Lines { sender, waiting: Vec::new(), patience };
        match write(&state, &mut lines).and_then(|()| lines.flush()) {
            Ok(()) => written.store(true, Ordering::Release),
            Err(error) => tracing::warn!(%error, name, "an export broke off"),
        }
    });
    let chunks = poll_fn(move |context| {
        receiver.poll_recv(context).map(|chunk| match chunk {
            Some(chunk) => Some(Ok(chunk)),
            // The error is told once.
            None if !is_whole.swap(true, Ordering::AcqRel) => Some(Err(io::Error::other("it broke off"))),
            None => None,
        })
    });
    let attachment = format!("attachment;filename={name}");
    let headers =
        [(header::CONTENT_TYPE, "application/jsonl"), (header::CONTENT_DISPOSITION, attachment.as_str())];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

// ---- in ------------------------------------------------------------------------------------------------------------

/// JSON lines: as a body, or as the file `file` of a form.
pub(super) struct Sent(Bytes);

impl FromRequest<AppState> for Sent {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let config = state.config();
        let limit = request.extensions().get::<BodyLimit>().map_or(config.body_bytes_max, |limit| limit.0);
        let (parts, body) = request.into_parts();
        let bytes = whole(&parts.headers, body, config, limit).await?;
        match boundary(&parts.headers) {
            None => Ok(Self(bytes)),
            Some(boundary) => {
                file_of(&bytes, &boundary).map(|file| Self(bytes.slice(file))).ok_or_else(|| {
                    ApiError::bad(
                        "bad_body",
                        "the form has no file named `file`",
                        "curl -F file=@users.jsonl",
                    )
                })
            }
        }
    }
}

fn boundary(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let parameters = kind.strip_prefix("multipart/form-data")?;
    let boundary = parameters.split(';').find_map(|one| one.trim().strip_prefix("boundary="))?;
    Some(boundary.trim_matches('"').to_owned())
}

/// Where in a form the content of the part `file` stands (RFC 7578).
fn file_of(form: &[u8], boundary: &str) -> Option<std::ops::Range<usize>> {
    let find = |what: &[u8], from: usize| {
        let rest = form.get(from..)?;
        rest.windows(what.len()).position(|window| window == what).map(|at| from + at)
    };
    let line = format!("--{boundary}");
    let end = format!("\r\n--{boundary}");
    let mut from = find(line.as_bytes(), 0)?;
    loop {
        let head = from + line.len();
        let content = find(b"\r\n\r\n", head)? + 4;
        let until = find(end.as_bytes(), content - 2)?;
        let said = String::from_utf8_lossy(&form[head..content]);
        if said.contains("name=\"file\"") {
            return Some(content.min(until)..until);
        }
        from = until + 2;
    }
}

/// Every line as a row; one that is wrong is named, and then none is written.
fn rows<T: DeserializeOwned>(state: &AppState, bytes: &[u8]) -> Result<Vec<T>, ApiError> {
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    lines
        .filter(|(_, line)| !line.trim_ascii().is_empty())
        .map(|(at, line)| {
            let row =
                check_depth(line, state.config().json_depth_max).and_then(|()| from_json(line.trim_ascii()));
            row.map_err(|error| error.at(&format!("line {}", at + 1)))
        })
        .collect()
}

pub(super) async fn post_users(
    State(state): State<AppState>,
    Sent(bytes): Sent,
) -> Result<Json<RowAffected>, ApiError> {
    let users = rows::<User>(&state, &bytes)?;
    state.at_length(move |state| Ok(affected(put_users(state, 0, users)?))).await
}

pub(super) async fn post_items(
    State(state): State<AppState>,
    Sent(bytes): Sent,
) -> Result<Json<RowAffected>, ApiError> {
    let items = rows::<NewItem>(&state, &bytes)?;
    state.at_length(move |state| Ok(affected(put_items(state, 0, items)?))).await
}

pub(super) async fn post_feedback(
    State(state): State<AppState>,
    Sent(bytes): Sent,
) -> Result<Json<RowAffected>, ApiError> {
    let rows = rows::<NewFeedback>(&state, &bytes)?;
    state.at_length(move |state| Ok(affected(put_feedback(state, 0, rows)?))).await
}

/// A row of a restore.
#[derive(Deserialize)]
enum In {
    User(User),
    Item(NewItem),
    Feedback(NewFeedback),
}

/// What was restored.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Restored {
    users: usize,
    items: usize,
    feedback: usize,
}

pub(super) async fn restore(
    State(state): State<AppState>,
    Sent(bytes): Sent,
) -> Result<Json<Restored>, ApiError> {
    let (mut users, mut items, mut feedback) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows::<In>(&state, &bytes)? {
        match row {
            In::User(user) => users.push(user),
            In::Item(item) => items.push(item),
            In::Feedback(row) => feedback.push(row),
        }
    }
    state
        .at_length(move |state| {
            let n_users = users.len();
            let n_before = n_users + items.len();
            let users = put_users(state, 0, users)?;
            let items = put_items(state, n_users, items)?;
            let feedback = put_feedback(state, n_before, feedback)?;
            Ok(Json(Restored { users, items, feedback }))
        })
        .await
}

fn put_users(state: &AppState, before: usize, users: Vec<User>) -> Result<usize, ApiError> {
    let users: Vec<StoredUser> = users.into_iter().map(Into::into).collect();
    users.iter().try_for_each(|user| state.check_id("UserId", &user.id))?;
    in_batches(state, before, &users, |batch| Ok(state.store().put_users(batch)?))
}

fn put_items(state: &AppState, before: usize, items: Vec<NewItem>) -> Result<usize, ApiError> {
    let videos: Vec<StoredVideo> = items.into_iter().map(Into::into).collect();
    videos.iter().try_for_each(|video| state.check_id("ItemId", &video.id))?;
    in_batches(state, before, &videos, |batch| Ok(state.store().put_videos(batch)?))
}

fn put_feedback(state: &AppState, before: usize, rows: Vec<NewFeedback>) -> Result<usize, ApiError> {
    let now = now();
    let feedback = state.to_feedback(rows, now)?;
    state.check_keys(&feedback)?;
    // Sent again, it is the same: what is restored replaces.
    in_batches(state, before, &feedback, |batch| {
        state.keep_with_items(batch, Write::Overwrite, now, Instant::now())
    })
}

/// Batches as the store takes them. Where one is refused, the error says how many rows were written `before` and here.
fn in_batches<T>(
    state: &AppState,
    before: usize,
    rows: &[T],
    mut put: impl FnMut(&[T]) -> Result<usize, ApiError>,
) -> Result<usize, ApiError> {
    let (mut written, mut n) = (before, 0);
    for batch in rows.chunks(state.config().batch_max.min(PAGE)) {
        n += put(batch).map_err(|error| match written {
            0 => error,
            _ => error.at(&format!("after {written} rows, which were written")),
        })?;
        written += batch.len();
    }
    Ok(n)
}

// ---- away ----------------------------------------------------------------------------------------------------------

/// What must be confirmed, as Gorse's dashboard sends it.
const CONFIRMED: [&str; 4] = ["delete_users", "delete_items", "delete_feedback", "delete_cache"];

/// Deletes all users, items and feedback that the store holds. What only the run knows stays: it is another file's.
pub(super) async fn purge(
    State(state): State<AppState>,
    params: Params,
    Sent(bytes): Sent,
) -> Result<Json<RowAffected>, ApiError> {
    let form: Vec<(String, String)> = form_urlencoded::parse(&bytes).into_owned().collect();
    let of_form = form.iter().find(|(name, _)| name == "check_list").map(|(_, value)| value.as_str());
    let said = of_form.or(params.one("check_list")).unwrap_or_default();
    let mut said: Vec<&str> = said.split(',').collect();
    said.sort_unstable();
    let mut confirmed = CONFIRMED;
    confirmed.sort_unstable();
    if said != confirmed {
        let hint = format!("confirm with check_list={}", CONFIRMED.join(","));
        return Err(ApiError::bad("not_confirmed", "this deletes all users, items and feedback", hint));
    }
    state
        .at_length(|state| {
            let (store, mut n) = (state.store(), 0);
            // From the beginning each time: what was read is gone.
            loop {
                let users = store.users("", PAGE)?.rows;
                for user in &users {
                    n += usize::from(store.delete_user(&user.id)?);
                }
                let videos = store.videos("", PAGE)?.rows;
                for video in &videos {
                    n += usize::from(store.delete_video(&video.id)?);
                }
                let query = FeedbackQuery { n: PAGE, ..FeedbackQuery::default() };
                let feedback = store.feedback(&query)?.rows;
                for row in &feedback {
                    n += store.delete_feedback(Some(&row.kind), &row.user, &row.video)?;
                }
                if users.is_empty() && videos.is_empty() && feedback.is_empty() {
                    return Ok(affected(n));
                }
            }
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_form_is_found() {
        let form = b"--x\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\n1\r\n--x\r\n\
            Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n{\"a\":1}\n{}\r\n--x--\r\n";
        assert_eq!(&form[file_of(form, "x").unwrap()], b"{\"a\":1}\n{}");
        let empty = b"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n\r\n--x--";
        assert_eq!(&empty[file_of(empty, "x").unwrap()], b"");
        for broken in [&form[..60], b"", b"--x", b"--x\r\n\r\n", b"--x\r\n\r\n\r\n--x"] {
            assert!(file_of(broken, "x").is_none(), "{}", String::from_utf8_lossy(broken));
        }
    }
}
