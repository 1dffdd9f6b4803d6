//! What refused videos take from their neighbours.

use std::sync::Arc;

use crate::pipeline::{Scorer, StageError, part};
use crate::rerank::Similarity;
use crate::{Candidate, Query};

/// Subtracts `weight * spread * similarity` to the nearest of the newest refused videos, where the spread is
/// the difference between the best and the worst score of the list.
pub struct Refused {
    similarity: Arc<dyn Similarity>,
    weight: f64,
    refused_max: usize,
    name: Arc<str>,
}

impl Refused {
    /// With the share of the spread that a full likeness takes, and how many refused videos count.
    pub fn new(similarity: Arc<dyn Similarity>, weight: f64, refused_max: usize) -> Self {
        Self { similarity, weight, refused_max, name: part("refused") }
    }
}

impl Scorer for Refused {
    fn name(&self) -> &str {
        "refused"
    }

    fn score(&self, query: &Query, candidates: &mut [Candidate]) -> Result<(), StageError> {
        let of_run = |row: &u32| query.stock.is_of_run(*row);
        let refused: Vec<u32> = query.refused.iter().copied().filter(of_run).take(self.refused_max).collect();
        if refused.is_empty() || self.weight <= 0.0 {
            return Ok(());
        }
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for candidate in candidates.iter() {
            least = least.min(candidate.score());
            most = most.max(candidate.score());
        }
        let spread = most - least;
        for candidate in candidates.iter_mut().filter(|c| of_run(&c.row())) {
            let nearest =
                refused.iter().map(|&row| self.similarity.between(candidate.row(), row)).fold(0.0, f32::max);
            // Below this, two videos are not neighbours.
            if nearest >= 0.05 {
                candidate.add(&self.name, -self.weight * spread * f64::from(nearest));
            }
        }
        Ok(())
    }
}
