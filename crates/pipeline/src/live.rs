//! The store's videos and recent feedback, remembered between requests and read again when they changed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use serde_json::Value;
use upnext_data::{Dataset, Judgement, Relevance};
use upnext_store::{Store, StoredVideo, Version};

use crate::pipeline::{StageError, guard};
use crate::popularity::decayed;
use crate::stock::{Live, LiveVideo};
use crate::viewer::judge;
use crate::{Failure, FeedConfig, Stock};

const DAY_MILLISECONDS: f64 = 86_400_000.0;
/// What had at most so many rows is read again in the request that notices the change: counted, so that a busy machine answers the same …
const QUICK_ROWS: usize = 256;
/// … unless the store took this long.
const QUICK: Duration = Duration::from_millis(50);
/// After this much time the window of what is wanted right now has moved.
const WINDOW_STEP_MILLISECONDS: i64 = 60_000;
const PAGE: usize = 10_000;

/// A stock that follows the store. Reading it takes a lock for as long as it takes to clone three pointers. What is quick to read again
/// is read in the request that notices the change; what is not, on a thread beside, while requests go on with what was known.
pub struct LiveView {
    inner: Arc<Inner>,
}

struct Inner {
    config: FeedConfig,
    relevance: Relevance,
    store: Arc<dyn Store>,
    known: RwLock<Known>,
    rereading: Mutex<()>,
    /// A thread beside is at it.
    is_beside: AtomicBool,
}

#[derive(Clone)]
struct Known {
    stock: Stock,
    videos: Reading,
    wanted: Reading,
    /// The `now` for which `stock.wanted` was counted.
    counted_at: i64,
    /// What went wrong when it was read beside.
    failures: Vec<Failure>,
}

/// When something was read, in which version, how much it was, and how long that took.
#[derive(Clone, Copy)]
struct Reading {
    version: Option<u64>,
    at: Instant,
    n_rows: usize,
    took: Duration,
}

impl Reading {
    fn never() -> Self {
        Self { version: None, at: Instant::now(), n_rows: 0, took: Duration::ZERO }
    }

    /// What began at `begun` and ends now.
    fn of(version: u64, begun: Instant, n_rows: usize) -> Self {
        Self { version: Some(version), at: Instant::now(), n_rows, took: begun.elapsed() }
    }

    fn is_quick(&self) -> bool {
        self.n_rows <= QUICK_ROWS && self.took < QUICK
    }

    /// Whether to read again: what is slow to read is read for at most the given share of the time.
    fn is_due(&self, version: u64, share: f64) -> bool {
        let rest = self.took.mul_f64((1.0 / share - 1.0).max(0.0));
        self.version != Some(version) && (self.is_quick() || self.at.elapsed() >= rest)
    }
}

impl LiveView {
    /// Over a run and a store; nothing is read yet.
    pub fn new(
        config: FeedConfig,
        dataset: Arc<Dataset>,
        relevance: Relevance,
        store: Arc<dyn Store>,
    ) -> Self {
        let known = Known {
            stock: Stock::of_run(dataset),
            videos: Reading::never(),
            wanted: Reading::never(),
            counted_at: i64::MIN,
            failures: Vec::new(),
        };
        let (known, rereading, is_beside) = (RwLock::new(known), Mutex::default(), AtomicBool::default());
        Self { inner: Arc::new(Inner { config, relevance, store, known, rereading, is_beside }) }
    }

    /// What was known last, without asking the store.
    pub fn last(&self) -> Stock {
        self.inner.known().stock.clone()
    }

    /// What can be shown now. If the store cannot be read, what was known last, and the failure.
    pub fn stock(&self, now: i64, failures: &mut Vec<Failure>) -> Stock {
        let known = self.inner.known().clone();
        let (videos, wanted) = match self.inner.due(&known, now) {
            Ok((_, (false, false))) => (false, false),
            Ok((_, due)) => due,
            Err(error) => {
                failures.push(failed("stock", &error));
                return known.stock;
            }
        };
        let is_slow = |due: bool, reading: &Reading| due && reading.version.is_some() && !reading.is_quick();
        if !(videos || wanted) {
            failures.extend(known.failures);
            return known.stock;
        }
        if !is_slow(videos, &known.videos) && !is_slow(wanted, &known.wanted) {
            return self.inner.reread(now, failures);
        }
        if !self.inner.is_beside.swap(true, Ordering::AcqRel) {
            let inner = Arc::clone(&self.inner);
            let beside = move || {
                let mut failures = Vec::new();
                // A panic of the store is a failure of the reading; nothing else runs here.
                inner.reread(now, &mut failures);
                inner.known.write().unwrap_or_else(PoisonError::into_inner).failures = failures;
                inner.is_beside.store(false, Ordering::Release);
            };
            if std::thread::Builder::new().name("stock".into()).spawn(beside).is_err() {
                self.inner.is_beside.store(false, Ordering::Release);
            }
        }
        failures.extend(known.failures);
        known.stock
    }
}

impl Inner {
    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store's version, and whether its videos and what is wanted are due to be read again.
    fn due(&self, known: &Known, now: i64) -> Result<(Version, (bool, bool)), StageError> {
        let version = guard(|| Ok(self.store.version()))?;
        let share = self.config.live.reread_share;
        let videos = known.videos.is_due(version.videos, share);
        let moved = now.saturating_sub(known.counted_at).saturating_abs() >= WINDOW_STEP_MILLISECONDS;
        let share = self.config.live.recount_share;
        let wanted = known.wanted.is_due(if moved { u64::MAX } else { version.feedback }, share) || videos;
        Ok((version, (videos, wanted)))
    }

    /// Reads again what is due.
    fn reread(&self, now: i64, failures: &mut Vec<Failure>) -> Stock {
        let known = self.known().clone();
        // The first reader waits for nobody; one that finds another at it goes on with what was known, unless
        // nothing was known yet.
        let _turn = match self.rereading.try_lock() {
            Ok(turn) => turn,
            Err(_) if known.videos.version.is_some() => return known.stock,
            Err(_) => self.rereading.lock().unwrap_or_else(PoisonError::into_inner),
        };
        let mut next = self.known().clone();
        let version = match self.due(&next, now) {
            Ok((version, (true, _) | (_, true))) => version,
            Ok(_) => return next.stock,
            Err(error) => {
                failures.push(failed("stock", &error));
                return next.stock;
            }
        };
        if next.videos.is_due(version.videos, self.config.live.reread_share) {
            let begun = Instant::now();
            let mut n_rows = 0;
            match guard(|| self.read_videos(&next.stock.dataset)) {
                Ok((live, n)) => (next.stock.live, n_rows) = (Arc::new(live), n),
                Err(error) => failures.push(failed("stock", &error)),
            }
            // A failed reading counts as one too, so that a broken store is not asked without end.
            next.videos = Reading::of(version.videos, begun, n_rows);
            if failures.iter().any(|failure| failure.part == "stock") {
                // No version of the store: it is read again, and nobody waits for it.
                next.videos.version = Some(u64::MAX);
            }
        }
        let (begun, mut n_rows) = (Instant::now(), 0);
        match guard(|| self.count_wanted(now)) {
            Ok((wanted, n)) => {
                n_rows = n;
                next.stock = next.stock.wanting(wanted.iter().map(|(id, n)| (id.as_str(), *n as f32)));
                next.counted_at = now;
            }
            Err(error) => failures.push(failed("popular-now", &error)),
        }
        next.wanted = Reading::of(version.feedback, begun, n_rows);
        next.failures.clear();
        let stock = next.stock.clone();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = next;
        stock
    }

    /// The stored videos, and how many rows were read for them.
    fn read_videos(&self, dataset: &Dataset) -> Result<(Live, usize), StageError> {
        let failed = |error: upnext_store::StoreError| StageError::new(error.to_string());
        let limit = self.config.live.videos_max;
        let mut videos = Vec::new();
        let mut cursor = String::new();
        while videos.len() < limit {
            let page = self.store.videos(&cursor, PAGE.min(limit - videos.len())).map_err(failed)?;
            videos.extend(page.rows.into_iter().map(live_video));
            if page.cursor.is_empty() {
                break;
            }
            cursor = page.cursor;
        }
        let hidden = self.store.hidden(usize::MAX).map_err(failed)?;
        let n_rows = videos.len() + hidden.len();
        Ok((Live::new(dataset, videos, &hidden), n_rows))
    }

    /// How many viewers wanted each video within the window, each counting half as much after every half-life; and how many rows were read
    /// for it.
    fn count_wanted(&self, now: i64) -> Result<(HashMap<String, f64>, usize), StageError> {
        let live = &self.config.live;
        let since = now.saturating_sub((live.window_days * DAY_MILLISECONDS) as i64);
        let recent = self
            .store
            .recent(since, Some(now), live.events_max)
            .map_err(|error| StageError::new(error.to_string()))?;
        let mut pairs = HashSet::new();
        let mut wanted: HashMap<String, f64> = HashMap::new();
        for piece in &recent {
            let (_, judgement) = judge(piece, &self.config.feedback, &self.relevance);
            if judgement == Judgement::Positive && pairs.insert((&piece.user, &piece.video)) {
                let age_days = now.saturating_sub(piece.time) as f64 / DAY_MILLISECONDS;
                *wanted.entry(piece.video.clone()).or_default() += decayed(age_days, live.half_life_days);
            }
        }
        Ok((wanted, recent.len()))
    }
}

fn failed(part: &str, error: &StageError) -> Failure {
    Failure { stage: "hydrate".into(), part: part.into(), message: error.to_string() }
}

/// A stored video in our words: its labels as texts by kind, its title and creator where they can be found.
fn live_video(video: StoredVideo) -> LiveVideo {
    let labels = texts_by_kind(&video.labels);
    let first = |keys: &[&str]| keys.iter().find_map(|&key| labels.get(key)?.first().cloned());
    let title = match video.comment.trim() {
        "" => first(&["title", "name"]).unwrap_or_default(),
        comment => comment.to_string(),
    };
    let creator = first(&["creator", "author", "uploader"]);
    let (id, hidden, categories, time) = (video.id, video.hidden, video.categories, video.time);
    LiveVideo { id, title, hidden, categories, labels, creator, time }
}

/// Labels of any shape as texts by their kind.
pub(crate) fn texts_by_kind(value: &Value) -> BTreeMap<String, Vec<String>> {
    fn texts(value: &Value) -> Vec<String> {
        match value {
            Value::String(text) => vec![text.clone()],
            Value::Number(number) => vec![number.to_string()],
            Value::Array(values) => values.iter().flat_map(texts).collect(),
            Value::Null | Value::Bool(_) | Value::Object(_) => Vec::new(),
        }
    }
    match value {
        Value::Object(map) => {
            let kinds = map.iter().map(|(kind, value)| (kind.clone(), texts(value)));
            kinds.filter(|(_, values)| !values.is_empty()).collect()
        }
        value => {
            let values = texts(value);
            if values.is_empty() { BTreeMap::new() } else { BTreeMap::from([("label".into(), values)]) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_of_any_shape_become_texts_by_kind() {
        let video = StoredVideo {
            id: "v".into(),
            labels: json!({"genre": ["Comedy", "Drama"], "creator": "ann", "year": 1999, "deep": {"a": 1}}),
            comment: " A title ".into(),
            ..StoredVideo::default()
        };
        let video = live_video(video);
        assert_eq!((video.title.as_str(), video.creator.as_deref()), ("A title", Some("ann")));
        assert_eq!(video.labels["genre"], ["Comedy", "Drama"]);
        assert_eq!(video.labels["year"], ["1999"]);
        assert!(!video.labels.contains_key("deep"));
        assert_eq!(texts_by_kind(&json!(["a", "b"]))["label"], ["a", "b"]);
        assert!(texts_by_kind(&json!(null)).is_empty());
    }

    #[test]
    fn what_is_slow_to_read_is_read_for_a_share_of_the_time_only() {
        let reading = |n_rows| Reading {
            version: Some(1),
            at: Instant::now(),
            n_rows,
            took: Duration::from_millis(40),
        };
        assert!(!reading(0).is_due(1, 0.2), "nothing changed");
        assert!(
            !Reading { took: Duration::from_secs(5), ..reading(1) }.is_due(2, 0.2),
            "a store that blocks"
        );
        assert!(reading(QUICK_ROWS).is_due(2, 0.2));
        assert!(!reading(QUICK_ROWS + 1).is_due(2, 0.2));
        assert!(reading(QUICK_ROWS + 1).is_due(2, 1.0));
    }
}
