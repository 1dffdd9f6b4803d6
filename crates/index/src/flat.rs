//! Every row, compared exactly: the judge of what is faster.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use crate::metric::check_dim;
use crate::{Allow, Hit, Index, IndexError, Metric, ROWS_MAX};

/// The plainest index. A search waits for a change.
#[derive(Debug)]
pub struct Flat {
    dim: usize,
    metric: Metric,
    rows: RwLock<BTreeMap<u32, Vec<f32>>>,
}

impl Flat {
    /// Without rows.
    ///
    /// # Errors
    /// If vectors would have no numbers, or too many.
    pub fn new(dim: usize, metric: Metric) -> Result<Self, IndexError> {
        check_dim(dim)?;
        Ok(Self { dim, metric, rows: RwLock::default() })
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<u32, Vec<f32>>> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<u32, Vec<f32>>> {
        self.rows.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn prepare(&self, what: &dyn Fn() -> String, vector: &[f32]) -> Result<Vec<f32>, IndexError> {
        let mut prepared = Vec::new();
        self.metric.prepare(what, self.dim, vector, &mut prepared)?;
        Ok(prepared)
    }
}

impl Index for Flat {
    fn dim(&self) -> usize {
        self.dim
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn len(&self) -> usize {
        self.read().len()
    }

    fn contains(&self, row: u32) -> bool {
        self.read().contains_key(&row)
    }

    fn search(&self, query: &[f32], k: usize, allow: Allow) -> Result<Vec<Hit>, IndexError> {
        let query = self.prepare(&|| "the query".into(), query)?;
        let listed: Option<std::collections::BTreeSet<u32>> = match allow {
            Allow::Rows(rows) => Some(rows.iter().copied().collect()),
            _ => None,
        };
        let is_allowed = |row: u32| match allow {
            Allow::All => true,
            Allow::Bitmap(set) => set.contains(row),
            Allow::Rows(_) => listed.as_ref().is_some_and(|listed| listed.contains(&row)),
            Allow::Predicate(is_allowed) => is_allowed(row),
        };
        let mut hits: Vec<Hit> = (self.read().iter())
            .filter(|(row, _)| is_allowed(**row))
            .map(|(&row, vector)| Hit { row, score: self.metric.score(&query, vector) })
            .collect();
        hits.sort_unstable_by(Hit::order);
        hits.truncate(k);
        Ok(hits)
    }

    fn insert(&self, row: u32, vector: &[f32]) -> Result<(), IndexError> {
        let vector = self.prepare(&|| format!("the vector of row {row}"), vector)?;
        if row >= ROWS_MAX {
            return Err(IndexError::Row { row, most: ROWS_MAX });
        }
        match self.write().entry(row) {
            std::collections::btree_map::Entry::Occupied(_) => Err(IndexError::Present { row }),
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(vector);
                Ok(())
            }
        }
    }

    fn update(&self, row: u32, vector: &[f32]) -> Result<(), IndexError> {
        let vector = self.prepare(&|| format!("the vector of row {row}"), vector)?;
        *self.write().get_mut(&row).ok_or(IndexError::Absent { row })? = vector;
        Ok(())
    }

    fn remove(&self, row: u32) -> bool {
        self.write().remove(&row).is_some()
    }
}
