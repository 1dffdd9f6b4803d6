//! What a layer adds to its input, by a gate (LiGR, Borisyuk et al. 2025; eSASRec).

use upnext_math::Matrix;
use upnext_math::seed::Random;

use super::{Activation, Linear};
use crate::parameters::times;
use crate::{Gradients, Parameters};

/// `x + σ(W x) f`, where `f` is what a layer made of `x`.
#[derive(Clone, Copy, Debug)]
pub struct GatedResidual {
    gate: Linear,
}

/// What backward needs of a gate.
#[derive(Clone, Debug)]
pub struct GatedTape {
    before: Matrix,
    gate: Matrix,
}

impl GatedResidual {
    /// A gate for each number.
    pub fn new(parameters: &mut Parameters, name: &str, dimension: usize, random: &mut Random) -> Self {
        let shape = (dimension, dimension);
        Self { gate: Linear::new(parameters, &format!("{name}.gate"), shape, true, random) }
    }

    /// Both together.
    pub fn forward(&self, parameters: &Parameters, input: &Matrix, made: &Matrix) -> (Matrix, GatedTape) {
        let before = self.gate.forward(parameters, input);
        let gate = Activation::Sigmoid.forward(&before);
        let mut output = input.clone();
        let each = output.values_mut().iter_mut().zip(gate.values()).zip(made.values());
        each.for_each(|((x, gate), made)| *x += gate * made);
        (output, GatedTape { before, gate })
    }

    /// The gradients of the input, without what flows through the layer that made `made`, and of `made`.
    pub fn backward(
        &self,
        parameters: &Parameters,
        (input, made): (&Matrix, &Matrix),
        tape: &GatedTape,
        gradient: &Matrix,
        gradients: &mut Gradients,
    ) -> (Matrix, Matrix) {
        let of_before = Activation::Sigmoid.backward(&tape.before, times(gradient, made));
        let mut of_input = self.gate.backward(parameters, input, &of_before, gradients);
        crate::parameters::add(of_input.values_mut(), gradient.values());
        (of_input, times(gradient, &tape.gate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{assert_gradients, input};

    #[test]
    fn gradients_are_those_of_small_differences() {
        let mut parameters = Parameters::new();
        let layer = GatedResidual::new(&mut parameters, "g", 4, &mut Random::new(1));
        // What is made is the square of the input.
        let made = |x: &Matrix| Matrix::from_rows(3, 4, x.values().iter().map(|x| x * x).collect());
        assert_gradients(
            &mut parameters,
            &mut input(3, 4, 2),
            |p, x| layer.forward(p, x, &made(x)).0,
            |p, x, gradient, gradients| {
                let (made, tape) = (made(x), layer.forward(p, x, &made(x)).1);
                let (mut of_input, of_made) = layer.backward(p, (x, &made), &tape, gradient, gradients);
                let each = of_input.values_mut().iter_mut().zip(of_made.values()).zip(x.values());
                each.for_each(|((of_input, of_made), x)| *of_input += 2.0 * x * of_made);
                of_input
            },
        );
    }
}
