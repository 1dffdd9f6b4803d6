//! Features of many rows: named columns with a flag where something was not known.

use upnext_math::Matrix;

/// One row for each video, user or event, one column for each feature.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The name of each column, with its unit where it has one.
    pub names: Vec<String>,
    /// `(rows, names)`; what is missing holds what the maker of the table documents, never NaN.
    pub matrix: Matrix,
    /// `rows x names`, row after row as in `matrix`: whether the value was not known.
    pub missing: Vec<bool>,
}

impl Table {
    /// From values that may be NaN, row after row; NaN becomes `fill` and is flagged.
    ///
    /// # Panics
    /// If there are not as many values as rows times names.
    pub fn from_values(names: Vec<String>, n_rows: usize, mut values: Vec<f32>, fill: f32) -> Self {
        let missing: Vec<bool> = values.iter().map(|value| value.is_nan()).collect();
        values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = fill);
        let matrix = Matrix::from_rows(n_rows, names.len(), values);
        Self { names, matrix, missing }
    }

    /// The value of a row and column, or `None` where it was not known or there is no such column.
    pub fn get(&self, row: usize, name: &str) -> Option<f32> {
        let column = self.names.iter().position(|known| known == name)?;
        let known = !self.missing[row * self.names.len() + column];
        known.then(|| self.matrix.row(row)[column])
    }

    /// Which columns of a row were not known.
    pub fn missing_of(&self, row: usize) -> &[bool] {
        &self.missing[row * self.names.len()..(row + 1) * self.names.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_flagged_and_filled() {
        let names = vec!["likes".to_string(), "plays".to_string()];
        let table = Table::from_values(names, 2, vec![1.0, f32::NAN, 3.0, 4.0], 0.0);
        assert_eq!(table.matrix.values(), [1.0, 0.0, 3.0, 4.0]);
        assert_eq!((table.get(0, "plays"), table.get(1, "plays")), (None, Some(4.0)));
        assert_eq!(table.get(0, "shares"), None);
        assert_eq!(table.missing_of(0), [false, true]);
    }
}
