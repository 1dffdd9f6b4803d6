//! Where a video may stand that no model knows yet.

use std::collections::HashMap;
use std::sync::Arc;

use crate::pipeline::{Scorer, StageError, part};
use crate::popularity::freshness;
use crate::{Candidate, Exposures, Query};

/// Newcomers are ordered by how promising they are: the larger of freshness and live popularity, plus the share
/// of the viewer's wanted videos that have one of their categories. The j-th of them (from 0) then gets the
/// score of place `every/2 + j*every` of the others: they can enter every slate and never flood one. Those that were shown fewer than
/// `first` times come before all others, the least shown first: each gets its chance.
pub struct Newcomer {
    exposures: Arc<Exposures>,
    first: u32,
    every: usize,
    half_life_days: f64,
    kinds: Vec<String>,
    name: Arc<str>,
}

impl Newcomer {
    /// One place in `every`; freshness is halved after `half_life_days`; tastes are labels of `kinds`.
    pub fn new(
        every: usize,
        half_life_days: f64,
        kinds: Vec<String>,
        (exposures, first): (Arc<Exposures>, u32),
    ) -> Self {
        Self { exposures, first, every: every.max(1), half_life_days, kinds, name: part("newcomer") }
    }
}

impl Scorer for Newcomer {
    fn name(&self) -> &str {
        "newcomer"
    }

    fn score(&self, query: &Query, candidates: &mut [Candidate]) -> Result<(), StageError> {
        let stock = &query.stock;
        let mut known: Vec<f64> =
            candidates.iter().filter(|c| stock.is_of_run(c.row())).map(Candidate::score).collect();
        if known.len() == candidates.len() {
            return Ok(());
        }
        known.sort_unstable_by(|a, b| b.total_cmp(a));

        let mut taste: HashMap<&str, f64> = HashMap::new();
        let wanted = query.history.positives();
        for &row in wanted {
            for genre in stock.genres(row, &self.kinds) {
                *taste.entry(genre).or_default() += 1.0 / wanted.len() as f64;
            }
        }
        let most_wanted = stock.wanted.first().map_or(1.0, |&(_, weight)| f64::from(weight));
        let live: HashMap<u32, f32> = stock.wanted.iter().copied().collect();
        let promise = |row: u32| {
            let fresh =
                stock.published(row).map_or(0.0, |t| freshness(t, query.request.now, self.half_life_days));
            let now = live.get(&row).map_or(0.0, |&weight| f64::from(weight) / most_wanted);
            let genres = stock.genres(row, &self.kinds);
            let close = genres.iter().filter_map(|genre| taste.get(genre)).copied().fold(0.0, f64::max);
            fresh.max(now) + close
        };
        let new = || candidates.iter().enumerate().filter(|(_, c)| !stock.is_of_run(c.row()));
        let shown = self.exposures.of(new().map(|(_, c)| stock.id(c.row())));
        let mut newcomers: Vec<(u32, f64, usize)> = (new().zip(shown))
            .map(|((at, c), shown)| (shown.min(self.first), promise(c.row()), at))
            .collect();
        newcomers.sort_by(|a, b| {
            let rows = candidates[a.2].row().cmp(&candidates[b.2].row());
            a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(rows)
        });
        for (j, &(_, promise, at)) in newcomers.iter().enumerate() {
            let place = self.every / 2 + j * self.every;
            let value = match (place.checked_sub(1).and_then(|before| known.get(before)), known.get(place)) {
                (Some(above), Some(below)) => f64::midpoint(*above, *below),
                (None, Some(first)) => *first,
                // Beyond the others: after the last of them, in the order of promise.
                _ => known.last().map_or(promise, |last| last - 1e-6 * (j + 1) as f64),
            };
            candidates[at].add(&self.name, value);
        }
        Ok(())
    }
}
