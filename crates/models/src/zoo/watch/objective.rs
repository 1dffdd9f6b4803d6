//! What a regressor learns, and what its outputs mean.

use serde::{Deserialize, Serialize};
use upnext_data::{Action, Actions};
use upnext_math::Matrix;
use upnext_math::exp::{exp, sigmoid};
use upnext_nn::loss::{Regression, binary};

use super::Settings;
use crate::{FitError, Training};

/// Complete, like, share, hate, watch ratio.
pub const TASKS: usize = 5;

/// What it learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// The ratio, by its squared distance: what the designs take.
    Square,
    /// The ratio, by its absolute distance.
    Absolute,
    /// The ratio, squared near and absolute beyond 1.
    Huber,
    /// The quantile of the watch time among videos of like length (D2Q, Zhan et al. 2022).
    D2q,
    /// A logit whose odds are the watch time (weighted logistic regression, Covington et al. 2016).
    WeightedLogistic,
    /// Five answers at once, weighted in the score.
    Tasks,
}

impl Objective {
    pub(super) fn n_outputs(self) -> usize {
        if self == Self::Tasks { TASKS } else { 1 }
    }

    /// Whether an output is a ratio as it stands.
    pub(super) fn is_ratio(self) -> bool {
        matches!(self, Self::Square | Self::Absolute | Self::Huber)
    }
}

/// Watch times of training by groups of videos of like length.
#[derive(Clone, Debug)]
pub(crate) struct Calibration {
    /// Of each video its length in seconds and its group; 0 seconds where the length is not known.
    videos: Vec<(f32, u32)>,
    /// `(groups, POINTS)`: evenly spaced quantiles of watch seconds; nothing unless they are predicted.
    quantiles: Matrix,
}

const POINTS: usize = 201;

impl Calibration {
    pub(super) fn fit(model: &str, settings: &Settings, training: &Training) -> Result<Self, FitError> {
        let n_videos = training.interactions.n_videos();
        let none = Self { videos: vec![(0.0, 0); n_videos], quantiles: Matrix::zeros(0, POINTS) };
        if !matches!(settings.objective, Objective::D2q | Objective::WeightedLogistic) {
            return Ok(none);
        }
        let seconds = training.facts.as_ref().map_or(&[][..], |facts| &facts.seconds);
        let length =
            |video: usize| seconds.get(video).copied().flatten().filter(|x| x.is_finite() && *x > 0.0);
        let mut known: Vec<f32> = (0..n_videos).filter_map(length).collect();
        if known.is_empty() {
            return Err(FitError::Needs { model: model.into(), needs: "lengths of videos" });
        }
        known.sort_unstable_by(f32::total_cmp);
        let n_groups = settings.groups.min(known.len());
        let group = |seconds: f32| {
            let below = known.partition_point(|&other| other < seconds);
            ((below * n_groups / known.len()) as u32).min(n_groups as u32 - 1)
        };
        let videos: Vec<(f32, u32)> =
            (0..n_videos).map(|video| length(video).map_or((0.0, 0), |s| (s, group(s)))).collect();
        let mut watched: Vec<Vec<f32>> = vec![Vec::new(); n_groups];
        for row in training.interactions.rows() {
            let (seconds, group) = videos[row.video as usize];
            if let Some(ratio) = row.value.filter(|ratio| ratio.is_finite() && seconds > 0.0) {
                watched[group as usize].push(ratio * seconds);
            }
        }
        let mut quantiles = Matrix::zeros(n_groups, POINTS);
        for (group, watched) in watched.iter_mut().enumerate() {
            watched.sort_unstable_by(f32::total_cmp);
            let Some(last) = watched.len().checked_sub(1) else { continue };
            for (at, point) in quantiles.row_mut(group).iter_mut().enumerate() {
                *point = watched[(at * last + (POINTS - 1) / 2) / (POINTS - 1)];
            }
        }
        Ok(Self { videos, quantiles })
    }

    /// What the network should say of a pair, and how much each counts.
    pub(super) fn target(&self, settings: &Settings, video: u32, ratio: f32, actions: Actions) -> Target {
        let (seconds, group) = self.videos[video as usize];
        match settings.objective {
            Objective::D2q => Target::Quantile((seconds > 0.0).then(|| self.rank(group, ratio * seconds))),
            Objective::WeightedLogistic => {
                Target::Odds((seconds > 0.0).then(|| (ratio * seconds).max(0.0) / SCALE_SECONDS))
            }
            Objective::Tasks => Target::Tasks([
                f32::from(u8::from(ratio >= 1.0)),
                flag(actions, &[Action::Like]),
                flag(actions, &[Action::Forward]),
                flag(actions, &[Action::Hate]),
                ratio,
            ]),
            _ => Target::Ratio(ratio),
        }
    }

    /// The share of a group's watch times that lie below, from 0 to 1.
    fn rank(&self, group: u32, seconds: f32) -> f32 {
        let points = self.quantiles.row(group as usize);
        let below = points.partition_point(|&point| point < seconds);
        let equal = points[below..].iter().take_while(|&&point| point == seconds).count();
        (below as f32 + 0.5 * equal as f32) / POINTS as f32
    }

    /// The score of a video from the network's outputs.
    pub(super) fn answer(&self, settings: &Settings, video: u32, base: f32, outputs: &[f32]) -> f32 {
        let (seconds, group) = self.videos[video as usize];
        // Of a video without a length the score says how much, not how long.
        let ratio = |watched: f32| if seconds > 0.0 { watched / seconds } else { 0.0 };
        match settings.objective {
            Objective::D2q => {
                let at = sigmoid(outputs[0]) * (POINTS - 1) as f32;
                let low = (at as usize).min(POINTS - 2);
                let share = at - low as f32;
                let points = self.quantiles.row(group as usize);
                ratio(points[low] + share * (points[low + 1] - points[low]))
            }
            Objective::WeightedLogistic => ratio(SCALE_SECONDS * exp(outputs[0].min(ODDS_MAX))),
            Objective::Tasks => {
                let said = |at: usize| if at == TASKS - 1 { outputs[at] } else { sigmoid(outputs[at]) };
                settings.weights.iter().enumerate().map(|(at, weight)| weight * said(at)).sum()
            }
            _ => base + outputs[0],
        }
    }

    pub(super) fn has_quantiles(&self) -> bool {
        self.quantiles.n_rows() > 0
    }

    /// As arrays: length and group of each video, and the quantiles.
    pub(super) fn arrays(&self) -> (Matrix, Matrix) {
        let videos = self.videos.iter().flat_map(|&(seconds, group)| [seconds, group as f32]).collect();
        (Matrix::from_rows(self.videos.len(), 2, videos), self.quantiles.clone())
    }

    pub(super) fn from_arrays(videos: Matrix, quantiles: Matrix, n_videos: usize) -> Result<Self, String> {
        if videos.n_columns() != 2 || videos.n_rows() != n_videos {
            return Err("groups".into());
        }
        let videos: Vec<(f32, u32)> =
            (0..n_videos).map(|at| (videos.row(at)[0], videos.row(at)[1] as u32)).collect();
        let is_known =
            |&(_, group): &(f32, u32)| quantiles.n_rows() == 0 || (group as usize) < quantiles.n_rows();
        if quantiles.n_columns() != POINTS || !videos.iter().all(is_known) {
            return Err("quantiles".into());
        }
        Ok(Self { videos, quantiles })
    }
}

/// Watch times are told in so many seconds, so that odds are near 1.
const SCALE_SECONDS: f32 = 10.0;
/// e to this is as long as anybody watches.
const ODDS_MAX: f32 = 12.0;

fn flag(actions: Actions, wanted: &[Action]) -> f32 {
    f32::from(u8::from(wanted.iter().any(|&action| actions.has(action))))
}

/// What the network should say.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    Ratio(f32),
    /// `None` where the length is not known: it counts for nothing.
    Quantile(Option<f32>),
    Odds(Option<f32>),
    Tasks([f32; TASKS]),
}

impl Target {
    /// The loss of outputs, whose gradient is written over them. `base` is what is predicted without the network.
    pub(super) fn loss(self, objective: Objective, base: f32, outputs: &mut [f32]) -> f32 {
        let regression = match objective {
            Objective::Absolute => Regression::Absolute,
            Objective::Huber => Regression::Huber { delta: 1.0 },
            _ => Regression::Square,
        };
        match self {
            Self::Ratio(ratio) => {
                let (loss, of) = regression.of(base + outputs[0], ratio);
                outputs[0] = of;
                loss
            }
            Self::Quantile(None) | Self::Odds(None) => {
                outputs[0] = 0.0;
                0.0
            }
            Self::Quantile(Some(quantile)) => {
                let said = sigmoid(outputs[0]);
                let (loss, of) = Regression::Square.of(said, quantile);
                outputs[0] = of * said * (1.0 - said);
                loss
            }
            Self::Odds(Some(odds)) => {
                // Once as a yes that weighs the watch time, once as a no that weighs 1: the best odds are the time.
                let (yes, of_yes) = binary(outputs[0], 1.0);
                let (no, of_no) = binary(outputs[0], 0.0);
                outputs[0] = odds * of_yes + of_no;
                odds * yes + no
            }
            Self::Tasks(said) => {
                let mut all = 0.0;
                for (at, (output, target)) in outputs.iter_mut().zip(said).enumerate() {
                    let (loss, of) = match at {
                        4 => Regression::Huber { delta: 1.0 }.of(*output, target),
                        _ => binary(*output, target),
                    };
                    *output = of;
                    all += loss;
                }
                all
            }
        }
    }
}
