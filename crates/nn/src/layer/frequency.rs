//! The frequency filter of BSARec (Shin et al. 2024): slow changes of a sequence pass, fast ones by a learnt share.

use std::f32::consts::TAU;

use upnext_math::Matrix;
use upnext_math::linalg::{Accumulate, Precision, View, ViewMut, multiply};
use upnext_math::seed::Random;

use crate::{Gradients, Id, Kind, Parameters};

/// `low + β² (x - low)`, where `low` holds the lowest frequencies of each column along the sequence, and β is a number
/// for each column. A sequence shorter than the window is followed by zeros.
#[derive(Clone, Debug)]
pub struct FrequencyFilter {
    share: Id,
    window: usize,
    /// What keeps the lowest frequencies: `(window, window)`, symmetric.
    low_pass: Vec<f32>,
}

impl FrequencyFilter {
    /// Keeps the `n_low` lowest of the `window / 2 + 1` frequencies.
    pub fn new(
        parameters: &mut Parameters,
        name: &str,
        (window, dimension): (usize, usize),
        n_low: usize,
        random: &mut Random,
    ) -> Self {
        // Of the real transform each frequency but 0 and the highest of an even length stands for two.
        let twice = |k: usize| if k == 0 || 2 * k == window { 1.0 } else { 2.0 };
        let along = |distance: usize| -> f32 {
            let part = |k: usize| twice(k) * (TAU * (k * distance % window) as f32 / window as f32).cos();
            (0..n_low.min(window / 2 + 1)).map(part).sum::<f32>() / window as f32
        };
        let low_pass = (0..window * window).map(|at| along((at / window).abs_diff(at % window))).collect();
        let share = parameters.add_normal(format!("{name}.share"), Kind::Dense, (1, dimension), 1.0, random);
        Self { share, window, low_pass }
    }

    /// `input` holds sequences of `length` rows, at most the window; of sequence `i` the first `n_there[i]` count, and
    /// the others give nothing.
    ///
    /// # Panics
    /// If a sequence is longer than the window.
    pub fn forward(&self, parameters: &Parameters, input: &Matrix, there: (usize, &[usize])) -> Matrix {
        let mut output = self.low(input, there);
        let share = parameters.get(self.share).values();
        let rows = output.values_mut().chunks_exact_mut(share.len());
        for (low, x) in rows.zip(input.values().chunks_exact(share.len())) {
            for ((low, x), share) in low.iter_mut().zip(x).zip(share) {
                *low += share * share * (x - *low);
            }
        }
        output
    }

    /// The gradient of the input.
    pub fn backward(
        &self,
        parameters: &Parameters,
        input: &Matrix,
        there: (usize, &[usize]),
        gradient: &Matrix,
        gradients: &mut Gradients,
    ) -> Matrix {
        let low = self.low(input, there);
        let share = parameters.get(self.share).values();
        let of_share = gradients.dense(self.share).values_mut();
        let mut of_low = gradient.clone();
        let n = share.len();
        let rows = of_low.values_mut().chunks_exact_mut(n).zip(input.values().chunks_exact(n));
        for ((gradient, x), low) in rows.zip(low.values().chunks_exact(n)) {
            for at in 0..n {
                of_share[at] += 2.0 * share[at] * gradient[at] * (x[at] - low[at]);
                gradient[at] *= 1.0 - share[at] * share[at];
            }
        }
        // The filter is symmetric: its transpose is itself.
        let mut of_input = self.low(&of_low, there);
        let rows = of_input.values_mut().chunks_exact_mut(n).zip(gradient.values().chunks_exact(n));
        for (row, gradient) in rows {
            let each = row.iter_mut().zip(gradient).zip(share);
            each.for_each(|((x, gradient), share)| *x += share * share * gradient);
        }
        of_input
    }

    fn low(&self, input: &Matrix, (length, n_there): (usize, &[usize])) -> Matrix {
        assert!(length <= self.window, "a sequence of {length} in a window of {}", self.window);
        let d = input.n_columns();
        let mut low = Matrix::zeros(input.n_rows(), d);
        let sequences =
            low.values_mut().chunks_exact_mut(length * d).zip(input.values().chunks_exact(length * d));
        for ((low, x), &n) in sequences.zip(n_there) {
            let filter = View::new(&self.low_pass, n, n, self.window);
            let out = ViewMut::new(&mut low[..n * d], n, d, d);
            multiply(out, Accumulate::Replace, filter, View::new(&x[..n * d], n, d, d), 1.0, Precision::F32);
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{assert_gradients, input};

    fn layer(n_low: usize) -> (Parameters, FrequencyFilter) {
        let mut parameters = Parameters::new();
        let layer = FrequencyFilter::new(&mut parameters, "f", (6, 2), n_low, &mut Random::new(4));
        (parameters, layer)
    }

    #[test]
    fn a_constant_passes_the_fastest_change_does_not_and_all_frequencies_are_the_sequence() {
        let (mut parameters, layer) = self::layer(2);
        parameters.get_mut(layer.share).values_mut().fill(0.0);
        let rows = (0..6).flat_map(|at| [3.0, if at % 2 == 0 { 1.0 } else { -1.0 }]).collect();
        let output = layer.forward(&parameters, &Matrix::from_rows(6, 2, rows), (6, &[6]));
        for row in output.values().chunks_exact(2) {
            assert!((row[0] - 3.0).abs() < 1e-5 && row[1].abs() < 1e-5, "{row:?}");
        }
        let (_, layer) = self::layer(4);
        let x = input(12, 2, 1);
        let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
        assert!(layer.low(&x, (6, &[6, 6])).values().iter().zip(x.values()).all(close));
    }

    #[test]
    fn gradients_are_those_of_small_differences() {
        let (mut parameters, layer) = layer(2);
        assert_gradients(
            &mut parameters,
            &mut input(12, 2, 2),
            |p, x| only(layer.forward(p, x, (4, &THERE))),
            |p, x, gradient, gradients| layer.backward(p, x, (4, &THERE), &only(gradient.clone()), gradients),
        );
    }

    const THERE: [usize; 3] = [4, 1, 2];

    /// Without the rows of padding.
    fn only(mut rows: Matrix) -> Matrix {
        for (sequence, n) in THERE.into_iter().enumerate() {
            (n..4).for_each(|at| rows.row_mut(4 * sequence + at).fill(0.0));
        }
        rows
    }

    #[test]
    fn a_sequence_is_the_same_alone_and_in_a_batch_of_longer_ones() {
        let (parameters, layer) = layer(2);
        let x = input(12, 2, 1);
        let together = layer.forward(&parameters, &x, (6, &[6, 3]));
        let short = Matrix::from_rows(3, 2, x.values()[12..18].to_vec());
        let alone = layer.forward(&parameters, &short, (3, &[3]));
        assert_eq!(alone.values(), &together.values()[12..18]);
    }
}
