//! The strongest directions of the normalised transitions.

use upnext_math::linalg::{orthonormalise, product, symmetric_eigen, transposed_product};
use upnext_math::seed::Random;
use upnext_math::{Matrix, Sparse};

use super::directed_cosine::{cosine, counts};
use super::linear::{Linear, Weights};
use crate::{FitError, Training};

const NAME: &str = "svd";
const DIMENSIONS: usize = 384;
/// Directions carried beside the wanted ones, so that the last of them converge.
const OVERSAMPLING: usize = 96;
const ROUNDS: usize = 6;

/// `score = h U S^0.5 V' diag((popularity + 1)^0.2)` for the 384 largest singular triplets of
/// `(n_i + 1)^-0.5 C_ij (n_j + 1)^-0.5`, where `C = A + A'` over gaps up to 30 weighted `g^-0.5`; the last 20
/// with decay 0.7.
pub(super) fn svd(training: &Training) -> Result<Linear, FitError> {
    training.needs_order(NAME)?;
    let normalised = cosine(counts(training, 30, 0.5, 1.0), 0.5, 0.5, 1.0);
    let (values, vectors) = largest_eigen(&normalised, DIMENSIONS, training.seed);
    // A symmetric matrix has singular values |l| and right vectors sign(l) times the left ones.
    let popularity = training.interactions.popularity();
    let (mut left, mut right) = (vectors.clone(), vectors);
    for (video, &n) in popularity.iter().enumerate() {
        for (x, value) in left.row_mut(video).iter_mut().zip(&values) {
            *x *= value.abs().sqrt();
        }
        let lift = (n as f32 + 1.0).powf(0.2);
        for (x, value) in right.row_mut(video).iter_mut().zip(&values) {
            *x *= value.signum() * lift;
        }
    }
    Ok(Linear { name: NAME.into(), decay: 0.7, last: 20, weights: Weights::Factors { left, right } })
}

/// The `k` eigenpairs of largest absolute value of a symmetric sparse matrix, by randomised subspace iteration
/// (Halko, Martinsson & Tropp 2011): values, and vectors as columns of `(n, k)`.
fn largest_eigen(matrix: &Sparse, k: usize, seed: u64) -> (Vec<f32>, Matrix) {
    let n = matrix.n_rows();
    let k = k.min(n);
    let width = (k + OVERSAMPLING).min(n);
    let mut random = Random::new(seed);
    let mut basis = Matrix::from_rows(n, width, (0..n * width).map(|_| random.normal()).collect());
    for _ in 0..ROUNDS {
        // Two steps between orthonormalisations: the spectrum is too flat to lose digits on.
        basis = matrix.times_dense(&matrix.times_dense(&basis));
        orthonormalise(&mut basis, 1);
    }
    orthonormalise(&mut basis, 1);
    let small = transposed_product(&basis, &matrix.times_dense(&basis));
    let (values, rotation) = symmetric_eigen(&small);
    let mut order: Vec<usize> = (0..width).collect();
    order.sort_by(|&a, &b| values[b].abs().total_cmp(&values[a].abs()));
    order.truncate(k);
    let mut chosen = Matrix::zeros(width, k);
    for row in 0..width {
        for (column, &from) in order.iter().enumerate() {
            chosen.row_mut(row)[column] = rotation.row(row)[from];
        }
    }
    (order.iter().map(|&at| values[at]).collect(), product(&basis, &chosen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_eigenvalues_are_found_whatever_their_sign() {
        // A path graph: eigenvalues 2 cos(pi i / 51), in pairs of both signs.
        let n = 50usize;
        let path = Sparse::from_rows(
            n,
            (0..n).map(|i| {
                [i.checked_sub(1), (i + 1 < n).then_some(i + 1)]
                    .into_iter()
                    .flatten()
                    .map(|j| (j as u32, 1.0))
                    .collect()
            }),
        );
        let (values, vectors) = largest_eigen(&path, 4, 1);
        let expected = |i: f32| 2.0 * (std::f32::consts::PI * i / 51.0).cos();
        assert!((values[0].abs() - expected(1.0)).abs() < 1e-4, "{values:?}");
        assert!((values[3].abs() - expected(2.0)).abs() < 1e-4, "{values:?}");
        let image = path.times_dense(&vectors);
        for row in 0..n {
            assert!((image.row(row)[0] - values[0] * vectors.row(row)[0]).abs() < 1e-3);
        }
    }
}
