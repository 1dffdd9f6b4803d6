//! Histories and features changed a little at random, so that a network does not learn them by heart.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use upnext_math::seed::Random;

/// What is changed in training, and how much; 0 changes nothing. Answers are never changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// The probability that of a history longer than what is read, any part of that length is read, not the newest. Networks whose
    /// examples are prefixes learn from every part anyway, and do without.
    pub window: f32,
    /// The probability that a history is cropped to a part of it, of at least half its length.
    pub crop: f32,
    /// The probability that a video of a history is hidden.
    pub mask: f32,
    /// Times move by a normal deviation of so many minutes.
    pub time_jitter_minutes: f32,
    /// Features move by a normal deviation of so much.
    pub noise: f32,
}

impl Augmentation {
    /// Which `read` steps of `length` are read, or all where there are no more.
    pub fn window(&self, length: usize, read: usize, random: &mut Random) -> Range<usize> {
        let newest = length.saturating_sub(read);
        if self.window <= 0.0 || newest == 0 || random.uniform() >= self.window {
            return newest..length;
        }
        let start = random.below(newest + 1);
        start..start + read
    }

    /// Which part of `length` steps is read.
    pub fn crop(&self, length: usize, random: &mut Random) -> Range<usize> {
        if self.crop <= 0.0 || length < 2 || random.uniform() >= self.crop {
            return 0..length;
        }
        let kept = length.div_ceil(2) + random.below(length / 2 + 1);
        let start = random.below(length - kept + 1);
        start..start + kept
    }

    /// Whether a step is hidden.
    pub fn hides(&self, random: &mut Random) -> bool {
        self.mask > 0.0 && random.uniform() < self.mask
    }

    /// A time, moved.
    pub fn jitter(&self, time: i64, random: &mut Random) -> i64 {
        if self.time_jitter_minutes <= 0.0 || time == 0 {
            return time;
        }
        time.saturating_add((self.time_jitter_minutes * random.normal() * 60_000.0) as i64)
    }

    /// Features, moved in place.
    pub fn add_noise(&self, features: &mut [f32], random: &mut Random) {
        if self.noise > 0.0 {
            features.iter_mut().for_each(|x| *x += self.noise * random.normal());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_changed_unless_asked_for() {
        let (none, random) = (Augmentation::default(), &mut Random::new(1));
        let mut features = [0.5, 1.0];
        none.add_noise(&mut features, random);
        assert_eq!((none.window(9, 4, random), none.window(3, 4, random)), (5..9, 0..3));
        assert_eq!((none.crop(9, random), none.hides(random), none.jitter(77, random)), (0..9, false, 77));
        assert_eq!(features, [0.5, 1.0]);
    }

    #[test]
    fn a_crop_keeps_at_least_half_and_the_share_that_is_hidden_is_the_probability() {
        let some = Augmentation { window: 1.0, crop: 1.0, mask: 0.25, time_jitter_minutes: 10.0, noise: 0.1 };
        let random = &mut Random::new(3);
        let crops: Vec<_> = (0..1_000).map(|_| some.crop(7, random)).collect();
        assert!(crops.iter().all(|crop| crop.len() >= 4 && crop.end <= 7));
        assert!(crops.contains(&(0..7)) && crops.contains(&(3..7)) && crops.contains(&(0..4)));
        let windows: Vec<_> = (0..1_000).map(|_| some.window(7, 5, random)).collect();
        assert!((0..3).all(|start| windows.contains(&(start..start + 5))), "{windows:?}");
        assert_eq!((some.window(5, 5, random), some.window(2, 5, random)), (0..5, 0..2));
        let hidden = (0..10_000).filter(|_| some.hides(random)).count();
        assert!(hidden.abs_diff(2_500) < 200, "{hidden}");
        // Ten minutes of deviation; a set without times stays without.
        let moved = (0..1_000).map(|_| (some.jitter(1_000_000_000, random) - 1_000_000_000) as f64);
        let deviation = (moved.map(|x| x * x).sum::<f64>() / 1_000.0).sqrt() / 60_000.0;
        assert!((deviation - 10.0).abs() < 1.0, "{deviation}");
        assert_eq!(some.jitter(0, random), 0);
        let mut features = [0.0; 1_000];
        some.add_noise(&mut features, random);
        let deviation = (features.iter().map(|x| x * x).sum::<f32>() / 1_000.0).sqrt();
        assert!((deviation - 0.1).abs() < 0.01, "{deviation}");
    }
}
