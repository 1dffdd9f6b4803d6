//! What is wanted right now: recent positive feedback in the store.

use crate::pipeline::{Source, StageError};
use crate::{Allow, Query};

/// Candidates by live counts, newcomers included.
pub struct LivePopular;

impl Source for LivePopular {
    fn name(&self) -> &str {
        "popular-now"
    }

    fn retrieve(&self, query: &Query, allow: &Allow, n: usize) -> Result<Vec<(u32, f32)>, StageError> {
        let wanted = query.stock.wanted.iter().copied();
        Ok(wanted.filter(|&(row, _)| allow.admits(row)).take(n).collect())
    }

    fn rank(&self, query: &Query, allow: &Allow, row: u32) -> Result<Option<usize>, StageError> {
        let mut wanted = query.stock.wanted.iter().filter(|&&(r, _)| r == row || allow.admits(r));
        Ok(wanted.position(|&(r, _)| r == row))
    }
}
