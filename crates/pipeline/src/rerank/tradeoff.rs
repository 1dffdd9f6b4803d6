//! What every re-rank that weighs relevance against variety goes by: a likeness, a weight, a pool.

use std::sync::Arc;

use super::Similarity;
use crate::{Candidate, Query};

/// The settings of [`Mmr`](super::Mmr) and [`Dpp`](super::Dpp).
pub struct Tradeoff {
    /// What is alike.
    pub similarity: Arc<dyn Similarity>,
    /// The weight of relevance for viewers with a past, used where a request names none.
    pub lambda: f32,
    /// The same for viewers without a past.
    pub lambda_cold: f32,
    /// The best so many candidates take part, so that pages of one ranking agree.
    pub pool: usize,
}

impl Tradeoff {
    /// What `pick` makes of a request: it is given the relevance of the candidates that take part, the weight of relevance,
    /// and how alike two of them are.
    pub(super) fn weigh(
        &self,
        query: &Query,
        ranked: &[Candidate],
        pick: impl FnOnce(&[f64], f64, &dyn Fn(usize, usize) -> f32) -> Vec<usize>,
    ) -> Vec<usize> {
        let pool = &ranked[..ranked.len().min(self.pool)];
        let relevance: Vec<f64> = pool.iter().map(Candidate::score).collect();
        let alike = |a: usize, b: usize| self.between(query, pool[a].row(), pool[b].row());
        pick(&relevance, self.lambda_of(query), &alike)
    }

    /// The weight of relevance for a request, 0 to 1.
    fn lambda_of(&self, query: &Query) -> f64 {
        let usual = if query.is_cold() { self.lambda_cold } else { self.lambda };
        let asked = query.request.lambda.filter(|lambda| lambda.is_finite());
        f64::from(asked.unwrap_or(usual).clamp(0.0, 1.0))
    }

    /// How alike two rows of the stock are.
    fn between(&self, query: &Query, a: u32, b: u32) -> f32 {
        match (query.stock.is_of_run(a), query.stock.is_of_run(b)) {
            (true, true) => self.similarity.between(a, b),
            // Nothing is known of newcomers: they are unlike the run's videos and all alike among
            // themselves, so that variety brings in one of them and not all.
            (false, false) => 1.0,
            _ => 0.0,
        }
    }
}

/// Takes the candidate of the largest value out of those that are left. They stay in the plain order, and only what is strictly
/// better goes before: ties go to the better relevance.
///
/// # Panics
/// If none is left.
pub(super) fn take_best(left: &mut Vec<usize>, value: impl Fn(usize) -> f64) -> usize {
    let mut best = 0;
    for place in 1..left.len() {
        if value(left[place]) > value(left[best]) {
            best = place;
        }
    }
    left.remove(best)
}
