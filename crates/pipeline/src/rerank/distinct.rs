//! The same thing is not shown twice on a page.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Similarity;
use crate::pipeline::{Reranker, StageError, completed};
use crate::{Candidate, Query};

/// The order of another re-rank, where a video waits as long as one of the `window` places above it is as like as
/// `least`: so of near duplicates only the first stands within a window. Where nothing else is left, they follow.
pub struct Distinct {
    /// What orders.
    pub inner: Box<dyn Reranker>,
    /// What is alike.
    pub similarity: Arc<dyn Similarity>,
    /// From this likeness on two videos are near duplicates; 0 finds none.
    pub least: f32,
    /// Places within which only one of them stands.
    pub window: usize,
    /// The best so many candidates take part.
    pub pool: usize,
}

impl Reranker for Distinct {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn rerank(&self, query: &Query, ranked: &[Candidate], places: usize) -> Result<Vec<usize>, StageError> {
        let order = self.inner.rerank(query, ranked, places)?;
        if self.least <= 0.0 {
            return Ok(order);
        }
        let order = completed(order, ranked.len())?;
        let is_same = |a: usize, b: usize| {
            let (a, b) = (ranked[a].row(), ranked[b].row());
            let are_known = query.stock.is_of_run(a) && query.stock.is_of_run(b);
            are_known && self.similarity.between(a, b) >= self.least
        };
        let mut left: VecDeque<usize> = order.into();
        let mut shown: Vec<usize> = Vec::with_capacity(left.len());
        while shown.len() < places {
            let above = &shown[shown.len().saturating_sub(self.window)..];
            let is_new = |at: &usize| !above.iter().any(|&other| is_same(*at, other));
            let Some(next) = left.iter().take(self.pool).position(is_new) else { break };
            shown.extend(left.remove(next));
        }
        shown.extend(left);
        Ok(shown)
    }
}
