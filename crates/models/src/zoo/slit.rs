//! SLIT: ridge regression from a viewer's past to the next videos, in closed form.

use upnext_math::Sparse;
use upnext_math::linalg::spd_inverse;

use super::ease::{VIDEOS_MAX, restrict};
use super::linear::{Head, Linear, Weights};
use crate::{FitError, Training};

const NAME: &str = "slit";
const PAST: usize = 20;
const NEXT: usize = 5;
const DECAY: f32 = 0.7;
const LAMBDA: f32 = 20.0;
/// A video seen once has nothing to be regressed on; long tails of them would only cost time.
const POSITIVES_MIN: u32 = 1;

/// `W = (S'S + 20 I)^-1 S'T` without intercept, diagonal kept. One row of `S` and `T` for each position of a
/// training sequence but the first: the 20 videos before it weighted `0.7^age`, and it with the four after it
/// weighted `0.7^k`. The question is weighted `0.8^age`. Between videos with at least two
/// training positives, the 20,000 most active at most.
pub(super) fn slit(training: &Training) -> Result<Linear, FitError> {
    training.needs_order(NAME)?;
    let head = Head::new(&training.interactions.popularity(), POSITIVES_MIN, VIDEOS_MAX);
    let n_videos = training.interactions.n_videos();
    let sequences = training.interactions.sequences();
    let positions = || sequences.iter().flat_map(|videos| (1..videos.len()).map(move |at| (videos, at)));
    let weighted = |videos: &mut dyn Iterator<Item = &u32>| -> Vec<(u32, f32)> {
        videos.enumerate().map(|(age, &video)| (video, DECAY.powi(age as i32))).collect()
    };
    let past = Sparse::from_rows(
        n_videos,
        positions().map(|(videos, at)| weighted(&mut videos[..at].iter().rev().take(PAST))),
    );
    let next = Sparse::from_rows(
        n_videos,
        positions().map(|(videos, at)| weighted(&mut videos[at..].iter().take(NEXT))),
    );
    let (past, next) = (restrict(&past, &head), restrict(&next, &head));
    let mut gram = past.gram();
    for at in 0..gram.n_rows() {
        gram.row_mut(at)[at] += LAMBDA;
    }
    let mut matrix = spd_inverse(gram).map_err(|cause| FitError::Numbers { model: NAME.into(), cause })?;
    past.transpose().times(&next, |_, _, _| true).right_times_in_place(&mut matrix);
    Ok(Linear { name: NAME.into(), decay: 0.8, last: PAST, weights: Weights::Dense { matrix, head } })
}
