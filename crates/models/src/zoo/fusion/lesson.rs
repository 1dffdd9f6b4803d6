//! What the layers learn from: relatives nearer than strangers, or what the same viewers wanted close together.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use upnext_data::Order;
use upnext_math::Matrix;
use upnext_math::dot::dot;
use upnext_math::seed::{Random, mix};
use upnext_nn::layer::{normalise, normalise_backward};
use upnext_nn::loss::{Candidates, Triplet, in_batch_softmax, multi_triplet};
use upnext_nn::{Gradients, Parameters, Shards};

use super::space::{Relation, nearest};
use super::{Fusion, Layers, Settings};
use crate::Training;
use crate::choose::validation_score;
use crate::train::{Task, batch, shuffle};
use crate::zoo::two_tower::Inputs;

/// What is made small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Triplets of each relation: a relative is nearer than a stranger by a margin (Schroff et al. 2015).
    Relations,
    /// Two videos that a viewer wanted close together find each other among those of the batch, either way (Radford et al.
    /// 2021).
    CoWatch,
}

/// Which video of the batch is the stranger of a triplet (Schroff et al. 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Negatives {
    /// Any.
    Random,
    /// The nearest that is further away than the relative; where none is, the furthest.
    SemiHard,
    /// The nearest.
    Hard,
}

pub(super) struct Lesson<'a> {
    pub(super) name: &'static str,
    pub(super) settings: &'a Settings,
    pub(super) training: &'a Training<'a>,
    pub(super) inputs: &'a Inputs,
    pub(super) layers: &'a Layers,
    pub(super) relations: Vec<Relation>,
    /// Videos that are learnt from and have a relative.
    pub(super) anchors: Vec<u32>,
    /// Videos that have a relative and are never learnt from: by them the best epoch is found.
    pub(super) held_out: Vec<u32>,
    /// What each viewer wanted, in order; empty where relations are learnt.
    pub(super) wanted: Vec<Vec<u32>>,
}

/// What a step works on.
pub(super) enum Epoch {
    Anchors(Vec<u32>),
    Pairs(Vec<(u32, u32)>),
}

impl Lesson<'_> {
    /// Triplets around a part of the anchors, strangers from the same part.
    pub(super) fn learn_relations(
        &self,
        parameters: &Parameters,
        (anchors, n): (&[u32], usize),
        random: &mut Random,
        gradients: &mut Gradients,
    ) -> f64 {
        // Of each kind one relative, and all their vectors once.
        let (mut rows, mut pairs) = (Vec::new(), Vec::new());
        for &anchor in anchors {
            let at = rows.len();
            rows.push(anchor);
            for (kind, relation) in self.relations.iter().enumerate() {
                let values = &relation.values_of[anchor as usize];
                if values.is_empty() {
                    continue;
                }
                let videos = &relation.videos_of[values[random.below(values.len())] as usize];
                let relative = videos[random.below(videos.len())];
                if relative != anchor && self.held_out.binary_search(&relative).is_err() {
                    pairs.push((kind, at, rows.len()));
                    rows.push(relative);
                }
            }
        }
        let (raw, tape) = self.layers.forward(parameters, self.inputs, &rows, Some(random));
        let unit = normalise(&raw);
        let triplet = |&(relation, anchor, positive): &(usize, usize, usize)| {
            let negative = self.stranger(&unit, &rows, (relation, anchor, positive), random)?;
            Some(Triplet { relation, anchor, positive, negative })
        };
        let triplets: Vec<Triplet> = pairs.iter().filter_map(triplet).collect();
        let weight = |relation: &Relation| (self.settings.margin, relation.weight / n as f32);
        let weights: Vec<(f32, f32)> = self.relations.iter().map(weight).collect();
        let mut of_unit = Matrix::zeros(unit.n_rows(), unit.n_columns());
        let loss = multi_triplet(&unit, &triplets, &weights, &mut of_unit);
        self.layers.backward(parameters, &tape, normalise_backward(&raw, &of_unit), gradients);
        loss
    }

    /// A row without the relation to the anchor, chosen by the setting; none where every row has it.
    pub(super) fn stranger(
        &self,
        unit: &Matrix,
        rows: &[u32],
        (relation, anchor, positive): (usize, usize, usize),
        random: &mut Random,
    ) -> Option<usize> {
        let relation = &self.relations[relation];
        let is_stranger = |&at: &usize| rows[at] != rows[anchor] && !relation.holds(rows[anchor], rows[at]);
        let strangers: Vec<usize> = (0..rows.len()).filter(is_stranger).collect();
        // Of unit rows the largest cosine is the smallest distance.
        let cosine = |&at: &usize| dot(unit.row(anchor), unit.row(at));
        let by_cosine = |a: &usize, b: &usize| cosine(a).total_cmp(&cosine(b));
        match self.settings.negatives {
            Negatives::Random if strangers.is_empty() => None,
            Negatives::Random => Some(strangers[random.below(strangers.len())]),
            Negatives::SemiHard => {
                let of_relative = cosine(&positive);
                let further = strangers.iter().copied().filter(|at| cosine(at) < of_relative);
                further.max_by(by_cosine).or_else(|| strangers.iter().copied().min_by(by_cosine))
            }
            Negatives::Hard => strangers.into_iter().max_by(by_cosine),
        }
    }

    /// Pairs of one part of the batch, each told from the others of that part, half the loss either way.
    pub(super) fn learn_pairs(
        &self,
        parameters: &Parameters,
        (pairs, n): (&[(u32, u32)], usize),
        random: &mut Random,
        gradients: &mut Gradients,
    ) -> f64 {
        let (first, second): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
        let both = [&first[..], &second[..]].concat();
        let (raw, tape) = self.layers.forward(parameters, self.inputs, &both, Some(random));
        let unit = normalise(&raw);
        let d = unit.n_columns();
        let half = |range: Range<usize>| {
            let values = unit.values()[range.start * d..range.end * d].to_vec();
            Matrix::from_rows(range.len(), d, values)
        };
        let (a, b) = (half(0..first.len()), half(first.len()..both.len()));
        let (weight, scale) = (0.5 / n as f32, 1.0 / self.settings.temperature);
        let log_q = vec![0.0; first.len()];
        let precision = parameters.precision();
        let find = |rows: &Matrix, vectors: &Matrix, ids: &[u32]| {
            let candidates = Candidates { vectors, ids, log_q: &log_q };
            in_batch_softmax((rows, weight), candidates, scale, precision)
        };
        let (there, of_a, of_b) = find(&a, &b, &second);
        let (back, more_of_b, more_of_a) = find(&b, &a, &first);
        let add = |(x, y): (&f32, &f32)| x + y;
        let of_first = of_a.values().iter().zip(more_of_a.values()).map(add);
        let of_second = of_b.values().iter().zip(more_of_b.values()).map(add);
        let of_unit = Matrix::from_rows(both.len(), d, of_first.chain(of_second).collect());
        self.layers.backward(parameters, &tape, normalise_backward(&raw, &of_unit), gradients);
        there + back
    }
}

impl Task for &Lesson<'_> {
    type Epoch = Epoch;

    fn name(&self) -> &'static str {
        self.name
    }

    fn epoch(&self, seed: u64) -> (Epoch, usize) {
        let mut random = Random::new(seed);
        let size = self.settings.learn.batch;
        if self.settings.loss == Loss::Relations {
            let mut anchors = self.anchors.clone();
            shuffle(&mut anchors, &mut random);
            let n = anchors.len().div_ceil(size);
            return (Epoch::Anchors(anchors), n);
        }
        // Of each video that was wanted, one that the same viewer wanted within the window.
        let mut pairs = Vec::new();
        let ordered = self.training.order != Order::Unordered;
        for wanted in &self.wanted {
            for (at, &video) in wanted.iter().enumerate() {
                let window = if ordered { self.settings.window } else { wanted.len() };
                let near = wanted.len().min(at + 1 + window);
                if at + 1 < near {
                    let other = wanted[at + 1 + random.below(near - at - 1)];
                    pairs.push(if random.below(2) == 0 { (video, other) } else { (other, video) });
                }
            }
        }
        shuffle(&mut pairs, &mut random);
        let n = pairs.len().div_ceil(size);
        (Epoch::Pairs(pairs), n)
    }

    fn step<'s>(
        &self,
        parameters: &Parameters,
        epoch: &Epoch,
        step: usize,
        seed: u64,
        shards: &'s mut Shards,
    ) -> (f64, &'s mut Gradients) {
        let size = self.settings.learn.batch;
        let chance = |shard: usize| Random::new(mix(seed ^ mix(1 + shard as u64)));
        match epoch {
            Epoch::Anchors(anchors) => {
                let batch = batch(anchors, step, size);
                shards.step(batch.len(), |shard, part, gradients| match part.is_empty() {
                    true => 0.0,
                    false => {
                        let part = (&batch[part], batch.len());
                        self.learn_relations(parameters, part, &mut chance(shard), gradients)
                    }
                })
            }
            Epoch::Pairs(pairs) => {
                let batch = batch(pairs, step, size);
                shards.step(batch.len(), |shard, part, gradients| match part.is_empty() {
                    true => 0.0,
                    false => {
                        let part = (&batch[part], batch.len());
                        self.learn_pairs(parameters, part, &mut chance(shard), gradients)
                    }
                })
            }
        }
    }

    fn is_judged(&self) -> bool {
        match self.settings.loss {
            Loss::Relations => !self.held_out.is_empty(),
            Loss::CoWatch => !self.training.validation.is_empty(),
        }
    }

    fn judge(&self, parameters: &Parameters) -> Option<f64> {
        let videos = self.layers.all(parameters, self.inputs);
        match self.settings.loss {
            Loss::Relations => {
                let near = nearest(&videos, &self.held_out);
                let shares: Vec<f64> =
                    self.relations.iter().filter_map(|relation| relation.found(&near)).collect();
                (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
            }
            Loss::CoWatch => {
                let model = Fusion { videos: videos.into(), decay: self.settings.decay };
                let Training { validation, candidates, .. } = self.training;
                (!validation.is_empty()).then(|| validation_score(&model, validation, candidates))
            }
        }
    }

    fn metric(&self) -> &'static str {
        match self.settings.loss {
            Loss::Relations => "relatives among the 10 nearest",
            Loss::CoWatch => "hr@10 + ndcg@10",
        }
    }
}
