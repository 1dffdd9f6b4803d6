//! SASRec with a softmax over the whole catalogue: a transformer reads a history in order and says what comes next.

use std::ops::Range;

use upnext_data::History;
use upnext_math::Matrix;
use upnext_math::dot::{add_scaled, dot};
use upnext_math::linalg::product_transposed_into;
use upnext_math::seed::{Random, mix};
use upnext_nn::layer::{
    Activation, Attention, AttentionTape, Dropout, Embedding, LayerNorm, Linear, Mask, NormTape,
};
use upnext_nn::loss::softmax;
use upnext_nn::optimiser::{Adam, Settings};
use upnext_nn::schedule::{Plateau, Verdict};
use upnext_nn::{Gradients, Id, Kind, Parameters, Shards};

use crate::checkpoint::{Form, Writer};
use crate::choose::validation_score;
use crate::{Context, FitError, Recommender, Training};

/// The shape of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) dimension: usize,
    pub(crate) n_blocks: usize,
    pub(crate) n_heads: usize,
    /// Videos of a history that are read, the newest.
    pub(crate) length: usize,
}

const SHAPE: Shape = Shape { dimension: 64, n_blocks: 2, n_heads: 1, length: 50 };
/// Numbers of the feed-forward layer for each of the dimension.
const WIDER: usize = 4;
const DROPOUT: f32 = 0.3;
const RATE: f32 = 1e-3;
const BATCH: usize = 128;
const NORM_MAX: f32 = 5.0;
const EPOCHS_MAX: u32 = 200;
/// Epochs where nothing tells when to stop.
const EPOCHS_DEFAULT: u32 = 20;
/// Epochs without a better HR@10 + NDCG@10 on validation after which training ends, and after which the rate halves.
const PATIENCE: (u32, u32) = (10, 4);
/// Parts of a batch that have gradients of their own: fixed, so that results do not depend on the machine.
const SHARDS: usize = 4;
/// Batches whose histories are sorted by length before they are cut, so that little is padding.
const SORTED: usize = 16;

/// SASRec (Kang & McAuley 2018) in the form that Klenitskiy & Vasilev (2023) showed to be strong: cross-entropy over all
/// videos at every place. Pre-norm blocks, GELU, places counted from the newest video, and a learnt start, so that an empty
/// history has an answer too. Videos have one vector, read and predicted by.
#[derive(Clone, Debug)]
pub struct Sasrec {
    network: Network,
    parameters: Parameters,
}

#[derive(Clone, Debug)]
struct Network {
    shape: Shape,
    videos: Embedding,
    places: Embedding,
    start: Id,
    blocks: Vec<Block>,
    last: LayerNorm,
}

#[derive(Clone, Copy, Debug)]
struct Block {
    before_attention: LayerNorm,
    attention: Attention,
    before_wide: LayerNorm,
    wide: Linear,
    narrow: Linear,
}

/// Histories in rows of `length` places: a start, then videos, oldest first, then padding.
struct Batch {
    length: usize,
    n_there: Vec<usize>,
    videos: Vec<Option<u32>>,
    places: Vec<Option<u32>>,
}

struct Tape {
    dropped: Option<Vec<f32>>,
    blocks: Vec<BlockTape>,
    last: NormTape,
}

struct BlockTape {
    norm: NormTape,
    normed: Matrix,
    attention: AttentionTape,
    dropped: Option<Vec<f32>>,
    wide_norm: NormTape,
    wide_normed: Matrix,
    before: Matrix,
    hidden: Matrix,
    wide_dropped: Option<Vec<f32>>,
}

impl Batch {
    /// Of histories of at most `length` videos each.
    fn new(histories: &[&[u32]], shape: Shape) -> Self {
        let length = 1 + histories.iter().map(|history| history.len()).max().unwrap_or(0);
        let mut batch = Self { length, n_there: Vec::new(), videos: Vec::new(), places: Vec::new() };
        for history in histories {
            let n = history.len();
            batch.n_there.push(n + 1);
            batch.videos.push(None);
            batch.videos.extend(history.iter().copied().map(Some));
            // Places count from the newest: the last has the last number.
            let first = (shape.length - n) as u32;
            batch.places.extend((first..=shape.length as u32).map(Some));
            batch.videos.resize(batch.n_there.len() * length, None);
            batch.places.resize(batch.n_there.len() * length, None);
        }
        batch
    }
}

impl Network {
    fn new(parameters: &mut Parameters, shape: Shape, n_videos: usize, random: &mut Random) -> Self {
        let Shape { dimension: d, n_heads, length, .. } = shape;
        // The table is read by few rows and predicted by all, so its gradient is dense.
        let table = parameters.add_normal("videos", Kind::Dense, (n_videos, d), 0.02, random);
        let places = Embedding::new(parameters, "places", (length + 1, d), 0.02, random);
        let start = parameters.add_normal("start", Kind::Dense, (1, d), 0.02, random);
        let dropout = Dropout { probability: DROPOUT };
        let blocks = (0..shape.n_blocks).map(|at| {
            let name = |part: &str| format!("block.{at}.{part}");
            Block {
                before_attention: LayerNorm::new(parameters, &name("before_attention"), d),
                attention: Attention::new(
                    parameters,
                    &name("attention"),
                    d,
                    n_heads,
                    (Mask::Causal, dropout),
                    random,
                ),
                before_wide: LayerNorm::new(parameters, &name("before_wide"), d),
                wide: Linear::new(parameters, &name("wide"), (d, WIDER * d), true, random),
                narrow: Linear::new(parameters, &name("narrow"), (WIDER * d, d), true, random),
            }
        });
        let blocks = blocks.collect();
        let last = LayerNorm::new(parameters, "last", d);
        Self { shape, videos: Embedding { table }, places, start, blocks, last }
    }

    /// What the network makes of every place: `(histories * length, dimension)`.
    fn forward(
        &self,
        parameters: &Parameters,
        batch: &Batch,
        mut random: Option<&mut Random>,
    ) -> (Matrix, Tape) {
        let there = (batch.length, &batch.n_there[..]);
        let mut x = self.videos.forward(parameters, &batch.videos);
        // As in the paper: vectors of 0.02 weigh as much as what blocks add.
        let scale = (self.shape.dimension as f32).sqrt();
        x.values_mut().iter_mut().for_each(|x| *x *= scale);
        let start = parameters.get(self.start).values();
        for history in 0..batch.n_there.len() {
            add(x.row_mut(history * batch.length), start);
        }
        add(x.values_mut(), self.places.forward(parameters, &batch.places).values());
        let dropout = Dropout { probability: DROPOUT };
        let dropped = dropout.forward(&mut x, random.as_deref_mut());
        let mut tapes = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let (normed, norm) = block.before_attention.forward(parameters, &x);
            let (mut made, attention) =
                block.attention.forward(parameters, &normed, there, None, random.as_deref_mut());
            let dropped = dropout.forward(&mut made, random.as_deref_mut());
            add(x.values_mut(), made.values());
            let (wide_normed, wide_norm) = block.before_wide.forward(parameters, &x);
            let before = block.wide.forward(parameters, &wide_normed);
            let hidden = Activation::Gelu.forward(&before);
            let mut made = block.narrow.forward(parameters, &hidden);
            let wide_dropped = dropout.forward(&mut made, random.as_deref_mut());
            add(x.values_mut(), made.values());
            tapes.push(BlockTape {
                norm,
                normed,
                attention,
                dropped,
                wide_norm,
                wide_normed,
                before,
                hidden,
                wide_dropped,
            });
        }
        let (output, last) = self.last.forward(parameters, &x);
        (output, Tape { dropped, blocks: tapes, last })
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
        let there = (batch.length, &batch.n_there[..]);
        let mut of_x = self.last.backward(parameters, &tape.last, gradient, gradients);
        for (block, tape) in self.blocks.iter().zip(&tape.blocks).rev() {
            let mut of_made = of_x.clone();
            Dropout::backward(tape.wide_dropped.as_deref(), &mut of_made);
            let of_hidden = block.narrow.backward(parameters, &tape.hidden, &of_made, gradients);
            let of_before = Activation::Gelu.backward(&tape.before, of_hidden);
            let of_normed = block.wide.backward(parameters, &tape.wide_normed, &of_before, gradients);
            let more = block.before_wide.backward(parameters, &tape.wide_norm, &of_normed, gradients);
            add(of_x.values_mut(), more.values());
            let mut of_made = of_x.clone();
            Dropout::backward(tape.dropped.as_deref(), &mut of_made);
            let of_normed = block.attention.backward(
                parameters,
                &tape.normed,
                there,
                &tape.attention,
                &of_made,
                gradients,
                None,
            );
            let more = block.before_attention.backward(parameters, &tape.norm, &of_normed, gradients);
            add(of_x.values_mut(), more.values());
        }
        Dropout::backward(tape.dropped.as_deref(), &mut of_x);
        self.places.backward(&batch.places, &of_x, gradients);
        for history in 0..batch.n_there.len() {
            add(gradients.dense(self.start).values_mut(), of_x.row(history * batch.length));
        }
        let scale = (self.shape.dimension as f32).sqrt();
        of_x.values_mut().iter_mut().for_each(|x| *x *= scale);
        self.videos.backward(&batch.videos, &of_x, gradients);
    }

    /// The loss of predicting each video of histories from those before it, over `n_targets`, and its gradients.
    fn learn(
        &self,
        parameters: &Parameters,
        histories: &[&[u32]],
        n_targets: usize,
        random: &mut Random,
        gradients: &mut Gradients,
    ) -> f64 {
        let asked: Vec<&[u32]> = histories.iter().map(|history| &history[..history.len() - 1]).collect();
        let batch = Batch::new(&asked, self.shape);
        let (output, tape) = self.forward(parameters, &batch, Some(random));
        // Padding predicts nothing and is left out before the largest product.
        let d = self.shape.dimension;
        let rows = |history: usize| {
            let first = history * batch.length;
            first..first + batch.n_there[history]
        };
        let there: Vec<usize> = (0..histories.len()).flat_map(rows).collect();
        let values = there.iter().flat_map(|&row| output.row(row)).copied().collect();
        let asking = Matrix::from_rows(there.len(), d, values);
        let targets: Vec<u32> = histories.iter().copied().flatten().copied().collect();
        let weights = vec![1.0 / n_targets as f32; targets.len()];
        let table = parameters.get(self.videos.table);
        let found = softmax(&asking, table, (&targets, &weights), gradients.dense(self.videos.table));
        let mut of_output = Matrix::zeros(output.n_rows(), d);
        for (at, &row) in there.iter().enumerate() {
            of_output.row_mut(row).copy_from_slice(found.of_rows.row(at));
        }
        self.backward(parameters, &batch, &tape, &of_output, gradients);
        found.loss
    }
}

fn add(to: &mut [f32], more: &[f32]) {
    add_scaled(to, 1.0, more);
}

impl Sasrec {
    /// Trains until validation no longer gains, or for `n_epochs`; how many epochs the model has seen, and what it came to
    /// on validation, where there is one.
    pub(super) fn fit(
        training: &Training,
        n_epochs: Option<u32>,
    ) -> Result<(Self, u32, Option<f64>), FitError> {
        training.needs_order("sasrec")?;
        let histories: Vec<Vec<u32>> = (training.interactions.users())
            .map(|rows| rows.iter().filter(|row| row.is_positive()).map(|row| row.video).collect())
            .filter(|history: &Vec<u32>| !history.is_empty())
            .collect();
        let mut parameters = Parameters::new();
        let mut random = Random::new(training.seed);
        let n_videos = training.interactions.n_videos();
        let network = Network::new(&mut parameters, SHAPE, n_videos, &mut random);
        let mut model = Self { network, parameters };
        let mut adam = Adam::new(&model.parameters, Settings { beta2: 0.98, ..Settings::default() });
        let mut shards = Shards::new(&model.parameters, SHARDS);
        let mut plateau = Plateau::new(0.5, PATIENCE.1, PATIENCE.0);
        let judged = n_epochs.is_none() && !training.validation.is_empty();
        let epochs = n_epochs.unwrap_or(if judged { EPOCHS_MAX } else { EPOCHS_DEFAULT });
        let mut best = (model.parameters.clone(), 0, f64::NEG_INFINITY);
        for epoch in 0..epochs {
            let seed = mix(training.seed ^ mix(u64::from(epoch)));
            for (step, batch) in batches(&histories, seed).iter().enumerate() {
                let n_targets = batch.iter().map(|history| history.len()).sum();
                let (network, parameters) = (&model.network, &model.parameters);
                let learn = |shard: usize, part: Range<usize>, gradients: &mut Gradients| {
                    if part.is_empty() {
                        return 0.0;
                    }
                    let seed = mix(seed ^ mix((step * SHARDS + shard) as u64));
                    network.learn(parameters, &batch[part], n_targets, &mut Random::new(seed), gradients)
                };
                let (loss, gradients) = shards.step(batch.len(), learn);
                let norm = gradients.clip(NORM_MAX);
                if !loss.is_finite() || !norm.is_finite() {
                    let at = model.parameters.first_not_finite().unwrap_or("no parameter").to_string();
                    return Err(FitError::Diverged { model: "sasrec".into(), epoch, step, at });
                }
                adam.step(&mut model.parameters, gradients, RATE * plateau.share);
            }
            if !judged {
                best.1 = epoch + 1;
                continue;
            }
            let score = validation_score(&model, training.validation, training.candidates);
            match plateau.see(score) {
                Verdict::Best => best = (model.parameters.clone(), epoch + 1, score),
                Verdict::GoOn | Verdict::Slower => {}
                Verdict::Stop => break,
            }
        }
        if judged {
            model.parameters = best.0;
        }
        Ok((model, best.1, judged.then_some(best.2)))
    }

    /// From parameters of a file, by name; `None` names what is missing or has another shape.
    pub(crate) fn from_parameters(
        shape: Shape,
        n_videos: usize,
        mut get: impl FnMut(&str) -> Option<Matrix>,
    ) -> Result<Self, String> {
        let mut parameters = Parameters::new();
        let network = Network::new(&mut parameters, shape, n_videos, &mut Random::new(0));
        for id in parameters.ids() {
            let name = parameters.name(id).to_string();
            let is_same = |found: &Matrix| {
                let known = parameters.get(id);
                (found.n_rows(), found.n_columns()) == (known.n_rows(), known.n_columns())
            };
            let found = get(&name).filter(is_same).ok_or(name)?;
            *parameters.get_mut(id) = found;
        }
        Ok(Self { network, parameters })
    }

    /// The videos that are read of a history, oldest first.
    fn read(&self, history: &History) -> Vec<u32> {
        let n_videos = self.n_videos() as u32;
        let mut videos: Vec<u32> =
            history.positives().iter().rev().copied().filter(|&video| video < n_videos).collect();
        videos.truncate(self.network.shape.length);
        videos.reverse();
        videos
    }

    /// One row for each history: what its last place asks for.
    fn questions(&self, histories: &[&History]) -> Matrix {
        let read: Vec<Vec<u32>> = histories.iter().map(|history| self.read(history)).collect();
        let read: Vec<&[u32]> = read.iter().map(Vec::as_slice).collect();
        let batch = Batch::new(&read, self.network.shape);
        let (output, _) = self.network.forward(&self.parameters, &batch, None);
        let mut questions = Matrix::zeros(histories.len(), self.network.shape.dimension);
        for (at, n) in batch.n_there.iter().enumerate() {
            questions.row_mut(at).copy_from_slice(output.row(at * batch.length + n - 1));
        }
        questions
    }

    fn table(&self) -> &Matrix {
        self.parameters.get(self.network.videos.table)
    }
}

/// All histories once, the newest of each, in batches of like length and in an order of the seed.
fn batches(histories: &[Vec<u32>], seed: u64) -> Vec<Vec<&[u32]>> {
    let mut random = Random::new(seed);
    let newest = |history: &Vec<u32>| history.len().saturating_sub(SHAPE.length + 1);
    let mut all: Vec<&[u32]> = histories.iter().map(|history| &history[newest(history)..]).collect();
    shuffle(&mut all, &mut random);
    let mut batches = Vec::new();
    for group in all.chunks_mut(SORTED * BATCH) {
        group.sort_by_key(|history| history.len());
        batches.extend(group.chunks(BATCH).map(<[_]>::to_vec));
    }
    shuffle(&mut batches, &mut random);
    batches
}

fn shuffle<T>(values: &mut [T], random: &mut Random) {
    (1..values.len()).rev().for_each(|at| values.swap(at, random.below(at + 1)));
}

impl Recommender for Sasrec {
    fn name(&self) -> &str {
        "sasrec"
    }

    fn n_videos(&self) -> usize {
        self.table().n_rows()
    }

    fn score_all(&self, history: &History, _context: &Context, scores: &mut [f32]) {
        let question = self.questions(&[history]);
        for (video, score) in scores.iter_mut().enumerate() {
            *score = dot(question.row(0), self.table().row(video));
        }
    }

    fn score(&self, history: &History, _context: &Context, rows: &[u32], scores: &mut [f32]) {
        let question = self.questions(&[history]);
        for (score, &row) in scores.iter_mut().zip(rows) {
            *score = dot(question.row(0), self.table().row(row as usize));
        }
    }

    fn score_batch(&self, questions: &[(&History, Context)], scores: &mut Matrix) {
        let histories: Vec<&History> = questions.iter().map(|(history, _)| *history).collect();
        product_transposed_into(&self.questions(&histories), self.table(), scores.values_mut());
    }

    fn save(&self, out: &mut Writer<'_>) -> Form {
        for id in self.parameters.ids() {
            out.matrix(self.parameters.name(id), self.parameters.get(id));
        }
        let Shape { dimension, n_blocks, n_heads, length } = self.network.shape;
        Form::Sasrec { dimension, n_blocks, n_heads, length }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(n_videos: usize) -> (Parameters, Network) {
        let mut parameters = Parameters::new();
        let shape = Shape { dimension: 8, n_blocks: 2, n_heads: 2, length: 6 };
        let network = Network::new(&mut parameters, shape, n_videos, &mut Random::new(3));
        (parameters, network)
    }

    #[test]
    fn the_gradient_of_the_whole_network_is_that_of_small_differences() {
        let (mut parameters, network) = small(7);
        // Vectors that a small step hardly turns.
        for name in ["videos", "places", "start"] {
            let id = parameters.find(name).or(parameters.find(&format!("{name}.weight"))).unwrap();
            parameters.get_mut(id).values_mut().iter_mut().for_each(|x| *x *= 25.0);
        }
        let histories: [&[u32]; 3] = [&[0, 1, 2, 3], &[5], &[6, 6, 1]];
        // The same seed leaves out the same numbers each time.
        let loss = |parameters: &Parameters, gradients: &mut Gradients| {
            network.learn(parameters, &histories, 8, &mut Random::new(5), gradients)
        };
        let mut gradients = Gradients::zeros(&parameters);
        loss(&parameters, &mut gradients);
        for id in parameters.ids() {
            let n_columns = parameters.get(id).n_columns();
            for at in (0..parameters.get(id).values().len()).step_by(13) {
                let analytic = gradients.row(id, (at / n_columns) as u32)[at % n_columns];
                let before = parameters.get(id).values()[at];
                let mut at_step = |step: f32| {
                    parameters.get_mut(id).values_mut()[at] = before + step;
                    loss(&parameters, &mut Gradients::zeros(&parameters))
                };
                let numeric = (at_step(4e-3) - at_step(-4e-3)) / 8e-3;
                parameters.get_mut(id).values_mut()[at] = before;
                let error = (f64::from(analytic) - numeric).abs();
                let name = parameters.name(id);
                assert!(error < 2e-3 * (1.0 + numeric.abs()), "{name} {at}: {analytic} is not {numeric}");
            }
        }
    }

    #[test]
    fn a_batch_is_its_single_histories_and_old_videos_beyond_the_length_are_not_read() {
        let (parameters, network) = small(20);
        let model = Sasrec { network, parameters };
        let videos: Vec<u32> = (0..12).collect();
        let (long, cut) = (History::of_positives(&videos), History::of_positives(&videos[6..]));
        let (short, none) = (History::of_positives(&[4]), History::default());
        let together = model.questions(&[&long, &short, &none, &cut]);
        for (at, history) in [&long, &short, &none, &cut].into_iter().enumerate() {
            let alone = model.questions(&[history]);
            let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
            assert!(alone.values().iter().zip(together.row(at)).all(close), "history {at}");
        }
        assert_eq!(together.row(0), together.row(3));
    }

    #[test]
    fn every_history_is_in_one_batch_and_the_seed_decides_the_order() {
        let histories: Vec<Vec<u32>> = (0..300).map(|user| (0..1 + user % 60).collect()).collect();
        let sizes = |seed| batches(&histories, seed).iter().map(|batch| batch.len()).collect::<Vec<_>>();
        assert_eq!(sizes(1).iter().sum::<usize>(), 300);
        let longest = |seed| batches(&histories, seed).iter().map(|b| b[0].len()).collect::<Vec<_>>();
        assert_eq!(longest(1), longest(1));
        assert!(batches(&histories, 1).iter().flatten().all(|history| history.len() <= SHAPE.length + 1));
    }
}
