//! Selection of the largest scores.

use std::cmp::Ordering;

/// The positions of the `k` largest scores, best first; equal scores stand in the order of their positions.
/// Scores of negative infinity are left out: that is how a caller masks.
///
/// Cost: a pass over the scores with a rising threshold, then a sort of `k`.
pub fn top_k(scores: &[f32], k: usize) -> Vec<u32> {
    if k == 0 {
        return Vec::new();
    }
    let better =
        |a: &u32, b: &u32| -> Ordering { scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b)) };
    let room = (4 * k).max(64);
    let mut kept: Vec<u32> = Vec::with_capacity(room);
    let mut threshold = f32::NEG_INFINITY;
    for (at, &score) in scores.iter().enumerate() {
        // Equal to the threshold loses: an earlier position already holds the place.
        if score > threshold {
            kept.push(at as u32);
            if kept.len() == room {
                kept.select_nth_unstable_by(k - 1, better);
                kept.truncate(k);
                threshold = scores[kept[k - 1] as usize];
            }
        }
    }
    kept.sort_unstable_by(better);
    kept.truncate(k);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Random;

    #[test]
    fn selection_equals_a_full_sort() {
        let mut random = Random::new(1);
        for (n, k) in [(1, 1), (10, 3), (1_000, 10), (5_000, 700), (100, 200)] {
            // Few distinct values, so that ties are many.
            let scores: Vec<f32> = (0..n).map(|_| random.below(40) as f32).collect();
            let mut sorted: Vec<u32> = (0..n as u32).collect();
            sorted.sort_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]));
            sorted.truncate(k);
            assert_eq!(top_k(&scores, k), sorted, "n {n} k {k}");
        }
    }

    #[test]
    fn masked_scores_never_enter() {
        assert_eq!(top_k(&[f32::NEG_INFINITY, 1.0, f32::NEG_INFINITY], 3), [1]);
    }
}
