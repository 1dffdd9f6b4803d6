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
    /// The weight of relevance for a request, 0 to 1.
    pub(super) fn lambda_of(&self, query: &Query) -> f64 {
        let usual = if query.is_cold() { self.lambda_cold } else { self.lambda };
        let asked = query.request.lambda.filter(|lambda| lambda.is_finite());
        f64::from(asked.unwrap_or(usual).clamp(0.0, 1.0))
    }

    /// The candidates that take part.
    pub(super) fn pool_of<'a>(&self, ranked: &'a [Candidate]) -> &'a [Candidate] {
        &ranked[..ranked.len().min(self.pool)]
    }

    /// How alike two rows of the stock are.
    pub(super) fn between(&self, query: &Query, a: u32, b: u32) -> f32 {
        match (query.stock.is_of_run(a), query.stock.is_of_run(b)) {
            (true, true) => self.similarity.between(a, b),
            // Nothing is known of newcomers: they are unlike the run's videos and all alike among
            // themselves, so that variety brings in one of them and not all.
            (false, false) => 1.0,
            _ => 0.0,
        }
    }
}
