//! What the towers learn from: what came next, told apart from the rest of the batch and from videos of the catalogue.

use std::ops::Range;

use rayon::prelude::*;
use upnext_data::Past;
use upnext_math::Matrix;
use upnext_math::seed::{Random, mix};
use upnext_nn::loss::{Candidates, in_batch_softmax};
use upnext_nn::{Gradients, Parameters, Shards};

use super::inputs::{Inputs, Step};
use super::network::{ItemTape, Network, UserTape};
use super::{Settings, TwoTower};
use crate::Training;
use crate::choose::validation_score;
use crate::train::{SHARDS, Task, batch, shuffle, some_places};

pub(super) struct Lesson<'a> {
    settings: &'a Settings,
    inputs: &'a Inputs,
    network: &'a Network,
    training: &'a Training<'a>,
    /// All that each user did, oldest first, and where a wanted video stands.
    histories: Vec<(Vec<Step>, Vec<u32>)>,
    /// The logarithm of how often each video is the answer.
    log_q: Vec<f32>,
}

/// A user, and the place in the history that is asked.
type Example = (u32, u32);

impl<'a> Lesson<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        inputs: &'a Inputs,
        network: &'a Network,
        training: &'a Training<'a>,
    ) -> Self {
        let since = training.start_of("two-tower").map_or(i64::MIN, |start| start.since);
        let histories: Vec<(Vec<Step>, Vec<u32>)> = (training.interactions.users())
            .map(|rows| {
                let step = |row: &upnext_data::Interaction| {
                    let upnext_data::Interaction { video, time, value, judgement, actions } = *row;
                    Step::of(&Past { video, time, value, judgement, actions })
                };
                let wanted = (0..)
                    .zip(rows)
                    .filter(|(_, row)| row.is_positive() && row.time >= since)
                    .map(|(at, _)| at);
                (rows.iter().map(step).collect(), wanted.collect())
            })
            .collect();
        let counts = training.interactions.popularity();
        let total = counts.iter().map(|&n| f64::from(n)).sum::<f64>().max(1.0);
        let log_q = counts.iter().map(|&n| (f64::from(n.max(1)) / total).ln() as f32).collect();
        Self { settings, inputs, network, training, histories, log_q }
    }

    /// The history before a place, changed at random where that is asked for.
    fn before(&self, (user, place): Example, random: &mut Random) -> Vec<Step> {
        let Settings { augment, length, .. } = self.settings;
        let steps = &self.histories[user as usize].0[..place as usize];
        let newest = &steps[steps.len().saturating_sub(*length)..];
        let mut read: Vec<Step> = newest[augment.crop(newest.len(), random)].to_vec();
        read.retain(|_| !augment.hides(random));
        for step in &mut read {
            let time = augment.jitter(step.time, random);
            if time != step.time {
                *step = step.at(time);
            }
            augment.add_noise(&mut step.viewing, random);
        }
        read
    }
}

impl<'a> Task for &'a Lesson<'a> {
    type Epoch = Vec<Example>;

    fn name(&self) -> &'static str {
        "two-tower"
    }

    fn epoch(&self, seed: u64) -> (Vec<Example>, usize) {
        let mut random = Random::new(seed);
        let mut examples: Vec<Example> = Vec::new();
        for (user, (_, wanted)) in (0..).zip(&self.histories) {
            let asked = some_places(wanted.clone(), self.settings.places, &mut random);
            examples.extend(asked.into_iter().map(|place| (user, place)));
        }
        shuffle(&mut examples, &mut random);
        let n = examples.len().div_ceil(self.settings.learn.batch);
        (examples, n)
    }

    fn step<'s>(
        &self,
        parameters: &Parameters,
        examples: &Vec<Example>,
        step: usize,
        seed: u64,
        shards: &'s mut Shards,
    ) -> (f64, &'s mut Gradients) {
        let (inputs, network) = (self.inputs, self.network);
        let batch = batch(examples, step, self.settings.learn.batch);
        let video = |&(user, place): &Example| self.histories[user as usize].0[place as usize].video;
        let mut random = Random::new(seed);
        // The answers of the batch, then videos of the whole catalogue.
        let mut ids: Vec<u32> = batch.iter().map(video).collect();
        let n_videos = inputs.n_videos();
        ids.extend((0..self.settings.negatives).map(|_| random.below(n_videos) as u32));
        let part = |n: usize, shard: usize| shard * n / SHARDS..(shard + 1) * n / SHARDS;

        // Forward on all threads, then the loss over all, then backward on all threads.
        let forward = |shard: usize| -> ((Matrix, UserTape), (Matrix, ItemTape)) {
            let random = &mut Random::new(mix(seed ^ mix(1 + shard as u64)));
            let histories: Vec<Vec<Step>> =
                batch[part(batch.len(), shard)].iter().map(|&example| self.before(example, random)).collect();
            let histories: Vec<&[Step]> = histories.iter().map(Vec::as_slice).collect();
            let users = network.users(parameters, inputs, &histories, Some(random));
            let items = network.items(parameters, inputs, &ids[part(ids.len(), shard)], Some(random));
            (users, items)
        };
        let made: Vec<_> = (0..SHARDS).into_par_iter().map(forward).collect();
        let n_outputs = self.settings.n_outputs();
        let joined = |rows: Vec<&Matrix>| {
            let values: Vec<f32> = rows.iter().flat_map(|rows| rows.values()).copied().collect();
            Matrix::from_rows(values.len() / n_outputs, n_outputs, values)
        };
        let users = joined(made.iter().map(|((users, _), _)| users).collect());
        let items = joined(made.iter().map(|(_, (items, _))| items).collect());
        // A video of the batch is there as often as it is wanted, one of the catalogue as often as any.
        let log_q: Vec<f32> = match self.settings.log_q {
            true => {
                let of_batch =
                    ids[..batch.len()].iter().map(|&id| self.log_q[id as usize] + (batch.len() as f32).ln());
                let of_catalogue = (self.settings.negatives as f32 / n_videos as f32).ln();
                let of_others = ids[batch.len()..].iter().map(|_| of_catalogue);
                of_batch.chain(of_others).collect()
            }
            false => vec![0.0; ids.len()],
        };
        let candidates = Candidates { vectors: &items, ids: &ids, log_q: &log_q };
        let scale = 1.0 / self.settings.temperature;
        let (loss, of_users, of_items) =
            in_batch_softmax((&users, 1.0 / batch.len() as f32), candidates, scale, parameters.precision());
        let rows = |all: &Matrix, part: Range<usize>| {
            let values = all.values()[part.start * n_outputs..part.end * n_outputs].to_vec();
            Matrix::from_rows(part.len(), n_outputs, values)
        };
        let backward = |shard: usize, _: Range<usize>, gradients: &mut Gradients| {
            let ((_, user_tape), (_, item_tape)) = &made[shard];
            let of_user = rows(&of_users, part(batch.len(), shard));
            network.users_backward(parameters, user_tape, &of_user, gradients);
            let of_given = rows(&of_items, part(ids.len(), shard));
            network.items_backward(parameters, item_tape, &of_given, gradients);
            0.0
        };
        let (_, gradients) = shards.step(batch.len(), backward);
        (loss, gradients)
    }

    fn is_judged(&self) -> bool {
        !self.training.validation.is_empty()
    }

    fn judge(&self, parameters: &Parameters) -> Option<f64> {
        let model = TwoTower::whole(
            self.settings.clone(),
            self.inputs.clone(),
            (self.network.clone(), parameters.clone()),
        );
        let Training { validation, candidates, .. } = self.training;
        (!validation.is_empty()).then(|| validation_score(&model, validation, candidates))
    }
}
