//! A walk over who watched what: from the videos of a history to their viewers, to what else these watched, and on from there.

use upnext_math::Sparse;

use super::ease::binary;
use super::linear::{Linear, Weights, strongest_of_rows};
use super::nearest;
use crate::choose::validation_score;
use crate::{FitError, Training};

const NAME: &str = "walk";
/// At most this many videos are reached from a video.
const NEIGHBOURS: usize = 200;
/// A viewer of many videos says little of each: a step through them weighs `videos^-1.3`.
const OF_VIEWER: f32 = 1.3;
/// And a step away from a video `viewers^-0.7`.
const OF_VIDEO: f32 = 0.7;
/// Neighbours by content that a step can go to.
const ALIKE: usize = 10;
/// Steps that are tried on validation.
const STEPS_MAX: usize = 3;
/// How much less a popular video scores: `(viewers + 3)^-penalty`, tried on validation.
const PENALTIES: [f32; 3] = [0.0, 0.25, 0.5];
/// How likely a step goes to what is alike, tried on validation where anything is known of the videos.
const SHARES: [f32; 3] = [0.0, 0.03, 0.1];

/// What is chosen on validation, and what holds where there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Chosen {
    /// Steps from video to video.
    pub(super) steps: usize,
    /// The exponent of popularity.
    pub(super) penalty: f32,
    /// The share of steps by content.
    pub(super) share: f32,
}

impl Default for Chosen {
    fn default() -> Self {
        Self { steps: 3, penalty: 0.25, share: 0.0 }
    }
}

impl Chosen {
    /// From the numbers that were kept of an earlier choice.
    pub(super) fn of(numbers: &[f32]) -> Option<Self> {
        let &[steps, penalty, share] = numbers else { return None };
        Some(Self { steps: (steps as usize).clamp(1, STEPS_MAX), penalty, share })
    }

    /// The numbers to keep.
    pub(super) fn numbers(self) -> Vec<f32> {
        vec![self.steps as f32, self.penalty, self.share]
    }
}

/// `score = h W^steps diag((n + 3)^-penalty)`, `W_ij = n_i^-0.7 Σ_u x_ui x_uj m_u^-1.3` for `i ≠ j`, where x is viewers and
/// videos, n viewers of a video and m videos of a viewer, plus a share of the nearest by content. Of each row the 200
/// strongest stay, after every step. One step is RP3β (Paudel et al. 2017) but for the diagonal, which would send the walk
/// back to where it came from. Steps, penalty and share are chosen on validation, where there is one.
pub(super) fn walk(training: &Training, chosen: Option<Chosen>) -> Result<(Linear, Chosen), FitError> {
    let by_pairs = step(training);
    let alike = alike(training)?;
    let popularity = training.interactions.popularity();
    let model = |walked: &Sparse, penalty: f32| {
        let lift = |video: u32| (popularity[video as usize] as f32 + 3.0).powf(-penalty);
        let weights = Weights::Sparse(walked.clone().map(|_, video, value| value * lift(video)));
        Linear { name: NAME.into(), decay: 1.0, last: usize::MAX, weights }
    };
    let is_judged = chosen.is_none() && !training.validation.is_empty();
    let mut chosen = chosen.unwrap_or_default();
    if alike.is_none() {
        // It was chosen where something was known of the videos.
        chosen.share = 0.0;
    }
    let mut best: Option<(f64, Linear, Chosen)> = None;
    let shares = if is_judged { &SHARES[..] } else { &[chosen.share] };
    for &share in shares.iter().filter(|&&share| share == 0.0 || alike.is_some()) {
        let one = match &alike {
            Some(alike) if share > 0.0 => by_pairs.plus(share, alike),
            _ => by_pairs.clone(),
        };
        let mut walked = one.clone();
        for steps in 1..=if is_judged { STEPS_MAX } else { chosen.steps } {
            if steps > 1 {
                walked = after(&walked, &one);
            }
            let penalties = if is_judged { &PENALTIES[..] } else { &[chosen.penalty] };
            for &penalty in penalties.iter().filter(|_| is_judged || steps == chosen.steps) {
                let tried = model(&walked, penalty);
                let score = match is_judged {
                    true => validation_score(&tried, training.validation, training.candidates),
                    false => 0.0,
                };
                if best.as_ref().is_none_or(|(known, _, _)| score > *known) {
                    best = Some((score, tried, Chosen { steps, penalty, share }));
                }
            }
        }
    }
    Ok(best.map_or_else(|| (model(&by_pairs, chosen.penalty), chosen), |(_, model, chosen)| (model, chosen)))
}

/// One step over viewers, `(videos, videos)`.
fn step(training: &Training) -> Sparse {
    let pairs = binary(training);
    let transposed = pairs.transpose();
    let weighed = pairs.clone().map(|user, _, _| (pairs.row(user).0.len() as f32).powf(-OF_VIEWER));
    strongest(pairs.n_columns(), |from, sum| {
        let viewers = transposed.row(from as usize).0;
        viewers.iter().for_each(|&user| sum.add_row(&weighed, user as usize, 1.0));
        let of_video = (viewers.len() as f32).max(1.0).powf(-OF_VIDEO);
        sum.take(|to, weight| (to != from).then_some(of_video * weight))
    })
}

/// Another step after some.
fn after(walked: &Sparse, one: &Sparse) -> Sparse {
    strongest(walked.n_rows(), |from, sum| {
        let (reached, weights) = walked.row(from as usize);
        reached.iter().zip(weights).for_each(|(&at, &weight)| sum.add_row(one, at as usize, weight));
        sum.take(|_, weight| Some(weight))
    })
}

fn strongest(n_videos: usize, make: impl Fn(u32, &mut upnext_math::Sum) -> Vec<(u32, f32)> + Sync) -> Sparse {
    match strongest_of_rows(n_videos, NEIGHBOURS, make) {
        Weights::Sparse(sparse) => sparse,
        _ => unreachable!("the strongest of rows are sparse"),
    }
}

/// The nearest by content, each row summing to 1: the mean of all modalities.
fn alike(training: &Training) -> Result<Option<Sparse>, FitError> {
    let neighbours = nearest::by_modality(training, NAME, ALIKE)?;
    let sum = neighbours.into_iter().map(|of| of.graph).reduce(|sum, graph| sum.plus(1.0, &graph));
    Ok(sum.map(|sum| {
        let totals = sum.row_sums();
        sum.map(|row, _, value| value / totals[row])
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use upnext_data::{Actions, History, Interaction, Interactions, Judgement, Order};
    use upnext_math::Matrix;

    use crate::{Context, Facts, Modality, Recommender};

    fn interactions(users: &[&[u32]]) -> Interactions {
        let row = |&video: &u32| Interaction {
            video,
            time: 0,
            value: None,
            judgement: Judgement::Positive,
            actions: Actions::default(),
        };
        Interactions::from_users(4, users.iter().map(|videos| videos.iter().map(row).collect()).collect())
    }

    fn scores(model: &Linear, video: u32) -> Vec<f32> {
        let mut scores = vec![0.0; 4];
        model.score_all(&History::of_positives(&[video]), &Context::default(), &mut scores);
        scores
    }

    #[test]
    fn a_step_is_by_hand_and_never_stays_where_it_is() {
        let pairs = interactions(&[&[0, 1], &[1, 2]]);
        let training = Training::of(&pairs, Order::Unordered, 1);
        let chosen = |steps| Some(Chosen { steps, penalty: 0.0, share: 0.0 });
        let one = scores(&walk(&training, chosen(1)).unwrap().0, 0);
        // Video 0 has one viewer, who has two videos.
        let step = 2f32.powf(-1.3);
        assert!((one[1] - step).abs() < 1e-6 && one[0] == 0.0 && one[2] == 0.0, "{one:?}");
        let two = scores(&walk(&training, chosen(2)).unwrap().0, 0);
        let on = step * 2f32.powf(-0.7) * step;
        assert!((two[2] - on).abs() < 1e-6 && two[1] == 0.0, "{two:?}");
    }

    #[test]
    fn a_video_that_nobody_watched_is_reached_by_what_it_looks_like() {
        let pairs = interactions(&[&[0, 1], &[1, 2]]);
        let matrix = Matrix::from_rows(4, 2, vec![1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 1.0, 0.1]);
        let image = Modality { name: "image".into(), matrix, present: vec![true; 4] };
        let facts = Some(Arc::new(Facts { vectors: vec![image], ..Facts::default() }));
        let training = Training { facts, ..Training::of(&pairs, Order::Unordered, 1) };
        let chosen = |share| Some(Chosen { steps: 1, penalty: 0.0, share });
        let score = |share| scores(&walk(&training, chosen(share)).unwrap().0, 0)[3];
        assert!(score(0.1) > 0.0 && score(0.0) == 0.0);
    }
}
