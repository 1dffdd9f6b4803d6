//! How large steps are, and when training ends.

/// Rises evenly to 1 over the first steps, then stays.
pub fn warm_up(step: u64, n_steps: u64) -> f32 {
    if step >= n_steps { 1.0 } else { (step + 1) as f32 / n_steps as f32 }
}

/// Makes the rate smaller when a metric no longer grows, and says when to stop: ReduceLROnPlateau and early stopping.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plateau {
    /// What the rate is multiplied by.
    pub factor: f32,
    /// Epochs without a better metric until it is.
    pub patience: u32,
    /// Epochs without a better metric until training ends.
    pub stop_after: u32,
    /// The rate, as a share of the first.
    pub share: f32,
    best: f64,
    since_best: u32,
    since_change: u32,
}

/// What an epoch's metric means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The best so far: keep this model.
    Best,
    /// Go on.
    GoOn,
    /// Go on with a smaller rate.
    Slower,
    /// End.
    Stop,
}

impl Plateau {
    /// Before the first epoch.
    pub fn new(factor: f32, patience: u32, stop_after: u32) -> Self {
        let (best, since_best, since_change) = (f64::NEG_INFINITY, 0, 0);
        Self { factor, patience, stop_after, share: 1.0, best, since_best, since_change }
    }

    /// The best metric so far.
    pub fn best(&self) -> f64 {
        self.best
    }

    /// What it remembers, for a checkpoint: the share, the best metric, epochs since that and since the last change.
    pub fn state(&self) -> (f32, f64, u32, u32) {
        (self.share, self.best, self.since_best, self.since_change)
    }

    /// Remembers what a checkpoint says.
    pub fn set_state(&mut self, state: (f32, f64, u32, u32)) {
        (self.share, self.best, self.since_best, self.since_change) = state;
    }

    /// Takes the metric of an epoch, larger being better; one that is not a number is no better than any.
    pub fn see(&mut self, metric: f64) -> Verdict {
        if metric > self.best {
            (self.best, self.since_best, self.since_change) = (metric, 0, 0);
            return Verdict::Best;
        }
        self.since_best += 1;
        self.since_change += 1;
        if self.since_best >= self.stop_after {
            return Verdict::Stop;
        }
        if self.since_change >= self.patience {
            self.since_change = 0;
            self.share *= self.factor;
            return Verdict::Slower;
        }
        Verdict::GoOn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_then_falls_at_a_plateau_and_training_ends() {
        assert_eq!([0, 1, 3, 9].map(|step| warm_up(step, 4)), [0.25, 0.5, 1.0, 1.0]);
        assert_eq!(warm_up(0, 0), 1.0);
        let mut plateau = Plateau::new(0.5, 2, 5);
        let seen = [0.1, 0.2, 0.2, f64::NAN, 0.1, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3].map(|m| plateau.see(m));
        use Verdict::{Best, GoOn, Slower, Stop};
        assert_eq!(seen, [Best, Best, GoOn, Slower, GoOn, Best, GoOn, Slower, GoOn, Slower, Stop]);
        assert_eq!((plateau.share, plateau.best()), (0.125, 0.3));
    }
}
