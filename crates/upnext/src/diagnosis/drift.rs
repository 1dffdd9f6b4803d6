//! Whether what is popular now will be popular soon.

use std::collections::BTreeSet;

use serde::Serialize;
use upnext_data::{Interactions, Query};
use upnext_math::seed::mix;

use super::shape::share;
use super::transitions::shuffle;
use crate::report::measure::features::spearman;

/// Parts of train, by time, each with as many pairs.
const PARTS: usize = 10;
/// Videos that count as popular in a part: at most so many, and at most a tenth of those that occur.
const POPULAR_MAX: usize = 100;

/// Popularity over time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Drift {
    /// Videos that count as popular in each tenth.
    pub(crate) popular: usize,
    /// Share of the popular videos of one half of a tenth's pairs, drawn at random, that are popular in a half of the next
    /// tenth; the mean over all.
    pub(crate) overlap: f64,
    /// The same with the other half of the same tenth: what so few pairs leave of it without drift.
    pub(crate) overlap_at_once: f64,
    /// Spearman's correlation of counts in a half and in a half of the next tenth, over the videos that are popular in one of
    /// them; the mean over all.
    pub(crate) rank_correlation: f64,
    /// The same with the other half of the same tenth.
    pub(crate) rank_correlation_at_once: f64,
    /// Share of validation's wanted videos that train saw first within a tenth of its span before the question, or later.
    pub(crate) new_targets: f64,
    /// The tenth of the span, in days.
    pub(crate) new_days: f64,
}

/// Measures; nothing where train is too small to have tenths.
pub(super) fn drift(train: &Interactions, validation: &[Query], seed: u64) -> Option<Drift> {
    let mut rows: Vec<(i64, u32)> =
        train.rows().iter().filter(|row| row.is_positive()).map(|row| (row.time, row.video)).collect();
    // Equal times in an order by lot: by their rows, a day that spans two tenths would be cut into two sets of videos.
    let mut by_lot = 0u64;
    rows.sort_by_cached_key(|row| {
        by_lot += 1;
        (row.0, mix(seed ^ mix(by_lot)))
    });
    let (oldest, newest) = (rows.first()?.0, rows.last()?.0);
    let videos: Vec<u32> = rows.iter().map(|&(_, video)| video).collect();
    let n_occurring = videos.iter().collect::<BTreeSet<_>>().len();
    let popular = POPULAR_MAX.min(n_occurring / 10);
    if rows.len() < 2 * PARTS || popular == 0 {
        return None;
    }
    let halves: Vec<[Half; 2]> = (0..PARTS)
        .map(|part| {
            let range = videos.len() * part / PARTS..videos.len() * (part + 1) / PARTS;
            halves(videos[range].to_vec(), train.n_videos(), popular, mix(seed ^ mix(part as u64)))
        })
        .collect();
    let (overlap, rank_correlation) =
        compared(halves.windows(2).map(|two| [&two[0][0], &two[1][1]]), popular);
    let (overlap_at_once, rank_correlation_at_once) = compared(halves.iter().map(|[a, b]| [a, b]), popular);
    let mut first_seen = vec![i64::MAX; train.n_videos()];
    for row in train.rows() {
        let first = &mut first_seen[row.video as usize];
        *first = row.time.min(*first);
    }
    let tenth = (newest - oldest) / PARTS as i64;
    let targets = || {
        let asked = validation.iter().filter_map(|query| Some((query.at?, &query.relevant)));
        asked.flat_map(|(at, relevant)| relevant.iter().map(move |&row| (at, row)))
    };
    let new = targets().filter(|&(at, row)| first_seen[row as usize] > at.saturating_sub(tenth)).count();
    Some(Drift {
        popular,
        overlap,
        overlap_at_once,
        rank_correlation,
        rank_correlation_at_once,
        new_targets: share(new, targets().count()),
        new_days: tenth as f64 / 86_400_000.0,
    })
}

/// Half of the pairs of a part: how often each video is wanted, and the most wanted ones.
struct Half {
    counts: Vec<u32>,
    top: BTreeSet<u32>,
}

/// Two random halves of a part.
fn halves(mut videos: Vec<u32>, n_videos: usize, popular: usize, seed: u64) -> [Half; 2] {
    shuffle(&mut videos, seed);
    let (one, other) = videos.split_at(videos.len() / 2);
    [(one, 1), (other, 2)].map(|(videos, half)| {
        let mut counts = vec![0u32; n_videos];
        videos.iter().for_each(|&video| counts[video as usize] += 1);
        let mut top: Vec<u32> = (0..n_videos as u32).filter(|&video| counts[video as usize] > 0).collect();
        // Equal counts in an order of the half's own: a fixed one would look like constancy.
        top.sort_unstable_by_key(|&video| {
            (std::cmp::Reverse(counts[video as usize]), mix(mix(seed ^ half) ^ u64::from(video)))
        });
        top.truncate(popular);
        Half { counts, top: top.into_iter().collect() }
    })
}

/// Mean overlap of the popular videos of pairs of halves, and mean correlation of their counts.
fn compared<'a>(pairs: impl Iterator<Item = [&'a Half; 2]>, popular: usize) -> (f64, f64) {
    let (mut overlap, mut n, mut correlations): (f64, usize, Vec<f64>) = (0.0, 0, Vec::new());
    for [a, b] in pairs {
        n += 1;
        overlap += share(a.top.intersection(&b.top).count(), popular);
        let either: Vec<u32> = a.top.union(&b.top).copied().collect();
        let of = |half: &Half| -> Vec<f64> {
            either.iter().map(|&video| f64::from(half.counts[video as usize])).collect()
        };
        correlations.push(spearman(&of(a), &of(b)));
    }
    // Counts that are all equal have no correlation.
    correlations.retain(|correlation| correlation.is_finite());
    let correlation = correlations.iter().sum::<f64>() / correlations.len().max(1) as f64;
    (overlap / n.max(1) as f64, correlation)
}
