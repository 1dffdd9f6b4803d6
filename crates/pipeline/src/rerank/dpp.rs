//! Greedy search for the most likely set of a determinantal point process: good, and spanning a large volume
//! (Chen, Zhang & Zhou 2018, arXiv 1709.05135).

use super::tradeoff::take_best;
use super::{Tradeoff, scaled};
use crate::pipeline::{Reranker, StageError};
use crate::{Candidate, Query};

/// Below this share of its length that points in a new direction, squared, a video adds nothing: it is a copy of
/// what is picked, or rounding.
const NEW_LEAST: f64 = 1e-6;

/// Picks, place by place, what adds most to `theta * (sum of relevance) + (1-theta) * ln det S`, where `S` are the
/// similarities of the picked with ones on the diagonal: `argmax theta*relevance + (1-theta)*ln d²`, `d` being the
/// part of a video's vector that is orthogonal to all that is picked.
///
/// `relevance` comes best first and is scaled to 0..1 over the list. Equal values go to the better relevance, so
/// `theta = 1` gives back the plain order. Similarities are those of some vectors of unit length; of others, what
/// would have a negative `d²` counts as a copy. The rows of the Cholesky factor grow by one entry a place, so
/// `k` places of `n` candidates cost `k * n` similarities and `k² * n` multiply-adds.
///
/// Returns the positions of the picked, at most `places`.
pub fn dpp(
    relevance: &[f64],
    theta: f64,
    places: usize,
    mut similarity: impl FnMut(usize, usize) -> f32,
) -> Vec<usize> {
    let n = relevance.len();
    let places = places.min(n);
    if theta >= 1.0 {
        return (0..places).collect();
    }
    let scaled = scaled(relevance);
    // Of each candidate: its row of the Cholesky factor, and d².
    let mut rows: Vec<Vec<f64>> = vec![Vec::with_capacity(places); n];
    let mut new = vec![1.0f64; n];
    let mut left: Vec<usize> = (0..n).collect();
    let mut picked = Vec::with_capacity(places);
    while picked.len() < places {
        let value = |at: usize| theta * scaled[at] + (1.0 - theta) * new[at].max(NEW_LEAST).ln();
        let chosen = take_best(&mut left, value);
        picked.push(chosen);
        // A copy spans nothing new, and dividing by its d would only spread rounding.
        if new[chosen] <= NEW_LEAST {
            continue;
        }
        let length = new[chosen].sqrt();
        let of_chosen = std::mem::take(&mut rows[chosen]);
        for &at in &left {
            let shared: f64 = of_chosen.iter().zip(&rows[at]).map(|(a, b)| a * b).sum();
            let entry = (f64::from(similarity(at, chosen)) - shared) / length;
            rows[at].push(entry);
            new[at] -= entry * entry;
        }
    }
    picked
}

/// The re-rank by volume; a request's lambda is its theta.
pub struct Dpp(pub Tradeoff);

impl Reranker for Dpp {
    fn name(&self) -> &str {
        "dpp"
    }

    fn rerank(&self, query: &Query, ranked: &[Candidate], places: usize) -> Result<Vec<usize>, StageError> {
        Ok(self.0.weigh(query, ranked, |relevance, weight, alike| dpp(relevance, weight, places, alike)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_copy_comes_after_everything_new() {
        // 0 and 1 are the same video; 2 is another.
        let alike = |a: usize, b: usize| if a.max(b) < 2 { 1.0 } else { 0.0 };
        assert_eq!(dpp(&[1.0, 0.9, 0.0], 1.0, 3, alike), [0, 1, 2]);
        assert_eq!(dpp(&[1.0, 0.9, 0.0], 0.5, 3, alike), [0, 2, 1]);
        assert_eq!(dpp(&[], 0.5, 3, alike), Vec::<usize>::new());
    }

    #[test]
    fn two_halves_leave_nothing_new_though_neither_is_a_copy() {
        // 2 lies between 0 and 1: its likeness to each is 0.71, yet together they span it. MMR would take it for as
        // new as 3, which is as like 0 and unlike 1.
        let vectors: [[f32; 3]; 4] = [
            [1.0, 0.0, 0.0],
            [0.0, 1.0, 0.0],
            [0.5f32.sqrt(), 0.5f32.sqrt(), 0.0],
            [0.5f32.sqrt(), 0.0, 0.5f32.sqrt()],
        ];
        let dot = |a: usize, b: usize| vectors[a].iter().zip(&vectors[b]).map(|(a, b)| a * b).sum::<f32>();
        assert_eq!(dpp(&[1.0, 0.9, 0.8, 0.8], 0.1, 4, dot), [0, 1, 3, 2]);
    }

    /// The determinant by elimination, of a matrix that is positive definite.
    fn determinant(mut m: Vec<Vec<f64>>) -> f64 {
        let mut product = 1.0;
        for at in 0..m.len() {
            let (above, below) = m.split_at_mut(at + 1);
            let pivot = &above[at];
            product *= pivot[at];
            for row in below {
                let factor = row[at] / pivot[at];
                row.iter_mut().zip(pivot).for_each(|(x, of_pivot)| *x -= factor * of_pivot);
            }
        }
        product
    }

    proptest! {
        #[test]
        fn the_order_is_a_permutation_and_theta_one_is_plain(
            mut relevance in prop::collection::vec(-1e6..1e6f64, 0..30),
            likeness in prop::collection::vec(0.0..1.0f32, 64),
            theta in 0.0..=1.0f64,
        ) {
            relevance.sort_by(|a, b| b.total_cmp(a));
            let n = relevance.len();
            // Of no vectors at all: whatever a likeness says, every place is filled.
            let alike = |a: usize, b: usize| likeness[(a.min(b) * 7 + a.max(b)) % 64];
            let mut order = dpp(&relevance, theta, n, alike);
            prop_assert_eq!(&dpp(&relevance, theta, n / 2, alike)[..], &order[..n / 2]);
            order.sort_unstable();
            prop_assert_eq!(order, (0..n).collect::<Vec<_>>());
            prop_assert_eq!(dpp(&relevance, 1.0, n, alike), (0..n).collect::<Vec<_>>());
        }

        #[test]
        fn the_growing_factor_equals_the_determinants(
            mut relevance in prop::collection::vec(0.0..1.0f64, 1..9),
            numbers in prop::collection::vec(-1.0..1.0f32, 16 * 9),
            theta in 0.0..1.0f64,
        ) {
            relevance.sort_by(|a, b| b.total_cmp(a));
            let n = relevance.len();
            // Vectors of 16 numbers: fewer of them than numbers, so that each adds volume.
            let vectors: Vec<Vec<f32>> = numbers.chunks(16).map(|row| {
                let length = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-3);
                row.iter().map(|x| x / length).collect()
            }).collect();
            let alike = |a: usize, b: usize| -> f32 {
                if a == b { 1.0 } else { vectors[a].iter().zip(&vectors[b]).map(|(a, b)| a * b).sum() }
            };
            let volume = |rows: &[usize]| determinant(
                rows.iter().map(|&a| rows.iter().map(|&b| f64::from(alike(a, b))).collect()).collect()
            );
            let scaled = scaled(&relevance);
            let picked = dpp(&relevance, theta, n, alike);
            for place in 0..n {
                let before = &picked[..place];
                let value = |at: usize| {
                    let with: Vec<usize> = before.iter().copied().chain([at]).collect();
                    let new = (volume(&with) / volume(before)).max(NEW_LEAST);
                    theta * scaled[at] + (1.0 - theta) * new.ln()
                };
                let chosen = value(picked[place]);
                for at in (0..n).filter(|at| !before.contains(at)) {
                    prop_assert!(value(at) <= chosen + 1e-3, "{at} at place {place} of {picked:?}");
                }
            }
        }
    }
}
