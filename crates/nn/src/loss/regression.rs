//! How far a number is from what it should be.

/// Which distance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Regression {
    /// `(p - y)²`: its best constant is the mean.
    Square,
    /// `|p - y|`: its best constant is the median.
    Absolute,
    /// Half a square up to `delta`, a line beyond (Huber 1964).
    Huber {
        /// Where the line begins.
        delta: f32,
    },
    /// `max(τ (y - p), (τ - 1) (y - p))`: its best constant is the quantile (Koenker & Bassett 1978).
    Quantile {
        /// The share of targets that lie below.
        tau: f32,
    },
}

impl Regression {
    /// The loss of a prediction, and its slope.
    pub fn of(self, prediction: f32, target: f32) -> (f32, f32) {
        let error = prediction - target;
        match self {
            Self::Square => (error * error, 2.0 * error),
            Self::Absolute => (error.abs(), sign(error)),
            Self::Huber { delta } if error.abs() <= delta => (0.5 * error * error, error),
            Self::Huber { delta } => (delta * (error.abs() - 0.5 * delta), delta * sign(error)),
            Self::Quantile { tau } if error < 0.0 => (-tau * error, -tau),
            Self::Quantile { tau } => ((1.0 - tau) * error, if error > 0.0 { 1.0 - tau } else { 0.0 }),
        }
    }
}

/// -1, 0 or 1.
fn sign(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Regression; 4] = [
        Regression::Square,
        Regression::Absolute,
        Regression::Huber { delta: 1.0 },
        Regression::Quantile { tau: 0.9 },
    ];

    #[test]
    fn worked_examples_and_slopes() {
        let found = ALL.map(|loss| loss.of(3.0, 1.0).0);
        assert!(found.iter().zip([4.0, 2.0, 1.5, 0.2]).all(|(x, e)| (x - e).abs() < 1e-6), "{found:?}");
        assert_eq!(ALL.map(|loss| loss.of(2.0, 2.0)), [(0.0, 0.0); 4]);
        for loss in ALL {
            for prediction in [-3.0, 0.3, 0.9, 5.0] {
                let at = |step: f32| loss.of(prediction + step, 0.5).0;
                let numeric = (at(0.01) - at(-0.01)) / 0.02;
                assert!((loss.of(prediction, 0.5).1 - numeric).abs() < 1e-3, "{loss:?} {prediction}");
            }
        }
    }

    #[test]
    fn the_best_constant_is_the_mean_the_median_or_the_quantile() {
        let targets = [0.0, 1.0, 2.0, 3.0, 14.0];
        let best = |loss: Regression| {
            let total = |p: f32| targets.iter().map(|&y| loss.of(p, y).0).sum::<f32>();
            (0..=140).map(|p| p as f32 / 10.0).min_by(|a, b| total(*a).total_cmp(&total(*b))).unwrap()
        };
        assert_eq!((best(Regression::Square), best(Regression::Absolute)), (4.0, 2.0));
        assert_eq!(best(Regression::Quantile { tau: 0.9 }), 14.0);
    }
}
