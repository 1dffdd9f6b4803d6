//! What the run's viewers wanted, lately first. It knows every video of the run, so it fills what others leave.

use std::sync::Arc;

use crate::pipeline::{Source, StageError};
use crate::{Allow, Popularity, Query};

/// Candidates by decayed counts.
pub struct Popular {
    popularity: Arc<Popularity>,
}

impl Popular {
    /// From counts of the run.
    pub fn new(popularity: Arc<Popularity>) -> Self {
        Self { popularity }
    }

    fn permitted<'a>(&'a self, allow: &'a Allow) -> impl Iterator<Item = u32> + 'a {
        self.popularity.order.iter().copied().filter(|&row| allow.admits(row))
    }
}

impl Source for Popular {
    fn name(&self) -> &str {
        "popular"
    }

    fn retrieve(&self, _query: &Query, allow: &Allow, n: usize) -> Result<Vec<(u32, f32)>, StageError> {
        Ok(self.permitted(allow).take(n).map(|row| (row, self.popularity.recent[row as usize])).collect())
    }

    fn rank(&self, query: &Query, allow: &Allow, row: u32) -> Result<Option<usize>, StageError> {
        if !query.stock.is_of_run(row) {
            return Ok(None);
        }
        let better = self.popularity.order.iter().take_while(|&&other| other != row);
        Ok(Some(better.filter(|&&other| allow.admits(other)).count()))
    }
}
