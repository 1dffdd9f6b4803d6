//! Implicit matrix factorisation by alternating least squares, with fold-in of any history.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use upnext_data::{History, Judgement};
use upnext_features::Confidence;
use upnext_math::dot::{add_scaled, dot};
use upnext_math::linalg::{
    Accumulate, Precision, View, ViewMut, multiply, product_transposed_into, spd_solve_in_place,
    transposed_product,
};
use upnext_math::seed::Random;
use upnext_math::{Matrix, Sparse};

use super::ease::binary;
use crate::checkpoint::{Form, Writer};
use crate::{Context, FitError, Recommender, Shape, Tower, Training};

/// How it is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Numbers of a vector.
    pub dimensions: usize,
    /// Weight of an observed pair: `1 - lambda` in the design.
    pub observed: f32,
    /// Weight of a pair that was not observed: `lambda` in the design.
    pub unobserved: f32,
    /// Weight of squares of all numbers, for each unit of weight of the row's pairs.
    pub regularisation: f32,
    /// To what power that weight is taken: 1 scales with frequency, 0 is one number for all.
    pub exponent: f32,
    /// Times that users, then videos are solved.
    pub rounds: usize,
    /// Steps of conjugate gradients for a row, from where it was; 0 solves exactly.
    pub steps: usize,
    /// Weight of each step into the past when a history is folded in.
    pub decay: f32,
    /// Videos of a history that are folded in, the newest.
    pub last: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dimensions: 64,
            observed: 0.95,
            unobserved: 0.05,
            regularisation: 0.005,
            exponent: 1.0,
            rounds: 12,
            steps: 3,
            decay: 0.9,
            last: 200,
        }
    }
}

impl Settings {
    /// Checks what cannot be meant.
    pub(crate) fn check(&self) -> Result<(), FitError> {
        let weight = |x: f32| x.is_finite() && x >= 0.0;
        let checks = [
            ((1..=4_096).contains(&self.dimensions), "dimensions", "1 to 4096"),
            (weight(self.observed) && self.observed > self.unobserved, "observed", "more than unobserved"),
            (weight(self.unobserved), "unobserved", "0 or more"),
            (weight(self.regularisation) && self.regularisation > 0.0, "regularisation", "a positive number"),
            ((0.0..=2.0).contains(&self.exponent), "exponent", "0 to 2"),
            (self.rounds > 0, "rounds", "at least 1"),
            (self.decay > 0.0 && self.decay <= 1.0, "decay", "above 0, at most 1"),
            (self.last > 0, "last", "at least 1"),
        ];
        match checks.into_iter().find(|(fine, _, _)| !fine) {
            Some((_, key, expected)) => Err(FitError::Setting { model: "wmf", key: key.into(), expected }),
            None => Ok(()),
        }
    }

    /// The recipe of the closed forms, where an observation weighs 1 more than what was not observed.
    fn of_closed_forms() -> Self {
        Self {
            dimensions: 96,
            observed: 1.0,
            unobserved: 0.02,
            regularisation: 0.02,
            exponent: 1.0,
            rounds: 5,
            steps: 0,
            decay: 0.8,
            last: 50,
        }
    }
}

/// iALS (Hu, Koren & Volinsky 2008, with the frequency scaling of Rendle et al. 2021). A row `x` of one side
/// solves `(a V'V + sum r v v' + l (sum r + a n) I) x = sum r v`, `a` = 0.02 the weight of the unobserved, `l` =
/// 0.02, `n` the rows of the other side, `r` = 1 in training and `0.8^age` for the newest 50 of a history.
///
/// As `wmf` it is the weighted matrix factorisation of a design: `o` on observed pairs and `a` on all others, so
/// `(a V'V + sum (o r - a) v v' + l (sum o r + a n)^e I) x = sum o r v`.
#[derive(Clone, Debug)]
pub struct Ials {
    name: &'static str,
    settings: Settings,
    pub(crate) videos: Matrix,
    gram: Matrix,
    /// The mean confidence in training, which a weight of 1 stands for; `None` weighs every observation by 1.
    confidence_mean: Option<f32>,
}

impl Ials {
    pub(super) fn fit(training: &Training) -> Self {
        Self::factorise("ials", Settings::of_closed_forms(), &binary(training), training.seed, None)
    }

    /// By settings, on pairs that are wanted.
    pub(super) fn fit_weighted(training: &Training) -> Result<Self, FitError> {
        let settings = &training.settings.wmf;
        settings.check()?;
        Ok(Self::factorise("wmf", settings.clone(), &binary(training), training.seed, None))
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
        let (name, settings) = ("ials-confidence", Settings::of_closed_forms());
        Ok(Self::factorise(name, settings, &x, training.seed, Some(mean)))
    }

    fn factorise(
        name: &'static str,
        settings: Settings,
        x: &Sparse,
        seed: u64,
        confidence_mean: Option<f32>,
    ) -> Self {
        let (_, videos) = factorise(x, &settings, name != "wmf", seed);
        Self { name, gram: transposed_product(&videos, &videos), settings, videos, confidence_mean }
    }

    /// From video vectors, `(videos, dimensions)`, the mean confidence where observations are weighted by it, and the
    /// settings where they are not those of the closed forms.
    pub(crate) fn new(videos: Matrix, confidence_mean: Option<f32>, settings: Option<Settings>) -> Self {
        let name = match (&settings, confidence_mean) {
            (Some(_), _) => "wmf",
            (None, Some(_)) => "ials-confidence",
            (None, None) => "ials",
        };
        let settings = settings.unwrap_or_else(Settings::of_closed_forms);
        Self { name, gram: transposed_product(&videos, &videos), settings, videos, confidence_mean }
    }

    /// The viewer's vector for a history.
    fn fold_in(&self, history: &History) -> Vec<f32> {
        let n = self.n_videos();
        let wanted = history.past().iter().rev().filter(|past| past.judgement == Judgement::Positive);
        let (videos, weights): (Vec<u32>, Vec<f32>) = wanted
            .take(self.settings.last)
            .enumerate()
            .filter(|(_, past)| (past.video as usize) < n)
            .map(|(age, past)| {
                (past.video, self.settings.decay.powi(age as i32) * weight(past.value, self.confidence_mean))
            })
            .unzip();
        let row = Row { columns: &videos, weights: &weights };
        Problem {
            settings: &self.settings,
            is_extra: self.name != "wmf",
            gram: &self.gram,
            other: &self.videos,
        }
        .exact(row)
    }
}

/// The weight of an observation: 1, or its confidence over the mean.
fn weight(ratio: Option<f32>, confidence_mean: Option<f32>) -> f32 {
    match (ratio, confidence_mean) {
        (Some(ratio), Some(mean)) if ratio.is_finite() => Confidence::default().of_ratio(ratio) / mean,
        _ => 1.0,
    }
}

/// Vectors of rows and of columns of a matrix of weights, alternating. `is_extra` says that an observation's weight comes
/// on top of that of the unobserved, as in the closed forms.
pub fn factorise(x: &Sparse, settings: &Settings, is_extra: bool, seed: u64) -> (Matrix, Matrix) {
    let transposed = x.transpose();
    let mut random = Random::new(seed);
    let deviation = 0.1 / (settings.dimensions as f32).sqrt();
    let mut start = |n: usize| {
        let values = (0..n * settings.dimensions).map(|_| random.normal() * deviation).collect();
        Matrix::from_rows(n, settings.dimensions, values)
    };
    let mut columns = start(x.n_columns());
    let mut rows = Matrix::zeros(x.n_rows(), settings.dimensions);
    for _ in 0..settings.rounds {
        solve(x, settings, is_extra, &columns, &mut rows);
        solve(&transposed, settings, is_extra, &rows, &mut columns);
    }
    (rows, columns)
}

fn solve(observed: &Sparse, settings: &Settings, is_extra: bool, other: &Matrix, out: &mut Matrix) {
    let gram = transposed_product(other, other);
    let problem = Problem { settings, is_extra, gram: &gram, other };
    let d = other.n_columns();
    let row = |row: usize| {
        let (columns, weights) = observed.row(row);
        Row { columns, weights }
    };
    if settings.steps == 0 {
        out.values_mut().par_chunks_mut(d).enumerate().with_min_len(16).for_each(|(at, out)| {
            out.copy_from_slice(&problem.exact(row(at)));
        });
    } else {
        out.values_mut().par_chunks_mut(d * TOGETHER).enumerate().for_each(|(block, out)| {
            let rows: Vec<Row> = (0..out.len() / d).map(|at| row(block * TOGETHER + at)).collect();
            problem.gradients(&rows, out);
        });
    }
}

/// Rows whose conjugate gradients share one product with the Gram matrix.
const TOGETHER: usize = 64;

/// What was observed of one row.
#[derive(Clone, Copy)]
struct Row<'a> {
    columns: &'a [u32],
    weights: &'a [f32],
}

/// The least squares of one side.
struct Problem<'a> {
    settings: &'a Settings,
    is_extra: bool,
    gram: &'a Matrix,
    other: &'a Matrix,
}

impl Problem<'_> {
    /// What an observation adds to the left, and to the right.
    fn weights(&self, weight: f32) -> (f32, f32) {
        let right = self.settings.observed * weight;
        (if self.is_extra { right } else { right - self.settings.unobserved }, right)
    }

    /// What stands on the diagonal besides.
    fn ridge(&self, row: Row) -> f32 {
        let Settings { observed, unobserved, regularisation, exponent, .. } = *self.settings;
        let total = observed * row.weights.iter().sum::<f32>() + unobserved * self.other.n_rows() as f32;
        regularisation * if exponent == 1.0 { total } else { total.powf(exponent) }
    }

    fn exact(&self, row: Row) -> Vec<f32> {
        let d = self.other.n_columns();
        let mut right = vec![0.0; d];
        if row.columns.is_empty() {
            return right;
        }
        let mut left: Vec<f32> =
            self.gram.values().iter().map(|value| self.settings.unobserved * value).collect();
        for (&column, &weight) in row.columns.iter().zip(row.weights) {
            let v = self.other.row(column as usize);
            let (of_left, of_right) = self.weights(weight);
            add_scaled(&mut right, of_right, v);
            // The upper triangle is enough.
            for (at, &value) in v.iter().enumerate() {
                add_scaled(&mut left[at * d + at..(at + 1) * d], of_left * value, &v[at..]);
            }
        }
        let ridge = self.ridge(row);
        for at in 0..d {
            left[at * d + at] += ridge;
        }
        if spd_solve_in_place(&mut left, &mut right) { right } else { vec![0.0; d] }
    }

    /// Conjugate gradients of several rows at once, from where they are (Takács, Pilászy & Tikk 2011).
    fn gradients(&self, rows: &[Row], x: &mut [f32]) {
        let (n, d) = (rows.len(), self.other.n_columns());
        let mut product = vec![0.0; n * d];
        self.times(rows, x, &mut product);
        // What is left of the right side.
        let mut rest: Vec<f32> = product.iter().map(|p| -p).collect();
        for (at, row) in rows.iter().enumerate() {
            if row.columns.is_empty() {
                x[at * d..(at + 1) * d].fill(0.0);
                rest[at * d..(at + 1) * d].fill(0.0);
                continue;
            }
            let rest = &mut rest[at * d..(at + 1) * d];
            for (&column, &weight) in row.columns.iter().zip(row.weights) {
                add_scaled(rest, self.weights(weight).1, self.other.row(column as usize));
            }
        }
        let mut direction = rest.clone();
        let mut squares: Vec<f32> = rest.chunks_exact(d).map(|rest| dot(rest, rest)).collect();
        for _ in 0..self.settings.steps {
            self.times(rows, &direction, &mut product);
            for (at, known) in squares.iter_mut().enumerate() {
                let of = at * d..(at + 1) * d;
                let along = dot(&direction[of.clone()], &product[of.clone()]);
                if *known < 1e-20 || along <= 0.0 {
                    continue;
                }
                let step = *known / along;
                add_scaled(&mut x[of.clone()], step, &direction[of.clone()]);
                let rest = &mut rest[of.clone()];
                add_scaled(rest, -step, &product[of.clone()]);
                let square = dot(rest, rest);
                let keeps = square / *known;
                direction[of].iter_mut().zip(&*rest).for_each(|(p, r)| *p = r + keeps * *p);
                *known = square;
            }
        }
    }

    /// The left side of each row times a vector of it.
    fn times(&self, rows: &[Row], vectors: &[f32], out: &mut [f32]) {
        let (n, d) = (rows.len(), self.other.n_columns());
        let of_vectors = View::new(vectors, n, d, d);
        let into = ViewMut::new(out, n, d, d);
        multiply(
            into,
            Accumulate::Replace,
            of_vectors,
            self.gram.into(),
            self.settings.unobserved,
            Precision::F32,
        );
        for ((row, out), vector) in rows.iter().zip(out.chunks_exact_mut(d)).zip(vectors.chunks_exact(d)) {
            add_scaled(out, self.ridge(*row), vector);
            for (&column, &weight) in row.columns.iter().zip(row.weights) {
                let v = self.other.row(column as usize);
                add_scaled(out, self.weights(weight).0 * dot(v, vector), v);
            }
        }
    }
}

impl Recommender for Ials {
    fn name(&self) -> &str {
        self.name
    }

    fn save(&self, out: &mut Writer<'_>) -> Form {
        out.matrix("videos", &self.videos);
        let settings = (self.name == "wmf").then(|| self.settings.clone());
        Form::Ials { confidence_mean: self.confidence_mean, settings }
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

    fn shape(&self) -> Shape<'_> {
        Shape::Inner(self)
    }

    fn score_batch(&self, questions: &[(&History, Context)], scores: &mut Matrix) {
        let mut users = Matrix::zeros(questions.len(), self.videos.n_columns());
        for (at, (history, _)) in questions.iter().enumerate() {
            users.row_mut(at).copy_from_slice(&self.fold_in(history));
        }
        product_transposed_into(&users, &self.videos, scores.values_mut());
    }
}

impl Tower for Ials {
    fn items(&self) -> &Matrix {
        &self.videos
    }

    fn user(&self, history: &History) -> Vec<f32> {
        self.fold_in(history)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::{Interaction, Interactions, Order, Past};

    /// Six users, each with a run of videos, all watched to the same ratio.
    fn watched(ratio: Option<f32>) -> Interactions {
        let row = |video| Interaction {
            video,
            time: 1,
            value: ratio,
            judgement: Judgement::Positive,
            actions: upnext_data::Actions::default(),
        };
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

    #[test]
    fn gradients_of_many_rows_come_to_the_exact_solution_and_the_designs_weights_are_those_of_its_objective()
    {
        let interactions = watched(None);
        let x = binary(&Training::of(&interactions, Order::Timed, 3));
        let settings = Settings { dimensions: 4, rounds: 1, steps: 0, ..Settings::default() };
        let (exact, videos) = factorise(&x, &settings, false, 5);
        let (near, _) = factorise(&x, &Settings { steps: 12, ..settings.clone() }, false, 5);
        let close =
            |a: &Matrix, b: &Matrix| a.values().iter().zip(b.values()).all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(close(&exact, &near));
        // Of the videos, solved last, no small step makes the objective smaller.
        let objective = |videos: &Matrix| {
            let Settings { observed, unobserved, regularisation, .. } = settings;
            let mut sum = 0.0;
            for video in 0..8 {
                let of_video = videos.row(video);
                let mut total = 0.0;
                for user in 0..6 {
                    let is_observed = x.row(user).0.contains(&(video as u32));
                    let (weight, target) = if is_observed { (observed, 1.0) } else { (unobserved, 0.0) };
                    let error = target - dot(exact.row(user), of_video);
                    sum += f64::from(weight * error * error);
                    total += if is_observed { observed } else { 0.0 };
                }
                total += unobserved * 6.0;
                sum += f64::from(regularisation * total * dot(of_video, of_video));
            }
            sum
        };
        let least = objective(&videos);
        for at in 0..videos.values().len() {
            for step in [0.02, -0.02] {
                let mut moved = videos.clone();
                moved.values_mut()[at] += step;
                assert!(objective(&moved) > least, "number {at}, {step}");
            }
        }
    }
}
