//! What the viewer uploaded.

use std::sync::Arc;

use crate::pipeline::{Filter, StageError};
use crate::rows::RowSets;
use crate::{Allow, Query};

/// Removes videos whose creator bears the viewer's id.
pub struct OwnUploads(pub Arc<RowSets>);

impl Filter for OwnUploads {
    fn name(&self) -> &str {
        "own-uploads"
    }

    fn withhold(&self, query: &Query, allow: &mut Allow) -> Result<(), StageError> {
        let Some(user) = &query.request.user else { return Ok(()) };
        if let Some(creator) = query.own_creator {
            self.0.of_creator(creator).iter().for_each(|&row| allow.refuse(row));
        }
        let first = query.stock.dataset.videos.len() as u32;
        for (row, video) in (first..).zip(query.stock.live.newcomers()) {
            if video.creator.as_deref() == Some(user) {
                allow.refuse(row);
            }
        }
        Ok(())
    }

    fn keeps(&self, query: &Query, row: u32) -> Result<bool, StageError> {
        let Some(user) = &query.request.user else { return Ok(true) };
        // Nearly nobody uploads: a video's creator is looked up for those alone.
        Ok(match (query.stock.newcomer(row), query.own_creator) {
            (Some(video), _) => video.creator.as_deref() != Some(user),
            (None, Some(own)) => query.stock.dataset.videos.video(row).creator != Some(own),
            (None, None) => true,
        })
    }
}
