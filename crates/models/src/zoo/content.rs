//! Likeness in content: models that know a video nobody has seen.

use std::sync::Arc;

use upnext_data::{History, Order};
use upnext_features::Content;
use upnext_math::Sparse;

use super::directed_cosine;
use super::linear::{Linear, Weights};
use super::markov::normalise_rows;
use crate::checkpoint::{Form, Writer};
use crate::{Context, FitError, Recommender, Training};

/// Pairs less alike than this are dropped from the likeness matrix.
const LIKENESS_MIN: f32 = 0.25;
/// At most this many neighbours of a video are kept, so that one broad label does not fill the memory.
const NEIGHBOURS_MAX: usize = 1_000;

/// The likeness of all pairs of at least 0.25, `(videos, videos)`.
pub(crate) fn likeness(content: &Content) -> Sparse {
    content.likeness(LIKENESS_MIN, NEIGHBOURS_MAX)
}

/// Cosine of content with the last 20 wanted videos, decay 0.7, minus a fifth of the likeness to refused ones.
#[derive(Clone, Debug)]
pub struct ContentCosine {
    content: Arc<Content>,
}

impl ContentCosine {
    const DECAY: f32 = 0.7;
    const LAST: usize = 20;
    const REFUSED: f32 = -0.2;

    pub(super) fn fit(training: &Training) -> Result<Self, FitError> {
        Ok(Self { content: Arc::clone(training.needs_content("content")?) })
    }

    /// Over vectors that exist.
    pub fn new(content: Arc<Content>) -> Self {
        Self { content }
    }

    fn query<'a>(&self, history: &'a History) -> impl Iterator<Item = (u32, f32)> + 'a {
        let n = self.content.vectors().n_rows();
        let wanted = history.newest(Self::LAST).map(|(age, video)| (video, Self::DECAY.powi(age as i32)));
        let refused = history.refused().map(|video| (video, Self::REFUSED));
        wanted.chain(refused).filter(move |&(video, _)| (video as usize) < n)
    }
}

impl Recommender for ContentCosine {
    fn name(&self) -> &str {
        "content"
    }

    fn save(&self, out: &mut Writer<'_>) -> Form {
        out.sparse("vectors", self.content.vectors());
        Form::Content { n_columns: self.content.vectors().n_columns() }
    }

    fn n_videos(&self) -> usize {
        self.content.vectors().n_rows()
    }

    fn score_all(&self, history: &History, _context: &Context, scores: &mut [f32]) {
        scores.fill(0.0);
        self.query(history).for_each(|(video, weight)| self.content.add_likeness(video, weight, scores));
    }

    fn because(&self, history: &History, _context: &Context, row: u32) -> Vec<(u32, f32)> {
        let mut reasons: Vec<(u32, f32)> = self
            .query(history)
            .map(|(video, weight)| (video, weight * self.content.between(video, row)))
            .filter(|&(_, share)| share > 0.0)
            .collect();
        reasons.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        reasons
    }
}

/// The likeness matrix as weights: the last 20, decay 0.7; all of a history alike where it has no order.
pub(super) fn content_neighbours(likeness: &Sparse, order: Order) -> Linear {
    let (decay, last) = if order == Order::Unordered { (1.0, usize::MAX) } else { (0.7, 20) };
    let weights = Weights::Sparse(likeness.clone());
    Linear { name: "content-neighbours".into(), decay, last, weights }
}

/// Smoothed transitions: directed cosine, then a step to what is alike, `W_dc rownorm(S^3)` entry by entry.
pub(super) fn smoothed(training: &Training, likeness: &Sparse) -> Result<Linear, FitError> {
    let name = "smoothed-transitions";
    training.needs_order(name)?;
    let second = normalise_rows(likeness.clone().map(|_, _, value| value.powi(3)), 1e-6);
    let first = directed_cosine::weights(training);
    Ok(Linear {
        name: name.into(),
        decay: 0.7,
        last: 20,
        weights: Weights::Chain { first, second_by_column: second.transpose() },
    })
}
