//! `y = x W' + b`.

use upnext_math::Matrix;
use upnext_math::linalg::{Accumulate, multiply};
use upnext_math::seed::Random;

use crate::parameters::add;
use crate::{Gradients, Id, Kind, Parameters};

/// A matrix and a bias; `weight` is `(outputs, inputs)`, as others store it.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    weight: Id,
    bias: Option<Id>,
}

impl Linear {
    /// Weights are uniform within ±1/√inputs, as the bias is (LeCun et al. 1998; what PyTorch does).
    pub fn new(
        parameters: &mut Parameters,
        name: &str,
        (inputs, outputs): (usize, usize),
        has_bias: bool,
        random: &mut Random,
    ) -> Self {
        let bound = 1.0 / (inputs.max(1) as f32).sqrt();
        let mut uniform = |n: usize| (0..n).map(|_| bound * (2.0 * random.uniform() - 1.0)).collect();
        let weight = Matrix::from_rows(outputs, inputs, uniform(outputs * inputs));
        let bias = has_bias.then(|| Matrix::from_rows(1, outputs, uniform(outputs)));
        Self {
            weight: parameters.add(format!("{name}.weight"), Kind::Dense, weight),
            bias: bias.map(|bias| parameters.add(format!("{name}.bias"), Kind::Dense, bias)),
        }
    }

    /// The weights, `(outputs, inputs)`.
    pub fn weight(&self) -> Id {
        self.weight
    }

    /// The bias, where there is one.
    pub fn bias(&self) -> Option<Id> {
        self.bias
    }

    /// `(rows, inputs)` to `(rows, outputs)`.
    pub fn forward(&self, parameters: &Parameters, input: &Matrix) -> Matrix {
        let weight = parameters.get(self.weight);
        let mut output = Matrix::zeros(input.n_rows(), weight.n_rows());
        let mut accumulate = Accumulate::Replace;
        if let Some(bias) = self.bias {
            let bias = parameters.get(bias).values();
            output.values_mut().chunks_exact_mut(bias.len()).for_each(|row| row.copy_from_slice(bias));
            accumulate = Accumulate::Add;
        }
        multiply(&mut output, accumulate, input.into(), linalg(weight).t(), 1.0, parameters.precision());
        output
    }

    /// The gradient of the input, from that of the output.
    pub fn backward(
        &self,
        parameters: &Parameters,
        input: &Matrix,
        gradient: &Matrix,
        gradients: &mut Gradients,
    ) -> Matrix {
        self.backward_weights(parameters, input, gradient, gradients);
        let weight = parameters.get(self.weight);
        let mut of_input = Matrix::zeros(input.n_rows(), input.n_columns());
        multiply(
            &mut of_input,
            Accumulate::Replace,
            gradient.into(),
            weight.into(),
            1.0,
            parameters.precision(),
        );
        of_input
    }

    /// Adds the gradients of the weights alone, where nobody asks for that of the input.
    pub fn backward_weights(
        &self,
        parameters: &Parameters,
        input: &Matrix,
        gradient: &Matrix,
        gradients: &mut Gradients,
    ) {
        let of_weight = gradients.dense(self.weight);
        multiply(of_weight, Accumulate::Add, linalg(gradient).t(), input.into(), 1.0, parameters.precision());
        if let Some(bias) = self.bias {
            let of_bias = gradients.dense(bias).values_mut();
            gradient.values().chunks_exact(of_bias.len()).for_each(|row| add(of_bias, row));
        }
    }
}

fn linalg(matrix: &Matrix) -> upnext_math::linalg::View<'_> {
    matrix.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{assert_gradients, input};

    #[test]
    fn a_worked_example() {
        let mut parameters = Parameters::new();
        let layer = Linear::new(&mut parameters, "l", (2, 3), true, &mut Random::new(1));
        *parameters.get_mut(layer.weight) = Matrix::from_rows(3, 2, vec![1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        *parameters.get_mut(layer.bias.unwrap()) = Matrix::from_rows(1, 3, vec![0.0, 0.0, 10.0]);
        let output = layer.forward(&parameters, &Matrix::from_rows(1, 2, vec![2.0, 5.0]));
        assert_eq!(output.values(), [2.0, 5.0, 17.0]);
    }

    #[test]
    fn gradients_are_those_of_small_differences() {
        for has_bias in [true, false] {
            let mut parameters = Parameters::new();
            let layer = Linear::new(&mut parameters, "l", (4, 3), has_bias, &mut Random::new(1));
            assert_gradients(
                &mut parameters,
                &mut input(5, 4, 2),
                |p, x| layer.forward(p, x),
                |p, x, gradient, gradients| layer.backward(p, x, gradient, gradients),
            );
        }
    }
}
