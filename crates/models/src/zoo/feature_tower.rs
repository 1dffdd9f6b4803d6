//! The two-tower of a system design: learnt vectors of buckets and categories, of the hour and the weekday, and of what was
//! watched, liked, commented on and searched for, each kind apart; text beside the video.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use upnext_data::{Action, History, Interaction, Past};
use upnext_features::context::Clock;
use upnext_features::sequence;
use upnext_math::Matrix;
use upnext_math::dot::{add_scaled, dot};
use upnext_math::linalg::product_transposed_into;
use upnext_math::seed::{Random, mix};
use upnext_nn::layer::{
    Activation, Dropout, Embedding, Mlp, MlpShape, MlpTape, normalise, normalise_backward,
};
use upnext_nn::loss::{Candidates, binary, in_batch_softmax};
use upnext_nn::{Gradients, Parameters, Shards};

use super::two_tower::Inputs;
use crate::checkpoint::{Form, Writer};
use crate::choose::validation_score;
use crate::facts::bucketed;
use crate::train::{self, Learnt, Loop, Task, batch, shuffle, some_places};
use crate::{Context, FitError, Recommender, Training};

/// What it learns by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TowerLoss {
    /// What was watched against the other videos of the batch and videos of the catalogue.
    Contrastive,
    /// What was watched as yes; what was disliked, and videos at random that were not watched, as no.
    Binary,
}

/// How it is made and how it learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Numbers of a learnt vector, and of what both towers give.
    pub dimension: usize,
    /// Widths of the layers of each tower before the last.
    pub layers: Vec<usize>,
    /// Share of numbers left out in training.
    pub dropout: f32,
    /// Buckets of a column with many values.
    pub buckets: usize,
    /// Videos of each kind of past, the newest.
    pub length: usize,
    /// Numbers of a video's embedding, where none was brought.
    pub content: usize,
    /// What it learns by.
    pub loss: TowerLoss,
    /// Videos drawn from the catalogue for each step of `contrastive`, or for each example of `binary`.
    pub negatives: usize,
    /// What inner products are divided by.
    pub temperature: f32,
    /// Places of each history that are asked in an epoch; 0 asks all.
    pub places: usize,
    /// The loop.
    pub learn: Loop,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dimension: 64,
            layers: vec![128],
            dropout: 0.1,
            buckets: 16,
            length: 50,
            content: 64,
            loss: TowerLoss::Contrastive,
            negatives: 1_024,
            temperature: 0.1,
            places: 4,
            learn: Loop { batch: 256, epochs_max: 60, ..Loop::default() },
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), FitError> {
        let width = |n: &usize| (1..=8_192).contains(n);
        let checks = [
            (width(&self.dimension), "dimension", "1 to 8192"),
            (
                self.layers.len() <= 16 && self.layers.iter().all(width),
                "layers",
                "at most 16 widths of 1 to 8192",
            ),
            ((0.0..1.0).contains(&self.dropout), "dropout", "0 to below 1"),
            ((1..=1_024).contains(&self.buckets), "buckets", "1 to 1024"),
            ((1..=4_096).contains(&self.length), "length", "1 to 4096"),
            (self.content <= 4_096, "content", "at most 4096"),
            (self.negatives <= 1 << 20, "negatives", "at most 1048576"),
            (self.temperature > 0.0 && self.temperature.is_finite(), "temperature", "a positive number"),
        ];
        train::check("feature-tower", &checks, &self.learn)
    }
}

const KINDS: usize = sequence::Kind::ALL.len();
/// Hours, then weekdays, then a time that is not known.
const CLOCK: usize = 24 + 7 + 1;

/// A fitted pair of towers.
#[derive(Clone, Debug)]
pub struct FeatureTower {
    settings: Settings,
    world: World,
    network: Network,
    parameters: Parameters,
    /// `(videos, dimension)`.
    items: Matrix,
}

/// What is known of users and videos.
#[derive(Clone, Debug)]
struct World {
    inputs: Inputs,
    /// Buckets of each user, and of each video.
    users: Vec<Vec<u32>>,
    videos: Vec<Vec<u32>>,
    n_buckets: (usize, usize),
}

#[derive(Clone, Debug)]
struct Network {
    /// One vector a video, read in every kind of past.
    read: Embedding,
    clock: Embedding,
    user_buckets: Embedding,
    video_buckets: Embedding,
    ids: Embedding,
    user: Mlp,
    video: Mlp,
}

/// Who asks: past by kind, row, time.
#[derive(Clone, Debug, Default)]
struct Asker {
    kinds: [Vec<u32>; KINDS],
    user: Option<u32>,
    time: Option<i64>,
}

/// A bag of rows of a table whose mean (or sum) is one part of an input.
struct Bag {
    rows: Vec<u32>,
    weight: f32,
}

struct UserTape {
    bags: Vec<[Bag; KINDS + 2]>,
    mlp: MlpTape,
    raw: Matrix,
}

struct VideoTape {
    ids: Vec<Option<u32>>,
    bags: Vec<Bag>,
    mlp: MlpTape,
    raw: Matrix,
}

impl Asker {
    fn of(past: &[Past], length: usize, n_videos: usize, user: Option<u32>, time: Option<i64>) -> Self {
        let mut kinds: [Vec<u32>; KINDS] = Default::default();
        for past in past.iter().rev().filter(|past| (past.video as usize) < n_videos) {
            let mut said = false;
            for action in Action::ALL.into_iter().filter(|&action| past.actions.has(action)) {
                if let Some(kind) = sequence::Kind::of(action) {
                    said = true;
                    if kinds[kind as usize].last() != Some(&past.video) {
                        kinds[kind as usize].push(past.video);
                    }
                }
            }
            // What only a rule calls wanted, such as a rating, is a viewing.
            if !said && past.judgement == upnext_data::Judgement::Positive {
                kinds[sequence::Kind::Watched as usize].push(past.video);
            }
        }
        kinds.iter_mut().for_each(|videos| videos.truncate(length));
        Self { kinds, user, time: time.filter(|&time| time != 0) }
    }
}

impl World {
    fn user_bags(&self, asker: &Asker) -> [Bag; KINDS + 2] {
        let mean = |rows: Vec<u32>| Bag { weight: 1.0 / (rows.len() as f32).sqrt().max(1.0), rows };
        let clock = asker.time.map_or_else(
            || vec![CLOCK as u32 - 1],
            |time| {
                let Clock { hour, weekday, .. } = Clock::at(time, 0);
                vec![hour, 24 + weekday]
            },
        );
        let known = asker.user.and_then(|user| self.users.get(user as usize));
        let buckets = known.cloned().unwrap_or_default();
        let mut bags = asker.kinds.iter().cloned().map(mean);
        let mut next = || bags.next().expect("a bag for each kind");
        let kinds: [Bag; KINDS] = std::array::from_fn(|_| next());
        let [watched, liked, commented, searched] = kinds;
        [watched, liked, commented, searched, mean(clock), mean(buckets)]
    }
}

impl Network {
    fn new(parameters: &mut Parameters, settings: &Settings, world: &World, random: &mut Random) -> Self {
        let (d, n_videos) = (settings.dimension, world.videos.len());
        let mut table = |name: &str, n: usize, parameters: &mut Parameters| {
            Embedding::new(parameters, name, (n.max(1), d), 0.05, random)
        };
        let read = table("read", n_videos, parameters);
        let clock = table("clock", CLOCK, parameters);
        let user_buckets = table("user_buckets", world.n_buckets.0, parameters);
        let video_buckets = table("video_buckets", world.n_buckets.1, parameters);
        let ids = table("ids", n_videos, parameters);
        let dropout = (Dropout { probability: settings.dropout }, settings.layers.len());
        let mut mlp = |name: &str, width: usize, parameters: &mut Parameters| {
            let widths = [&[width], &settings.layers[..], &[d]].concat();
            let shape = MlpShape { widths: &widths, activation: Activation::Gelu, last: None, dropout };
            Mlp::new(parameters, name, shape, random)
        };
        let user = mlp("user", (KINDS + 2) * d, parameters);
        let video = mlp("video", 2 * d + world.inputs.numbers(), parameters);
        Self { read, clock, user_buckets, video_buckets, ids, user, video }
    }

    /// Which table each part of a user's input reads.
    fn tables(&self) -> [Embedding; KINDS + 2] {
        [self.read, self.read, self.read, self.read, self.clock, self.user_buckets]
    }

    fn users(
        &self,
        parameters: &Parameters,
        world: &World,
        askers: &[Asker],
        random: Option<&mut Random>,
    ) -> (Matrix, UserTape) {
        let bags: Vec<_> = askers.iter().map(|asker| world.user_bags(asker)).collect();
        let d = parameters.get(self.read.table).n_columns();
        let mut x = Matrix::zeros(askers.len(), (KINDS + 2) * d);
        for (at, bags) in bags.iter().enumerate() {
            for ((bag, table), part) in bags.iter().zip(self.tables()).zip(x.row_mut(at).chunks_exact_mut(d))
            {
                let table = parameters.get(table.table);
                bag.rows.iter().for_each(|&row| add_scaled(part, bag.weight, table.row(row as usize)));
            }
        }
        let (raw, mlp) = self.user.forward(parameters, x, random);
        (normalise(&raw), UserTape { bags, mlp, raw })
    }

    fn users_backward(
        &self,
        parameters: &Parameters,
        tape: &UserTape,
        of: &Matrix,
        gradients: &mut Gradients,
    ) {
        let of_raw = normalise_backward(&tape.raw, of);
        let of_x = self.user.backward(parameters, &tape.mlp, of_raw, gradients, true);
        let of_x = of_x.expect("the gradient of the input was asked for");
        let d = parameters.get(self.read.table).n_columns();
        for (at, bags) in tape.bags.iter().enumerate() {
            for ((bag, table), part) in bags.iter().zip(self.tables()).zip(of_x.row(at).chunks_exact(d)) {
                bag.rows
                    .iter()
                    .for_each(|&row| add_scaled(gradients.row(table.table, row), bag.weight, part));
            }
        }
    }

    fn videos(
        &self,
        parameters: &Parameters,
        world: &World,
        videos: &[u32],
        random: Option<&mut Random>,
    ) -> (Matrix, VideoTape) {
        let ids: Vec<Option<u32>> = videos.iter().copied().map(Some).collect();
        let of_ids = self.ids.forward(parameters, &ids);
        let d = of_ids.n_columns();
        let buckets = parameters.get(self.video_buckets.table);
        let mut x = Matrix::zeros(videos.len(), 2 * d + world.inputs.numbers());
        let mut bags = Vec::with_capacity(videos.len());
        for (at, &video) in videos.iter().enumerate() {
            let rows = world.videos[video as usize].clone();
            let bag = Bag { weight: 1.0 / (rows.len() as f32).sqrt().max(1.0), rows };
            let row = x.row_mut(at);
            row[..d].copy_from_slice(of_ids.row(at));
            bag.rows
                .iter()
                .for_each(|&bucket| add_scaled(&mut row[d..2 * d], bag.weight, buckets.row(bucket as usize)));
            world.inputs.of_video(video, &mut row[2 * d..]);
            bags.push(bag);
        }
        let (raw, mlp) = self.video.forward(parameters, x, random);
        (normalise(&raw), VideoTape { ids, bags, mlp, raw })
    }

    fn videos_backward(
        &self,
        parameters: &Parameters,
        tape: &VideoTape,
        of: &Matrix,
        gradients: &mut Gradients,
    ) {
        let of_raw = normalise_backward(&tape.raw, of);
        let of_x = self.video.backward(parameters, &tape.mlp, of_raw, gradients, true);
        let of_x = of_x.expect("the gradient of the input was asked for");
        let d = parameters.get(self.ids.table).n_columns();
        for (at, (id, bag)) in tape.ids.iter().zip(&tape.bags).enumerate() {
            let of_row = of_x.row(at);
            if let Some(id) = *id {
                add_scaled(gradients.row(self.ids.table, id), 1.0, &of_row[..d]);
            }
            for &bucket in &bag.rows {
                add_scaled(gradients.row(self.video_buckets.table, bucket), bag.weight, &of_row[d..2 * d]);
            }
        }
    }
}

struct Lesson<'a> {
    settings: &'a Settings,
    world: &'a World,
    network: &'a Network,
    training: &'a Training<'a>,
    log_q: Vec<f32>,
}

/// A user, and the place in the history that is asked.
type Example = (u32, usize);

impl Lesson<'_> {
    fn asker(&self, (user, place): Example) -> Asker {
        let rows = self.training.interactions.of(user);
        let past = |row: &Interaction| {
            let Interaction { video, time, value, judgement, actions } = *row;
            Past { video, time, value, judgement, actions }
        };
        // No more than can be read, some of it of no kind.
        let first = place.saturating_sub(4 * self.settings.length);
        let past: Vec<Past> = rows[first..place].iter().map(past).collect();
        Asker::of(&past, self.settings.length, self.world.videos.len(), Some(user), Some(rows[place].time))
    }

    fn contrastive(
        &self,
        parameters: &Parameters,
        batch: &[Example],
        n: usize,
        negatives: &[u32],
        random: &mut Random,
        gradients: &mut Gradients,
    ) -> f64 {
        let (network, world) = (self.network, self.world);
        let askers: Vec<Asker> = batch.iter().map(|&example| self.asker(example)).collect();
        let answer = |&(user, place): &Example| self.training.interactions.of(user)[place].video;
        let mut ids: Vec<u32> = batch.iter().map(answer).collect();
        ids.extend(negatives);
        let (users, of_users) = network.users(parameters, world, &askers, Some(random));
        let (items, of_items) = network.videos(parameters, world, &ids, Some(random));
        let of_catalogue = (negatives.len().max(1) as f32 / world.videos.len() as f32).ln();
        let in_batch = |&id: &u32| self.log_q[id as usize] + (batch.len() as f32).ln();
        let log_q: Vec<f32> =
            ids[..batch.len()].iter().map(in_batch).chain(negatives.iter().map(|_| of_catalogue)).collect();
        let candidates = Candidates { vectors: &items, ids: &ids, log_q: &log_q };
        let scale = 1.0 / self.settings.temperature;
        let asking = (&users, 1.0 / n as f32);
        let (loss, of_raw, of_given) = in_batch_softmax(asking, candidates, scale, parameters.precision());
        network.users_backward(parameters, &of_users, &of_raw, gradients);
        network.videos_backward(parameters, &of_items, &of_given, gradients);
        loss
    }

    fn binary(
        &self,
        parameters: &Parameters,
        batch: &[Example],
        n: usize,
        random: &mut Random,
        gradients: &mut Gradients,
    ) -> f64 {
        let (network, world) = (self.network, self.world);
        let askers: Vec<Asker> = batch.iter().map(|&example| self.asker(example)).collect();
        let mut ids = Vec::new();
        let mut labels = Vec::new();
        for &(user, place) in batch {
            let rows = self.training.interactions.of(user);
            ids.push(rows[place].video);
            labels.push(1.0);
            let no = negatives_of(rows, self.settings.negatives.max(1), world.videos.len(), random);
            labels.extend(no.iter().map(|_| 0.0));
            ids.extend(no);
        }
        let each = ids.len() / batch.len().max(1);
        let (users, of_users) = network.users(parameters, world, &askers, Some(random));
        let (items, of_items) = network.videos(parameters, world, &ids, Some(random));
        let (mut of_user, mut of_item) = (
            Matrix::zeros(users.n_rows(), users.n_columns()),
            Matrix::zeros(items.n_rows(), items.n_columns()),
        );
        let (scale, weight) = (1.0 / self.settings.temperature, 1.0 / (n * each) as f32);
        let mut loss = 0.0;
        for (at, label) in labels.into_iter().enumerate() {
            let (user, item) = (users.row(at / each), items.row(at));
            let (one, of) = binary(scale * dot(user, item), label);
            loss += f64::from(weight * one);
            add_scaled(of_user.row_mut(at / each), weight * scale * of, item);
            add_scaled(of_item.row_mut(at), weight * scale * of, user);
        }
        network.users_backward(parameters, &of_users, &of_user, gradients);
        network.videos_backward(parameters, &of_items, &of_item, gradients);
        loss
    }
}

/// The designs' negatives: what the user disliked, at most half of them, then videos at random that the user did not
/// watch. Always `n`, with repeats where the catalogue has too few.
fn negatives_of(rows: &[Interaction], n: usize, n_videos: usize, random: &mut Random) -> Vec<u32> {
    let disliked: Vec<u32> = (rows.iter())
        .filter(|row| row.judgement == upnext_data::Judgement::Negative)
        .map(|row| row.video)
        .collect();
    let n_disliked = disliked.len().min(n / 2);
    let mut drawn: Vec<u32> = (0..n_disliked).map(|_| disliked[random.below(disliked.len())]).collect();
    while drawn.len() < n {
        let mut video = random.below(n_videos) as u32;
        // A viewer of nearly everything gets what is drawn last.
        for _ in 0..20 {
            if !rows.iter().any(|row| row.video == video) {
                break;
            }
            video = random.below(n_videos) as u32;
        }
        drawn.push(video);
    }
    drawn
}

impl Task for &Lesson<'_> {
    type Epoch = Vec<Example>;

    fn name(&self) -> &'static str {
        "feature-tower"
    }

    fn epoch(&self, seed: u64) -> (Vec<Example>, usize) {
        let mut random = Random::new(seed);
        let mut examples: Vec<Example> = Vec::new();
        for (user, rows) in (0..).zip(self.training.interactions.users()) {
            let wanted: Vec<usize> = (0..rows.len()).filter(|&at| rows[at].is_positive()).collect();
            let asked = some_places(wanted, self.settings.places, &mut random);
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
        let batch = batch(examples, step, self.settings.learn.batch);
        let mut random = Random::new(seed);
        let n_videos = self.world.videos.len();
        let negatives: Vec<u32> = match self.settings.loss {
            TowerLoss::Contrastive => {
                (0..self.settings.negatives).map(|_| random.below(n_videos) as u32).collect()
            }
            TowerLoss::Binary => Vec::new(),
        };
        // The other videos of a batch are those of a shard: a fixed number, so the machine does not decide.
        shards.step(batch.len(), |shard, part: Range<usize>, gradients| {
            if part.is_empty() {
                return 0.0;
            }
            let random = &mut Random::new(mix(seed ^ mix(1 + shard as u64)));
            match self.settings.loss {
                TowerLoss::Contrastive => {
                    self.contrastive(parameters, &batch[part], batch.len(), &negatives, random, gradients)
                }
                TowerLoss::Binary => self.binary(parameters, &batch[part], batch.len(), random, gradients),
            }
        })
    }

    fn is_judged(&self) -> bool {
        !self.training.validation.is_empty()
    }

    fn judge(&self, parameters: &Parameters) -> Option<f64> {
        let parts = (self.network.clone(), parameters.clone());
        let model = FeatureTower::whole(self.settings.clone(), self.world.clone(), parts);
        let Training { validation, candidates, .. } = self.training;
        (!validation.is_empty()).then(|| validation_score(&model, validation, candidates))
    }
}

impl FeatureTower {
    /// Trains until validation no longer gains, or for `n_epochs`; how many epochs the model has seen, and what it came to.
    pub(super) fn fit(
        training: &Training,
        n_epochs: Option<u32>,
    ) -> Result<(Self, u32, Option<f64>), FitError> {
        training.needs_order("feature-tower")?;
        let settings = &training.settings.feature_tower;
        settings.check()?;
        let interactions = training.interactions;
        let facts = training.facts.as_deref();
        let users = (0..interactions.n_users() as u32).filter(|&user| !interactions.of(user).is_empty());
        let videos = interactions.rows().iter().map(|row| row.video);
        let table = |of: fn(&crate::Facts) -> Option<&upnext_features::Table>| facts.and_then(of);
        let (users, n_users) =
            bucketed(table(|facts| facts.users.as_ref()), interactions.n_users(), users, settings.buckets);
        let (videos, n_videos) =
            bucketed(table(|facts| facts.videos.as_ref()), interactions.n_videos(), videos, settings.buckets);
        let inputs = Inputs::new(training, settings.content, false);
        let world = World { inputs, users, videos, n_buckets: (n_users, n_videos) };
        let mut parameters = Parameters::new();
        let network = Network::new(&mut parameters, settings, &world, &mut Random::new(training.seed));
        let counts = interactions.popularity();
        let total = counts.iter().map(|&n| f64::from(n)).sum::<f64>().max(1.0);
        let log_q = counts.iter().map(|&n| (f64::from(n.max(1)) / total).ln() as f32).collect();
        let lesson = Lesson { settings, world: &world, network: &network, training, log_q };
        let fingerprint = train::fingerprint(settings, training);
        let learnt = train::learn(&&lesson, parameters, &settings.learn, training, (n_epochs, fingerprint))?;
        let Learnt { parameters, epochs, score } = learnt;
        Ok((Self::whole(settings.clone(), world, (network, parameters)), epochs, score))
    }

    fn whole(settings: Settings, world: World, (network, parameters): (Network, Parameters)) -> Self {
        let all: Vec<u32> = (0..world.videos.len() as u32).collect();
        let mut items = Matrix::zeros(all.len(), settings.dimension);
        for block in all.chunks(512) {
            let (made, _) = network.videos(&parameters, &world, block, None);
            let first = block[0] as usize * settings.dimension;
            items.values_mut()[first..first + made.values().len()].copy_from_slice(made.values());
        }
        Self { settings, world, network, parameters, items }
    }

    fn users(&self, questions: &[(&History, Context)]) -> Matrix {
        let n_videos = self.n_videos();
        let asker = |(history, context): &(&History, Context)| {
            Asker::of(history.past(), self.settings.length, n_videos, context.user, context.now)
        };
        let askers: Vec<Asker> = questions.iter().map(asker).collect();
        self.network.users(&self.parameters, &self.world, &askers, None).0
    }

    /// From a file: `get` gives the array of a name.
    pub(crate) fn load(
        settings: Settings,
        n_buckets: (usize, usize),
        mut get: impl FnMut(&str) -> Option<Matrix>,
    ) -> Result<Self, String> {
        settings.check().map_err(|_| "settings".to_string())?;
        let mut take = |name: &str| get(name).ok_or_else(|| name.to_string());
        let inputs = Inputs::from_matrix(take("inputs")?, take("known")?)?;
        let rows = |matrix: Matrix, n: usize, name: &str| -> Result<Vec<Vec<u32>>, String> {
            let rows: Vec<Vec<u32>> =
                (0..matrix.n_rows()).map(|row| matrix.row(row).iter().map(|&x| x as u32).collect()).collect();
            let is_known = rows.iter().flatten().all(|&bucket| (bucket as usize) < n);
            if is_known { Ok(rows) } else { Err(name.into()) }
        };
        let users = rows(take("users")?, n_buckets.0, "users")?;
        let videos = rows(take("videos")?, n_buckets.1, "videos")?;
        if videos.len() != inputs.n_videos() {
            return Err("videos".into());
        }
        let world = World { inputs, users, videos, n_buckets };
        let mut parameters = Parameters::new();
        let network = Network::new(&mut parameters, &settings, &world, &mut Random::new(0));
        super::load_into(&mut parameters, &mut take)?;
        Ok(Self::whole(settings, world, (network, parameters)))
    }
}

impl Recommender for FeatureTower {
    fn name(&self) -> &str {
        "feature-tower"
    }

    fn n_videos(&self) -> usize {
        self.items.n_rows()
    }

    fn score_all(&self, history: &History, context: &Context, scores: &mut [f32]) {
        let user = self.users(&[(history, *context)]);
        for (video, score) in scores.iter_mut().enumerate() {
            *score = dot(user.row(0), self.items.row(video));
        }
    }

    fn score_batch(&self, questions: &[(&History, Context)], scores: &mut Matrix) {
        product_transposed_into(&self.users(questions), &self.items, scores.values_mut());
    }

    fn save(&self, out: &mut Writer<'_>) -> Form {
        for id in self.parameters.ids() {
            out.matrix(&format!("network.{}", self.parameters.name(id)), self.parameters.get(id));
        }
        let (inputs, known) = self.world.inputs.arrays();
        out.matrix("inputs", inputs);
        out.matrix("known", known);
        let matrix = |rows: &[Vec<u32>]| {
            let values = rows.iter().flatten().map(|&bucket| bucket as f32).collect();
            Matrix::from_rows(rows.len(), rows.first().map_or(0, Vec::len), values)
        };
        out.matrix("users", &matrix(&self.world.users));
        out.matrix("videos", &matrix(&self.world.videos));
        Form::FeatureTower { settings: Box::new(self.settings.clone()), n_buckets: self.world.n_buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::assert_gradients_of_step;
    use upnext_data::{Actions, Interactions, Judgement, Order};
    use upnext_features::Table;

    #[test]
    fn gradients_of_both_losses_are_those_of_small_differences() {
        let row = |user: u32, at: u32| Interaction {
            video: (2 * user + at) % 9,
            time: i64::from(1 + at) * 7_200_000,
            value: None,
            judgement: if at == 1 { Judgement::Negative } else { Judgement::Positive },
            actions: Actions::of([if at == 0 { Action::Like } else { Action::Watch }]),
        };
        let interactions = Interactions::from_users(
            9,
            (0..4).map(|user| (0..4).map(|at| row(user, at)).collect()).collect(),
        );
        let table = |n: usize| {
            Some(Table::from_values(vec!["a".into()], n, (0..n).map(|x| (x % 3) as f32).collect(), 0.0))
        };
        let facts = crate::Facts { users: table(4), videos: table(9), ..crate::Facts::default() };
        let facts = Some(std::sync::Arc::new(facts));
        let training = Training { facts, ..Training::of(&interactions, Order::Timed, 1) };
        for loss in [TowerLoss::Contrastive, TowerLoss::Binary] {
            let settings = Settings {
                dimension: 4,
                layers: vec![5],
                loss,
                negatives: 3,
                temperature: 0.5,
                places: 0,
                ..Settings::default()
            };
            let (users, n_users) = bucketed(training.facts.as_ref().unwrap().users.as_ref(), 4, 0..4, 4);
            let (videos, n_videos) = bucketed(training.facts.as_ref().unwrap().videos.as_ref(), 9, 0..9, 4);
            let world = World {
                inputs: Inputs::new(&training, 0, false),
                users,
                videos,
                n_buckets: (n_users, n_videos),
            };
            let mut parameters = Parameters::new();
            let network = Network::new(&mut parameters, &settings, &world, &mut Random::new(3));
            let log_q = vec![-2.0; 9];
            let lesson =
                &Lesson { settings: &settings, world: &world, network: &network, training: &training, log_q };
            let (examples, _) = lesson.epoch(5);
            assert_eq!(examples.len(), 12);
            assert_gradients_of_step(&lesson, &examples, &mut parameters, (2, 3, 4e-3));
        }
    }

    #[test]
    fn negatives_are_the_disliked_and_what_was_not_watched() {
        let row = |video, judgement| Interaction {
            video,
            time: 0,
            value: None,
            judgement,
            actions: Actions::default(),
        };
        let rows = [row(0, Judgement::Positive), row(1, Judgement::Negative), row(2, Judgement::Neutral)];
        let drawn = negatives_of(&rows, 100, 10, &mut Random::new(1));
        assert_eq!(drawn.len(), 100);
        assert_eq!(drawn.iter().filter(|&&video| video == 1).count(), 1);
        assert!(drawn.iter().all(|&video| video == 1 || video >= 3));
    }
}
