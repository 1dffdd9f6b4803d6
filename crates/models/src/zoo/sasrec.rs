//! SASRec with a softmax over the whole catalogue: a transformer reads a history in order and says what comes next.

use std::borrow::Cow;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use upnext_data::{History, Judgement, Order, Past};
use upnext_math::dot::{add_scaled, dot};
use upnext_math::linalg::{Precision, product_transposed_into};
use upnext_math::seed::{Random, mix};
use upnext_math::{Matrix, Sparse};
use upnext_nn::layer::{
    Block, BlockShape, BlockTape, Dropout, Dropped, Elapsed, Embedding, LayerNorm, Mask, NormTape, Sequences,
    Wiring,
};
use upnext_nn::loss::{Candidates, Table, sampled_softmax, softmax};
use upnext_nn::{Gradients, Id, Kind, Parameters, Shards};

use crate::checkpoint::{Form, Writer};
use crate::choose::validation_score;
use crate::train::{self, Augmentation, Learnt, Loop, Task, shuffle};
use crate::{Context, FitError, Recommender, Training};

/// The shape of the network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shape {
    pub(crate) dimension: usize,
    pub(crate) n_blocks: usize,
    pub(crate) n_heads: usize,
    /// Videos of a history that are read, the newest.
    pub(crate) length: usize,
    /// Share of the frequency filter in each block, and the frequencies that pass; 0 has no filter.
    pub(crate) filter: (f32, usize),
    /// Where norms stand in a block.
    pub(crate) wiring: Wiring,
}

impl Shape {
    /// Whether blocks are told how long ago videos were watched.
    fn reads_times(self) -> bool {
        self.wiring == Wiring::Pointwise
    }
}

/// How it is made and how it learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Numbers of a vector.
    pub dimension: usize,
    /// Attention and feed-forward, so many times.
    pub n_blocks: usize,
    /// Heads of an attention.
    pub n_heads: usize,
    /// Videos of a history that are read, the newest.
    pub length: usize,
    /// Share of numbers left out in training.
    pub dropout: f32,
    /// Share of BSARec's frequency filter in each block; 0 has none. It looks ahead, so it wants `prefixes`.
    pub filter: f32,
    /// The lowest frequencies, which pass the filter.
    pub filter_low: usize,
    /// Where norms stand: `pre-norm`, `post-norm` (after each sum, and of what goes into the first block), `gated` (with
    /// SwiGLU, as in eSASRec; without a filter), or `pointwise` (one gated attention without a softmax, told how long ago each
    /// video was watched, as in HSTU; without a filter).
    pub wiring: Wiring,
    /// Whether each place of a history is an example of its own, asked at its last place alone. Else all places of a
    /// history are asked at once, which costs less.
    pub prefixes: bool,
    /// Whether a video's vector is the sum of its own and of those of its labels and words, by their weights: so what a rare
    /// video has in common with others is learnt from these. Wants `negatives = 0`.
    pub content: bool,
    /// Videos drawn for each step, against which a softmax is sampled; 0 takes the whole catalogue.
    pub negatives: usize,
    /// What is changed at random: `window` (not where prefixes are examples), `crop` and `mask`.
    pub augment: Augmentation,
    /// The loop.
    pub learn: Loop,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dimension: 64,
            n_blocks: 2,
            n_heads: 1,
            length: 50,
            dropout: 0.3,
            filter: 0.0,
            filter_low: 5,
            wiring: Wiring::PreNorm,
            prefixes: false,
            content: false,
            negatives: 0,
            augment: Augmentation::default(),
            learn: Loop { beta2: 0.98, ..Loop::default() },
        }
    }
}

impl Settings {
    /// Those of BSARec as it is published, every prefix of a history an example: norms after each sum, half of all numbers left
    /// out, L2. Adam remembers squares for long: with 0.98 instead of 0.999 a video that is rarely wanted forgets the large
    /// gradients of when it was, and the small ones between them push it about at full rate.
    pub(crate) fn filtered() -> Self {
        let learn = Loop {
            batch: 256,
            beta2: 0.999,
            l2: 1e-4,
            average: 0.999,
            patience: 8,
            slower_after: 2,
            ..Self::default().learn
        };
        let wiring = Wiring::PostNorm;
        Self { filter: 0.7, filter_low: 3, wiring, dropout: 0.5, prefixes: true, learn, ..Self::default() }
    }

    /// For short histories: every prefix is an example, and much is left out; with BSARec's filter or without.
    pub(crate) fn for_short(is_filtered: bool) -> Self {
        let learn = Loop { precision: Precision::Bf16, ..Self::filtered().learn };
        let filter = if is_filtered { Self::filtered().filter } else { 0.0 };
        Self { filter, learn, ..Self::filtered() }
    }

    /// For long histories: all places of a history are asked at once. Few of them make a step, since each has many places: with
    /// 128 instead of 32 as much is learnt from twice the epochs. Of histories longer than what is read, mostly any part is: so
    /// what is older is learnt from too.
    pub(crate) fn for_long() -> Self {
        let learn = Loop {
            batch: 32,
            beta2: 0.999,
            average: 0.999,
            precision: Precision::Bf16,
            ..Self::default().learn
        };
        let augment = Augmentation { window: 0.9, ..Augmentation::default() };
        Self { length: 200, dropout: 0.2, augment, learn, ..Self::default() }
    }

    /// For long histories, another network beside that: wider and gated, it learns in a third of the epochs.
    pub(crate) fn for_long_gated() -> Self {
        Self { dimension: 128, wiring: Wiring::Gated, ..Self::for_long() }
    }

    /// Those of eSASRec: gated blocks, and a softmax against a few videos that are drawn.
    pub(crate) fn gated() -> Self {
        let learn = Loop { patience: 10, ..Self::default().learn };
        Self { wiring: Wiring::Gated, dropout: 0.2, negatives: 256, learn, ..Self::default() }
    }

    /// Those of HSTU: pointwise blocks, told of time, and the whole catalogue at every place.
    pub(crate) fn pointwise() -> Self {
        let learn = Loop { batch: 64, beta2: 0.999, average: 0.999, patience: 10, ..Self::default().learn };
        Self { wiring: Wiring::Pointwise, dropout: 0.2, learn, ..Self::default() }
    }

    /// Checks what cannot be meant.
    pub(crate) fn check(&self, model: &'static str) -> Result<(), FitError> {
        let checks = [
            ((1..=4_096).contains(&self.dimension), "dimension", "1 to 4096"),
            (self.n_blocks <= 64, "n_blocks", "at most 64"),
            (
                self.n_heads > 0 && self.dimension.is_multiple_of(self.n_heads),
                "n_heads",
                "a divisor of dimension",
            ),
            ((1..=4_096).contains(&self.length), "length", "1 to 4096"),
            ((0.0..1.0).contains(&self.dropout), "dropout", "0 to below 1"),
            ((0.0..=1.0).contains(&self.filter), "filter", "0 to 1"),
            (
                self.filter == 0.0 || self.prefixes,
                "prefixes",
                "true where there is a filter, which looks ahead",
            ),
            (self.negatives <= 100_000, "negatives", "at most 100000"),
            (!self.content || self.negatives == 0, "content", "false where negatives are drawn"),
            (
                self.filter == 0.0 || !matches!(self.wiring, Wiring::Gated | Wiring::Pointwise),
                "filter",
                "0 in gated and pointwise blocks, which have none",
            ),
        ];
        train::check(model, &checks, &self.learn)
    }

    fn shape(&self) -> Shape {
        let Self { dimension, n_blocks, n_heads, length, wiring, .. } = *self;
        Shape { dimension, n_blocks, n_heads, length, filter: (self.filter, self.filter_low), wiring }
    }
}

/// Numbers of a layer's output that are worked on at once.
const KEPT: usize = 1 << 15;

/// Batches whose histories are sorted by length before they are cut, so that little is padding.
const SORTED: usize = 16;

/// SASRec (Kang & McAuley 2018) in the form that Klenitskiy & Vasilev (2023) showed to be strong: cross-entropy over all
/// videos at every place. Pre-norm blocks, GELU, places counted from the newest video, and a learnt start, so that an empty
/// history has an answer too. Videos have one vector, read and predicted by. With a filter it is BSARec (Shin et al. 2024),
/// in pointwise blocks HSTU (Zhai et al. 2024).
#[derive(Clone, Debug)]
pub struct Sasrec {
    name: &'static str,
    network: Network,
    parameters: Parameters,
}

#[derive(Clone, Debug)]
struct Network {
    shape: Shape,
    dropout: Dropout,
    videos: Embedding,
    places: Embedding,
    start: Id,
    /// Post-norm blocks read normalised rows, and end with a norm of their own; others read plain rows, and `last` ends them.
    first: Option<LayerNorm>,
    blocks: Vec<Block>,
    last: Option<LayerNorm>,
}

/// Videos of a history, oldest first, and when each was watched, in milliseconds since 1970, 0 where that is not known; no
/// times where none are read.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Watched<'a> {
    videos: &'a [u32],
    times: &'a [i64],
}

impl Watched<'_> {
    fn len(&self) -> usize {
        self.videos.len()
    }

    fn part(self, range: Range<usize>) -> Self {
        let times = self.times.get(range.clone()).unwrap_or_default();
        Self { videos: &self.videos[range], times }
    }

    /// What asks for the last video when that was watched.
    fn without_last(&self) -> Question<'_> {
        (self.part(0..self.len() - 1), self.times.last().copied().unwrap_or(0))
    }
}

/// What was watched, and when it is asked what comes next, in milliseconds since 1970; 0 where that is not known.
type Question<'a> = (Watched<'a>, i64);

/// Histories in rows of `length` places: a start, then videos, oldest first, then padding.
struct Batch {
    length: usize,
    n_there: Vec<usize>,
    videos: Vec<Option<u32>>,
    places: Vec<Option<u32>>,
    elapsed: Option<Elapsed>,
}

struct Tape {
    first: Option<NormTape>,
    dropped: Option<Dropped>,
    blocks: Vec<BlockTape>,
    last: Option<NormTape>,
}

impl Batch {
    /// Of histories of at most `length` videos each.
    fn new(questions: &[Question], shape: Shape) -> Self {
        let length = 1 + questions.iter().map(|(history, _)| history.len()).max().unwrap_or(0);
        let elapsed = elapsed(questions, length);
        let mut batch = Self { length, n_there: Vec::new(), videos: Vec::new(), places: Vec::new(), elapsed };
        for (history, _) in questions {
            let n = history.len();
            batch.n_there.push(n + 1);
            batch.videos.push(None);
            batch.videos.extend(history.videos.iter().copied().map(Some));
            // Places count from the newest: the last has the last number.
            let first = (shape.length - n) as u32;
            batch.places.extend((first..=shape.length as u32).map(Some));
            batch.videos.resize(batch.n_there.len() * length, None);
            batch.places.resize(batch.n_there.len() * length, None);
        }
        batch
    }

    fn sequences(&self) -> Sequences<'_> {
        Sequences { length: self.length, n_there: &self.n_there, elapsed: self.elapsed.as_ref() }
    }
}

/// How long ago what was watched is at each place of `length`: each asks when the next video is watched, the last when the
/// question is asked. `None` where no times are read.
fn elapsed(questions: &[Question], length: usize) -> Option<Elapsed> {
    if questions.iter().all(|(history, _)| history.times.is_empty()) {
        return None;
    }
    let known = |&time: &i64| (time != 0).then_some(time);
    let (mut events, mut asked) = (Vec::new(), Vec::new());
    for (at, (history, now)) in questions.iter().enumerate() {
        events.push(None);
        events.extend(history.times.iter().map(known));
        asked.extend(history.times.iter().chain([now]).map(known));
        events.resize((at + 1) * length, None);
        asked.resize((at + 1) * length, None);
    }
    Some(Elapsed::new(length, &events, &asked))
}

impl Network {
    fn new(
        parameters: &mut Parameters,
        shape: Shape,
        (n_videos, kind, dropout): (usize, Kind, f32),
        random: &mut Random,
    ) -> Self {
        let Shape { dimension: d, n_heads, length, .. } = shape;
        let table = parameters.add_normal("videos", kind, (n_videos, d), 0.02, random);
        let places = Embedding::new(parameters, "places", (length + 1, d), 0.02, random);
        let start = parameters.add_normal("start", Kind::Dense, (1, d), 0.02, random);
        let dropout = Dropout { probability: dropout };
        let (share, n_low) = shape.filter;
        let filter = (share > 0.0).then_some((n_low, share));
        let (window, mask, wiring) = (length + 1, Mask::Causal, shape.wiring);
        let of_block = BlockShape { dimension: d, n_heads, window, mask, dropout, filter, wiring };
        let blocks =
            (0..shape.n_blocks).map(|at| Block::new(parameters, &format!("block.{at}"), of_block, random));
        let blocks = blocks.collect();
        let norm = |parameters: &mut Parameters, name: &str, is_there: bool| {
            is_there.then(|| LayerNorm::new(parameters, name, d))
        };
        let first = norm(parameters, "first", shape.wiring == Wiring::PostNorm);
        let last = norm(parameters, "last", shape.wiring != Wiring::PostNorm);
        Self { shape, dropout, videos: Embedding { table }, places, start, first, blocks, last }
    }

    /// What the network makes of every place: `(histories * length, dimension)`.
    fn forward(
        &self,
        parameters: &Parameters,
        batch: &Batch,
        mut random: Option<&mut Random>,
    ) -> (Matrix, Tape) {
        let mut x = self.videos.forward(parameters, &batch.videos);
        let scale = self.scale();
        x.values_mut().iter_mut().for_each(|x| *x *= scale);
        let start = parameters.get(self.start).values();
        for history in 0..batch.n_there.len() {
            add(x.row_mut(history * batch.length), start);
        }
        add(x.values_mut(), self.places.forward(parameters, &batch.places).values());
        let first = self.first.map(|norm| {
            let (normed, tape) = norm.forward(parameters, &x);
            x = normed;
            tape
        });
        let dropped = self.dropout.forward(&mut x, random.as_deref_mut());
        let forward =
            |block: &Block| block.forward(parameters, &mut x, batch.sequences(), random.as_deref_mut());
        let blocks = self.blocks.iter().map(forward).collect();
        let last = self.last.map(|norm| {
            let (normed, tape) = norm.forward(parameters, &x);
            x = normed;
            tape
        });
        (x, Tape { first, dropped, blocks, last })
    }

    /// As in the paper: vectors of 0.02 weigh as much as what blocks add, where no norm stands between.
    fn scale(&self) -> f32 {
        if self.first.is_some() { 1.0 } else { (self.shape.dimension as f32).sqrt() }
    }

    /// Adds the gradients of all parameters, from that of the output.
    fn backward(
        &self,
        parameters: &Parameters,
        batch: &Batch,
        tape: &Tape,
        gradient: &Matrix,
        gradients: &mut Gradients,
    ) {
        let mut of_x = match (&self.last, &tape.last) {
            (Some(norm), Some(tape)) => norm.backward(parameters, tape, gradient, gradients),
            _ => gradient.clone(),
        };
        for (block, tape) in self.blocks.iter().zip(&tape.blocks).rev() {
            block.backward(parameters, batch.sequences(), tape, &mut of_x, gradients);
        }
        Dropout::backward(tape.dropped.as_ref(), &mut of_x);
        if let (Some(norm), Some(tape)) = (&self.first, &tape.first) {
            of_x = norm.backward(parameters, tape, &of_x, gradients);
        }
        self.places.backward(&batch.places, &of_x, gradients);
        for history in 0..batch.n_there.len() {
            add(gradients.dense(self.start).values_mut(), of_x.row(history * batch.length));
        }
        let scale = self.scale();
        of_x.values_mut().iter_mut().for_each(|x| *x *= scale);
        self.videos.backward(&batch.videos, &of_x, gradients);
    }
}

fn add(to: &mut [f32], more: &[f32]) {
    add_scaled(to, 1.0, more);
}

/// Vectors of labels and words, while a network learns: in what comes of it they are part of the videos' own.
struct Terms {
    table: Id,
    /// The weights: `(videos, terms)`, and the other way round.
    of_videos: Sparse,
    videos_of: Sparse,
}

impl Terms {
    fn new(parameters: &mut Parameters, of_videos: Sparse, deviation: f32, random: &mut Random) -> Self {
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
struct Lesson<'a> {
    name: &'static str,
    network: &'a Network,
    settings: &'a Settings,
    training: &'a Training<'a>,
    terms: Option<Terms>,
    histories: Vec<Kept>,
}

/// A history that is learnt from.
struct Kept {
    /// Wanted videos, oldest first.
    videos: Vec<u32>,
    /// When each was watched; empty where no times are read.
    times: Vec<i64>,
    /// How many of them were known before.
    n_known: usize,
}

impl Kept {
    fn watched(&self) -> Watched<'_> {
        Watched { videos: &self.videos, times: &self.times }
    }
}

/// What targets are compared with.
#[derive(Clone, Copy)]
enum Others<'a> {
    /// The whole catalogue.
    All(&'a Table<'a>),
    /// Videos drawn for the step.
    Some(&'a [u32]),
}

/// A part of a batch, and the videos that all parts are compared with.
#[derive(Clone, Copy)]
struct Part<'a> {
    /// Each with the videos to be predicted at its end: the last alone, or all.
    histories: &'a [Watched<'a>],
    /// Targets of the whole batch.
    n_targets: usize,
    others: Others<'a>,
}

impl Lesson<'_> {
    /// Parameters in which vectors of videos are whole.
    fn whole<'p>(&self, parameters: &'p Parameters) -> Cow<'p, Parameters> {
        let Some(terms) = &self.terms else { return Cow::Borrowed(parameters) };
        let mut whole = parameters.clone();
        terms.add_to(&mut whole, self.network.videos.table);
        Cow::Owned(whole)
    }

    /// The loss of predicting videos of histories from those before them, over all targets, and its gradients.
    fn learn(
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
    fn learn_by_few(
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
    fn examples(&self, random: &mut Random) -> Vec<Watched<'_>> {
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

impl Sasrec {
    /// Trains until validation no longer gains, or for `n_epochs`; how many epochs the model has seen, and what it came to
    /// on validation, where there is one.
    pub(super) fn fit(
        name: &'static str,
        settings: &Settings,
        training: &Training,
        n_epochs: Option<u32>,
    ) -> Result<(Self, u32, Option<f64>), FitError> {
        training.needs_order(name)?;
        settings.check(name)?;
        let start = training.start_of(name);
        // Of a model that goes on, histories without anything new are known already.
        let since = start.map_or(i64::MIN, |start| start.since);
        let reads_times = settings.shape().reads_times() && training.order == Order::Timed;
        let histories: Vec<Kept> = (training.interactions.users())
            .map(|rows| {
                let wanted: Vec<_> = rows.iter().filter(|row| row.is_positive()).collect();
                let times = wanted.iter().filter(|_| reads_times).map(|row| row.time).collect();
                let n_known = wanted.partition_point(|row| row.time < since);
                Kept { videos: wanted.iter().map(|row| row.video).collect(), times, n_known }
            })
            .filter(|kept| kept.videos.len() > kept.n_known)
            .collect();
        let mut parameters = Parameters::new();
        let n_videos = training.interactions.n_videos();
        // Compared with the whole catalogue, every row has a gradient in every step.
        let kind = if settings.negatives == 0 { Kind::Dense } else { Kind::Rows };
        let shape = (n_videos, kind, settings.dropout);
        let network = Network::new(&mut parameters, settings.shape(), shape, &mut Random::new(training.seed));
        if let Some(start) = start {
            start.apply(&mut parameters, &["videos"])?;
        }
        let terms = match settings.content {
            // What goes on has its terms within its vectors: new ones begin at 0.
            true => Some(Terms::new(
                &mut parameters,
                training.needs_content(name)?.vectors().clone(),
                if start.is_some() { 0.0 } else { 0.02 },
                &mut Random::new(mix(training.seed ^ 1)),
            )),
            false => None,
        };
        let lesson = Lesson { name, network: &network, settings, training, terms, histories };
        let fingerprint = train::fingerprint(settings, training);
        let learnt = train::learn(&&lesson, parameters, &settings.learn, training, (n_epochs, fingerprint))?;
        let Learnt { parameters, epochs, score } = learnt;
        let parameters = match &lesson.terms {
            Some(_) => lesson.whole(&parameters).into_owned().without_last("terms"),
            None => parameters,
        };
        Ok((Self { name, network, parameters }, epochs, score))
    }

    /// From parameters of a file, by name; `None` names what is missing or has another shape.
    pub(crate) fn from_parameters(
        name: &'static str,
        shape: Shape,
        n_videos: usize,
        mut get: impl FnMut(&str) -> Option<Matrix>,
    ) -> Result<Self, String> {
        let mut parameters = Parameters::new();
        let network = Network::new(&mut parameters, shape, (n_videos, Kind::Dense, 0.0), &mut Random::new(0));
        for id in parameters.ids() {
            let array = parameters.name(id).to_string();
            let is_same = |found: &Matrix| {
                let known = parameters.get(id);
                (found.n_rows(), found.n_columns()) == (known.n_rows(), known.n_columns())
            };
            let found = get(&array).filter(is_same).ok_or(array)?;
            *parameters.get_mut(id) = found;
        }
        Ok(Self { name, network, parameters })
    }

    /// The videos that are read of a history, oldest first, and their times, where these are read.
    fn read(&self, history: &History) -> (Vec<u32>, Vec<i64>) {
        let (shape, n_videos) = (self.network.shape, self.n_videos() as u32);
        let is_read = |past: &&Past| past.judgement == Judgement::Positive && past.video < n_videos;
        let mut read: Vec<&Past> = history.past().iter().rev().filter(is_read).take(shape.length).collect();
        read.reverse();
        let times = read.iter().filter(|_| shape.reads_times()).map(|past| past.time).collect();
        (read.iter().map(|past| past.video).collect(), times)
    }

    /// One row for each history: what its last place asks for, now or, where that is not known, just after its newest event.
    fn questions(&self, asked: &[(&History, Context)]) -> Matrix {
        let read: Vec<(Vec<u32>, Vec<i64>)> = asked.iter().map(|(history, _)| self.read(history)).collect();
        let mut questions: Vec<Question> = Vec::with_capacity(asked.len());
        for ((videos, times), (history, context)) in read.iter().zip(asked) {
            let newest = || history.past().last().map_or(0, |past| past.time);
            questions.push((Watched { videos, times }, context.now.unwrap_or_else(newest)));
        }
        let batch = Batch::new(&questions, self.network.shape);
        let (output, _) = self.network.forward(&self.parameters, &batch, None);
        let mut questions = Matrix::zeros(asked.len(), self.network.shape.dimension);
        for (at, n) in batch.n_there.iter().enumerate() {
            questions.row_mut(at).copy_from_slice(output.row(at * batch.length + n - 1));
        }
        questions
    }

    fn table(&self) -> &Matrix {
        self.parameters.get(self.network.videos.table)
    }
}

/// Examples in batches of like length, in an order that chance decides.
fn batches<'a>(mut examples: Vec<Watched<'a>>, size: usize, random: &mut Random) -> Vec<Vec<Watched<'a>>> {
    shuffle(&mut examples, random);
    let mut batches = Vec::new();
    for group in examples.chunks_mut(SORTED * size) {
        group.sort_by_key(Watched::len);
        batches.extend(group.chunks(size).map(<[_]>::to_vec));
    }
    shuffle(&mut batches, random);
    batches
}

impl Recommender for Sasrec {
    fn name(&self) -> &str {
        self.name
    }

    fn n_videos(&self) -> usize {
        self.table().n_rows()
    }

    fn score_all(&self, history: &History, context: &Context, scores: &mut [f32]) {
        let question = self.questions(&[(history, *context)]);
        for (video, score) in scores.iter_mut().enumerate() {
            *score = dot(question.row(0), self.table().row(video));
        }
    }

    fn score(&self, history: &History, context: &Context, rows: &[u32], scores: &mut [f32]) {
        let question = self.questions(&[(history, *context)]);
        for (score, &row) in scores.iter_mut().zip(rows) {
            *score = dot(question.row(0), self.table().row(row as usize));
        }
    }

    fn score_batch(&self, questions: &[(&History, Context)], scores: &mut Matrix) {
        product_transposed_into(&self.questions(questions), self.table(), scores.values_mut());
    }

    fn save(&self, out: &mut Writer<'_>) -> Form {
        for id in self.parameters.ids() {
            out.matrix(self.parameters.name(id), self.parameters.get(id));
        }
        let Shape { dimension, n_blocks, n_heads, length, filter: (filter, filter_low), wiring } =
            self.network.shape;
        let network = self.name.into();
        Form::Sasrec { network, dimension, n_blocks, n_heads, length, filter, filter_low, wiring }
    }
}

#[cfg(test)]
mod tests;
