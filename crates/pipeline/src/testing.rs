//! A small world for tests: three genres of five videos, viewers who stay within one of them, and models that
//! count, or break.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use upnext_data::{Action, Catalogue, Dataset, Event, Events, History, Order, Relevance, Users};
use upnext_models::checkpoint::{Form, Writer};
use upnext_models::{Context, Recommender};
use upnext_store::{Feedback, Memory, Store, StoredVideo, Write};

use crate::rerank::SharedLabels;
use crate::{Feed, FeedConfig, FeedModels, Request, Response};

pub(crate) const DAY: i64 = 86_400_000;
pub(crate) const NOW: i64 = 20_000 * DAY;
const GENRES: [&str; 3] = ["Comedy", "Crime", "Space"];

/// Videos `comedy0` … `space4`; users `u0` … `u14`, five for each genre; user `k` of a genre liked its videos
/// but number `k`. `comedy0` is also liked by everybody.
pub(crate) fn dataset() -> Arc<Dataset> {
    let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
    for genre in GENRES {
        for at in 0..5 {
            let row = videos.intern(&format!("{}{at}", genre.to_lowercase()));
            videos.label(row, &format!("genre:{genre}"));
            videos.label(row, &format!("tag:{at}"));
            let creator = videos.creators.intern(&format!("maker{at}"));
            let video = videos.video_mut(row);
            video.title = format!("{genre} {at}");
            video.year = Some(1990 + row as i32);
            video.creator = Some(creator);
        }
    }
    for (genre, first) in [0u32, 5, 10].into_iter().enumerate() {
        for k in 0..5u32 {
            let user = users.intern(&format!("u{}", genre as u32 * 5 + k));
            let mut time = 10_000 * DAY;
            let mut like = |video: u32| {
                time += DAY;
                events.push(Event { user, video, action: Action::Like, time, value: None, ratio: None });
            };
            (first..first + 5).filter(|video| video - first != k).for_each(&mut like);
            if first > 0 {
                like(0);
            }
        }
    }
    Arc::new(Dataset::new("small", users, videos, events, Order::Timed, None))
}

/// How often two videos are liked by one viewer, as a cosine; the newest positive counts most.
pub(crate) struct Together {
    name: &'static str,
    n: usize,
    counts: Vec<f32>,
    pub(crate) asked: AtomicUsize,
}

impl Together {
    pub(crate) fn new(name: &'static str, dataset: &Dataset) -> Self {
        let n = dataset.videos.len();
        let mut counts = vec![0.0; n * n];
        for sequence in dataset.interactions(&Relevance::default()).sequences() {
            for &a in &sequence {
                for &b in sequence.iter().filter(|&&b| b != a) {
                    counts[a as usize * n + b as usize] += 1.0;
                }
            }
        }
        let popularity = dataset.interactions(&Relevance::default()).popularity();
        for (at, count) in counts.iter_mut().enumerate() {
            *count /= ((popularity[at / n] * popularity[at % n]) as f32).sqrt().max(1.0);
        }
        Self { name, n, counts, asked: AtomicUsize::new(0) }
    }
}

impl Recommender for Together {
    fn name(&self) -> &str {
        self.name
    }

    fn n_videos(&self) -> usize {
        self.n
    }

    fn score_all(&self, history: &History, _context: &Context, scores: &mut [f32]) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        scores.fill(0.0);
        for (age, video) in history.newest(50).filter(|(_, video)| (*video as usize) < self.n) {
            let row = &self.counts[video as usize * self.n..(video as usize + 1) * self.n];
            for (score, count) in scores.iter_mut().zip(row) {
                *score += count * 0.8f32.powi(age as i32);
            }
        }
    }

    fn save(&self, _writer: &mut Writer<'_>) -> Form {
        unreachable!("a model of tests is never saved")
    }

    fn because(&self, history: &History, _context: &Context, row: u32) -> Vec<(u32, f32)> {
        let mut causes: Vec<(u32, f32)> = history
            .newest(50)
            .map(|(age, video)| {
                (video, self.counts[video as usize * self.n + row as usize] * 0.8f32.powi(age as i32))
            })
            .filter(|(_, weight)| *weight > 0.0)
            .collect();
        causes.sort_by(|a, b| b.1.total_cmp(&a.1));
        causes
    }
}

/// A model that breaks in one way.
pub(crate) struct Broken {
    pub(crate) name: &'static str,
    pub(crate) n: usize,
    pub(crate) how: Fault,
}

pub(crate) enum Fault {
    /// Until the other end is gone.
    Blocks(std::sync::Mutex<std::sync::mpsc::Receiver<()>>),
    Panic,
    NotANumber,
    PanicInBecause,
}

impl Recommender for Broken {
    fn name(&self) -> &str {
        self.name
    }

    fn n_videos(&self) -> usize {
        self.n
    }

    fn score_all(&self, _history: &History, _context: &Context, scores: &mut [f32]) {
        match &self.how {
            Fault::Blocks(wait) => {
                let _ = wait.lock().unwrap().recv();
            }
            Fault::Panic => panic!("the shelf fell down"),
            Fault::NotANumber => scores.fill(f32::NAN),
            Fault::PanicInBecause => scores.iter_mut().zip(0..).for_each(|(score, at)| *score = at as f32),
        }
    }

    fn save(&self, _writer: &mut Writer<'_>) -> Form {
        unreachable!("a model of tests is never saved")
    }

    fn because(&self, _history: &History, _context: &Context, _row: u32) -> Vec<(u32, f32)> {
        panic!("no idea why")
    }
}

pub(crate) fn feedback(kind: &str, user: &str, video: &str, time: i64) -> Feedback {
    Feedback {
        kind: kind.into(),
        user: user.into(),
        video: video.into(),
        value: 0.0,
        time,
        labels: serde_json::Value::Null,
        comment: String::new(),
    }
}

pub(crate) fn video(id: &str, time: Option<i64>, categories: &[&str]) -> StoredVideo {
    StoredVideo {
        id: id.into(),
        time,
        categories: categories.iter().map(|category| (*category).to_string()).collect(),
        comment: format!("Title of {id}"),
        ..StoredVideo::default()
    }
}

/// A feed with its store and its main model.
pub(crate) struct World {
    pub(crate) feed: Feed,
    pub(crate) store: Arc<Memory>,
    pub(crate) main: Arc<Together>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(FeedConfig::default(), Vec::new())
    }

    pub(crate) fn with(config: FeedConfig, more: Vec<Arc<dyn Recommender>>) -> Self {
        Self::varied_by(None, config, more)
    }

    pub(crate) fn varied_by(
        fused: Option<Arc<dyn Recommender>>,
        config: FeedConfig,
        more: Vec<Arc<dyn Recommender>>,
    ) -> Self {
        let main = Arc::new(Together::new("closed-blend", &dataset()));
        Self { main: main.clone(), ..Self::made(main, fused, config, more) }
    }

    pub(crate) fn ranked_by(
        main: Arc<dyn Recommender>,
        config: FeedConfig,
        more: Vec<Arc<dyn Recommender>>,
    ) -> Self {
        Self::made(main, None, config, more)
    }

    /// Where the configuration may be refused.
    pub(crate) fn try_with(config: FeedConfig) -> Result<Self, crate::FeedError> {
        let main = Arc::new(Together::new("closed-blend", &dataset()));
        Self::try_made(main, None, Relevance::default(), config, Vec::new())
    }

    /// A run whose rule of relevance is another one.
    pub(crate) fn judged_by(rule: &str) -> Self {
        let main = Arc::new(Together::new("closed-blend", &dataset()));
        Self::try_made(main, None, rule.parse().unwrap(), FeedConfig::default(), Vec::new()).unwrap()
    }

    fn made(
        main: Arc<dyn Recommender>,
        fused: Option<Arc<dyn Recommender>>,
        config: FeedConfig,
        more: Vec<Arc<dyn Recommender>>,
    ) -> Self {
        Self::try_made(main, fused, Relevance::default(), config, more).unwrap()
    }

    fn try_made(
        main: Arc<dyn Recommender>,
        fused: Option<Arc<dyn Recommender>>,
        relevance: Relevance,
        config: FeedConfig,
        more: Vec<Arc<dyn Recommender>>,
    ) -> Result<Self, crate::FeedError> {
        let dataset = dataset();
        let store = Arc::new(Memory::default());
        let models = FeedModels {
            main,
            sources: more,
            similarity: Arc::new(SharedLabels::new(Arc::clone(&dataset))),
            fused,
            neighbours: Arc::new(Together::new("item-knn", &dataset)),
            indexes: std::collections::BTreeMap::new(),
        };
        let main = Arc::new(Together::new("closed-blend", &dataset));
        let feed = Feed::new(config, dataset, relevance, models, store.clone())?;
        Ok(Self { feed, store, main })
    }

    pub(crate) fn tell(&self, kind: &str, user: &str, video: &str) {
        self.store.append(&[feedback(kind, user, video, NOW - 1)], Write::Accumulate).unwrap();
    }

    pub(crate) fn ask(&self, user: &str, n: usize) -> Response {
        self.feed.recommend(&request(user, n))
    }
}

pub(crate) fn request(user: &str, n: usize) -> Request {
    Request { user: Some(user.into()), n, now: NOW, ..Request::default() }
}

pub(crate) fn ids(response: &Response) -> Vec<&str> {
    response.slate.iter().map(|slot| slot.video.as_str()).collect()
}
