//! What can be said to a viewer without a past.

use std::sync::Arc;

use crate::pipeline::{Scorer, StageError, part};
use crate::popularity::freshness;
use crate::{Candidate, Popularity, Query};

/// Adds popularity (logarithmic, 0 to 1) and freshness (seen from the newest release of the catalogue, 0 to 1)
/// for videos of the run. Variety is the re-rank's.
pub struct Cold {
    popularity: Arc<Popularity>,
    fresh_weight: f64,
    half_life_days: f64,
    popular: Arc<str>,
    fresh: Arc<str>,
}

impl Cold {
    /// With the share of freshness, and after how many days half of it is gone.
    pub fn new(popularity: Arc<Popularity>, fresh_weight: f64, half_life_days: f64) -> Self {
        let (popular, fresh) = (part("popular"), part("fresh"));
        Self { popularity, fresh_weight, half_life_days, popular, fresh }
    }
}

impl Scorer for Cold {
    fn name(&self) -> &str {
        "cold"
    }

    fn score(&self, query: &Query, candidates: &mut [Candidate]) -> Result<(), StageError> {
        if !query.is_cold() {
            return Ok(());
        }
        for candidate in candidates.iter_mut().filter(|c| query.stock.is_of_run(c.row())) {
            candidate.add(&self.popular, (1.0 - self.fresh_weight) * self.popularity.level(candidate.row()));
            let released = query.stock.published(candidate.row());
            if let (Some(time), Some(newest)) = (released, self.popularity.newest_release) {
                let fresh = self.fresh_weight * freshness(time, newest, self.half_life_days);
                if fresh > 0.0 {
                    candidate.add(&self.fresh, fresh);
                }
            }
        }
        Ok(())
    }
}
