//! Cross-entropy over all rows of a table, in blocks that fit the cache.

use std::cell::Cell;

use upnext_math::Matrix;
use upnext_math::dot::{add_scaled, max};
use upnext_math::exp::{exp_of_differences, map_in_place};
use upnext_math::linalg::{Accumulate, Factor, Precision, View, ViewMut, multiply};

/// Numbers of a block of logits, 1 MiB, where the table is small.
const BLOCK: usize = 1 << 18;
/// Numbers of a block at most, 16 MiB, unless a single row has more: memory does not grow with rows times table.
const BLOCK_MAX: usize = 1 << 22;
/// Rows of a block at least, and whose multiple it is: what products take at once.
const PANEL: usize = 32;

/// Rows of a block at most.
const ROWS_MAX: usize = 512;

thread_local! {
    /// A block of logits, kept for the next call.
    static LOGITS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// A cross-entropy and what it leaves behind.
#[derive(Clone, Debug)]
pub struct Softmax {
    /// The weighted sum over rows, in nats.
    pub loss: f64,
    /// The gradient of the rows.
    pub of_rows: Matrix,
}

/// The rows that a softmax compares with, made ready once for many calls.
#[derive(Debug)]
pub struct Table<'a> {
    rows: &'a Matrix,
    /// Its transpose, which makes logits.
    transposed: Factor<'a>,
    /// Itself: a gradient of logits times it is one of the rows that asked.
    straight: Factor<'a>,
    precision: Precision,
}

impl<'a> Table<'a> {
    /// A table of `(videos, dimension)`, for products of a precision.
    pub fn new(rows: &'a Matrix, precision: Precision) -> Self {
        let view = View::from(rows);
        let (transposed, straight) = (Factor::new(view.t(), precision), Factor::new(view, precision));
        Self { rows, transposed, straight, precision }
    }
}

/// `Σ weight · (log Σ_j exp(x · t_j) - x · t_target)` over rows `x` of `(rows, dimension)` and the rows `t` of a table;
/// the gradient of the table is added to `of_table`.
///
/// # Panics
/// If a target is no row of the table, or there are not as many targets and weights as rows.
pub fn softmax(
    rows: &Matrix,
    table: &Table,
    (targets, weights): (&[u32], &[f32]),
    of_table: &mut Matrix,
) -> Softmax {
    assert!(targets.len() == rows.n_rows() && weights.len() == rows.n_rows(), "a target for each row");
    let (n, d) = (table.rows.n_rows(), table.rows.n_columns());
    // Whole panels of the product, and as many rows as the dimension: each block goes through the table's gradient once.
    let least = d.next_multiple_of(PANEL).min(BLOCK_MAX / n.max(1)).clamp(1, ROWS_MAX);
    let block = (BLOCK / n.max(1) / PANEL * PANEL).clamp(least, ROWS_MAX).min(rows.n_rows().max(1));
    let mut logits = LOGITS.take();
    logits.resize(logits.len().max(block * n), 0.0);
    let mut of_rows = Matrix::zeros(rows.n_rows(), d);
    let mut scaled = vec![0.0; block * d];
    let mut loss = 0.0;
    for start in (0..rows.n_rows()).step_by(block) {
        let end = rows.n_rows().min(start + block);
        let (logits, scaled) = (&mut logits[..(end - start) * n], &mut scaled[..(end - start) * d]);
        let x = &rows.values()[start * d..end * d];
        scaled.copy_from_slice(x);
        let out = ViewMut::new(logits, end - start, n, n);
        let x = View::new(x, end - start, d, d);
        table.transposed.multiply(out, Accumulate::Replace, x);
        // Left unscaled: their sum is divided by on the smaller side of the two products below.
        let mut shares = vec![0.0; end - start];
        for (at, (logits, row)) in logits.chunks_exact_mut(n).zip(start..).enumerate() {
            let most = max(logits);
            let of_target = logits[targets[row] as usize] - most;
            let sum = exp_of_differences(logits, most);
            loss += f64::from(weights[row]) * f64::from(sum.ln() - of_target);
            shares[at] = weights[row] / sum;
            map_in_place(&mut scaled[at * d..(at + 1) * d], |x| x * shares[at]);
        }
        let of_logits = View::new(logits, end - start, n, n);
        let out = ViewMut::new(&mut of_rows.values_mut()[start * d..end * d], end - start, d, d);
        table.straight.multiply(out, Accumulate::Replace, of_logits);
        let scaled = View::new(scaled, end - start, d, d);
        multiply(&mut *of_table, Accumulate::Add, of_logits.t(), scaled, 1.0, table.precision);
        for (at, row) in (start..end).enumerate() {
            let (target, weight) = (targets[row] as usize, weights[row]);
            let of_row = of_rows.row_mut(row);
            map_in_place(of_row, |x| x * shares[at]);
            add_scaled(of_row, -weight, table.rows.row(target));
            add_scaled(of_table.row_mut(target), -weight, rows.row(row));
        }
    }
    LOGITS.set(logits);
    Softmax { loss, of_rows }
}

/// Makes logits the gradient of their cross-entropy times a weight; the cross-entropy.
pub(super) fn softmax_gradient(logits: &mut [f32], target: usize, weight: f32) -> f64 {
    let most = max(logits);
    let of_target = logits[target] - most;
    let sum = exp_of_differences(logits, most);
    let by = weight / sum;
    map_in_place(logits, |x| x * by);
    logits[target] -= weight;
    f64::from(sum.ln() - of_target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{assert_close, difference, input};

    #[test]
    fn a_worked_example() {
        // Logits 0 and ln 3: the second has three quarters.
        let (rows, table) =
            (Matrix::from_rows(1, 1, vec![1.0]), Matrix::from_rows(2, 1, vec![0.0, 3_f32.ln()]));
        let mut of_table = Matrix::zeros(2, 1);
        let found = softmax(&rows, &Table::new(&table, Precision::F32), (&[1], &[2.0]), &mut of_table);
        assert!((found.loss - 2.0 * (4.0_f64 / 3.0).ln()).abs() < 1e-6, "{}", found.loss);
        assert!((of_table.values()[0] - 0.5).abs() < 1e-6 && (of_table.values()[1] + 0.5).abs() < 1e-6);
    }

    #[test]
    fn gradients_are_those_of_small_differences() {
        let (mut rows, mut table) = (input(5, 3, 1), input(7, 3, 2));
        let (targets, weights) = ([0, 6, 3, 3, 1], [1.0, 0.5, 2.0, 1.0, 0.0]);
        let mut of_table = Matrix::zeros(7, 3);
        let found = softmax(&rows, &Table::new(&table, Precision::F32), (&targets, &weights), &mut of_table);
        let loss = |rows: &Matrix, table: &Matrix| {
            softmax(rows, &Table::new(table, Precision::F32), (&targets, &weights), &mut Matrix::zeros(7, 3))
                .loss
        };
        for at in 0..rows.values().len() {
            let numeric = difference(&mut rows, at, |rows| loss(rows, &table));
            assert_close(found.of_rows.values()[at], numeric, || format!("row {at}"));
        }
        for at in 0..table.values().len() {
            let numeric = difference(&mut table, at, |table| loss(&rows, table));
            assert_close(of_table.values()[at], numeric, || format!("table {at}"));
        }
    }

    #[test]
    fn blocks_are_the_whole() {
        let (rows, table) = (input(700, 4, 1), input(2_000, 4, 2));
        let targets: Vec<u32> = (0..700).map(|row| row * 7 % 2_000).collect();
        let weights = vec![1.0; 700];
        let mut of_table = Matrix::zeros(2_000, 4);
        let found = softmax(&rows, &Table::new(&table, Precision::F32), (&targets, &weights), &mut of_table);
        let mut loss = 0.0;
        for (row, &target) in targets.iter().enumerate() {
            let one = Matrix::from_rows(1, 4, rows.row(row).to_vec());
            let one = softmax(
                &one,
                &Table::new(&table, Precision::F32),
                (&[target], &[1.0]),
                &mut Matrix::zeros(2_000, 4),
            );
            loss += one.loss;
            let pairs = one.of_rows.values().iter().zip(found.of_rows.row(row));
            let furthest = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(furthest < 5e-5, "row {row}: {furthest}");
        }
        assert!((loss / found.loss - 1.0).abs() < 1e-6);
    }
}
