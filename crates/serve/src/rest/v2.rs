//! Our own routes: scores, sources, reasons, traces. The page is made of these.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use upnext_pipeline::{
    ActionWeights, Explanation, Failure, Feed, HistoryItem, Reason, Request, ShelfKind, Slot, Trace, Verdict,
};
use upnext_store::{Feedback, Identified, Write};

use super::page::{Said, now, shelf_kind, weight, wrong_weights};
use crate::error::ApiError;
use crate::extract::{Body, Named, Params};
use crate::messages::{NewEvent, deed};
use crate::state::{About, Answer, Traced};
use crate::{AppState, Pictures};

/// Labels of one kind that an item carries at most: a film has many actors.
const LABELS_MAX: usize = 12;

/// An answer: a slate or a feed.
#[derive(Serialize)]
pub(super) struct Envelope {
    request_id: String,
    user: Option<String>,
    took_microseconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<Item>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shelves: Option<Vec<Shelf>>,
    trace: Trace,
    failures: Vec<Failure>,
}

#[derive(Serialize)]
struct Shelf {
    kind: ShelfKind,
    name: String,
    subtitle: String,
    items: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    id: String,
    score: f64,
    #[serde(flatten)]
    shown: Shown,
    sources: Vec<String>,
    #[serde(serialize_with = "as_object")]
    parts: Vec<(String, f64)>,
    #[serde(serialize_with = "as_object")]
    ranks: Vec<(String, usize)>,
    reason: Reason,
    #[serde(skip_serializing_if = "Option::is_none")]
    propensity: Option<f64>,
}

/// What a page shows of a video.
#[derive(Serialize)]
struct Shown {
    title: String,
    year: Option<i32>,
    labels: BTreeMap<String, Vec<String>>,
    /// Whether `GET /api/v2/videos/{video}/picture` has one.
    picture: bool,
}

/// Pairs as one object, in their order; a name that stands twice keeps its first value.
fn as_object<S: Serializer, V: Serialize>(pairs: &[(String, V)], serializer: S) -> Result<S::Ok, S::Error> {
    let first = |(at, pair): &(usize, &(String, V))| !pairs[..*at].iter().any(|(name, _)| *name == pair.0);
    serializer.collect_map(pairs.iter().enumerate().filter(first).map(|(_, (name, value))| (name, value)))
}

fn shown(feed: &Feed, pictures: &dyn Pictures, id: &str) -> Shown {
    let picture = pictures.has(id);
    match feed.card(id) {
        None => Shown { title: id.to_owned(), year: None, labels: BTreeMap::new(), picture },
        Some(mut card) => {
            card.labels.values_mut().for_each(|labels| labels.truncate(LABELS_MAX));
            Shown { title: card.title, year: card.year, labels: card.labels, picture }
        }
    }
}

fn items(feed: &Feed, pictures: &dyn Pictures, slate: &[Slot]) -> Vec<Item> {
    let item = |slot: &Slot| Item {
        id: slot.video.clone(),
        score: slot.score,
        shown: shown(feed, pictures, &slot.video),
        sources: slot.sources.clone(),
        parts: slot.parts.clone(),
        ranks: slot.ranks.clone(),
        reason: slot.reason.clone(),
        propensity: slot.propensity,
    };
    slate.iter().map(item).collect()
}

fn envelope(feed: &Feed, pictures: &dyn Pictures, traced: &Traced) -> Envelope {
    let (user, took_microseconds) = (traced.user.clone(), traced.took_microseconds);
    match &traced.answer {
        Answer::Slate(response) => Envelope {
            request_id: response.request_id.clone(),
            user,
            took_microseconds,
            items: Some(items(feed, pictures, &response.slate)),
            shelves: None,
            trace: response.trace.clone(),
            failures: response.failures.clone(),
        },
        Answer::Shelves(shelves) => Envelope {
            request_id: shelves.request_id.clone(),
            user,
            took_microseconds,
            items: None,
            shelves: Some(
                shelves
                    .shelves
                    .iter()
                    .map(|shelf| Shelf {
                        kind: shelf.kind,
                        name: shelf.name.clone(),
                        subtitle: shelf.subtitle.clone(),
                        items: items(feed, pictures, &shelf.items),
                    })
                    .collect(),
            ),
            trace: shelves.trace.clone(),
            failures: shelves.failures.clone(),
        },
    }
}

/// Remembers an answer and dresses it for the wire.
fn answered(
    state: &AppState,
    feed: &Feed,
    user: Option<String>,
    start: Instant,
    answer: Answer,
) -> Json<Envelope> {
    let took_microseconds = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
    match &answer {
        Answer::Slate(response) => state.telemetry().traced(&response.trace, &response.failures),
        Answer::Shelves(shelves) => state.telemetry().traced(&shelves.trace, &shelves.failures),
    }
    let traced = Traced { user, took_microseconds, answer };
    let envelope = envelope(feed, &*state.pictures(), &traced);
    state.remember(traced);
    Json(envelope)
}

async fn ask(state: AppState, feed: Arc<Feed>, request: Request) -> Result<Json<Envelope>, ApiError> {
    state
        .read(move |state| {
            let start = Instant::now();
            let answer = Answer::Slate(feed.recommend(&request));
            Ok(answered(state, &feed, request.user, start, answer))
        })
        .await
}

/// The parameters of a request, and those of a route beside them.
fn only(params: &Params, beside: &[&str]) -> Result<(), ApiError> {
    let asked = super::ASKED.iter().map(|(name, _)| *name);
    params.only(&asked.chain(beside.iter().copied()).collect::<Vec<_>>())
}

/// For a user, a session, or somebody unknown.
pub(super) async fn recommend_by_query(
    State(state): State<AppState>,
    params: Params,
) -> Result<Json<Envelope>, ApiError> {
    only(&params, &["user"])?;
    let feed = state.ready_feed()?;
    let request = state.asked(&feed, params.one("user"), &params)?;
    ask(state, feed, request).await
}

pub(super) async fn recommend(
    State(state): State<AppState>,
    Named(user): Named<String>,
    params: Params,
) -> Result<Json<Envelope>, ApiError> {
    only(&params, &[])?;
    let feed = state.ready_feed()?;
    let request = state.asked(&feed, Some(&user), &params)?;
    ask(state, feed, request).await
}

/// A question in a body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    user: Option<String>,
    n: Option<usize>,
    #[serde(default)]
    offset: usize,
    #[serde(default)]
    picks: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
    #[serde(default)]
    block_authors: Vec<String>,
    lambda: Option<f32>,
    diversity: Option<f32>,
    filter: Option<String>,
    language: Option<String>,
    region: Option<String>,
    device: Option<String>,
    session: Option<String>,
    rules: Option<String>,
    age_max: Option<usize>,
    hour: Option<usize>,
    weights: Option<BTreeMap<String, f64>>,
}

pub(super) async fn recommend_by_body(
    State(state): State<AppState>,
    Body(question): Body<Question>,
) -> Result<Json<Envelope>, ApiError> {
    let feed = state.ready_feed()?;
    question.user.iter().try_for_each(|user| state.check_id("user", user))?;
    let n = question.n.unwrap_or(state.config().n_default);
    state.check_places(&feed, n, question.offset)?;
    let request = Request {
        lambda: weight(question.lambda, question.diversity)?,
        user: question.user,
        picks: question.picks,
        n,
        offset: question.offset,
        exclude: question.exclude,
        categories: question.categories,
        block_authors: question.block_authors,
        weights: question.weights.as_ref().map(ActionWeights::new).transpose().map_err(wrong_weights)?,
        now: now(),
        ..Request::default()
    };
    state.check_lists(&feed, &request)?;
    let said = Said {
        filter: question.filter.as_deref(),
        language: question.language.as_deref(),
        region: question.region.as_deref(),
        device: question.device.as_deref(),
        session: question.session.as_deref(),
        rules: question.rules.as_deref(),
        age_max: question.age_max,
        hour: question.hour,
    };
    let request = state.with_said(&feed, request, &said)?;
    ask(state, feed, request).await
}

pub(super) async fn feed(
    State(state): State<AppState>,
    Named(user): Named<String>,
    params: Params,
) -> Result<Json<Envelope>, ApiError> {
    only(&params, &["kind", "video"])?;
    let feed = state.ready_feed()?;
    let request = state.asked(&feed, Some(&user), &params)?;
    let kind = params.one("kind").map(shelf_kind).transpose()?;
    let video = match kind {
        Some(ShelfKind::MoreLike) => Some(params.required("video")?.to_owned()),
        _ => None,
    };
    state
        .read(move |state| {
            let start = Instant::now();
            let shelves = match kind {
                None => feed.shelves(&request),
                Some(kind) => feed
                    .shelf(&request, kind, video.as_deref())
                    .ok_or_else(|| ApiError::unknown("item", video.as_deref().unwrap_or_default()))?,
            };
            let answer = Answer::Shelves(shelves);
            Ok(answered(state, &feed, request.user, start, answer))
        })
        .await
}

pub(super) async fn trace(
    State(state): State<AppState>,
    Named(request_id): Named<String>,
) -> Result<Json<Envelope>, ApiError> {
    let feed = state.ready_feed()?;
    let traced = state.traced(&request_id).ok_or_else(|| {
        let max = state.config().traces_max;
        let hint = format!("the newest {max} answers are remembered; `traces_max` says how many");
        ApiError::new(
            axum::http::StatusCode::NOT_FOUND,
            "unknown_request",
            format!("there is no answer {request_id:?}"),
            hint,
        )
    })?;
    state.read(move |state| Ok(Json(envelope(&feed, &*state.pictures(), &traced)))).await
}

pub(super) async fn explain(
    State(state): State<AppState>,
    params: Params,
) -> Result<Json<Explanation>, ApiError> {
    only(&params, &["user", "video"])?;
    let feed = state.ready_feed()?;
    let video = params.required("video")?.to_owned();
    state.check_id("video", &video)?;
    let request = state.asked(&feed, params.one("user"), &params)?;
    state
        .read(move |_| {
            let explanation = feed.explain(&request, &video);
            match explanation.verdict {
                Verdict::UnknownVideo => Err(ApiError::unknown("item", &video)),
                _ => Ok(Json(explanation)),
            }
        })
        .await
}

#[derive(Serialize)]
pub(super) struct Accepted {
    accepted: usize,
    /// Those that changed something: not those whose id was taken before.
    counted: usize,
}

/// An event with an id that was taken before is accepted and changes nothing. An event replaces what was said before of its kind, so
/// that one without an id may be sent again, too.
pub(super) async fn events(
    State(state): State<AppState>,
    Body(events): Body<Vec<NewEvent>>,
) -> Result<Json<Accepted>, ApiError> {
    let start = Instant::now();
    state.check_batch(events.len())?;
    let now = now();
    let accepted = events.len();
    let mut taken = Vec::with_capacity(accepted);
    for (at, event) in events.into_iter().enumerate() {
        let session = event.session.map(|session| format!("session:{session}"));
        let user = event.user.or(session).ok_or_else(|| {
            let message = format!("the body is wrong at `[{at}]`: missing field `user`");
            ApiError::bad("bad_field", message, "give a `user`, or the `session` of somebody unknown")
        })?;
        let time = state.time_of(&format!("[{at}].time"), event.time, now)?;
        if let Some(id) = &event.event_id {
            state.check_id(&format!("event_id of row {at}"), id)?;
        }
        let feedback = Feedback { time, ..deed(event.action, user, event.video, event.value) };
        taken.push(Identified { id: event.event_id, write: Write::Overwrite, feedback });
    }
    state
        .write(move |state| {
            state.check_keys(taken.iter().map(|event| &event.feedback))?;
            let counted = state.keep_once(taken, now, start)?;
            Ok(Json(Accepted { accepted, counted }))
        })
        .await
}

#[derive(Serialize)]
pub(super) struct Viewers {
    viewers: Vec<Viewer>,
}

#[derive(Serialize)]
struct Viewer {
    id: String,
    events: usize,
    genres: Vec<String>,
    recent: bool,
}

pub(super) async fn viewers(
    State(state): State<AppState>,
    params: Params,
) -> Result<Json<Viewers>, ApiError> {
    params.only(&["n"])?;
    let feed = state.ready_feed()?;
    let n = params.count("n", state.config().n_default, 1, state.config().n_max)?;
    state
        .read(move |_| {
            let viewers = feed.viewers(n).into_iter().map(|viewer| Viewer {
                id: viewer.user,
                events: viewer.events,
                genres: viewer.genres,
                recent: viewer.recent,
            });
            Ok(Json(Viewers { viewers: viewers.collect() }))
        })
        .await
}

#[derive(Serialize)]
pub(super) struct Past {
    user: String,
    events: Vec<PastEvent>,
    total: usize,
}

/// One event, with what the page shows of its video.
#[derive(Serialize)]
struct PastEvent {
    #[serde(flatten)]
    event: HistoryItem,
    labels: BTreeMap<String, Vec<String>>,
}

pub(super) async fn history(
    State(state): State<AppState>,
    Named(user): Named<String>,
    params: Params,
) -> Result<Json<Past>, ApiError> {
    params.only(&["n"])?;
    let feed = state.ready_feed()?;
    state.check_id("user", &user)?;
    let n = params.count("n", state.config().n_default, 1, state.config().n_max)?;
    state
        .read(move |state| {
            let mut events = feed.history(&user, usize::MAX);
            let total = events.len();
            events.truncate(n);
            let pictures = state.pictures();
            let labelled = |event: HistoryItem| PastEvent {
                labels: shown(&feed, &*pictures, &event.video).labels,
                event,
            };
            Ok(Json(Past { user, events: events.into_iter().map(labelled).collect(), total }))
        })
        .await
}

#[derive(Serialize)]
pub(super) struct Videos {
    videos: Vec<Found>,
}

#[derive(Serialize)]
struct Found {
    id: String,
    /// Viewers of the run who wanted it.
    wanted: f64,
    #[serde(flatten)]
    shown: Shown,
}

pub(super) async fn videos(State(state): State<AppState>, params: Params) -> Result<Json<Videos>, ApiError> {
    params.only(&["query", "n"])?;
    let feed = state.ready_feed()?;
    let query = params.one("query").unwrap_or_default().to_owned();
    if !query.is_empty() {
        state.check_id("query", &query)?;
    }
    let n = params.count("n", state.config().n_default, 1, state.config().n_max)?;
    state.read(move |state| Ok(Json(found(&feed, &*state.pictures(), &query, n)))).await
}

/// Well-known videos, varied, for somebody new to pick from.
pub(super) async fn onboarding(
    State(state): State<AppState>,
    params: Params,
) -> Result<Json<Videos>, ApiError> {
    params.only(&["n"])?;
    let feed = state.ready_feed()?;
    let n = params.count("n", state.config().n_default, 1, state.config().n_max)?;
    state.read(move |state| Ok(Json(found(&feed, &*state.pictures(), "", n)))).await
}

fn found(feed: &Feed, pictures: &dyn Pictures, query: &str, n: usize) -> Videos {
    let videos = feed.search(query, n).into_iter().map(|found| {
        let shown = shown(feed, pictures, &found.id);
        Found { id: found.id, wanted: found.score, shown }
    });
    Videos { videos: videos.collect() }
}

pub(super) async fn report(State(state): State<AppState>) -> Json<Value> {
    Json(state.report().unwrap_or_else(|| json!({"status": "running"})))
}

#[derive(Serialize)]
pub(super) struct AboutAnswer {
    #[serde(flatten)]
    about: About,
    version: &'static str,
    ready: bool,
    models: Vec<String>,
    relevance: Option<String>,
}

pub(super) async fn about(State(state): State<AppState>) -> Result<Json<AboutAnswer>, ApiError> {
    state
        .read(|state| {
            let feed = state.feed().map(|feed| feed.about());
            Ok(Json(AboutAnswer {
                about: state.about().clone(),
                version: env!("CARGO_PKG_VERSION"),
                ready: feed.is_some(),
                models: feed.as_ref().map(|feed| feed.models.clone()).unwrap_or_default(),
                relevance: feed.map(|feed| feed.relevance),
            }))
        })
        .await
}
