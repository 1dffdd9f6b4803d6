//! The spaces in which two videos are alike or not, and whether each is healthy.

use std::sync::Arc;

use serde::Serialize;
use upnext_data::{Dataset, Names};
use upnext_features::Content;
use upnext_math::Matrix;
use upnext_math::seed::Random;
use upnext_pipeline::rerank::{Similarity, Vectors};

/// One of them.
pub(crate) struct Space {
    pub(crate) name: &'static str,
    likeness: Likeness,
}

enum Likeness {
    /// Dense rows: the cosine.
    Vectors(Vectors),
    /// Sparse rows of unit length: the cosine.
    Content(Arc<Content>),
    /// Jaccard: shared labels over all labels of two videos.
    Labels(Vec<Vec<u32>>),
}

/// What a reader must know of a space before a curve in it means anything.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Health {
    /// `fused`, `text`, `content` or `genre`.
    pub(crate) space: &'static str,
    /// The distance of which ILD is the mean.
    pub(crate) distance: &'static str,
    /// The mean likeness of two videos that are ranked: near 1, the space has collapsed and says nothing.
    pub(crate) mean_likeness: f64,
    /// Ranked videos of which nothing is known here: unlike all.
    pub(crate) unknown: usize,
}

impl Space {
    /// Of rows of any length.
    pub(crate) fn of_vectors(name: &'static str, vectors: &Matrix) -> Self {
        Self { name, likeness: Likeness::Vectors(Vectors::new(vectors.clone())) }
    }

    pub(crate) fn of_content(name: &'static str, content: Arc<Content>) -> Self {
        Self { name, likeness: Likeness::Content(content) }
    }

    /// Genres or categories, where a set has any; else all labels. `None` where no video has one.
    pub(crate) fn of_labels(set: &Dataset) -> Option<Self> {
        let genres = groups(set, |row| {
            let of_kind = |kind| set.videos.labels_of(row, kind);
            of_kind("genre").chain(of_kind("category")).collect()
        });
        let is_there = |labels: &[Vec<u32>]| labels.iter().any(|labels| !labels.is_empty());
        let all = || set.videos.videos().iter().map(|video| video.labels.clone()).collect();
        let (name, labels) = if is_there(&genres) { ("genre", genres) } else { ("labels", all()) };
        is_there(&labels).then_some(Self { name, likeness: Likeness::Labels(labels) })
    }

    /// How alike two videos are; 1 is the same, and a cosine may be negative.
    pub(crate) fn between(&self, a: u32, b: u32) -> f32 {
        match &self.likeness {
            Likeness::Vectors(vectors) => vectors.between(a, b),
            Likeness::Content(content) => content.between(a, b),
            Likeness::Labels(labels) => {
                let (a, b) = (&labels[a as usize], &labels[b as usize]);
                let shared = a.iter().filter(|label| b.contains(label)).count();
                let all = a.len() + b.len() - shared;
                if all == 0 { 0.0 } else { shared as f32 / all as f32 }
            }
        }
    }

    pub(crate) fn distance(&self) -> &'static str {
        if matches!(self.likeness, Likeness::Labels(_)) { "jaccard" } else { "cosine" }
    }

    /// The metric of a list's variety in this space: `ild_fused_cosine@10`.
    pub(crate) fn metric(&self, k: usize) -> String {
        format!("ild_{}_{}@{k}", self.name, self.distance())
    }

    /// Looks at 100,000 pairs of different videos among some.
    pub(crate) fn health(&self, videos: &[u32], seed: u64) -> Health {
        const PAIRS: usize = 100_000;
        let n = videos.len();
        let mut random = Random::new(seed);
        let pairs = if n < 2 { 0 } else { PAIRS };
        let sum: f64 = (0..pairs)
            .map(|_| {
                let (a, b) = (random.below(n), random.below(n - 1));
                // Never a video with itself.
                let b = if b >= a { b + 1 } else { b };
                f64::from(self.between(videos[a], videos[b]))
            })
            .sum();
        let is_unknown = |&&row: &&u32| match &self.likeness {
            Likeness::Labels(labels) => labels[row as usize].is_empty(),
            _ => self.between(row, row) == 0.0,
        };
        Health {
            space: self.name,
            distance: if self.distance() == "cosine" { "1 - cosine" } else { "1 - Jaccard" },
            mean_likeness: sum / pairs.max(1) as f64,
            unknown: videos.iter().filter(is_unknown).count(),
        }
    }
}

/// The groups of each video, numbered by name.
pub(crate) fn groups<'a>(set: &'a Dataset, of: impl Fn(u32) -> Vec<&'a str>) -> Vec<Vec<u32>> {
    let mut names = Names::new();
    (0..set.videos.len() as u32)
        .map(|row| {
            let mut groups: Vec<u32> = of(row).into_iter().map(|name| names.intern(name)).collect();
            groups.sort_unstable();
            groups.dedup();
            groups
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collapsed_space_is_seen_by_its_mean_likeness() {
        let rows = |spread: f32| {
            let mut rows = Matrix::zeros(50, 2);
            (0..50).for_each(|row| rows.row_mut(row).copy_from_slice(&[3.0, spread * (row as f32 - 25.0)]));
            rows
        };
        let videos: Vec<u32> = (0..50).collect();
        let likeness = |spread| Space::of_vectors("fused", &rows(spread)).health(&videos, 1).mean_likeness;
        assert!(likeness(0.001) > 0.999 && likeness(1.0) < 0.5);
        let mut with_zeros = rows(1.0);
        with_zeros.row_mut(7).fill(0.0);
        assert_eq!(Space::of_vectors("fused", &with_zeros).health(&videos, 1).unknown, 1);
    }
}
