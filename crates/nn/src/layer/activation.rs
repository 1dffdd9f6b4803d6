//! Functions of each number by itself.

use upnext_math::Matrix;
use upnext_math::exp::{exp, map_in_place, sigmoid, zip_in_place};

/// Which function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `x Φ(x)` by its tanh form (Hendrycks & Gimpel 2016).
    Gelu,
    /// `x Φ(x)`, Φ by its error function (Abramowitz & Stegun 1964, 7.1.26: within 1.5e-7).
    GeluExact,
    /// `x σ(1.702 x)` (Hendrycks & Gimpel 2016).
    GeluQuick,
    /// `x σ(x)` (Elfwing et al. 2017).
    Silu,
    /// `σ(x)`.
    Sigmoid,
    /// `tanh(x)`.
    Tanh,
}

impl Activation {
    /// The function of each number.
    pub fn forward(self, input: &Matrix) -> Matrix {
        let mut output = input.clone();
        self.apply(output.values_mut());
        output
    }

    /// The same where they stand.
    pub fn apply(self, values: &mut [f32]) {
        // The choice stands outside the loop, so that each loop is wide.
        match self {
            Self::Relu => map_in_place(values, |x| Self::Relu.value(x)),
            Self::Gelu => map_in_place(values, |x| Self::Gelu.value(x)),
            Self::GeluExact => map_in_place(values, |x| Self::GeluExact.value(x)),
            Self::GeluQuick => map_in_place(values, |x| Self::GeluQuick.value(x)),
            Self::Silu => map_in_place(values, |x| Self::Silu.value(x)),
            Self::Sigmoid => map_in_place(values, |x| Self::Sigmoid.value(x)),
            Self::Tanh => map_in_place(values, |x| Self::Tanh.value(x)),
        }
    }

    /// The gradient of the input, which is given as it was.
    pub fn backward(self, input: &Matrix, mut gradient: Matrix) -> Matrix {
        let (values, x) = (gradient.values_mut(), input.values());
        match self {
            Self::Relu => zip_in_place(values, x, |gradient, x| gradient * Self::Relu.slope(x)),
            Self::Gelu => zip_in_place(values, x, |gradient, x| gradient * Self::Gelu.slope(x)),
            Self::GeluExact => zip_in_place(values, x, |gradient, x| gradient * Self::GeluExact.slope(x)),
            Self::GeluQuick => zip_in_place(values, x, |gradient, x| gradient * Self::GeluQuick.slope(x)),
            Self::Silu => zip_in_place(values, x, |gradient, x| gradient * Self::Silu.slope(x)),
            Self::Sigmoid => zip_in_place(values, x, |gradient, x| gradient * Self::Sigmoid.slope(x)),
            Self::Tanh => zip_in_place(values, x, |gradient, x| gradient * Self::Tanh.slope(x)),
        }
        gradient
    }

    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        match self {
            Self::Relu => x.max(0.0),
            Self::Gelu => x * sigmoid(2.0 * inner(x)),
            Self::GeluExact => x * normal_below(x),
            Self::GeluQuick => x * sigmoid(QUICK * x),
            Self::Silu => x * sigmoid(x),
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => 2.0 * sigmoid(2.0 * x) - 1.0,
        }
    }

    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        match self {
            Self::Relu => f32::from(u8::from(x > 0.0)),
            Self::Gelu => {
                // (1 + tanh u) / 2 is σ(2u).
                let s = sigmoid(2.0 * inner(x));
                s + x * s * (1.0 - s) * 2.0 * ROOT * (1.0 + 3.0 * CUBIC * x * x)
            }
            // φ(x) is its density.
            Self::GeluExact => normal_below(x) + x * 0.398_942_3 * exp(-0.5 * x * x),
            Self::GeluQuick => {
                let s = sigmoid(QUICK * x);
                s * (1.0 + QUICK * x * (1.0 - s))
            }
            Self::Silu => {
                let s = sigmoid(x);
                s * (1.0 + x * (1.0 - s))
            }
            Self::Sigmoid => {
                let s = sigmoid(x);
                s * (1.0 - s)
            }
            Self::Tanh => {
                let t = self.value(x);
                1.0 - t * t
            }
        }
    }
}

/// The root of 2/π.
const ROOT: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;
const QUICK: f32 = 1.702;

/// Φ(x), the share of a standard normal distribution below `x`: `(1 + erf(x / √2)) / 2`.
#[inline(always)]
fn normal_below(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let p = 1.061_405_4 * t - 1.453_152_1;
    let p = p * t + 1.421_413_8;
    let p = p * t - 0.284_496_72;
    let p = p * t + 0.254_829_6;
    let above = 0.5 * p * t * exp(-z * z);
    if x < 0.0 { above } else { 1.0 - above }
}

#[inline(always)]
fn inner(x: f32) -> f32 {
    ROOT * (x + CUBIC * x * x * x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Parameters;
    use crate::check::{assert_gradients, input};

    const ALL: [Activation; 7] = [
        Activation::Relu,
        Activation::Gelu,
        Activation::GeluExact,
        Activation::GeluQuick,
        Activation::Silu,
        Activation::Sigmoid,
        Activation::Tanh,
    ];

    #[test]
    fn worked_examples() {
        let at_one = ALL.map(|function| function.value(1.0));
        let expected = [1.0, 0.841_192, 0.841_344_8, 0.845_795_8, 0.731_058_6, 0.731_058_6, 0.761_594_2];
        assert!(at_one.iter().zip(expected).all(|(x, e)| (x - e).abs() < 1e-6), "{at_one:?}");
        assert_eq!(Activation::Relu.value(-2.0), 0.0);
    }

    #[test]
    fn gradients_are_those_of_small_differences() {
        for function in ALL {
            assert_gradients(
                &mut Parameters::new(),
                &mut input(4, 5, 3),
                |_, x| function.forward(x),
                |_, x, gradient, _| function.backward(x, gradient.clone()),
            );
        }
    }
}
