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
        if let Some(creator) = query.stock.dataset.videos.creators.row(user) {
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
        let creator = match query.stock.newcomer(row) {
            Some(video) => video.creator.as_deref(),
            None => {
                let videos = &query.stock.dataset.videos;
                videos.video(row).creator.map(|creator| videos.creators.name(creator))
            }
        };
        Ok(creator != Some(user))
    }
}
