//! The strongest directions of a sparse matrix.

use crate::linalg::{orthonormalise, product, symmetric_eigen, transposed_product};
use crate::seed::Random;
use crate::{Matrix, Sparse};

/// `A ≈ left diag(values) right'`, the largest values first.
#[derive(Clone, Debug)]
pub struct Svd {
    /// `(rows of A, k)`, orthonormal columns.
    pub left: Matrix,
    /// The `k` singular values.
    pub values: Vec<f32>,
    /// `(columns of A, k)`, orthonormal columns; zero where a value is.
    pub right: Matrix,
}

/// The `k` largest singular values and their vectors, fewer where the matrix has fewer, by randomised subspace
/// iteration (Halko, Martinsson & Tropp 2011).
pub fn truncated(matrix: &Sparse, k: usize, seed: u64) -> Svd {
    const ROUNDS: usize = 5;
    const OVERSAMPLING: usize = 16;
    let transposed = matrix.transpose();
    let n = matrix.n_rows();
    let width = (k + OVERSAMPLING).min(n).min(transposed.n_rows());
    let mut random = Random::new(seed);
    let mut basis = Matrix::from_rows(n, width, (0..n * width).map(|_| random.normal()).collect());
    for _ in 0..ROUNDS {
        basis = matrix.times_dense(&transposed.times_dense(&basis));
        orthonormalise(&mut basis, 1);
    }
    let along = transposed.times_dense(&basis);
    // Eigenvalues come ascending.
    let (squares, rotation) = symmetric_eigen(&transposed_product(&along, &along));
    let k = k.min(width);
    let values: Vec<f32> = squares.iter().rev().take(k).map(|x| x.max(0.0).sqrt()).collect();
    let mut chosen = Matrix::zeros(width, k);
    for row in 0..width {
        for (column, x) in chosen.row_mut(row).iter_mut().enumerate() {
            *x = rotation.row(row)[width - 1 - column];
        }
    }
    let mut right = product(&along, &chosen);
    for row in 0..right.n_rows() {
        right
            .row_mut(row)
            .iter_mut()
            .zip(&values)
            .for_each(|(x, s)| *x = if *s > 0.0 { *x / s } else { 0.0 });
    }
    Svd { left: product(&basis, &chosen), values, right }
}

impl Svd {
    /// The rows of the matrix in the space of its directions, `left diag(values)`: inner products stay what they
    /// were as well as `k` numbers can.
    pub fn rows(mut self) -> Matrix {
        for row in 0..self.left.n_rows() {
            self.left.row_mut(row).iter_mut().zip(&self.values).for_each(|(x, s)| *x *= s);
        }
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_of_low_rank_comes_back_whole() {
        // Rank two: rows are (a, b, a + b, 0) with a, b of the row.
        let rows = |at: usize| ((at as f32 * 1.3).sin(), (at as f32 * 0.7).cos());
        let dense = |at: usize| [rows(at).0, rows(at).1, rows(at).0 + rows(at).1];
        let sparse = Sparse::from_rows(4, (0..12).map(|at| (0..).zip(dense(at)).collect()));
        let svd = truncated(&sparse, 3, 1);
        assert!(svd.values[0] >= svd.values[1] && svd.values[2] < 1e-3, "{:?}", svd.values);
        let right = svd.right.clone();
        let rows = svd.rows();
        for at in 0..12 {
            for (column, expected) in dense(at).into_iter().enumerate() {
                let found: f32 = rows.row(at).iter().zip(right.row(column)).map(|(a, b)| a * b).sum();
                assert!((found - expected).abs() < 1e-4, "{found}, expected {expected}");
            }
        }
        assert!(right.row(3).iter().all(|x| x.abs() < 1e-4));
    }
}
