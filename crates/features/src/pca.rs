//! Principal components: fewer columns that keep a share of the variance, fitted on train rows.
//!
//! Eigenvectors of the covariance matrix (Pearson 1901; Hotelling 1933), as scikit-learn's `PCA` defines them.

use serde::{Deserialize, Serialize};
use upnext_math::Matrix;
use upnext_math::linalg::{product, product_transposed, symmetric_eigen, transposed_product};

use crate::TrainRows;

/// How many components are kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// As few as explain at least this share of the variance, 0.95 for example; 1 or more keeps every component
    /// that explains any.
    Share(f32),
    /// This many, or as many as there are columns.
    Components(usize),
}

/// A fitted projection. Scale the columns first ([`crate::scale`]): variance has the columns' units, squared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pca {
    mean: Vec<f32>,
    /// One component after another, each as long as `mean`.
    components: Vec<f32>,
    variances: Vec<f32>,
    ratios: Vec<f32>,
}

/// Components below this share of the variance are rounding.
const RATIO_LEAST: f64 = 1e-6;

impl Pca {
    /// Fits on the train rows of `(rows, columns)`. A value that is not finite counts as its column's mean. The
    /// sign of a component is such that its entry farthest from zero is positive, the first of equal ones.
    ///
    /// # Panics
    /// If a train row is not in the matrix.
    pub fn fit(matrix: &Matrix, train: &TrainRows, keep: Keep) -> Self {
        let n_columns = matrix.n_columns();
        let mean = means(matrix, train);
        let mut centred = Matrix::zeros(train.len(), n_columns);
        for (at, row) in train.iter().enumerate() {
            centre(matrix.row(row), &mean, centred.row_mut(at));
        }
        // Divided by the power of two below the largest: exact, and squares of large numbers stay within `f32`.
        let largest = centred.values().iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let largest = f32::from_bits(largest.to_bits() & f32::INFINITY.to_bits());
        if largest > 0.0 {
            centred.values_mut().iter_mut().for_each(|x| *x /= largest);
        }
        let (eigenvalues, vectors) = if n_columns == 0 {
            (Vec::new(), Matrix::zeros(0, 0))
        } else {
            symmetric_eigen(&transposed_product(&centred, &centred))
        };
        let degrees = (train.len().max(2) - 1) as f64;
        // Ascending as they come, and never below zero but for rounding.
        let unit = f64::from(largest).powi(2) / degrees;
        let variances: Vec<f64> = eigenvalues.iter().rev().map(|&e| f64::from(e).max(0.0) * unit).collect();
        let total: f64 = variances.iter().sum();
        let ratios: Vec<f64> = variances.iter().map(|v| if total > 0.0 { v / total } else { 0.0 }).collect();
        let n_kept = keep.count(&ratios);
        let components = (0..n_kept).flat_map(|at| component(&vectors, n_columns - 1 - at)).collect();
        let kept = |values: &[f64]| {
            values[..n_kept].iter().map(|&value| value.min(f64::from(f32::MAX)) as f32).collect()
        };
        Self { mean, components, variances: kept(&variances), ratios: kept(&ratios) }
    }

    /// The rows in the components' space: `(rows, components)`, `(x - mean) W'`.
    ///
    /// # Panics
    /// If the matrix has another number of columns than it was fitted on.
    pub fn apply(&self, matrix: &Matrix) -> Matrix {
        assert_eq!(matrix.n_columns(), self.mean.len(), "as many columns as were fitted");
        let mut centred = Matrix::zeros(matrix.n_rows(), matrix.n_columns());
        for row in 0..matrix.n_rows() {
            centre(matrix.row(row), &self.mean, centred.row_mut(row));
        }
        product_transposed(&centred, &self.components())
    }

    /// Back into the columns' space, without what the dropped components held: `y W + mean`.
    ///
    /// # Panics
    /// If the matrix has another number of columns than there are components.
    pub fn invert(&self, projected: &Matrix) -> Matrix {
        let mut matrix = product(projected, &self.components());
        for row in 0..matrix.n_rows() {
            matrix.row_mut(row).iter_mut().zip(&self.mean).for_each(|(x, mean)| *x += mean);
        }
        matrix
    }

    /// The components, `(components, columns)`: rows of unit length, at right angles to each other.
    pub fn components(&self) -> Matrix {
        Matrix::from_rows(self.n_components(), self.mean.len(), self.components.clone())
    }

    /// How many components are kept.
    pub fn n_components(&self) -> usize {
        self.variances.len()
    }

    /// The variance along each kept component, `n - 1` in the denominator; the largest first.
    pub fn variances(&self) -> &[f32] {
        &self.variances
    }

    /// The share of the whole variance that each kept component explains.
    pub fn ratios(&self) -> &[f32] {
        &self.ratios
    }
}

impl Keep {
    fn count(self, ratios: &[f64]) -> usize {
        let telling = ratios.iter().take_while(|&&ratio| ratio > RATIO_LEAST).count();
        match self {
            Self::Components(n) => n.min(ratios.len()),
            Self::Share(share) => {
                let mut reached = 0.0;
                let enough = ratios.iter().position(|ratio| {
                    reached += ratio;
                    reached >= f64::from(share)
                });
                enough.map_or(telling, |at| (at + 1).min(telling))
            }
        }
    }
}

fn means(matrix: &Matrix, train: &TrainRows) -> Vec<f32> {
    let (mut sums, mut counts) = (vec![0.0f64; matrix.n_columns()], vec![0u32; matrix.n_columns()]);
    for row in train.iter() {
        for ((sum, count), &x) in sums.iter_mut().zip(&mut counts).zip(matrix.row(row)) {
            if x.is_finite() {
                *sum += f64::from(x);
                *count += 1;
            }
        }
    }
    sums.iter().zip(counts).map(|(sum, count)| (sum / f64::from(count.max(1))) as f32).collect()
}

fn centre(row: &[f32], mean: &[f32], out: &mut [f32]) {
    for ((out, &x), mean) in out.iter_mut().zip(row).zip(mean) {
        let difference = x - mean;
        *out = if difference.is_finite() { difference } else { 0.0 };
    }
}

fn component(vectors: &Matrix, column: usize) -> Vec<f32> {
    let entries: Vec<f32> = (0..vectors.n_rows()).map(|row| vectors.row(row)[column]).collect();
    // Entries that differ by rounding alone count as equal, so that the sign is the same on every machine.
    let largest = entries.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let first = entries.iter().find(|x| x.abs() >= largest * (1.0 - 1e-4)).copied().unwrap_or(1.0);
    entries.iter().map(|x| x * first.signum()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: &[f32], b: &[f32]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-4)
    }

    #[test]
    fn points_on_a_line_have_one_component_along_it() {
        // (0, 0), (3, 4), (6, 8): the direction (0.6, 0.8); at -5, 0 and 5 on it, so the variance is 50 / 2.
        let points = Matrix::from_rows(3, 2, vec![0.0, 0.0, 3.0, 4.0, 6.0, 8.0]);
        let pca = Pca::fit(&points, &TrainRows::all(3), Keep::Share(1.0));
        assert!(near(pca.components().values(), &[0.6, 0.8]), "{pca:?}");
        assert!(near(pca.apply(&points).values(), &[-5.0, 0.0, 5.0]));
        assert!(near(pca.variances(), &[25.0]) && near(pca.ratios(), &[1.0]));
        assert!(near(pca.invert(&pca.apply(&points)).values(), points.values()));
    }

    #[test]
    fn five_rows_give_the_numbers_of_scikit_learn() {
        // Printed by scikit-learn 1.9.1: PCA().fit(x) and its transform(x), for the x below.
        let x = vec![2.0, 0.0, 1.0, 0.0, 1.0, 3.0, 4.0, 2.0, 2.0, 6.0, 1.0, 0.0, 3.0, 3.0, 4.0];
        let x = Matrix::from_rows(5, 3, x);
        let whole = Pca::fit(&x, &TrainRows::all(5), Keep::Components(9));
        let components = [
            [0.868_755_2, -0.037_976_2, -0.493_783_6],
            [0.378_734_7, 0.693_379_4, 0.613_013],
            [-0.319_099_5, 0.719_571_2, -0.616_759_9],
        ];
        assert!(near(whole.components().values(), &components.concat()), "{whole:?}");
        assert!(near(whole.variances(), &[6.114_904_6, 2.678_226, 0.006_869_4]));
        assert!(near(whole.ratios(), &[0.694_875_5, 0.304_343_9, 0.000_780_6]));
        let kept = Pca::fit(&x, &TrainRows::all(5), Keep::Share(0.95));
        let projected = [
            [-0.321_805, -1.962_479],
            [-3.084_859, -0.800_543],
            [0.845_969, 0.794_762],
            [3.609_023, -0.367_174],
        ];
        assert!(near(&kept.apply(&x).values()[..8], &projected.concat()));
        assert_eq!(kept.n_components(), 2);
    }

    #[test]
    fn rows_outside_train_change_nothing_and_no_value_breaks_it() {
        let rows = |last: f32| Matrix::from_rows(4, 2, vec![1.0, 2.0, 2.0, f32::NAN, 4.0, 1.0, last, -last]);
        let train = TrainRows::of([0, 1, 2]);
        let fitted = Pca::fit(&rows(1.0), &train, Keep::Share(0.9));
        assert_eq!(fitted, Pca::fit(&rows(f32::INFINITY), &train, Keep::Share(0.9)));
        assert!(fitted.apply(&rows(f32::NAN)).values().iter().all(|x| x.is_finite()));
        let kept: Pca = serde_json::from_str(&serde_json::to_string(&fitted).unwrap()).unwrap();
        assert_eq!(kept, fitted);
    }

    #[test]
    fn numbers_of_any_size_have_components() {
        let points = Matrix::from_rows(3, 2, vec![0.0, 0.0, 3e30, 4e30, 6e30, 8e30]);
        let pca = Pca::fit(&points, &TrainRows::all(3), Keep::Share(0.95));
        assert!(near(pca.components().values(), &[0.6, 0.8]), "{pca:?}");
        assert!(near(pca.ratios(), &[1.0]) && pca.variances() == [f32::MAX]);
        let far = Matrix::from_rows(2, 1, vec![f32::MAX, f32::MIN]);
        assert!(Pca::fit(&far, &TrainRows::all(2), Keep::Share(0.95)).n_components() <= 1);
    }

    #[test]
    fn columns_that_never_vary_leave_no_component() {
        let same = Matrix::from_rows(3, 2, vec![1.0; 6]);
        assert_eq!(Pca::fit(&same, &TrainRows::all(3), Keep::Share(0.95)).n_components(), 0);
        assert_eq!(Pca::fit(&same, &TrainRows::of([]), Keep::Share(0.95)).apply(&same).n_columns(), 0);
        assert_eq!(Pca::fit(&Matrix::zeros(2, 0), &TrainRows::all(2), Keep::Components(3)).n_components(), 0);
    }
}
