//! What a model says, for a viewer with a past.

use std::sync::Arc;

use crate::pipeline::{Scorer, StageError, part};
use crate::{Candidate, Query};

/// Adds, for every video of the run, one model's score in deviations from its mean over the catalogue, times a
/// weight: so a score means the same for every viewer, and several of these blend their models.
pub struct Blend {
    model: usize,
    name: Arc<str>,
    weight: f64,
}

impl Blend {
    /// The model at a place of [`Query::models`], under its name.
    pub fn new(model: usize, name: &str, weight: f64) -> Self {
        Self { model, name: part(name), weight }
    }
}

impl Scorer for Blend {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&self, query: &Query, candidates: &mut [Candidate]) -> Result<(), StageError> {
        if query.is_cold() {
            return Ok(());
        }
        let scores = query.scores(self.model)?;
        let mut of_run: Vec<&mut Candidate> =
            candidates.iter_mut().filter(|candidate| query.stock.is_of_run(candidate.row())).collect();
        of_run.sort_unstable_by_key(|candidate| candidate.row());
        let rows: Vec<u32> = of_run.iter().map(|candidate| candidate.row()).collect();
        for (candidate, score) in of_run.into_iter().zip(scores.scaled_of(&rows)) {
            candidate.add(&self.name, self.weight * score);
        }
        Ok(())
    }
}
