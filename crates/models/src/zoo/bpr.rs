//! Factors that learn an order: what was watched stands before what was not (Rendle et al. 2009). A viewer is the sum of
//! what was watched (Kabbur, Ning & Karypis 2013), so that any history has an answer.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use upnext_data::History;
use upnext_math::Matrix;
use upnext_math::dot::{add_scaled, dot};
use upnext_math::seed::{Random, mix};
use upnext_nn::loss::bpr;
use upnext_nn::{Gradients, Id, Kind, Parameters, Shards};

use crate::checkpoint::{Form, Writer};
use crate::choose::validation_score;
use crate::train::{self, Learnt, Loop, Task, batch, shuffle};
use crate::{Context, FitError, Recommender, Training};

/// How it is made and how it learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Numbers of a vector.
    pub dimension: usize,
    /// Videos at random that stand behind each that was watched.
    pub negatives: usize,
    /// Videos of a history that make a viewer, the newest.
    pub last: usize,
    /// The loop; `learn.weight_decay` is the regularisation.
    pub learn: Loop,
}

impl Default for Settings {
    fn default() -> Self {
        let learn = Loop { batch: 1_024, rate: 3e-3, weight_decay: 1e-3, epochs_max: 100, ..Loop::default() };
        Self { dimension: 64, negatives: 4, last: 200, learn }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), FitError> {
        let checks = [
            ((1..=4_096).contains(&self.dimension), "dimension", "1 to 4096"),
            ((1..=10_000).contains(&self.negatives), "negatives", "1 to 10000"),
            (self.last > 0, "last", "at least 1"),
        ];
        train::check("bpr", &checks, &self.learn)
    }
}

/// Fitted factors.
#[derive(Clone, Debug)]
pub struct Bpr {
    last: usize,
    tables: Tables,
    parameters: Parameters,
}

#[derive(Clone, Copy, Debug)]
struct Tables {
    /// What a video says of who watched it.
    read: Id,
    /// What it is like to be shown.
    videos: Id,
    bias: Id,
}

impl Tables {
    fn new(parameters: &mut Parameters, (n_videos, d): (usize, usize), random: &mut Random) -> Self {
        Self {
            read: parameters.add_normal("read", Kind::Rows, (n_videos, d), 0.05, random),
            videos: parameters.add_normal("videos", Kind::Rows, (n_videos, d), 0.05, random),
            bias: parameters.add("bias", Kind::Rows, Matrix::zeros(n_videos, 1)),
        }
    }

    /// The sum of the vectors of some videos over the root of their number, and that root.
    fn viewer(self, parameters: &Parameters, videos: impl ExactSizeIterator<Item = u32>) -> (Vec<f32>, f32) {
        let read = parameters.get(self.read);
        let root = (videos.len() as f32).sqrt().max(1.0);
        let mut viewer = vec![0.0; read.n_columns()];
        videos.for_each(|video| add_scaled(&mut viewer, 1.0 / root, read.row(video as usize)));
        (viewer, root)
    }

    fn score(self, parameters: &Parameters, viewer: &[f32], video: u32) -> f32 {
        let at = video as usize;
        dot(viewer, parameters.get(self.videos).row(at)) + parameters.get(self.bias).row(at)[0]
    }
}

struct Lesson<'a> {
    settings: &'a Settings,
    tables: Tables,
    training: &'a Training<'a>,
    histories: Vec<Vec<u32>>,
}

impl Lesson<'_> {
    /// One viewer and one of the watched videos against some at random.
    fn one(
        &self,
        parameters: &Parameters,
        (user, place): (u32, u32),
        weight: f32,
        random: &mut Random,
        gradients: &mut Gradients,
    ) -> f64 {
        let (history, tables) = (&self.histories[user as usize], self.tables);
        let first = history.len().saturating_sub(self.settings.last);
        let others: Vec<u32> =
            (first..history.len()).filter(|&at| at != place as usize).map(|at| history[at]).collect();
        let (viewer, root) = tables.viewer(parameters, others.iter().copied());
        let watched = history[place as usize];
        let positive = tables.score(parameters, &viewer, watched);
        let (mut of_viewer, mut loss) = (vec![0.0; viewer.len()], 0.0);
        let n = self.settings.negatives;
        for _ in 0..n {
            let video = random.below(self.training.interactions.n_videos()) as u32;
            if history.contains(&video) {
                continue;
            }
            let (one, of) = bpr(positive, tables.score(parameters, &viewer, video));
            loss += f64::from(weight * one) / n as f64;
            for (video, of) in [(watched, of), (video, -of)] {
                let of = weight * of / n as f32;
                add_scaled(&mut of_viewer, of, parameters.get(tables.videos).row(video as usize));
                add_scaled(gradients.row(tables.videos, video), of, &viewer);
                gradients.row(tables.bias, video)[0] += of;
            }
        }
        for &video in &others {
            add_scaled(gradients.row(tables.read, video), 1.0 / root, &of_viewer);
        }
        loss
    }
}

impl Task for &Lesson<'_> {
    type Epoch = Vec<(u32, u32)>;

    fn name(&self) -> &'static str {
        "bpr"
    }

    fn epoch(&self, seed: u64) -> (Vec<(u32, u32)>, usize) {
        let places = |(user, history): (u32, &Vec<u32>)| (0..history.len() as u32).map(move |at| (user, at));
        let mut examples: Vec<(u32, u32)> = (0..).zip(&self.histories).flat_map(places).collect();
        shuffle(&mut examples, &mut Random::new(seed));
        let n = examples.len().div_ceil(self.settings.learn.batch);
        (examples, n)
    }

    fn step<'s>(
        &self,
        parameters: &Parameters,
        examples: &Vec<(u32, u32)>,
        step: usize,
        seed: u64,
        shards: &'s mut Shards,
    ) -> (f64, &'s mut Gradients) {
        let batch = batch(examples, step, self.settings.learn.batch);
        let weight = 1.0 / batch.len() as f32;
        shards.step(batch.len(), |shard, part: Range<usize>, gradients| {
            let random = &mut Random::new(mix(seed ^ mix(1 + shard as u64)));
            batch[part].iter().map(|&example| self.one(parameters, example, weight, random, gradients)).sum()
        })
    }

    fn is_judged(&self) -> bool {
        !self.training.validation.is_empty()
    }

    fn judge(&self, parameters: &Parameters) -> Option<f64> {
        let model = Bpr { last: self.settings.last, tables: self.tables, parameters: parameters.clone() };
        let Training { validation, candidates, .. } = self.training;
        (!validation.is_empty()).then(|| validation_score(&model, validation, candidates))
    }
}

impl Bpr {
    /// Trains until validation no longer gains, or for `n_epochs`; how many epochs the model has seen, and what it came to.
    pub(super) fn fit(
        training: &Training,
        n_epochs: Option<u32>,
    ) -> Result<(Self, u32, Option<f64>), FitError> {
        let settings = &training.settings.bpr;
        settings.check()?;
        let mut parameters = Parameters::new();
        let shape = (training.interactions.n_videos(), settings.dimension);
        let tables = Tables::new(&mut parameters, shape, &mut Random::new(training.seed));
        let lesson = Lesson { settings, tables, training, histories: training.interactions.sequences() };
        let fingerprint = train::fingerprint(settings, training);
        let learnt = train::learn(&&lesson, parameters, &settings.learn, training, (n_epochs, fingerprint))?;
        let Learnt { parameters, epochs, score } = learnt;
        Ok((Self { last: settings.last, tables, parameters }, epochs, score))
    }

    /// From a file: `get` gives the array of a name.
    pub(crate) fn load(
        last: usize,
        (n_videos, dimension): (usize, usize),
        mut get: impl FnMut(&str) -> Option<Matrix>,
    ) -> Result<Self, String> {
        let mut parameters = Parameters::new();
        let tables = Tables::new(&mut parameters, (n_videos, dimension), &mut Random::new(0));
        super::load_into(&mut parameters, |name| get(name).ok_or_else(|| name.to_string()))?;
        Ok(Self { last: last.max(1), tables, parameters })
    }
}

impl Recommender for Bpr {
    fn name(&self) -> &str {
        "bpr"
    }

    fn n_videos(&self) -> usize {
        self.parameters.get(self.tables.videos).n_rows()
    }

    fn score_all(&self, history: &History, _context: &Context, scores: &mut [f32]) {
        let n = self.n_videos() as u32;
        let known = history.positives().iter().rev().copied().filter(|&video| video < n);
        let videos: Vec<u32> = known.take(self.last).collect();
        let (viewer, _) = self.tables.viewer(&self.parameters, videos.into_iter());
        for (video, score) in (0..).zip(scores) {
            *score = self.tables.score(&self.parameters, &viewer, video);
        }
    }

    fn save(&self, out: &mut Writer<'_>) -> Form {
        for id in self.parameters.ids() {
            out.matrix(&format!("network.{}", self.parameters.name(id)), self.parameters.get(id));
        }
        let videos = self.parameters.get(self.tables.videos);
        Form::Bpr { last: self.last, n_videos: videos.n_rows(), dimension: videos.n_columns() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::assert_gradients_of_step;
    use upnext_data::{Actions, Interaction, Interactions, Judgement, Order};

    #[test]
    fn gradients_are_those_of_small_differences() {
        let row = |video| Interaction {
            video,
            time: 0,
            value: None,
            judgement: Judgement::Positive,
            actions: Actions::default(),
        };
        let users = (0..4u32).map(|user| (user..user + 3).map(row).collect()).collect();
        let interactions = Interactions::from_users(9, users);
        let training = Training::of(&interactions, Order::Sequence, 1);
        let settings = Settings { dimension: 3, negatives: 2, last: 2, ..Settings::default() };
        let mut parameters = Parameters::new();
        let tables = Tables::new(&mut parameters, (9, 3), &mut Random::new(1));
        for id in parameters.ids() {
            parameters.get_mut(id).values_mut().iter_mut().for_each(|x| *x *= 15.0);
        }
        let histories = interactions.sequences();
        let lesson = &Lesson { settings: &settings, tables, training: &training, histories };
        let (examples, _) = lesson.epoch(2);
        assert_gradients_of_step(&lesson, &examples, &mut parameters, (3, 1, 1e-3));
    }
}
