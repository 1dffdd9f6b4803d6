//! Accuracy of a ranking: where do the relevant videos stand?
//!
//! Notation: R is the set of relevant videos, r a 1-based rank, h the number of relevant videos with r ≤ k.
//! A relevant video that is no candidate has no rank, but counts in |R| and in the ideal.

use std::fmt;
use std::str::FromStr;

use rayon::prelude::*;

use super::{Metric, Table};
use crate::{Case, EvalError};

/// The kinds of accuracy of a ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `hr@k`: 1 when h ≥ 1, else 0. Hit rate; ranx `hit_rate`, RecTools `HitRate`, LensKit `Hit`.
    Hr,
    /// `recall@k`: h / |R|. As trec_eval, ranx, RecTools and RePlay; LensKit divides by min(k, |R|), which is
    /// [`Overlap`](Self::Overlap) here.
    Recall,
    /// `precision@k`: h / k, however short the list. As trec_eval, ranx and RecTools; LensKit divides by the
    /// length of the list.
    Precision,
    /// `mrr@k`: 1 / r of the best relevant video, 0 beyond k. Everyone agrees.
    Mrr,
    /// `map@k`: Σ over hits of precision@r, divided by |R|. As trec_eval `map_cut`, ranx, and RecTools by
    /// default.
    Map,
    /// `map_min_k@k`: the same sum divided by min(k, |R|). As RecBole, MMRec, implicit, RePlay and LensKit.
    MapMinK,
    /// `ndcg@k`: Σ over hits of 1 / log2(r + 1), divided by the same sum for the ideal list, whose first
    /// min(k, |R|) places are relevant: the ideal is over all relevant videos, not over those retrieved. As
    /// current trec_eval, ranx, RePlay, RecBole, MMRec, and RecTools with `divide_by_achievable=True`.
    Ndcg,
    /// `ndcg_graded@k`: Σ over hits of gain / log2(r + 1), divided by the sum of the |R| gains in falling order
    /// up to k. The gain is linear, as in trec_eval and ranx `ndcg` (Järvelin & Kekäläinen 2002), not
    /// 2^gain − 1. Without gains it equals [`Ndcg`](Self::Ndcg).
    NdcgGraded,
    /// `ndcg_selfideal@k`: the DCG divided by the DCG of the same retrieved videos in their best order. A
    /// list that finds one of fifty relevant videos at rank 1 scores 1; printed only so that figures published
    /// this way can be compared. 0 without a hit.
    NdcgSelfIdeal,
    /// `f1@k`: the harmonic mean of precision and recall at k, which is 2h / (k + |R|). As ranx.
    F1,
    /// `jaccard@k`: h / (k + |R| − h), shared videos over all videos of list and truth.
    Jaccard,
    /// `overlap@k`: which share of the true top k is in the predicted top k, the *hit ratio* of designs that
    /// regress watch ratios. The true top k are the min(k, |R|) relevant videos with the largest gains, the
    /// lower row first among equals; without gains any relevant video counts: h / min(k, |R|).
    Overlap,
    /// `r_precision`: recall at k = |R|. As trec_eval `Rprec` and ranx.
    RPrecision,
    /// `auc`: the share of (relevant, not relevant) pairs of candidates in the right order; a relevant video
    /// that is no candidate loses to all (Hanley & McNeil 1982). 0.5 where nothing irrelevant was ranked.
    Auc,
}

impl Kind {
    /// All kinds, in the order of the documentation.
    pub const ALL: [Self; 14] = [
        Self::Hr,
        Self::Recall,
        Self::Precision,
        Self::Mrr,
        Self::Map,
        Self::MapMinK,
        Self::Ndcg,
        Self::NdcgGraded,
        Self::NdcgSelfIdeal,
        Self::F1,
        Self::Jaccard,
        Self::Overlap,
        Self::RPrecision,
        Self::Auc,
    ];

    /// The name, without the `@k`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hr => "hr",
            Self::Recall => "recall",
            Self::Precision => "precision",
            Self::Mrr => "mrr",
            Self::Map => "map",
            Self::MapMinK => "map_min_k",
            Self::Ndcg => "ndcg",
            Self::NdcgGraded => "ndcg_graded",
            Self::NdcgSelfIdeal => "ndcg_selfideal",
            Self::F1 => "f1",
            Self::Jaccard => "jaccard",
            Self::Overlap => "overlap",
            Self::RPrecision => "r_precision",
            Self::Auc => "auc",
        }
    }

    /// Whether it looks at the first k only.
    pub fn has_k(self) -> bool {
        !matches!(self, Self::RPrecision | Self::Auc)
    }
}

/// One measure of accuracy, `ndcg@10` for example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ranked {
    kind: Kind,
    // 0 where the kind has none, else at least 1 and at most K_MAX.
    k: usize,
}

impl Ranked {
    /// The largest k: discounts are tabulated up to it.
    pub const K_MAX: usize = 1_000_000;

    /// A kind at a k; the k of a kind without one is ignored. `None` when k is 0 or above [`K_MAX`](Self::K_MAX).
    pub fn at(kind: Kind, k: usize) -> Option<Self> {
        match kind.has_k() {
            false => Some(Self { kind, k: 0 }),
            true => (1..=Self::K_MAX).contains(&k).then_some(Self { kind, k }),
        }
    }

    /// Each kind at each k.
    pub fn grid(kinds: &[Kind], ks: &[usize]) -> Vec<Self> {
        let mut all = Vec::new();
        for &kind in kinds {
            let ks = if kind.has_k() { ks } else { &[0] };
            all.extend(ks.iter().filter_map(|&k| Self::at(kind, k)));
        }
        all
    }

    /// The kind.
    pub fn kind(self) -> Kind {
        self.kind
    }

    /// The k, where the kind has one.
    pub fn k(self) -> Option<usize> {
        self.kind.has_k().then_some(self.k)
    }
}

impl fmt::Display for Ranked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        match self.k() {
            Some(k) => write!(f, "@{k}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Ranked {
    type Err = EvalError;

    fn from_str(text: &str) -> Result<Self, EvalError> {
        let known =
            || Kind::ALL.map(|kind| format!("{}{}", kind.name(), if kind.has_k() { "@K" } else { "" }));
        let fail = |problem: &str| EvalError::Metric {
            text: text.into(),
            problem: problem.into(),
            known: known().join(", "),
        };
        let (name, k) = match text.trim().split_once('@') {
            Some((name, k)) => (name, Some(k)),
            None => (text.trim(), None),
        };
        let kind =
            Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| fail("no such name"))?;
        match (kind.has_k(), k) {
            (false, None) => Ok(Self { kind, k: 0 }),
            (false, Some(_)) => Err(fail("it takes no K")),
            (true, None) => Err(fail("it needs a K")),
            (true, Some(k)) => k
                .parse()
                .ok()
                .and_then(|k| Self::at(kind, k))
                .ok_or_else(|| fail(&format!("K must be a whole number from 1 to {}", Self::K_MAX))),
        }
    }
}

impl Metric for Ranked {
    fn name(&self) -> String {
        self.to_string()
    }

    fn measure(&self, cases: &[Case]) -> Vec<f64> {
        measure(&[*self], cases).columns.pop().unwrap_or_default()
    }
}

/// Cases that one task takes at a time.
const CASES_A_TASK: usize = 256;

/// Measures many metrics for every case, in one pass over the cases and on all threads.
pub fn measure(metrics: &[Ranked], cases: &[Case]) -> Table {
    let mut table = Table::new(cases);
    let mut distinct: Vec<Ranked> = Vec::with_capacity(metrics.len());
    for &metric in metrics {
        if !distinct.contains(&metric) {
            distinct.push(metric);
        }
    }
    let width = distinct.len();
    if width == 0 {
        return table;
    }
    let plan = Plan::new(&distinct);
    let mut rows = vec![0.0; cases.len() * width];
    cases.par_chunks(CASES_A_TASK).zip(rows.par_chunks_mut(CASES_A_TASK * width)).for_each(
        |(cases, rows)| {
            let mut scratch = Scratch::default();
            for (case, row) in cases.iter().zip(rows.chunks_exact_mut(width)) {
                plan.measure(case, &mut scratch, row);
            }
        },
    );
    table.names = distinct.iter().map(Ranked::to_string).collect();
    table.columns = (0..width).map(|at| rows.iter().skip(at).step_by(width).copied().collect()).collect();
    table
}

/// What all cases share: which ranks matter, the discounts, the ideals.
struct Plan<'a> {
    metrics: &'a [Ranked],
    /// Ranks from here on matter to no metric.
    beyond: u32,
    /// 1 / log2(rank + 2) of 0-based ranks.
    discount: Vec<f64>,
    /// The DCG of a list that starts with so many relevant videos.
    ideal: Vec<f64>,
    by_gain: bool,
}

/// What one case after another writes into, so that none allocates.
#[derive(Default)]
struct Scratch {
    /// 0-based rank and gain of relevant candidates, best first.
    hits: Vec<(u32, f64)>,
    /// Sums over the first hits: of discounts, of gains times discounts, of precisions.
    dcg: Vec<f64>,
    graded: Vec<f64>,
    precision: Vec<f64>,
    /// Positions in `relevant`, largest gain first.
    by_gain: Vec<u32>,
    gains: Vec<f64>,
}

impl<'a> Plan<'a> {
    fn new(metrics: &'a [Ranked]) -> Self {
        let k_max = metrics.iter().filter_map(|metric| metric.k()).max().unwrap_or(0);
        let all_ranks = metrics.iter().any(|metric| !metric.kind.has_k());
        let discount: Vec<f64> = (0..k_max).map(|rank| 1.0 / (rank as f64 + 2.0).log2()).collect();
        let mut ideal = Vec::with_capacity(k_max + 1);
        ideal.push(0.0);
        ideal.extend(discount.iter().scan(0.0, |sum, d| {
            *sum += d;
            Some(*sum)
        }));
        Self {
            metrics,
            beyond: if all_ranks { Case::MISSING } else { k_max as u32 },
            discount,
            ideal,
            by_gain: metrics
                .iter()
                .any(|m| matches!(m.kind, Kind::NdcgGraded | Kind::NdcgSelfIdeal | Kind::Overlap)),
        }
    }

    fn measure(&self, case: &Case, scratch: &mut Scratch, out: &mut [f64]) {
        if case.relevant.is_empty() {
            out.fill(0.0);
            return;
        }
        self.find_hits(case, scratch);
        for (metric, out) in self.metrics.iter().zip(out) {
            *out = self.value(*metric, case, scratch);
        }
    }

    fn find_hits(&self, case: &Case, scratch: &mut Scratch) {
        let Scratch { hits, dcg, graded, precision, by_gain, .. } = scratch;
        let by_gain_needed = self.by_gain && case.gains.is_some();
        hits.clear();
        let ranks = case.ranks.iter().take(case.relevant.len()).enumerate();
        hits.extend(ranks.filter(|&(_, &rank)| rank < self.beyond).map(|(at, &rank)| (rank, case.gain(at))));
        if hits.len() > 1 {
            hits.sort_unstable_by_key(|&(rank, _)| rank);
        }
        for (at, (rank, _)) in hits.iter_mut().enumerate() {
            // The j-th best cannot stand above place j: so no value leaves [0, 1], whatever the tie rule was.
            *rank = (*rank).max(at as u32);
        }
        for sums in [&mut *dcg, graded, precision] {
            sums.clear();
            sums.push(0.0);
        }
        let (mut d, mut g, mut p) = (0.0, 0.0, 0.0);
        for (at, &(rank, gain)) in hits.iter().enumerate() {
            let Some(discount) = self.discount.get(rank as usize) else { break };
            d += discount;
            g += gain * discount;
            p += (at + 1) as f64 / (f64::from(rank) + 1.0);
            dcg.push(d);
            graded.push(g);
            precision.push(p);
        }
        if by_gain_needed {
            by_gain.clear();
            by_gain.extend(0..case.relevant.len() as u32);
            let gain = |at: u32| case.gain(at as usize);
            by_gain.sort_unstable_by(|&a, &b| gain(b).total_cmp(&gain(a)).then(a.cmp(&b)));
        }
    }

    fn value(&self, metric: Ranked, case: &Case, scratch: &mut Scratch) -> f64 {
        let k = metric.k;
        let relevant = case.relevant.len();
        let hits = scratch.hits.partition_point(|&(rank, _)| (rank as usize) < k);
        let h = hits as f64;
        let reachable = relevant.min(k);
        match metric.kind {
            Kind::Hr => f64::from(u8::from(hits > 0)),
            Kind::Recall => h / relevant as f64,
            Kind::Precision => h / k as f64,
            Kind::Mrr if hits == 0 => 0.0,
            Kind::Mrr => 1.0 / (f64::from(scratch.hits[0].0) + 1.0),
            Kind::Map => scratch.precision[hits] / relevant as f64,
            Kind::MapMinK => scratch.precision[hits] / reachable as f64,
            Kind::Ndcg => scratch.dcg[hits] / self.ideal[reachable],
            Kind::NdcgGraded if case.gains.is_none() => scratch.dcg[hits] / self.ideal[reachable],
            Kind::NdcgGraded => {
                let best = scratch.by_gain.iter().take(reachable).map(|&at| case.gain(at as usize));
                ratio(scratch.graded[hits], discounted(best, &self.discount))
            }
            Kind::NdcgSelfIdeal if case.gains.is_none() => ratio(scratch.dcg[hits], self.ideal[hits]),
            Kind::NdcgSelfIdeal => {
                let Scratch { hits: found, gains, graded, .. } = scratch;
                gains.clear();
                gains.extend(found[..hits].iter().map(|&(_, gain)| gain));
                gains.sort_unstable_by(|a, b| b.total_cmp(a));
                ratio(graded[hits], discounted(gains.iter().copied(), &self.discount))
            }
            Kind::F1 => 2.0 * h / (k + relevant) as f64,
            Kind::Jaccard => h / (k + relevant - hits) as f64,
            Kind::Overlap if case.gains.is_none() => h / reachable as f64,
            Kind::Overlap => {
                let rank = |at: u32| case.ranks.get(at as usize).copied().unwrap_or(Case::MISSING);
                let best = &scratch.by_gain[..reachable];
                let found = best.iter().filter(|&&at| (rank(at) as usize) < k).count();
                found as f64 / reachable as f64
            }
            Kind::RPrecision => {
                let found = scratch.hits.partition_point(|&(rank, _)| (rank as usize) < relevant);
                found as f64 / relevant as f64
            }
            Kind::Auc => auc(&scratch.hits, relevant, case.n_candidates as usize),
        }
    }
}

fn discounted(gains: impl Iterator<Item = f64>, discount: &[f64]) -> f64 {
    gains.zip(discount).map(|(gain, discount)| gain * discount).sum()
}

/// A share of an ideal, 0 where the ideal is nothing. Rounding may not lift it above 1.
fn ratio(value: f64, ideal: f64) -> f64 {
    if ideal > 0.0 { (value / ideal).min(1.0) } else { 0.0 }
}

fn auc(hits: &[(u32, f64)], relevant: usize, candidates: usize) -> f64 {
    let others = candidates.saturating_sub(hits.len());
    if others == 0 {
        return 0.5;
    }
    let mut above = (relevant - hits.len()) as f64 * others as f64;
    let mut at = 0;
    while at < hits.len() {
        // Relevant videos that tie share a rank; above them stand that many others less the relevant ones.
        let tied = hits[at..].iter().take_while(|hit| hit.0 == hits[at].0).count();
        let last = at + tied - 1;
        above += tied as f64 * ((hits[at].0 as usize).saturating_sub(last).min(others)) as f64;
        at += tied;
    }
    (1.0 - above / (relevant as f64 * others as f64)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(name: &str, case: &Case) -> f64 {
        let metric: Ranked = name.parse().unwrap();
        let values = metric.measure(std::slice::from_ref(case));
        assert_eq!(values.len(), 1);
        values[0]
    }

    fn near(name: &str, case: &Case, expected: f64) {
        let found = value(name, case);
        assert!((found - expected).abs() < 1e-12, "{name}: {found}, expected {expected}");
    }

    /// Relevant 10, 20, 30; the list of five finds 20 at rank 1 and 10 at rank 4; 30 stands at rank 9 of 20.
    fn two_of_three() -> Case {
        Case {
            user: 0,
            list: vec![20, 1, 2, 10, 3],
            relevant: vec![10, 20, 30],
            gains: None,
            ranks: vec![3, 0, 8],
            n_candidates: 20,
        }
    }

    #[test]
    fn hit_rate_is_whether_anything_was_found() {
        near("hr@5", &two_of_three(), 1.0);
        near("hr@1", &Case::from_list(0, vec![1, 2], vec![2], 2), 0.0);
    }

    #[test]
    fn recall_is_two_of_three() {
        near("recall@5", &two_of_three(), 2.0 / 3.0);
        near("recall@9", &two_of_three(), 1.0);
    }

    #[test]
    fn precision_is_two_of_five() {
        near("precision@5", &two_of_three(), 2.0 / 5.0);
    }

    #[test]
    fn reciprocal_rank_looks_at_the_first_hit_only() {
        near("mrr@5", &two_of_three(), 1.0);
        near("mrr@5", &Case::from_list(0, vec![1, 2, 3], vec![2, 3], 9), 1.0 / 2.0);
        near("mrr@1", &Case::from_list(0, vec![1, 2, 3], vec![2, 3], 9), 0.0);
    }

    #[test]
    fn average_precision_has_two_denominators_and_two_names() {
        // Precision 1/1 at rank 1 and 2/4 at rank 4.
        near("map@5", &two_of_three(), (1.0 + 0.5) / 3.0);
        near("map_min_k@2", &two_of_three(), 1.0 / 2.0);
        near("map@2", &two_of_three(), 1.0 / 3.0);
    }

    #[test]
    fn ndcg_takes_its_ideal_over_all_relevant_videos() {
        let discount = |rank: f64| 1.0 / (rank + 1.0).log2();
        let ideal = discount(1.0) + discount(2.0) + discount(3.0);
        near("ndcg@5", &two_of_three(), (discount(1.0) + discount(4.0)) / ideal);
        // At k = 2 the best list holds two relevant videos.
        near("ndcg@2", &two_of_three(), discount(1.0) / (discount(1.0) + discount(2.0)));
    }

    #[test]
    fn ndcg_selfideal_rewards_a_list_that_found_almost_nothing() {
        let one_of_fifty = Case::from_list(0, vec![0, 100, 101], (0..50).collect(), 200);
        near("ndcg_selfideal@3", &one_of_fifty, 1.0);
        assert!(value("ndcg@3", &one_of_fifty) < 0.5);
        let discount = |rank: f64| 1.0 / (rank + 1.0).log2();
        let ideal = discount(1.0) + discount(2.0);
        near("ndcg_selfideal@5", &two_of_three(), (discount(1.0) + discount(4.0)) / ideal);
        near("ndcg_selfideal@5", &Case::from_list(0, vec![1], vec![2], 2), 0.0);
    }

    #[test]
    fn graded_ndcg_has_a_linear_gain() {
        let case = Case { gains: Some(vec![3.0, 1.0, 2.0]), ..two_of_three() };
        let discount = |rank: f64| 1.0 / (rank + 1.0).log2();
        let ideal = 3.0 * discount(1.0) + 2.0 * discount(2.0) + 1.0 * discount(3.0);
        near("ndcg_graded@5", &case, (1.0 * discount(1.0) + 3.0 * discount(4.0)) / ideal);
        let own = 3.0 * discount(1.0) + 1.0 * discount(2.0);
        near("ndcg_selfideal@5", &case, (1.0 * discount(1.0) + 3.0 * discount(4.0)) / own);
        // The gains change nothing in the binary one.
        near("ndcg@5", &case, value("ndcg@5", &two_of_three()));
        near("ndcg_graded@5", &two_of_three(), value("ndcg@5", &two_of_three()));
    }

    #[test]
    fn f1_is_the_harmonic_mean_and_jaccard_the_shared_share() {
        let (p, r) = (2.0 / 5.0, 2.0 / 3.0);
        near("f1@5", &two_of_three(), 2.0 * p * r / (p + r));
        // {20, 1, 2, 10, 3} and {10, 20, 30} share 2 of 6.
        near("jaccard@5", &two_of_three(), 2.0 / 6.0);
    }

    #[test]
    fn overlap_compares_the_predicted_with_the_true_top() {
        // By gain the true top 2 is {30, 10}; the predicted top 4 holds 10 alone of them.
        let case = Case { gains: Some(vec![2.0, 0.5, 3.0]), ..two_of_three() };
        near("overlap@2", &case, 0.0);
        near("overlap@4", &case, 2.0 / 3.0);
        near("overlap@5", &two_of_three(), 2.0 / 3.0);
        // Thirteen of the true fifty in the predicted fifty: 0.26.
        let list: Vec<u32> = (0..13).chain(100..137).collect();
        near("overlap@50", &Case::from_list(0, list, (0..50).collect(), 3_327), 0.26);
    }

    #[test]
    fn r_precision_cuts_at_the_number_of_relevant_videos() {
        near("r_precision", &two_of_three(), 1.0 / 3.0);
    }

    #[test]
    fn auc_counts_the_pairs_in_the_right_order() {
        // 17 others; none of them, 2 and 6 stand above the three relevant ones.
        near("auc", &two_of_three(), 1.0 - (2.0 + 6.0) / (3.0 * 17.0));
        let all_last = Case { ranks: vec![2, 3], ..Case::from_list(0, vec![], vec![1, 2], 4) };
        near("auc", &all_last, 0.0);
        let no_candidate = Case { ranks: vec![0, Case::MISSING], ..all_last.clone() };
        near("auc", &no_candidate, 0.5);
        let nothing_else = Case { n_candidates: 2, ranks: vec![0, 1], ..all_last };
        near("auc", &nothing_else, 0.5);
    }

    #[test]
    fn two_relevant_videos_that_tie_pessimistically_are_both_counted() {
        // Four equal scores, two of them relevant: both have rank 3, and both others stand above both.
        let case = Case { ranks: vec![3, 3], ..Case::from_list(0, vec![], vec![1, 2], 4) };
        near("auc", &case, 0.0);
        near("recall@4", &case, 1.0);
        near("recall@3", &case, 0.0);
    }

    #[test]
    fn names_are_read_as_they_are_printed_and_a_wrong_one_says_what_there_is() {
        for metric in Ranked::grid(&Kind::ALL, &[1, 10]) {
            assert_eq!(metric.to_string().parse::<Ranked>().unwrap(), metric);
        }
        for wrong in ["ndgc@10", "ndcg", "ndcg@0", "ndcg@ten", "ndcg@-1", "auc@10", "", "@", "hr@9999999999"]
        {
            let error = wrong.parse::<Ranked>().unwrap_err().to_string();
            assert!(error.contains("ndcg@K") && error.contains(&format!("`{wrong}`")), "{error}");
        }
    }

    #[test]
    fn nothing_to_measure_gives_an_empty_table() {
        let metrics = Ranked::grid(&Kind::ALL, &[10]);
        assert_eq!(measure(&metrics, &[]).mean("ndcg@10"), Some(0.0));
        assert_eq!(measure(&[], &[two_of_three()]).names().len(), 0);
        let no_truth = Case::from_list(0, vec![1, 2], vec![], 2);
        assert!(measure(&metrics, &[no_truth]).columns().all(|(_, column)| column == [0.0]));
    }

    fn case() -> impl Strategy<Value = Case> {
        (
            prop::collection::btree_set(0u32..60, 1..20),
            prop::collection::vec(prop_oneof![8 => 0u32..60, 1 => Just(Case::MISSING)], 20),
            prop::option::of(prop::collection::vec(-1.0f32..5.0, 20)),
        )
            .prop_map(|(relevant, mut ranks, gains)| {
                let relevant: Vec<u32> = relevant.into_iter().collect();
                ranks.truncate(relevant.len());
                Case { user: 0, list: vec![], relevant, gains, ranks, n_candidates: 60 }
            })
    }

    proptest! {
        #[test]
        fn every_value_is_between_0_and_1(case in case()) {
            for (name, column) in measure(&Ranked::grid(&Kind::ALL, &[1, 3, 10, 50]), &[case]).columns() {
                prop_assert!((0.0..=1.0).contains(&column[0]), "{name} is {}", column[0]);
            }
        }

        #[test]
        fn moving_a_relevant_video_up_never_lowers_a_value(case in case(), at in 0usize..20, by in 1u32..30) {
            let at = at % case.ranks.len();
            // Ranks without ties, as a plain list has them.
            let mut order: Vec<u32> = (0..60).collect();
            order.sort_by_key(|&v| case.relevant.binary_search(&v).map_or(30, |i| case.ranks[i]));
            let before = Case { gains: case.gains.clone(), ..Case::from_list(0, order.clone(), case.relevant.clone(), 60) };
            let rank = before.ranks[at] as usize;
            let video = order.remove(rank);
            order.insert(rank.saturating_sub(by as usize), video);
            let after = Case { gains: case.gains.clone(), ..Case::from_list(0, order, case.relevant.clone(), 60) };
            // With gains, a small one may push a large one down; a self-made ideal is no measure of progress.
            for metric in Ranked::grid(&Kind::ALL, &[1, 3, 10, 50]) {
                let graded = matches!(metric.kind(), Kind::NdcgGraded | Kind::Overlap) && case.gains.is_some();
                if graded || metric.kind() == Kind::NdcgSelfIdeal {
                    continue;
                }
                let value = |case: &Case| metric.measure(std::slice::from_ref(case))[0];
                prop_assert!(value(&after) >= value(&before) - 1e-12, "{metric}");
            }
        }

        #[test]
        fn many_metrics_at_once_equal_each_alone(cases in prop::collection::vec(case(), 1..600)) {
            let metrics = Ranked::grid(&Kind::ALL, &[2, 7]);
            let together = measure(&metrics, &cases);
            for metric in metrics {
                prop_assert_eq!(together.column(&metric.to_string()).unwrap(), metric.measure(&cases));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            if let Ok(metric) = text.parse::<Ranked>() {
                prop_assert!(metric.to_string().parse::<Ranked>().is_ok());
            }
        }
    }
}
