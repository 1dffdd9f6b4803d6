//! Exploration: a share of the places shows videos drawn at random, and each place tells how likely it was to show what it shows, so that
//! what comes of it can be weighed without bias (Horvitz & Thompson 1952).

use upnext_math::seed::mix;

use crate::source::random_of;
use crate::{Candidate, Query};

/// After the re-rank: each place of the slate goes, with the probability `share`, to the next candidate that the source `drawn` returned.
/// The two trade places. Pinned videos stay where they are.
pub(crate) struct Explore {
    pub(crate) share: f64,
    /// The place of the source in the pipeline.
    pub(crate) drawn: usize,
}

impl Explore {
    /// Changes the places of `window` among the ranked, `from` along with them; returns which places explore. Of the `n_permitted` videos
    /// those that stand below the window are as likely to be drawn as each other.
    pub(crate) fn explore(
        &self,
        query: &Query,
        n_permitted: usize,
        window: std::ops::Range<usize>,
        (ranked, from): (&mut [Candidate], &mut [usize]),
    ) -> Vec<usize> {
        let place_in = |candidate: &Candidate| {
            candidate
                .retrieved()
                .iter()
                .find(|retrieved| retrieved.source == self.drawn)
                .map(|drawn| drawn.rank)
        };
        // What stands in the window anyway, and what a rule pins, is no exploration.
        let is_pinned = |row: u32| query.rules.pins.iter().any(|pin| pin.row == row);
        let mut drawn: Vec<(u32, u32)> = (ranked[window.end..].iter())
            .filter(|candidate| !is_pinned(candidate.row()))
            .filter_map(|candidate| Some((place_in(candidate)?, candidate.row())))
            .collect();
        drawn.sort_unstable();
        let mut drawn = drawn.into_iter().map(|(_, row)| row);
        // Another stream than the one that drew.
        let mut random = random_of(query);
        let mut lot = || (mix(random.next_u64()) >> 11) as f64 / (1u64 << 53) as f64;
        let mut places = Vec::new();
        for place in window.clone() {
            let may_explore = !is_pinned(ranked[place].row()) && drawn.len() > 0;
            let next = if lot() < self.share && may_explore { drawn.next() } else { None };
            let at = next.and_then(|row| ranked.iter().position(|candidate| candidate.row() == row));
            if let Some(at) = at {
                ranked.swap(place, at);
                from.swap(place, at);
                places.push(place);
            }
            let propensity = match at {
                Some(_) => self.share / n_permitted.saturating_sub(window.end).max(1) as f64,
                None if may_explore => 1.0 - self.share,
                None => 1.0,
            };
            ranked[place].set_propensity(propensity);
        }
        places
    }
}
