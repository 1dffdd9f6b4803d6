//! How many viewers of the run wanted each video, ever and lately.

use upnext_data::{Dataset, Interactions, Order};

use crate::stock::released;

const DAY_MILLISECONDS: f64 = 86_400_000.0;

/// Counts over the run's positives, made once.
#[derive(Clone, Debug)]
pub struct Popularity {
    /// Viewers who wanted each video.
    pub counts: Vec<u32>,
    /// The same, each counted `0.5^(age / half-life)`, with age from the newest event of the set.
    pub recent: Vec<f32>,
    /// Rows by `recent`, then `counts`, then row: every row occurs.
    pub order: Vec<u32>,
    /// The largest of `counts`.
    pub most: u32,
    /// The count that the most wanted tenth of the wanted videos reaches.
    tenth: u32,
    /// The newest release among the catalogue, milliseconds since 1970.
    pub newest_release: Option<i64>,
}

impl Popularity {
    /// Counts the pairs of a set; without times all weigh the same.
    pub fn new(dataset: &Dataset, pairs: &Interactions, half_life_days: f64) -> Self {
        let counts = pairs.popularity();
        let newest = pairs.rows().iter().map(|row| row.time).max().unwrap_or(0);
        let mut recent = vec![0.0f64; counts.len()];
        for row in pairs.rows().iter().filter(|row| row.is_positive()) {
            let age_days = if dataset.order == Order::Timed {
                (newest - row.time) as f64 / DAY_MILLISECONDS
            } else {
                0.0
            };
            recent[row.video as usize] += decayed(age_days, half_life_days);
        }
        let recent: Vec<f32> = recent.into_iter().map(|x| x as f32).collect();
        let mut order: Vec<u32> = (0..counts.len() as u32).collect();
        order.sort_by(|&a, &b| {
            let (a, b) = (a as usize, b as usize);
            recent[b].total_cmp(&recent[a]).then(counts[b].cmp(&counts[a])).then(a.cmp(&b))
        });
        let most = counts.iter().copied().max().unwrap_or(0);
        let newest_release = dataset.videos.videos().iter().filter_map(released).max();
        let mut wanted: Vec<u32> = counts.iter().copied().filter(|&count| count > 0).collect();
        wanted.sort_unstable_by_key(|&count| std::cmp::Reverse(count));
        let tenth = wanted.get(wanted.len() / 10).copied().unwrap_or(u32::MAX);
        Self { counts, recent, order, most, tenth, newest_release }
    }

    /// How many viewers of the run wanted a row; none for a newcomer.
    pub fn count(&self, row: u32) -> u32 {
        self.counts.get(row as usize).copied().unwrap_or(0)
    }

    /// Whether a row is among the most wanted tenth of what anybody wanted.
    pub fn is_among_the_most_wanted(&self, row: u32) -> bool {
        self.count(row) >= self.tenth
    }

    /// From 0 to 1 on a logarithmic scale: 1 is the most wanted video.
    pub fn level(&self, row: u32) -> f64 {
        if self.most == 0 {
            return 0.0;
        }
        f64::from(self.count(row)).ln_1p() / f64::from(self.most).ln_1p()
    }
}

/// `0.5^(age / half-life)`; what lies in the future counts in full.
pub(crate) fn decayed(age_days: f64, half_life_days: f64) -> f64 {
    0.5f64.powf(age_days.max(0.0) / half_life_days)
}

/// How fresh something is that came out at `time`, seen from `now`, 0 to 1.
pub(crate) fn freshness(time: i64, now: i64, half_life_days: f64) -> f64 {
    decayed(now.saturating_sub(time) as f64 / DAY_MILLISECONDS, half_life_days)
}
