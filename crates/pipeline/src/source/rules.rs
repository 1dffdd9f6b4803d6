//! What rules want shown, whether or not another source finds it.

use std::collections::HashSet;

use crate::pipeline::{Source, StageError};
use crate::{Allow, Query};

/// Candidates by the rules that hold: pinned videos, then those that are boosted by their ids.
pub struct Ruled;

impl Ruled {
    fn rows(query: &Query, allow: &Allow) -> Vec<u32> {
        let pinned = query.rules.pins.iter().map(|pin| pin.row);
        let boosts = query.rules.shifts.iter().filter(|shift| shift.amount > 0.0);
        let (mut rows, mut known) = (Vec::new(), HashSet::new());
        for row in pinned.chain(boosts.flat_map(|shift| shift.rows.iter().copied())) {
            if allow.admits(row) && known.insert(row) {
                rows.push(row);
            }
        }
        rows
    }
}

impl Source for Ruled {
    fn name(&self) -> &str {
        "rules"
    }

    fn retrieve(&self, query: &Query, allow: &Allow, n: usize) -> Result<Vec<(u32, f32)>, StageError> {
        let rows = Self::rows(query, allow).into_iter().enumerate();
        Ok(rows.take(n).map(|(rank, row)| (row, 1.0 / (1.0 + rank as f32))).collect())
    }

    fn rank(&self, query: &Query, allow: &Allow, row: u32) -> Result<Option<usize>, StageError> {
        Ok(Self::rows(query, allow).iter().position(|&other| other == row))
    }
}
