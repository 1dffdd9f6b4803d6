//! What was on an earlier page.

use crate::pipeline::{Filter, StageError};
use crate::{Allow, Query};

/// Removes what was just served to the session, or to the user: see [`crate::ServedConfig`].
pub struct Served;

impl Filter for Served {
    fn name(&self) -> &str {
        "served"
    }

    fn withhold(&self, query: &Query, allow: &mut Allow) -> Result<(), StageError> {
        query.served.iter().for_each(|&row| allow.refuse(row));
        Ok(())
    }

    fn keeps(&self, query: &Query, row: u32) -> Result<bool, StageError> {
        Ok(query.served.binary_search(&row).is_err())
    }
}
