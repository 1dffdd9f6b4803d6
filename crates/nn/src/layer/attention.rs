//! Multi-head attention over padded sequences (Vaswani et al. 2017).

use upnext_math::Matrix;
use upnext_math::dot::max;
use upnext_math::exp::exp_of_differences;
use upnext_math::linalg::{Accumulate, View, ViewMut, multiply};
use upnext_math::seed::Random;

use super::{Dropout, Dropped, Linear};
use crate::parameters::add;
use crate::{Gradients, Parameters};

/// Which positions of a sequence a position sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// All that are there.
    Full,
    /// Those up to itself.
    Causal,
}

impl Mask {
    /// How many positions, from the first, a row sees of those that are there.
    pub(super) fn n_seen(self, row: usize, n_there: usize) -> usize {
        match self {
            Self::Full => n_there,
            Self::Causal => n_there.min(row + 1),
        }
    }
}

/// Queries, keys and values from one input, heads side by side, and a last projection.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    n_heads: usize,
    dropout: Dropout,
    mask: Mask,
}

/// What backward needs of an attention.
#[derive(Clone, Debug)]
pub struct AttentionTape {
    queries: Matrix,
    keys: Matrix,
    values: Matrix,
    /// Weights of each sequence and head, `(length, length)`, before dropout.
    weights: Vec<f32>,
    dropped: Option<Dropped>,
    mixed: Matrix,
}

impl Attention {
    /// Heads of `dimension / n_heads` numbers each.
    ///
    /// # Panics
    /// If the dimension is not a multiple of the number of heads.
    pub fn new(
        parameters: &mut Parameters,
        name: &str,
        dimension: usize,
        n_heads: usize,
        (mask, dropout): (Mask, Dropout),
        random: &mut Random,
    ) -> Self {
        assert!(dimension.is_multiple_of(n_heads), "{dimension} numbers for {n_heads} heads");
        let mut linear = |part: &str| {
            Linear::new(parameters, &format!("{name}.{part}"), (dimension, dimension), true, random)
        };
        let (query, key, value, output) = (linear("query"), linear("key"), linear("value"), linear("output"));
        Self { query, key, value, output, n_heads, dropout, mask }
    }

    /// `input` holds sequences of `length` rows each, one after another; of sequence `i` the first `n_there[i]` rows
    /// are there, and the others are padding, which nobody sees. `bias`, if any, is added to the logits of each head:
    /// `(heads, length, length)`.
    pub fn forward(
        &self,
        parameters: &Parameters,
        input: &Matrix,
        (length, n_there): (usize, &[usize]),
        bias: Option<&[f32]>,
        random: Option<&mut Random>,
    ) -> (Matrix, AttentionTape) {
        let (d, size) = (input.n_columns(), input.n_columns() / self.n_heads);
        let precision = parameters.precision();
        let queries = self.query.forward(parameters, input);
        let keys = self.key.forward(parameters, input);
        let values = self.value.forward(parameters, input);
        let square = length * length;
        let mut weights = Matrix::zeros(n_there.len() * self.n_heads, square);
        for (at, weights) in weights.values_mut().chunks_exact_mut(square.max(1)).enumerate() {
            let (sequence, head) = (at / self.n_heads, at % self.n_heads);
            let part = sequence * length * d + head * size;
            let q = View::new(&queries.values()[part..], length, size, d);
            let k = View::new(&keys.values()[part..], length, size, d);
            let scale = 1.0 / (size as f32).sqrt();
            let logits = ViewMut::new(weights, length, length, length);
            multiply(logits, Accumulate::Replace, q, k.t(), scale, precision);
            if let Some(bias) = bias {
                add(weights, &bias[head * square..(head + 1) * square]);
            }
            for (row, weights) in weights.chunks_exact_mut(length).enumerate() {
                softmax_of_seen(weights, self.mask.n_seen(row, n_there[sequence]));
            }
        }
        let dropped = self.dropout.draw(random);
        let (mut dropping, mut left) = (dropped.clone(), vec![0.0; square]);
        let mut mixed = Matrix::zeros(input.n_rows(), d);
        for (at, weights) in weights.values().chunks_exact(square.max(1)).enumerate() {
            left.copy_from_slice(weights);
            if let Some(dropping) = &mut dropping {
                dropping.apply(&mut left);
            }
            let part = at / self.n_heads * length * d + at % self.n_heads * size;
            let weights = View::new(&left, length, length, length);
            let v = View::new(&values.values()[part..], length, size, d);
            let out = ViewMut::new(&mut mixed.values_mut()[part..], length, size, d);
            multiply(out, Accumulate::Replace, weights, v, 1.0, precision);
        }
        let output = self.output.forward(parameters, &mixed);
        let weights = weights.into_values();
        (output, AttentionTape { queries, keys, values, weights, dropped, mixed })
    }

    /// The gradient of the input; that of the bias is added to `of_bias`.
    #[expect(clippy::too_many_arguments, reason = "all that forward was given")]
    pub fn backward(
        &self,
        parameters: &Parameters,
        input: &Matrix,
        (length, n_there): (usize, &[usize]),
        tape: &AttentionTape,
        gradient: &Matrix,
        gradients: &mut Gradients,
        mut of_bias: Option<&mut [f32]>,
    ) -> Matrix {
        let (d, size) = (input.n_columns(), input.n_columns() / self.n_heads);
        let precision = parameters.precision();
        let square = length * length;
        let of_mixed = self.output.backward(parameters, &tape.mixed, gradient, gradients);
        let zeros = || Matrix::zeros(input.n_rows(), d);
        let (mut of_queries, mut of_keys, mut of_values) = (zeros(), zeros(), zeros());
        let (mut left, mut of_weights) = (vec![0.0; square], vec![0.0; square]);
        let mut dropping = tape.dropped.clone();
        for at in 0..n_there.len() * self.n_heads {
            let (sequence, head) = (at / self.n_heads, at % self.n_heads);
            let part = sequence * length * d + head * size;
            let weights = &tape.weights[at * square..(at + 1) * square];
            left.copy_from_slice(weights);
            // Weights and their gradients are left out by the same draw.
            let mut again = dropping.clone();
            if let Some(dropping) = &mut dropping {
                dropping.apply(&mut left);
            }
            let of_out = View::new(&of_mixed.values()[part..], length, size, d);
            let weights_view = View::new(&left, length, length, length);
            let out = ViewMut::new(&mut of_values.values_mut()[part..], length, size, d);
            multiply(out, Accumulate::Replace, weights_view.t(), of_out, 1.0, precision);
            let v = View::new(&tape.values.values()[part..], length, size, d);
            let out = ViewMut::new(&mut of_weights, length, length, length);
            multiply(out, Accumulate::Replace, of_out, v.t(), 1.0, precision);
            if let Some(again) = &mut again {
                again.apply(&mut of_weights);
            }
            // Through the softmax: w (g - Σ w g).
            let rows = of_weights.chunks_exact_mut(length).zip(weights.chunks_exact(length));
            for (row, (of_weights, weights)) in rows.enumerate() {
                let n = self.mask.n_seen(row, n_there[sequence]);
                let along: f32 = of_weights[..n].iter().zip(weights).map(|(g, w)| g * w).sum();
                of_weights.iter_mut().zip(weights).for_each(|(g, w)| *g = w * (*g - along));
                of_weights[n..].fill(0.0);
            }
            if let Some(of_bias) = &mut of_bias {
                add(&mut of_bias[head * square..(head + 1) * square], &of_weights);
            }
            let scale = 1.0 / (size as f32).sqrt();
            let of_logits = View::new(&of_weights, length, length, length);
            let q = View::new(&tape.queries.values()[part..], length, size, d);
            let k = View::new(&tape.keys.values()[part..], length, size, d);
            let out = ViewMut::new(&mut of_queries.values_mut()[part..], length, size, d);
            multiply(out, Accumulate::Replace, of_logits, k, scale, precision);
            let out = ViewMut::new(&mut of_keys.values_mut()[part..], length, size, d);
            multiply(out, Accumulate::Replace, of_logits.t(), q, scale, precision);
        }
        let mut of_input = self.query.backward(parameters, input, &of_queries, gradients);
        for (layer, gradient) in [(self.key, of_keys), (self.value, of_values)] {
            add(of_input.values_mut(), layer.backward(parameters, input, &gradient, gradients).values());
        }
        of_input
    }
}

/// The softmax of the first `n`, zero for the others.
pub(super) fn softmax_of_seen(logits: &mut [f32], n: usize) {
    let (seen, unseen) = logits.split_at_mut(n);
    unseen.fill(0.0);
    let most = max(seen);
    let share = 1.0 / exp_of_differences(seen, most);
    seen.iter_mut().for_each(|x| *x *= share);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{assert_close, assert_gradients, difference, input};

    const NONE: Dropout = Dropout { probability: 0.0 };

    fn layer(mask: Mask, dropout: Dropout) -> (Parameters, Attention) {
        let mut parameters = Parameters::new();
        let random = &mut Random::new(3);
        let layer = Attention::new(&mut parameters, "a", 6, 2, (mask, dropout), random);
        (parameters, layer)
    }

    #[test]
    fn gradients_are_those_of_small_differences() {
        let n_there = [4, 2];
        let bias = input(2, 16, 8);
        for (mask, probability) in [(Mask::Full, 0.0), (Mask::Causal, 0.0), (Mask::Causal, 0.4)] {
            let (mut parameters, layer) = layer(mask, Dropout { probability });
            let forward = |p: &Parameters, x: &Matrix| {
                layer.forward(p, x, (4, &n_there), Some(bias.values()), Some(&mut Random::new(5)))
            };
            assert_gradients(
                &mut parameters,
                &mut input(8, 6, 2),
                |p, x| forward(p, x).0,
                |p, x, gradient, gradients| {
                    let tape = forward(p, x).1;
                    layer.backward(p, x, (4, &n_there), &tape, gradient, gradients, None)
                },
            );
        }
    }

    #[test]
    fn the_gradient_of_the_bias_is_that_of_small_differences() {
        let (parameters, layer) = layer(Mask::Causal, NONE);
        let (x, weights, n_there) = (input(8, 6, 2), input(8, 6, 9), [4, 2]);
        let mut bias = input(2, 16, 8);
        let forward =
            |bias: &Matrix| layer.forward(&parameters, &x, (4, &n_there), Some(bias.values()), None);
        let mut of_bias = vec![0.0; 32];
        let (tape, mut gradients) = (forward(&bias).1, Gradients::zeros(&parameters));
        let into = Some(&mut of_bias[..]);
        layer.backward(&parameters, &x, (4, &n_there), &tape, &weights, &mut gradients, into);
        let loss = |output: &Matrix| -> f64 {
            output.values().iter().zip(weights.values()).map(|(y, w)| f64::from(y * w)).sum()
        };
        for (at, analytic) in of_bias.into_iter().enumerate() {
            let numeric = difference(&mut bias, at, |bias| loss(&forward(bias).0));
            assert_close(analytic, numeric, || format!("bias {at}"));
        }
    }

    #[test]
    fn padding_changes_nothing_and_the_future_is_not_seen() {
        let (parameters, layer) = layer(Mask::Causal, NONE);
        let x = input(4, 6, 2);
        let of = |x: &Matrix, n_there| layer.forward(&parameters, x, (4, &[n_there]), None, None).0;
        let (whole, part) = (of(&x, 4), of(&x, 2));
        assert_eq!(whole.values()[..12], part.values()[..12], "rows see only what is before them");
        let mut other = x.clone();
        other.row_mut(3).fill(7.0);
        assert_eq!(of(&other, 4).values()[..18], whole.values()[..18]);
        let (parameters, layer) = self::layer(Mask::Full, NONE);
        let of = |x: &Matrix, length| layer.forward(&parameters, x, (length, &[2]), None, None).0;
        let short = Matrix::from_rows(2, 6, x.values()[..12].to_vec());
        let padded = of(&x, 4);
        let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-6;
        assert!(of(&short, 2).values().iter().zip(padded.values()).all(close));
    }
}
