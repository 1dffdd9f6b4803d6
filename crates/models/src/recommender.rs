//! What every model does: give each video a score for a history.

use std::sync::Arc;

use upnext_data::History;
use upnext_math::Matrix;

use crate::checkpoint::{Form, Writer};
use crate::zoo::Part;

/// What else a model may know when it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Context {
    /// Milliseconds since 1970 at which the question is asked, where known.
    pub now: Option<i64>,
    /// The row of who asks, where the model may have seen them in training.
    pub user: Option<u32>,
    /// For models that draw at random; the same seed gives the same scores.
    pub seed: u64,
}

/// A fitted model. There is no unfitted one: `fit` functions return this.
///
/// Promises, checked by the contract suite: the same input gives the same scores; every score is finite; an
/// empty history is answered; a video the model does not know is ignored in a history and scored like the
/// least of its videos; a batch equals its single questions. Models never mask: the caller does.
pub trait Recommender: Send + Sync {
    /// The name in tables and configurations, `markov` for example.
    fn name(&self) -> &str;

    /// How many videos the model knows: rows `0..n_videos()`.
    fn n_videos(&self) -> usize;

    /// Writes the score of every known video; larger is better. `scores` has `n_videos()` entries.
    fn score_all(&self, history: &History, context: &Context, scores: &mut [f32]);

    /// Writes the scores of some rows, all of them known.
    fn score(&self, history: &History, context: &Context, rows: &[u32], scores: &mut [f32]) {
        let mut all = vec![0.0; self.n_videos()];
        self.score_all(history, context, &mut all);
        for (score, &row) in scores.iter_mut().zip(rows) {
            *score = all[row as usize];
        }
    }

    /// Writes one row of scores for each question: `scores` is `(questions, n_videos())`.
    fn score_batch(&self, questions: &[(&History, Context)], scores: &mut Matrix) {
        for (at, (history, context)) in questions.iter().enumerate() {
            self.score_all(history, context, scores.row_mut(at));
        }
    }

    /// Writes what the model is made of, for [`crate::checkpoint`].
    fn save(&self, out: &mut Writer<'_>) -> Form;

    /// The model whose candidates it orders, where it is a second stage.
    fn stage(&self) -> Option<&Arc<dyn Recommender>> {
        None
    }

    /// A model for serving that takes less memory: of every video, the `neighbours` strongest entries stay.
    /// `None` where the model is small as it is, and exact.
    fn compact(&self, _neighbours: usize) -> Option<Arc<dyn Recommender>> {
        None
    }

    /// Which videos of the history raise the score of `row`, with how much each adds, largest first.
    /// Empty where the model does not work through single videos.
    fn because(&self, _history: &History, _context: &Context, _row: u32) -> Vec<(u32, f32)> {
        Vec::new()
    }

    /// How the scores come about, for who cannot afford a number for each video of a large catalogue.
    fn shape(&self) -> Shape<'_> {
        Shape::Dense
    }

    /// Of a model that is [`Shape::Sparse`]: the score of each video it has something to say of, by row.
    fn reached(&self, _history: &History, _context: &Context) -> Vec<(u32, f32)> {
        Vec::new()
    }

    /// The space in which the model compares, where it is one of vectors.
    fn tower(&self) -> Option<&dyn Tower> {
        None
    }
}

/// How a model's scores come about. Whatever it is, they are those of [`Recommender::score_all`].
#[derive(Clone, Copy)]
pub enum Shape<'a> {
    /// In no way that could be shortened.
    Dense,
    /// Whoever asks, these.
    Constant(&'a [f32]),
    /// 0, but for the few videos that [`Recommender::reached`] names.
    Sparse,
    /// The inner product of the viewer's vector and the video's.
    Inner(&'a dyn Tower),
    /// The weighted sum of the parts, each minus its mean over its population deviation plus 1e-9, both over the catalogue.
    Blend(&'a [Part]),
}

/// A model that scores by the inner product of two vectors: one of the video, one of the past.
pub trait Tower {
    /// The videos' vectors, `(videos, dimensions)`.
    fn items(&self) -> &Matrix;

    /// Where a viewer stands after a past; zeros where nothing of it is known, but for a last number that weighs popularity
    /// where the model has one.
    fn user(&self, history: &History) -> Vec<f32>;
}
