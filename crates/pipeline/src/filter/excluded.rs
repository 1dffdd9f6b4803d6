//! What the request itself excludes.

use crate::pipeline::{Filter, StageError};
use crate::{Allow, Query};

/// Removes the videos named in [`crate::Request::exclude`].
pub struct Excluded;

impl Filter for Excluded {
    fn name(&self) -> &str {
        "excluded"
    }

    fn withhold(&self, query: &Query, allow: &mut Allow) -> Result<(), StageError> {
        query.excluded.iter().for_each(|&row| allow.refuse(row));
        Ok(())
    }

    fn keeps(&self, query: &Query, row: u32) -> Result<bool, StageError> {
        Ok(query.excluded.binary_search(&row).is_err())
    }
}
