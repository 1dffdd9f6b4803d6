//! What the request asks for by an expression.

use std::sync::Arc;

use crate::pipeline::{Filter, StageError};
use crate::rows::RowSets;
use crate::{Allow, Query};

/// Keeps the videos for which [`crate::Request::filter`] holds.
pub struct Asked {
    /// Kinds of label that the store's categories stand for.
    pub category_kinds: Vec<String>,
    /// The run's rows.
    pub sets: Arc<RowSets>,
}

impl Filter for Asked {
    fn name(&self) -> &str {
        "expression"
    }

    fn withhold(&self, query: &Query, allow: &mut Allow) -> Result<(), StageError> {
        if let Some(expression) = &query.request.filter {
            let find = || expression.rows(&query.stock, &self.sets, &self.category_kinds);
            let key = format!("expression {}", expression.text());
            allow.keep_only(&self.sets.answer(&key, &query.stock, find));
        }
        Ok(())
    }

    fn keeps(&self, query: &Query, row: u32) -> Result<bool, StageError> {
        let asked = query.request.filter.as_ref();
        Ok(asked.is_none_or(|expression| expression.holds(&query.stock, &self.category_kinds, row)))
    }
}
