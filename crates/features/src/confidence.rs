//! How sure a viewing makes us that the video was wanted: weights for factorisation and regression.

use crate::engagement::replay_factor;

/// The constants of `base + alpha ln(1 + ratio) (1 + beta completion) (1 + gamma ln(1 + replay))`.
///
/// `ratio` is the watch ratio, cut at `ratio_max`; `completion` the share of the video that was seen, at most 1;
/// `replay` what was watched beyond the end. An unseen video has `base`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    /// What every observation has.
    pub base: f32,
    /// Weight of the watch ratio.
    pub alpha: f32,
    /// How much completion raises it.
    pub beta: f32,
    /// How much watching again raises it.
    pub gamma: f32,
    /// Watch ratios beyond this are an open window on a desk, not more love.
    pub ratio_max: f32,
}

impl Default for Confidence {
    fn default() -> Self {
        Self { base: 2.0, alpha: 60.0, beta: 0.8, gamma: 0.5, ratio_max: 5.0 }
    }
}

impl Confidence {
    /// From a watch ratio and its parts. Negative and not finite numbers count as 0.
    pub fn of(&self, ratio: f32, completion: f32, replay: f32) -> f32 {
        let [ratio, completion, replay] =
            [ratio, completion, replay].map(|x| if x.is_finite() { x.max(0.0) } else { 0.0 });
        let watched = ratio.min(self.ratio_max).ln_1p();
        self.base
            + self.alpha * watched * (1.0 + self.beta * completion) * (1.0 + self.gamma * replay.ln_1p())
    }

    /// From a watch ratio alone: completion is its part up to 1, replay what is beyond, both after the cap.
    pub fn of_ratio(&self, ratio: f32) -> f32 {
        let capped = ratio.min(self.ratio_max);
        self.of(capped, capped.min(1.0), replay_factor(capped))
    }

    /// One weight for each observation, of mean 1, so that a learning rate or a regularisation keeps its meaning.
    /// An observation whose ratio is not known has weight 1.
    pub fn weights(&self, ratios: impl IntoIterator<Item = Option<f32>>) -> Vec<f32> {
        let confidences: Vec<Option<f32>> =
            ratios.into_iter().map(|ratio| Some(self.of_ratio(ratio.filter(|x| x.is_finite())?))).collect();
        let (sum, n) =
            confidences.iter().flatten().fold((0.0f64, 0u32), |(s, n), &c| (s + f64::from(c), n + 1));
        let mean = (sum / f64::from(n.max(1))) as f32;
        confidences.into_iter().map(|c| c.filter(|_| mean > 0.0).map_or(1.0, |c| c / mean)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_by_hand() {
        let confidence = Confidence::default();
        assert_eq!(confidence.of(0.0, 0.0, 0.0), 2.0);
        // Seen once to the end: 2 + 60 ln 2 * 1.8.
        assert!((confidence.of_ratio(1.0) - (2.0 + 60.0 * 2f32.ln() * 1.8)).abs() < 1e-3);
        // Seen twice: 2 + 60 ln 3 * 1.8 * (1 + 0.5 ln 2).
        let twice = 2.0 + 60.0 * 3f32.ln() * 1.8 * (1.0 + 0.5 * 2f32.ln());
        assert!((confidence.of_ratio(2.0) - twice).abs() < 1e-3);
        // An open window is not more love.
        assert_eq!(confidence.of_ratio(135.66), confidence.of_ratio(5.0));
        assert_eq!(confidence.of(f32::NAN, -1.0, f32::INFINITY), 2.0);
    }

    #[test]
    fn weights_have_mean_one_and_an_unknown_ratio_has_one() {
        let weights = Confidence::default().weights([Some(0.1), None, Some(3.0)]);
        assert!((weights[0] + weights[2] - 2.0).abs() < 1e-6);
        assert!(weights[0] < 1.0 && weights[2] > 1.0);
        assert_eq!(weights[1], 1.0);
        assert!(Confidence::default().weights([]).is_empty());
    }
}
