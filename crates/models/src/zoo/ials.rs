//! Implicit matrix factorisation by alternating least squares, with fold-in of any history.

use rayon::prelude::*;
use upnext_data::{History, Judgement};
use upnext_features::Confidence;
use upnext_math::dot::{add_scaled, dot};
use upnext_math::linalg::{product_transposed_into, spd_solve_in_place, transposed_product};
use upnext_math::seed::Random;
use upnext_math::{Matrix, Sparse};

use super::ease::binary;
use crate::checkpoint::{Form, Writer};
use crate::{Context, FitError, Recommender, Training};

const DIMENSIONS: usize = 96;
const UNOBSERVED: f32 = 0.02;
const REGULARISATION: f32 = 0.02;
const ROUNDS: usize = 5;
const DECAY: f32 = 0.8;
const LAST: usize = 50;

/// iALS (Hu, Koren & Volinsky 2008, with the frequency scaling of Rendle et al. 2021). A row `x` of one side
/// solves `(a V'V + sum r v v' + l (sum r + a n) I) x = sum r v`, `a` = 0.02 the weight of the unobserved, `l` =
/// 0.02, `n` the rows of the other side, `r` = 1 in training and `0.8^age` for the newest 50 of a history.
#[derive(Clone, Debug)]
pub struct Ials {
    pub(crate) videos: Matrix,
    gram: Matrix,
    /// The mean confidence in training, which a weight of 1 stands for; `None` weighs every observation by 1.
    confidence_mean: Option<f32>,
}

impl Ials {
    pub(super) fn fit(training: &Training) -> Self {
        Self::factorise(&binary(training), training.seed, None)
    }

    /// With `r` = the confidence of the observation's watch ratio over the mean confidence, in training and in a
    /// history; 1 where the ratio is not known. A rating counts as a ratio of so many stars.
    pub(super) fn fit_confident(training: &Training) -> Result<Self, FitError> {
        let confidence = Confidence::default();
        let positive = training.interactions.rows().iter().filter(|row| row.is_positive());
        let known: Vec<f32> =
            positive.filter_map(|row| row.value.filter(|value| value.is_finite())).collect();
        if known.is_empty() {
            let (model, needs) = ("ials-confidence".into(), "watch ratios or ratings");
            return Err(FitError::Needs { model, needs });
        }
        let sum: f64 = known.iter().map(|&ratio| f64::from(confidence.of_ratio(ratio))).sum();
        let mean = (sum / known.len() as f64) as f32;
        let weighted = training.interactions.users().map(|rows| {
            let positive = rows.iter().filter(|row| row.is_positive());
            let mut row: Vec<(u32, f32)> =
                positive.map(|row| (row.video, weight(row.value, Some(mean)))).collect();
            row.sort_unstable_by_key(|&(video, _)| video);
            row
        });
        let x = Sparse::from_rows(training.interactions.n_videos(), weighted);
        Ok(Self::factorise(&x, training.seed, Some(mean)))
    }

    fn factorise(x: &Sparse, seed: u64, confidence_mean: Option<f32>) -> Self {
        let transposed = x.transpose();
        let mut random = Random::new(seed);
        let deviation = 0.1 / (DIMENSIONS as f32).sqrt();
        let n = x.n_columns() * DIMENSIONS;
        let start = (0..n).map(|_| random.normal() * deviation).collect();
        let mut videos = Matrix::from_rows(x.n_columns(), DIMENSIONS, start);
        for _ in 0..ROUNDS {
            let users = solve(x, &videos);
            videos = solve(&transposed, &users);
        }
        Self::new(videos, confidence_mean)
    }

    /// From video vectors, `(videos, dimensions)`, and the mean confidence where observations are weighted by it.
    pub(crate) fn new(videos: Matrix, confidence_mean: Option<f32>) -> Self {
        Self { gram: transposed_product(&videos, &videos), videos, confidence_mean }
    }

    /// The viewer's vector for a history.
    fn fold_in(&self, history: &History) -> Vec<f32> {
        let n = self.n_videos();
        let wanted = history.past().iter().rev().filter(|past| past.judgement == Judgement::Positive);
        let (videos, weights): (Vec<u32>, Vec<f32>) = wanted
            .take(LAST)
            .enumerate()
            .filter(|(_, past)| (past.video as usize) < n)
            .map(|(age, past)| {
                (past.video, DECAY.powi(age as i32) * weight(past.value, self.confidence_mean))
            })
            .unzip();
        solve_one(&self.gram, &self.videos, &videos, &weights)
    }
}

/// The weight of an observation: 1, or its confidence over the mean.
fn weight(ratio: Option<f32>, confidence_mean: Option<f32>) -> f32 {
    match (ratio, confidence_mean) {
        (Some(ratio), Some(mean)) if ratio.is_finite() => Confidence::default().of_ratio(ratio) / mean,
        _ => 1.0,
    }
}

fn solve(observed: &Sparse, other: &Matrix) -> Matrix {
    let gram = transposed_product(other, other);
    let d = other.n_columns();
    let mut out = Matrix::zeros(observed.n_rows(), d);
    out.values_mut().par_chunks_mut(d).enumerate().with_min_len(16).for_each(|(row, out)| {
        let (columns, weights) = observed.row(row);
        out.copy_from_slice(&solve_one(&gram, other, columns, weights));
    });
    out
}

fn solve_one(gram: &Matrix, other: &Matrix, columns: &[u32], weights: &[f32]) -> Vec<f32> {
    let d = other.n_columns();
    let mut right = vec![0.0; d];
    if columns.is_empty() {
        return right;
    }
    let mut left: Vec<f32> = gram.values().iter().map(|value| UNOBSERVED * value).collect();
    let mut total = UNOBSERVED * other.n_rows() as f32;
    for (&column, &weight) in columns.iter().zip(weights) {
        let v = other.row(column as usize);
        add_scaled(&mut right, weight, v);
        // The upper triangle is enough.
        for (at, &value) in v.iter().enumerate() {
            add_scaled(&mut left[at * d + at..(at + 1) * d], weight * value, &v[at..]);
        }
        total += weight;
    }
    for at in 0..d {
        left[at * d + at] += REGULARISATION * total;
    }
    if spd_solve_in_place(&mut left, &mut right) { right } else { vec![0.0; d] }
}

impl Recommender for Ials {
    fn name(&self) -> &str {
        if self.confidence_mean.is_some() { "ials-confidence" } else { "ials" }
    }

    fn save(&self, out: &mut Writer<'_>) -> Form {
        out.matrix("videos", &self.videos);
        Form::Ials { confidence_mean: self.confidence_mean }
    }

    fn n_videos(&self) -> usize {
        self.videos.n_rows()
    }

    fn score_all(&self, history: &History, _context: &Context, scores: &mut [f32]) {
        let user = self.fold_in(history);
        for (video, score) in scores.iter_mut().enumerate() {
            *score = dot(&user, self.videos.row(video));
        }
    }

    fn score_batch(&self, questions: &[(&History, Context)], scores: &mut Matrix) {
        let mut users = Matrix::zeros(questions.len(), self.videos.n_columns());
        for (at, (history, _)) in questions.iter().enumerate() {
            users.row_mut(at).copy_from_slice(&self.fold_in(history));
        }
        product_transposed_into(&users, &self.videos, scores.values_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::{Interaction, Interactions, Order, Past};

    /// Six users, each with a run of videos, all watched to the same ratio.
    fn watched(ratio: Option<f32>) -> Interactions {
        let row = |video| Interaction { video, time: 1, value: ratio, judgement: Judgement::Positive, actions: upnext_data::Actions::default() };
        let users = (0..6u32).map(|user| (user..user + 4).map(|video| row(video % 8)).collect()).collect();
        Interactions::from_users(8, users)
    }

    #[test]
    fn one_confidence_for_all_gives_plain_factors_bit_for_bit() {
        let interactions = watched(Some(0.7));
        let training = Training::of(&interactions, Order::Timed, 3);
        let (plain, confident) = (Ials::fit(&training), Ials::fit_confident(&training).unwrap());
        let bits = |model: &Ials| model.videos.values().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&plain), bits(&confident));
        let past = |&row: &Interaction| Past {
            video: row.video,
            time: row.time,
            value: row.value,
            judgement: row.judgement,
            actions: row.actions,
        };
        let history = History::new(interactions.of(0).iter().map(past));
        let scores = |model: &Ials| {
            let mut scores = vec![0.0; 8];
            model.score_all(&history, &Context { seed: 3, ..Context::default() }, &mut scores);
            scores.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(scores(&plain), scores(&confident));
        assert_ne!(scores(&plain), vec![0; 8]);
    }
}
