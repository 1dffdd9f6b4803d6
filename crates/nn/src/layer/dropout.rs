//! Numbers left out at random.

use upnext_math::Matrix;
use upnext_math::seed::Random;

/// Leaves out each number with a probability and scales the others up, so that the mean stays (Srivastava et al. 2014).
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// The probability, from 0 to below 1.
    pub probability: f32,
}

impl Dropout {
    /// Changes the numbers; what each was multiplied by, or nothing where none was changed. Without a source of chance
    /// nothing is left out.
    pub fn forward(&self, values: &mut Matrix, random: Option<&mut Random>) -> Option<Vec<f32>> {
        let random = random.filter(|_| self.probability > 0.0)?;
        let (keep, bound) = (1.0 / (1.0 - self.probability), (self.probability * 65_536.0) as u64);
        let mut factors = Vec::with_capacity(values.values().len());
        // Four numbers from one draw: 16 bits are enough for a probability.
        for values in values.values_mut().chunks_mut(4) {
            let mut draw = random.next_u64();
            for value in values {
                let factor = if draw & 0xffff < bound { 0.0 } else { keep };
                draw >>= 16;
                *value *= factor;
                factors.push(factor);
            }
        }
        Some(factors)
    }

    /// Changes the gradient of the output to that of the input.
    pub fn backward(factors: Option<&[f32]>, gradient: &mut Matrix) {
        if let Some(factors) = factors {
            gradient.values_mut().iter_mut().zip(factors).for_each(|(x, factor)| *x *= factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_left_out_the_mean_stays_and_gradients_go_the_same_way() {
        let layer = Dropout { probability: 0.3 };
        let mut values = Matrix::from_rows(100, 100, vec![1.0; 10_000]);
        let factors = layer.forward(&mut values, Some(&mut Random::new(1))).unwrap();
        let n_left = values.values().iter().filter(|x| **x == 0.0).count();
        let mean = values.values().iter().sum::<f32>() / 10_000.0;
        assert!(n_left.abs_diff(3_000) < 200 && (mean - 1.0).abs() < 0.03, "{n_left} {mean}");
        let mut gradient = Matrix::from_rows(100, 100, vec![1.0; 10_000]);
        Dropout::backward(Some(&factors), &mut gradient);
        assert_eq!(gradient, values);
        let mut same = values.clone();
        assert!(layer.forward(&mut same, None).is_none() && same == values);
        let again = layer.forward(&mut Matrix::zeros(100, 100), Some(&mut Random::new(1)));
        assert_eq!(again.unwrap(), factors);
    }
}
