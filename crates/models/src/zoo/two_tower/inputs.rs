//! What both towers read of a video, and of a viewing of one.

use upnext_data::{Action, Actions, Past};
use upnext_features::Content;
use upnext_features::interaction::{Viewing, WIDTH};
use upnext_math::linalg::{orthonormalise, product, symmetric_eigen, transposed_product};
use upnext_math::seed::Random;
use upnext_math::{Matrix, Sparse};

use crate::Training;
use crate::facts::prepared;

/// Of each video its embedding, then its metadata; and whether it has an embedding.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    /// `(videos, width)`.
    videos: Matrix,
    known: Vec<bool>,
}

/// One step of a history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) video: u32,
    pub(super) time: i64,
    /// Without what time jitter and noise add.
    pub(super) viewing: [f32; WIDTH],
}

impl Step {
    pub(super) fn of(past: &Past) -> Self {
        Self { video: past.video, time: past.time, viewing: viewing(past, past.time) }
    }

    /// The same at another time of day.
    pub(super) fn at(self, time: i64) -> Self {
        let mut moved = self;
        let clock = viewing(&Past { time, ..nothing(self.video) }, time);
        moved.viewing[..4].copy_from_slice(&clock[..4]);
        moved
    }
}

fn nothing(video: u32) -> Past {
    let judgement = upnext_data::Judgement::Neutral;
    Past { video, time: 0, value: None, judgement, actions: Actions::default() }
}

/// The twelve numbers of a viewing.
fn viewing(past: &Past, time: i64) -> [f32; WIDTH] {
    let actions = Action::ALL.map(|action| past.actions.has(action));
    let (user, video) = (0, past.video);
    Viewing { user, video, time, watch_seconds: None, ratio: past.value, actions }.vector(None, 0).values
}

impl Inputs {
    /// Vectors that were brought, or else `content` directions of labels and words; beside them metadata.
    pub(crate) fn new(training: &Training, content: usize) -> Self {
        let n_videos = training.interactions.n_videos();
        let facts = training.facts.as_deref();
        let brought = facts.and_then(|facts| facts.vectors.as_ref());
        let (vectors, known) = match (brought, &training.content) {
            (Some(vectors), _) if vectors.matrix.n_rows() == n_videos => {
                (vectors.matrix.clone(), vectors.present.clone())
            }
            (_, Some(of_content)) if content > 0 => {
                let known = (0..n_videos).map(|video| !of_content.vectors().row(video).0.is_empty());
                (directions(of_content, content, training.seed), known.collect())
            }
            _ => (Matrix::zeros(n_videos, 0), vec![false; n_videos]),
        };
        let seen = training.interactions.rows().iter().map(|row| row.video);
        let metadata = facts.and_then(|facts| facts.videos.as_ref());
        let metadata = prepared(metadata, n_videos, seen, 0.0);
        let width = vectors.n_columns() + metadata.n_columns();
        let mut videos = Matrix::zeros(n_videos, width);
        for video in 0..n_videos {
            let row = videos.row_mut(video);
            row[..vectors.n_columns()].copy_from_slice(vectors.row(video));
            row[vectors.n_columns()..].copy_from_slice(metadata.row(video));
        }
        Self { videos, known }
    }

    pub(crate) fn from_matrix(videos: Matrix, known: Matrix) -> Result<Self, String> {
        if known.n_rows() != videos.n_rows() || known.n_columns() != 1 {
            return Err("known".into());
        }
        let known = known.values().iter().map(|&x| x != 0.0).collect();
        Ok(Self { videos, known })
    }

    pub(crate) fn arrays(&self) -> (&Matrix, Matrix) {
        let known = self.known.iter().map(|&known| f32::from(u8::from(known))).collect();
        (&self.videos, Matrix::from_rows(self.known.len(), 1, known))
    }

    pub(crate) fn n_videos(&self) -> usize {
        self.videos.n_rows()
    }

    /// Numbers of a video.
    pub(crate) fn width(&self) -> usize {
        self.videos.n_columns()
    }

    /// Numbers of a video, then 1 where its embedding is missing: a mask, so that zeros mean nothing by themselves.
    pub(crate) fn of_video(&self, video: u32, out: &mut [f32]) {
        let width = self.width();
        out[..width].copy_from_slice(self.videos.row(video as usize));
        out[width] = f32::from(u8::from(!self.known[video as usize]));
    }

    /// The newest steps of a past, oldest first, of videos that are known.
    pub(super) fn read(&self, past: impl DoubleEndedIterator<Item = Past>, length: usize) -> Vec<Step> {
        let known = past.rev().filter(|past| (past.video as usize) < self.n_videos());
        let mut steps: Vec<Step> = known.take(length).map(|past| Step::of(&past)).collect();
        steps.reverse();
        steps
    }
}

/// The strongest directions of content, so that inner products stay what they were as well as `n` numbers can
/// (Halko, Martinsson & Tropp 2011): `(videos, n)`.
fn directions(content: &Content, n: usize, seed: u64) -> Matrix {
    const ROUNDS: usize = 5;
    const OVERSAMPLING: usize = 16;
    let vectors: &Sparse = content.vectors();
    let transposed = vectors.transpose();
    let n_videos = vectors.n_rows();
    let width = (n + OVERSAMPLING).min(n_videos);
    let mut random = Random::new(seed);
    let start = (0..n_videos * width).map(|_| random.normal()).collect();
    let mut basis = Matrix::from_rows(n_videos, width, start);
    for _ in 0..ROUNDS {
        basis = vectors.times_dense(&transposed.times_dense(&basis));
        orthonormalise(&mut basis, 1);
    }
    let along = transposed.times_dense(&basis);
    let (values, rotation) = symmetric_eigen(&transposed_product(&along, &along));
    // Eigenvalues come ascending.
    let n = n.min(width);
    let mut chosen = Matrix::zeros(width, n);
    for row in 0..width {
        for column in 0..n {
            let from = width - 1 - column;
            chosen.row_mut(row)[column] = rotation.row(row)[from] * values[from].max(0.0).sqrt();
        }
    }
    product(&basis, &chosen)
}
