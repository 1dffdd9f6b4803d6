//! What both towers read of a video, and of a viewing of one.

use upnext_data::{Action, Actions, Past};
use upnext_features::interaction::{Viewing, WIDTH};
use upnext_math::seed::Random;
use upnext_math::{Matrix, svd};
use upnext_nn::layer::normalise;

use crate::Training;
use crate::facts::prepared;

/// Of each video its modalities, each of unit length, then its metadata; and which modalities it has.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    /// `(videos, width)`.
    videos: Matrix,
    /// `(videos, modalities)`: 1 where there is one. Where none was brought there is one without numbers, which nobody has.
    known: Matrix,
    /// Where each modality's numbers end. Of what was read from a file: nothing, since only training hides a modality.
    ends: Vec<usize>,
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
    /// Modalities that were brought, and `content` directions of labels and words: always where they stand `beside`, else where
    /// nothing was brought. Then metadata.
    pub(crate) fn new(training: &Training, content: usize, beside: bool) -> Self {
        let n_videos = training.interactions.n_videos();
        let facts = training.facts.as_deref();
        let brought = facts.map_or(&[][..], |facts| &facts.vectors).iter();
        let mut modalities: Vec<(Matrix, Vec<bool>)> = brought
            .filter(|of| of.matrix.n_rows() == n_videos)
            .map(|of| (of.matrix.clone(), of.present.clone()))
            .collect();
        match &training.content {
            Some(of_content) if content > 0 && (beside || modalities.is_empty()) => {
                let known = (0..n_videos).map(|video| !of_content.vectors().row(video).0.is_empty());
                let directions = svd::truncated(of_content.vectors(), content, training.seed).rows();
                modalities.push((directions, known.collect()));
            }
            _ if modalities.is_empty() => {
                modalities.push((Matrix::zeros(n_videos, 0), vec![false; n_videos]))
            }
            _ => {}
        }
        let seen = training.interactions.rows().iter().map(|row| row.video);
        let metadata = facts.and_then(|facts| facts.videos.as_ref());
        let metadata = prepared(metadata, n_videos, seen, 0.0);
        let parts: Vec<Matrix> = modalities.iter().map(|(matrix, _)| normalise(matrix)).collect();
        let ends: Vec<usize> = parts
            .iter()
            .scan(0, |end, part| {
                *end += part.n_columns();
                Some(*end)
            })
            .collect();
        let width = parts.iter().chain([&metadata]).map(Matrix::n_columns).sum();
        let row =
            |video: usize| parts.iter().chain([&metadata]).flat_map(move |part| part.row(video)).copied();
        let videos = Matrix::from_rows(n_videos, width, (0..n_videos).flat_map(row).collect());
        let known = (0..n_videos)
            .flat_map(|video| modalities.iter().map(move |(_, known)| f32::from(u8::from(known[video]))));
        let known = Matrix::from_rows(n_videos, modalities.len(), known.collect());
        Self { videos, known, ends }
    }

    pub(crate) fn from_matrix(videos: Matrix, known: Matrix) -> Result<Self, String> {
        if known.n_rows() != videos.n_rows() || known.n_columns() == 0 {
            return Err("known".into());
        }
        Ok(Self { videos, known, ends: Vec::new() })
    }

    /// `(videos, width)`, and which modalities each has: `(videos, modalities)`.
    pub(crate) fn arrays(&self) -> (&Matrix, &Matrix) {
        (&self.videos, &self.known)
    }

    pub(crate) fn n_videos(&self) -> usize {
        self.videos.n_rows()
    }

    /// Numbers of a video: 0 where nothing is known of any.
    pub(crate) fn width(&self) -> usize {
        self.videos.n_columns()
    }

    /// Numbers of a video, and a mask for each modality: what a network reads.
    pub(crate) fn numbers(&self) -> usize {
        self.width() + self.known.n_columns()
    }

    /// Numbers of a video, then for each modality 1 where it is missing: a mask, so that zeros mean nothing by themselves.
    pub(crate) fn of_video(&self, video: u32, out: &mut [f32]) {
        let (numbers, masks) = out.split_at_mut(self.width());
        numbers.copy_from_slice(self.videos.row(video as usize));
        let known = self.known.row(video as usize);
        masks.iter_mut().zip(known).for_each(|(mask, known)| *mask = 1.0 - known);
    }

    /// One row for each video. With a source of chance a modality is hidden with a probability, as if the video had none; one
    /// that is there stays.
    pub(crate) fn of_videos(&self, videos: &[u32], hiding: Option<(f32, &mut Random)>) -> Matrix {
        let mut rows = Matrix::zeros(videos.len(), self.numbers());
        for (at, &video) in videos.iter().enumerate() {
            self.of_video(video, rows.row_mut(at));
        }
        let Some((share, random)) = hiding.filter(|(share, _)| *share > 0.0) else { return rows };
        for (at, &video) in videos.iter().enumerate() {
            let known = self.known.row(video as usize);
            let there: Vec<usize> = (0..known.len()).filter(|&of| known[of] > 0.0).collect();
            // A video of whose modalities all would be hidden keeps one.
            let kept = if there.len() > 1 { there[random.below(there.len())] } else { continue };
            for of in there.into_iter().filter(|&of| of != kept) {
                if random.uniform() < share {
                    self.hide(of, rows.row_mut(at));
                }
            }
        }
        rows
    }

    /// Makes a row that of a video without a modality.
    pub(crate) fn hide(&self, modality: usize, row: &mut [f32]) {
        let first = modality.checked_sub(1).map_or(0, |before| self.ends[before]);
        row[first..self.ends[modality]].fill(0.0);
        row[self.width() + modality] = 1.0;
    }

    /// The newest steps of a past, oldest first, of videos that are known.
    pub(super) fn read(&self, past: impl DoubleEndedIterator<Item = Past>, length: usize) -> Vec<Step> {
        let known = past.rev().filter(|past| (past.video as usize) < self.n_videos());
        let mut steps: Vec<Step> = known.take(length).map(|past| Step::of(&past)).collect();
        steps.reverse();
        steps
    }
}
