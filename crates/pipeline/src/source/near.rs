//! What is near the last videos that the viewer wanted, by an index over vectors of videos.

use std::collections::HashMap;
use std::sync::Arc;

use upnext_index::Index;
use upnext_math::Matrix;
use upnext_models::{Recommender, Shape};

use crate::pipeline::{Source, StageError};
use crate::scores::{among, best};
use crate::{Allow, Query};

/// Candidates by the nearest vectors of each of the newest wanted videos, searched together; a video that is near several counts
/// by its best. The score is the index's, less for what was wanted longer ago.
pub struct NearLast {
    model: Arc<dyn Recommender>,
    index: Arc<dyn Index>,
    last: usize,
    decay: f32,
}

impl NearLast {
    /// By the vectors of a model, over which the index is; of so many videos, each counting `decay` of the one after it.
    pub fn new(model: Arc<dyn Recommender>, index: Arc<dyn Index>, last: usize, decay: f32) -> Self {
        Self { model, index, last, decay }
    }

    fn near(&self, query: &Query, allow: &Allow, n: usize) -> Result<Vec<(u32, f32)>, StageError> {
        let Shape::Inner(tower) = self.model.shape() else { return Ok(Vec::new()) };
        let items = tower.items();
        let wanted: Vec<u32> = query
            .history
            .newest(self.last)
            .map(|(_, row)| row)
            .filter(|&row| (row as usize) < items.n_rows())
            .collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let vectors = wanted.iter().flat_map(|&row| items.row(row as usize).iter().copied()).collect();
        let queries = Matrix::from_rows(wanted.len(), items.n_columns(), vectors);
        let answers = among(allow, |among| self.index.search_many(&queries, n, among))?;
        let mut found: HashMap<u32, f32> = HashMap::new();
        for (age, hits) in answers.into_iter().enumerate() {
            let weight = self.decay.powi(age as i32);
            for hit in hits.iter().filter(|hit| hit.row != wanted[age] && hit.score > 0.0) {
                let score = found.entry(hit.row).or_insert(0.0);
                *score = score.max(weight * hit.score);
            }
        }
        Ok(best(found.into_iter().collect(), n))
    }
}

impl Source for NearLast {
    fn name(&self) -> &str {
        "near-last"
    }

    fn retrieve(&self, query: &Query, allow: &Allow, n: usize) -> Result<Vec<(u32, f32)>, StageError> {
        self.near(query, allow, n)
    }

    fn rank(&self, query: &Query, allow: &Allow, row: u32) -> Result<Option<usize>, StageError> {
        let mut allow = allow.clone();
        allow.permit(row);
        Ok(self.near(query, &allow, RANKED)?.iter().position(|&(other, _)| other == row))
    }
}

/// Ranks behind this many are not looked for.
const RANKED: usize = 2_000;
