//! How much a search must look at, for a stated recall.

use rayon::prelude::*;
use upnext_math::codes::Bits;
use upnext_math::linalg::{Accumulate, Precision, View, ViewMut, multiply};
use upnext_math::seed::Random;
use upnext_math::top_k;

use super::search::{Filter, Scratch};
use super::state::State;
use super::{Config, LISTS_MAX};
use crate::Metric;

/// How much a search looks at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// So many of the nearest lists are looked at.
    pub lists: usize,
    /// Rows that are scored exactly, at least `k`.
    pub rescored: usize,
}

impl Effort {
    /// Every row, exactly: what [`Flat`](crate::Flat) does.
    pub fn full() -> Self {
        Self { lists: usize::MAX, rescored: usize::MAX }
    }
}

/// For some `k`, ascending: how many lists are looked at, and how many times `k` rows are scored exactly.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tuned {
    pub(crate) steps: Vec<(u32, f32, f32)>,
}

/// The numbers of rows that are tuned for; between them efforts are mixed.
const KS: [usize; 4] = [1, 10, 100, 500];

/// What is tried of rows scored exactly, in times of `k`: from so many on, each so many times the last.
const TIMES: usize = 28;
const TIMES_MIN: f32 = 1.05;
const TIMES_STEP: f32 = 1.22;

fn times(at: usize) -> f32 {
    TIMES_MIN * TIMES_STEP.powi(at as i32)
}

/// More rows are never scored exactly.
const RESCORED_MAX: usize = 5_000;

/// Numbers of lists that are tried: from so many on, each so many times the last.
const LISTS_MIN: f32 = 4.0;
const LISTS_STEP: f32 = 1.15;

impl Tuned {
    pub(super) fn guess(n_lists: usize, bits: Bits) -> Self {
        let times = if bits == Bits::Two { 5.0 } else { 2.5 };
        let lists = LISTS_MIN.max(0.02 * n_lists as f32);
        Self { steps: vec![(1, lists, 4.0 * times), (100, 2.0 * lists, times)] }
    }

    /// The effort for `k` rows: between two steps and beyond the last, lists grow with a power of `k`.
    pub(super) fn effort(&self, k: usize) -> Effort {
        let at =
            self.steps.partition_point(|step| (step.0 as usize) < k).clamp(1, self.steps.len().max(2) - 1);
        let (low, high) = (self.steps[at - 1], self.steps[at.min(self.steps.len() - 1)]);
        let share = match high.0 > low.0 {
            true => (k as f32 / low.0 as f32).ln() / (high.0 as f32 / low.0 as f32).ln(),
            false => 0.0,
        };
        let times = low.2 + share.clamp(0.0, 1.0) * (high.2 - low.2);
        let lists = (low.1 * (high.1 / low.1).max(1.0).powf(share)).min(LISTS_MAX as f32);
        Effort { lists: lists.ceil() as usize, rescored: (times * k as f32).ceil() as usize }
    }
}

/// Chooses for each `k` the effort that costs least and finds enough for rows of the index, each of which is not allowed to find itself.
/// Costs are counted, not timed, so that the same rows give the same effort.
pub(super) fn tune(state: &State, config: &Config) -> Tuned {
    let base = &*state.base;
    let n = base.len();
    let n_queries = config.tuning_queries.min(n / 4);
    if n_queries == 0 {
        return Tuned::guess(base.n_lists(), base.bits);
    }
    let mut random = Random::new(config.seed ^ 0x7475_6e65);
    let places: Vec<usize> = (0..n_queries)
        .map(|at| {
            let (from, to) = (at * n / n_queries, (at + 1) * n / n_queries);
            from + random.below(to - from)
        })
        .collect();
    let most = KS[KS.len() - 1].min(n / 8).max(1);
    let truths = truths(state, &places, most);
    let ks: Vec<usize> = KS.into_iter().filter(|&k| k <= most).collect();
    // A line comes at the pace of the cache, a vector after a wait that is partly hidden.
    let (a_block, a_row) = (3.0 * base.bits.lines(base.dim) as f64, 25.0 + 0.5 * base.dim as f64);
    let mut best: Vec<Option<(f64, f32, f32)>> = vec![None; ks.len()];
    // A tenth of what may be missed is kept in hand: other queries may be a little harder than those that were drawn.
    let recall = f64::from(config.recall + 0.1 * (1.0 - config.recall));
    let mut lists = LISTS_MIN;
    loop {
        let (found, blocks) = measure(state, &places, &truths, &ks, lists as usize);
        let looking = blocks * a_block;
        for ((best, found), &k) in best.iter_mut().zip(&found).zip(&ks) {
            let enough = |found: &usize| *found as f64 >= recall * (k * n_queries) as f64;
            if let Some(at) = found.iter().position(enough) {
                let cost = looking + f64::from(times(at)) * k as f64 * a_row;
                if best.is_none_or(|(least, ..)| cost < least) {
                    *best = Some((cost, lists, times(at)));
                }
            }
        }
        // More lists cost more, whatever they save.
        let is_done = best.iter().all(|best| best.is_some_and(|(least, ..)| looking > least));
        if is_done || lists as usize >= base.n_lists() {
            break;
        }
        lists = (lists * LISTS_STEP).max(lists + 1.0);
    }
    let most = (f64::INFINITY, lists, times(TIMES - 1));
    let step = |(&k, best): (&usize, Option<(f64, f32, f32)>)| {
        let (_, lists, times) = best.unwrap_or(most);
        (k as u32, lists, times)
    };
    Tuned { steps: ks.iter().zip(best).map(step).collect() }
}

/// The nearest rows of each query but itself: slots, and scores but for what only depends on the query. The best first.
fn truths(state: &State, places: &[usize], k: usize) -> Vec<Vec<(u32, f32)>> {
    let base = &*state.base;
    let (dim, vectors) = (base.dim, base.packed.vectors.all());
    let n = base.len();
    let slots: Vec<u32> = {
        let all = base.packed.rows.iter().flat_map(|rows| rows.0).zip(0u32..);
        all.filter(|(row, _)| *row != super::base::NONE).map(|(_, slot)| slot).collect()
    };
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
            let best = top_k(scores, k);
            truths.push(best.iter().map(|&at| (slots[at as usize], scores[at as usize])).collect());
        }
        truths
    };
    parts.into_par_iter().flat_map_iter(of_part).collect()
}

/// How many of the nearest all queries together find in so many lists, for each `k` and all that is tried of [`times`]; and how many blocks a query
/// looks at.
fn measure(
    state: &State,
    places: &[usize],
    truths: &[Vec<(u32, f32)>],
    ks: &[usize],
    lists: usize,
) -> (Vec<Vec<usize>>, f64) {
    let base = &*state.base;
    let one = |(&place, truth): (&usize, &Vec<(u32, f32)>)| {
        let query = &base.packed.vectors.all()[place * base.dim..][..base.dim];
        let effort = Effort { lists, rescored: RESCORED_MAX.min(base.len()) };
        let (ranked, blocks) =
            Scratch::with(|scratch| state.scan(query, 1, Filter::None, effort, scratch).ranked());
        let mut scores = truth.clone();
        scores.sort_unstable_by_key(|(slot, _)| *slot);
        // Where the nearest rows stand among those that seem best, and their scores. The query itself is not one of them.
        let itself = ranked.iter().position(|&slot| base.place(slot) == place).unwrap_or(usize::MAX);
        let at = |(at, slot): (usize, &u32)| {
            let found = scores.binary_search_by_key(slot, |(slot, _)| *slot).ok()?;
            Some((at - usize::from(at > itself), scores[found].1))
        };
        let found: Vec<(usize, f32)> = ranked.iter().enumerate().filter_map(at).collect();
        let of_k = |&k: &usize| {
            // Rows as near as the last of `k` are as good.
            let last = truth[k - 1].1;
            let enough = last - 1e-6 * last.abs();
            let good: Vec<usize> =
                found.iter().filter(|(_, score)| *score >= enough).map(|(at, _)| *at).collect();
            let at_most = |at| (times(at) * k as f32).ceil() as usize;
            (0..TIMES).map(|t| good.partition_point(|&at| at < at_most(t)).min(k)).collect::<Vec<_>>()
        };
        (ks.iter().map(of_k).collect::<Vec<_>>(), blocks)
    };
    let all: Vec<(Vec<Vec<usize>>, usize)> = places.par_iter().zip(truths).map(one).collect();
    let mut found = vec![vec![0; TIMES]; ks.len()];
    for (of_query, _) in &all {
        for (sum, more) in found.iter_mut().zip(of_query) {
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
    }
    let blocks: usize = all.iter().map(|(_, blocks)| blocks).sum();
    (found, blocks as f64 / places.len() as f64)
}
