//! What the store hides.

use crate::pipeline::{Filter, StageError};
use crate::{Allow, Query};

/// Removes hidden videos.
pub struct Hidden;

impl Filter for Hidden {
    fn name(&self) -> &str {
        "hidden"
    }

    fn withhold(&self, query: &Query, allow: &mut Allow) -> Result<(), StageError> {
        query.stock.live.hidden().for_each(|row| allow.refuse(row));
        Ok(())
    }

    fn keeps(&self, query: &Query, row: u32) -> Result<bool, StageError> {
        Ok(!query.stock.is_hidden(row))
    }
}
