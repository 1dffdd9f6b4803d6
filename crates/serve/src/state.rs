//! What every request can reach.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Semaphore;
use upnext_map::Map;
use upnext_pipeline::{Feed, Response, Shelves};
use upnext_store::{Cleared, Store};

use crate::audit::Audit;
use crate::error::ApiError;
use crate::recent::EventIds;
use crate::rest::{Change, Changes, Rankings};
use crate::rules::KeptRules;
use crate::telemetry::Telemetry;
use crate::tenants::Shared;
use crate::work::Queue;
use crate::{Pictures, ServeConfig, ServeError};

/// What is served, for `/api/v2/about`: known before the models are fitted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The data set.
    pub name: String,
    /// Its users.
    pub users: usize,
    /// Its videos.
    pub videos: usize,
    /// Its events.
    pub events: usize,
    /// Its digest.
    pub digest: String,
    /// The licence of the data, where there is one.
    pub licence: Option<String>,
    /// What must be said where a user sees it, "for non-commercial use" for example.
    pub notice: Option<String>,
}

/// The taste map, as far as there is one.
#[derive(Clone, Debug)]
pub enum TasteMap {
    /// It is being drawn; a page asks again.
    Drawing,
    /// It can be shown.
    Ready(Arc<Map>),
    /// There is none, and why.
    Absent(String),
}

/// A tenant's state: what its requests can reach. Cloning it is cheap; all clones are one.
#[derive(Clone)]
pub struct AppState {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    tenant: String,
    store: Arc<dyn Store>,
    about: About,
    feed: RwLock<Option<Arc<Feed>>>,
    report: RwLock<Option<Value>>,
    map: RwLock<TasteMap>,
    pictures: RwLock<Arc<dyn Pictures>>,
    traces: Mutex<VecDeque<Arc<Traced>>>,
    rules: Mutex<KeptRules>,
    telemetry: Telemetry,
    audit: OnceLock<Audit>,
    event_ids: EventIds,
    rankings: Rankings,
    reads: Arc<Queue>,
    writes: Arc<Queue>,
    probes: Arc<Queue>,
    exports: Arc<Semaphore>,
    listeners: Arc<Semaphore>,
    changes: Changes,
    merging: RwLock<()>,
}

/// Looks at the service's health at once; others wait.
const PROBES_MAX: usize = 4;
/// Exports, imports of many rows and purges at once: each holds a thread for as long as it takes.
const EXPORTS_MAX: usize = 2;

/// An answer that was given, for `/api/v2/trace`.
pub(crate) struct Traced {
    pub(crate) user: Option<String>,
    pub(crate) took_microseconds: u64,
    pub(crate) answer: Answer,
}

/// What was answered.
pub(crate) enum Answer {
    Slate(Response),
    Shelves(Shelves),
}

impl Traced {
    fn request_id(&self) -> &str {
        match &self.answer {
            Answer::Slate(response) => &response.request_id,
            Answer::Shelves(shelves) => &shelves.request_id,
        }
    }
}

impl AppState {
    /// A service of one tenant, without a feed: what needs one is told to come back until [`AppState::publish`].
    ///
    /// # Errors
    /// If a setting is out of bounds, or keys or certificates cannot be read.
    pub fn new(store: Arc<dyn Store>, config: ServeConfig, about: About) -> Result<Self, ServeError> {
        Ok(Self::of(Shared::new(config)?, "", store, about))
    }

    pub(crate) fn of(shared: Arc<Shared>, tenant: &str, store: Arc<dyn Store>, about: About) -> Self {
        let wait_max = Duration::from_millis(shared.config.read_wait_milliseconds_max);
        let event_ids = EventIds::new(shared.config.event_ids_max);
        let rankings = Rankings::new(shared.config.rankings_max);
        let inner = Inner {
            reads: Arc::new(Queue::new(shared.config.reads_max, Some(wait_max))),
            writes: Arc::new(Queue::new(shared.config.writes_max, None)),
            probes: Arc::new(Queue::new(PROBES_MAX, None)),
            exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
            listeners: Arc::new(Semaphore::new(shared.config.listeners_max)),
            changes: Changes::default(),
            merging: RwLock::default(),
            shared,
            tenant: tenant.to_owned(),
            store,
            about,
            feed: RwLock::default(),
            report: RwLock::default(),
            map: RwLock::new(TasteMap::Absent("this service was started without one".into())),
            pictures: RwLock::new(Arc::new(HashMap::new())),
            traces: Mutex::default(),
            rules: Mutex::default(),
            telemetry: Telemetry::default(),
            audit: OnceLock::new(),
            event_ids,
            rankings,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Serves this feed from now on. Requests in flight finish with the one they began with. Rules that were
    /// put over HTTP hold on.
    pub fn publish(&self, feed: Arc<Feed>) {
        self.hand_rules_to(&feed);
        *self.inner.feed.write().unwrap_or_else(PoisonError::into_inner) = Some(feed);
        self.changes().tell(Change::Feed);
    }

    /// Shows these results from now on: the object that `upnext eval --json` prints.
    pub fn set_report(&self, report: Value) {
        *self.inner.report.write().unwrap_or_else(PoisonError::into_inner) = Some(report);
    }

    /// Shows this map from now on. It must be of the feed's run.
    pub fn set_map(&self, map: TasteMap) {
        *self.inner.map.write().unwrap_or_else(PoisonError::into_inner) = map;
    }

    /// Shows these pictures from now on. They must be of the feed's run.
    pub fn set_pictures(&self, pictures: Arc<dyn Pictures>) {
        *self.inner.pictures.write().unwrap_or_else(PoisonError::into_inner) = pictures;
    }

    /// The feed, if there is one yet.
    pub fn feed(&self) -> Option<Arc<Feed>> {
        self.inner.feed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts what was deleted from the store because it is too old.
    pub fn cleared(&self, step: Cleared) {
        self.inner.telemetry.cleared(step);
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// The limits.
    pub fn config(&self) -> &ServeConfig {
        &self.inner.shared.config
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    /// Its name; empty where there is one tenant alone.
    pub(crate) fn tenant(&self) -> &str {
        &self.inner.tenant
    }

    pub(crate) fn set_audit(&self, audit: Audit) {
        let _ = self.inner.audit.set(audit);
    }

    /// Writes down an act of an administrator before it is done; what cannot be written down is not done.
    pub(crate) fn audit(&self, key: &str, act: &str, about: &[&[u8]]) -> Result<(), ApiError> {
        tracing::info!(key, act, tenant = self.tenant(), "an act of an administrator");
        let Some(audit) = self.inner.audit.get() else { return Ok(()) };
        audit.write(key, self.tenant(), act, about).map_err(|error| {
            tracing::error!(%error, "the log of acts cannot be written");
            ApiError::unavailable("store_failed", "the act could not be written down, so it was not done", 5)
        })
    }

    pub(crate) fn about(&self) -> &About {
        &self.inner.about
    }

    pub(crate) fn report(&self) -> Option<Value> {
        self.inner.report.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn map(&self) -> TasteMap {
        self.inner.map.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn pictures(&self) -> Arc<dyn Pictures> {
        Arc::clone(&self.inner.pictures.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The map, for what needs one.
    pub(crate) fn ready_map(&self) -> Result<Arc<Map>, ApiError> {
        match self.map() {
            TasteMap::Ready(map) => Ok(map),
            TasteMap::Drawing => {
                Err(ApiError::unavailable("map_not_ready", "the taste map is being drawn", 1))
            }
            TasteMap::Absent(reason) => Err(ApiError::new(
                axum::http::StatusCode::NOT_FOUND,
                "no_map",
                format!("there is no taste map: {reason}"),
                "GET /api/v2/map says whether one is drawn",
            )),
        }
    }

    pub(crate) fn kept_rules_cell(&self) -> &Mutex<KeptRules> {
        &self.inner.rules
    }

    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.inner.telemetry
    }

    pub(crate) fn ready_feed(&self) -> Result<Arc<Feed>, ApiError> {
        self.feed().ok_or_else(ApiError::not_ready)
    }

    pub(crate) fn reads(&self) -> Arc<Queue> {
        Arc::clone(&self.inner.reads)
    }

    pub(crate) fn writes(&self) -> Arc<Queue> {
        Arc::clone(&self.inner.writes)
    }

    pub(crate) fn probes(&self) -> Arc<Queue> {
        Arc::clone(&self.inner.probes)
    }

    pub(crate) fn event_ids(&self) -> &EventIds {
        &self.inner.event_ids
    }

    pub(crate) fn rankings(&self) -> &Rankings {
        &self.inner.rankings
    }

    pub(crate) fn listeners(&self) -> Arc<Semaphore> {
        Arc::clone(&self.inner.listeners)
    }

    /// Held by what reads a user or an item to write it again with a part changed: nothing of [`AppState::change_whole`] comes in between.
    pub(crate) fn change_part(&self) -> RwLockWriteGuard<'_, ()> {
        self.inner.merging.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held, by any number at once, by the routes that write or delete a user or an item whole, or let the store change it. Bulk and
    /// restore, which go on for long, do not hold it.
    pub(crate) fn change_whole(&self) -> RwLockReadGuard<'_, ()> {
        self.inner.merging.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn changes(&self) -> &Changes {
        &self.inner.changes
    }

    pub(crate) fn exports(&self) -> Arc<Semaphore> {
        Arc::clone(&self.inner.exports)
    }

    /// Whether other machines can reach the service.
    pub(crate) fn is_exposed(&self) -> bool {
        self.inner.shared.is_exposed()
    }

    pub(crate) fn remember(&self, traced: Traced) {
        let mut traces = self.inner.traces.lock().unwrap_or_else(PoisonError::into_inner);
        traces.push_back(Arc::new(traced));
        while traces.len() > self.inner.shared.config.traces_max {
            traces.pop_front();
        }
    }

    pub(crate) fn traced(&self, request_id: &str) -> Option<Arc<Traced>> {
        let traces = self.inner.traces.lock().unwrap_or_else(PoisonError::into_inner);
        traces.iter().rev().find(|traced| traced.request_id() == request_id).cloned()
    }
}
