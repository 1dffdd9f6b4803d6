//! Normalisation of each row.

use upnext_math::Matrix;
use upnext_math::dot::{dot, sum};

use crate::{Gradients, Id, Kind, Parameters};

const EPSILON: f32 = 1e-5;

/// What backward needs of a normalisation.
#[derive(Clone, Debug)]
pub struct NormTape {
    /// Rows before scale and shift.
    normalised: Matrix,
    /// One over the deviation, or over the root mean square, of each row.
    inverse: Vec<f32>,
}

/// Mean 0, variance 1, then a scale and a shift for each column (Ba et al. 2016).
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    scale: Id,
    shift: Id,
}

impl LayerNorm {
    /// Scale 1, shift 0.
    pub fn new(parameters: &mut Parameters, name: &str, dimension: usize) -> Self {
        let ones = Matrix::from_rows(1, dimension, vec![1.0; dimension]);
        Self {
            scale: parameters.add(format!("{name}.weight"), Kind::Dense, ones),
            shift: parameters.add(format!("{name}.bias"), Kind::Dense, Matrix::zeros(1, dimension)),
        }
    }

    /// Normalises each row.
    pub fn forward(&self, parameters: &Parameters, input: &Matrix) -> (Matrix, NormTape) {
        let (mut output, tape) = normalised(input, parameters.get(self.scale).values(), true);
        let shift = parameters.get(self.shift).values();
        output.values_mut().chunks_exact_mut(shift.len()).for_each(|row| crate::parameters::add(row, shift));
        (output, tape)
    }

    /// What came out, made again.
    pub fn again(&self, parameters: &Parameters, tape: &NormTape) -> Matrix {
        let (scale, shift) = (parameters.get(self.scale).values(), parameters.get(self.shift).values());
        let mut output = tape.normalised.clone();
        for row in output.values_mut().chunks_exact_mut(shift.len()) {
            row.iter_mut().zip(scale).zip(shift).for_each(|((x, scale), shift)| *x = *x * scale + shift);
        }
        output
    }

    /// The gradient of the input.
    pub fn backward(
        &self,
        parameters: &Parameters,
        tape: &NormTape,
        gradient: &Matrix,
        gradients: &mut Gradients,
    ) -> Matrix {
        let of_shift = gradients.dense(self.shift).values_mut();
        let n = of_shift.len();
        gradient.values().chunks_exact(n).for_each(|row| crate::parameters::add(of_shift, row));
        let scale = parameters.get(self.scale).values();
        backward(tape, scale, gradient, gradients.dense(self.scale).values_mut(), true)
    }
}

/// Root mean square 1, then a scale for each column (Zhang & Sennrich 2019).
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    scale: Id,
}

impl RmsNorm {
    /// Scale 1.
    pub fn new(parameters: &mut Parameters, name: &str, dimension: usize) -> Self {
        let ones = Matrix::from_rows(1, dimension, vec![1.0; dimension]);
        Self { scale: parameters.add(format!("{name}.weight"), Kind::Dense, ones) }
    }

    /// Normalises each row.
    pub fn forward(&self, parameters: &Parameters, input: &Matrix) -> (Matrix, NormTape) {
        normalised(input, parameters.get(self.scale).values(), false)
    }

    /// The gradient of the input.
    pub fn backward(
        &self,
        parameters: &Parameters,
        tape: &NormTape,
        gradient: &Matrix,
        gradients: &mut Gradients,
    ) -> Matrix {
        let scale = parameters.get(self.scale).values();
        backward(tape, scale, gradient, gradients.dense(self.scale).values_mut(), false)
    }
}

/// The normalised rows times a scale.
fn normalised(input: &Matrix, scale: &[f32], is_centred: bool) -> (Matrix, NormTape) {
    let n = input.n_columns();
    let mut normalised = input.clone();
    let mut inverse = Vec::with_capacity(input.n_rows());
    for row in normalised.values_mut().chunks_exact_mut(n) {
        if is_centred {
            let mean = sum(row) / n as f32;
            row.iter_mut().for_each(|x| *x -= mean);
        }
        let square = dot(row, row) / n as f32;
        let by = 1.0 / (square + EPSILON).sqrt();
        row.iter_mut().for_each(|x| *x *= by);
        inverse.push(by);
    }
    let mut output = normalised.clone();
    for row in output.values_mut().chunks_exact_mut(n) {
        row.iter_mut().zip(scale).for_each(|(x, scale)| *x *= scale);
    }
    (output, NormTape { normalised, inverse })
}

fn backward(
    tape: &NormTape,
    scale: &[f32],
    gradient: &Matrix,
    of_scale: &mut [f32],
    is_centred: bool,
) -> Matrix {
    let n = scale.len();
    let mut of_input = gradient.clone();
    let rows = of_input.values_mut().chunks_exact_mut(n).zip(tape.normalised.values().chunks_exact(n));
    for ((row, normalised), by) in rows.zip(&tape.inverse) {
        for (of_scale, (x, normalised)) in of_scale.iter_mut().zip(row.iter().zip(normalised)) {
            *of_scale += x * normalised;
        }
        row.iter_mut().zip(scale).for_each(|(x, scale)| *x *= scale);
        // What the mean and the deviation take away of a change.
        let mean = if is_centred { sum(row) / n as f32 } else { 0.0 };
        let along = dot(row, normalised) / n as f32;
        row.iter_mut().zip(normalised).for_each(|(x, normalised)| *x = by * (*x - mean - along * normalised));
    }
    of_input
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{assert_gradients, input};

    #[test]
    fn a_worked_example() {
        let mut parameters = Parameters::new();
        let (layer, rms) = (LayerNorm::new(&mut parameters, "n", 2), RmsNorm::new(&mut parameters, "r", 2));
        let x = Matrix::from_rows(1, 2, vec![3.0, 7.0]);
        let (output, tape) = layer.forward(&parameters, &x);
        assert_eq!(layer.again(&parameters, &tape), output);
        (*parameters.get_mut(layer.scale), *parameters.get_mut(layer.shift)) =
            (input(1, 2, 8), input(1, 2, 9));
        let (scaled, tape) = layer.forward(&parameters, &x);
        assert_eq!(layer.again(&parameters, &tape), scaled);
        assert!(output.values().iter().zip([-1.0, 1.0]).all(|(y, e): (&f32, f32)| (y - e).abs() < 1e-5));
        let (output, _) = rms.forward(&parameters, &x);
        // The root of (9 + 49) / 2.
        assert!((output.values()[0] - 3.0 / 29.0_f32.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn gradients_are_those_of_small_differences() {
        let mut parameters = Parameters::new();
        let layer = LayerNorm::new(&mut parameters, "n", 6);
        *parameters.get_mut(layer.scale) = input(1, 6, 7);
        assert_gradients(
            &mut parameters,
            &mut input(3, 6, 2),
            |p, x| layer.forward(p, x).0,
            |p, x, gradient, gradients| layer.backward(p, &layer.forward(p, x).1, gradient, gradients),
        );
        let mut parameters = Parameters::new();
        let layer = RmsNorm::new(&mut parameters, "n", 6);
        *parameters.get_mut(layer.scale) = input(1, 6, 7);
        assert_gradients(
            &mut parameters,
            &mut input(3, 6, 2),
            |p, x| layer.forward(p, x).0,
            |p, x, gradient, gradients| layer.backward(p, &layer.forward(p, x).1, gradient, gradients),
        );
    }
}
