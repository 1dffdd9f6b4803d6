//! The two graphs over which vectors of videos spread: who watched what, and what is alike.

use std::collections::BTreeMap;

use upnext_math::seed::Random;
use upnext_math::{Matrix, Sparse};

use crate::zoo::nearest::Neighbours;

/// Viewers and videos, each pair weighing `1 / √(degree of the viewer · degree of the video)`.
#[derive(Clone, Debug)]
pub(super) struct Pairs {
    /// `(viewers, videos)`.
    up: Sparse,
    /// `(videos, viewers)`.
    down: Sparse,
}

impl Pairs {
    /// Over pairs that are all ones.
    pub(super) fn new(pairs: &Sparse) -> Self {
        let transposed = pairs.transpose();
        let degree = |of: &Sparse, row: usize| of.row(row).0.len() as f32;
        let up = pairs.clone().map(|viewer, video, _| {
            1.0 / (degree(pairs, viewer) * degree(&transposed, video as usize)).sqrt()
        });
        Self { down: up.transpose(), up }
    }

    /// Without a share of the pairs, drawn so that those of busy viewers and of popular videos go first: each stays with a
    /// chance that grows with `1 / √(degree · degree)` (Zhou & Shen 2023), as many as are wanted by the keys of
    /// Efraimidis & Spirakis 2006.
    pub(super) fn pruned(&self, share: f32, random: &mut Random) -> Self {
        let n = self.up.values().len();
        let n_kept = n - (f64::from(share) * n as f64) as usize;
        let key = |&weight: &f32| -(1.0 - random.uniform()).max(f32::MIN_POSITIVE).ln() / weight;
        let keys: Vec<f32> = self.up.values().iter().map(key).collect();
        let mut order: Vec<u32> = (0..n as u32).collect();
        order.sort_unstable_by(|&a, &b| keys[a as usize].total_cmp(&keys[b as usize]).then(a.cmp(&b)));
        order.truncate(n_kept);
        order.sort_unstable();
        let mut kept = order.into_iter().peekable();
        let rows = self.up.starts().windows(2).map(|ends| {
            let mut row = Vec::new();
            while let Some(at) = kept.next_if(|&at| (at as usize) < ends[1]) {
                row.push((self.up.columns()[at as usize], 1.0));
            }
            row
        });
        Self::new(&Sparse::from_rows(self.up.n_columns(), rows))
    }
}

/// What spreads vectors of videos.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    pub(super) pairs: Pairs,
    /// Times that vectors go from videos to their viewers and back.
    pub(super) layers: usize,
    /// Neighbours by content and their transpose, where anything is known of the videos.
    pub(super) alike: Option<(Sparse, Sparse)>,
    /// Times that vectors go to what is alike.
    pub(super) content_layers: usize,
}

impl Graph {
    /// `mean of A^l E over l = 0..=layers, plus S^content_layers E` (He et al. 2020; Zhou & Shen 2023), where A goes from
    /// videos to viewers and back, S to neighbours by content; E and what comes of it are `(videos, dimension)`.
    pub(super) fn spread(&self, vectors: &Matrix) -> Matrix {
        self.both(vectors, self.alike.as_ref().map(|(alike, _)| alike))
    }

    /// The gradient of what was spread from that of what came of it: A is its own transpose.
    pub(super) fn spread_back(&self, gradient: &Matrix) -> Matrix {
        self.both(gradient, self.alike.as_ref().map(|(_, transposed)| transposed))
    }

    fn both(&self, vectors: &Matrix, alike: Option<&Sparse>) -> Matrix {
        let mut sum = vectors.clone();
        let mut layer = vectors.clone();
        for _ in 0..self.layers {
            layer = self.pairs.down.times_dense(&self.pairs.up.times_dense(&layer));
            add(&mut sum, &layer);
        }
        let share = 1.0 / (self.layers + 1) as f32;
        sum.values_mut().iter_mut().for_each(|x| *x *= share);
        if let Some(alike) = alike {
            let first = alike.times_dense(vectors);
            add(&mut sum, &(1..self.content_layers).fold(first, |layer, _| alike.times_dense(&layer)));
        }
        sum
    }
}

fn add(to: &mut Matrix, more: &Matrix) {
    to.values_mut().iter_mut().zip(more.values()).for_each(|(to, more)| *to += more);
}

/// The neighbours of all modalities as one graph: of each `1 / √(degree · degree)`, weighed by its modality's weight (1 where
/// none is named) over their sum; `None` where nothing is known of the videos, or all weigh 0.
pub(super) fn alike(neighbours: &[Neighbours], weights: &BTreeMap<String, f32>) -> Option<(Sparse, Sparse)> {
    let weight = |of: &Neighbours| weights.get(&of.name).copied().unwrap_or(1.0);
    let total: f32 = neighbours.iter().map(weight).sum();
    if total <= 0.0 {
        return None;
    }
    let mut all: Option<Sparse> = None;
    for of in neighbours {
        let out = of.graph.row_sums();
        let into = of.graph.transpose().row_sums();
        // One that is nobody's neighbour weighs as if it were one's.
        let root = |n: f32| n.max(1.0).sqrt();
        let share = weight(of) / total;
        let scaled =
            of.graph.clone().map(|row, column, _| share / (root(out[row]) * root(into[column as usize])));
        all = Some(match all {
            Some(sum) => sum.plus(1.0, &scaled),
            None => scaled,
        });
    }
    all.map(|all| {
        let transposed = all.transpose();
        (all, transposed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three_viewers() -> Pairs {
        let rows = [vec![(0, 1.0), (1, 1.0)], vec![(1, 1.0), (2, 1.0)], vec![(1, 1.0)]];
        Pairs::new(&Sparse::from_rows(3, rows))
    }

    #[test]
    fn a_layer_goes_to_viewers_and_back_and_its_mean_is_by_hand() {
        let graph = Graph { pairs: three_viewers(), layers: 1, alike: None, content_layers: 1 };
        // Video 0 has one viewer, who has two videos; video 1 has three viewers of two, two and one.
        let found = graph.spread(&Matrix::from_rows(3, 1, vec![1.0, 0.0, 0.0]));
        let to_first = 0.5 * (1.0 / 2.0);
        let to_second = 0.5 * (1.0 / 2.0) / 3f32.sqrt();
        let expected = [0.5 + to_first, to_second, 0.0];
        assert!(found.values().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn pruning_keeps_as_many_pairs_as_are_left_and_rather_those_of_the_less_busy() {
        let busy = (0..40).map(|video| (video, 1.0)).collect();
        let pairs = Pairs::new(&Sparse::from_rows(41, [busy, vec![(40, 1.0)]]));
        let kept_of_the_other = (0..50u64)
            .filter(|&seed| {
                let pruned = pairs.pruned(0.5, &mut Random::new(seed));
                assert_eq!(pruned.up.values().len(), 21);
                !pruned.up.row(1).0.is_empty()
            })
            .count();
        assert!(kept_of_the_other > 40, "{kept_of_the_other} of 50");
    }

    #[test]
    fn modalities_weigh_as_they_are_told() {
        let of = |name: &str, rows: [Vec<(u32, f32)>; 2]| Neighbours {
            name: name.into(),
            graph: Sparse::from_rows(2, rows),
        };
        let all = [of("image", [vec![(1, 1.0)], vec![(0, 1.0)]]), of("audio", [vec![(1, 1.0)], vec![]])];
        let (found, back) = alike(&all, &BTreeMap::from([("audio".to_string(), 3.0)])).unwrap();
        assert_eq!((found.get(0, 1), found.get(1, 0), back.get(1, 0)), (1.0, 0.25, 1.0));
        assert!(alike(&[], &BTreeMap::new()).is_none());
    }
}
