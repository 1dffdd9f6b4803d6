//! The best of one model: Markov or ItemKNN from the recent past, content neighbours, EASE, a blend.

use crate::pipeline::{Source, StageError};
use crate::{Allow, Query};

/// Candidates by any model of the feed. It has no signal where all its scores are equal, and none for a video
/// that scores like the least.
pub struct ModelSource {
    name: String,
    model: usize,
}

impl ModelSource {
    /// The model at a place of [`Query::models`].
    pub fn new(name: impl Into<String>, model: usize) -> Self {
        Self { name: name.into(), model }
    }
}

impl Source for ModelSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn retrieve(&self, query: &Query, allow: &Allow, n: usize) -> Result<Vec<(u32, f32)>, StageError> {
        query.scores(self.model)?.top(n, allow)
    }

    fn rank(&self, query: &Query, allow: &Allow, row: u32) -> Result<Option<usize>, StageError> {
        let scores = query.scores(self.model)?;
        let silent = scores.is_flat() || scores.of(row) <= scores.least();
        Ok((!silent).then(|| scores.rank(row, |other| allow.admits(other))))
    }
}
