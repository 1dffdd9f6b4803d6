//! A small world to serve: three genres of six films, viewers who stay within one of them, real models.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part of this, and a test may panic")]

pub(crate) mod slow;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use serde_json::Value;
use tower::ServiceExt;
use upnext_data::{Action, Catalogue, Dataset, Event, Events, Order, Relevance, Users};
use upnext_map::{Drawing, Groups, Map, MapConfig, Space};
use upnext_math::Matrix;
use upnext_models::Training;
use upnext_models::zoo::{Kind, Zoo};
use upnext_pipeline::rerank::SharedLabels;
use upnext_pipeline::{Feed, FeedConfig, FeedModels};
use upnext_serve::{About, AppState, ServeConfig, app};
use upnext_store::{Memory, Store};

/// An id that a path must encode.
pub(crate) const ODD: &str = "crime/5 é%20?影片";
const GENRES: [&str; 3] = ["comedy", "crime", "space"];
const DAY: i64 = 86_400_000;

/// Films `comedy0` … `space5` (but `crime5` is [`ODD`]) and viewers `u0` … `u17`, six for each genre; viewer `k`
/// of a genre liked its films but number `k`, and `comedy0`.
pub(crate) fn dataset() -> Arc<Dataset> {
    let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
    for genre in GENRES {
        for at in 0..6 {
            let id = format!("{genre}{at}");
            let row = videos.intern(if id == "crime5" { ODD } else { &id });
            videos.label(row, &format!("genre:{genre}"));
            let video = videos.video_mut(row);
            video.title = format!("The {genre} number {at}");
            video.year = Some(1990 + row as i32);
        }
    }
    for (genre, first) in [0u32, 6, 12].into_iter().enumerate() {
        for k in 0..6u32 {
            let user = users.intern(&format!("u{}", genre as u32 * 6 + k));
            let liked = (first..first + 6).filter(|video| video - first != k).chain((first > 0).then_some(0));
            for (at, video) in liked.enumerate() {
                let time = (10_000 + at as i64) * DAY;
                events.push(Event { user, video, action: Action::Like, time, value: None, ratio: None });
            }
        }
    }
    Arc::new(Dataset::new("small", users, videos, events, Order::Timed, None))
}

/// A feed with models fitted on [`dataset`].
pub(crate) fn feed(store: Arc<dyn Store>) -> Arc<Feed> {
    let dataset = dataset();
    let interactions = dataset.interactions(&Relevance::default());
    let candidates: Vec<u32> = (0..dataset.videos.len() as u32).collect();
    let training = Training { candidates: &candidates, ..Training::of(&interactions, Order::Timed, 1) };
    let mut zoo = Zoo::new(training);
    let main = zoo.fit(Kind::ItemKnn, &[]).unwrap().model;
    let models = FeedModels {
        main: Arc::clone(&main),
        sources: vec![zoo.fit(Kind::Markov, &[]).unwrap().model],
        similarity: Arc::new(SharedLabels::new(Arc::clone(&dataset))),
        fused: None,
        neighbours: main,
        indexes: std::collections::BTreeMap::new(),
    };
    Arc::new(Feed::new(FeedConfig::default(), dataset, Relevance::default(), models, store).unwrap())
}

/// The films on three axes, one for each genre, each film a little beside its own.
pub(crate) fn map() -> Map {
    let place = |row: usize| {
        let mut vector = [0.0; 4];
        (vector[row / 6], vector[3]) = (1.0, 0.1 * (row % 6) as f32);
        vector
    };
    let vectors = Matrix::from_rows(18, 4, (0..18).flat_map(place).collect());
    let groups =
        Groups { names: GENRES.map(String::from).to_vec(), of: (0..18).map(|row| Some(row / 6)).collect() };
    let spaces = vec![Space::new("labels", vectors)];
    let drawing = Drawing { of: "small".into(), spaces, groups, wanted: vec![1; 18], seed: 1 };
    Map::draw(drawing, &MapConfig::default()).unwrap()
}

/// What is served.
pub(crate) fn about() -> About {
    let (name, digest, notice) = ("small".into(), "abc".into(), Some("for tests only".into()));
    About { name, users: 18, videos: 18, events: 102, digest, licence: None, notice }
}

/// A service over an empty store.
pub(crate) fn state(config: ServeConfig) -> AppState {
    state_over(Arc::new(Memory::default()), config)
}

/// A service over a store.
pub(crate) fn state_over(store: Arc<dyn Store>, config: ServeConfig) -> AppState {
    let state = AppState::new(Arc::clone(&store), config, about()).unwrap();
    state.publish(feed(store));
    state
}

/// A service without a port.
pub(crate) struct World {
    /// Its state.
    pub(crate) state: AppState,
    app: Router,
}

impl World {
    /// With these limits.
    pub(crate) fn with(config: ServeConfig) -> Self {
        Self::of(state(config))
    }

    /// Of a state.
    pub(crate) fn of(state: AppState) -> Self {
        Self { app: app(state.clone()), state }
    }

    /// With the usual limits.
    pub(crate) fn new() -> Self {
        Self::with(ServeConfig::default())
    }

    /// Asks anything.
    pub(crate) async fn send(&self, request: Request<Body>) -> (StatusCode, HeaderMap, Vec<u8>) {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (head.status, head.headers, bytes.to_vec())
    }

    /// Asks with headers and a body; answers JSON.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_owned()));
        let (status, _, bytes) = self.send(request.body(body).unwrap()).await;
        let json = serde_json::from_slice(&bytes);
        (status, json.unwrap_or_else(|_| panic!("{method} {path} answered {status} and no JSON: {bytes:?}")))
    }

    /// GET, which must succeed.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, json) = self.ask("GET", path, &[], None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {json}");
        json
    }

    /// A change, which must succeed.
    pub(crate) async fn change(&self, method: &str, path: &str, body: &str) -> Value {
        let (status, json) = self.ask(method, path, &[], Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{method} {path} {body}: {json}");
        json
    }

    /// A request that must fail, with a well-formed error: its status, code and message.
    pub(crate) async fn fail(&self, method: &str, path: &str, body: Option<&str>) -> (u16, String, String) {
        let (status, json) = self.ask(method, path, &[], body).await;
        let (code, message) = error_of(&json).unwrap_or_else(|| panic!("{method} {path}: {status} {json}"));
        (status.as_u16(), code, message)
    }
}

/// Code and message of a well-formed error.
pub(crate) fn error_of(json: &Value) -> Option<(String, String)> {
    let error = json.get("error")?;
    let text = |name: &str| Some(error.get(name)?.as_str()?.to_owned());
    text("hint").filter(|hint| !hint.is_empty())?;
    Some((text("code")?, text("message")?))
}

/// The ids of a v2 answer's items, or of a Gorse answer.
pub(crate) fn ids(json: &Value) -> Vec<String> {
    let list = json.get("items").unwrap_or(json).as_array().unwrap();
    let id = |one: &Value| match one {
        Value::String(id) => id.clone(),
        one => one.get("id").or(one.get("Id")).unwrap().as_str().unwrap().to_owned(),
    };
    list.iter().map(id).collect()
}
