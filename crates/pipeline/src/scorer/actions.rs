//! Several wishes at once: what a like, a minute of watching or a refusal is worth.

use std::sync::Arc;

use crate::actions::ActionRates;
use crate::pipeline::{Scorer, StageError, part};
use crate::{ActionWeights, Candidate, Query};

/// Adds `sum of weight * P(action | video)`, a watch counted in expected seconds, in deviations from its mean over the
/// candidates, times `strength`: the scale of the models. These are rates of videos, not of this viewer.
pub struct Actions {
    rates: Arc<ActionRates>,
    weights: ActionWeights,
    strength: f64,
    name: Arc<str>,
}

impl Actions {
    /// With the weights that are used where a request gives none.
    pub fn new(rates: Arc<ActionRates>, weights: ActionWeights, strength: f64) -> Self {
        Self { rates, weights, strength, name: part("actions") }
    }
}

impl Scorer for Actions {
    fn name(&self) -> &str {
        "actions"
    }

    fn score(&self, query: &Query, candidates: &mut [Candidate]) -> Result<(), StageError> {
        let weights = query.request.weights.as_ref().unwrap_or(&self.weights);
        if weights.is_empty() {
            return Ok(());
        }
        let of_run = |candidate: &Candidate| query.stock.is_of_run(candidate.row());
        let worth: Vec<f64> = (candidates.iter().filter(|candidate| of_run(candidate)))
            .map(|candidate| self.rates.worth(candidate.row(), weights))
            .collect();
        let n = worth.len().max(1) as f64;
        let mean = worth.iter().sum::<f64>() / n;
        let deviation = (worth.iter().map(|worth| (worth - mean).powi(2)).sum::<f64>() / n).sqrt();
        if deviation > 0.0 {
            for (candidate, worth) in candidates.iter_mut().filter(|candidate| of_run(candidate)).zip(worth) {
                candidate.add(&self.name, self.strength * (worth - mean) / deviation);
            }
        }
        Ok(())
    }
}
