//! What is known of users and videos beside their events.

use upnext_features::prepare::Preparation;
use upnext_features::scale::Scaling;
use upnext_features::{Table, TrainRows};
use upnext_math::Matrix;

/// Facts, or what was counted before the first question; nothing that a question asks for.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// One row a user.
    pub users: Option<Table>,
    /// One row a video.
    pub videos: Option<Table>,
    /// Embeddings of videos.
    pub vectors: Option<Vectors>,
    /// Lengths of videos in seconds, where known; empty where none is.
    pub seconds: Vec<Option<f32>>,
}

/// Embeddings, one row a video.
#[derive(Clone, Debug)]
pub struct Vectors {
    /// `(videos, dimensions)`; zeros where there is none.
    pub matrix: Matrix,
    /// Whether each video has one.
    pub present: Vec<bool>,
}

/// A table as a network reads it: one scale, the column's mean (0) where nothing is known, fewer columns where a share of
/// the variance is enough. Fitted on the rows that occur in training.
pub(crate) fn prepared(
    table: Option<&Table>,
    n_rows: usize,
    seen: impl IntoIterator<Item = u32>,
    variance: f32,
) -> Matrix {
    let Some(table) = table.filter(|table| table.matrix.n_rows() == n_rows && !table.names.is_empty()) else {
        return Matrix::zeros(n_rows, 0);
    };
    let variance = (variance > 0.0).then_some(variance);
    let preparation = Preparation { imputing: None, scaling: Scaling::Standard, variance };
    let (table, _) = preparation.apply(table.clone(), &TrainRows::of(seen));
    table.matrix
}
