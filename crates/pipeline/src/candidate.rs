//! A video that may be shown, and how its score came about.

use std::sync::Arc;

/// That a source returned a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retrieved {
    /// Which source, by its place in the pipeline.
    pub source: usize,
    /// The candidate's rank in that source, from 0.
    pub rank: u32,
    /// The source's own score, on the source's own scale.
    pub score: f32,
}

/// A candidate. Its score is the sum of its parts, so every answer explains itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    row: u32,
    retrieved: Vec<Retrieved>,
    parts: Vec<(Arc<str>, f64)>,
    score: f64,
    propensity: Option<f64>,
}

impl Candidate {
    /// A candidate that one source returned; no part yet.
    pub fn new(row: u32, first: Retrieved) -> Self {
        Self { row, retrieved: vec![first], parts: Vec::new(), score: 0.0, propensity: None }
    }

    /// The video's row.
    pub fn row(&self) -> u32 {
        self.row
    }

    /// The sources that returned it, in the order of the pipeline.
    pub fn retrieved(&self) -> &[Retrieved] {
        &self.retrieved
    }

    /// What was added to the score, by name, in the order of adding.
    pub fn parts(&self) -> &[(Arc<str>, f64)] {
        &self.parts
    }

    /// The sum of the parts.
    pub fn score(&self) -> f64 {
        self.score
    }

    /// Adds a part to the score.
    pub fn add(&mut self, part: &Arc<str>, value: f64) {
        self.parts.push((Arc::clone(part), value));
        self.score += value;
    }

    /// How likely its place was to show it, where places explore.
    pub fn propensity(&self) -> Option<f64> {
        self.propensity
    }

    pub(crate) fn set_propensity(&mut self, propensity: f64) {
        self.propensity = Some(propensity);
    }

    pub(crate) fn also(&mut self, retrieved: Retrieved) {
        self.retrieved.push(retrieved);
    }

    /// Takes back every part after the first `n`: what a failed scorer added.
    pub(crate) fn take_back(&mut self, n: usize) {
        self.parts.truncate(n);
        self.score = self.parts.iter().map(|(_, value)| value).sum();
    }
}
