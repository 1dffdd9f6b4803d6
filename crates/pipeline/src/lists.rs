//! Lists beside the feed: neighbours, most popular, latest, titles.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use upnext_data::{History, Judgement};
use upnext_models::Context;

use crate::feed::{Feed, now};
use crate::pipeline::{Hydrate, StageError, guard};
use crate::{Allow, Request, Stock};

/// An outside id with a score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scored {
    /// Outside id of a video, or of a user.
    pub id: String,
    /// Larger is better; finite.
    pub score: f64,
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

impl Feed {
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
        let mut near: Vec<(u32, f32)> = if stock.is_of_run(row) {
            let near = self.near(row, places, &allow).unwrap_or_default();
            near.into_iter().map(|near| (near.row, near.score())).collect()
        } else {
            self.near_by_categories(&stock, row, places, |other| allow.admits(other))
        };
        near.drain(..request.offset.min(near.len()));
        Some(scored(&stock, near))
    }

    /// The run's videos near a row, best first: half by the model of neighbours, on a scale where its best is 1,
    /// and half by likeness. The model retrieves, likeness orders with it.
    pub(crate) fn near(&self, row: u32, n: usize, allow: &Allow) -> Result<Vec<Near>, StageError> {
        let past = History::of_positives(&[row]);
        let tower = |_: usize, make: &dyn Fn() -> Vec<f32>| make().into();
        let scores = guard(|| self.neighbours.scores(&past, &Context::default(), &tower))?;
        let mut allow = allow.clone();
        allow.refuse(row);
        let pool = scores.top(n.max(self.config.rerank_pool), &allow)?;
        let (Some(&(_, best)), Some(&(_, worst))) = (pool.first(), pool.last()) else {
            return Ok(Vec::new());
        };
        // Where the model has something to say of every video, the scale ends at the worst that is near.
        let least = if scores.least() > f32::MIN { scores.least() } else { worst };
        let span = (best - least).max(f32::MIN_POSITIVE);
        let mut near: Vec<Near> = guard(|| {
            let near = pool.iter().map(|&(other, score)| Near {
                row: other,
                by_model: 0.5 * (score - least) / span,
                by_likeness: 0.5 * self.similarity.between(row, other).clamp(0.0, 1.0),
            });
            Ok(near.collect())
        })?;
        near.sort_by(|a, b| b.score().total_cmp(&a.score()).then(a.row.cmp(&b.row)));
        near.truncate(n);
        Ok(near)
    }

    /// Videos that share most of a row's categories, for what no model knows.
    pub(crate) fn near_by_categories(
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
    /// user. Ties go to the earlier user. Empty beyond [`crate::FeedConfig::audience_pairs_max`].
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

    /// The stock, and what of it the filters permit in a request.
    fn permitted(&self, request: &Request) -> (Stock, Allow) {
        let hydrate: &dyn Hydrate = &*self.pipeline.hydrate;
        let query = guard(|| hydrate.hydrate(request)).unwrap_or_else(|_| hydrate.stranger(request));
        let allow = self.pipeline.permitted(&query);
        (query.stock, allow)
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
