//! What one list is like beside being right: varied, novel, surprising, and in proportion.
//!
//! All look at the first k of the list, or at all of it where it is shorter; an empty list gives 0.

use rayon::prelude::*;
use upnext_math::Matrix;

use super::Metric;
use crate::Case;

/// How far apart two videos are, between 0 and whatever the distance reaches.
pub trait VideoDistance: Sync {
    /// The name that joins the metric's: `cosine` makes `ild_cosine@10`.
    fn name(&self) -> &str;

    /// The distance; finite, and 0 of a video to itself.
    fn between(&self, a: u32, b: u32) -> f64;
}

/// A closure as a distance, with a name.
pub struct Named<F>(pub String, pub F);

impl<F: Fn(u32, u32) -> f64 + Sync> VideoDistance for Named<F> {
    fn name(&self) -> &str {
        &self.0
    }

    fn between(&self, a: u32, b: u32) -> f64 {
        (self.1)(a, b)
    }
}

/// 1 − cosine of two rows of a matrix; 1 where a row is missing or zero. Named after the space: `plot_cosine`.
pub struct Cosine<'a> {
    /// The name in the metric's.
    pub name: String,
    /// A row for each video.
    pub rows: &'a Matrix,
}

impl VideoDistance for Cosine<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn between(&self, a: u32, b: u32) -> f64 {
        let n = self.rows.n_rows();
        if a == b {
            return 0.0;
        }
        if a as usize >= n || b as usize >= n {
            return 1.0;
        }
        let (a, b) = (self.rows.row(a as usize), self.rows.row(b as usize));
        let dot =
            |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
        let length = (dot(a, a) * dot(b, b)).sqrt();
        if length > 0.0 { 1.0 - (dot(a, b) / length).clamp(-1.0, 1.0) } else { 1.0 }
    }
}

/// 1 − shared labels over all labels of two videos; 1 where neither has a label. Named after the labels:
/// `genre_jaccard`.
pub struct Jaccard<'a> {
    /// The name in the metric's.
    pub name: String,
    /// The labels of each video, each once.
    pub labels: &'a [Vec<u32>],
}

impl VideoDistance for Jaccard<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn between(&self, a: u32, b: u32) -> f64 {
        if a == b {
            return 0.0;
        }
        let of = |video: u32| self.labels.get(video as usize).map_or(&[][..], Vec::as_slice);
        let (a, b) = (of(a), of(b));
        let shared = a.iter().filter(|label| b.contains(label)).count();
        let all = a.len() + b.len() - shared;
        if all == 0 { 1.0 } else { 1.0 - shared as f64 / all as f64 }
    }
}

fn for_each_list(cases: &[Case], k: usize, value: impl Fn(&Case, &[u32]) -> f64 + Sync) -> Vec<f64> {
    cases.par_iter().with_min_len(64).map(|case| value(case, case.top(k))).collect()
}

fn mean_of(list: &[u32], value: impl FnMut(u32) -> f64) -> f64 {
    if list.is_empty() { 0.0 } else { list.iter().copied().map(value).sum::<f64>() / list.len() as f64 }
}

/// `ild_DISTANCE@k`: the mean distance over the n(n − 1)/2 pairs of the list's first k (Ziegler et al. 2005 for
/// the idea as similarity; RecTools `IntraListDiversity`). 0 of fewer than two videos.
pub struct Diversity<'a> {
    /// How much of the list is looked at.
    pub k: usize,
    /// The distance, which gives the metric its name.
    pub distance: &'a dyn VideoDistance,
}

impl Metric for Diversity<'_> {
    fn name(&self) -> String {
        format!("ild_{}@{}", self.distance.name(), self.k)
    }

    fn measure(&self, cases: &[Case]) -> Vec<f64> {
        for_each_list(cases, self.k, |_, list| {
            let pairs = list.len() * list.len().saturating_sub(1) / 2;
            if pairs == 0 {
                return 0.0;
            }
            let from = |at: usize| list[at + 1..].iter().map(move |&b| self.distance.between(list[at], b));
            (0..list.len()).flat_map(from).sum::<f64>() / pairs as f64
        })
    }
}

/// `novelty@k`: the mean self-information −log2 p of the list's first k, in bits, where p is the share of train
/// users who have the video (Zhou et al. 2010; RecTools `MeanInvUserFreq`). A video that nobody has counts as
/// if one user had it.
pub struct Novelty<'a> {
    /// How much of the list is looked at.
    pub k: usize,
    /// Train users of each video.
    pub counts: &'a [u32],
    /// All train users.
    pub n_users: usize,
}

impl Metric for Novelty<'_> {
    fn name(&self) -> String {
        format!("novelty@{}", self.k)
    }

    fn measure(&self, cases: &[Case]) -> Vec<f64> {
        for_each_list(cases, self.k, |_, list| {
            mean_of(list, |video| {
                let users = self.counts.get(video as usize).copied().unwrap_or(0).max(1);
                (self.n_users.max(1) as f64 / f64::from(users)).log2().max(0.0)
            })
        })
    }

    fn note(&self) -> Option<String> {
        Some(format!("bits; p is the share of {} train users", self.n_users))
    }
}

/// `arp@k`: average recommendation popularity, the mean train count of the list's first k (Yin et al. 2012;
/// RecBole `AveragePopularity`). Popularity bias: the larger, the more the list repeats what all watch.
pub struct Popularity<'a> {
    /// How much of the list is looked at.
    pub k: usize,
    /// Train users of each video.
    pub counts: &'a [u32],
}

impl Metric for Popularity<'_> {
    fn name(&self) -> String {
        format!("arp@{}", self.k)
    }

    fn measure(&self, cases: &[Case]) -> Vec<f64> {
        for_each_list(cases, self.k, |_, list| {
            mean_of(list, |video| f64::from(self.counts.get(video as usize).copied().unwrap_or(0)))
        })
    }
}

/// `serendipity@k`: right and not obvious; the mean over the list's first k of max(p_user − p_popular, 0) for
/// relevant videos, 0 for others. p = (n + 1 − rank) / n over n videos of the catalogue, by the rank in the
/// list and by the rank in train popularity; equal counts share a rank, and a video without a count has p = 0
/// (RecTools `Serendipity`).
pub struct Serendipity {
    k: usize,
    n_videos: usize,
    popular: Vec<f64>,
}

impl Serendipity {
    /// From the train users of each video of the catalogue.
    pub fn new(k: usize, counts: &[u32]) -> Self {
        let n_videos = counts.len();
        let mut distinct: Vec<u32> = counts.iter().copied().filter(|&count| count > 0).collect();
        distinct.sort_unstable_by(|a, b| b.cmp(a));
        distinct.dedup();
        // The place among the distinct counts, largest first, is the 0-based rank.
        let probability = |&count: &u32| {
            let rank = distinct.partition_point(|&larger| larger > count);
            if count == 0 { 0.0 } else { (n_videos - rank) as f64 / n_videos as f64 }
        };
        Self { k, n_videos, popular: counts.iter().map(probability).collect() }
    }
}

impl Metric for Serendipity {
    fn name(&self) -> String {
        format!("serendipity@{}", self.k)
    }

    fn measure(&self, cases: &[Case]) -> Vec<f64> {
        let n = self.n_videos.max(1) as f64;
        for_each_list(cases, self.k, |case, list| {
            let mut rank = 0;
            mean_of(list, |video| {
                rank += 1;
                let popular = self.popular.get(video as usize).copied().unwrap_or(0.0);
                let own = (n + 1.0 - f64::from(rank)) / n;
                if case.is_relevant(video) { (own - popular).max(0.0) } else { 0.0 }
            })
        })
    }

    fn note(&self) -> Option<String> {
        Some(format!("against train popularity over {} videos", self.n_videos))
    }
}

/// `calibration_kl@k`: how far the list's mix of labels is from the history's, Kullback-Leibler, in nats
/// (Steck 2018): Σ p(l) ln(p(l) / q̃(l)) with q̃ = (1 − α) q + α p. A video spreads a weight of 1 evenly over its
/// labels; p is the mix of the history and q that of the list's first k, every video weighing the same; videos
/// without labels are left out. 0 is perfect proportion, ln(1/α) the most there can be (nothing in common, or a
/// list without labels). A history without labels asks for no proportion and gives 0.
pub struct Calibration<'a, F> {
    /// How much of the list is looked at.
    pub k: usize,
    /// The labels of each video, each once: genres, tags.
    pub labels: &'a [Vec<u32>],
    /// The history of a user.
    pub history: F,
    /// The smoothing α, above 0 and below 1; Steck uses [`ALPHA`](Self::ALPHA).
    pub alpha: f64,
}

impl<F> Calibration<'_, F> {
    /// The smoothing of the paper.
    pub const ALPHA: f64 = 0.01;

    fn mix(&self, videos: impl IntoIterator<Item = u32>, n_labels: usize) -> Option<Vec<f64>> {
        let mut mix = vec![0.0; n_labels];
        let mut n = 0usize;
        for labels in videos.into_iter().filter_map(|video| self.labels.get(video as usize)) {
            n += usize::from(!labels.is_empty());
            for &label in labels {
                mix[label as usize] += 1.0 / labels.len() as f64;
            }
        }
        mix.iter_mut().for_each(|share| *share /= n.max(1) as f64);
        (n > 0).then_some(mix)
    }
}

impl<F, H> Metric for Calibration<'_, F>
where
    F: Fn(u32) -> H + Sync,
    H: IntoIterator<Item = u32>,
{
    fn name(&self) -> String {
        format!("calibration_kl@{}", self.k)
    }

    fn measure(&self, cases: &[Case]) -> Vec<f64> {
        let n_labels = self.labels.iter().flatten().max().map_or(0, |&label| label as usize + 1);
        let alpha = self.alpha.clamp(1e-9, 1.0);
        for_each_list(cases, self.k, |case, list| {
            let Some(history) = self.mix((self.history)(case.user), n_labels) else { return 0.0 };
            let list = self.mix(list.iter().copied(), n_labels).unwrap_or_else(|| vec![0.0; n_labels]);
            let terms = history.iter().zip(&list).filter(|(p, _)| **p > 0.0);
            let kl: f64 = terms.map(|(p, q)| p * (p / ((1.0 - alpha) * q + alpha * p)).ln()).sum();
            // Rounding may leave a perfect match a hair below 0.
            kl.max(0.0)
        })
    }

    fn note(&self) -> Option<String> {
        Some(format!("Kullback-Leibler in nats, smoothing α {}", self.alpha))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(list: &[u32], relevant: &[u32]) -> Case {
        Case::from_list(0, list.to_vec(), relevant.to_vec(), 100)
    }

    fn near(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
        }
    }

    #[test]
    fn diversity_is_the_mean_over_the_pairs() {
        let distance = Named("steps".into(), |a: u32, b: u32| f64::from(a.abs_diff(b)));
        let metric = Diversity { k: 3, distance: &distance };
        assert_eq!(metric.name(), "ild_steps@3");
        // |1-3| + |1-6| + |3-6| = 10 over 3 pairs; one pair; none.
        let cases = [case(&[1, 3, 6, 99], &[1]), case(&[4, 2], &[1]), case(&[7], &[1]), case(&[], &[1])];
        near(&metric.measure(&cases), &[10.0 / 3.0, 2.0, 0.0, 0.0]);
    }

    #[test]
    fn distances_know_equal_different_and_missing() {
        let rows = Matrix::from_rows(3, 2, vec![1.0, 0.0, 0.0, 2.0, 0.0, 0.0]);
        let cosine = Cosine { name: "plot_cosine".into(), rows: &rows };
        near(&[(0, 0), (0, 1), (0, 2), (0, 9)].map(|(a, b)| cosine.between(a, b)), &[0.0, 1.0, 1.0, 1.0]);
        let labels = [vec![1, 2], vec![2, 3], vec![], vec![1, 2]];
        let jaccard = Jaccard { name: "genre_jaccard".into(), labels: &labels };
        near(
            &[(0, 1), (0, 3), (0, 2), (2, 9)].map(|(a, b)| jaccard.between(a, b)),
            &[2.0 / 3.0, 0.0, 1.0, 1.0],
        );
    }

    #[test]
    fn novelty_is_the_mean_of_the_bits() {
        // 8 users: a video of all has 0 bits, of 2 has 2 bits, of none counts as of one: 3 bits.
        let metric = Novelty { k: 3, counts: &[8, 2, 0], n_users: 8 };
        near(&metric.measure(&[case(&[0, 1, 2], &[1]), case(&[1], &[1])]), &[5.0 / 3.0, 2.0]);
    }

    #[test]
    fn popularity_is_the_mean_train_count() {
        let metric = Popularity { k: 2, counts: &[8, 2, 0] };
        near(&metric.measure(&[case(&[0, 1, 2], &[1])]), &[5.0]);
    }

    #[test]
    fn serendipity_counts_what_is_right_and_not_obvious() {
        // Counts 5, 5, 1, 0 over four videos: popular ranks 1, 1, 2, none, so p_popular 1, 1, 3/4, 0.
        let metric = Serendipity::new(2, &[5, 5, 1, 0]);
        let cases = [
            case(&[0, 1], &[0, 1]), // as popular as can be: nothing
            case(&[2, 3], &[2, 3]), // (1 - 3/4) and (3/4 - 0)
            case(&[2, 3], &[3]),    // the first is wrong
            case(&[3], &[3]),       // a list of one
        ];
        near(&metric.measure(&cases), &[0.0, 0.5, 0.375, 1.0]);
    }

    #[test]
    fn calibration_is_nothing_in_proportion_and_the_logarithm_of_alpha_without() {
        // Video 0 is comedy, 1 drama, 2 both, 3 has no label.
        let labels = [vec![0], vec![1], vec![0, 1], vec![]];
        let histories = [vec![0, 1], vec![0, 1], vec![0], vec![0], vec![3]];
        let history = |user: u32| histories[user as usize].clone();
        let metric = Calibration { k: 2, labels: &labels, history, alpha: 0.01 };
        let lists = [vec![2, 3], vec![0, 0], vec![1], vec![3], vec![0]];
        let cases: Vec<Case> = lists
            .into_iter()
            .enumerate()
            .map(|(user, list)| Case::from_list(user as u32, list, vec![0], 4))
            .collect();
        // Half and half met by comedy alone: p = (1/2, 1/2), q~ = (0.995, 0.005).
        let comedy_alone = 0.5 * (0.5f64 / 0.995).ln() + 0.5 * (0.5f64 / 0.005).ln();
        let most = 100f64.ln();
        near(&metric.measure(&cases), &[0.0, comedy_alone, most, most, 0.0]);
        assert!(metric.note().unwrap().contains("0.01"));
    }
}
