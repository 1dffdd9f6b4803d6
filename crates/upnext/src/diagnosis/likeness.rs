//! Whether what is watched next is like what was watched last.

use serde::Serialize;
use upnext_data::Order;
use upnext_features::Content;
use upnext_math::seed::{Random, mix};
use upnext_models::{Modality, Training};

/// About so many pairs are compared at most, drawn by the seed.
const PAIRS_MAX: usize = 20_000;

/// Cosines in one space, of the same last videos with three kinds of other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Likeness {
    /// The space: `labels and text`, or the name of the vectors.
    pub(crate) space: String,
    /// Pairs compared.
    pub(crate) pairs: usize,
    /// With the next video; of a set without order with any other of the viewer.
    pub(crate) next: f64,
    /// With any other video of the same viewer: what taste alone makes alike.
    pub(crate) of_viewer: f64,
    /// With the next video of somebody else, so that popular videos are as frequent.
    pub(crate) random: f64,
    /// The mean with the next over the mean with a random one; absent where the latter is not above 0.01.
    pub(crate) ratio: Option<f64>,
    /// How often the next is more alike than a random one, equals counting half: 0.5 is chance, and unlike the ratio it does
    /// not depend on how near all vectors lie.
    pub(crate) likelier: f64,
}

/// A last video, the next, another of the viewer's, and the next of somebody else.
struct Four {
    last: u32,
    next: u32,
    of_viewer: u32,
    random: u32,
}

/// Compares in every space that training knows.
pub(super) fn likeness(training: &Training) -> Vec<Likeness> {
    let drawn = draw(training);
    let of_content = training.content.as_deref().and_then(|content: &Content| {
        let known = |video: u32| !content.vectors().row(video as usize).0.is_empty();
        compare("labels and text", &drawn, known, |a, b| f64::from(content.between(a, b)))
    });
    let vectors = training.facts.iter().flat_map(|facts| &facts.vectors);
    let of_vectors = vectors.filter_map(|space: &Modality| {
        let known = |video: u32| space.present.get(video as usize) == Some(&true);
        let cosine = |a: u32, b: u32| cosine(space.matrix.row(a as usize), space.matrix.row(b as usize));
        compare(&space.name, &drawn, known, cosine)
    });
    of_content.into_iter().chain(of_vectors).collect()
}

fn draw(training: &Training) -> Vec<Four> {
    let sequences = training.interactions.sequences();
    let total: usize = sequences.iter().map(|videos| videos.len().saturating_sub(1)).sum();
    let mut random = Random::new(mix(training.seed ^ 0x11ce));
    let mut drawn = Vec::new();
    for videos in sequences.iter().filter(|videos| videos.len() > 1) {
        for at in 0..videos.len() - 1 {
            if random.below(total) >= PAIRS_MAX {
                continue;
            }
            // Any of the viewer's but the last itself.
            let mut other = || videos[(at + 1 + random.below(videos.len() - 1)) % videos.len()];
            let of_viewer = other();
            let next = if training.order == Order::Unordered { other() } else { videos[at + 1] };
            drawn.push(Four { last: videos[at], next, of_viewer, random: next });
        }
    }
    let n = drawn.len();
    let nexts: Vec<u32> = drawn.iter().map(|four| four.next).collect();
    for four in &mut drawn {
        four.random = nexts[random.below(n)];
    }
    drawn
}

fn compare(
    space: &str,
    drawn: &[Four],
    known: impl Fn(u32) -> bool,
    cosine: impl Fn(u32, u32) -> f64,
) -> Option<Likeness> {
    let (mut sums, mut likelier, mut pairs) = ([0.0; 3], 0.0, 0usize);
    for four in drawn.iter().filter(|f| [f.last, f.next, f.of_viewer, f.random].into_iter().all(&known)) {
        let with = [four.next, four.of_viewer, four.random].map(|other| cosine(four.last, other));
        sums.iter_mut().zip(with).for_each(|(sum, cosine)| *sum += cosine);
        likelier += match with[0].total_cmp(&with[2]) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        };
        pairs += 1;
    }
    let [next, of_viewer, random] = sums.map(|sum| sum / pairs.max(1) as f64);
    (pairs > 0).then(|| Likeness {
        space: space.into(),
        pairs,
        next,
        of_viewer,
        random,
        ratio: (random > 0.01).then(|| next / random),
        likelier: likelier / pairs as f64,
    })
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(x, y)| f64::from(x * y)).sum() };
    let norm = (dot(a, a) * dot(b, b)).sqrt();
    if norm > 0.0 { dot(a, b) / norm } else { 0.0 }
}
