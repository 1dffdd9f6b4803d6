//! How sure a mean over users is: percentile intervals from resampled users (Efron 1979).
//!
//! Users are drawn with replacement, as many as there are. One draw serves every column, so the interval of a
//! difference between two models is paired: both answer the same resampled users.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use upnext_math::seed::{Random, mix};

use crate::EvalError;

/// How often to resample, and how wide the interval is. The seed is given with the data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Resamples, 1 to [`SAMPLES_MAX`](Self::SAMPLES_MAX).
    pub samples: usize,
    /// The share of resampled means inside the interval.
    pub level: f64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { samples: 1_000, level: 0.95 }
    }
}

/// A mean and the interval around it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The mean over the users, as observed.
    pub mean: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Whether 0 lies outside: for a difference, whether it is one.
    pub fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// The means of several columns in each resample.
#[derive(Clone, Debug)]
pub struct Resampled {
    level: f64,
    samples: usize,
    means: Vec<f64>,
    /// `(column, sample)`.
    draws: Vec<f64>,
}

/// Resamples that share one pass over the values.
const BLOCK: usize = 32;
/// Users whose values lie in the cache while a block of resamples sums them.
const TILE: usize = 256;
/// Columns summed side by side in registers.
const LANES: usize = 8;
/// The most weights a thread holds at once.
const WEIGHTS_MAX: usize = 8 << 20;

impl Bootstrap {
    /// The most resamples there may be.
    pub const SAMPLES_MAX: usize = 100_000;

    /// Resamples the users of some columns, which all have one value for each user, in the same order.
    ///
    /// Cost: samples × users × columns multiply-adds and samples × users draws, on all threads. The memory is
    /// that of the resampled means and, for each thread, at most 16 MiB of weights (or 2 bytes for each user
    /// where that is more). The result depends on the seed alone, not on the threads.
    ///
    /// # Errors
    /// When the columns differ in length, a value is not finite, or the settings make no interval.
    pub fn resample(&self, columns: &[&[f64]], seed: u64) -> Result<Resampled, EvalError> {
        let Self { samples, level } = *self;
        let makes_an_interval = (1..=Self::SAMPLES_MAX).contains(&samples) && level > 0.0 && level < 1.0;
        if !makes_an_interval {
            return Err(EvalError::Bootstrap { samples, samples_max: Self::SAMPLES_MAX, level });
        }
        let n = columns.first().map_or(0, |column| column.len());
        for (at, column) in columns.iter().enumerate() {
            let name = || format!("column {at}");
            if column.len() != n {
                return Err(EvalError::Length { column: name(), found: column.len(), expected: n });
            }
            if let Some((row, value)) = column.iter().enumerate().find(|(_, value)| !value.is_finite()) {
                return Err(EvalError::NotFinite { column: name(), row, value: value.to_string() });
            }
        }
        let means = columns.iter().map(|column| crate::metric::mean(column)).collect();
        let mut draws = vec![0.0; samples * columns.len()];
        if n > 0 && !columns.is_empty() {
            let block = BLOCK.min(WEIGHTS_MAX / n).clamp(1, samples);
            let first_samples: Vec<usize> = (0..samples).step_by(block).collect();
            let sums: Vec<Vec<f64>> = first_samples
                .par_iter()
                .map(|&first| weighted_sums(columns, n, seed, first, block.min(samples - first)))
                .collect();
            for (&first, sums) in first_samples.iter().zip(&sums) {
                for (at, sums) in sums.chunks_exact(columns.len()).enumerate() {
                    for (column, sum) in sums.iter().enumerate() {
                        draws[column * samples + first + at] = sum / n as f64;
                    }
                }
            }
        }
        Ok(Resampled { level, samples, means, draws })
    }

    /// The interval of each column.
    ///
    /// # Errors
    /// As [`resample`](Self::resample).
    pub fn intervals(&self, columns: &[&[f64]], seed: u64) -> Result<Vec<Interval>, EvalError> {
        let resampled = self.resample(columns, seed)?;
        Ok((0..columns.len()).map(|column| resampled.interval(column)).collect())
    }
}

/// Sums of every column in some resamples: `(sample, column)`.
fn weighted_sums(columns: &[&[f64]], n: usize, seed: u64, first: usize, block: usize) -> Vec<f64> {
    // How often each resample draws each user.
    let mut weights = vec![0u16; block * n];
    for (at, weights) in weights.chunks_exact_mut(n).enumerate() {
        let mut random = Random::new(mix(seed ^ mix((first + at) as u64)));
        for _ in 0..n {
            let weight = &mut weights[random.below(n)];
            *weight = weight.saturating_add(1);
        }
    }
    let mut sums = vec![0.0; block * columns.len()];
    let mut tile = [[0.0; LANES]; TILE];
    for start in (0..n).step_by(TILE) {
        let users = start..n.min(start + TILE);
        for (group, columns_of_group) in columns.chunks(LANES).enumerate() {
            for (lane, column) in columns_of_group.iter().enumerate() {
                for (row, &value) in tile.iter_mut().zip(&column[users.clone()]) {
                    row[lane] = value;
                }
            }
            for (at, weights) in weights.chunks_exact(n).enumerate() {
                let mut sum = [0.0; LANES];
                for (&weight, row) in weights[users.clone()].iter().zip(&tile) {
                    let weight = f64::from(weight);
                    for (sum, value) in sum.iter_mut().zip(row) {
                        *sum += weight * value;
                    }
                }
                let from = at * columns.len() + group * LANES;
                for (total, sum) in sums[from..from + columns_of_group.len()].iter_mut().zip(sum) {
                    *total += sum;
                }
            }
        }
    }
    sums
}

impl Resampled {
    /// The percentile interval of a column. It holds the observed mean: with few resamples it is widened to.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn interval(&self, column: usize) -> Interval {
        self.of(self.means[column], self.draws_of(column).to_vec())
    }

    /// The paired interval of column `a` minus column `b`.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn difference(&self, a: usize, b: usize) -> Interval {
        let draws = self.draws_of(a).iter().zip(self.draws_of(b)).map(|(a, b)| a - b).collect();
        self.of(self.means[a] - self.means[b], draws)
    }

    fn draws_of(&self, column: usize) -> &[f64] {
        &self.draws[column * self.samples..(column + 1) * self.samples]
    }

    fn of(&self, mean: f64, mut draws: Vec<f64>) -> Interval {
        draws.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - self.level) / 2.0;
        Interval { mean, low: quantile(&draws, tail).min(mean), high: quantile(&draws, 1.0 - tail).max(mean) }
    }
}

/// A quantile of sorted values, linear between two of them.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_share_of_one_half_has_the_width_that_theory_says() {
        // 400 users, half of them hit: the standard error is 0.025, the interval about 0.451 to 0.549.
        let values: Vec<f64> = (0..400).map(|user| f64::from(user % 2)).collect();
        let interval = Bootstrap { samples: 4_000, level: 0.95 }.intervals(&[&values], 7).unwrap()[0];
        assert_eq!(interval.mean, 0.5);
        assert!((interval.low - 0.451).abs() < 0.004, "{interval:?}");
        assert!((interval.high - 0.549).abs() < 0.004, "{interval:?}");
    }

    #[test]
    fn a_small_steady_gain_shows_in_pairs_and_not_in_two_intervals() {
        // Users differ much, the models little: b is a bit better for all but a few.
        let mut random = Random::new(3);
        let a: Vec<f64> = (0..500).map(|_| f64::from(random.uniform())).collect();
        let b: Vec<f64> =
            a.iter().enumerate().map(|(user, a)| a + if user % 10 == 0 { -0.01 } else { 0.01 }).collect();
        let resampled = Bootstrap::default().resample(&[&a, &b], 1).unwrap();
        let (one, other, difference) =
            (resampled.interval(0), resampled.interval(1), resampled.difference(1, 0));
        assert!(one.high > other.low, "they overlap: {one:?} {other:?}");
        assert!(difference.excludes_zero() && difference.low > 0.006, "{difference:?}");
        assert!((difference.mean - 0.008).abs() < 1e-12);
    }

    #[test]
    fn the_sums_equal_a_plain_resampling() {
        let (n, samples) = (700, 40);
        let mut random = Random::new(9);
        let columns: Vec<Vec<f64>> =
            (0..11).map(|_| (0..n).map(|_| f64::from(random.uniform())).collect()).collect();
        let views: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        let resampled = Bootstrap { samples, level: 0.9 }.resample(&views, 5).unwrap();
        for sample in 0..samples {
            let mut random = Random::new(mix(5 ^ mix(sample as u64)));
            let drawn: Vec<usize> = (0..n).map(|_| random.below(n)).collect();
            for (at, column) in columns.iter().enumerate() {
                let plain = drawn.iter().map(|&user| column[user]).sum::<f64>() / n as f64;
                assert!((resampled.draws_of(at)[sample] - plain).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_interval_on_any_number_of_threads() {
        let values: Vec<f64> = (0..3_000).map(|user| f64::from(user % 7)).collect();
        let on = |threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Bootstrap::default().intervals(&[&values], seed).unwrap()[0])
        };
        assert_eq!(on(1, 4), on(3, 4));
        assert_ne!(on(1, 4), on(1, 5));
    }

    #[test]
    fn nobody_gives_zeros_and_wrong_settings_are_named() {
        assert_eq!(Bootstrap::default().intervals(&[&[]], 1).unwrap(), [Interval::default()]);
        assert_eq!(Bootstrap::default().intervals(&[], 1).unwrap(), []);
        let error = Bootstrap { samples: 0, level: 0.95 }.intervals(&[], 1).unwrap_err().to_string();
        assert!(error.contains("0 samples"), "{error}");
        assert!(Bootstrap { samples: 9, level: 1.0 }.intervals(&[], 1).is_err());
        assert!(Bootstrap { samples: 9, level: f64::NAN }.intervals(&[], 1).is_err());
        assert!(Bootstrap::default().intervals(&[&[1.0], &[]], 1).is_err());
        assert!(Bootstrap::default().intervals(&[&[f64::INFINITY]], 1).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_interval_holds_the_mean_and_stays_within_the_values(
            values in prop::collection::vec(-10.0f64..10.0, 1..300),
            samples in 1usize..200,
            seed: u64,
        ) {
            let interval = Bootstrap { samples, level: 0.95 }.intervals(&[&values], seed).unwrap()[0];
            prop_assert!(interval.low <= interval.mean && interval.mean <= interval.high);
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(interval.low >= least - 1e-9 && interval.high <= most + 1e-9);
        }

        #[test]
        fn a_model_does_not_differ_from_itself(values in prop::collection::vec(0.0f64..1.0, 1..50), seed: u64) {
            let resampled = Bootstrap { samples: 50, level: 0.95 }.resample(&[&values, &values], seed).unwrap();
            prop_assert_eq!(resampled.difference(0, 1), Interval::default());
        }
    }
}
