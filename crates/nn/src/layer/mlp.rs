//! Linear layers one after another, with an activation and a dropout between them.

use upnext_math::Matrix;
use upnext_math::seed::Random;

use super::{Activation, Dropout, Dropped, Linear};
use crate::{Gradients, Parameters};

/// A multi-layer perceptron.
#[derive(Clone, Debug)]
pub struct Mlp {
    layers: Vec<Layer>,
}

#[derive(Clone, Copy, Debug)]
struct Layer {
    linear: Linear,
    /// What follows; a last layer may give its numbers as they are.
    activation: Option<Activation>,
    dropout: Dropout,
}

/// How one is made.
#[derive(Clone, Copy, Debug)]
pub struct MlpShape<'a> {
    /// Numbers that come in, those of each layer, and those that go out.
    pub widths: &'a [usize],
    /// After each layer but the last.
    pub activation: Activation,
    /// After the last layer.
    pub last: Option<Activation>,
    /// After the activation of the first so many layers.
    pub dropout: (Dropout, usize),
}

/// What backward needs of one: of each layer its input, what came before the activation, and what was left out.
#[derive(Clone, Debug)]
pub struct MlpTape(Vec<(Matrix, Option<Matrix>, Option<Dropped>)>);

impl Mlp {
    /// With names `NAME.0`, `NAME.1` and so on.
    pub fn new(parameters: &mut Parameters, name: &str, shape: MlpShape, random: &mut Random) -> Self {
        let n = shape.widths.len().saturating_sub(1);
        let (dropout, n_dropped) = shape.dropout;
        let layers = shape.widths.windows(2).enumerate().map(|(at, widths)| Layer {
            linear: Linear::new(parameters, &format!("{name}.{at}"), (widths[0], widths[1]), true, random),
            activation: if at + 1 < n { Some(shape.activation) } else { shape.last },
            dropout: if at < n_dropped { dropout } else { Dropout { probability: 0.0 } },
        });
        Self { layers: layers.collect() }
    }

    /// Whether there is no layer: what comes in goes out.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// `(rows, first width)` to `(rows, last width)`. Without a source of chance nothing is left out.
    pub fn forward(
        &self,
        parameters: &Parameters,
        input: Matrix,
        mut random: Option<&mut Random>,
    ) -> (Matrix, MlpTape) {
        let (mut x, mut tape) = (input, Vec::with_capacity(self.layers.len()));
        for layer in &self.layers {
            let before = layer.linear.forward(parameters, &x);
            let (mut after, before) = match layer.activation {
                Some(activation) => (activation.forward(&before), Some(before)),
                None => (before, None),
            };
            let dropped = layer.dropout.forward(&mut after, random.as_deref_mut());
            tape.push((x, before, dropped));
            x = after;
        }
        (x, MlpTape(tape))
    }

    /// What comes out, without what backward needs.
    pub fn infer(&self, parameters: &Parameters, input: &Matrix) -> Matrix {
        let mut x = None;
        for layer in &self.layers {
            let before = layer.linear.forward(parameters, x.as_ref().unwrap_or(input));
            x = Some(
                layer.activation.map_or_else(|| before.clone(), |activation| activation.forward(&before)),
            );
        }
        x.unwrap_or_else(|| input.clone())
    }

    /// The gradient of the input, or nothing where nobody asks for it.
    pub fn backward(
        &self,
        parameters: &Parameters,
        tape: &MlpTape,
        gradient: Matrix,
        gradients: &mut Gradients,
        is_asked: bool,
    ) -> Option<Matrix> {
        let mut of_x = gradient;
        for (at, (layer, (input, before, dropped))) in self.layers.iter().zip(&tape.0).enumerate().rev() {
            Dropout::backward(dropped.as_ref(), &mut of_x);
            if let (Some(activation), Some(before)) = (layer.activation, before) {
                of_x = activation.backward(before, of_x);
            }
            if at == 0 && !is_asked {
                layer.linear.backward_weights(parameters, input, &of_x, gradients);
                return None;
            }
            of_x = layer.linear.backward(parameters, input, &of_x, gradients);
        }
        Some(of_x)
    }
}

/// Rows scaled to unit length, as `x / max(|x|, ε)`.
pub fn normalise(rows: &Matrix) -> Matrix {
    let mut unit = rows.clone();
    for row in unit.values_mut().chunks_exact_mut(rows.n_columns().max(1)) {
        let scale = 1.0 / length(row);
        row.iter_mut().for_each(|x| *x *= scale);
    }
    unit
}

/// The gradient of rows before [`normalise`].
pub fn normalise_backward(rows: &Matrix, gradient: &Matrix) -> Matrix {
    let mut of_rows = gradient.clone();
    let n = rows.n_columns().max(1);
    for (of_row, row) in of_rows.values_mut().chunks_exact_mut(n).zip(rows.values().chunks_exact(n)) {
        let scale = 1.0 / length(row);
        let along = scale * scale * row.iter().zip(&*of_row).map(|(x, g)| x * g).sum::<f32>();
        of_row.iter_mut().zip(row).for_each(|(g, x)| *g = scale * (*g - along * x));
    }
    of_rows
}

/// What keeps a row of zeros finite.
const LENGTH_MIN: f32 = 1e-6;

fn length(row: &[f32]) -> f32 {
    row.iter().map(|x| x * x).sum::<f32>().sqrt().max(LENGTH_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{assert_close, assert_gradients, difference, input};

    #[test]
    fn gradients_are_those_of_small_differences_and_inference_is_forward_without_chance() {
        let mut parameters = Parameters::new();
        let shape = MlpShape {
            widths: &[3, 5, 4, 2],
            activation: Activation::Gelu,
            last: None,
            dropout: (Dropout { probability: 0.5 }, 1),
        };
        let mlp = Mlp::new(&mut parameters, "m", shape, &mut Random::new(1));
        assert_gradients(
            &mut parameters,
            &mut input(4, 3, 2),
            |p, x| mlp.forward(p, x.clone(), Some(&mut Random::new(9))).0,
            |p, x, gradient, gradients| {
                let tape = mlp.forward(p, x.clone(), Some(&mut Random::new(9))).1;
                mlp.backward(p, &tape, gradient.clone(), gradients, true).unwrap()
            },
        );
        let x = input(4, 3, 2);
        assert_eq!(mlp.infer(&parameters, &x), mlp.forward(&parameters, x, None).0);
    }

    #[test]
    fn the_gradient_of_unit_rows_is_that_of_small_differences() {
        let (mut rows, weights) = (input(3, 4, 1), input(3, 4, 2));
        let loss = |rows: &Matrix| {
            let unit = normalise(rows);
            unit.values().iter().zip(weights.values()).map(|(x, w)| f64::from(x * w)).sum::<f64>()
        };
        let of_rows = normalise_backward(&rows, &weights);
        for at in 0..12 {
            let numeric = difference(&mut rows, at, loss);
            assert_close(of_rows.values()[at], numeric, || format!("number {at}"));
        }
        assert!(normalise(&Matrix::zeros(1, 3)).values() == [0.0; 3]);
    }
}
