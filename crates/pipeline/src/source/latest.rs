//! What came in last, newcomers that no model knows included.

use crate::pipeline::{Source, StageError};
use crate::{Allow, Query};

/// Candidates by the time the store gives them, newest first; a newcomer without a time stands last.
pub struct Latest {
    n_max: usize,
}

impl Latest {
    /// At most `n_max` candidates.
    pub fn new(n_max: usize) -> Self {
        Self { n_max }
    }

    fn permitted<'a>(query: &'a Query, allow: &'a Allow) -> impl Iterator<Item = u32> + 'a {
        let stock = &query.stock;
        // What is dated ahead waits for its time.
        let dated =
            stock.live.latest().iter().filter(|(time, _)| *time <= query.request.now).map(|&(_, row)| row);
        let undated = (stock.dataset.videos.len() as u32..stock.n_rows() as u32)
            .filter(|&row| stock.newcomer(row).is_some_and(|video| video.time.is_none()));
        dated.chain(undated).filter(|&row| allow.admits(row))
    }
}

impl Source for Latest {
    fn name(&self) -> &str {
        "latest"
    }

    fn retrieve(&self, query: &Query, allow: &Allow, n: usize) -> Result<Vec<(u32, f32)>, StageError> {
        let n = n.min(self.n_max);
        // The score is the rank turned around: times of many years would lose their days in 32 bits.
        Ok(Self::permitted(query, allow)
            .take(n)
            .enumerate()
            .map(|(at, row)| (row, 1.0 / (1.0 + at as f32)))
            .collect())
    }

    fn rank(&self, query: &Query, allow: &Allow, row: u32) -> Result<Option<usize>, StageError> {
        Ok(Self::permitted(query, allow).position(|other| other == row))
    }
}
