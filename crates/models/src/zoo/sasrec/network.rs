//! The transformer: histories in rows of places, what it makes of each place, and its gradients.

use std::ops::Range;

use upnext_math::Matrix;
use upnext_math::dot::add_scaled;
use upnext_math::seed::Random;
use upnext_nn::layer::{
    Block, BlockShape, BlockTape, Dropout, Dropped, Elapsed, Embedding, LayerNorm, Mask, NormTape, Sequences,
    Wiring,
};
use upnext_nn::{Gradients, Id, Kind, Parameters};

use super::Shape;

#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) shape: Shape,
    dropout: Dropout,
    pub(super) videos: Embedding,
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
pub(super) struct Watched<'a> {
    pub(super) videos: &'a [u32],
    pub(super) times: &'a [i64],
}

impl Watched<'_> {
    pub(super) fn len(&self) -> usize {
        self.videos.len()
    }

    pub(super) fn part(self, range: Range<usize>) -> Self {
        let times = self.times.get(range.clone()).unwrap_or_default();
        Self { videos: &self.videos[range], times }
    }

    /// What asks for the last video when that was watched.
    pub(super) fn without_last(&self) -> Question<'_> {
        (self.part(0..self.len() - 1), self.times.last().copied().unwrap_or(0))
    }
}

/// What was watched, and when it is asked what comes next, in milliseconds since 1970; 0 where that is not known.
pub(super) type Question<'a> = (Watched<'a>, i64);

/// Histories in rows of `length` places: a start, then videos, oldest first, then padding.
pub(super) struct Batch {
    pub(super) length: usize,
    pub(super) n_there: Vec<usize>,
    pub(super) videos: Vec<Option<u32>>,
    places: Vec<Option<u32>>,
    elapsed: Option<Elapsed>,
}

pub(super) struct Tape {
    first: Option<NormTape>,
    dropped: Option<Dropped>,
    blocks: Vec<BlockTape>,
    last: Option<NormTape>,
}

impl Batch {
    /// Of histories of at most `length` videos each.
    pub(super) fn new(questions: &[Question], shape: Shape) -> Self {
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
    pub(super) fn new(
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
    pub(super) fn forward(
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
    pub(super) fn backward(
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

pub(super) fn add(to: &mut [f32], more: &[f32]) {
    add_scaled(to, 1.0, more);
}
