//! Maximal marginal relevance (Carbonell & Goldstein 1998): good, and unlike what stands above.

use super::tradeoff::take_best;
use super::{Tradeoff, scaled};
use crate::pipeline::{Reranker, StageError};
use crate::{Candidate, Query};

/// Picks, place by place, `argmax lambda*relevance - (1-lambda)*(largest similarity to what is picked)`.
///
/// `relevance` comes best first and is scaled to 0..1 over the list. Equal values go to the better relevance,
/// so `lambda = 1` gives back the plain order. Costs `places * n` similarities: the largest similarity of each
/// candidate runs along.
///
/// Returns the positions of the picked, at most `places`.
pub fn mmr(
    relevance: &[f64],
    lambda: f64,
    places: usize,
    mut similarity: impl FnMut(usize, usize) -> f32,
) -> Vec<usize> {
    let n = relevance.len();
    let places = places.min(n);
    if lambda >= 1.0 {
        return (0..places).collect();
    }
    let scaled = scaled(relevance);
    let mut nearest = vec![0.0f64; n];
    let mut left: Vec<usize> = (0..n).collect();
    let mut picked = Vec::with_capacity(places);
    while picked.len() < places {
        let value = |at: usize| lambda * scaled[at] - (1.0 - lambda) * nearest[at];
        let chosen = take_best(&mut left, value);
        picked.push(chosen);
        for &at in &left {
            let near = f64::from(similarity(at, chosen));
            if near > nearest[at] {
                nearest[at] = near;
            }
        }
    }
    picked
}

/// The re-rank by marginal relevance.
pub struct Mmr(pub Tradeoff);

impl Reranker for Mmr {
    fn name(&self) -> &str {
        "mmr"
    }

    fn rerank(&self, query: &Query, ranked: &[Candidate], places: usize) -> Result<Vec<usize>, StageError> {
        Ok(self.0.weigh(query, ranked, |relevance, weight, alike| mmr(relevance, weight, places, alike)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Two groups that are alike within: 0, 1, 2 and 3, 4.
    fn groups(a: usize, b: usize) -> f32 {
        if (a < 3) == (b < 3) { 1.0 } else { 0.0 }
    }

    #[test]
    fn variety_brings_the_other_group_up() {
        let relevance = [1.0, 0.9, 0.8, 0.7, 0.0];
        assert_eq!(mmr(&relevance, 1.0, 5, groups), [0, 1, 2, 3, 4]);
        // Second place: 0.5*0.9 - 0.5*1 against 0.5*0.7.
        assert_eq!(mmr(&relevance, 0.5, 3, groups), [0, 3, 1]);
        // Without relevance only unlikeness counts; ties go to the better relevance.
        assert_eq!(mmr(&relevance, 0.0, 3, groups), [0, 3, 1]);
    }

    #[test]
    fn equal_relevance_keeps_the_order_that_came_in() {
        assert_eq!(mmr(&[2.0, 2.0, 2.0], 0.9, 3, |_, _| 0.0), [0, 1, 2]);
        assert_eq!(mmr(&[], 0.5, 3, |_, _| 0.0), Vec::<usize>::new());
    }

    proptest! {
        #[test]
        fn the_order_is_a_permutation_and_lambda_one_is_plain(
            mut relevance in prop::collection::vec(-1e6..1e6f64, 0..40),
            likeness in prop::collection::vec(0.0..1.0f32, 64),
            lambda in 0.0..=1.0f64,
        ) {
            relevance.sort_by(|a, b| b.total_cmp(a));
            let n = relevance.len();
            let alike = |a: usize, b: usize| likeness[(a.min(b) * 7 + a.max(b)) % 64];
            let mut order = mmr(&relevance, lambda, n, alike);
            // The first places do not depend on how many are asked for.
            prop_assert_eq!(&mmr(&relevance, lambda, n / 2, alike)[..], &order[..n / 2]);
            order.sort_unstable();
            prop_assert_eq!(order, (0..n).collect::<Vec<_>>());
            prop_assert_eq!(mmr(&relevance, 1.0, n, alike), (0..n).collect::<Vec<_>>());
        }

        #[test]
        fn the_running_maximum_equals_the_definition(
            mut relevance in prop::collection::vec(0.0..1.0f64, 1..12),
            likeness in prop::collection::vec(0.0..1.0f32, 64),
            lambda in 0.0..1.0f64,
        ) {
            relevance.sort_by(|a, b| b.total_cmp(a));
            let n = relevance.len();
            let alike = |a: usize, b: usize| likeness[(a.min(b) * 7 + a.max(b)) % 64];
            let (most, least) = (relevance[0], relevance[n - 1]);
            let scaled = |at: usize| if most > least { (relevance[at] - least) / (most - least) } else { 1.0 };
            let mut plain: Vec<usize> = Vec::new();
            while plain.len() < n {
                let value = |at: usize| {
                    let near = plain.iter().map(|&p| f64::from(alike(at, p))).fold(0.0, f64::max);
                    lambda * scaled(at) - (1.0 - lambda) * near
                };
                let best = (0..n).filter(|at| !plain.contains(at)).fold(None, |best: Option<usize>, at| match best {
                    Some(b) if value(b) >= value(at) => Some(b),
                    _ => Some(at),
                });
                plain.extend(best);
            }
            prop_assert_eq!(mmr(&relevance, lambda, n, alike), plain);
        }
    }
}
