//! A feed-forward block with a gate (Shazeer 2020).

use upnext_math::Matrix;
use upnext_math::seed::Random;

use super::{Activation, Linear};
use crate::parameters::times;
use crate::{Gradients, Parameters};

/// `(silu(x W) * x V) U`.
#[derive(Clone, Copy, Debug)]
pub struct SwiGlu {
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// What backward needs of a block.
#[derive(Clone, Debug)]
pub struct SwiGluTape {
    before: Matrix,
    gate: Matrix,
    up: Matrix,
    hidden: Matrix,
}

impl SwiGlu {
    /// With so many hidden numbers.
    pub fn new(
        parameters: &mut Parameters,
        name: &str,
        (dimension, hidden): (usize, usize),
        random: &mut Random,
    ) -> Self {
        let mut linear =
            |part: &str, shape| Linear::new(parameters, &format!("{name}.{part}"), shape, false, random);
        Self {
            gate: linear("gate", (dimension, hidden)),
            up: linear("up", (dimension, hidden)),
            down: linear("down", (hidden, dimension)),
        }
    }

    /// Of each row.
    pub fn forward(&self, parameters: &Parameters, input: &Matrix) -> (Matrix, SwiGluTape) {
        let before = self.gate.forward(parameters, input);
        let (gate, up) = (Activation::Silu.forward(&before), self.up.forward(parameters, input));
        let hidden = times(&gate, &up);
        let output = self.down.forward(parameters, &hidden);
        (output, SwiGluTape { before, gate, up, hidden })
    }

    /// The gradient of the input.
    pub fn backward(
        &self,
        parameters: &Parameters,
        input: &Matrix,
        tape: &SwiGluTape,
        gradient: &Matrix,
        gradients: &mut Gradients,
    ) -> Matrix {
        let of_hidden = self.down.backward(parameters, &tape.hidden, gradient, gradients);
        let of_before = Activation::Silu.backward(&tape.before, times(&of_hidden, &tape.up));
        let mut of_input = self.gate.backward(parameters, input, &of_before, gradients);
        let more = self.up.backward(parameters, input, &times(&of_hidden, &tape.gate), gradients);
        crate::parameters::add(of_input.values_mut(), more.values());
        of_input
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{assert_gradients, input};

    #[test]
    fn gradients_are_those_of_small_differences() {
        let mut parameters = Parameters::new();
        let layer = SwiGlu::new(&mut parameters, "s", (4, 6), &mut Random::new(1));
        assert_gradients(
            &mut parameters,
            &mut input(3, 4, 2),
            |p, x| layer.forward(p, x).0,
            |p, x, gradient, gradients| layer.backward(p, x, &layer.forward(p, x).1, gradient, gradients),
        );
    }
}
