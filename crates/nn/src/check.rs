//! Gradients beside small differences, in double steps of the smallest error.

use upnext_math::Matrix;
use upnext_math::seed::Random;

use crate::{Gradient, Gradients, Parameters};

/// A matrix of normal numbers.
pub(crate) fn input(n_rows: usize, n_columns: usize, seed: u64) -> Matrix {
    let mut random = Random::new(seed);
    Matrix::from_rows(n_rows, n_columns, (0..n_rows * n_columns).map(|_| random.normal()).collect())
}

/// Asserts that `backward` gives the gradient of `Σ w y` for random weights `w`, of the input and of every parameter.
pub(crate) fn assert_gradients(
    parameters: &mut Parameters,
    x: &mut Matrix,
    forward: impl Fn(&Parameters, &Matrix) -> Matrix,
    backward: impl Fn(&Parameters, &Matrix, &Matrix, &mut Gradients) -> Matrix,
) {
    let output = forward(parameters, x);
    let weights = input(output.n_rows(), output.n_columns(), 99);
    let loss = |output: &Matrix| -> f64 {
        output.values().iter().zip(weights.values()).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum()
    };
    let mut gradients = Gradients::zeros(parameters);
    let of_input = backward(parameters, x, &weights, &mut gradients);
    assert_eq!((of_input.n_rows(), of_input.n_columns()), (x.n_rows(), x.n_columns()));
    for at in 0..x.values().len() {
        let numeric = difference(x, at, |x| loss(&forward(parameters, x)));
        assert_close(of_input.values()[at], numeric, || format!("input {at}"));
    }
    assert_parameters(parameters, &gradients, |parameters| loss(&forward(parameters, x)));
}

/// Asserts that the gradients of all parameters are those of a loss.
pub(crate) fn assert_parameters(
    parameters: &mut Parameters,
    gradients: &Gradients,
    loss: impl Fn(&Parameters) -> f64,
) {
    for id in parameters.ids() {
        let (n, n_columns) = (parameters.get(id).values().len(), parameters.get(id).n_columns());
        let mut dense = vec![0.0; n];
        match gradients.get(id) {
            Gradient::Dense(gradient) => dense.copy_from_slice(gradient.values()),
            Gradient::Rows(rows) => {
                for (row, gradient) in rows.iter() {
                    dense[row as usize * n_columns..][..n_columns].copy_from_slice(gradient);
                }
            }
        }
        for (at, analytic) in dense.into_iter().enumerate() {
            let before = parameters.get(id).values()[at];
            let mut at_step = |step: f32| {
                parameters.get_mut(id).values_mut()[at] = before + step;
                loss(parameters)
            };
            let numeric = (at_step(STEP) - at_step(-STEP)) / f64::from(2.0 * STEP);
            parameters.get_mut(id).values_mut()[at] = before;
            assert_close(analytic, numeric, || format!("{} {at}", parameters.name(id)));
        }
    }
}

const STEP: f32 = 1.0 / 256.0;

/// The slope of a function of a matrix along one of its numbers.
pub(crate) fn difference(x: &mut Matrix, at: usize, loss: impl Fn(&Matrix) -> f64) -> f64 {
    let before = x.values()[at];
    let mut at_step = |step: f32| {
        x.values_mut()[at] = before + step;
        loss(x)
    };
    let numeric = (at_step(STEP) - at_step(-STEP)) / f64::from(2.0 * STEP);
    x.values_mut()[at] = before;
    numeric
}

pub(crate) fn assert_close(analytic: f32, numeric: f64, what: impl Fn() -> String) {
    let error = (f64::from(analytic) - numeric).abs();
    assert!(error < 4e-3 * (1.0 + numeric.abs()), "{}: {analytic} is not {numeric}", what());
}
