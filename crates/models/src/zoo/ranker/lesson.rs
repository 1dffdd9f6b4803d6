//! The network of the second stage, and how it learns the order of a list.

use std::ops::Range;

use upnext_math::Matrix;
use upnext_math::seed::{Random, mix};
use upnext_nn::layer::{Activation, Dropout, Mlp, MlpShape};
use upnext_nn::{Gradients, Id, Kind, Parameters, Shards};

use super::slates::{Ground, Slates};
use super::{Group, Settings};
use crate::train::{self, Learnt, Task, batch, shuffle};
use crate::{FitError, Training};

/// `score = w · stage one's score + layers(features)`. The last layer starts at zero, so the network starts as the order
/// of stage one and learns what to change in it.
#[derive(Clone, Debug)]
pub(super) struct Network {
    layers: Mlp,
    /// The weight of stage one's own score; none where its features are left out.
    stage: Option<Id>,
    /// The last layer's weights and bias.
    last: [Id; 2],
}

impl Network {
    pub(super) fn new(
        parameters: &mut Parameters,
        (n_features, hidden, dropout): (usize, &[usize], f32),
        keeps_stage: bool,
        random: &mut Random,
    ) -> Self {
        let widths: Vec<usize> = [&[n_features], hidden, &[1]].concat();
        let shape = MlpShape {
            widths: &widths,
            activation: Activation::Gelu,
            last: None,
            dropout: (Dropout { probability: dropout }, hidden.len()),
        };
        let layers = Mlp::new(parameters, "layers", shape, random);
        let of_last = |what: &str| format!("layers.{}.{what}", widths.len() - 2);
        let last = ["weight", "bias"]
            .map(|what| parameters.find(&of_last(what)).expect("a layer has a weight and a bias"));
        for id in last {
            parameters.get_mut(id).values_mut().fill(0.0);
        }
        let stage =
            keeps_stage.then(|| parameters.add("stage", Kind::Dense, Matrix::from_rows(1, 1, vec![1.0])));
        Self { layers, stage, last }
    }

    /// The score of each row of standardised features, whose scores by stage one are `totals`.
    pub(super) fn infer(&self, parameters: &Parameters, features: &Matrix, totals: &[f32]) -> Vec<f32> {
        let mut scores = self.layers.infer(parameters, features).values().to_vec();
        if let Some(stage) = self.stage {
            let weight = parameters.get(stage).values()[0];
            scores.iter_mut().zip(totals).for_each(|(score, total)| *score += weight * total);
        }
        scores
    }

    /// Takes so much of what the layers say: 1 is all of it, 0 the order of stage one.
    pub(super) fn keep_share(&self, parameters: &mut Parameters, share: f32) {
        for id in self.last {
            parameters.get_mut(id).values_mut().iter_mut().for_each(|x| *x *= share);
        }
    }

    /// Starts with the weight of stage one's score that explains the lists of train best.
    fn start_of_stage(&self, parameters: &mut Parameters, lesson: &Lesson) {
        let Some(stage) = self.stage else { return };
        let loss = |weight: f32| -> f64 {
            let slates = &lesson.ground.train;
            let scores: Vec<f32> = slates.totals.iter().map(|total| weight * total).collect();
            let mut unused = vec![0.0; scores.len()];
            let of = |at: usize| (slates.range(at), slates.weights[at]);
            (0..slates.len())
                .map(|at| {
                    let (range, weight) = of(at);
                    let gains = &slates.gains[range.clone()];
                    // Places change the weights of pairs, not their slopes: the softmax tells the scale for both losses.
                    super::ListLoss::Softmax.add(&scores[range.clone()], gains, weight, &mut unused[range])
                })
                .sum()
        };
        let tried = [0.05f32, 0.1, 0.2, 0.4, 0.8, 1.6].map(|weight| (loss(weight), weight));
        let best = tried.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).map_or(1.0, |(_, weight)| weight);
        parameters.get_mut(stage).values_mut()[0] = best;
    }
}

/// What the network learns, from the columns of some groups.
pub(super) struct Lesson<'a> {
    pub(super) settings: &'a Settings,
    pub(super) ground: &'a Ground,
    pub(super) network: Network,
    /// Columns that are read.
    columns: Vec<usize>,
}

/// Candidates that are scored at once.
const ROWS: usize = 4_096;

impl<'a> Lesson<'a> {
    /// For the groups that are read, the network as it starts beside it.
    pub(super) fn new(
        settings: &'a Settings,
        ground: &'a Ground,
        groups: &[Group],
        seed: u64,
    ) -> (Self, Parameters) {
        let columns: Vec<usize> =
            (0..ground.groups.len()).filter(|&at| groups.contains(&ground.groups[at])).collect();
        let mut parameters = Parameters::new();
        let shape = (columns.len(), &settings.hidden[..], settings.dropout);
        let keeps_stage = groups.contains(&Group::Parts);
        let network = Network::new(&mut parameters, shape, keeps_stage, &mut Random::new(mix(seed ^ 0x11)));
        let lesson = Self { settings, ground, network, columns };
        lesson.network.start_of_stage(&mut parameters, &lesson);
        (lesson, parameters)
    }

    /// Trains until validation no longer gains, or for `n_epochs`.
    pub(super) fn learn(
        &self,
        parameters: Parameters,
        training: &Training,
        n_epochs: Option<u32>,
    ) -> Result<Learnt, FitError> {
        let fingerprint = train::fingerprint(self.settings, training) ^ mix(self.ground.fingerprint());
        train::learn(&self, parameters, &self.settings.learn, training, (n_epochs, fingerprint))
    }

    fn rows(&self, slates: &Slates, rows: Range<usize>) -> Matrix {
        let gathered: Vec<f32> = rows
            .clone()
            .flat_map(|row| {
                let row = slates.features.row(row);
                self.columns.iter().map(|&column| row[column])
            })
            .collect();
        Matrix::from_rows(rows.len(), self.columns.len(), gathered)
    }

    /// The score of every candidate of all lists.
    pub(super) fn scores(&self, parameters: &Parameters, slates: &Slates) -> Vec<f32> {
        let n = slates.totals.len();
        let blocks = (0..n).step_by(ROWS).map(|start| start..n.min(start + ROWS));
        blocks
            .flat_map(|rows| {
                let features = self.rows(slates, rows.clone());
                self.network.infer(parameters, &features, &slates.totals[rows])
            })
            .collect()
    }

    /// HR@10 and NDCG@10 of each validation list under scores.
    pub(super) fn judge_with(&self, scores: &[f32]) -> Vec<[f64; 2]> {
        self.ground.validation.judge(scores)
    }

    /// Some lists: the sum of their losses, each times `weight`, and its gradients.
    fn lists(
        &self,
        parameters: &Parameters,
        lists: &[usize],
        weight: f32,
        random: &mut Random,
        gradients: &mut Gradients,
    ) -> f64 {
        let slates = &self.ground.train;
        let mut rows = Vec::new();
        let mut totals = Vec::new();
        for &at in lists {
            rows.extend_from_slice(self.rows(slates, slates.range(at)).values());
            totals.extend_from_slice(&slates.totals[slates.range(at)]);
        }
        let input = Matrix::from_rows(totals.len(), self.columns.len(), rows);
        let (output, tape) = self.network.layers.forward(parameters, input, Some(random));
        let mut scores = output.values().to_vec();
        if let Some(stage) = self.network.stage {
            let weight = parameters.get(stage).values()[0];
            scores.iter_mut().zip(&totals).for_each(|(score, total)| *score += weight * total);
        }
        let mut of_scores = vec![0.0; scores.len()];
        let (mut start, mut loss) = (0, 0.0);
        for &at in lists {
            let range = start..start + slates.range(at).len();
            let gains = &slates.gains[slates.range(at)];
            let weight = weight * slates.weights[at];
            loss +=
                self.settings.loss.add(&scores[range.clone()], gains, weight, &mut of_scores[range.clone()]);
            start = range.end;
        }
        if let Some(stage) = self.network.stage {
            gradients.dense(stage).values_mut()[0] += upnext_math::dot::dot(&of_scores, &totals);
        }
        let of_output = Matrix::from_rows(of_scores.len(), 1, of_scores);
        self.network.layers.backward(parameters, &tape, of_output, gradients, false);
        loss
    }
}

impl Task for &Lesson<'_> {
    type Epoch = Vec<usize>;

    fn name(&self) -> &'static str {
        "ranker"
    }

    fn epoch(&self, seed: u64) -> (Vec<usize>, usize) {
        let mut lists: Vec<usize> = (0..self.ground.train.len()).collect();
        shuffle(&mut lists, &mut Random::new(seed));
        let n = lists.len().div_ceil(self.settings.learn.batch);
        (lists, n)
    }

    fn step<'s>(
        &self,
        parameters: &Parameters,
        lists: &Vec<usize>,
        step: usize,
        seed: u64,
        shards: &'s mut Shards,
    ) -> (f64, &'s mut Gradients) {
        let batch = batch(lists, step, self.settings.learn.batch);
        let weight = 1.0 / batch.len() as f32;
        shards.step(batch.len(), |shard, part: Range<usize>, gradients| {
            let random = &mut Random::new(mix(seed ^ mix(1 + shard as u64)));
            self.lists(parameters, &batch[part], weight, random, gradients)
        })
    }

    fn is_judged(&self) -> bool {
        self.ground.validation.n_questions > 0
    }

    fn judge(&self, parameters: &Parameters) -> Option<f64> {
        let n = self.ground.validation.n_questions;
        let judged = self.judge_with(&self.scores(parameters, &self.ground.validation));
        (n > 0).then(|| judged.iter().map(|[hit, ndcg]| hit + ndcg).sum::<f64>() / n as f64)
    }
}
