//! What is learnt from: whole histories, windows or prefixes of them, the loss of a batch, and its gradients.

use std::borrow::Cow;
use std::ops::Range;

use upnext_math::seed::{Random, mix};
use upnext_math::{Matrix, Sparse};
use upnext_nn::loss::{Candidates, Table, sampled_softmax, softmax};
use upnext_nn::{Gradients, Id, Kind, Parameters, Shards};

use super::network::{Batch, Network, Question, Watched, add};
use super::{Sasrec, Settings};
use crate::Training;
use crate::choose::validation_score;
use crate::train::{Task, shuffle};

/// Numbers of a layer's output that are worked on at once.
const KEPT: usize = 1 << 15;

/// Batches whose histories are sorted by length before they are cut, so that little is padding.
const SORTED: usize = 16;

/// Vectors of labels and words, while a network learns: in what comes of it they are part of the videos' own.
pub(super) struct Terms {
    table: Id,
    /// The weights: `(videos, terms)`, and the other way round.
    of_videos: Sparse,
    videos_of: Sparse,
}

impl Terms {
    pub(super) fn new(
        parameters: &mut Parameters,
        of_videos: Sparse,
        deviation: f32,
        random: &mut Random,
    ) -> Self {
        let videos = parameters.find("videos").expect("a network has vectors of videos");
        let shape = (of_videos.n_columns(), parameters.get(videos).n_columns());
        let table = parameters.add_normal("terms", Kind::Dense, shape, deviation, random);
        Self { table, videos_of: of_videos.transpose(), of_videos }
    }

    /// The vectors of videos with what their terms add.
    fn add_to(&self, parameters: &mut Parameters, videos: Id) {
        let more = self.of_videos.times_dense(parameters.get(self.table));
        add(parameters.get_mut(videos).values_mut(), more.values());
    }

    /// The gradient of the terms, from that of whole vectors.
    fn backward(&self, gradients: &mut Gradients, videos: Id) {
        let of_terms = self.videos_of.times_dense(gradients.dense(videos));
        add(gradients.dense(self.table).values_mut(), of_terms.values());
    }
}

/// What is learnt from: histories, and how.
pub(super) struct Lesson<'a> {
    pub(super) name: &'static str,
    pub(super) network: &'a Network,
    pub(super) settings: &'a Settings,
    pub(super) training: &'a Training<'a>,
    pub(super) terms: Option<Terms>,
    pub(super) histories: Vec<Kept>,
}

/// A history that is learnt from.
pub(super) struct Kept {
    /// Wanted videos, oldest first.
    pub(super) videos: Vec<u32>,
    /// When each was watched; empty where no times are read.
    pub(super) times: Vec<i64>,
    /// How many of them were known before.
    pub(super) n_known: usize,
}

impl Kept {
    fn watched(&self) -> Watched<'_> {
        Watched { videos: &self.videos, times: &self.times }
    }
}

/// What targets are compared with.
#[derive(Clone, Copy)]
pub(super) enum Others<'a> {
    /// The whole catalogue.
    All(&'a Table<'a>),
    /// Videos drawn for the step.
    Some(&'a [u32]),
}

/// A part of a batch, and the videos that all parts are compared with.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    /// Each with the videos to be predicted at its end: the last alone, or all.
    pub(super) histories: &'a [Watched<'a>],
    /// Targets of the whole batch.
    pub(super) n_targets: usize,
    pub(super) others: Others<'a>,
}

impl Lesson<'_> {
    /// Parameters in which vectors of videos are whole.
    pub(super) fn whole<'p>(&self, parameters: &'p Parameters) -> Cow<'p, Parameters> {
        let Some(terms) = &self.terms else { return Cow::Borrowed(parameters) };
        let mut whole = parameters.clone();
        terms.add_to(&mut whole, self.network.videos.table);
        Cow::Owned(whole)
    }

    /// The loss of predicting videos of histories from those before them, over all targets, and its gradients.
    pub(super) fn learn(
        &self,
        parameters: &Parameters,
        part: &Part,
        random: &mut Random,
        gradients: &mut Gradients,
    ) -> f64 {
        let (network, histories) = (self.network, part.histories);
        let asked: Vec<Question> = histories.iter().map(Watched::without_last).collect();
        let mut batch = Batch::new(&asked, network.shape);
        let augment = self.settings.augment;
        batch.videos.iter_mut().filter(|_| augment.hides(random)).for_each(|video| *video = None);
        let (output, tape) = network.forward(parameters, &batch, Some(random));
        // Padding predicts nothing and is left out before the largest product.
        let rows = |history: usize| {
            let (first, n) = (history * batch.length, batch.n_there[history]);
            if self.settings.prefixes { first + n - 1..first + n } else { first..first + n }
        };
        let there: Vec<usize> = (0..histories.len()).flat_map(rows).collect();
        let d = network.shape.dimension;
        let values = there.iter().flat_map(|&row| output.row(row)).copied().collect();
        let asking = Matrix::from_rows(there.len(), d, values);
        let targets: Vec<u32> = match self.settings.prefixes {
            true => histories.iter().filter_map(|history| history.videos.last()).copied().collect(),
            false => histories.iter().flat_map(|history| history.videos).copied().collect(),
        };
        let weights = vec![1.0 / part.n_targets as f32; targets.len()];
        let (loss, of_asking) = match part.others {
            Others::All(table) => {
                let of_table = gradients.dense(network.videos.table);
                let found = softmax(&asking, table, (&targets, &weights), of_table);
                (found.loss, found.of_rows)
            }
            Others::Some(negatives) => {
                let take = |ids: &[u32]| {
                    let ids: Vec<Option<u32>> = ids.iter().copied().map(Some).collect();
                    (network.videos.forward(parameters, &ids), ids)
                };
                let ((of_targets, target_ids), (of_negatives, negative_ids)) =
                    (take(&targets), take(negatives));
                let log_q = vec![0.0; negatives.len()];
                let candidates = Candidates { vectors: &of_negatives, ids: negatives, log_q: &log_q };
                let found = sampled_softmax(
                    &asking,
                    (&of_targets, &targets, &weights),
                    candidates,
                    1.0,
                    parameters.precision(),
                );
                network.videos.backward(&target_ids, &found.of_targets, gradients);
                network.videos.backward(&negative_ids, &found.of_candidates, gradients);
                (found.loss, found.of_rows)
            }
        };
        let mut of_output = Matrix::zeros(output.n_rows(), d);
        for (at, &row) in there.iter().enumerate() {
            of_output.row_mut(row).copy_from_slice(of_asking.row(at));
        }
        network.backward(parameters, &batch, &tape, &of_output, gradients);
        loss
    }

    /// [`Lesson::learn`] of so many histories at a time.
    pub(super) fn learn_by_few(
        &self,
        few: usize,
        parameters: &Parameters,
        part: Part,
        random: &mut Random,
        gradients: &mut Gradients,
    ) -> f64 {
        let parts = part.histories.chunks(few).map(|histories| Part { histories, ..part });
        parts.map(|part| self.learn(parameters, &part, random, gradients)).sum()
    }

    /// All histories once, a part of each, or each of their prefixes once.
    pub(super) fn examples(&self, random: &mut Random) -> Vec<Watched<'_>> {
        let length = self.network.shape.length + 1;
        let mut all: Vec<Watched> = Vec::new();
        for kept in &self.histories {
            let history = kept.watched();
            if self.settings.prefixes {
                all.extend(
                    (kept.n_known + 1..=history.len())
                        .map(|end| history.part(end.saturating_sub(length)..end)),
                );
            } else {
                let augment = self.settings.augment;
                let read = history.part(augment.window(history.len(), length, random));
                all.push(read.part(augment.crop(read.len(), random)));
            }
        }
        all
    }
}

impl<'a> Task for &'a Lesson<'a> {
    type Epoch = Vec<Vec<Watched<'a>>>;

    fn name(&self) -> &'static str {
        self.name
    }

    fn epoch(&self, seed: u64) -> (Self::Epoch, usize) {
        let mut random = Random::new(seed);
        let batches = batches(self.examples(&mut random), self.settings.learn.batch, &mut random);
        let n = batches.len();
        (batches, n)
    }

    fn step<'s>(
        &self,
        parameters: &Parameters,
        epoch: &Self::Epoch,
        step: usize,
        seed: u64,
        shards: &'s mut Shards,
    ) -> (f64, &'s mut Gradients) {
        let batch = &epoch[step];
        let n_targets = match self.settings.prefixes {
            true => batch.len(),
            false => batch.iter().map(|history| history.len()).sum(),
        };
        let (mut random, n_videos) = (Random::new(seed), self.training.interactions.n_videos());
        let negatives: Vec<u32> =
            (0..self.settings.negatives).map(|_| random.below(n_videos) as u32).collect();
        let parameters = &*self.whole(parameters);
        let table = parameters.get(self.network.videos.table);
        let table = (negatives.is_empty()).then(|| Table::new(table, parameters.precision()));
        let others = table.as_ref().map_or(Others::Some(&negatives), Others::All);
        // A shard goes through its histories by a few at a time, so that what is kept of them stays in the cache; where
        // each is asked at its end alone by no fewer than make a panel of the largest product.
        let longest = batch.iter().map(|history| history.len()).max().unwrap_or(1);
        let least = if self.settings.prefixes { 64 } else { 1 };
        let few = (KEPT / (longest * self.network.shape.dimension)).max(least);
        let learn = |shard: usize, part: Range<usize>, gradients: &mut Gradients| {
            let random = &mut Random::new(mix(seed ^ mix(1 + shard as u64)));
            let part = Part { histories: &batch[part], n_targets, others };
            self.learn_by_few(few, parameters, part, random, gradients)
        };
        let (loss, gradients) = shards.step(batch.len(), learn);
        if let Some(terms) = &self.terms {
            terms.backward(gradients, self.network.videos.table);
        }
        (loss, gradients)
    }

    fn is_judged(&self) -> bool {
        !self.training.validation.is_empty()
    }

    fn judge(&self, parameters: &Parameters) -> Option<f64> {
        let (network, parameters) = (self.network.clone(), self.whole(parameters).into_owned());
        let model = Sasrec { name: self.name, network, parameters };
        let Training { validation, candidates, .. } = self.training;
        (!validation.is_empty()).then(|| validation_score(&model, validation, candidates))
    }
}

/// Examples in batches of like length, in an order that chance decides.
pub(super) fn batches<'a>(
    mut examples: Vec<Watched<'a>>,
    size: usize,
    random: &mut Random,
) -> Vec<Vec<Watched<'a>>> {
    shuffle(&mut examples, random);
    let mut batches = Vec::new();
    for group in examples.chunks_mut(SORTED * size) {
        group.sort_by_key(Watched::len);
        batches.extend(group.chunks(size).map(<[_]>::to_vec));
    }
    shuffle(&mut batches, random);
    batches
}
