//! Dense linear algebra over faer. Every function runs on all threads of rayon's pool unless it says otherwise.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use serde::{Deserialize, Serialize};

use crate::{Matrix, bf16};

/// A matrix that should be positive definite and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotPositiveDefinite {
    /// The first pivot that is not positive.
    pub pivot: usize,
}

impl std::fmt::Display for NotPositiveDefinite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the matrix is not positive definite at row {}: use a larger lambda", self.pivot)
    }
}

impl std::error::Error for NotPositiveDefinite {}

fn view(matrix: &Matrix) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice(matrix.values(), matrix.n_rows(), matrix.n_columns())
}

fn view_mut(matrix: &mut Matrix) -> MatMut<'_, f32> {
    let (n_rows, n_columns) = (matrix.n_rows(), matrix.n_columns());
    MatMut::from_row_major_slice_mut(matrix.values_mut(), n_rows, n_columns)
}

/// A matrix within a slice, row after row, the rows `stride` numbers apart; or its transpose.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    values: &'a [f32],
    n_rows: usize,
    n_columns: usize,
    stride: usize,
    transposed: bool,
}

impl<'a> View<'a> {
    /// The matrix that begins with the first number.
    ///
    /// # Panics
    /// If the slice ends before the matrix does, or rows overlap.
    pub fn new(values: &'a [f32], n_rows: usize, n_columns: usize, stride: usize) -> Self {
        assert_room(values.len(), n_rows, n_columns, stride);
        Self { values, n_rows, n_columns, stride, transposed: false }
    }

    /// Its transpose, in the same numbers.
    pub fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// Its rows.
    pub fn n_rows(&self) -> usize {
        if self.transposed { self.n_columns } else { self.n_rows }
    }

    /// Its columns.
    pub fn n_columns(&self) -> usize {
        if self.transposed { self.n_rows } else { self.n_columns }
    }

    /// Whether it is the transpose of what stands in the slice.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn is_transposed(&self) -> bool {
        self.transposed
    }

    /// What stands in the slice: numbers, rows, columns, and how far rows are apart.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn storage(&self) -> (&'a [f32], usize, usize, usize) {
        (self.values, self.n_rows, self.n_columns, self.stride)
    }

    fn faer(&self) -> MatRef<'a, f32> {
        let stored =
            MatRef::from_row_major_slice_with_stride(self.values, self.n_rows, self.n_columns, self.stride);
        if self.transposed { stored.transpose() } else { stored }
    }
}

fn assert_room(n: usize, n_rows: usize, n_columns: usize, stride: usize) {
    // Nothing wraps around: what products read without a check rests on this.
    let last = if n_rows == 0 { 0 } else { (n_rows - 1).saturating_mul(stride).saturating_add(n_columns) };
    assert!(last <= n && n_columns <= stride, "{n_rows} rows of {n_columns}, {stride} apart, in {n} numbers");
}

impl<'a> From<&'a Matrix> for View<'a> {
    fn from(matrix: &'a Matrix) -> Self {
        Self::new(matrix.values(), matrix.n_rows(), matrix.n_columns(), matrix.n_columns())
    }
}

/// A matrix within a slice, row after row, to be written.
#[derive(Debug)]
pub struct ViewMut<'a> {
    values: &'a mut [f32],
    n_rows: usize,
    n_columns: usize,
    stride: usize,
}

impl<'a> ViewMut<'a> {
    /// The matrix that begins with the first number.
    ///
    /// # Panics
    /// If the slice ends before the matrix does, or rows overlap.
    pub fn new(values: &'a mut [f32], n_rows: usize, n_columns: usize, stride: usize) -> Self {
        assert_room(values.len(), n_rows, n_columns, stride);
        Self { values, n_rows, n_columns, stride }
    }

    /// How far its rows are apart.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The slice from a row on, to its end.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.values[row * self.stride..]
    }

    fn faer(&mut self) -> MatMut<'_, f32> {
        // (faer 0.24.4's own row-major constructor with a stride takes rows for columns and writes beyond the slice.)
        let (n_rows, n_columns) = (self.n_rows, self.n_columns);
        MatMut::from_column_major_slice_with_stride_mut(self.values, n_columns, n_rows, self.stride)
            .transpose_mut()
    }
}

impl<'a> From<&'a mut Matrix> for ViewMut<'a> {
    fn from(matrix: &'a mut Matrix) -> Self {
        let (n_rows, n_columns) = (matrix.n_rows(), matrix.n_columns());
        Self::new(matrix.values_mut(), n_rows, n_columns, n_columns)
    }
}

/// What becomes of what stood in the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accumulate {
    /// It is replaced.
    Replace,
    /// The product is added to it.
    Add,
}

/// How exactly numbers are multiplied. Sums are kept in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As they are.
    #[default]
    F32,
    /// Rounded to bfloat16 (8 bits of mantissa) where [the machine](crate::bf16::is_there) is faster then; elsewhere, and
    /// where matrices are tiny, as they are.
    Bf16,
}

/// `scale * a b` into a matrix, on one thread: for callers that run many at once.
///
/// # Panics
/// If the shapes do not fit.
pub fn multiply<'a>(
    out: impl Into<ViewMut<'a>>,
    into: Accumulate,
    a: View,
    b: View,
    scale: f32,
    precision: Precision,
) {
    multiply_either(out.into(), into, a, (b, None), scale, precision);
}

/// A right factor of many products, made ready for them once.
#[derive(Debug)]
pub struct Factor<'a> {
    view: View<'a>,
    packed: Option<bf16::Packed>,
    precision: Precision,
}

impl<'a> Factor<'a> {
    /// For products of a precision.
    pub fn new(view: View<'a>, precision: Precision) -> Self {
        let packed = if precision == Precision::Bf16 { bf16::pack(view) } else { None };
        Self { view, packed, precision }
    }

    /// `a` times this into a matrix, as [`multiply`] does.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn multiply<'b>(&self, out: impl Into<ViewMut<'b>>, into: Accumulate, a: View) {
        multiply_either(out.into(), into, a, (self.view, self.packed.as_ref()), 1.0, self.precision);
    }
}

fn multiply_either(
    mut out: ViewMut,
    into: Accumulate,
    a: View,
    (b, packed): (View, Option<&bf16::Packed>),
    scale: f32,
    precision: Precision,
) {
    let shapes = [a.n_rows(), a.n_columns(), b.n_rows(), b.n_columns(), out.n_rows, out.n_columns];
    let fits = shapes[0] == shapes[4] && shapes[1] == shapes[2] && shapes[3] == shapes[5];
    assert!(fits, "shapes {shapes:?} of two factors and their product");
    if precision == Precision::Bf16 && bf16::multiply(&mut out, into, a, (b, packed), scale) {
        return;
    }
    let accum = if into == Accumulate::Add { Accum::Add } else { Accum::Replace };
    matmul(out.faer(), accum, a.faer(), b.faer(), scale, Par::Seq);
}

/// `a b`, of shape `(a.n_rows, b.n_columns)`.
pub fn product(a: &Matrix, b: &Matrix) -> Matrix {
    let mut out = Matrix::zeros(a.n_rows(), b.n_columns());
    matmul(view_mut(&mut out), Accum::Replace, view(a), view(b), 1.0, Par::rayon(0));
    out
}

/// `a b'`, of shape `(a.n_rows, b.n_rows)`.
pub fn product_transposed(a: &Matrix, b: &Matrix) -> Matrix {
    let mut out = Matrix::zeros(a.n_rows(), b.n_rows());
    matmul(view_mut(&mut out), Accum::Replace, view(a), view(b).transpose(), 1.0, Par::rayon(0));
    out
}

/// `a' b`, of shape `(a.n_columns, b.n_columns)`.
pub fn transposed_product(a: &Matrix, b: &Matrix) -> Matrix {
    let mut out = Matrix::zeros(a.n_columns(), b.n_columns());
    matmul(view_mut(&mut out), Accum::Replace, view(a).transpose(), view(b), 1.0, Par::rayon(0));
    out
}

/// `a b'` into a slice of `(a.n_rows, b.n_rows)`, on one thread: for callers that run many at once.
pub fn product_transposed_into(a: &Matrix, b: &Matrix, out: &mut [f32]) {
    let out = MatMut::from_row_major_slice_mut(out, a.n_rows(), b.n_rows());
    matmul(out, Accum::Replace, view(a), view(b).transpose(), 1.0, Par::Seq);
}

/// The inverse of a symmetric positive definite matrix, of which only the upper triangle is read.
///
/// # Errors
/// When a pivot is not positive.
pub fn spd_inverse(matrix: Matrix) -> Result<Matrix, NotPositiveDefinite> {
    let n = matrix.n_rows();
    let par = Par::rayon(0);
    let mut lower = matrix;
    // Row-major upper is column-major lower, the order faer is fast in.
    let factor = MatMut::from_column_major_slice_mut(lower.values_mut(), n, n);
    let scratch = llt::factor::cholesky_in_place_scratch::<f32>(n, par, Default::default());
    llt::factor::cholesky_in_place(
        factor,
        Default::default(),
        par,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Default::default(),
    )
    .map_err(|faer::linalg::cholesky::llt::factor::LltError::NonPositivePivot { index }| {
        NotPositiveDefinite { pivot: index }
    })?;
    let mut inverse = Matrix::zeros(n, n);
    {
        let out = MatMut::from_column_major_slice_mut(inverse.values_mut(), n, n);
        let factor = MatRef::from_column_major_slice(lower.values(), n, n);
        let scratch = llt::inverse::inverse_scratch::<f32>(n, par);
        llt::inverse::inverse(out, factor, par, MemStack::new(&mut MemBuffer::new(scratch)));
    }
    mirror_upper(inverse.values_mut(), n);
    Ok(inverse)
}

/// Copies the upper triangle of a square row-major matrix onto the lower one, in blocks that fit the cache.
fn mirror_upper(values: &mut [f32], n: usize) {
    const BLOCK: usize = 64;
    for row_block in (0..n).step_by(BLOCK) {
        for column_block in (row_block..n).step_by(BLOCK) {
            for row in row_block..(row_block + BLOCK).min(n) {
                for column in column_block.max(row + 1)..(column_block + BLOCK).min(n) {
                    values[column * n + row] = values[row * n + column];
                }
            }
        }
    }
}

/// Solves `a x = b` in place for one small symmetric positive definite `a` (row-major, `n * n`), on one
/// thread; `a` is overwritten. Returns whether every pivot was positive; if not, `b` is meaningless.
pub fn spd_solve_in_place(a: &mut [f32], b: &mut [f32]) -> bool {
    let n = b.len();
    let par = Par::Seq;
    let factor = MatMut::from_column_major_slice_mut(a, n, n);
    let scratch = llt::factor::cholesky_in_place_scratch::<f32>(n, par, Default::default());
    let mut buffer = MemBuffer::new(scratch);
    let done = llt::factor::cholesky_in_place(
        factor,
        Default::default(),
        par,
        MemStack::new(&mut buffer),
        Default::default(),
    );
    if done.is_err() {
        return false;
    }
    let factor = MatRef::from_column_major_slice(&*a, n, n);
    let right = MatMut::from_column_major_slice_mut(b, n, 1);
    let scratch = llt::solve::solve_in_place_scratch::<f32>(n, 1, par);
    let mut buffer = MemBuffer::new(scratch);
    llt::solve::solve_in_place(factor, right, par, MemStack::new(&mut buffer));
    true
}

/// An orthonormal basis of the columns of a tall matrix, by rounds of what Cholesky QR does (Yamamoto et al.
/// 2015: two are as good as Householder's); columns that vanish become zero.
pub fn orthonormalise(matrix: &mut Matrix, rounds: usize) {
    for _ in 0..rounds {
        let (values, vectors) = symmetric_eigen(&transposed_product(matrix, matrix));
        // By the eigenvectors of the Gram matrix, which unlike its Cholesky factor survive a small rank.
        let n = values.len();
        let least = values.iter().copied().fold(0.0f32, f32::max) * 1e-10;
        let mut scaled = vectors;
        for row in 0..n {
            for (value, eigen) in scaled.row_mut(row).iter_mut().zip(&values) {
                *value = if *eigen > least { *value / eigen.sqrt() } else { 0.0 };
            }
        }
        *matrix = product(matrix, &scaled);
    }
}

/// Eigenvalues, ascending, and eigenvectors as columns, of a symmetric matrix.
///
/// # Panics
/// If the matrix is not finite.
pub fn symmetric_eigen(matrix: &Matrix) -> (Vec<f32>, Matrix) {
    let eigen = view(matrix)
        .self_adjoint_eigen(faer::Side::Lower)
        .expect("a finite symmetric matrix has an eigendecomposition");
    let n = matrix.n_rows();
    let values = (0..n).map(|at| eigen.S()[at]).collect();
    let mut vectors = Matrix::zeros(n, n);
    view_mut(&mut vectors).copy_from(eigen.U());
    (values, vectors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Random;

    fn random(n_rows: usize, n_columns: usize, seed: u64) -> Matrix {
        let mut random = Random::new(seed);
        Matrix::from_rows(n_rows, n_columns, (0..n_rows * n_columns).map(|_| random.normal()).collect())
    }

    fn spd(n: usize) -> Matrix {
        let a = random(n + 5, n, 1);
        let mut gram = transposed_product(&a, &a);
        for at in 0..n {
            gram.row_mut(at)[at] += 1.0;
        }
        gram
    }

    #[test]
    fn a_part_of_a_matrix_is_multiplied_where_it_stands() {
        // Two columns of a matrix of three, twice: rows are three numbers apart.
        let a = [1.0, 2.0, 9.0, 3.0, 4.0, 9.0];
        let mut out = [7.0; 6];
        let view = View::new(&a, 2, 2, 3);
        multiply(ViewMut::new(&mut out, 2, 2, 3), Accumulate::Replace, view, view.t(), 1.0, Precision::F32);
        assert_eq!(out, [5.0, 11.0, 7.0, 11.0, 25.0, 7.0]);
        multiply(ViewMut::new(&mut out, 2, 2, 3), Accumulate::Add, view.t(), view, 2.0, Precision::F32);
        assert_eq!(out, [25.0, 39.0, 7.0, 39.0, 65.0, 7.0]);
    }

    #[test]
    fn bfloat16_is_near_and_a_factor_is_what_it_was_made_of() {
        let (a, b) = (random(70, 300, 1), random(300, 45, 2));
        let product = |precision| {
            let mut out = Matrix::zeros(70, 45);
            multiply(&mut out, Accumulate::Replace, (&a).into(), (&b).into(), 1.0, precision);
            let mut again = Matrix::zeros(70, 45);
            Factor::new((&b).into(), precision).multiply(&mut again, Accumulate::Replace, (&a).into());
            assert_eq!(again, out);
            out
        };
        let (exact, near) = (product(Precision::F32), product(Precision::Bf16));
        // Terms err by 2^-8 of themselves, and one another's errors mostly away.
        let furthest =
            exact.values().iter().zip(near.values()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(furthest < 0.3, "{furthest}");
        assert_eq!(furthest > 0.0, bf16::is_there());
        // Too small to be packed.
        let (a, b) = (random(3, 5, 1), random(5, 2, 2));
        let of = |precision| {
            let mut out = Matrix::zeros(3, 2);
            multiply(&mut out, Accumulate::Replace, (&a).into(), (&b).into(), 1.0, precision);
            out
        };
        assert_eq!(of(Precision::Bf16), of(Precision::F32));
    }

    #[test]
    #[should_panic(expected = "2 rows of 3, 3 apart, in 5 numbers")]
    fn a_view_beyond_its_slice_is_refused() {
        ViewMut::new(&mut [0.0; 5], 2, 3, 3);
    }

    #[test]
    fn a_matrix_times_its_inverse_is_the_identity() {
        let gram = spd(150);
        let identity = product(&gram, &spd_inverse(gram.clone()).unwrap());
        for row in 0..150 {
            for (column, value) in identity.row(row).iter().enumerate() {
                assert!((value - f32::from(u8::from(row == column))).abs() < 1e-3, "{row} {column} {value}");
            }
        }
    }

    #[test]
    fn a_singular_matrix_is_an_error() {
        assert!(spd_inverse(Matrix::zeros(3, 3)).is_err());
        assert!(!spd_solve_in_place(&mut [0.0; 4], &mut [1.0; 2]));
    }

    #[test]
    fn a_small_system_is_solved() {
        let gram = spd(20);
        let x: Vec<f32> = (0..20).map(|i| i as f32 * 0.1).collect();
        let mut b: Vec<f32> = (0..20).map(|r| gram.row(r).iter().zip(&x).map(|(a, x)| a * x).sum()).collect();
        assert!(spd_solve_in_place(&mut gram.clone().into_values(), &mut b));
        assert!(b.iter().zip(&x).all(|(got, want)| (got - want).abs() < 1e-3));
    }

    #[test]
    fn an_orthonormal_basis_is_orthonormal() {
        let mut basis = random(200, 12, 3);
        orthonormalise(&mut basis, 2);
        let gram = transposed_product(&basis, &basis);
        for row in 0..12 {
            for (column, value) in gram.row(row).iter().enumerate() {
                assert!((value - f32::from(u8::from(row == column))).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn eigenvectors_rebuild_the_matrix() {
        let gram = spd(10);
        let (values, vectors) = symmetric_eigen(&gram);
        let mut scaled = vectors.clone();
        for row in 0..10 {
            scaled.row_mut(row).iter_mut().zip(&values).for_each(|(v, s)| *v *= s);
        }
        let rebuilt = product_transposed(&scaled, &vectors);
        assert!(rebuilt.values().iter().zip(gram.values()).all(|(a, b)| (a - b).abs() < 1e-3));
    }
}
