//! What the sources' ranks say, where no model could score.

use std::sync::Arc;

use crate::pipeline::{Scorer, StageError, part};
use crate::{Candidate, Query};

/// Adds the reciprocal rank fusion of the sources (Cormack et al. 2009, constant 60), if the scorers before it
/// gave no part to any candidate: so a broken main model leaves a slate that is still personal.
pub struct Retrieval {
    name: Arc<str>,
}

impl Retrieval {
    /// The fallback.
    pub fn new() -> Self {
        Self { name: part("sources") }
    }
}

impl Default for Retrieval {
    fn default() -> Self {
        Self::new()
    }
}

impl Scorer for Retrieval {
    fn name(&self) -> &str {
        "sources"
    }

    fn score(&self, query: &Query, candidates: &mut [Candidate]) -> Result<(), StageError> {
        if candidates.iter().any(|candidate| !candidate.parts().is_empty()) {
            return Ok(());
        }
        for candidate in candidates.iter_mut().filter(|c| query.stock.is_of_run(c.row())) {
            let fused = candidate.retrieved().iter().map(|r| 1.0 / (61.0 + f64::from(r.rank))).sum();
            candidate.add(&self.name, fused);
        }
        Ok(())
    }
}
