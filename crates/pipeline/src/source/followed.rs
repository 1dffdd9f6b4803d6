//! What came from authors whom the viewer follows.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::pipeline::{Source, StageError};
use crate::{Allow, Query, RowSets};

/// Candidates by creators whom the viewer followed on any video of the past, newest first; the score is the rank turned around.
pub struct Followed(pub Arc<RowSets>);

impl Followed {
    fn rows(&self, query: &Query, allow: &Allow) -> Vec<u32> {
        let stock = &query.stock;
        let videos = &stock.dataset.videos;
        let names: BTreeSet<&str> = query.followed_authors.iter().map(String::as_str).collect();
        if names.is_empty() {
            return Vec::new();
        }
        let creators: Vec<u32> = names.iter().filter_map(|name| videos.creators.row(name)).collect();
        let of_run = creators.iter().flat_map(|&creator| self.0.of_creator(creator).iter().copied());
        let newcomers = (videos.len() as u32..)
            .zip(stock.live.newcomers())
            .filter(|(_, video)| video.creator.as_deref().is_some_and(|creator| names.contains(creator)))
            .map(|(row, _)| row);
        let mut rows: Vec<u32> = of_run.chain(newcomers).filter(|&row| allow.admits(row)).collect();
        rows.sort_by_key(|&row| (std::cmp::Reverse(stock.published(row)), row));
        rows
    }
}

impl Source for Followed {
    fn name(&self) -> &str {
        "followed"
    }

    fn retrieve(&self, query: &Query, allow: &Allow, n: usize) -> Result<Vec<(u32, f32)>, StageError> {
        let rows = self.rows(query, allow).into_iter().take(n).enumerate();
        Ok(rows.map(|(rank, row)| (row, 1.0 / (1.0 + rank as f32))).collect())
    }

    fn rank(&self, query: &Query, allow: &Allow, row: u32) -> Result<Option<usize>, StageError> {
        Ok(self.rows(query, allow).iter().position(|&other| other == row))
    }
}
