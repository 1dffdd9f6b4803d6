//! Authors whom the viewer does not want to see.

use std::sync::Arc;

use crate::pipeline::{Filter, StageError};
use crate::rows::RowSets;
use crate::{Allow, Query};

/// Removes the videos of [`Query::blocked_authors`]: the creators of videos that the viewer gave feedback `block_author`
/// on, and those that the request names.
pub struct BlockedAuthors {
    /// Kinds of label that name an author where no creator is known.
    pub author_kinds: Vec<String>,
    /// The run's rows.
    pub sets: Arc<RowSets>,
}

impl BlockedAuthors {
    fn is_blocked(&self, query: &Query, row: u32) -> bool {
        let authors = query.stock.authors(row, &self.author_kinds);
        authors.iter().any(|author| query.blocked_authors.iter().any(|blocked| blocked == author))
    }
}

impl Filter for BlockedAuthors {
    fn name(&self) -> &str {
        "blocked-author"
    }

    fn withhold(&self, query: &Query, allow: &mut Allow) -> Result<(), StageError> {
        let videos = &query.stock.dataset.videos;
        for author in &query.blocked_authors {
            if let Some(creator) = videos.creators.row(author) {
                self.sets.of_creator(creator).iter().for_each(|&row| allow.refuse(row));
            }
            for label in
                self.author_kinds.iter().filter_map(|kind| videos.labels.row(&format!("{kind}:{author}")))
            {
                let named =
                    self.sets.of_label(label).iter().filter(|&&row| videos.video(row).creator.is_none());
                named.for_each(|&row| allow.refuse(row));
            }
        }
        if !query.blocked_authors.is_empty() {
            let newcomers = videos.len() as u32..query.stock.n_rows() as u32;
            newcomers.filter(|&row| self.is_blocked(query, row)).for_each(|row| allow.refuse(row));
        }
        Ok(())
    }

    fn keeps(&self, query: &Query, row: u32) -> Result<bool, StageError> {
        Ok(query.blocked_authors.is_empty() || !self.is_blocked(query, row))
    }
}
