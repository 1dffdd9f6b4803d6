//! A sequence as one row: its positions weighted by what they say.

use upnext_math::Matrix;
use upnext_math::seed::Random;

use super::attention::softmax_of_seen;
use super::{Activation, Linear};
use crate::{Gradients, Parameters};

/// Additive attention with one learnt query: `Σ softmax(v · tanh(W x + b)) x` (Yang et al. 2016).
#[derive(Clone, Copy, Debug)]
pub struct AttentionPooling {
    hidden: Linear,
    score: Linear,
}

/// What backward needs of a pooling.
#[derive(Clone, Debug)]
pub struct PoolingTape {
    before: Matrix,
    weights: Matrix,
}

impl AttentionPooling {
    /// With as many hidden numbers as inputs.
    pub fn new(parameters: &mut Parameters, name: &str, dimension: usize, random: &mut Random) -> Self {
        let both = (dimension, dimension);
        Self {
            hidden: Linear::new(parameters, &format!("{name}.hidden"), both, true, random),
            score: Linear::new(parameters, &format!("{name}.score"), (dimension, 1), false, random),
        }
    }

    /// `input` holds sequences of `length` rows; of sequence `i` the first `n_there[i]` count. Without any the row is
    /// zero.
    pub fn forward(
        &self,
        parameters: &Parameters,
        input: &Matrix,
        (length, n_there): (usize, &[usize]),
    ) -> (Matrix, PoolingTape) {
        let before = self.hidden.forward(parameters, input);
        let hidden = Activation::Tanh.forward(&before);
        let scores = self.score.forward(parameters, &hidden);
        let mut weights = Matrix::from_rows(n_there.len(), length, scores.into_values());
        let mut output = Matrix::zeros(n_there.len(), input.n_columns());
        for (sequence, &n) in n_there.iter().enumerate() {
            softmax_of_seen(weights.row_mut(sequence), n);
            let pooled = output.row_mut(sequence);
            for (at, &weight) in weights.row(sequence)[..n].iter().enumerate() {
                let row = input.row(sequence * length + at);
                pooled.iter_mut().zip(row).for_each(|(pooled, x)| *pooled += weight * x);
            }
        }
        (output, PoolingTape { before, weights })
    }

    /// The gradient of the input.
    pub fn backward(
        &self,
        parameters: &Parameters,
        input: &Matrix,
        (length, n_there): (usize, &[usize]),
        tape: &PoolingTape,
        gradient: &Matrix,
        gradients: &mut Gradients,
    ) -> Matrix {
        let mut of_input = Matrix::zeros(input.n_rows(), input.n_columns());
        let mut of_scores = Matrix::zeros(input.n_rows(), 1);
        for (sequence, &n) in n_there.iter().enumerate() {
            let (gradient, weights) = (gradient.row(sequence), &tape.weights.row(sequence)[..n]);
            let rows = sequence * length..;
            let along: Vec<f32> = (rows.clone().zip(weights))
                .map(|(row, _)| input.row(row).iter().zip(gradient).map(|(x, g)| x * g).sum())
                .collect();
            let mean: f32 = along.iter().zip(weights).map(|(along, weight)| along * weight).sum();
            for ((row, &weight), along) in rows.zip(weights).zip(along) {
                of_scores.row_mut(row)[0] = weight * (along - mean);
                let of_row = of_input.row_mut(row).iter_mut().zip(gradient);
                of_row.for_each(|(of_row, gradient)| *of_row += weight * gradient);
            }
        }
        let hidden = Activation::Tanh.forward(&tape.before);
        let of_hidden = self.score.backward(parameters, &hidden, &of_scores, gradients);
        let of_before = Activation::Tanh.backward(&tape.before, of_hidden);
        let more = self.hidden.backward(parameters, input, &of_before, gradients);
        crate::parameters::add(of_input.values_mut(), more.values());
        of_input
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{assert_gradients, input};

    #[test]
    fn gradients_are_those_of_small_differences_and_padding_counts_for_nothing() {
        let mut parameters = Parameters::new();
        let layer = AttentionPooling::new(&mut parameters, "p", 4, &mut Random::new(1));
        let n_there = [3, 1, 0];
        assert_gradients(
            &mut parameters,
            &mut input(9, 4, 2),
            |p, x| layer.forward(p, x, (3, &n_there)).0,
            |p, x, gradient, gradients| {
                let tape = layer.forward(p, x, (3, &n_there)).1;
                layer.backward(p, x, (3, &n_there), &tape, gradient, gradients)
            },
        );
        let x = input(9, 4, 2);
        let (pooled, _) = layer.forward(&parameters, &x, (3, &n_there));
        assert_eq!(pooled.row(1), x.row(3), "one position is all there is");
        assert_eq!(pooled.row(2), [0.0; 4]);
    }
}
