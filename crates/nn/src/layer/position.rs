//! Where in a sequence, and when.

use upnext_math::Matrix;
use upnext_math::seed::Random;

use crate::parameters::add;
use crate::{Gradients, Id, Kind, Parameters};

/// A learnt row for each place, added to what stands there.
#[derive(Clone, Copy, Debug)]
pub struct LearnedPositions {
    table: Id,
}

impl LearnedPositions {
    /// Rows for sequences of at most `length`.
    pub fn new(
        parameters: &mut Parameters,
        name: &str,
        (length, dimension): (usize, usize),
        deviation: f32,
        random: &mut Random,
    ) -> Self {
        let (name, shape) = (format!("{name}.weight"), (length, dimension));
        Self { table: parameters.add_normal(name, Kind::Dense, shape, deviation, random) }
    }

    /// Adds the rows to sequences of `length` rows each. The gradient of the input is that of the output.
    pub fn forward(&self, parameters: &Parameters, length: usize, values: &mut Matrix) {
        let table = parameters.get(self.table).values();
        let size = length * values.n_columns();
        values.values_mut().chunks_exact_mut(size.max(1)).for_each(|rows| add(rows, &table[..size]));
    }

    /// Adds the gradients of the rows.
    pub fn backward(&self, length: usize, gradient: &Matrix, gradients: &mut Gradients) {
        let size = length * gradient.n_columns();
        let of_table = &mut gradients.dense(self.table).values_mut()[..size];
        gradient.values().chunks_exact(size.max(1)).for_each(|rows| add(of_table, rows));
    }
}

/// Sines and cosines of rising wave lengths, `(length, dimension)` (Vaswani et al. 2017).
pub fn sinusoidal(length: usize, dimension: usize) -> Matrix {
    let value = |at: usize, column: usize| {
        let angle = at as f32 / 10_000_f32.powf((column / 2 * 2) as f32 / dimension as f32);
        if column.is_multiple_of(2) { angle.sin() } else { angle.cos() }
    };
    let values = (0..length * dimension).map(|at| value(at / dimension, at % dimension)).collect();
    Matrix::from_rows(length, dimension, values)
}

/// What is added to the logits of an attention by how far two places are apart, for each head (Shaw et al. 2018; Raffel
/// et al. 2020).
#[derive(Clone, Copy, Debug)]
pub struct RelativeBias {
    table: Id,
}

impl RelativeBias {
    /// For distances from `1 - length` to `length - 1`; all zero at first.
    pub fn new(parameters: &mut Parameters, name: &str, length: usize, n_heads: usize) -> Self {
        let table = Matrix::zeros(n_heads, (2 * length).saturating_sub(1));
        Self { table: parameters.add(format!("{name}.weight"), Kind::Dense, table) }
    }

    /// The bias of an attention over `length` places: `(heads, length, length)`.
    pub fn forward(&self, parameters: &Parameters, length: usize) -> Vec<f32> {
        let table = parameters.get(self.table);
        let middle = table.n_columns() / 2;
        let mut bias = Vec::with_capacity(table.n_rows() * length * length);
        for head in 0..table.n_rows() {
            let of_head = table.row(head);
            bias.extend((0..length * length).map(|at| of_head[middle + at / length - at % length]));
        }
        bias
    }

    /// Adds the gradients of the table.
    pub fn backward(&self, length: usize, of_bias: &[f32], gradients: &mut Gradients) {
        let of_table = gradients.dense(self.table);
        let middle = of_table.n_columns() / 2;
        for (head, of_bias) in of_bias.chunks_exact((length * length).max(1)).enumerate() {
            let of_head = of_table.row_mut(head);
            for (at, gradient) in of_bias.iter().enumerate() {
                of_head[middle + at / length - at % length] += gradient;
            }
        }
    }
}

/// The bucket of a time between two events: its logarithm in steps of 0.301 (HSTU, Zhai et al. 2024), at most `most`.
pub fn time_bucket(milliseconds: i64, most: usize) -> usize {
    let seconds = (milliseconds.unsigned_abs() as f32 / 1_000.0).max(1.0);
    ((seconds.ln() / 0.301) as usize).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{assert_gradients, assert_parameters, input};

    #[test]
    fn learnt_places_are_added_and_their_gradients_add_up_over_sequences() {
        let mut parameters = Parameters::new();
        let layer = LearnedPositions::new(&mut parameters, "p", (5, 3), 1.0, &mut Random::new(1));
        assert_gradients(
            &mut parameters,
            &mut input(6, 3, 2),
            |p, x| {
                let mut output = x.clone();
                layer.forward(p, 3, &mut output);
                output
            },
            |_, _, gradient, gradients| {
                layer.backward(3, gradient, gradients);
                gradient.clone()
            },
        );
    }

    #[test]
    fn waves_start_at_zero_and_one() {
        let waves = sinusoidal(3, 4);
        assert_eq!(waves.row(0), [0.0, 1.0, 0.0, 1.0]);
        assert!((waves.row(2)[2] - 0.02_f32.sin()).abs() < 1e-6);
    }

    #[test]
    fn equal_distances_share_a_bias() {
        let mut parameters = Parameters::new();
        let layer = RelativeBias::new(&mut parameters, "r", 3, 2);
        *parameters.get_mut(layer.table) = input(2, 5, 1);
        let bias = layer.forward(&parameters, 3);
        assert_eq!((bias[1], bias[9]), (bias[5], parameters.get(layer.table).row(1)[2]));
        let weights = input(2, 9, 4);
        let mut gradients = Gradients::zeros(&parameters);
        layer.backward(3, weights.values(), &mut gradients);
        assert_parameters(&mut parameters, &gradients, |parameters| {
            let bias = layer.forward(parameters, 3);
            bias.iter().zip(weights.values()).map(|(y, w)| f64::from(y * w)).sum()
        });
    }

    #[test]
    fn times_fall_into_buckets_of_their_logarithm() {
        let buckets = [0, 500, 1_000, 1_400, 10_000, 86_400_000, i64::MIN].map(|ms| time_bucket(ms, 40));
        assert_eq!(buckets, [0, 0, 0, 1, 7, 37, 40]);
    }
}
