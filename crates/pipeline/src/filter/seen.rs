//! What the viewer has seen, refused or picked, exactly.

use crate::pipeline::{Filter, StageError};
use crate::{Allow, Query};

/// Removes every video of the past. What was only shown is not seen.
pub struct Seen;

impl Filter for Seen {
    fn name(&self) -> &str {
        "seen"
    }

    fn withhold(&self, query: &Query, allow: &mut Allow) -> Result<(), StageError> {
        query.seen.iter().for_each(|&row| allow.refuse(row));
        Ok(())
    }

    fn keeps(&self, query: &Query, row: u32) -> Result<bool, StageError> {
        Ok(query.seen.binary_search(&row).is_err())
    }
}
