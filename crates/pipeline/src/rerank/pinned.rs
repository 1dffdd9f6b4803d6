//! Places that rules give.

use crate::pipeline::{Reranker, StageError, completed};
use crate::{Candidate, Query};

/// The order of another re-rank, with pinned videos at their places; one beyond the end stands last.
pub struct Pinned(pub Box<dyn Reranker>);

impl Reranker for Pinned {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn rerank(&self, query: &Query, ranked: &[Candidate], places: usize) -> Result<Vec<usize>, StageError> {
        let order = self.0.rerank(query, ranked, places)?;
        if query.rules.pins.is_empty() {
            return Ok(order);
        }
        let mut order = completed(order, ranked.len())?;
        let pins = query.rules.pins.iter();
        let pins: Vec<(usize, usize)> = pins
            .filter_map(|pin| {
                Some((pin.place - 1, ranked.iter().position(|candidate| candidate.row() == pin.row)?))
            })
            .collect();
        order.retain(|at| !pins.iter().any(|(_, pinned)| pinned == at));
        for (place, at) in pins {
            order.insert(place.min(order.len()), at);
        }
        Ok(order)
    }
}
