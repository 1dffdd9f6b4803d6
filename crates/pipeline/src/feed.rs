//! Everything that is needed to answer, put together: the run's models, a store, and the pipeline over both.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use upnext_data::{Dataset, History, Judgement, Order, Relevance};
use upnext_math::top_k;
use upnext_models::{Context, Recommender};
use upnext_store::{Presence, Store};

use crate::live::LiveView;
use crate::pipeline::{Hydrate, Outcome, Reranker, Scorer, Source, StageError, guard};
use crate::query::Scores;
use crate::reason::{Reasons, SourceKind};
use crate::request_id::RequestIds;
use crate::rerank::{Mmr, Similarity};
use crate::search::Titles;
use crate::viewer::{Origin, Viewers};
use crate::{
    Audience, ConfigError, FeedConfig, Pipeline, Popularity, Request, Response, Stock, filter, scorer, source,
};

/// The models of a feed.
#[derive(Clone)]
pub struct FeedModels {
    /// What ranks: the run's main model. It is a source too.
    pub main: Arc<dyn Recommender>,
    /// Further sources: Markov, ItemKNN, content neighbours, EASE. One that bears the main model's name, or that
    /// of a source of the feed itself (`popular`, `popular-now`, `latest`), is left out.
    pub sources: Vec<Arc<dyn Recommender>>,
    /// What the re-rank and refused videos go by.
    pub similarity: Arc<dyn Similarity>,
    /// Whose answer to a single video are its neighbours.
    pub neighbours: Arc<dyn Recommender>,
}

/// A feed that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// A setting is out of bounds.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A model of another run.
    #[error("model {model} knows {n_videos} videos, but the run has {expected}: fit it on this run")]
    Model {
        /// The model.
        model: String,
        /// What it knows.
        n_videos: usize,
        /// What the run has.
        expected: usize,
    },
}

/// Answers requests. Every method may be called from many threads at once; no lock is held while models score.
pub struct Feed {
    pub(crate) config: FeedConfig,
    pub(crate) pipeline: Pipeline,
    pub(crate) popularity: Arc<Popularity>,
    pub(crate) neighbours: Arc<dyn Recommender>,
    similarity: Arc<dyn Similarity>,
    dataset: Arc<Dataset>,
    relevance: Relevance,
    viewers: Arc<Viewers>,
    live: Arc<LiveView>,
    store: Arc<dyn Store>,
    titles: Titles,
    model_names: Vec<String>,
    digest: OnceLock<String>,
    audience: Option<Arc<Audience>>,
}

/// A neighbour, and where its score comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Near {
    pub(crate) row: u32,
    pub(crate) by_model: f32,
    pub(crate) by_likeness: f32,
}

impl Near {
    pub(crate) fn score(&self) -> f32 {
        self.by_model + self.by_likeness
    }
}

/// An outside id with a score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scored {
    /// Outside id of a video, or of a user.
    pub id: String,
    /// Larger is better; finite.
    pub score: f64,
}

/// What is known of a video, for a page.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Card {
    /// Outside id.
    pub id: String,
    /// The title, or the id where there is none.
    pub title: String,
    /// Year of release.
    pub year: Option<i32>,
    /// Labels by kind: `genre` to `Comedy`, `Drama`.
    pub labels: BTreeMap<String, Vec<String>>,
    /// Categories that the store gives it.
    pub categories: Vec<String>,
    /// Outside id of the creator.
    pub creator: Option<String>,
    /// Viewers of the run who wanted it.
    pub wanted: u32,
    /// Whether the store hides it.
    pub hidden: bool,
    /// Whether models know it.
    pub in_run: bool,
}

/// One video of a viewer's past.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HistoryItem {
    /// Outside id.
    pub video: String,
    /// The title.
    pub title: String,
    /// The last action.
    pub action: upnext_data::Action,
    /// Milliseconds since 1970; 0 where the run has no times.
    pub time: i64,
    /// Watch ratio or stars, where known.
    pub value: Option<f32>,
    /// `positive`, `neutral` or `negative`.
    pub judgement: &'static str,
    /// `run`, `store` or `pick`.
    pub origin: Origin,
}

/// Somebody a feed can be shown for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Viewer {
    /// Outside id.
    pub user: String,
    /// Events of the run, and for those of the store the feedback lately seen.
    pub events: usize,
    /// The most frequent genres of what was wanted.
    pub genres: Vec<String>,
    /// Whether the store saw them lately.
    pub recent: bool,
}

/// A feed in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct About {
    /// The run's dataset.
    pub name: String,
    /// Users of the run.
    pub users: usize,
    /// Videos of the run.
    pub videos: usize,
    /// Events of the run.
    pub events: usize,
    /// Videos of the store that the run does not know.
    pub newcomers: usize,
    /// What is known about order.
    pub order: Order,
    /// What counts as wanted.
    pub relevance: String,
    /// Digest of the run's dataset.
    pub digest: String,
    /// The main model, then the other sources.
    pub models: Vec<String>,
}

impl Feed {
    /// Puts a feed together. Counts popularity once; models and store are used as they are.
    ///
    /// # Errors
    /// If a setting is out of bounds, or a model is of another run.
    pub fn new(
        config: FeedConfig,
        dataset: Arc<Dataset>,
        relevance: Relevance,
        models: FeedModels,
        store: Arc<dyn Store>,
    ) -> Result<Self, FeedError> {
        config.check()?;
        let expected = dataset.videos.len();
        for model in models.sources.iter().chain([&models.main, &models.neighbours]) {
            if model.n_videos() != expected {
                let (model, n_videos) = (model.name().to_string(), model.n_videos());
                return Err(FeedError::Model { model, n_videos, expected });
            }
        }
        let mut taken: HashSet<String> =
            ["popular", "popular-now", "latest"].into_iter().map(String::from).collect();
        let mut used: Vec<Arc<dyn Recommender>> = Vec::new();
        for model in std::iter::once(&models.main).chain(&models.sources) {
            if taken.insert(model.name().to_string()) || used.is_empty() {
                used.push(Arc::clone(model));
            }
        }
        let model_names: Vec<String> = used.iter().map(|model| model.name().to_string()).collect();
        let used: Arc<[Arc<dyn Recommender>]> = used.into();
        let pairs = dataset.interactions(&relevance);
        let popularity = Arc::new(Popularity::new(&dataset, &pairs, config.popular_half_life_days));
        let audience = (pairs.len() <= config.audience_pairs_max).then(|| Arc::new(Audience::new(&pairs)));
        drop(pairs);
        let live = Arc::new(LiveView::new(
            config.clone(),
            Arc::clone(&dataset),
            relevance.clone(),
            Arc::clone(&store),
        ));
        let viewers = Arc::new(Viewers::new(
            config.clone(),
            Arc::clone(&dataset),
            relevance.clone(),
            used,
            Arc::clone(&store),
            Arc::clone(&live),
        ));
        // What comes next means something only where events have an order.
        let next = audience.clone().filter(|_| dataset.order != Order::Unordered);
        let reasons = |kinds| Reasons::new(kinds, Arc::clone(&popularity), next);
        let pipeline =
            pipeline(&config, &model_names, Arc::clone(&viewers), &popularity, &models.similarity, reasons);
        Ok(Self {
            titles: Titles::new(&dataset),
            neighbours: models.neighbours,
            similarity: models.similarity,
            digest: OnceLock::new(),
            audience,
            config,
            pipeline,
            popularity,
            dataset,
            relevance,
            viewers,
            live,
            store,
            model_names,
        })
    }

    /// Answers a request.
    pub fn recommend(&self, request: &Request) -> Response {
        self.pipeline.run(request)
    }

    /// The settings.
    pub fn config(&self) -> &FeedConfig {
        &self.config
    }

    /// The pipeline, for those who want to run it themselves.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Every video that can be shown now.
    pub fn stock(&self, now: i64) -> Stock {
        self.live.stock(now, &mut Vec::new())
    }

    /// The nearest videos to one, hidden ones left out; `None` if nobody has heard of it. For a newcomer: those
    /// that share most of its categories.
    pub fn neighbors(&self, video: &str, n: usize) -> Option<Vec<Scored>> {
        self.neighbors_for(video, &Request { n, now: now(), ..Request::default() })
    }

    /// The same for a viewer: what they have seen, excluded or not asked for by category is left out.
    pub fn neighbors_for(&self, video: &str, request: &Request) -> Option<Vec<Scored>> {
        let (stock, allow) = self.permitted(request);
        let row = stock.row(video)?;
        let places = request.offset.saturating_add(request.n).min(self.config.places_max);
        let admits = |other: u32| allow.admits(other);
        let mut near: Vec<(u32, f32)> = if stock.is_of_run(row) {
            let near = self.near(row, places, admits).unwrap_or_default();
            near.into_iter().map(|near| (near.row, near.score())).collect()
        } else {
            self.near_by_categories(&stock, row, places, admits)
        };
        near.drain(..request.offset.min(near.len()));
        Some(scored(&stock, near))
    }

    /// The run's videos near a row, best first: half by the model of neighbours, on a scale where its best is 1,
    /// and half by likeness. The model retrieves, likeness orders with it.
    pub(crate) fn near(
        &self,
        row: u32,
        n: usize,
        admits: impl Fn(u32) -> bool,
    ) -> Result<Vec<Near>, StageError> {
        let model = &self.neighbours;
        let scores = guard(|| {
            let mut scores = vec![0.0; model.n_videos()];
            model.score_all(&History::of_positives(&[row]), &Context::default(), &mut scores);
            Scores::new(scores)
        })?;
        if scores.is_flat() {
            return Ok(Vec::new());
        }
        let mut masked = scores.values().to_vec();
        for (at, score) in masked.iter_mut().enumerate() {
            if at == row as usize || *score <= scores.least() || !admits(at as u32) {
                *score = f32::NEG_INFINITY;
            }
        }
        let pool = top_k(&masked, n.max(self.config.rerank_pool));
        let Some(&best) = pool.first() else { return Ok(Vec::new()) };
        let span = masked[best as usize] - scores.least();
        let mut near: Vec<Near> = guard(|| {
            let near = pool.iter().map(|&other| Near {
                row: other,
                by_model: 0.5 * (masked[other as usize] - scores.least()) / span,
                by_likeness: 0.5 * self.similarity.between(row, other).clamp(0.0, 1.0),
            });
            Ok(near.collect())
        })?;
        near.sort_by(|a, b| b.score().total_cmp(&a.score()).then(a.row.cmp(&b.row)));
        near.truncate(n);
        Ok(near)
    }

    fn near_by_categories(
        &self,
        stock: &Stock,
        row: u32,
        n: usize,
        admits: impl Fn(u32) -> bool,
    ) -> Vec<(u32, f32)> {
        let kinds = &self.config.category_kinds;
        let own: HashSet<&str> = stock.genres(row, kinds).into_iter().collect();
        let likeness = |other: u32| {
            let genres: HashSet<&str> = stock.genres(other, kinds).into_iter().collect();
            let shared = own.intersection(&genres).count() as f32;
            (shared > 0.0).then(|| (other, shared / (own.len() + genres.len()) as f32 * 2.0))
        };
        let others = (0..stock.n_rows() as u32).filter(|&other| other != row && admits(other));
        let mut near: Vec<(u32, f32)> = others.filter_map(likeness).collect();
        near.sort_by(|a, b| {
            let counts = self.popularity.count(b.0).cmp(&self.popularity.count(a.0));
            b.1.total_cmp(&a.1).then(counts).then(a.0.cmp(&b.0))
        });
        near.truncate(n);
        near
    }

    /// Users of the run who wanted the same videos, by cosine of the two sets; `None` if nobody has heard of the
    /// user. Ties go to the earlier user. Empty beyond [`FeedConfig::audience_pairs_max`].
    pub fn user_neighbors(&self, user: &str, n: usize) -> Option<Vec<Scored>> {
        let own = self.dataset.users.row(user);
        let past = self.past(user);
        if own.is_none() && past.is_empty() {
            return None;
        }
        let wanted: Vec<u32> = (past.iter())
            .filter(|video| video.judgement == Judgement::Positive)
            .map(|video| video.row)
            .filter(|&row| (row as usize) < self.dataset.videos.len())
            .collect();
        let Some(audience) = &self.audience else { return Some(Vec::new()) };
        let mut shared: HashMap<u32, u32> = HashMap::new();
        for &row in &wanted {
            audience.of(row).iter().filter(|&&other| Some(other) != own).for_each(|&other| {
                *shared.entry(other).or_default() += 1;
            });
        }
        let cosine = |(other, shared): (u32, u32)| {
            let norm = (wanted.len() as f64 * f64::from(audience.n_wanted(other))).sqrt();
            (other, f64::from(shared) / norm)
        };
        let mut near: Vec<(u32, f64)> = shared.into_iter().map(cosine).collect();
        near.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        near.truncate(n.min(self.config.places_max));
        let id = |row| self.dataset.users.name(row).to_string();
        Some(near.into_iter().map(|(row, score)| Scored { id: id(row), score }).collect())
    }

    /// What viewers of the run wanted, lately first; what is wanted right now stands above. A user's seen
    /// videos, exclusions and categories of the request hold.
    pub fn popular(&self, request: &Request) -> Vec<Scored> {
        let (stock, allow) = self.permitted(request);
        let now: HashMap<u32, f32> = stock.wanted.iter().copied().collect();
        let score = |row: u32| {
            self.popularity.recent.get(row as usize).copied().unwrap_or(0.0)
                + now.get(&row).copied().unwrap_or(0.0)
        };
        let mut rows: Vec<(u32, f32)> = allow.rows().map(|row| (row, score(row))).collect();
        rows.sort_by(|a, b| {
            let counts = self.popularity.count(b.0).cmp(&self.popularity.count(a.0));
            b.1.total_cmp(&a.1).then(counts).then(a.0.cmp(&b.0))
        });
        self.page(&stock, rows, request)
    }

    /// What came in last by the store's times, newest first, then the run's videos by release. The score is the
    /// time in seconds since 1970.
    pub fn latest(&self, request: &Request) -> Vec<Scored> {
        let (stock, allow) = self.permitted(request);
        let stored: HashMap<u32, i64> = stock.live.latest().iter().map(|&(time, row)| (row, time)).collect();
        let time = |row: u32| stored.get(&row).copied().or_else(|| stock.published(row));
        let mut rows: Vec<(i64, u32)> = allow.rows().filter_map(|row| Some((time(row)?, row))).collect();
        rows.sort_by_key(|&(time, row)| (std::cmp::Reverse(time), row));
        let places = request.offset.min(rows.len())..request.offset.saturating_add(request.n).min(rows.len());
        let score = |&(time, row): &(i64, u32)| Scored {
            id: stock.id(row).to_string(),
            score: time as f64 / 1_000.0,
        };
        rows[places].iter().take(self.config.places_max).map(score).collect()
    }

    /// Videos by title; an empty query finds well-known ones, varied by genre. The score is the number of the
    /// run's viewers who wanted it.
    pub fn search(&self, query: &str, n: usize) -> Vec<Scored> {
        let stock = self.stock(now());
        let n = n.min(self.config.places_max);
        let rows = self.titles.search(query, n, &stock, &self.popularity, &self.config.category_kinds);
        let count = |row| self.popularity.count(row) as f32;
        scored(&stock, rows.into_iter().map(|row| (row, count(row))).collect())
    }

    /// What is known of a video.
    pub fn card(&self, video: &str) -> Option<Card> {
        let stock = self.live.last();
        let stock = if stock.row(video).is_some() { stock } else { self.stock(now()) };
        let row = stock.row(video)?;
        let mut card = Card {
            id: video.to_string(),
            title: stock.title(row).to_string(),
            year: None,
            labels: BTreeMap::new(),
            categories: stock.stored_categories(row).to_vec(),
            creator: None,
            wanted: self.popularity.count(row),
            hidden: stock.is_hidden(row),
            in_run: stock.is_of_run(row),
        };
        if let Some(newcomer) = stock.newcomer(row) {
            card.labels = newcomer.labels.clone();
            if !card.labels.contains_key("genre") && !card.categories.is_empty() {
                card.labels.insert("genre".into(), card.categories.clone());
            }
            card.year = newcomer.labels.get("year").and_then(|year| year.first()?.parse().ok());
            card.creator.clone_from(&newcomer.creator);
        } else {
            let videos = &self.dataset.videos;
            let known = videos.video(row);
            for &label in &known.labels {
                let (kind, value) = videos.labels.name(label).split_once(':').unwrap_or_default();
                card.labels.entry(kind.to_string()).or_default().push(value.to_string());
            }
            card.year = known.year;
            card.creator = known.creator.map(|creator| videos.creators.name(creator).to_string());
        }
        Some(card)
    }

    /// A viewer's newest `n` videos, newest first: the run's events, then the store's.
    pub fn history(&self, user: &str, n: usize) -> Vec<HistoryItem> {
        let stock = self.live.last();
        let item = |past: &crate::viewer::PastVideo| HistoryItem {
            video: stock.id(past.row).to_string(),
            title: stock.title(past.row).to_string(),
            action: past.action,
            time: past.time,
            value: past.value,
            judgement: match past.judgement {
                Judgement::Positive => "positive",
                Judgement::Neutral => "neutral",
                Judgement::Negative => "negative",
            },
            origin: past.origin,
        };
        let past = self.viewers.past(Some(user), &[], now(), &stock, &mut Vec::new());
        past.iter().rev().take(n).map(item).collect()
    }

    /// Whether the run or the store has heard of a user.
    pub fn knows(&self, user: &str) -> bool {
        match self.store.user_presence(user) {
            Ok(Presence::Present) => true,
            Ok(Presence::Deleted) => false,
            Ok(Presence::Unknown) | Err(_) => self.dataset.users.row(user).is_some(),
        }
    }

    /// People to look at the feed as: half of the places for those the store saw lately, newest first; the rest
    /// are spread evenly over the run's users with at least five events.
    pub fn viewers(&self, n: usize) -> Vec<Viewer> {
        let n = n.min(self.config.places_max);
        let mut viewers: Vec<Viewer> = Vec::new();
        let mut named: HashSet<String> = HashSet::new();
        let recent = guard(|| {
            self.store
                .recent(i64::MIN, self.config.live.events_max)
                .map_err(|e| StageError::new(e.to_string()))
        });
        let mut order = Vec::new();
        let mut counts: HashMap<String, usize> = HashMap::new();
        for feedback in recent.unwrap_or_default() {
            let count = counts.entry(feedback.user.clone()).or_default();
            if *count == 0 {
                order.push(feedback.user);
            }
            *count += 1;
        }
        for user in order.into_iter().take(n.div_ceil(2)) {
            let in_run = self.dataset.users.row(&user).map_or(0, |row| self.viewers.n_events_in_run(row));
            let events = in_run + counts.get(&user).copied().unwrap_or(0);
            named.insert(user.clone());
            viewers.push(Viewer { genres: self.top_genres(&user), user, events, recent: true });
        }
        let users: Vec<u32> = (0..self.dataset.users.len() as u32)
            .filter(|&row| self.viewers.n_events_in_run(row) >= 5)
            .filter(|&row| !named.contains(self.dataset.users.name(row)))
            .collect();
        let places = n.saturating_sub(viewers.len()).min(users.len());
        for place in 0..places {
            let row = users[place * users.len() / places];
            let (user, events) =
                (self.dataset.users.name(row).to_string(), self.viewers.n_events_in_run(row));
            viewers.push(Viewer { genres: self.top_genres(&user), user, events, recent: false });
        }
        viewers
    }

    /// The feed in numbers.
    pub fn about(&self) -> About {
        About {
            name: self.dataset.name.clone(),
            users: self.dataset.users.len(),
            videos: self.dataset.videos.len(),
            events: self.dataset.events().len(),
            newcomers: self.stock(now()).live.newcomers().len(),
            order: self.dataset.order,
            relevance: self.relevance.to_string(),
            digest: self.digest.get_or_init(|| self.dataset.digest()).clone(),
            models: self.model_names.clone(),
        }
    }

    fn past(&self, user: &str) -> Vec<crate::viewer::PastVideo> {
        self.viewers.past(Some(user), &[], now(), &self.stock(now()), &mut Vec::new())
    }

    fn top_genres(&self, user: &str) -> Vec<String> {
        let stock = self.live.last();
        let past = self.viewers.past(Some(user), &[], now(), &stock, &mut Vec::new());
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for video in past.iter().filter(|video| video.judgement == Judgement::Positive) {
            for genre in stock.genres(video.row, &self.config.category_kinds) {
                *counts.entry(genre).or_default() += 1;
            }
        }
        let mut genres: Vec<(&str, usize)> = counts.into_iter().collect();
        genres.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        genres.into_iter().take(3).map(|(genre, _)| genre.to_string()).collect()
    }

    /// The stock, and what of it the filters permit in a request.
    fn permitted(&self, request: &Request) -> (Stock, crate::Allow) {
        let hydrate: &dyn Hydrate = &*self.pipeline.hydrate;
        let query = guard(|| hydrate.hydrate(request)).unwrap_or_else(|_| hydrate.stranger(request));
        let allow = self.pipeline.permitted(&query);
        (query.stock, allow)
    }

    /// What a source of the pipeline returns in a finished request.
    pub(crate) fn of_source(&self, outcome: &Outcome, name: &str, n: usize) -> Vec<(u32, f32)> {
        let source = self.pipeline.sources.iter().find(|source| source.name() == name);
        let rows = source.map(|source| guard(|| source.retrieve(&outcome.query, &outcome.allow, n)));
        rows.and_then(Result::ok).unwrap_or_default()
    }

    fn page(&self, stock: &Stock, mut rows: Vec<(u32, f32)>, request: &Request) -> Vec<Scored> {
        rows.drain(..request.offset.min(rows.len()));
        rows.truncate(request.n.min(self.config.places_max));
        scored(stock, rows)
    }
}

fn scored(stock: &Stock, rows: Vec<(u32, f32)>) -> Vec<Scored> {
    let scored = |(row, score)| Scored { id: stock.id(row).to_string(), score: f64::from(score) };
    rows.into_iter().map(scored).collect()
}

/// Milliseconds since 1970, for answers that are not requests.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn pipeline(
    config: &FeedConfig,
    models: &[String],
    viewers: Arc<Viewers>,
    popularity: &Arc<Popularity>,
    similarity: &Arc<dyn Similarity>,
    reasons: impl FnOnce(Vec<SourceKind>) -> Reasons,
) -> Pipeline {
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    let mut kinds = Vec::new();
    for (model, name) in models.iter().enumerate() {
        sources.push(Box::new(source::ModelSource::new(name.clone(), model)));
        kinds.push(SourceKind::Model(model));
    }
    sources.push(Box::new(source::Popular::new(Arc::clone(popularity))));
    sources.push(Box::new(source::LivePopular));
    sources.push(Box::new(source::Latest::new(config.newcomers_max)));
    kinds.extend([SourceKind::Popular, SourceKind::PopularNow, SourceKind::Latest]);

    let mut scorers: Vec<Box<dyn Scorer>> = Vec::new();
    for (model, name) in models.iter().enumerate() {
        let weight = if model == 0 { Some(1.0) } else { config.source_weights.get(name).copied() };
        if let Some(weight) = weight {
            scorers.push(Box::new(scorer::Blend::new(model, name, weight)));
        }
    }
    let genres = config.category_kinds.clone();
    let (fresh_weight, half_life) = (config.cold_fresh_weight, config.cold_fresh_half_life_days);
    scorers.push(Box::new(scorer::Cold::new(Arc::clone(popularity), fresh_weight, half_life)));
    scorers.push(Box::new(scorer::Retrieval::new()));
    let half_life = config.fresh_half_life_days;
    scorers.push(Box::new(scorer::Newcomer::new(config.newcomer_every, half_life, genres.clone())));
    let (weight, n) = (config.refused_weight, config.refused_max);
    scorers.push(Box::new(scorer::Refused::new(Arc::clone(similarity), weight, n)));

    let (lambda, lambda_cold) = (config.lambda, config.lambda_cold);
    let reranker: Box<dyn Reranker> =
        Box::new(Mmr::new(Arc::clone(similarity), lambda, lambda_cold, config.rerank_pool));
    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    Pipeline {
        hydrate: Box::new(viewers),
        sources,
        filters: vec![
            Box::new(filter::Seen),
            Box::new(filter::Hidden),
            Box::new(filter::Excluded),
            Box::new(filter::OwnUploads),
            Box::new(filter::Categories::new(genres)),
        ],
        scorers,
        reranker,
        served: Box::new(reasons(kinds)),
        candidates_per_source: config.candidates_per_source,
        trace_examples_max: config.trace_examples_max,
        trace_moves_max: config.trace_moves_max,
        ids: RequestIds::starting_at(start),
    }
}
