//! Feedback, as Gorse's clients write and read it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use upnext_store::{Feedback, FeedbackQuery, Identified, Presence, StoredVideo, Write};

use super::live::Change;
use super::page::{RowAffected, affected, now};
use crate::error::ApiError;
use crate::extract::{Body, Named, Params};
use crate::moment::{self, Moment};
use crate::{AppState, spans};

/// Feedback that arrives.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NewFeedback {
    pub(super) feedback_type: String,
    /// Missing in a session, which is anonymous; where feedback is stored, an empty id is refused.
    #[serde(default)]
    pub(super) user_id: String,
    pub(super) item_id: String,
    #[serde(default)]
    pub(super) value: f64,
    #[serde(default)]
    pub(super) timestamp: Moment,
    #[serde(default)]
    pub(super) labels: Value,
    #[serde(default)]
    pub(super) comment: Option<String>,
}

/// Feedback that leaves.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Row {
    feedback_type: String,
    user_id: String,
    item_id: String,
    value: f64,
    timestamp: String,
    labels: Value,
    comment: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Rows {
    cursor: String,
    feedback: Vec<Row>,
}

impl From<Feedback> for Row {
    fn from(feedback: Feedback) -> Self {
        Self {
            feedback_type: feedback.kind,
            user_id: feedback.user,
            item_id: feedback.video,
            value: feedback.value,
            timestamp: moment::written(Some(feedback.time)),
            labels: feedback.labels,
            comment: feedback.comment,
        }
    }
}

pub(super) async fn accumulate(
    State(state): State<AppState>,
    Body(rows): Body<Vec<NewFeedback>>,
) -> Result<Json<RowAffected>, ApiError> {
    write(state, rows, Write::Accumulate).await
}

pub(super) async fn overwrite(
    State(state): State<AppState>,
    Body(rows): Body<Vec<NewFeedback>>,
) -> Result<Json<RowAffected>, ApiError> {
    write(state, rows, Write::Overwrite).await
}

async fn write(state: AppState, rows: Vec<NewFeedback>, write: Write) -> Result<Json<RowAffected>, ApiError> {
    let start = Instant::now();
    state.check_batch(rows.len())?;
    let now = now();
    let feedback = state.to_feedback(rows, now)?;
    state
        .write(move |state| {
            state.check_keys(&feedback)?;
            Ok(affected(state.keep_with_items(&feedback, write, now, start)?))
        })
        .await
}

impl AppState {
    /// Feedback as the store has it.
    pub(super) fn to_feedback(&self, rows: Vec<NewFeedback>, now: i64) -> Result<Vec<Feedback>, ApiError> {
        let feedback = |(at, row): (usize, NewFeedback)| {
            Ok(Feedback {
                time: self.time_of(&format!("[{at}].Timestamp"), row.timestamp, now)?,
                kind: row.feedback_type,
                user: row.user_id,
                video: row.item_id,
                value: row.value,
                labels: row.labels,
                comment: row.comment.unwrap_or_default(),
            })
        };
        rows.into_iter().enumerate().map(feedback).collect()
    }

    /// Writes feedback, and the items that nobody knew.
    pub(super) fn keep_with_items(
        &self,
        feedback: &[Feedback],
        write: Write,
        now: i64,
        since: Instant,
    ) -> Result<usize, ApiError> {
        if self.config().auto_insert_items {
            self.insert_unknown_items(feedback.iter(), now)?;
        }
        self.keep(feedback, write, since)
    }

    /// The same of events; see [`AppState::keep_once`].
    pub(super) fn keep_once_with_items(
        &self,
        events: Vec<Identified>,
        now: i64,
        since: Instant,
    ) -> Result<usize, ApiError> {
        if self.config().auto_insert_items {
            self.insert_unknown_items(events.iter().map(|event| &event.feedback), now)?;
        }
        self.keep_once(events, now, since)
    }

    /// The time of an event: now where none is given or a clock runs a little ahead; later ones count later.
    pub(super) fn time_of(&self, field: &str, given: Moment, now: i64) -> Result<i64, ApiError> {
        const DAY_MILLISECONDS: i64 = 86_400_000;
        let Some(time) = given.0 else { return Ok(now) };
        let config = self.config();
        if time < 0 {
            let message = format!("`{field}` is {}, before 1970", moment::written(Some(time)));
            return Err(ApiError::bad("bad_time", message, "leave the time out for now"));
        }
        if time.saturating_sub(now) <= config.clock_skew_milliseconds_max {
            return Ok(time.min(now));
        }
        if time - now > config.future_days_max.saturating_mul(DAY_MILLISECONDS) {
            let days = config.future_days_max;
            let message =
                format!("`{field}` is {}, more than {days} days ahead", moment::written(Some(time)));
            return Err(ApiError::bad(
                "bad_time",
                message,
                "are these microseconds? seconds and milliseconds are read",
            ));
        }
        Ok(time)
    }

    pub(super) fn check_keys<'a>(
        &self,
        feedback: impl IntoIterator<Item = &'a Feedback>,
    ) -> Result<(), ApiError> {
        let named = |at: usize, what: &str| format!("{what} of row {at}");
        for (at, row) in feedback.into_iter().enumerate() {
            self.check_id(&named(at, "kind"), &row.kind)?;
            self.check_id(&named(at, "user"), &row.user)?;
            self.check_id(&named(at, "item"), &row.video)?;
        }
        Ok(())
    }

    /// Writes feedback, which came at `since`, and counts it by what it means.
    pub(super) fn keep(
        &self,
        feedback: &[Feedback],
        write: Write,
        since: Instant,
    ) -> Result<usize, ApiError> {
        let begun = Instant::now();
        let n = self.store().append(feedback, write)?;
        spans::note("commit", begun);
        self.tell_of(feedback.iter(), since);
        Ok(n)
    }

    /// Writes events, which replace what was said before of their kind; one whose id the store has seen changes nothing. Of how
    /// many events that was. The store remembers ids, so it holds over restarts and for all processes that share it.
    pub(super) fn keep_once(
        &self,
        events: Vec<Identified>,
        now: i64,
        since: Instant,
    ) -> Result<usize, ApiError> {
        if events.iter().all(|event| event.id.is_none()) {
            let feedback: Vec<Feedback> = events.into_iter().map(|event| event.feedback).collect();
            return match feedback.is_empty() {
                true => Ok(0),
                false => self.keep(&feedback, Write::Overwrite, since),
            };
        }
        let begun = Instant::now();
        let n = self.store().append_once(&events, None, now)?;
        spans::note("commit", begun);
        // Which of them were known the store does not tell.
        if n > 0 {
            self.tell_of(events.iter().map(|event| &event.feedback), since);
        }
        Ok(n)
    }

    /// Counts what is in the store now, and tells those who listen.
    fn tell_of<'a>(&self, feedback: impl Iterator<Item = &'a Feedback> + Clone, since: Instant) {
        self.telemetry().took_effect(since.elapsed());
        if !self.changes().are_for_nobody() {
            let mut users: BTreeMap<&str, usize> = BTreeMap::new();
            feedback.clone().for_each(|row| *users.entry(&row.user).or_default() += 1);
            for (user, n) in users {
                self.changes().tell(Change::Events { user: user.to_owned(), n });
            }
        }
        let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
        feedback.for_each(|row| *kinds.entry(&row.kind).or_default() += 1);
        let feed = self.feed();
        for (kind, n) in kinds {
            let meaning = feed.as_ref().map(|feed| feed.config().feedback.meaning(kind));
            let name = meaning.and_then(|meaning| meaning.action()).map_or("other", |action| action.name());
            self.telemetry().events(name.to_owned(), n);
        }
    }

    /// Deletes what a user said of an item, and tells those who listen.
    fn take_back(&self, kind: Option<&str>, user: String, item: &str) -> Result<usize, ApiError> {
        let n = self.store().delete_feedback(kind, &user, item)?;
        if n > 0 {
            self.changes().tell(Change::TakenBack { user, n });
        }
        Ok(n)
    }

    /// Gorse adds items that only feedback has named; here too, unless the run or the store knows them.
    fn insert_unknown_items<'a>(
        &self,
        feedback: impl Iterator<Item = &'a Feedback>,
        now: i64,
    ) -> Result<(), ApiError> {
        let feed = self.feed();
        let stock = feed.as_ref().map(|feed| feed.stock(now));
        let ids: BTreeSet<&str> = feedback.map(|row| row.video.as_str()).collect();
        let mut unknown = Vec::new();
        for id in ids {
            let in_stock = stock.as_ref().is_some_and(|stock| stock.row(id).is_some());
            if !in_stock && self.store().video_presence(id)? == Presence::Unknown {
                unknown.push(StoredVideo { id: id.to_owned(), ..StoredVideo::default() });
            }
        }
        if !unknown.is_empty() && feed.is_some() {
            self.store().put_videos(&unknown)?;
        }
        Ok(())
    }
}

pub(super) async fn list(state: State<AppState>, params: Params) -> Result<Json<Rows>, ApiError> {
    pages(state.0, None, params).await
}

pub(super) async fn list_by_kind(
    state: State<AppState>,
    Named(kind): Named<String>,
    params: Params,
) -> Result<Json<Rows>, ApiError> {
    pages(state.0, Some(kind), params).await
}

async fn pages(state: AppState, kind: Option<String>, params: Params) -> Result<Json<Rows>, ApiError> {
    let n = state.page_of(&params)?;
    state
        .read(move |state| {
            let cursor = params.one("cursor").unwrap_or_default();
            let query = FeedbackQuery { kind: kind.as_deref(), cursor, n, ..FeedbackQuery::default() };
            let page = state.store().feedback(&query)?;
            Ok(Json(Rows { cursor: page.cursor, feedback: page.rows.into_iter().map(Into::into).collect() }))
        })
        .await
}

pub(super) async fn of_user(
    state: State<AppState>,
    Named(user): Named<String>,
    params: Params,
) -> Result<Json<Vec<Row>>, ApiError> {
    found(state.0, [None, Some(user), None], &params).await
}

pub(super) async fn of_user_by_kind(
    state: State<AppState>,
    Named((user, kind)): Named<(String, String)>,
    params: Params,
) -> Result<Json<Vec<Row>>, ApiError> {
    found(state.0, [Some(kind), Some(user), None], &params).await
}

pub(super) async fn of_item(
    state: State<AppState>,
    Named(item): Named<String>,
    params: Params,
) -> Result<Json<Vec<Row>>, ApiError> {
    found(state.0, [None, None, Some(item)], &params).await
}

pub(super) async fn of_item_by_kind(
    state: State<AppState>,
    Named((item, kind)): Named<(String, String)>,
    params: Params,
) -> Result<Json<Vec<Row>>, ApiError> {
    found(state.0, [Some(kind), None, Some(item)], &params).await
}

pub(super) async fn of_pair(
    state: State<AppState>,
    Named((user, item)): Named<(String, String)>,
    params: Params,
) -> Result<Json<Vec<Row>>, ApiError> {
    found(state.0, [None, Some(user), Some(item)], &params).await
}

pub(super) async fn of_key(
    state: State<AppState>,
    Named((kind, user, item)): Named<(String, String, String)>,
    params: Params,
) -> Result<Json<Row>, ApiError> {
    let said = format!("{kind} of {user} on {item}");
    let Json(rows) = found(state.0, [Some(kind), Some(user), Some(item)], &params).await?;
    rows.into_iter().next().map(Json).ok_or_else(|| ApiError::unknown("feedback", &said))
}

/// All that fits, up to the bound of a page.
async fn found(
    state: AppState,
    [kind, user, video]: [Option<String>; 3],
    params: &Params,
) -> Result<Json<Vec<Row>>, ApiError> {
    let max = state.config().page_max;
    let n = params.count("n", max, 1, max)?;
    state
        .read(move |state| {
            let (kind, user, video) = (kind.as_deref(), user.as_deref(), video.as_deref());
            let page = state.store().feedback(&FeedbackQuery { kind, user, video, cursor: "", n })?;
            Ok(Json(page.rows.into_iter().map(Into::into).collect()))
        })
        .await
}

pub(super) async fn remove_pair(
    State(state): State<AppState>,
    Named((user, item)): Named<(String, String)>,
) -> Result<Json<RowAffected>, ApiError> {
    state.write(move |state| Ok(affected(state.take_back(None, user, &item)?))).await
}

pub(super) async fn remove_key(
    State(state): State<AppState>,
    Named((kind, user, item)): Named<(String, String, String)>,
) -> Result<Json<RowAffected>, ApiError> {
    state.write(move |state| Ok(affected(state.take_back(Some(&kind), user, &item)?))).await
}
