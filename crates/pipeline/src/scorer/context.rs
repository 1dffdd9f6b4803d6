//! What a stranger's circumstances say: the hour, the language, the device.

use std::sync::Arc;

use crate::filter::agree;
use crate::habit::Habits;
use crate::pipeline::{Scorer, StageError, part};
use crate::rows::labels_of;
use crate::{Candidate, Query};

/// For a viewer without a past, and for each circumstance that the request tells, adds `weight` times how much a video
/// of the run is wanted there, 0 to 1; one in the viewer's language gets all of it.
pub struct Context {
    habits: Arc<Habits>,
    weight: f64,
    language_kinds: Vec<String>,
    parts: [Arc<str>; 3],
}

impl Context {
    /// With the weight, and the kinds of label that tell a language.
    pub fn new(habits: Arc<Habits>, weight: f64, language_kinds: Vec<String>) -> Self {
        Self { habits, weight, language_kinds, parts: ["hour", "device", "language"].map(part) }
    }
}

impl Scorer for Context {
    fn name(&self) -> &str {
        "context"
    }

    fn score(&self, query: &Query, candidates: &mut [Candidate]) -> Result<(), StageError> {
        if !query.is_cold() {
            return Ok(());
        }
        let request = &query.request;
        for candidate in candidates.iter_mut().filter(|c| query.stock.is_of_run(c.row())) {
            let row = candidate.row();
            let spoken = |language: &String| {
                let spoken = labels_of(&query.stock, row, &self.language_kinds);
                f64::from(u8::from(spoken.iter().any(|of| agree(of, language))))
            };
            let levels = [
                request.hour.map(|hour| self.habits.at_hour(hour, row)),
                request.device.as_ref().map(|device| self.habits.on_device(device, row)),
                request.language.as_ref().map(spoken),
            ];
            for (name, level) in self.parts.iter().zip(levels) {
                if let Some(level) = level.filter(|level| *level > 0.0) {
                    candidate.add(name, self.weight * level);
                }
            }
        }
        Ok(())
    }
}
