//! A dense matrix of `f32`, row after row.

/// `(rows, columns)`, row-major.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Matrix {
    n_rows: usize,
    n_columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    /// All zero.
    pub fn zeros(n_rows: usize, n_columns: usize) -> Self {
        Self { n_rows, n_columns, values: vec![0.0; n_rows * n_columns] }
    }

    /// From values, row after row.
    ///
    /// # Panics
    /// If there are not `n_rows * n_columns` of them.
    pub fn from_rows(n_rows: usize, n_columns: usize, values: Vec<f32>) -> Self {
        assert_eq!(values.len(), n_rows * n_columns, "a matrix of {n_rows} x {n_columns}");
        Self { n_rows, n_columns, values }
    }

    /// How many rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// How many columns.
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// One row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.n_columns..(row + 1) * self.n_columns]
    }

    /// One row, to be changed.
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.values[row * self.n_columns..(row + 1) * self.n_columns]
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, to be changed.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The values, without the shape.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }
}
