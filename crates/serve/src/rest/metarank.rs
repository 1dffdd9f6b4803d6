//! Events and rankings, as Metarank's clients send them. What it calls a ranking is a list that was shown: an interaction
//! may name it instead of a user, for half an hour.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use upnext_pipeline::{Feed, Request, Slot};
use upnext_store::{Feedback, Identified, StoredUser, StoredVideo, Write};

use super::page::now;
use super::{Access, items};
use crate::error::ApiError;
use crate::extract::{Body, Named, Params};
use crate::messages::deed;
use crate::moment::Moment;
use crate::tenants::Identity;
use crate::{AppState, auth};

/// How long interactions belong to a ranking, as Metarank joins them.
const JOIN_MILLISECONDS: i64 = 30 * 60 * 1_000;

#[derive(Deserialize)]
struct Field {
    name: String,
    value: Value,
}

/// What all events have.
#[derive(Deserialize)]
struct Common {
    id: String,
    #[serde(default)]
    timestamp: Moment,
    tenant: Option<String>,
    #[serde(default)]
    fields: Vec<Field>,
}

/// An event.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Item {
        #[serde(flatten)]
        common: Common,
        item: String,
    },
    User {
        #[serde(flatten)]
        common: Common,
        user: String,
    },
    Ranking(Ranking),
    Interaction {
        #[serde(flatten)]
        common: Common,
        ranking: Option<String>,
        user: Option<String>,
        session: Option<String>,
        #[serde(rename = "type")]
        kind: String,
        item: String,
    },
}

/// A list that was shown, or is to be ranked.
#[derive(Deserialize)]
pub(super) struct Ranking {
    #[serde(flatten)]
    common: Common,
    user: Option<String>,
    session: Option<String>,
    #[serde(default)]
    items: Vec<Candidate>,
}

#[derive(Deserialize)]
struct Candidate {
    id: String,
}

impl Event {
    fn common(&self) -> &Common {
        match self {
            Self::Item { common, .. } | Self::User { common, .. } | Self::Interaction { common, .. } => {
                common
            }
            Self::Ranking(ranking) => &ranking.common,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Taken {
    accepted: usize,
    status: &'static str,
    took_millis: u64,
    updated: usize,
}

/// Takes events. One whose id was taken before counts as accepted and changes nothing.
pub(super) async fn feedback(
    State(state): State<AppState>,
    Body(events): Body<Value>,
) -> Result<Json<Taken>, ApiError> {
    let start = Instant::now();
    let events = events_of(events)?;
    state.check_batch(events.len())?;
    let accepted = events.len();
    let updated = state.write(move |state| state.take_up(events, start)).await?;
    let took_millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Json(Taken { accepted, status: "ok", took_millis, updated }))
}

/// Each by itself, so that the one that is wrong is named.
fn events_of(events: Value) -> Result<Vec<Event>, ApiError> {
    let all = match events {
        Value::Array(all) => all,
        one => vec![one],
    };
    let event = |(at, event): (usize, Value)| {
        serde_json::from_value(event).map_err(|error| {
            let hint = "expected an event of item, user, ranking or interaction, with an id; docs/http.md shows each";
            ApiError::bad("bad_field", format!("the body is wrong at `[{at}]`: {error}"), hint)
        })
    };
    all.into_iter().enumerate().map(event).collect()
}

/// Somebody without a name is known by the session, as in our own routes.
fn viewer(user: Option<String>, session: Option<String>) -> Option<String> {
    user.or_else(|| session.map(|session| format!("session:{session}")))
}

/// Labels with these fields put into them.
fn with_fields(labels: Value, fields: Vec<Field>) -> Value {
    let mut all = match labels {
        Value::Object(all) => all,
        _ => Map::new(),
    };
    all.extend(fields.into_iter().map(|field| (field.name, field.value)));
    Value::Object(all)
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(all) => all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

impl AppState {
    /// Writes what events say; returns how many rows changed.
    fn take_up(&self, events: Vec<Event>, start: Instant) -> Result<usize, ApiError> {
        let now = now();
        let merges = events.iter().any(|event| matches!(event, Event::Item { .. } | Event::User { .. }));
        let part = merges.then(|| self.change_part());
        let (mut ids, mut taken) = (HashSet::new(), Vec::new());
        let mut shown: HashMap<String, (String, i64)> = HashMap::new();
        let mut videos: BTreeMap<String, StoredVideo> = BTreeMap::new();
        let mut users: BTreeMap<String, StoredUser> = BTreeMap::new();
        for (at, event) in events.into_iter().enumerate() {
            let common = event.common();
            self.check_id(&format!("id of event {at}"), &common.id)?;
            if common.tenant.as_deref().is_some_and(|of| !self.tenant().is_empty() && of != self.tenant()) {
                let message = format!("the event {at} is of another tenant");
                let hint = "send it with a key of that tenant";
                return Err(ApiError::new(StatusCode::FORBIDDEN, "wrong_tenant", message, hint));
            }
            let time = self.time_of(&format!("[{at}].timestamp"), common.timestamp, now)?;
            // Ids of deeds are the store's to remember; what others say is known by the newest ids of this process.
            let is_deed = matches!(event, Event::Interaction { .. });
            if !is_deed && (self.event_ids().has(&common.id) || !ids.insert(common.id.clone())) {
                continue;
            }
            match event {
                Event::Item { common, item } => {
                    self.check_id(&format!("item of event {at}"), &item)?;
                    let known = match videos.remove(&item) {
                        Some(known) => Some(known),
                        None => items::find(self, &item)?,
                    };
                    let known = known.unwrap_or(StoredVideo { id: item.clone(), ..StoredVideo::default() });
                    videos.insert(item, self.item_with(known, common.fields));
                }
                Event::User { common, user } => {
                    self.check_id(&format!("user of event {at}"), &user)?;
                    let known = match users.remove(&user) {
                        Some(known) => Some(known),
                        None => self.store().user(&user)?,
                    };
                    let known = known.unwrap_or(StoredUser { id: user.clone(), ..StoredUser::default() });
                    let labels = with_fields(known.labels, common.fields);
                    users.insert(user, StoredUser { labels, ..known });
                }
                Event::Ranking(ranking) => {
                    if let Some(user) = viewer(ranking.user, ranking.session) {
                        self.check_id(&format!("user of event {at}"), &user)?;
                        shown.insert(ranking.common.id, (user, time));
                    }
                }
                Event::Interaction { common, ranking, user, session, kind, item } => {
                    let by_ranking = || {
                        let ranking = ranking.as_deref()?;
                        let here = shown.get(ranking).and_then(|shown| joined(shown, time));
                        here.or_else(|| self.rankings().of(ranking, time))
                    };
                    let user = viewer(user, session).or_else(by_ranking).ok_or_else(|| {
                        let message = format!("the event {at} names nobody");
                        let hint = "give a user, a session, or a ranking of the last 30 minutes";
                        ApiError::bad("bad_field", message, hint)
                    })?;
                    let value = common.fields.iter().find(|field| field.name == "value");
                    let value = value.and_then(|field| field.value.as_f64()).unwrap_or(0.0);
                    let labels = match common.fields.is_empty() {
                        true => Value::Null,
                        false => with_fields(Value::Null, common.fields),
                    };
                    let feedback = Feedback { labels, time, ..deed(kind, user, item, value) };
                    taken.push(Identified { id: Some(common.id), write: Write::Overwrite, feedback });
                }
            }
        }
        self.check_keys(taken.iter().map(|event| &event.feedback))?;
        let mut updated = 0;
        if !users.is_empty() {
            updated += self.store().put_users(&users.into_values().collect::<Vec<_>>())?;
        }
        if !videos.is_empty() {
            updated += self.store().put_videos(&videos.into_values().collect::<Vec<_>>())?;
        }
        // Interactions change no user and no item: they share a commit with those of others.
        drop(part);
        if !taken.is_empty() {
            // Replaced, not added up: so it counts once even where the id is forgotten.
            updated += self.keep_once_with_items(taken, now, start)?;
        }
        // Only what is on disk has been taken.
        ids.into_iter().for_each(|id| self.event_ids().add(id));
        shown.into_iter().for_each(|(id, (user, time))| self.rankings().add(id, user, time));
        Ok(updated)
    }

    /// An item with what an event says of it; `title` and kinds of category mean something.
    fn item_with(&self, mut video: StoredVideo, fields: Vec<Field>) -> StoredVideo {
        let kinds = self.feed().map(|feed| feed.config().category_kinds.clone()).unwrap_or_default();
        for field in &fields {
            match field.name.as_str() {
                "title" => video.comment = field.value.as_str().unwrap_or_default().to_owned(),
                name if kinds.iter().any(|kind| kind == name) => video.categories = texts(&field.value),
                _ => {}
            }
        }
        video.labels = with_fields(video.labels, fields);
        video
    }
}

/// Who was shown a list, if it was within the time of the join.
fn joined((user, shown): &(String, i64), time: i64) -> Option<String> {
    (0..=JOIN_MILLISECONDS).contains(&time.saturating_sub(*shown)).then(|| user.clone())
}

/// Who was shown the newest rankings.
pub(crate) struct Rankings {
    kept: crate::recent::Recent<(String, i64)>,
}

impl Rankings {
    pub(crate) fn new(max: usize) -> Self {
        Self { kept: crate::recent::Recent::new(max) }
    }

    /// Remembers a ranking, unless it was another viewer's: nobody takes over what was shown to others.
    fn add(&self, id: String, user: String, time: i64) {
        self.kept.put_if(id, (user, time), |(of, _), (user, _)| of == user);
    }

    /// Who was shown this ranking, if it was within the time of the join.
    fn of(&self, id: &str, time: i64) -> Option<String> {
        joined(&self.kept.get(id)?, time)
    }
}

// ---- ranked ----------------------------------------------------------------------------------------------------------

#[derive(Serialize)]
pub(super) struct Ranked {
    took: u64,
    items: Vec<RankedItem>,
}

#[derive(Serialize)]
struct RankedItem {
    item: String,
    score: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    features: Option<Vec<Feature>>,
}

#[derive(Serialize)]
struct Feature {
    name: String,
    value: f64,
}

/// Orders the given items for a viewer. There is one model, whatever name it is asked by. Items that the feed would not
/// show (seen, hidden, unknown, or not among the best thousand) come last, in the order in which they were given.
pub(super) async fn rank(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Named(_model): Named<String>,
    params: Params,
    Body(ranking): Body<Ranking>,
) -> Result<Json<Ranked>, ApiError> {
    params.only(&["explain"])?;
    let explain = match params.one("explain") {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            let message = format!("`explain` is {other:?}; expected true or false");
            return Err(ApiError::bad("bad_parameter", message, "explain=true"));
        }
    };
    let start = Instant::now();
    let feed = state.ready_feed()?;
    let items: Vec<String> = ranking.items.iter().map(|item| item.id.clone()).collect();
    state.check_ids("items", &items, feed.config().places_max)?;
    state.check_id("id of the ranking", &ranking.common.id)?;
    let user = viewer(ranking.user.clone(), ranking.session.clone());
    user.iter().try_for_each(|user| state.check_id("user", user))?;
    let now = now();
    let time = state.time_of("timestamp", ranking.common.timestamp, now)?;
    // What is remembered decides whose events count: for a key that only reads nothing is.
    if auth::check_key(&state, Access::Write, &identity).is_ok()
        && let Some(user) = &user
    {
        state.rankings().add(ranking.common.id, user.clone(), time);
    }
    let request = Request { user, n: feed.config().places_max, lambda: Some(1.0), now, ..Request::default() };
    state
        .read(move |state| {
            // Not `recommend`: what is ranked elsewhere was not served here.
            let response = feed.pipeline().run(&request);
            state.telemetry().traced(&response.trace, &response.failures);
            let items = ordered(items, response.slate, explain);
            let took = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
            Ok(Json(Ranked { took, items }))
        })
        .await
}

fn ordered(items: Vec<String>, slate: Vec<Slot>, explain: bool) -> Vec<RankedItem> {
    let least = slate.iter().map(|slot| slot.score).min_by(f64::total_cmp).unwrap_or(0.0);
    let mut by_id: HashMap<String, Slot> = slate.into_iter().map(|slot| (slot.video.clone(), slot)).collect();
    let mut ranked: Vec<RankedItem> = items
        .into_iter()
        .map(|item| {
            let slot = by_id.remove(&item);
            let score = slot.as_ref().map_or(least - 1.0, |slot| slot.score);
            let parts = slot.as_ref().map(|slot| slot.parts.as_slice()).unwrap_or_default();
            let feature = |(name, value): &(String, f64)| Feature { name: name.clone(), value: *value };
            let features = explain.then(|| parts.iter().map(feature).collect());
            RankedItem { item, score, features }
        })
        .collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
    ranked
}

/// A question for what goes with these items.
#[derive(Deserialize)]
pub(super) struct Question {
    count: usize,
    user: Option<String>,
    #[serde(default)]
    items: Vec<String>,
}

/// What a user, or somebody who likes these items, is shown.
pub(super) async fn recommend(
    State(state): State<AppState>,
    Named(_model): Named<String>,
    Body(question): Body<Question>,
) -> Result<Json<Ranked>, ApiError> {
    let start = Instant::now();
    let feed = state.ready_feed()?;
    state.check_places(&feed, question.count, 0)?;
    question.user.iter().try_for_each(|user| state.check_id("user", user))?;
    let request = Request {
        user: question.user,
        picks: question.items,
        n: question.count,
        now: now(),
        ..Request::default()
    };
    state.check_lists(&feed, &request)?;
    state.read(move |state| Ok(Json(recommended(state, &feed, &request, start)))).await
}

fn recommended(state: &AppState, feed: &Feed, request: &Request, start: Instant) -> Ranked {
    let response = feed.recommend(request);
    state.telemetry().traced(&response.trace, &response.failures);
    let item = |slot: Slot| RankedItem { item: slot.video, score: slot.score, features: None };
    let items = response.slate.into_iter().map(item).collect();
    Ranked { took: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX), items }
}
