//! How far a picture can be believed: what it keeps of the neighbourhoods, and whether groups stand apart in it more
//! than shuffled groups would.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use upnext_math::Matrix;
use upnext_math::seed::Random;

use crate::nearest::{BLOCK, closeness, nearest};

/// The group of a row that has none.
pub(crate) const NO_GROUP: u8 = u8::MAX;
/// Times that groups are shuffled.
const SHUFFLES: u64 = 10;

/// A number, and what it is when groups are dealt out at random.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chance {
    /// As the groups are.
    pub value: f64,
    /// The mean over ten shuffles of the groups.
    pub shuffled: f64,
    /// The standard deviation of these ten.
    pub deviation: f64,
}

/// Trustworthiness (Venna & Kaski 2001) of the sampled points: 1 when every point that stands among a point's `k`
/// nearest in the picture is among its `k` nearest in the space,
/// `1 - 2 / (n k (2N - 3k - 1)) Σ_i Σ_j max(0, rank_ij - k)`
/// for `n` sampled of `N` points. Points at one distance have the least rank of them. `None` with too few points for
/// the formula.
pub(crate) fn trustworthiness(vectors: &Matrix, picture: &Matrix, k: usize, sample: &[u32]) -> Option<f64> {
    let n = vectors.n_rows();
    if n < 3 * k + 2 || sample.is_empty() {
        return None;
    }
    let shown = nearest(picture, sample, k);
    let of_block = |(block, shown): (&[u32], &[Vec<u32>])| -> f64 {
        let closeness = closeness(vectors, block);
        let of_row = |((&row, closeness), shown): ((&u32, &[f32]), &Vec<u32>)| -> f64 {
            let rank = |&other: &u32| {
                let bar = closeness[other as usize];
                let nearer = (0..).zip(closeness).filter(|&(at, c)| at != row && *c > bar).count();
                (nearer + 1).saturating_sub(k) as f64
            };
            shown.iter().map(rank).sum()
        };
        block.iter().zip(closeness.chunks_exact(n)).zip(shown).map(of_row).sum()
    };
    let blocks: Vec<f64> = sample.par_chunks(BLOCK).zip(shown.par_chunks(BLOCK)).map(of_block).collect();
    let penalty: f64 = blocks.iter().sum();
    let most = sample.len() as f64 * k as f64 * (2.0 * n as f64 - 3.0 * k as f64 - 1.0) / 2.0;
    Some(1.0 - penalty / most)
}

/// The share of a point's neighbours that are of its group, averaged over the sampled points that have one; so do
/// the neighbours that count. `None` where no point has a group or a neighbour of one.
pub(crate) fn purity(sample: &[u32], neighbours: &[Vec<u32>], groups: &[u8], seed: u64) -> Option<Chance> {
    against_chance(groups, seed, |groups| {
        let of_point = |(&row, near): (&u32, &Vec<u32>)| {
            let own = groups[row as usize];
            let known: Vec<u8> =
                near.iter().map(|&other| groups[other as usize]).filter(|&group| group != NO_GROUP).collect();
            let same = known.iter().filter(|&&group| group == own).count();
            (own != NO_GROUP && !known.is_empty()).then(|| same as f64 / known.len() as f64)
        };
        mean(sample.iter().zip(neighbours).filter_map(of_point))
    })
}

/// The mean silhouette (Rousseeuw 1987) of the sampled points by their groups: `(b - a) / max(a, b)`, where `a` is the
/// mean distance to the others of the own group and `b` the least mean distance to another group. Groups of one
/// sampled point are left out. `None` with fewer than two groups.
pub(crate) fn silhouette(points: &Matrix, sample: &[u32], groups: &[u8], seed: u64) -> Option<Chance> {
    let n = sample.len();
    let norm = |row: &u32| points.row(*row as usize).iter().map(|x| x * x).sum::<f32>();
    let norms: Vec<f32> = sample.iter().map(norm).collect();
    let picked = sample.iter().flat_map(|&row| points.row(row as usize).iter().copied()).collect();
    let picked = Matrix::from_rows(n, points.n_columns(), picked);
    let inner = upnext_math::linalg::product_transposed(&picked, &picked);
    let distance = |a: usize, b: usize| (norms[a] + norms[b] - 2.0 * inner.row(a)[b]).max(0.0).sqrt();
    let of_sample: Vec<u8> = sample.iter().map(|&row| groups[row as usize]).collect();
    against_chance(&of_sample, seed, |groups| {
        let mut sizes = [0usize; NO_GROUP as usize + 1];
        groups.iter().for_each(|&group| sizes[group as usize] += 1);
        sizes[NO_GROUP as usize] = 0;
        if sizes.iter().filter(|&&size| size > 1).count() < 2 {
            return None;
        }
        let of_point = |at: usize| {
            let own = groups[at] as usize;
            if sizes[own] < 2 {
                return None;
            }
            let mut sums = [0.0f64; NO_GROUP as usize + 1];
            (0..n).for_each(|other| sums[groups[other] as usize] += f64::from(distance(at, other)));
            let inside = sums[own] / (sizes[own] - 1) as f64;
            let outside = (0..sizes.len())
                .filter(|&group| group != own && sizes[group] > 1)
                .map(|group| sums[group] / sizes[group] as f64)
                .fold(f64::INFINITY, f64::min);
            let most = inside.max(outside);
            Some(if most > 0.0 { (outside - inside) / most } else { 0.0 })
        };
        let values: Vec<f64> = (0..n).into_par_iter().filter_map(of_point).collect();
        mean(values.into_iter())
    })
}

fn against_chance(groups: &[u8], seed: u64, measure: impl Fn(&[u8]) -> Option<f64>) -> Option<Chance> {
    let value = measure(groups)?;
    // Only rows that have a group change it with others, so that the same rows are measured.
    let with: Vec<usize> = (0..groups.len()).filter(|&row| groups[row] != NO_GROUP).collect();
    let mut shuffled = groups.to_vec();
    let mut random = Random::new(seed);
    let mut values = Vec::new();
    for _ in 0..SHUFFLES {
        for at in (1..with.len()).rev() {
            shuffled.swap(with[at], with[random.below(at + 1)]);
        }
        values.extend(measure(&shuffled));
    }
    let n = values.len() as f64;
    let mean = mean(values.iter().copied())?;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    Some(Chance { value, shuffled: mean, deviation: variance.sqrt() })
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut n) = (0.0, 0u32);
    values.for_each(|value| (sum, n) = (sum + value, n + 1));
    (n > 0).then(|| sum / f64::from(n))
}

/// At most so many rows, evenly drawn; all where there are fewer. Ascending.
pub(crate) fn sample(n_rows: usize, most: usize, seed: u64) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..n_rows as u32).collect();
    let mut random = Random::new(seed);
    for at in 0..most.min(n_rows) {
        rows.swap(at, at + random.below(n_rows - at));
    }
    rows.truncate(most);
    rows.sort_unstable();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two heaps on a line: 0..8 near 0, 8..16 near 100.
    fn heaps() -> Matrix {
        Matrix::from_rows(
            16,
            1,
            (0..16).map(|at| (at % 8) as f32 + if at < 8 { 0.0 } else { 100.0 }).collect(),
        )
    }

    fn all(n: u32) -> Vec<u32> {
        (0..n).collect()
    }

    #[test]
    fn a_picture_that_is_the_space_is_trusted_wholly_and_a_mixed_one_is_not() {
        let space = heaps();
        assert_eq!(trustworthiness(&space, &space, 3, &all(16)), Some(1.0));
        let mixed = Matrix::from_rows(16, 1, (0..16).map(|at| (at * 7 % 16) as f32).collect());
        let found = trustworthiness(&space, &mixed, 3, &all(16)).unwrap();
        assert!(found < 0.7, "{found}");
        assert_eq!(trustworthiness(&space, &space, 5, &all(16)), None);
    }

    #[test]
    fn trustworthiness_by_hand() {
        // Five points on a line. In the picture the neighbour of 0 is 2, whose rank from 0 is 2, so its penalty is 1;
        // the neighbours of all others are right. 1 - 2 / (5 * 1 * (10 - 3 - 1)) * 1.
        let space = Matrix::from_rows(5, 1, vec![0.0, 1.0, 2.5, 6.0, 7.0]);
        let picture = Matrix::from_rows(5, 2, vec![0.0, 3.0, 4.0, 0.0, 2.5, 0.5, 9.0, 0.0, 10.0, 0.0]);
        assert_eq!(nearest(&picture, &all(5), 1), [[2], [2], [1], [4], [3]]);
        // 1's nearest in the space is 0; in the picture it is 2, of rank 2: a second penalty.
        let expected = 1.0 - 2.0 / 30.0 * 2.0;
        assert!((trustworthiness(&space, &picture, 1, &all(5)).unwrap() - expected).abs() < 1e-9);
    }

    #[test]
    fn groups_that_are_heaps_are_pure_and_shuffled_ones_are_not() {
        let groups: Vec<u8> = (0..16).map(|at| u8::from(at >= 8)).collect();
        let near = nearest(&heaps(), &all(16), 4);
        let found = purity(&all(16), &near, &groups, 1).unwrap();
        assert_eq!(found.value, 1.0);
        assert!((found.shuffled - 7.0 / 15.0).abs() < 0.1 && found.deviation > 0.0, "{found:?}");
        let found = silhouette(&heaps(), &all(16), &groups, 1).unwrap();
        assert!(found.value > 0.95 && found.shuffled.abs() < 0.2, "{found:?}");
    }

    #[test]
    fn the_silhouette_of_four_points_by_hand() {
        // 0 and 1 against 4 and 6. Of 0: a = 1, b = 5, 0.8; of 1: a = 1, b = 4, 0.75; of 4: a = 2, b = 3.5, 3/7; of 6:
        // a = 2, b = 5.5, 7/11.
        let line = Matrix::from_rows(4, 1, vec![0.0, 1.0, 4.0, 6.0]);
        let found = silhouette(&line, &all(4), &[0, 0, 1, 1], 1).unwrap();
        let expected = (0.8 + 0.75 + 3.0 / 7.0 + 7.0 / 11.0) / 4.0;
        assert!((found.value - expected).abs() < 1e-4, "{found:?}");
    }

    #[test]
    fn without_groups_nothing_is_claimed() {
        let near = nearest(&heaps(), &all(16), 4);
        assert_eq!(purity(&all(16), &near, &[NO_GROUP; 16], 1), None);
        assert_eq!(silhouette(&heaps(), &all(16), &[0; 16], 1), None);
    }

    #[test]
    fn a_sample_has_each_row_once() {
        let drawn = sample(100, 10, 1);
        assert_eq!(drawn.len(), 10);
        assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]) && drawn[9] < 100);
        assert_eq!(sample(3, 10, 1), [0, 1, 2]);
    }
}
