//! What rules add to scores and take from them.

use crate::pipeline::{Scorer, StageError};
use crate::{Candidate, Query};

/// Adds, for each boost or bury that holds, its share of the spread of the scores: the difference between the best and the
/// worst of the list, or 1 where all are equal.
pub struct Rules {
    /// Kinds of label that the store's categories stand for.
    pub category_kinds: Vec<String>,
}

impl Scorer for Rules {
    fn name(&self) -> &str {
        "rules"
    }

    fn score(&self, query: &Query, candidates: &mut [Candidate]) -> Result<(), StageError> {
        let most = candidates.iter().map(Candidate::score).fold(f64::NEG_INFINITY, f64::max);
        let least = candidates.iter().map(Candidate::score).fold(f64::INFINITY, f64::min);
        let spread = if most > least { most - least } else { 1.0 };
        for shift in &query.rules.shifts {
            for candidate in candidates.iter_mut() {
                let row = candidate.row();
                let is_about = match &shift.filter {
                    Some(filter) => filter.holds(&query.stock, &self.category_kinds, row),
                    None => shift.rows.binary_search(&row).is_ok(),
                };
                if is_about {
                    candidate.add(&shift.part, shift.amount * spread);
                }
            }
        }
        Ok(())
    }
}
