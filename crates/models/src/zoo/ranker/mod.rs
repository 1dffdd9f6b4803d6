//! A second stage: the candidates of stage one in an order that was learnt from whole lists. What it reads is named by
//! [`Group`]; how its lists are made without reading the answer stands in `slates.rs`.

mod ablation;
mod features;
mod lesson;
mod loss;
mod slates;

use std::sync::Arc;

pub use ablation::{Ablated, Ablation};
pub use features::Group;
use features::{Signals, ask, block, columns, n_parts, slate};
use lesson::{Lesson, Network};
pub use loss::ListLoss;
use serde::{Deserialize, Serialize};
pub(crate) use slates::{Ground, HeldOut};
use upnext_data::History;
use upnext_features::Content;
use upnext_math::seed::Random;
use upnext_math::{Matrix, Sparse};
use upnext_nn::Parameters;

use super::Kind;
use crate::checkpoint::{Form, Writer};
use crate::train::{self, Loop};
use crate::{Context, FitError, Recommender, Training};

/// How it is made and how it learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The model whose candidates are ordered.
    pub stage_one: Kind,
    /// How many of them.
    pub candidates: usize,
    /// Numbers of each layer between features and score.
    pub hidden: Vec<usize>,
    /// Share of these left out at random while it learns.
    pub dropout: f32,
    /// What is made small.
    pub loss: ListLoss,
    /// Candidates of a list that were not wanted, drawn once; the cap of each viewer's negatives.
    pub negatives: usize,
    /// At most so many of a viewer's wanted videos are held out to learn from, a tenth of them where that is less.
    pub places: usize,
    /// Whether a larger watch ratio or rating gains more: 1 for the least that is wanted, up to 4 for four times that.
    pub graded: bool,
    /// How far rare watch ratios count more: weights are the inverse frequencies of ten buckets to this power; 0 is not at all.
    pub balance: f32,
    /// The loop.
    pub learn: Loop,
}

impl Default for Settings {
    fn default() -> Self {
        let learn = Loop {
            batch: 128,
            rate: 1e-3,
            weight_decay: 1e-2,
            epochs_max: 60,
            epochs_default: 8,
            patience: 8,
            slower_after: 3,
            ..Loop::default()
        };
        Self {
            stage_one: Kind::ClosedBlend,
            candidates: 200,
            hidden: vec![32],
            dropout: 0.1,
            loss: ListLoss::Softmax,
            negatives: 64,
            places: 5,
            graded: true,
            balance: 0.0,
            learn,
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), FitError> {
        let is_layer = |n: &usize| (1..=1_024).contains(n);
        let checks = [
            (
                !matches!(self.stage_one, Kind::Ranker | Kind::Random),
                "stage_one",
                "a model other than ranker and random",
            ),
            ((2..=2_000).contains(&self.candidates), "candidates", "2 to 2000"),
            (
                self.hidden.len() <= 4 && self.hidden.iter().all(is_layer),
                "hidden",
                "at most 4 layers of 1 to 1024",
            ),
            ((0.0..1.0).contains(&self.dropout), "dropout", "0 to below 1"),
            ((1..=2_000).contains(&self.negatives), "negatives", "1 to 2000"),
            ((1..=100).contains(&self.places), "places", "1 to 100"),
            ((0.0..=1.0).contains(&self.balance), "balance", "0 to 1"),
        ];
        train::check("ranker", &checks, &self.learn)
    }
}

/// What a place of a list gains, from 0: `1 / log2(place + 2)`.
fn discount(place: usize) -> f64 {
    1.0 / (place as f64 + 2.0).log2()
}

/// A fitted second stage, with its stage one.
pub struct Ranker {
    stage: Arc<dyn Recommender>,
    settings: Settings,
    signals: Signals,
    scale: Vec<(f32, f32)>,
    network: Network,
    parameters: Parameters,
}

/// What came of a fit beside the model.
pub(super) struct Told {
    /// Epochs, and the share of what was learnt that is kept.
    pub(super) choice: Vec<f32>,
    /// Whether the order is better than that of stage one, in words.
    pub(super) note: String,
}

/// Shares of what was learnt that validation chooses from.
const SHARES: [f32; 4] = [0.0, 0.5, 0.75, 1.0];

impl Ranker {
    /// Learns on lists that are made. `chosen` are the epochs and the share of an earlier choice, if there is one.
    pub(super) fn fit(
        training: &Training,
        stage: Arc<dyn Recommender>,
        ground: &Ground,
        chosen: Option<&[f32]>,
    ) -> Result<(Self, Told), FitError> {
        let settings = &training.settings.ranker;
        let (lesson, parameters) = Lesson::new(settings, ground, &Group::ALL, training.seed);
        if ground.train.len() == 0 {
            let needs = "viewers with two wanted videos, one of which stage one finds from the others";
            return Err(FitError::Needs { model: "ranker".into(), needs });
        }
        let n_epochs = chosen.and_then(|chosen| Some(*chosen.first()? as u32));
        let learnt = lesson.learn(parameters, training, n_epochs)?;
        let mut parameters = learnt.parameters;
        let n = ground.validation.n_questions;
        let share = chosen.and_then(|chosen| chosen.get(1)).copied();
        let (share, told) = match share {
            Some(share) => (share, "as chosen before".to_string()),
            None if n == 0 => (1.0, "no validation to compare its order by".to_string()),
            None => choose_share(&lesson, &parameters, ground, stage.name()),
        };
        lesson.network.keep_share(&mut parameters, share);
        let signals = Signals::new(training.interactions, training);
        let lists = format!("{} of {} lists", ground.train.len(), ground.train.n_questions);
        let note = format!(
            "{} candidates of {}, {} epochs on {lists}, share {share}; {told}",
            settings.candidates,
            stage.name(),
            learnt.epochs
        );
        let model = Self {
            stage,
            settings: settings.clone(),
            signals,
            scale: ground.scale.clone(),
            network: lesson.network,
            parameters,
        };
        Ok((model, Told { choice: vec![learnt.epochs as f32, share], note }))
    }

    /// The lists of a training set: `inner` was fitted on what `held` left, `stage` on all of it.
    pub(super) fn ground(
        training: &Training,
        held: &HeldOut,
        inner: &dyn Recommender,
        stage: &dyn Recommender,
    ) -> Ground {
        let signals = Signals::new(training.interactions, training);
        Ground::new(training, &training.settings.ranker, held, inner, (stage, &signals))
    }

    /// What it learnt, as numbers: the scale of the features, then the network.
    pub(super) fn learnt(&self) -> Vec<f32> {
        let of_network = self.parameters.ids().flat_map(|id| self.parameters.get(id).values());
        self.scale.iter().flat_map(|&(mean, by)| [mean, by]).chain(of_network.copied()).collect()
    }

    /// The same order over candidates of a stage of as many parts, which may know more by now.
    pub(super) fn of_learnt(
        training: &Training,
        stage: Arc<dyn Recommender>,
        learnt: &[f32],
    ) -> Result<Self, FitError> {
        let settings = training.settings.ranker.clone();
        let n_columns = columns(n_parts(stage.as_ref())).len();
        let mut parameters = Parameters::new();
        let shape = (n_columns, &settings.hidden[..], settings.dropout);
        let network = Network::new(&mut parameters, shape, true, &mut Random::new(0));
        let n: usize = parameters.ids().map(|id| parameters.get(id).values().len()).sum();
        if learnt.len() != 2 * n_columns + n {
            let needs = "as many parts and layers as when its order was learnt";
            return Err(FitError::Needs { model: "ranker".into(), needs });
        }
        let (scale, mut rest) = learnt.split_at(2 * n_columns);
        for id in parameters.ids() {
            let values = parameters.get_mut(id).values_mut();
            let (of_this, after) = rest.split_at(values.len());
            values.copy_from_slice(of_this);
            rest = after;
        }
        let signals = Signals::new(training.interactions, training);
        let scale = scale.as_chunks::<2>().0.iter().map(|&[mean, by]| (mean, by)).collect();
        Ok(Self { stage, settings, signals, scale, network, parameters })
    }

    /// From a file: the stage one that was in it, and what gives the arrays of a name.
    pub(crate) fn load(
        settings: Settings,
        stage: Arc<dyn Recommender>,
        (next, near, content): (Sparse, Sparse, Option<Sparse>),
        mut vector: impl FnMut(&str, usize) -> Option<Vec<f32>>,
        mut matrix: impl FnMut(&str) -> Option<Matrix>,
    ) -> Result<Self, String> {
        settings.check().map_err(|_| "settings".to_string())?;
        let (n, n_columns) = (stage.n_videos(), columns(n_parts(stage.as_ref())).len());
        let mut take = |name: &str, n: usize| vector(name, n).ok_or_else(|| name.to_string());
        let (means, by) = (take("means", n_columns)?, take("by", n_columns)?);
        let signals = Signals {
            next,
            near,
            wanted: take("wanted", n)?,
            recent: take("recent", n)?,
            share: take("share", n)?,
            first_seen: take("first_seen", n)?,
            seconds: take("seconds", n)?,
            content: content.map(|vectors| Arc::new(Content::from_vectors(vectors))),
        };
        let mut parameters = Parameters::new();
        let shape = (n_columns, &settings.hidden[..], settings.dropout);
        let network = Network::new(&mut parameters, shape, true, &mut Random::new(0));
        super::load_into(&mut parameters, |name| matrix(name).ok_or_else(|| name.to_string()))?;
        let scale = means.into_iter().zip(by).collect();
        Ok(Self { stage, settings, signals, scale, network, parameters })
    }

    /// Writes the order over the scores of stage one: its candidates above all others, which stay as they were.
    fn order(&self, total: &[f32], slate: &[u32], features: &mut Matrix, scores: &mut [f32]) {
        scores.copy_from_slice(total);
        slates::standardise(features, &self.scale);
        let totals: Vec<f32> = slate.iter().map(|&video| total[video as usize]).collect();
        let learnt = self.network.infer(&self.parameters, features, &totals);
        let least = learnt.iter().copied().fold(f32::INFINITY, f32::min);
        let mut is_other = vec![true; total.len()];
        slate.iter().for_each(|&video| is_other[video as usize] = false);
        let others = total.iter().zip(&is_other).filter(|&(_, &other)| other).map(|(&score, _)| score);
        let above = others.fold(f32::NEG_INFINITY, f32::max);
        let above = if above.is_finite() { above } else { 0.0 };
        for (&video, score) in slate.iter().zip(learnt) {
            scores[video as usize] = above + GAP + (score - least);
        }
    }
}

/// What lies between the last candidate and the first of the others.
const GAP: f32 = 0.1;

/// The share that is best on validation, and how it compares with the order of stage one there.
fn choose_share(lesson: &Lesson, parameters: &Parameters, ground: &Ground, stage: &str) -> (f32, String) {
    let n = ground.validation.n_questions as f64;
    let judged = SHARES.map(|share| {
        let mut parameters = parameters.clone();
        lesson.network.keep_share(&mut parameters, share);
        lesson.judge_with(&lesson.scores(&parameters, &ground.validation))
    });
    let sum = |judged: &[[f64; 2]]| judged.iter().map(|[hit, ndcg]| hit + ndcg).sum::<f64>();
    let best =
        (0..SHARES.len()).fold(0, |best, at| if sum(&judged[at]) > sum(&judged[best]) { at } else { best });
    let mean = |at: usize, of: usize| judged[at].iter().map(|one| one[of]).sum::<f64>() / n;
    let of_stage = format!("HR@10 {:.4} and NDCG@10 {:.4}", mean(0, 0), mean(0, 1));
    if best == 0 {
        let learnt = format!("{:.4} and {:.4}", mean(SHARES.len() - 1, 0), mean(SHARES.len() - 1, 1));
        let what =
            format!("its order does not beat that of {stage} on validation ({learnt} against {of_stage})");
        return (0.0, format!("{what}, so that order is kept"));
    }
    // Questions without a list differ by nothing.
    let differences: Vec<f64> =
        judged[best].iter().zip(&judged[0]).map(|(mine, other)| mine[1] - other[1]).collect();
    let gain = differences.iter().sum::<f64>() / n;
    let variance = differences.iter().map(|x| x * x).sum::<f64>() / n - gain * gain;
    let told = format!(
        "its order beats that of {stage} on validation: HR@10 {:.4} and NDCG@10 {:.4} against {of_stage} (NDCG@10 {gain:+.4} ± {:.4})",
        mean(best, 0),
        mean(best, 1),
        1.96 * (variance.max(0.0) / n).sqrt()
    );
    (SHARES[best], told)
}

impl Recommender for Ranker {
    fn name(&self) -> &str {
        "ranker"
    }

    fn n_videos(&self) -> usize {
        self.stage.n_videos()
    }

    fn score_all(&self, history: &History, context: &Context, scores: &mut [f32]) {
        let mut of_one = Matrix::zeros(1, scores.len());
        self.score_batch(&[(history, *context)], &mut of_one);
        scores.copy_from_slice(of_one.row(0));
    }

    fn score_batch(&self, questions: &[(&History, Context)], scores: &mut Matrix) {
        let at_once = block(self.stage.as_ref());
        for (first, questions) in (0..).step_by(at_once).zip(questions.chunks(at_once)) {
            let opinions = ask(self.stage.as_ref(), questions);
            for (at, (opinion, (history, context))) in opinions.iter().zip(questions).enumerate() {
                let slate = slate(&opinion.total, history, self.settings.candidates);
                let mut features = self.signals.describe(opinion, (history, context), &slate);
                self.order(&opinion.total, &slate, &mut features, scores.row_mut(first + at));
            }
        }
    }

    fn save(&self, out: &mut Writer<'_>) -> Form {
        let signals = &self.signals;
        out.sparse("next", &signals.next);
        out.sparse("near", &signals.near);
        out.vector("wanted", &signals.wanted);
        out.vector("recent", &signals.recent);
        out.vector("share", &signals.share);
        out.vector("first_seen", &signals.first_seen);
        out.vector("seconds", &signals.seconds);
        let (means, by): (Vec<f32>, Vec<f32>) = self.scale.iter().copied().unzip();
        out.vector("means", &means);
        out.vector("by", &by);
        let n_content = signals.content.as_ref().map(|content| {
            out.sparse("content", content.vectors());
            content.vectors().n_columns()
        });
        for id in self.parameters.ids() {
            out.matrix(&format!("network.{}", self.parameters.name(id)), self.parameters.get(id));
        }
        let stage = Box::new(self.stage.save(&mut out.part("stage")));
        Form::Ranker { settings: Box::new(self.settings.clone()), n_content, stage }
    }

    fn compact(&self, neighbours: usize) -> Option<Arc<dyn Recommender>> {
        let stage = self.stage.compact(neighbours).unwrap_or_else(|| Arc::clone(&self.stage));
        let signals = Signals {
            next: self.signals.next.strongest(neighbours),
            near: self.signals.near.strongest(neighbours),
            ..self.signals.clone()
        };
        Some(Arc::new(Self {
            stage,
            signals,
            settings: self.settings.clone(),
            scale: self.scale.clone(),
            network: self.network.clone(),
            parameters: self.parameters.clone(),
        }))
    }

    fn stage(&self) -> Option<&Arc<dyn Recommender>> {
        Some(&self.stage)
    }

    fn because(&self, history: &History, context: &Context, row: u32) -> Vec<(u32, f32)> {
        self.stage.because(history, context, row)
    }
}

#[cfg(test)]
pub(super) mod tests;
