//! The metrics, one file for a family.
//!
//! Accuracy of rankings is in [`ranked`] and computed together in one pass by [`measure`]; the rest stands in
//! [`beyond`] (one list), [`catalogue`] (all lists), [`fairness`] (groups) and [`prediction`] (watch times).

pub mod beyond;
pub mod catalogue;
pub mod fairness;
pub mod prediction;
pub mod ranked;

pub use beyond::{
    Calibration, Cosine, Diversity, Jaccard, Named, Novelty, Popularity, Serendipity, VideoDistance,
};
pub use catalogue::{coverage, gini, recommended_counts};
pub use fairness::{CreatorGroup, ViewerGroup, by_creator_group, by_viewer_group, gap, light_and_active};
pub use prediction::{Errors, Observation, PredictionRow, against_baselines, errors};
pub use ranked::{Kind, Ranked, measure};

use crate::{Case, EvalError};

/// Something that gives each case a number.
pub trait Metric: Sync {
    /// The name in tables, `ndcg@10` for example.
    fn name(&self) -> String;

    /// One finite value for each case.
    fn measure(&self, cases: &[Case]) -> Vec<f64>;

    /// What a reader must know beside the name: the distance, the smoothing, the counts used.
    fn note(&self) -> Option<String> {
        None
    }
}

/// Values of several metrics for the same cases: a column each, a row for each case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    users: Vec<u32>,
    names: Vec<String>,
    columns: Vec<Vec<f64>>,
    notes: Vec<String>,
}

impl Table {
    /// A table without columns.
    pub fn new(cases: &[Case]) -> Self {
        Self { users: cases.iter().map(|case| case.user).collect(), ..Self::default() }
    }

    /// Adds a column; one of the same name is replaced.
    ///
    /// # Errors
    /// When it has not one finite value for each case.
    pub fn push(&mut self, name: &str, values: Vec<f64>) -> Result<(), EvalError> {
        if values.len() != self.users.len() {
            return Err(EvalError::Length {
                column: name.into(),
                found: values.len(),
                expected: self.users.len(),
            });
        }
        if let Some((row, value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(EvalError::NotFinite { column: name.into(), row, value: value.to_string() });
        }
        match self.names.iter().position(|known| known == name) {
            Some(at) => self.columns[at] = values,
            None => {
                self.names.push(name.into());
                self.columns.push(values);
            }
        }
        Ok(())
    }

    /// Measures and adds a column.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn add(&mut self, metric: &dyn Metric, cases: &[Case]) -> Result<(), EvalError> {
        self.push(&metric.name(), metric.measure(cases))?;
        self.notes.extend(metric.note().map(|note| format!("{}: {note}", metric.name())));
        Ok(())
    }

    /// The user of each row.
    pub fn users(&self) -> &[u32] {
        &self.users
    }

    /// The names of the columns, in the order they were added.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What readers must know beside the names.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The values of a column.
    pub fn column(&self, name: &str) -> Option<&[f64]> {
        self.names.iter().position(|known| known == name).map(|at| &self.columns[at][..])
    }

    /// The columns, in the order of the names.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = (&str, &[f64])> {
        self.names.iter().map(String::as_str).zip(self.columns.iter().map(Vec::as_slice))
    }

    /// The mean of a column over the cases; 0 without a case.
    pub fn mean(&self, name: &str) -> Option<f64> {
        self.column(name).map(mean)
    }
}

/// The mean; 0 of nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_of_the_wrong_length_or_with_a_nan_is_refused_by_name() {
        let mut table = Table::new(&[Case::default(), Case::default()]);
        let error = table.push("mine", vec![1.0]).unwrap_err().to_string();
        assert!(error.contains("`mine` has 1 values for 2 users"), "{error}");
        let error = table.push("mine", vec![1.0, f64::NAN]).unwrap_err().to_string();
        assert!(error.contains("`mine` is NaN for user number 1"), "{error}");
        table.push("mine", vec![1.0, 0.0]).unwrap();
        assert_eq!(table.mean("mine"), Some(0.5));
    }
}
