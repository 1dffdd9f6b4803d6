//! A weighted sum of models on one scale.

use std::sync::Arc;

use upnext_data::{History, Query};
use upnext_math::Matrix;
use upnext_math::dot::mean_and_deviation;

use crate::checkpoint::{Form, Writer};
use crate::{Context, Pool, Recommender, Shape, Training};

/// Each model's scores minus their mean over their population deviation (plus 1e-9), both over all videos,
/// seen ones included; then the weighted sum.
pub struct Blend {
    name: String,
    parts: Vec<Part>,
}

/// One model of a blend.
#[derive(Clone)]
pub struct Part {
    /// Its weight, at least 0.
    pub weight: f32,
    /// Mean deviation of its raw scores on validation: the scale on which reasons are compared.
    pub deviation: f32,
    /// The model.
    pub model: Arc<dyn Recommender>,
}

impl Blend {
    /// From parts whose weights are known; those of weight 0 are dropped.
    pub fn new(name: impl Into<String>, parts: Vec<Part>) -> Self {
        Self { name: name.into(), parts: parts.into_iter().filter(|part| part.weight > 0.0).collect() }
    }

    /// Takes the weights that are `given`, else chooses them on validation by coordinate ascent from `start`, in each of
    /// the `steps` in turn, else keeps `start`. Returns the blend and one weight for each model.
    pub(super) fn choose(
        name: &str,
        models: Vec<Arc<dyn Recommender>>,
        start: &[f32],
        given: Option<&[f32]>,
        steps: &[f32],
        training: &Training,
    ) -> (Self, Vec<f32>) {
        // Deviations are means over some questions; without validation, over histories of the training set.
        let histories;
        let questions = if training.validation.is_empty() {
            histories = some_histories(training);
            &histories
        } else {
            training.validation
        };
        let plain: Vec<&dyn Recommender> = models.iter().map(AsRef::as_ref).collect();
        let pool = Pool::new(&plain, questions, training.candidates);
        let weights = match given {
            Some(given) => given.to_vec(),
            None if training.validation.is_empty() => start.to_vec(),
            None => steps.iter().fold(start.to_vec(), |from, &step| pool.ascend(&from, step).weights),
        };
        let parts = models
            .into_iter()
            .zip(weights.iter().zip(pool.deviations()))
            .map(|(model, (&weight, &deviation))| Part { weight, deviation, model })
            .collect();
        (Self::new(name, parts), weights)
    }

    /// The models and their weights.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }
}

/// Questions without an answer, from evenly spread training users.
fn some_histories(training: &Training) -> Vec<Query> {
    const USERS_MAX: usize = 256;
    let n = training.interactions.n_users();
    (0..n)
        .step_by(n.div_ceil(USERS_MAX).max(1))
        .map(|user| {
            let history = training.interactions.history(user as u32);
            Query { user: user as u32, masked: history.seen(), history, relevant: Vec::new(), at: None }
        })
        .collect()
}

fn add_z_scores(weight: f32, raw: &[f32], scores: &mut [f32]) {
    let (mean, deviation) = mean_and_deviation(raw);
    let scale = weight / (deviation + 1e-9);
    for (score, &raw) in scores.iter_mut().zip(raw) {
        *score += scale * (raw - mean);
    }
}

impl Recommender for Blend {
    fn name(&self) -> &str {
        &self.name
    }

    fn save(&self, out: &mut Writer<'_>) -> Form {
        let parts = self
            .parts
            .iter()
            .enumerate()
            .map(|(at, part)| (part.weight, part.deviation, part.model.save(&mut out.part(at))))
            .collect();
        Form::Blend { name: self.name.clone(), parts }
    }

    fn compact(&self, neighbours: usize) -> Option<Arc<dyn Recommender>> {
        let parts = self
            .parts
            .iter()
            .map(|part| Part {
                model: part.model.compact(neighbours).unwrap_or_else(|| Arc::clone(&part.model)),
                ..part.clone()
            })
            .collect();
        Some(Arc::new(Self::new(self.name.clone(), parts)))
    }

    fn n_videos(&self) -> usize {
        self.parts.iter().map(|part| part.model.n_videos()).max().unwrap_or(0)
    }

    fn score_all(&self, history: &History, context: &Context, scores: &mut [f32]) {
        scores.fill(0.0);
        let mut raw = vec![0.0; scores.len()];
        for part in &self.parts {
            part.model.score_all(history, context, &mut raw);
            add_z_scores(part.weight, &raw, scores);
        }
    }

    fn shape(&self) -> Shape<'_> {
        Shape::Blend(&self.parts)
    }

    fn score_batch(&self, questions: &[(&History, Context)], scores: &mut Matrix) {
        scores.values_mut().fill(0.0);
        let mut raw = Matrix::zeros(scores.n_rows(), scores.n_columns());
        for part in &self.parts {
            part.model.score_batch(questions, &mut raw);
            for row in 0..raw.n_rows() {
                add_z_scores(part.weight, raw.row(row), scores.row_mut(row));
            }
        }
    }

    fn because(&self, history: &History, context: &Context, row: u32) -> Vec<(u32, f32)> {
        let mut reasons: Vec<(u32, f32)> = Vec::new();
        for part in &self.parts {
            let scale = part.weight / (part.deviation + 1e-9);
            for (video, share) in part.model.because(history, context, row) {
                match reasons.iter_mut().find(|(known, _)| *known == video) {
                    Some((_, total)) => *total += scale * share,
                    None => reasons.push((video, scale * share)),
                }
            }
        }
        reasons.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        reasons
    }
}

/// `m / max m + share e / max e`, the maxima over all videos for each viewer: the floor that mixes two models.
pub(crate) struct OnMaxima {
    first: Arc<dyn Recommender>,
    second: Arc<dyn Recommender>,
    share: f32,
}

impl OnMaxima {
    pub(crate) fn new(first: Arc<dyn Recommender>, second: Arc<dyn Recommender>, share: f32) -> Self {
        Self { first, second, share }
    }

    pub(super) fn share(&self) -> f32 {
        self.share
    }
}

impl Recommender for OnMaxima {
    fn name(&self) -> &str {
        "markov-ease"
    }

    fn save(&self, out: &mut Writer<'_>) -> Form {
        let parts = (self.first.save(&mut out.part(0)), self.second.save(&mut out.part(1)));
        Form::OnMaxima { share: self.share, parts: Box::new(parts) }
    }

    fn n_videos(&self) -> usize {
        self.first.n_videos()
    }

    fn score_all(&self, history: &History, context: &Context, scores: &mut [f32]) {
        let mut second = vec![0.0; scores.len()];
        self.first.score_all(history, context, scores);
        self.second.score_all(history, context, &mut second);
        let scale = |scores: &[f32]| {
            let max = scores.iter().copied().fold(0.0f32, f32::max);
            if max > 0.0 { 1.0 / max } else { 0.0 }
        };
        let (of_first, of_second) = (scale(scores), self.share * scale(&second));
        for (score, second) in scores.iter_mut().zip(second) {
            *score = of_first * *score + of_second * second;
        }
    }
}
