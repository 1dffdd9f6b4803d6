//! A request with everything that is known of who asks.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use upnext_data::History;
use upnext_models::{Context, Recommender};

use crate::pipeline::{StageError, guard};
use crate::rules::ActiveRules;
use crate::{Failure, Request, Stock};

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

/// One model's scores for this viewer, and what is needed to read them.
#[derive(Clone, Debug)]
pub struct Scores {
    values: Vec<f32>,
    least: f32,
    most: f32,
    mean: f64,
    deviation: f64,
}

impl Scores {
    /// Checks that every score is finite.
    ///
    /// # Errors
    /// Names the first row whose score is not.
    pub fn new(values: Vec<f32>) -> Result<Self, StageError> {
        if let Some(row) = values.iter().position(|score| !score.is_finite()) {
            return Err(StageError::new(format!("the score of row {row} is {}", values[row])));
        }
        let n = values.len().max(1) as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        let least = values.iter().copied().fold(f32::INFINITY, f32::min);
        let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        Ok(Self { values, least, most, mean, deviation: variance.sqrt() })
    }

    /// The score of each row that the model knows.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The score of a row; of one the model does not know, the least.
    pub fn of(&self, row: u32) -> f32 {
        self.values.get(row as usize).copied().unwrap_or(self.least)
    }

    /// The least score: that of a video the model has nothing to say of.
    pub fn least(&self) -> f32 {
        self.least
    }

    /// Whether all scores are equal: the model has no signal for this viewer.
    pub fn is_flat(&self) -> bool {
        self.values.is_empty() || self.least == self.most
    }

    /// The score in deviations from the mean over the catalogue: comparable between viewers and models.
    pub fn scaled(&self, row: u32) -> f64 {
        if self.is_flat() || self.deviation <= 0.0 {
            return 0.0;
        }
        (f64::from(self.of(row)) - self.mean) / self.deviation
    }

    /// The place of a row among the rows that `admits` lets through, from 0; equal scores by row.
    pub fn rank(&self, row: u32, admits: impl Fn(u32) -> bool) -> usize {
        let score = self.of(row);
        let better = |(at, &other): (usize, &f32)| other > score || (other == score && (at as u32) < row);
        (self.values.iter().enumerate()).filter(|&(at, v)| better((at, v)) && admits(at as u32)).count()
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
    /// The rules that hold for this request.
    pub rules: ActiveRules,
    /// What went wrong while this was put together.
    pub failures: Vec<Failure>,
    models: Arc<[Arc<dyn Recommender>]>,
    scores: Vec<OnceLock<Result<Scores, StageError>>>,
}

impl Query {
    /// A question of somebody unknown, with an empty past.
    pub fn new(request: Request, stock: Stock, models: Arc<[Arc<dyn Recommender>]>) -> Self {
        let context = Context { now: Some(request.now), user: None, seed: request.seed };
        let mut excluded: Vec<u32> = request.exclude.iter().filter_map(|id| stock.row(id)).collect();
        excluded.sort_unstable();
        let scores = (0..models.len()).map(|_| OnceLock::new()).collect();
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
            rules: ActiveRules::default(),
            failures: Vec::new(),
            models,
            scores,
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
        &self.models
    }

    /// The scores of one model, computed once in a request and shared by sources and scorers.
    ///
    /// # Errors
    /// If there is no such model, it panicked, or a score is not finite.
    pub fn scores(&self, model: usize) -> Result<&Scores, StageError> {
        let (Some(of), Some(cell)) = (self.models.get(model), self.scores.get(model)) else {
            return Err(StageError::new(format!(
                "there is no model {model}; expected 0 to {}",
                self.models.len()
            )));
        };
        let score = || {
            guard(|| {
                let mut values = vec![0.0; of.n_videos()];
                of.score_all(&self.history, &self.context, &mut values);
                Scores::new(values)
            })
        };
        cell.get_or_init(score).as_ref().map_err(Clone::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_that_is_not_finite_is_named_by_its_row() {
        assert!(Scores::new(vec![0.0, f32::NAN]).unwrap_err().to_string().contains("row 1 is NaN"));
        assert!(Scores::new(vec![0.0, 1.0]).is_ok());
    }

    #[test]
    fn ranks_count_only_what_is_permitted_and_break_ties_by_row() {
        let scores = Scores::new(vec![0.5, 2.0, 0.5, 3.0]).unwrap();
        assert_eq!([0, 1, 2, 3].map(|row| scores.rank(row, |_| true)), [2, 1, 3, 0]);
        assert_eq!(scores.rank(2, |row| row != 3), 2);
        assert!((scores.scaled(3) + scores.scaled(0) + scores.scaled(1) + scores.scaled(2)).abs() < 1e-9);
        assert_eq!(scores.of(99), 0.5);
    }
}
