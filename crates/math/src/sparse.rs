//! Sparse matrices: compressed rows.

use rayon::prelude::*;

use crate::Matrix;
use crate::dot::{PANEL, panel_product};

/// `(n_rows, n_columns)` with few entries. The columns of a row are sorted, each once.
#[derive(Clone, Debug, PartialEq)]
pub struct Sparse {
    n_columns: usize,
    starts: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

impl Sparse {
    /// From rows of `(column, value)` in any order; equal columns are summed.
    pub fn from_rows(n_columns: usize, rows: impl IntoIterator<Item = Vec<(u32, f32)>>) -> Self {
        let mut sparse = Self { n_columns, starts: vec![0], columns: Vec::new(), values: Vec::new() };
        for mut row in rows {
            row.sort_by_key(|&(column, _)| column);
            sparse.push_sorted(&row);
        }
        sparse
    }

    fn push_sorted(&mut self, row: &[(u32, f32)]) {
        let start = self.columns.len();
        for &(column, value) in row {
            assert!((column as usize) < self.n_columns, "column {column} of {}", self.n_columns);
            if self.columns.len() > start && self.columns.last() == Some(&column) {
                *self.values.last_mut().expect("as long as the columns") += value;
            } else {
                self.columns.push(column);
                self.values.push(value);
            }
        }
        self.starts.push(self.columns.len());
    }

    /// From its three arrays, as they lie in a file; `None` when they do not make a matrix.
    pub fn from_parts(
        n_columns: usize,
        starts: Vec<usize>,
        columns: Vec<u32>,
        values: Vec<f32>,
    ) -> Option<Self> {
        let whole = starts.first() == Some(&0)
            && starts.last() == Some(&columns.len())
            && columns.len() == values.len()
            && starts.windows(2).all(|pair| pair[0] <= pair[1]);
        let sparse = Self { n_columns, starts, columns, values };
        let sorted = whole
            && (0..sparse.n_rows()).all(|row| {
                let (columns, _) = sparse.row(row);
                columns.windows(2).all(|pair| pair[0] < pair[1])
                    && columns.last().is_none_or(|&last| (last as usize) < n_columns)
            });
        sorted.then_some(sparse)
    }

    /// Where each row starts; one more entry than rows.
    pub fn starts(&self) -> &[usize] {
        &self.starts
    }

    /// The columns of all entries, row after row.
    pub fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// All entries, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// How many rows.
    pub fn n_rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// How many columns.
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// The columns and values of one row.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.starts[row]..self.starts[row + 1];
        (&self.columns[range.clone()], &self.values[range])
    }

    /// One entry; 0 where there is none.
    pub fn get(&self, row: usize, column: u32) -> f32 {
        let (columns, values) = self.row(row);
        columns.binary_search(&column).map_or(0.0, |at| values[at])
    }

    /// The sum of each row.
    pub fn row_sums(&self) -> Vec<f32> {
        (0..self.n_rows()).map(|row| self.row(row).1.iter().sum()).collect()
    }

    /// Each entry changed by a function of row, column and value.
    pub fn map(mut self, change: impl Fn(usize, u32, f32) -> f32 + Sync) -> Self {
        for row in 0..self.n_rows() {
            for at in self.starts[row]..self.starts[row + 1] {
                self.values[at] = change(row, self.columns[at], self.values[at]);
            }
        }
        self
    }

    /// Without the entries that a test of row, column and value refuses.
    pub fn filter(&self, keep: impl Fn(usize, u32, f32) -> bool) -> Self {
        let mut out =
            Self { n_columns: self.n_columns, starts: vec![0], columns: Vec::new(), values: Vec::new() };
        for row in 0..self.n_rows() {
            let (columns, values) = self.row(row);
            for (&column, &value) in columns.iter().zip(values) {
                if keep(row, column, value) {
                    out.columns.push(column);
                    out.values.push(value);
                }
            }
            out.starts.push(out.columns.len());
        }
        out
    }

    /// Rows and columns exchanged.
    pub fn transpose(&self) -> Self {
        let mut starts = vec![0usize; self.n_columns + 1];
        for &column in &self.columns {
            starts[column as usize + 1] += 1;
        }
        for at in 0..self.n_columns {
            starts[at + 1] += starts[at];
        }
        let mut next = starts.clone();
        let mut columns = vec![0u32; self.columns.len()];
        let mut values = vec![0.0f32; self.values.len()];
        for row in 0..self.n_rows() {
            let (row_columns, row_values) = self.row(row);
            for (&column, &value) in row_columns.iter().zip(row_values) {
                let at = &mut next[column as usize];
                columns[*at] = row as u32;
                values[*at] = value;
                *at += 1;
            }
        }
        Self { n_columns: self.n_rows(), starts, columns, values }
    }

    /// `out += weight * row`.
    pub fn add_row_to(&self, row: usize, weight: f32, out: &mut [f32]) {
        let (columns, values) = self.row(row);
        for (&column, &value) in columns.iter().zip(values) {
            out[column as usize] += weight * value;
        }
    }

    /// The weighted sum of some rows, `(row, weight)`, as entries by column. Rows that are there twice count twice; each entry is
    /// what [`Sparse::add_row_to`] makes of zeros, to the bit.
    pub fn sum_of_rows(&self, rows: impl IntoIterator<Item = (u32, f32)>) -> Vec<(u32, f32)> {
        let mut entries: Vec<(u32, f32)> = Vec::new();
        for (row, weight) in rows {
            let (columns, values) = self.row(row as usize);
            entries.extend(columns.iter().zip(values).map(|(&column, &value)| (column, weight * value)));
        }
        sum_equal_columns(&mut entries);
        entries
    }

    /// `self + weight * other`, both of one shape.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn plus(&self, weight: f32, other: &Self) -> Self {
        assert_eq!((self.n_rows(), self.n_columns), (other.n_rows(), other.n_columns), "shapes");
        let rows: Vec<Vec<(u32, f32)>> = (0..self.n_rows())
            .into_par_iter()
            .map(|row| {
                let (columns, values) = self.row(row);
                let (other_columns, other_values) = other.row(row);
                columns
                    .iter()
                    .copied()
                    .zip(values.iter().copied())
                    .chain(other_columns.iter().copied().zip(other_values.iter().map(|v| weight * v)))
                    .collect()
            })
            .collect();
        Self::from_rows(self.n_columns, rows)
    }

    /// `self * other`, keeping entries of which `keep(row, column, value)` holds (Gustavson 1978).
    pub fn times(&self, other: &Self, keep: impl Fn(usize, u32, f32) -> bool + Sync) -> Self {
        assert_eq!(self.n_columns, other.n_rows(), "inner dimensions");
        let rows: Vec<Vec<(u32, f32)>> = (0..self.n_rows())
            .into_par_iter()
            .map_init(
                || Sum::new(other.n_columns),
                |sum, row| {
                    let (columns, values) = self.row(row);
                    for (&middle, &weight) in columns.iter().zip(values) {
                        sum.add_row(other, middle as usize, weight);
                    }
                    let mut out = sum.take(|column, value| keep(row, column, value).then_some(value));
                    out.sort_unstable_by_key(|&(column, _)| column);
                    out
                },
            )
            .collect();
        let mut out =
            Self { n_columns: other.n_columns, starts: vec![0], columns: Vec::new(), values: Vec::new() };
        rows.iter().for_each(|row| out.push_sorted(row));
        out
    }

    /// `self * dense`, of shape `(n_rows, dense.n_columns)`.
    pub fn times_dense(&self, dense: &Matrix) -> Matrix {
        assert_eq!(self.n_columns, dense.n_rows(), "inner dimensions");
        let width = dense.n_columns();
        let mut out = Matrix::zeros(self.n_rows(), width);
        if width > 0 {
            out.values_mut().par_chunks_mut(width).enumerate().for_each(|(row, out)| {
                let (columns, values) = self.row(row);
                for (&column, &value) in columns.iter().zip(values) {
                    crate::dot::add_scaled(out, value, dense.row(column as usize));
                }
            });
        }
        out
    }

    /// `dense * self`, written over `dense`, both square: panels of rows that stay in the cache.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn right_times_in_place(&self, dense: &mut Matrix) {
        let n = self.n_columns;
        assert_eq!((self.n_rows(), dense.n_rows(), dense.n_columns()), (n, n, n), "square shapes");
        if n == 0 {
            return;
        }
        let transposed = self.transpose();
        dense.values_mut().par_chunks_mut(PANEL * n).for_each_init(
            || vec![[0.0f32; PANEL]; n],
            |panel, rows| {
                let height = rows.len() / n;
                for (row, values) in rows.chunks_exact(n).enumerate() {
                    for (at, &value) in values.iter().enumerate() {
                        panel[at][row] = value;
                    }
                }
                for column in 0..n {
                    let (inner, weights) = transposed.row(column);
                    let sums = panel_product(inner, weights, panel);
                    for row in 0..height {
                        rows[row * n + column] = sums[row];
                    }
                }
            },
        );
    }

    /// The strongest `n` entries of each row, by absolute value.
    pub fn strongest(&self, n: usize) -> Self {
        let rows: Vec<Vec<(u32, f32)>> = (0..self.n_rows())
            .into_par_iter()
            .map(|row| {
                let (columns, values) = self.row(row);
                let mut kept: Vec<(u32, f32)> = columns.iter().copied().zip(values.iter().copied()).collect();
                keep_strongest(&mut kept, n);
                kept
            })
            .collect();
        Self::from_rows(self.n_columns, rows)
    }

    /// `self' * self`, dense, of shape `(n_columns, n_columns)`; both triangles are filled.
    pub fn gram(&self) -> Matrix {
        let transposed = self.transpose();
        let n = self.n_columns;
        let mut out = Matrix::zeros(n, n);
        if n > 0 {
            out.values_mut().par_chunks_mut(n).enumerate().for_each(|(column, out)| {
                let (rows, weights) = transposed.row(column);
                for (&row, &weight) in rows.iter().zip(weights) {
                    self.add_row_to(row as usize, weight, out);
                }
            });
        }
        out
    }
}

/// Sorts entries by column and sums equal ones, in the order in which they stood. Runs that are sorted already make it quick.
pub fn sum_equal_columns(entries: &mut Vec<(u32, f32)>) {
    // Stable: a sum of floats depends on its order.
    entries.sort_by_key(|&(column, _)| column);
    entries.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
}

/// A sum of sparse rows under way, whose cost follows what was added and not the number of columns.
#[derive(Clone, Debug)]
pub struct Sum {
    values: Vec<f32>,
    is_touched: Vec<bool>,
    touched: Vec<u32>,
}

impl Sum {
    /// Zeros for so many columns.
    pub fn new(n_columns: usize) -> Self {
        Self { values: vec![0.0; n_columns], is_touched: vec![false; n_columns], touched: Vec::new() }
    }

    /// Adds `weight * row`.
    pub fn add_row(&mut self, of: &Sparse, row: usize, weight: f32) {
        let (columns, values) = of.row(row);
        for (&column, &value) in columns.iter().zip(values) {
            let at = column as usize;
            if !self.is_touched[at] {
                self.is_touched[at] = true;
                self.touched.push(column);
            }
            self.values[at] += weight * value;
        }
    }

    /// What `change` makes of the touched columns, in the order in which they were; zeros are left behind for the next sum.
    pub fn take(&mut self, mut change: impl FnMut(u32, f32) -> Option<f32>) -> Vec<(u32, f32)> {
        let mut entries = Vec::with_capacity(self.touched.len());
        for column in self.touched.drain(..) {
            self.is_touched[column as usize] = false;
            let value = std::mem::take(&mut self.values[column as usize]);
            entries.extend(change(column, value).map(|value| (column, value)));
        }
        entries
    }
}

/// Keeps the `n` entries of largest absolute value, in any order.
pub fn keep_strongest(entries: &mut Vec<(u32, f32)>, n: usize) {
    if entries.len() > n {
        entries.select_nth_unstable_by(n, |a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
        entries.truncate(n);
        // Rows wait side by side: what was cut off would be held until the last of them.
        entries.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dense(sparse: &Sparse) -> Vec<Vec<f32>> {
        (0..sparse.n_rows())
            .map(|row| (0..sparse.n_columns() as u32).map(|column| sparse.get(row, column)).collect())
            .collect()
    }

    fn example() -> Sparse {
        Sparse::from_rows(3, [vec![(2, 1.0), (0, 2.0), (2, 0.5)], vec![], vec![(1, 3.0)]])
    }

    #[test]
    fn a_sum_of_rows_is_what_adding_them_to_zeros_makes() {
        let sparse = example();
        let rows = [(2, 0.3), (0, 0.1), (0, 0.7)];
        let mut zeros = [0.0; 3];
        rows.iter().for_each(|&(row, weight)| sparse.add_row_to(row as usize, weight, &mut zeros));
        assert_eq!(sparse.sum_of_rows(rows), [(0, zeros[0]), (1, zeros[1]), (2, zeros[2])]);
        let mut sum = Sum::new(3);
        for _ in 0..2 {
            rows.iter().for_each(|&(row, weight)| sum.add_row(&sparse, row as usize, weight));
            let mut taken = sum.take(|column, value| (column != 1).then_some(value));
            taken.sort_unstable_by_key(|&(column, _)| column);
            assert_eq!(taken, [(0, zeros[0]), (2, zeros[2])]);
        }
        assert_eq!(sum.take(|_, value| Some(value)), []);
    }

    #[test]
    fn equal_columns_are_summed_and_sorted() {
        assert_eq!(dense(&example()), [[2.0, 0.0, 1.5], [0.0; 3], [0.0, 3.0, 0.0]]);
        assert_eq!(example().row_sums(), [3.5, 0.0, 3.0]);
    }

    #[test]
    fn transposing_twice_changes_nothing() {
        assert_eq!(example().transpose().transpose(), example());
        assert_eq!(example().transpose().get(2, 0), 1.5);
    }

    #[test]
    fn products_agree_with_each_other() {
        let (a, b) = (example(), example().transpose());
        let product = a.times(&b, |_, _, _| true);
        let gram = b.gram();
        for row in 0..3 {
            for column in 0..3 {
                assert_eq!(product.get(row, column), gram.row(row)[column as usize]);
            }
        }
        let identity = Matrix::from_rows(3, 3, vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(a.times_dense(&identity).row(0), [2.0, 0.0, 1.5]);
        assert_eq!(a.plus(2.0, &a).get(0, 0), 6.0);
    }

    #[test]
    fn a_dense_matrix_times_a_sparse_one_is_written_in_place() {
        let n = 70;
        let mut random = crate::seed::Random::new(2);
        let mut dense = Matrix::from_rows(n, n, (0..n * n).map(|_| random.normal()).collect());
        let sparse = Sparse::from_rows(
            n,
            (0..n).map(|_| (0..5).map(|_| (random.below(n) as u32, random.normal())).collect()),
        );
        let mut plain = Matrix::zeros(n, n);
        for row in 0..n {
            for middle in 0..n {
                sparse.add_row_to(middle, dense.row(row)[middle], plain.row_mut(row));
            }
        }
        sparse.right_times_in_place(&mut dense);
        assert!(dense.values().iter().zip(plain.values()).all(|(a, b)| (a - b).abs() < 1e-4));
    }

    #[test]
    fn the_strongest_entries_of_a_row_stay() {
        let sparse = Sparse::from_rows(4, [vec![(0, 1.0), (1, -3.0), (2, 2.0), (3, 0.5)]]);
        assert_eq!(sparse.strongest(2).row(0), (&[1u32, 2][..], &[-3.0f32, 2.0][..]));
    }

    #[test]
    fn broken_parts_make_no_matrix() {
        assert!(Sparse::from_parts(3, vec![0, 2], vec![1, 0], vec![1.0, 1.0]).is_none());
        assert!(Sparse::from_parts(3, vec![0, 1], vec![3], vec![1.0]).is_none());
        let e = example();
        let again = Sparse::from_parts(3, e.starts().to_vec(), e.columns().to_vec(), e.values().to_vec());
        assert_eq!(again, Some(e));
    }
}
