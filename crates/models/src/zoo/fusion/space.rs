//! What a space of videos is worth, looked at alone: whether it has collapsed, and what lies near what.

use std::collections::BTreeMap;

use upnext_math::linalg::{product_transposed, symmetric_eigen, transposed_product};
use upnext_math::{Matrix, top_k};

use crate::Training;

/// Whether vectors still tell videos apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The mean cosine of two videos: near 1 all are the same.
    pub mean_cosine: f64,
    /// How many directions are in use: `exp(-Σ p ln p)` over singular values as shares `p` (Roy & Vetterli 2007).
    pub effective_rank: f64,
    /// Numbers of a vector.
    pub dimension: usize,
}

impl Spread {
    /// Of rows of unit length; rows of zeros, videos of which nothing is known, do not count.
    pub fn of(videos: &Matrix) -> Self {
        let dimension = videos.n_columns();
        let mut sum = vec![0.0f64; dimension];
        let mut n = 0.0;
        for row in (0..videos.n_rows()).map(|video| videos.row(video)) {
            n += f64::from(u8::from(row.iter().any(|&x| x != 0.0)));
            sum.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        // The square of the sum has every pair twice, and every video with itself.
        let square: f64 = sum.iter().map(|x| x * x).sum();
        let mean_cosine = if n > 1.0 { (square - n) / (n * (n - 1.0)) } else { 1.0 };
        let (squares, _) = symmetric_eigen(&transposed_product(videos, videos));
        let values: Vec<f64> = squares.iter().map(|&x| f64::from(x.max(0.0)).sqrt()).collect();
        let total: f64 = values.iter().sum();
        let entropy: f64 = values.iter().map(|x| x / total).filter(|p| *p > 0.0).map(|p| -p * p.ln()).sum();
        Self { mean_cosine, effective_rank: if total > 0.0 { entropy.exp() } else { 0.0 }, dimension }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { mean_cosine, effective_rank, dimension } = self;
        write!(
            f,
            "mean cosine of two videos {mean_cosine:.3}, effective rank {effective_rank:.1} of {dimension}"
        )
    }
}

/// A kind of relation between videos: who has which of its values.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    pub(super) kind: String,
    pub(super) weight: f32,
    /// Values of each video that another one has too, numbered within the kind.
    pub(super) values_of: Vec<Vec<u32>>,
    /// Videos of each value.
    pub(super) videos_of: Vec<Vec<u32>>,
}

impl Relation {
    /// Of labels `kind:value` those kinds that have a weight.
    pub(super) fn all(training: &Training, weights: &BTreeMap<String, f32>) -> Vec<Self> {
        let labels = training.facts.as_deref().map_or(&[][..], |facts| &facts.labels);
        let n_videos = training.interactions.n_videos();
        let of_kind = |(kind, values): &(String, Vec<Vec<u32>>)| {
            let weight = weights.get(kind).copied().filter(|weight| *weight > 0.0)?;
            let n_values = values.iter().flatten().max().map_or(0, |&most| most as usize + 1);
            let mut videos_of = vec![Vec::new(); n_values];
            for (video, values) in (0..n_videos as u32).zip(values) {
                values.iter().for_each(|&value| videos_of[value as usize].push(video));
            }
            let is_shared = |value: &u32| videos_of[*value as usize].len() > 1;
            let mut values_of: Vec<Vec<u32>> =
                values.iter().map(|values| values.iter().copied().filter(is_shared).collect()).collect();
            values_of.resize(n_videos, Vec::new());
            Some(Self { kind: kind.clone(), weight, values_of, videos_of })
        };
        labels.iter().filter_map(of_kind).collect()
    }

    /// Whether two videos share a value.
    pub(super) fn holds(&self, a: u32, b: u32) -> bool {
        let of_b = &self.values_of[b as usize];
        self.values_of[a as usize].iter().any(|value| of_b.contains(value))
    }

    /// Of the nearest videos of each anchor that has a relative, the share that are relatives.
    pub(super) fn found(&self, near: &[(u32, Vec<u32>)]) -> Option<f64> {
        self.mean(near.iter().map(|(anchor, near)| {
            let n = near.iter().filter(|&&video| self.holds(*anchor, video)).count();
            (*anchor, n as f64 / near.len().max(1) as f64)
        }))
    }

    /// The same of videos drawn at random.
    pub(super) fn at_random(&self, anchors: &[u32]) -> Option<f64> {
        let n_others = self.values_of.len().saturating_sub(1).max(1) as f64;
        self.mean(anchors.iter().map(|&anchor| {
            let mut relatives: Vec<u32> = self.values_of[anchor as usize]
                .iter()
                .flat_map(|&value| &self.videos_of[value as usize])
                .copied()
                .filter(|&video| video != anchor)
                .collect();
            relatives.sort_unstable();
            relatives.dedup();
            (anchor, relatives.len() as f64 / n_others)
        }))
    }

    fn mean(&self, of: impl Iterator<Item = (u32, f64)>) -> Option<f64> {
        let related = of.filter(|(anchor, _)| !self.values_of[*anchor as usize].is_empty());
        let (sum, n) = related.fold((0.0, 0), |(sum, n), (_, share)| (sum + share, n + 1));
        (n > 0).then(|| sum / f64::from(n))
    }
}

/// How many of the nearest are looked at.
pub(super) const NEAREST: usize = 10;

/// Of more anchors than these, evenly spread ones are asked: the work grows with anchors times videos.
const ANCHORS_MAX: usize = 2_000;

/// Of each anchor, or of some of very many, the nearest other videos by cosine, nearest first.
pub(super) fn nearest(videos: &Matrix, anchors: &[u32]) -> Vec<(u32, Vec<u32>)> {
    const BLOCK: usize = 256;
    let step = anchors.len().div_ceil(ANCHORS_MAX).max(1);
    let anchors: Vec<u32> = anchors.iter().step_by(step).copied().collect();
    let mut all = Vec::with_capacity(anchors.len());
    for block in anchors.chunks(BLOCK) {
        let values = block.iter().flat_map(|&anchor| videos.row(anchor as usize)).copied().collect();
        let mut cosines =
            product_transposed(&Matrix::from_rows(block.len(), videos.n_columns(), values), videos);
        for (at, &anchor) in block.iter().enumerate() {
            let cosines = cosines.row_mut(at);
            cosines[anchor as usize] = f32::NEG_INFINITY;
            let mut near = top_k(cosines, NEAREST);
            near.retain(|&video| video != anchor);
            all.push((anchor, near));
        }
    }
    all
}

/// In words: of each relation the share among the nearest of anchors, beside that by what the layers read and by chance.
pub(super) fn told(videos: &Matrix, inputs: &Matrix, relations: &[Relation], anchors: &[u32]) -> String {
    let (near, by_inputs) = (nearest(videos, anchors), nearest(inputs, anchors));
    let asked: Vec<u32> = near.iter().map(|(anchor, _)| *anchor).collect();
    let one = |relation: &Relation| {
        let (found, before) = (relation.found(&near)?, relation.found(&by_inputs)?);
        let chance = relation.at_random(&asked)?;
        Some(format!("{} {found:.3} (inputs {before:.3}, chance {chance:.3})", relation.kind))
    };
    let all: Vec<String> = relations.iter().filter_map(one).collect();
    all.join(", ")
}
