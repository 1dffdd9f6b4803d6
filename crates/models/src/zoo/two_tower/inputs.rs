//! What both towers read of a video, and of a viewing of one.

use upnext_data::{Action, Actions, Past};
use upnext_features::interaction::{Viewing, WIDTH};
use upnext_math::{Matrix, svd};

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
                (svd::truncated(of_content.vectors(), content, training.seed).rows(), known.collect())
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
