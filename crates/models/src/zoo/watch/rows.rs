//! Pairs of which the ratio is known, in shuffled batches.

use std::ops::Range;

use rayon::prelude::*;
use upnext_data::{Actions, Interaction};
use upnext_math::Matrix;
use upnext_math::seed::{Random, mix};
use upnext_nn::{Gradients, Parameters, Shards};

use super::network::{self, Input, Network, Side};
use super::objective::Objective;
use super::{Calibration, Offsets, Settings};
use crate::Training;
use crate::train::{Task, batch, shuffle};

/// A pair whose ratio is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) user: u32,
    pub(super) video: u32,
    pub(super) ratio: f32,
    pub(super) actions: Actions,
}

impl Row {
    pub(super) fn of((user, row): &(u32, Interaction)) -> Option<Self> {
        let ratio = row.value.filter(|value| value.is_finite())?;
        Some(Self { user: *user, video: row.video, ratio, actions: row.actions })
    }
}

/// All such pairs of training, and what each user's say together.
pub(super) struct Rows {
    rows: Vec<Row>,
    /// Sum and number of each user's and each video's ratios, all together and in each fold.
    users: Vec<Sums>,
    videos: Vec<Sums>,
    /// The median offset of each user.
    offsets: Vec<f32>,
}

/// Pairs fall into so many parts by chance. What is read of the others of a user or video comes from the other parts: with
/// its own pair alone left out, a network that knows the total would read the answer off the rest.
const FOLDS: usize = 5;

#[derive(Clone, Copy, Default)]
struct Sums([(f32, f32); FOLDS]);

impl Sums {
    fn add(&mut self, fold: usize, ratio: f32) {
        self.0[fold].0 += ratio;
        self.0[fold].1 += 1.0;
    }

    /// Sum and number, without a fold.
    fn without(&self, fold: Option<usize>) -> (f32, f32) {
        let folds = self.0.iter().enumerate().filter(|(at, _)| Some(*at) != fold);
        folds.fold((0.0, 0.0), |(sum, n), (_, (more, m))| (sum + more, n + m))
    }
}

fn fold(row: &Row) -> usize {
    (mix(u64::from(row.user) << 32 | u64::from(row.video)) % FOLDS as u64) as usize
}

impl Rows {
    pub(super) fn new(training: &Training) -> Self {
        let users = (0..).zip(training.interactions.users());
        let rows: Vec<Row> = users
            .flat_map(|(user, rows)| rows.iter().filter_map(move |row| Row::of(&(user, *row))))
            .collect();
        let n_users = training.interactions.n_users();
        let mut users = vec![Sums::default(); n_users];
        let mut videos = vec![Sums::default(); training.interactions.n_videos()];
        for row in &rows {
            users[row.user as usize].add(fold(row), row.ratio);
            videos[row.video as usize].add(fold(row), row.ratio);
        }
        let mut offsets = vec![0.0; n_users];
        let mut all: Vec<f32> = rows.iter().map(|row| row.ratio).collect();
        let median = super::super::popular::median(&mut all);
        for of_user in rows.chunk_by(|a, b| a.user == b.user) {
            let user = of_user[0].user as usize;
            offsets[user] = Offsets::of_user(median, of_user.iter().map(|row| row.ratio));
        }
        Self { rows, users, videos, offsets }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// What both sides read of some rows.
struct Read {
    ids: [Vec<Option<u32>>; 2],
    statistics: [Vec<[f32; 2]>; 2],
}

impl Read {
    fn input(&self, side: usize) -> Input<'_> {
        Input { rows: &self.ids[side], statistics: &self.statistics[side] }
    }
}

/// What is learnt from, and how.
pub(super) struct Lesson<'a> {
    pub(super) name: &'static str,
    pub(super) settings: &'a Settings,
    pub(super) network: &'a Network,
    pub(super) sides: &'a [Side; 2],
    pub(super) offsets: &'a Offsets,
    pub(super) calibration: &'a Calibration,
    pub(super) rows: &'a Rows,
    pub(super) validation: &'a [Row],
    pub(super) training: &'a Training<'a>,
}

/// Rows that are judged at once by one thread.
const BLOCK: usize = 4_096;

impl Lesson<'_> {
    /// The outputs for some rows, and what they were made of. In training a ratio, and those of its fold, are not among what
    /// is read of its user and video.
    fn forward(
        &self,
        parameters: &Parameters,
        rows: &[Row],
        random: Option<&mut Random>,
    ) -> (Read, Matrix, network::Tape) {
        let is_training = random.is_some();
        let of = |sums: &Sums, row: &Row| {
            let (sum, n) = sums.without(is_training.then(|| fold(row)));
            network::statistics(sum, n, self.offsets.mean)
        };
        let of_user = |row: &Row| of(&self.rows.users[row.user as usize], row);
        let of_video = |row: &Row| of(&self.rows.videos[row.video as usize], row);
        let statistics = [rows.iter().map(of_user).collect(), rows.iter().map(of_video).collect()];
        let ids = [
            rows.iter().map(|row| Some(row.user)).collect(),
            rows.iter().map(|row| Some(row.video)).collect(),
        ];
        let read = Read { ids, statistics };
        let inputs = [0, 1].map(|side| read.input(side));
        let (outputs, tape) = self.network.forward(parameters, self.sides, [&inputs[0], &inputs[1]], random);
        (read, outputs, tape)
    }

    fn base(&self, row: &Row) -> f32 {
        if self.settings.residual {
            self.offsets.predict(self.rows.offsets[row.user as usize], row.video)
        } else {
            0.0
        }
    }

    fn learn(
        &self,
        parameters: &Parameters,
        rows: &[Row],
        n: usize,
        random: &mut Random,
        gradients: &mut Gradients,
    ) -> f64 {
        let (read, mut outputs, tape) = self.forward(parameters, rows, Some(random));
        let mut loss = 0.0;
        for (at, row) in rows.iter().enumerate() {
            let target = self.calibration.target(self.settings, row.video, row.ratio, row.actions);
            let of_row = outputs.row_mut(at);
            loss += f64::from(target.loss(self.settings.objective, self.base(row), of_row));
            of_row.iter_mut().for_each(|x| *x /= n as f32);
        }
        let inputs = [0, 1].map(|side| read.input(side));
        self.network.backward(parameters, [&inputs[0], &inputs[1]], &tape, outputs, gradients);
        loss / n as f64
    }
}

impl Task for Lesson<'_> {
    /// The order of rows.
    type Epoch = Vec<u32>;

    fn name(&self) -> &'static str {
        self.name
    }

    fn epoch(&self, seed: u64) -> (Vec<u32>, usize) {
        let mut order: Vec<u32> = (0..self.rows.rows.len() as u32).collect();
        shuffle(&mut order, &mut Random::new(seed));
        let n = order.len().div_ceil(self.settings.learn.batch);
        (order, n)
    }

    fn step<'s>(
        &self,
        parameters: &Parameters,
        order: &Vec<u32>,
        step: usize,
        seed: u64,
        shards: &'s mut Shards,
    ) -> (f64, &'s mut Gradients) {
        let batch = batch(order, step, self.settings.learn.batch);
        shards.step(batch.len(), |shard, part: Range<usize>, gradients| {
            if part.is_empty() {
                return 0.0;
            }
            let rows: Vec<Row> = batch[part].iter().map(|&at| self.rows.rows[at as usize]).collect();
            let random = &mut Random::new(mix(seed ^ mix(1 + shard as u64)));
            self.learn(parameters, &rows, batch.len(), random, gradients)
        })
    }

    fn judge(&self, parameters: &Parameters) -> Option<f64> {
        let errors: Vec<f64> = (self.validation.par_chunks(BLOCK))
            .map(|rows| {
                let (_, mut outputs, _) = self.forward(parameters, rows, None);
                let error = |(at, row): (usize, &Row)| {
                    let (base, outputs) = (self.base(row), outputs.row_mut(at));
                    if self.settings.objective == Objective::Tasks {
                        let target =
                            self.calibration.target(self.settings, row.video, row.ratio, row.actions);
                        return f64::from(target.loss(self.settings.objective, base, outputs));
                    }
                    f64::from(
                        (self.calibration.answer(self.settings, row.video, base, outputs) - row.ratio).abs(),
                    )
                };
                rows.iter().enumerate().map(error).sum()
            })
            .collect();
        let n = self.validation.len();
        (n > 0).then(|| -errors.iter().sum::<f64>() / n as f64)
    }

    fn metric(&self) -> &'static str {
        if self.settings.objective == Objective::Tasks {
            "minus the loss"
        } else {
            "minus the absolute error"
        }
    }

    fn is_judged(&self) -> bool {
        !self.training.validation.is_empty() && !self.validation.is_empty()
    }
}
