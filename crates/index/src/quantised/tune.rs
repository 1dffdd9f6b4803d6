//! How much a search must look at, for a stated recall.

use rayon::prelude::*;
use upnext_math::codes::Bits;
use upnext_math::linalg::{Accumulate, Precision, View, ViewMut, multiply};
use upnext_math::seed::Random;
use upnext_math::top_k;

use super::Config;
use super::search::Scratch;
use super::state::State;
use crate::{Allow, Metric};

/// How much a search looks at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// A list is looked at if rows so many deviations better than its usual ones would be among the best so far. Infinity: all lists.
    pub margin: f32,
    /// Rows that are scored exactly, at least `k`.
    pub rescored: usize,
}

impl Effort {
    /// Every row, exactly: what [`Flat`](crate::Flat) does.
    pub fn full() -> Self {
        Self { margin: f32::INFINITY, rescored: usize::MAX }
    }
}

/// For some `k`, ascending: the margin, and how many times `k` rows are scored exactly.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tuned {
    pub(crate) steps: Vec<(u32, f32, f32)>,
}

/// The numbers of rows that are tuned for; between them efforts are mixed.
const KS: [usize; 4] = [1, 10, 100, 500];

/// What is tried of rows scored exactly, in times of `k`, the fewest first.
const TIMES: [f32; 14] = [1.05, 1.15, 1.3, 1.5, 1.8, 2.2, 2.7, 3.3, 4.0, 5.0, 6.5, 9.0, 13.0, 20.0];

/// Beyond this margin nearly every list is looked at.
const MARGIN_MAX: f32 = 9.0;

impl Tuned {
    pub(super) fn guess(bits: Bits) -> Self {
        let times = if bits == Bits::Two { 5.0 } else { 2.5 };
        Self { steps: vec![(1, 3.0, 4.0 * times), (100, 3.0, times)] }
    }

    /// The effort for `k` rows.
    pub(super) fn effort(&self, k: usize) -> Effort {
        let at = self.steps.partition_point(|step| (step.0 as usize) < k);
        let (low, high) = (self.steps[at.saturating_sub(1)], self.steps[at.min(self.steps.len() - 1)]);
        let share = match high.0 > low.0 {
            true => ((k as f32).ln() - (low.0 as f32).ln()) / ((high.0 as f32).ln() - (low.0 as f32).ln()),
            false => 0.0,
        };
        let mixed = |low: f32, high: f32| low + share.clamp(0.0, 1.0) * (high - low);
        let rescored = (mixed(low.2, high.2) * k as f32).ceil() as usize;
        Effort { margin: mixed(low.1, high.1), rescored }
    }
}

/// Chooses for each `k` the effort that costs least and finds enough for rows of the index, each of which is not allowed to find itself.
/// Costs are counted, not timed, so that the same rows give the same effort.
pub(super) fn tune(state: &State, config: &Config) -> Tuned {
    let base = &*state.base;
    let n = base.len();
    let n_queries = config.tuning_queries.min(n / 4);
    if n_queries == 0 {
        return Tuned::guess(base.bits);
    }
    let mut random = Random::new(config.seed ^ 0x7475_6e65);
    let places: Vec<usize> = (0..n_queries)
        .map(|at| {
            let (from, to) = (at * n / n_queries, (at + 1) * n / n_queries);
            from + random.below(to - from)
        })
        .collect();
    let rows_by_place: Vec<u32> = {
        let all = base.packed.rows.iter().flat_map(|rows| rows.0);
        all.filter(|&row| row != super::base::NONE).collect()
    };
    let most = KS[KS.len() - 1].min(n / 8).max(1);
    let truths = truths(state, &places, most, &rows_by_place);
    let mut steps = Vec::new();
    for k in KS.into_iter().filter(|&k| k <= most) {
        let measure = |margin: f32, times: f32| {
            let rescored = (times * k as f32).ceil() as usize;
            measure(state, &places, &rows_by_place, &truths, k, Effort { margin, rescored })
        };
        let mut best: Option<(f64, f32, usize)> = None;
        let mut worse = 0;
        for (at, &times) in TIMES.iter().enumerate() {
            // Fewer exact scores than this never suffice, with however many lists.
            let enough = |(recall, _): (f64, f64)| recall >= f64::from(config.recall);
            let at_most = best.map_or(MARGIN_MAX, |(_, margin, _)| margin);
            if !enough(measure(at_most, times)) {
                continue;
            }
            let (mut low, mut high) = (-2.0, at_most);
            while high - low > 0.02 * (1.0 + high.abs()) {
                let middle = 0.5 * (low + high);
                if enough(measure(middle, times)) { high = middle } else { low = middle }
            }
            let (_, cost) = measure(high, times);
            if best.is_none_or(|(least, ..)| cost < least) {
                best = Some((cost, high, at));
                worse = 0;
            } else {
                worse += 1;
                if worse == 3 {
                    break;
                }
            }
        }
        let (margin, at) = best.map_or((MARGIN_MAX, TIMES.len() - 1), |(_, margin, at)| (margin, at));
        steps.push((k as u32, margin, TIMES[at]));
    }
    Tuned { steps }
}

/// The nearest rows of each query but itself, ascending.
fn truths(state: &State, places: &[usize], k: usize, rows: &[u32]) -> Vec<Vec<u32>> {
    let base = &*state.base;
    let (dim, vectors) = (base.dim, base.packed.vectors.all());
    let n = base.len();
    let halves: Vec<f32> = match base.config.metric {
        Metric::L2 => vectors.par_chunks_exact(dim).map(|x| 0.5 * upnext_math::dot::dot(x, x)).collect(),
        _ => vec![0.0; n],
    };
    let queries: Vec<f32> = places.iter().flat_map(|&at| &vectors[at * dim..][..dim]).copied().collect();
    const ROWS_AT_ONCE: usize = 4_096;
    const QUERIES_AT_ONCE: usize = 16;
    let parts: Vec<usize> = (0..places.len()).step_by(QUERIES_AT_ONCE).collect();
    let of_part = |from: usize| {
        let to = (from + QUERIES_AT_ONCE).min(places.len());
        let queries = View::new(&queries[from * dim..to * dim], to - from, dim, dim);
        let mut scores = vec![0.0; (to - from) * n];
        for begin in (0..n).step_by(ROWS_AT_ONCE) {
            let end = (begin + ROWS_AT_ONCE).min(n);
            let view = View::new(&vectors[begin * dim..end * dim], end - begin, dim, dim);
            let last = (to - from - 1) * n + end;
            let out = ViewMut::new(&mut scores[begin..last], to - from, end - begin, n);
            multiply(out, Accumulate::Replace, queries, view.t(), 1.0, Precision::F32);
        }
        let mut truths = Vec::new();
        for (at, scores) in scores.chunks_exact_mut(n).enumerate() {
            scores.iter_mut().zip(&halves).for_each(|(score, half)| *score -= half);
            scores[places[from + at]] = f32::NEG_INFINITY;
            let mut truth: Vec<u32> = top_k(scores, k).iter().map(|&at| rows[at as usize]).collect();
            // The best first, so that the first of them are the truth of a smaller k.
            truth.truncate(k);
            truths.push(truth);
        }
        truths
    };
    parts.into_par_iter().flat_map_iter(of_part).collect()
}

/// The recall of an effort, and what it costs in nanoseconds, roughly.
fn measure(
    state: &State,
    places: &[usize],
    rows: &[u32],
    truths: &[Vec<u32>],
    k: usize,
    effort: Effort,
) -> (f64, f64) {
    let base = &*state.base;
    let (dim, vectors) = (base.dim, base.packed.vectors.all());
    let one = |(&place, truth): (&usize, &Vec<u32>)| {
        Scratch::with(|scratch| {
            let query = &vectors[place * dim..][..dim];
            let other = |row: u32| row != rows[place];
            let allow = Allow::Predicate(&other);
            let hits = state.search_prepared(query, k, allow, Some(effort), scratch);
            let mut found: Vec<u32> = hits.iter().map(|hit| hit.row).collect();
            found.sort_unstable();
            let n = truth[..k].iter().filter(|row| found.binary_search(row).is_ok()).count();
            (n, scratch.blocks, scratch.rescored)
        })
    };
    let add = |a: (usize, usize, usize), b: (usize, usize, usize)| (a.0 + b.0, a.1 + b.1, a.2 + b.2);
    let (n, blocks, rescored) = places.par_iter().zip(truths).map(one).reduce(|| (0, 0, 0), add);
    // A line comes at the pace of the cache, a vector after a wait that is partly hidden.
    let cost =
        blocks as f64 * 2.5 * base.bits.lines(dim) as f64 + rescored as f64 * (25.0 + 0.12 * dim as f64);
    (n as f64 / (k * places.len()) as f64, cost)
}
