//! What a profile learns from: the next wanted video at every place of a past, told apart from videos of the catalogue.

use upnext_math::Matrix;
use upnext_math::seed::{Random, mix};
use upnext_nn::layer::{Embedding, normalise, normalise_backward};
use upnext_nn::loss::{Candidates, sampled_softmax};
use upnext_nn::{Gradients, Parameters, Shards};

use super::network::{Event, Network, Walk, n_first};
use super::{Profile, Settings};
use crate::Training;
use crate::choose::validation_score;
use crate::train::{Task, batch, shuffle};
use crate::zoo::fusion::Layers;
use crate::zoo::two_tower::Inputs;

/// Where the vectors of videos come from.
pub(super) enum Space<'a> {
    /// From `fusion`, as they are.
    Fixed(&'a Matrix),
    /// From its layers, which learn on, and from a vector of each video's own.
    Learnt { inputs: &'a Inputs, layers: &'a Layers, ids: Option<Embedding> },
}

impl Space<'_> {
    /// All of them, of unit length.
    pub(super) fn all(&self, parameters: &Parameters) -> Matrix {
        match self {
            Space::Fixed(videos) => (*videos).clone(),
            Space::Learnt { inputs, layers, ids } => {
                let mut raw = layers.raw(parameters, inputs);
                if let Some(ids) = ids {
                    let own = parameters.get(ids.table).values();
                    raw.values_mut().iter_mut().zip(own).for_each(|(x, own)| *x += own);
                }
                normalise(&raw)
            }
        }
    }
}

pub(super) struct Lesson<'a> {
    pub(super) settings: &'a Settings,
    pub(super) training: &'a Training<'a>,
    pub(super) network: &'a Network,
    pub(super) space: Space<'a>,
    /// The logarithm of how often each video was wanted.
    pub(super) popularity: &'a [f32],
    /// All that each user did, oldest first.
    pub(super) histories: Vec<Vec<Event>>,
}

/// Events of a user that are asked for, each from those before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    pub(super) user: u32,
    pub(super) from: u32,
    pub(super) to: u32,
}

/// The videos a part of a batch touches, numbered as they are met.
struct AtHand {
    places: Vec<u32>,
    videos: Vec<u32>,
}

impl AtHand {
    fn new(n_videos: usize) -> Self {
        Self { places: vec![u32::MAX; n_videos], videos: Vec::new() }
    }

    fn place(&mut self, video: u32) -> u32 {
        let place = &mut self.places[video as usize];
        if *place == u32::MAX {
            *place = self.videos.len() as u32;
            self.videos.push(video);
        }
        *place
    }
}

impl Lesson<'_> {
    pub(super) fn learn(
        &self,
        parameters: &Parameters,
        windows: &[Window],
        (n_targets, negatives): (usize, &[u32]),
        random: &mut Random,
        gradients: &mut Gradients,
    ) -> f64 {
        let mut at_hand = AtHand::new(self.popularity.len());
        let (mut walks, mut asked) = (Vec::with_capacity(windows.len()), Vec::new());
        for (at, window) in windows.iter().enumerate() {
            let past = &self.histories[window.user as usize];
            let (from, to) = (window.from as usize, window.to as usize);
            // The last one is asked for and moves nothing.
            let mut walk = Walk::new(past, self.settings.favourites, (from, to - 1));
            walk.each_video(|video| *video = at_hand.place(*video));
            walks.push(walk);
            let wanted = (0..).zip(&past[from..to]).filter(|(_, event)| event.is_wanted());
            asked.extend(wanted.map(|(place, event)| (at, place, event.video)));
        }
        if asked.is_empty() {
            return 0.0;
        }
        let targets: Vec<u32> = asked.iter().map(|&(_, _, video)| video).collect();
        let target_places: Vec<u32> = targets.iter().map(|&video| at_hand.place(video)).collect();
        let negative_places: Vec<u32> = negatives.iter().map(|&video| at_hand.place(video)).collect();

        // The vectors at hand, then the profiles, then one softmax.
        let videos = &at_hand.videos;
        let (raw, made) = match &self.space {
            Space::Fixed(all) => (take(all, videos), None),
            Space::Learnt { inputs, layers, ids } => {
                let (mut raw, tape) = layers.forward(parameters, inputs, videos, Some(random));
                let mut hides = || random.uniform() < self.settings.id_dropout;
                let own: Vec<Option<u32>> = videos.iter().map(|&video| (!hides()).then_some(video)).collect();
                if let Some(ids) = ids {
                    let own = ids.forward(parameters, &own);
                    raw.values_mut().iter_mut().zip(own.values()).for_each(|(x, own)| *x += own);
                }
                (raw, Some((tape, own)))
            }
        };
        let vectors = normalise(&raw);
        let (profiles, tape) = self.network.forward(parameters, (&walks, &vectors), Some(random));
        let length = profiles.n_rows() / walks.len();
        let rows: Vec<u32> = asked.iter().map(|&(at, place, _)| (at * length + place) as u32).collect();
        let asking = take(&profiles, &rows);
        let weight = self.network.popularity(parameters);
        let questions = beside(&normalise(&asking), |_| weight);
        let temperature = self.settings.temperature;
        let answers = |places: &[u32], ids: &[u32]| {
            beside(&take(&vectors, places), |row| temperature * self.popularity[ids[row] as usize])
        };
        let (answer, others) = (answers(&target_places, &targets), answers(&negative_places, negatives));
        let weights = vec![1.0 / n_targets as f32; targets.len()];
        let log_q = vec![0.0; negatives.len()];
        let candidates = Candidates { vectors: &others, ids: negatives, log_q: &log_q };
        let precision = parameters.precision();
        let found = sampled_softmax(
            &questions,
            (&answer, &targets, &weights),
            candidates,
            1.0 / temperature,
            precision,
        );

        let (of_asking, of_weight) = apart(&found.of_rows);
        self.network.add_popularity(of_weight, gradients);
        let of_asking = normalise_backward(&asking, &of_asking);
        let mut of_profiles = Matrix::zeros(profiles.n_rows(), profiles.n_columns());
        for (row, &to) in rows.iter().enumerate() {
            of_profiles.row_mut(to as usize).copy_from_slice(of_asking.row(row));
        }
        let mut of_vectors = Matrix::zeros(vectors.n_rows(), vectors.n_columns());
        let of = (&mut *gradients, &mut of_vectors);
        self.network.backward(parameters, (&walks, &vectors), &tape, &of_profiles, of);
        if let (Space::Learnt { layers, ids, .. }, Some((tape, own))) = (&self.space, made) {
            for (places, of) in
                [(&target_places, &found.of_targets), (&negative_places, &found.of_candidates)]
            {
                let (of, _) = apart(of);
                for (row, &place) in places.iter().enumerate() {
                    let to = of_vectors.row_mut(place as usize);
                    to.iter_mut().zip(of.row(row)).for_each(|(to, of)| *to += of);
                }
            }
            let of_raw = normalise_backward(&raw, &of_vectors);
            if let Some(ids) = ids {
                ids.backward(&own, &of_raw, gradients);
            }
            layers.backward(parameters, &tape, of_raw, gradients);
        }
        found.loss
    }
}

/// Some rows of a matrix.
fn take(matrix: &Matrix, rows: &[u32]) -> Matrix {
    let values = rows.iter().flat_map(|&row| matrix.row(row as usize)).copied().collect();
    Matrix::from_rows(rows.len(), matrix.n_columns(), values)
}

/// Each row with one more number behind it.
pub(super) fn beside(rows: &Matrix, number: impl Fn(usize) -> f32) -> Matrix {
    let values = (0..rows.n_rows()).flat_map(|row| rows.row(row).iter().copied().chain([number(row)]));
    Matrix::from_rows(rows.n_rows(), rows.n_columns() + 1, values.collect())
}

/// Rows without their last number, and the sum of the last numbers.
fn apart(rows: &Matrix) -> (Matrix, f32) {
    let d = rows.n_columns() - 1;
    let values = (0..rows.n_rows()).flat_map(|row| &rows.row(row)[..d]).copied().collect();
    let last = (0..rows.n_rows()).map(|row| rows.row(row)[d]).sum();
    (Matrix::from_rows(rows.n_rows(), d, values), last)
}

impl Task for &Lesson<'_> {
    type Epoch = Vec<Window>;

    fn name(&self) -> &'static str {
        "profile"
    }

    /// Windows of `length` events over each past, from a border that chance sets.
    fn epoch(&self, seed: u64) -> (Vec<Window>, usize) {
        let mut random = Random::new(seed);
        let length = self.settings.length;
        let mut windows = Vec::new();
        for (user, past) in (0..).zip(&self.histories) {
            let mut from = n_first(past, self.settings.favourites);
            let mut to = from + 1 + random.below(length);
            while from < past.len() {
                windows.push(Window { user, from: from as u32, to: to.min(past.len()) as u32 });
                (from, to) = (to, to + length);
            }
        }
        shuffle(&mut windows, &mut random);
        let n = windows.len().div_ceil(self.settings.learn.batch);
        (windows, n)
    }

    fn step<'s>(
        &self,
        parameters: &Parameters,
        windows: &Vec<Window>,
        step: usize,
        seed: u64,
        shards: &'s mut Shards,
    ) -> (f64, &'s mut Gradients) {
        let batch = batch(windows, step, self.settings.learn.batch);
        let mut random = Random::new(seed);
        let n_videos = self.popularity.len();
        let negatives: Vec<u32> =
            (0..self.settings.negatives).map(|_| random.below(n_videos) as u32).collect();
        let n_wanted = |window: &Window| {
            let events = &self.histories[window.user as usize][window.from as usize..window.to as usize];
            events.iter().filter(|event| event.is_wanted()).count()
        };
        let n_targets = batch.iter().map(n_wanted).sum::<usize>().max(1);
        shards.step(batch.len(), |shard, part, gradients| {
            let random = &mut Random::new(mix(seed ^ mix(1 + shard as u64)));
            self.learn(parameters, &batch[part], (n_targets, &negatives), random, gradients)
        })
    }

    fn is_judged(&self) -> bool {
        !self.training.validation.is_empty()
    }

    fn judge(&self, parameters: &Parameters) -> Option<f64> {
        let Training { validation, candidates, .. } = self.training;
        (!validation.is_empty()).then(|| validation_score(&self.profile(parameters), validation, candidates))
    }
}

impl Lesson<'_> {
    /// The model of some parameters.
    pub(super) fn profile(&self, parameters: &Parameters) -> Profile {
        let videos = self.space.all(parameters);
        let network = (self.network.clone(), parameters.clone());
        Profile::whole(self.settings.clone(), (&videos, self.popularity), network)
    }
}
