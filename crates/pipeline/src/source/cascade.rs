//! One model narrows, another selects: candidates of the first in the order of the second.

use crate::pipeline::{Source, StageError};
use crate::scores::best;
use crate::{Allow, Query};

/// The best `to` of one model by the scores of another. Silent where either has no signal.
pub struct Cascade {
    name: String,
    narrow: usize,
    to: usize,
    select: usize,
}

impl Cascade {
    /// Models by their places in [`Query::models`].
    pub fn new(name: impl Into<String>, narrow: usize, to: usize, select: usize) -> Self {
        Self { name: name.into(), narrow, to, select }
    }

    fn selected(&self, query: &Query, allow: &Allow, n: usize) -> Result<Vec<(u32, f32)>, StageError> {
        let selecting = query.scores(self.select)?;
        if selecting.is_flat() {
            return Ok(Vec::new());
        }
        let narrowed = query.scores(self.narrow)?.top(self.to, allow)?;
        Ok(best(narrowed.into_iter().map(|(row, _)| (row, selecting.of(row))).collect(), n))
    }
}

impl Source for Cascade {
    fn name(&self) -> &str {
        &self.name
    }

    fn retrieve(&self, query: &Query, allow: &Allow, n: usize) -> Result<Vec<(u32, f32)>, StageError> {
        self.selected(query, allow, n)
    }

    fn rank(&self, query: &Query, allow: &Allow, row: u32) -> Result<Option<usize>, StageError> {
        Ok(self.selected(query, allow, self.to)?.iter().position(|&(other, _)| other == row))
    }
}
