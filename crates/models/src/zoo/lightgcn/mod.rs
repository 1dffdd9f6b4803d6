//! Vectors of videos that spread over a graph of who watched what (LightGCN, He et al. 2020) and over one of what is alike,
//! which stays as it is while they learn (FREEDOM, Zhou & Shen 2023).
//!
//! A viewer has no vector of their own: they are the sum of what was watched, so that any history has an answer. It comes
//! to a product of two matrices, and is kept, saved and served as such.

mod graph;

use std::collections::BTreeMap;
use std::ops::Range;

use graph::{Graph, Pairs};
use serde::{Deserialize, Serialize};
use upnext_math::Matrix;
use upnext_math::dot::{add_scaled, dot};
use upnext_math::linalg::Precision;
use upnext_math::seed::{Random, mix};
use upnext_nn::loss::{Table, bpr, softmax};
use upnext_nn::{Gradients, Id, Kind, Parameters, Shards};

use super::ease::binary;
use super::linear::{Linear, Weights};
use super::nearest;
use crate::choose::validation_score;
use crate::train::{self, Learnt, Loop, Task, batch, shuffle, some_places};
use crate::{FitError, Training};

const NAME: &str = "lightgcn";

/// How it is made and how it learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Numbers of a vector.
    pub dimension: usize,
    /// Times that vectors go from videos to their viewers and back: two layers each, as LightGCN counts.
    pub layers: usize,
    /// Nearest videos by each kind of vectors, and by labels and words; 0 leaves content out.
    pub neighbours: usize,
    /// Times that vectors go to what is alike.
    pub content_layers: usize,
    /// What each kind of vectors weighs, `content` for labels and words: 1 where it is not named, 0 leaves one out.
    pub modalities: BTreeMap<String, f32>,
    /// Share of pairs that are left out of the graph, drawn anew each epoch, those of busy viewers and popular videos first.
    pub dropped: f32,
    /// Pairs of a viewer that are learnt from in an epoch, drawn anew; 0 takes all.
    pub pairs: usize,
    /// Videos at random that stand behind each that was watched (BPR); 0 puts it before the whole catalogue (softmax).
    pub negatives: usize,
    /// How much less a video of a history says where more people watched it: it weighs `(viewers + 1)^-damping`.
    pub damping: f32,
    /// The loop; `learn.weight_decay` is the regularisation.
    pub learn: Loop,
}

impl Default for Settings {
    fn default() -> Self {
        // Popular videos come first; what is personal takes ten epochs to show, in which validation falls.
        let learn = Loop {
            batch: 1_024,
            rate: 1e-2,
            weight_decay: 1.0,
            epochs_max: 100,
            patience: 20,
            slower_after: 12,
            ..Loop::default()
        };
        Self {
            dimension: 64,
            layers: 1,
            neighbours: 10,
            content_layers: 1,
            modalities: BTreeMap::new(),
            dropped: 0.5,
            pairs: 8,
            negatives: 0,
            damping: 0.3,
            learn,
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), FitError> {
        let checks = [
            ((1..=4_096).contains(&self.dimension), "dimension", "1 to 4096"),
            (self.layers <= 16, "layers", "0 to 16"),
            (self.neighbours <= 1_000, "neighbours", "0 to 1000"),
            ((1..=16).contains(&self.content_layers), "content_layers", "1 to 16"),
            (
                self.modalities.values().all(|x| x.is_finite() && *x >= 0.0),
                "modalities",
                "weights of 0 or more",
            ),
            ((0.0..1.0).contains(&self.dropped), "dropped", "0 to below 1"),
            (self.negatives <= 10_000, "negatives", "0 to 10000"),
            ((0.0..=1.0).contains(&self.damping), "damping", "0 to 1"),
        ];
        train::check(NAME, &checks, &self.learn)
    }
}

struct Lesson<'a> {
    settings: &'a Settings,
    training: &'a Training<'a>,
    /// The vectors before they spread: `(videos, dimension)`.
    vectors: Id,
    /// With all pairs: what is judged and kept.
    graph: Graph,
    histories: Vec<Vec<u32>>,
    /// What a video of a history weighs.
    weights: Vec<f32>,
}

/// What an epoch learns from: a viewer and a place in their history each, and the graph it learns over.
struct Drawn {
    examples: Vec<(u32, u32)>,
    graph: Graph,
}

impl Lesson<'_> {
    /// The viewer as the weighted sum of what they watched beside the one in question, over the root of their number; and what
    /// each of those weighs. The video in question is left out of the sum; the graph still joins it to the others through this
    /// viewer, as LightGCN has it, which makes training easier than a real question.
    fn viewer(&self, spread: &Matrix, (user, place): (u32, u32)) -> (Vec<f32>, Vec<(u32, f32)>) {
        let history = &self.histories[user as usize];
        let asked = history[place as usize];
        let others = history.iter().copied().filter(|&video| video != asked);
        let root = ((history.len() - 1) as f32).sqrt().max(1.0);
        let others: Vec<(u32, f32)> =
            others.map(|video| (video, self.weights[video as usize] / root)).collect();
        let mut viewer = vec![0.0; spread.n_columns()];
        others.iter().for_each(|&(video, w)| add_scaled(&mut viewer, w, spread.row(video as usize)));
        (viewer, others)
    }

    /// What some examples come to, and the gradient of the vectors after they spread.
    fn part(
        &self,
        spread: &Matrix,
        (examples, weight): (&[(u32, u32)], f32),
        random: &mut Random,
        of_spread: &mut Matrix,
    ) -> f64 {
        let viewers: Vec<_> = examples.iter().map(|&example| self.viewer(spread, example)).collect();
        let asked = |&(user, place): &(u32, u32)| self.histories[user as usize][place as usize];
        let (mut loss, n) = (0.0, self.settings.negatives);
        let of_viewers = if n == 0 {
            let rows = viewers.iter().flat_map(|(viewer, _)| viewer.iter().copied()).collect();
            let rows = Matrix::from_rows(viewers.len(), spread.n_columns(), rows);
            let targets: Vec<u32> = examples.iter().map(asked).collect();
            let table = Table::new(spread, Precision::F32);
            let found = softmax(&rows, &table, (&targets, &vec![weight; targets.len()]), of_spread);
            loss += found.loss;
            found.of_rows
        } else {
            let mut of_viewers = Matrix::zeros(viewers.len(), spread.n_columns());
            for (at, ((viewer, _), example)) in viewers.iter().zip(examples).enumerate() {
                let (history, watched) = (&self.histories[example.0 as usize], asked(example));
                let positive = dot(viewer, spread.row(watched as usize));
                for _ in 0..n {
                    let video = random.below(spread.n_rows()) as u32;
                    if history.contains(&video) {
                        continue;
                    }
                    let (one, of) = bpr(positive, dot(viewer, spread.row(video as usize)));
                    loss += f64::from(weight * one) / n as f64;
                    for (video, of) in [(watched, of), (video, -of)] {
                        let of = weight * of / n as f32;
                        add_scaled(of_viewers.row_mut(at), of, spread.row(video as usize));
                        add_scaled(of_spread.row_mut(video as usize), of, viewer);
                    }
                }
            }
            of_viewers
        };
        for (at, (_, others)) in viewers.iter().enumerate() {
            let of_viewer = of_viewers.row(at);
            others.iter().for_each(|&(video, w)| add_scaled(of_spread.row_mut(video as usize), w, of_viewer));
        }
        loss
    }

    /// The model that vectors make.
    fn model(&self, parameters: &Parameters) -> Linear {
        let right = self.graph.spread(parameters.get(self.vectors));
        let mut left = right.clone();
        for (video, &weight) in self.weights.iter().enumerate() {
            left.row_mut(video).iter_mut().for_each(|x| *x *= weight);
        }
        Linear { name: NAME.into(), decay: 1.0, last: usize::MAX, weights: Weights::Factors { left, right } }
    }
}

impl Task for &Lesson<'_> {
    type Epoch = Drawn;

    fn name(&self) -> &'static str {
        NAME
    }

    fn epoch(&self, seed: u64) -> (Drawn, usize) {
        let random = &mut Random::new(seed);
        // Who watched a single video has nothing beside it to be known by.
        let mut examples: Vec<(u32, u32)> = Vec::new();
        for (user, history) in (0..).zip(&self.histories).filter(|(_, history)| history.len() > 1) {
            let places = some_places((0..history.len() as u32).collect(), self.settings.pairs, random);
            examples.extend(places.into_iter().map(|place| (user, place)));
        }
        shuffle(&mut examples, random);
        let mut graph = self.graph.clone();
        if self.settings.dropped > 0.0 {
            graph.pairs = graph.pairs.pruned(self.settings.dropped, random);
        }
        let n_steps = examples.len().div_ceil(self.settings.learn.batch);
        (Drawn { examples, graph }, n_steps)
    }

    fn step<'s>(
        &self,
        parameters: &Parameters,
        epoch: &Drawn,
        step: usize,
        seed: u64,
        shards: &'s mut Shards,
    ) -> (f64, &'s mut Gradients) {
        let batch = batch(&epoch.examples, step, self.settings.learn.batch);
        let weight = 1.0 / batch.len() as f32;
        let spread = epoch.graph.spread(parameters.get(self.vectors));
        let (loss, gradients) = shards.step(batch.len(), |shard, part: Range<usize>, gradients| {
            let random = &mut Random::new(mix(seed ^ mix(1 + shard as u64)));
            self.part(&spread, (&batch[part], weight), random, gradients.dense(self.vectors))
        });
        // So far it is the gradient of what came of spreading.
        let of_vectors = epoch.graph.spread_back(gradients.dense(self.vectors));
        *gradients.dense(self.vectors) = of_vectors;
        (loss, gradients)
    }

    fn is_judged(&self) -> bool {
        !self.training.validation.is_empty()
    }

    fn judge(&self, parameters: &Parameters) -> Option<f64> {
        let Training { validation, candidates, .. } = self.training;
        let is_judged = !validation.is_empty();
        is_judged.then(|| validation_score(&self.model(parameters), validation, candidates))
    }
}

/// Trains until validation no longer gains, or for `n_epochs`; how many epochs the model has seen, and what it came to.
pub(super) fn fit(
    training: &Training,
    n_epochs: Option<u32>,
) -> Result<(Linear, u32, Option<f64>), FitError> {
    let settings = &training.settings.lightgcn;
    settings.check()?;
    let neighbours = nearest::by_modality(training, NAME, settings.neighbours)?;
    let graph = Graph {
        pairs: Pairs::new(&binary(training)),
        layers: settings.layers,
        alike: graph::alike(&neighbours, &settings.modalities),
        content_layers: settings.content_layers,
    };
    let mut parameters = Parameters::new();
    let shape = (training.interactions.n_videos(), settings.dimension);
    let vectors = parameters.add_normal("videos", Kind::Dense, shape, 0.1, &mut Random::new(training.seed));
    let lesson = Lesson::new(settings, training, vectors, graph);
    let fingerprint = train::fingerprint(settings, training);
    let learnt = train::learn(&&lesson, parameters, &settings.learn, training, (n_epochs, fingerprint))?;
    let Learnt { parameters, epochs, score } = learnt;
    Ok((lesson.model(&parameters), epochs, score))
}

impl<'a> Lesson<'a> {
    fn new(settings: &'a Settings, training: &'a Training<'a>, vectors: Id, graph: Graph) -> Self {
        let popularity = training.interactions.popularity();
        let weights = popularity.into_iter().map(|n| (n as f32 + 1.0).powf(-settings.damping)).collect();
        Self { settings, training, vectors, graph, histories: training.interactions.sequences(), weights }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::assert_gradients_of_step;
    use upnext_data::{Actions, Interaction, Interactions, Judgement, Order};
    use upnext_math::Sparse;

    #[test]
    fn gradients_are_those_of_small_differences_through_both_graphs_and_by_both_losses() {
        let row = |video| Interaction {
            video,
            time: 0,
            value: None,
            judgement: Judgement::Positive,
            actions: Actions::default(),
        };
        let users = (0..5u32).map(|user| (user..user + 4).map(row).collect()).collect();
        let interactions = Interactions::from_users(9, users);
        let training = Training::of(&interactions, Order::Sequence, 1);
        let alike = Sparse::from_rows(9, (0..9u32).map(|video| vec![((video + 2) % 9, 0.5), (0, 0.3)]));
        for negatives in [0, 2] {
            let settings = Settings { dimension: 3, negatives, layers: 2, ..Settings::default() };
            let mut parameters = Parameters::new();
            let vectors = parameters.add_normal("videos", Kind::Dense, (9, 3), 0.7, &mut Random::new(1));
            let graph = Graph {
                pairs: Pairs::new(&binary(&training)),
                layers: 2,
                alike: Some((alike.clone(), alike.transpose())),
                content_layers: 2,
            };
            let lesson = &Lesson::new(&settings, &training, vectors, graph);
            let (drawn, n_steps) = lesson.epoch(2);
            assert_eq!((drawn.examples.len(), n_steps), (20, 1));
            assert_gradients_of_step(&lesson, &drawn, &mut parameters, (3, 1, 1e-3));
        }
    }
}
