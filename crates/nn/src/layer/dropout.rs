//! Numbers left out at random.

use upnext_math::Matrix;
use upnext_math::seed::{Lanes, Random};

/// Leaves out each number with a probability and scales the others up, so that the mean stays (Srivastava et al. 2014).
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// Of being left out, 0 to below 1. At 0 nothing happens.
    pub probability: f32,
}

/// Which numbers are left out: drawn anew, the same ones, each time it is applied to a copy of it.
#[derive(Clone, Debug)]
pub struct Dropped {
    lanes: Lanes,
    probability: f32,
}

impl Dropout {
    /// Draws which numbers are left out; none without a source of chance, or where none can be.
    pub fn draw(&self, random: Option<&mut Random>) -> Option<Dropped> {
        let random = random.filter(|_| self.probability > 0.0)?;
        Some(Dropped { lanes: Lanes::new(random), probability: self.probability })
    }

    /// Changes the numbers; what was drawn for it goes to [`Dropout::backward`].
    pub fn forward(&self, values: &mut Matrix, random: Option<&mut Random>) -> Option<Dropped> {
        let dropped = self.draw(random);
        if let Some(dropped) = &dropped {
            dropped.clone().apply(values.values_mut());
        }
        dropped
    }

    /// Changes a gradient as the numbers were changed.
    pub fn backward(dropped: Option<&Dropped>, gradient: &mut Matrix) {
        if let Some(dropped) = dropped {
            dropped.clone().apply(gradient.values_mut());
        }
    }
}

impl Dropped {
    /// Changes the next numbers. The same numbers must come in the same pieces.
    pub fn apply(&mut self, values: &mut [f32]) {
        self.lanes.leave_out(values, self.probability);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_left_out_the_mean_stays_and_gradients_go_the_same_way() {
        let layer = Dropout { probability: 0.3 };
        let ones = Matrix::from_rows(100, 101, vec![1.0; 10_100]);
        let mut values = ones.clone();
        let dropped = layer.forward(&mut values, Some(&mut Random::new(1)));
        let n_left = values.values().iter().filter(|x| **x == 0.0).count();
        let mean = values.values().iter().sum::<f32>() / 10_100.0;
        assert!(n_left.abs_diff(3_030) < 200 && (mean - 1.0).abs() < 0.03, "{n_left} {mean}");
        let mut gradient = ones.clone();
        Dropout::backward(dropped.as_ref(), &mut gradient);
        assert_eq!(gradient, values);
        let (mut again, mut other, mut same) = (ones.clone(), ones.clone(), ones.clone());
        layer.forward(&mut again, Some(&mut Random::new(1)));
        layer.forward(&mut other, Some(&mut Random::new(2)));
        assert!(again == values && other != values);
        assert!(layer.forward(&mut same, None).is_none() && same == ones);
    }
}
