//! A request with everything that is known of who asks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use upnext_data::History;
use upnext_models::{Context, Recommender};

use crate::pipeline::{StageError, guard};
use crate::rules::ActiveRules;
use crate::{Failure, Models, Request, Scores, Stock};

/// How a video of the past came to count as wanted: what a reason may truly say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum How {
    /// Watched, or seen.
    Watched,
    /// Rated with so many stars.
    Rated(f32),
    /// Liked, kept, sent, commented on.
    Liked,
    /// Picked in this request.
    Picked,
}

impl How {
    /// The word of the sentence "because you … X".
    pub fn verb(self) -> &'static str {
        match self {
            Self::Picked => "picked",
            Self::Liked => "liked",
            Self::Rated(stars) if stars >= 4.0 => "liked",
            Self::Rated(_) | Self::Watched => "watched",
        }
    }
}

/// A hydrated request: what every stage may read.
pub struct Query {
    /// What was asked, cut to the limits.
    pub request: Request,
    /// Every video that can be shown now.
    pub stock: Stock,
    /// The past that models see: rows of the run only, oldest first.
    pub history: History,
    /// Time and seed for the models.
    pub context: Context,
    /// All rows of the past, newcomers included, sorted.
    pub seen: Vec<u32>,
    /// The refused rows, newest first.
    pub refused: Vec<u32>,
    /// How each wanted row came to be so.
    pub wanted: HashMap<u32, How>,
    /// Rows that the request excludes, sorted.
    pub excluded: Vec<u32>,
    /// Rows that were just served, sorted.
    pub served: Vec<u32>,
    /// Outside ids of authors whom the viewer does not want to see.
    pub blocked_authors: Vec<String>,
    /// Outside ids of authors whom the viewer follows.
    pub followed_authors: Vec<String>,
    /// The creator of the run who bears the viewer's id.
    pub own_creator: Option<u32>,
    /// The rules that hold for this request.
    pub rules: ActiveRules,
    /// What went wrong while this was put together.
    pub failures: Vec<Failure>,
    /// The viewer's vector of each tower, shared by requests until an event changes it.
    pub towers: Arc<Towers>,
    models: Arc<Models>,
    scores: Vec<OnceLock<Result<Scores, StageError>>>,
    is_late: AtomicBool,
}

/// Where one past stands in the space of each tower of a feed, computed when it is first asked for.
#[derive(Debug)]
pub struct Towers(Vec<OnceLock<Arc<[f32]>>>);

impl Towers {
    /// None is computed yet.
    pub fn new(n: usize) -> Self {
        Self((0..n).map(|_| OnceLock::new()).collect())
    }

    /// The vector of a tower. Two threads that both find none make it both: neither waits for the other.
    fn get(&self, tower: usize, make: &dyn Fn() -> Vec<f32>) -> Arc<[f32]> {
        let Some(cell) = self.0.get(tower) else { return make().into() };
        match cell.get() {
            Some(vector) => Arc::clone(vector),
            None => {
                let made: Arc<[f32]> = make().into();
                Arc::clone(cell.get_or_init(|| made))
            }
        }
    }
}

impl Query {
    /// A question of somebody unknown, with an empty past.
    pub fn new(request: Request, stock: Stock, models: Arc<Models>) -> Self {
        let context = Context { now: Some(request.now), user: None, seed: request.seed };
        let mut excluded: Vec<u32> = request.exclude.iter().filter_map(|id| stock.row(id)).collect();
        excluded.sort_unstable();
        let user = request.user.as_deref();
        let own_creator = user.and_then(|user| stock.dataset.videos.creators.row(user));
        let scores = models.models().iter().map(|_| OnceLock::new()).collect();
        let towers = Arc::new(Towers::new(models.n_towers()));
        Self {
            request,
            stock,
            history: History::default(),
            context,
            seen: Vec::new(),
            refused: Vec::new(),
            wanted: HashMap::new(),
            excluded,
            served: Vec::new(),
            blocked_authors: Vec::new(),
            followed_authors: Vec::new(),
            own_creator,
            rules: ActiveRules::default(),
            failures: Vec::new(),
            towers,
            models,
            scores,
            is_late: AtomicBool::new(false),
        }
    }

    /// Whether nothing is known that models could go by.
    pub fn is_cold(&self) -> bool {
        self.history.positives().is_empty()
    }

    /// How many places of the ranking the request reaches.
    pub fn places(&self) -> usize {
        self.request.offset.saturating_add(self.request.n)
    }

    /// The models, in the feed's order.
    pub fn models(&self) -> &[Arc<dyn Recommender>] {
        self.models.models()
    }

    /// From now on nothing is computed that is not there yet: a source was too slow for this request.
    pub(crate) fn is_late_now(&self) {
        self.is_late.store(true, Ordering::Release);
    }

    /// The scores of one model, computed once in a request and shared by sources and scorers.
    ///
    /// # Errors
    /// If there is no such model, it panicked, a score is not finite, or the request may not wait for it any more.
    pub fn scores(&self, model: usize) -> Result<&Scores, StageError> {
        let (Some(asked), Some(cell)) = (self.models.get(model), self.scores.get(model)) else {
            return Err(StageError::new(format!(
                "there is no model {model}; expected 0 to {}",
                self.models.models().len()
            )));
        };
        if cell.get().is_none() {
            if self.is_late.load(Ordering::Acquire) {
                let name = asked.model.name();
                return Err(StageError::new(format!("the scores of {name} were not there in time")));
            }
            let tower = |tower: usize, make: &dyn Fn() -> Vec<f32>| self.towers.get(tower, make);
            // Made outside of the cell: who finds it empty makes it too, and waits for nobody.
            let made = guard(|| asked.scores(&self.history, &self.context, &tower));
            let _ = cell.set(made);
        }
        cell.get().expect("set above, here or by another thread").as_ref().map_err(Clone::clone)
    }
}
